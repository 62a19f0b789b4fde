"""Whatever a server sends, over a real socket: a request is answered, or tried again, or has failed; nothing else."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from raw_server import Raw, completion, good, serving, whole

from warmgap.disk import store
from warmgap.engines import batches, client
from warmgap.engines.calls import completion as bodies
from warmgap.engines.calls import wire
from warmgap.engines.calls.wire import Malformed, Refused, Said
from warmgap.engines.client import ChatRequest, Endpoint
from warmgap.errors import UserError
from warmgap.settings.schema import EndpointConfig

PRICES = {"price_in": 1.0, "price_out": 1000.0}
MOST_OUT = 100


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.005)


def made(url: str, **other: Any) -> Endpoint:
    own: dict[str, Any] = {"model": "m-2024-08-06", "key_env": "", "timeout": 2.0, "retries": 2, "max_tokens": MOST_OUT}
    return Endpoint(EndpointConfig(base_url=url, **{**own, **PRICES, **other}), "judge")


def asked(count: int) -> list[ChatRequest]:
    return [ChatRequest(f"k{i}", [{"role": "user", "content": f"question {i}"}]) for i in range(count)]


def question(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end


def told(value: Any) -> bytes:
    return whole(json.dumps(value).encode())


GOOD = json.dumps(completion("fine")).encode()
BROKEN: dict[str, bytes] = {
    "no body": whole(b""),
    "a page": whole(b"<html>login</html>", Content_Type="text/html"),
    "a page as JSON": whole(b"<html>login</html>"),
    "not UTF-8": whole(GOOD.replace(b"fine", b"\xff\xfe")),
    "half of it": whole(GOOD[: len(GOOD) // 2]),
    "nested for ever": whole(b"[" * 100_000),
    "nested for ever, closed": whole(b'{"choices":' * 20_000 + b"1" + b"}" * 20_000),
    "an endless number": whole(GOOD.replace(b": 100", b": " + b"9" * 6000)),
    "null": told(None),
    "a text": told("fine"),
    "a list": told([completion("fine")]),
    "choices null": told(completion("x", choices=None)),
    "choices empty": told(completion("x", choices=[])),
    "choices an object": told(completion("x", choices={"0": 1})),
    "a choice that is a text": told(completion("x", choices=["fine"])),
    "a message that is a text": told(completion("x", choices=[{"message": "fine"}])),
    "no message": told(completion("x", choices=[{"index": 0}])),
    "content a number": told(completion(3)),
    "content an object": told(completion({"text": "fine"})),
    "content of pictures": told(completion([{"type": "image_url", "image_url": {}}])),
    "an error within a success": told({"error": {"message": "upstream is busy", "code": 502}}),
    "an error as text": told({"error": "upstream is busy"}),
    "longer than it says": whole(GOOD, Content_Length=str(len(GOOD) - 9)),
    "shorter than it says": whole(GOOD, Content_Length=str(len(GOOD) + 9)) + b"",
    "a length that is none": whole(GOOD, Content_Length="many"),
    "two lengths": whole(GOOD, Content_Length="5\r\nContent-Length: 7"),
    "chunks that end early": chunked(GOOD, end=b""),
    "chunks that are none": chunked(GOOD[:20], end=b"zz\r\nwhat\r\n"),
    "no status": b"hello\r\n\r\n",
    "nothing": b"",
    "a status that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "a head too long": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "packed badly": whole(b"no gzip", Content_Encoding="gzip"),
    "packed by half": whole(gzip.compress(GOOD)[:-20], Content_Encoding="gzip"),
    "packed otherwise": whole(GOOD, Content_Encoding="br"),
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
def test_what_cannot_be_read_is_tried_again_and_then_arrives_once(sent: bytes) -> None:
    met: set[str] = set()

    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        if question(body) in met:
            line.sendall(good(f"to {question(body)}"))
        else:
            met.add(question(body))
            line.sendall(sent)
            line.shutdown(socket.SHUT_WR)

    with serving(behave) as api:
        point = made(api.url)
        replies = sorted(point.ask(asked(4)), key=lambda reply: reply.key)
    assert [(reply.text, reply.error) for reply in replies] == [(f"to question {i}", "") for i in range(4)]
    assert (point.meter.calls, point.meter.failed) == (4, 0)
    assert point.meter.retries >= 4, "one more where a request was sent over a line that the server was closing"


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_always_so_is_a_failed_request(sent: bytes) -> None:
    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)

    with serving(behave) as api:
        (reply,) = made(api.url, retries=1).ask(asked(1))
    assert reply.error
    assert not reply.text
    assert "\n" not in reply.error
    reply.error.encode()


def drip(line: socket.socket, body: dict[str, Any]) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    trickle(line, b" ")


def drip_head(line: socket.socket, body: dict[str, Any]) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    trickle(line, b"x")


def trickle(line: socket.socket, sign: bytes) -> None:
    try:
        while True:
            line.sendall(sign)
            time.sleep(0.05)
    except OSError:
        pass


def endless_heads(line: socket.socket, body: dict[str, Any]) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        line.sendall(b"X-Again: and again\r\n" * 1000)


def silent(line: socket.socket, body: dict[str, Any]) -> None:
    time.sleep(1)


ENDLESS = {"dripped": drip, "a head that drips": drip_head, "heads without an end": endless_heads, "silent": silent}


@pytest.mark.parametrize("behave", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_whole_request_has_one_deadline(behave: Callable[[socket.socket, dict[str, Any]], None]) -> None:
    ended = threading.Event()

    def watched(line: socket.socket, body: dict[str, Any]) -> None:
        try:
            behave(line, body)
        finally:
            ended.set()

    with serving(watched) as api:
        (reply,) = made(api.url, timeout=0.4, retries=0).ask(asked(1))
        assert reply.error
        assert ended.wait(8), "the connection is not kept"


@pytest.mark.parametrize("packed", ["gzip", "deflate", "chunks", "plain"])
def test_no_reply_takes_more_memory_than_it_may(packed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """256 MiB of blanks, in 0.3 where they are packed."""
    blank = b" " * 2**20
    if packed in ("gzip", "deflate"):
        packer = zlib.compressobj(9, wbits=31 if packed == "gzip" else 15)
        body = b"".join(packer.compress(blank) for _ in range(256)) + packer.flush()
        whole_body = whole(body, Content_Encoding=packed)

    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        if packed in ("gzip", "deflate"):
            line.sendall(whole_body)
            return
        length = "Transfer-Encoding: chunked" if packed == "chunks" else f"Content-Length: {2**28}"
        line.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
        for _ in range(256):
            line.sendall(b"100000\r\n" + blank + b"\r\n" if packed == "chunks" else blank)

    with serving(behave) as api:
        tracemalloc.start()
        (reply,) = made(api.url, retries=0, timeout=60.0).ask(asked(1))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert "is longer than" in reply.error
    assert most < 4 * wire.MOST


def test_a_packed_reply_that_is_small_is_read() -> None:
    with serving(lambda line, body: line.sendall(whole(gzip.compress(GOOD), Content_Encoding="gzip"))) as api:
        (reply,) = made(api.url).ask(asked(1))
    assert reply.text == "fine"


def test_what_follows_a_reply_is_never_taken_for_the_next_one() -> None:
    """A server that answers twice: the second answer would be the next question's, were the connection kept."""

    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        line.sendall(good(f"to {question(body)}") + good("to another question"))

    with serving(behave) as api:
        replies = list(made(api.url, concurrency=1).ask(asked(20)))
    assert [reply.text for reply in replies] == [f"to question {i}" for i in range(20)]


def test_a_reply_that_comes_after_its_time_is_not_the_next_ones() -> None:
    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        if question(body) == "question 0" and len(api.bodies) == 1:
            time.sleep(0.6)
        line.sendall(good(f"to {question(body)}"))

    with serving(behave) as api:
        replies = list(made(api.url, concurrency=1, timeout=0.3).ask(asked(6)))
    assert {reply.key: reply.text for reply in replies} == {f"k{i}": f"to question {i}" for i in range(6)}


# ---- what a server does not take ----

REFUSING = {
    "vendor": {"error": {"message": "Unsupported parameter: '{}' is not supported with this model.", "param": "{}"}},
    "value": {"error": {"message": "Unsupported value: '{}' does not support 0 with this model.", "param": "{}"}},
    "pydantic": {
        "detail": [{"type": "extra_forbidden", "loc": ["body", "{}"], "msg": "Extra inputs are not permitted"}]
    },
    "text": {"error": "unknown field `{}`"},
    "message": {"object": "error", "message": "{} is not supported"},
    "plain": "unrecognized request argument: {}",
}


@pytest.mark.parametrize("form", REFUSING.values(), ids=REFUSING.keys())
@pytest.mark.parametrize("name", ["seed", "temperature"])
def test_a_field_that_is_not_taken_is_left_out_once_and_said(
    name: str, form: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(form).replace("{}", name).encode()

    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        line.sendall(whole(text, "400 Bad Request") if name in body else good(f"to {question(body)}"))

    with serving(behave) as api:
        point = made(api.url, concurrency=1, retries=0, temperature=0.0, seed=1)
        assert all(reply.text for reply in point.ask(asked(5)))
    assert len(api.bodies) == 6
    assert capsys.readouterr().err.count(f"does not take {name}") == 1
    assert point.meter.unclear == 0, "what is refused is not paid for"


def test_an_arm_that_would_answer_otherwise_is_told_how_to_leave_a_field_out() -> None:
    refused = whole(b'{"error": {"message": "seed is not supported", "param": "seed"}}', "400 Bad Request")
    with serving(lambda line, body: line.sendall(refused)) as api:
        point = Endpoint(made(api.url).config, "arm", omit="arm.omit=[{name}]")
        with pytest.raises(UserError, match=r"arm\.omit=\[seed\]"):
            list(point.ask(asked(3)))


def test_a_prompt_that_speaks_of_seeds_is_no_refused_field() -> None:
    text = b'{"error": {"message": "how to plant a seed violates the policy"}}'
    with serving(lambda line, body: line.sendall(whole(text, "400 Bad Request"))) as api:
        (reply,) = made(api.url, seed=1).ask(asked(1))
    assert "plant a seed" in reply.error
    assert len(api.bodies) == 1


# ---- what a reply is made of ----


def received(**message: Any) -> tuple[str, str]:
    answer = completion("x", choices=[{"message": {"role": "assistant", **message}, "finish_reason": "stop"}])
    with serving(lambda line, body: line.sendall(told(answer))) as api:
        (reply,) = made(api.url).ask(asked(1))
    assert not reply.error
    return reply.text, reply.reasoning


def test_a_list_of_parts_is_one_text() -> None:
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so "}, {"type": "text", "text": "it is"}]
    assert received(content=parts) == ("so it is", "hm")
    assert received(content=["so ", "it is"]) == ("so it is", "")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_beside_the_text_is_kept_apart(name: str) -> None:
    assert received(content="it is", **{name: "is it?"}) == ("it is", "is it?")
    assert received(content=None, **{name: "is it?"}) == ("", "is it?")


def test_half_an_emoji_does_not_lose_what_was_paid_for(tmp_path: Path) -> None:
    text, thought = received(content="half \ud83d", reasoning="\udc00")
    store.append(tmp_path / "kept.jsonl", [{"text": text, "reasoning": thought}])
    assert list(store.read_journal(tmp_path / "kept.jsonl")) == [{"text": "half \ufffd", "reasoning": "\ufffd"}]


# ---- any body at all ----

JSON: Any = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=8),
    lambda part: some.lists(part, max_size=4) | some.dictionaries(some.text(max_size=8), part, max_size=4),
    max_leaves=12,
)
NAMES = ["choices", "message", "content", "usage", "error", "model", "finish_reason", "prompt_tokens",
         "completion_tokens", "reasoning", "reasoning_content", "type", "text", "code", "param", "id"]  # fmt: skip


@some.composite
def altered(draw: Any) -> Any:
    """A chat completion in which some values are others."""
    value = json.loads(GOOD)
    for _ in range(draw(some.integers(0, 4))):
        place = value
        while isinstance(place, (dict, list)) and place and draw(some.booleans()):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(some.sampled_from(keys))
            if draw(some.booleans()) and isinstance(place[key], (dict, list)):
                place = place[key]
            else:
                place[key] = draw(JSON)
                break
        if isinstance(place, dict) and draw(some.booleans()):
            place[draw(some.sampled_from(NAMES))] = draw(JSON)
    return value


BODIES = (
    some.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | altered().map(lambda value: json.dumps(value).encode())
    | some.integers(0, len(GOOD)).map(lambda length: GOOD[:length])
    | some.tuples(some.integers(0, len(GOOD) - 1), some.integers(0, 255)).map(
        lambda change: GOOD[: change[0]] + bytes([change[1]]) + GOOD[change[0] + 1 :]
    )
)
STATUSES = some.sampled_from([200, 201, 204, 301, 400, 401, 402, 404, 408, 413, 418, 422, 429, 500, 503, 599])
MANY = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(BODIES, STATUSES)
def test_any_body_is_a_reply_or_a_failed_request(body: bytes, status: int) -> None:
    point = made("http://127.0.0.1:9/v1")
    (request,) = asked(1)
    most = point.dearest(request)
    try:
        reply = point.read(request.key, wire.understood(Said(status, {}, body)), request)
    except (Malformed, Refused) as error:
        client.error_text(error).encode()
        return
    reply.text.encode()
    reply.reasoning.encode()
    assert reply.cost is not None
    assert 0 <= reply.cost <= most
    assert 0 <= reply.tokens_out <= MOST_OUT


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(some.lists(some.tuples(BODIES, STATUSES), min_size=3, max_size=3))
def test_over_a_socket_any_body_is_a_reply_a_failed_request_or_three_lines(sent: list[tuple[bytes, int]]) -> None:
    number = iter(range(1000))

    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        data, status = sent[next(number) % 3]
        line.sendall(whole(data, f"{status} X"))

    with serving(behave) as api:
        point = made(api.url, retries=1, concurrency=1)
        try:
            keys = sorted(reply.key for reply in point.ask(asked(3)))
        except UserError as error:
            said, keys = [part for part in error.args if part.strip() and "\n" not in part], ["k0", "k1", "k2"]
        else:
            said = ["what", "why", "fix"]
    assert (len(said), keys) == (3, ["k0", "k1", "k2"])
    assert point.meter.reserved == pytest.approx(0)


@MANY
@given(JSON)
def test_usage_is_what_can_be_or_nothing(usage: Any) -> None:
    found = bodies.used({"prompt_tokens": usage, "completion_tokens": usage}, 300, 100, said=True)
    assert found is None or (0 < found[0] <= 300 and 0 < found[1] <= 100)
    assert bodies.used(usage, 300, 100, said=True) is None


@MANY
@given(some.lists(BODIES, max_size=4), some.booleans())
def test_any_file_of_results_gives_replies_to_its_own_requests(lines: list[bytes], own: bool) -> None:
    point = made("http://127.0.0.1:9/v1")
    request = asked(1)[0]
    row = {"keys": ["k0"], "set_aside": 1.0}
    for line in lines:
        if own:
            line = b'{"custom_id": "k0", "response": {"status_code": 200, "body": ' + line + b"}}"
        reply = batches._read(point, line, row, {"k0": request})
        assert reply is None or reply.key == "k0"


def test_a_raw_server_is_one(tmp_path: Path) -> None:
    with serving(lambda line, body: line.sendall(good("fine"))) as api:
        assert isinstance(api, Raw)
        assert [reply.text for reply in made(api.url).ask(asked(3))] == ["fine"] * 3
    assert len(api.bodies) == 3
