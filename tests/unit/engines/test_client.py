"""Requests to an endpoint: order, retries, waiting, money, errors that stop and errors that do not."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from chat_api import Failure, serving

from warmgap.disk import store
from warmgap.engines import batches, client
from warmgap.engines.client import CapReached, ChatRequest, Endpoint
from warmgap.errors import UserError
from warmgap.settings.schema import EndpointConfig

SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}


def made(url: str, **settings: Any) -> Endpoint:
    """An endpoint at that address."""
    fast = {"model": "some-model-2024-08-06", "key_env": "WARMGAP_TEST_KEY", "batch_poll": 0.01, "timeout": 5.0}
    return Endpoint(EndpointConfig(base_url=url, **{**fast, **settings}), "judge")


def asked(count: int, schema: dict[str, Any] | None = None) -> list[ChatRequest]:
    """So many requests with keys of their own."""
    return [ChatRequest(f"k{i}", [{"role": "user", "content": f"question {i}"}], schema) for i in range(count)]


def echo(body: dict[str, Any], _: int) -> str:
    """Say what was asked."""
    return f"to {body['messages'][0]['content']}"


def once(failure: Failure) -> Any:
    """Fail on the first attempt of each request."""
    return lambda body, count: failure if count == 1 else echo(body, count)


def test_every_request_gets_its_own_reply_and_no_more_than_allowed_are_under_way() -> None:
    with serving(echo, delay=0.02) as api:
        point = made(api.url, concurrency=3)
        replies = list(point.ask(asked(12)))
    assert {reply.key: reply.text for reply in replies} == {f"k{i}": f"to question {i}" for i in range(12)}
    assert 1 < api.most_at_once <= 3
    assert (point.meter.calls, point.meter.tokens_in, point.meter.tokens_out) == (12, 1200, 120)
    assert replies[0].model == "some-model-2024-08-06-served"


def test_the_settings_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMGAP_TEST_KEY", "secret-1")
    with serving(echo) as api:
        list(made(api.url, temperature=0.0, seed=7, max_tokens=33).ask(asked(1, SCHEMA)))
        list(made(api.url, temperature=None, seed=None).ask(asked(1)))
    first, second = api.bodies
    assert (first["temperature"], first["seed"], first["max_tokens"]) == (0.0, 7, 33)
    assert first["response_format"]["json_schema"]["schema"] == SCHEMA
    assert not {"temperature", "seed", "response_format"} & second.keys()
    assert api.keys == {"Bearer secret-1"}


PASSING = {
    "busy": Failure(429, "slow down"),
    "down": Failure(503, "overloaded"),
    "gateway": Failure(502, raw=b"<html>bad gateway</html>"),
    "conflict": Failure(409, "locked"),
    "page": Failure(200, raw=b"<html>login</html>"),
    "empty": Failure(200, raw=b""),
    "no choices": Failure(200, raw=b'{"id": "x", "object": "chat.completion", "choices": []}'),
    "half": Failure(cut=True),
}


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_tried_again(failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
    with serving(once(failure)) as api:
        point = made(api.url)
        replies = list(point.ask(asked(3)))
    assert {reply.text for reply in replies} == {f"to question {i}" for i in range(3)}
    assert point.meter.retries == 3


@pytest.mark.parametrize("form", ["seconds", "milliseconds", "date"])
def test_it_waits_as_long_as_the_server_says_and_the_others_wait_too(form: str) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    headers = {
        "seconds": {"Retry-After": "1"},
        "milliseconds": {"retry-after-ms": "1000"},
        "date": {"Retry-After": until},
    }

    def reply(body: dict[str, Any], count: int) -> str | Failure:
        first = body["messages"][0]["content"] == "question 0" and count == 1
        return Failure(429, "wait", headers=headers[form]) if first else echo(body, count)

    with serving(reply) as api:
        assert len(list(made(api.url, concurrency=1).ask(asked(2)))) == 2
    assert min(api.times[1:]) - api.times[0] > 0.9


def test_a_server_that_asks_for_hours_is_not_waited_for() -> None:
    with serving(lambda body, count: Failure(429, "later", headers={"Retry-After": "86400"})) as api:
        (reply,) = made(api.url).ask(asked(1))
    assert "86400" in reply.error


def test_one_request_that_cannot_be_answered_does_not_stop_the_others() -> None:
    def reply(body: dict[str, Any], count: int) -> str | Failure:
        if body["messages"][0]["content"] == "question 1":
            return Failure(400, "content policy")
        return echo(body, count)

    with serving(reply) as api:
        found = {reply.key: reply for reply in made(api.url).ask(asked(4))}
    assert found["k1"].error == "HTTP 400: content policy"
    assert all(found[f"k{i}"].text for i in (0, 2, 3))


STOPPING = {
    "key": (Failure(401, "bad key"), "refuses the key"),
    "model": (Failure(404, "no such model"), "has no model"),
    "credit": (Failure(429, "You exceeded your quota", code="insufficient_quota"), "no credit"),
    "paid": (Failure(402, "Insufficient credits"), "no credit"),
    "elsewhere": (Failure(308, raw=b"", headers={"Location": "https://other.invalid/v1"}), "has moved"),
}


@pytest.mark.parametrize(("failure", "what"), STOPPING.values(), ids=STOPPING.keys())
def test_what_no_retry_mends_stops_with_three_lines(failure: Failure, what: str) -> None:
    with serving(lambda body, count: failure) as api, pytest.raises(UserError, match=what):
        list(made(api.url).ask(asked(30)))
    assert len(api.bodies) <= 16 + 1, "the rest is not even sent"


def test_a_server_that_is_down_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)
    with pytest.raises(UserError, match="in a row have failed"):
        list(made("http://127.0.0.1:9/v1", retries=1, concurrency=2).ask(asked(50)))


def test_a_server_without_response_format_says_so() -> None:
    def reply(body: dict[str, Any], count: int) -> str | Failure:
        return Failure(400, "response_format is not supported") if "response_format" in body else echo(body, count)

    with serving(reply) as api:
        (one,) = made(api.url).ask(asked(1, SCHEMA))
    assert one.unsupported == "response_format"


def test_a_model_that_wants_another_name_for_the_length_gets_it() -> None:
    def reply(body: dict[str, Any], count: int) -> str | Failure:
        if "max_tokens" in body:
            return Failure(400, "Use 'max_completion_tokens' instead.", param="max_tokens")
        return echo(body, count)

    with serving(reply) as api:
        replies = list(made(api.url, concurrency=1).ask(asked(3)))
    assert all(reply.text for reply in replies)
    assert len(api.bodies) == 4, "found out once"


def test_the_cap_stops_before_the_request_that_could_go_over_and_keeps_what_was_paid_for() -> None:
    with serving(echo) as api:
        point = made(api.url, price_in=1.0, price_out=1000.0, max_cost=0.3, max_tokens=100, concurrency=2)
        kept: list[str] = []
        with pytest.raises(CapReached):
            kept.extend(reply.key for reply in point.ask(asked(50)))
    assert point.meter.spent is not None
    assert 0 < point.meter.spent <= 0.3
    assert len(kept) == len(api.bodies) == point.meter.calls
    assert point.meter.reserved == pytest.approx(0)


@pytest.mark.parametrize("answer", [echo, once(Failure(500))], ids=["at once", "the second time"])
def test_nobody_is_asked_further_than_can_be_lost_while_replies_are_not_taken(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed now has paid for so many that are not on the disk: twice ``concurrency``, and one."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.5)  # so that many wait to be tried again
    with serving(answer) as api:
        replies = made(api.url, concurrency=3).ask(asked(200))
        next(replies)
        sent = -1
        while sent != len(api.bodies):
            sent = len(api.bodies)
            time.sleep(0.3)
        texts = Counter(body["messages"][0]["content"] for body in api.bodies)
        paid = [text for text, count in texts.items() if answer is echo or count > 1]
        assert 3 < len(paid) <= 2 * 3 + 1
        assert len(list(replies)) == 199


def test_stopped_in_the_middle_nothing_is_left_running() -> None:
    with serving(echo, delay=0.05) as api:
        replies = made(api.url, concurrency=4).ask(asked(40))
        next(replies)
        replies.close()
        sent = len(api.bodies)
        assert sent < 40


WRONG = {
    "no model": ({"model": None}, "model is not set"),
    "no date": ({"model": "gpt-4o"}, "has no date"),
    "no address": ({"base_url": "localhost:8000"}, "is no address"),
    "no prices": ({"max_cost": 1.0}, "needs prices"),
    "no one at a time": ({"concurrency": 0}, "makes no sense"),
}


@pytest.mark.parametrize(("settings", "what"), WRONG.values(), ids=WRONG.keys())
def test_settings_that_cannot_work(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=what):
        made("http://127.0.0.1:9/v1", **settings) if "base_url" not in settings else Endpoint(
            EndpointConfig(model="m-2024-08-06", **settings), "judge"
        )


def test_a_vendor_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARMGAP_TEST_KEY", raising=False)
    with pytest.raises(UserError, match="WARMGAP_TEST_KEY is not set"):
        made("https://vendor.invalid/v1")


# ---- batches ----


def test_a_batch_gives_what_single_requests_give(tmp_path: Path) -> None:
    with serving(echo, looks=2) as api:
        point = made(api.url, price_in=1.0, price_out=2.0)
        replies = list(batches.ask(point, asked(5), tmp_path / "b.jsonl"))
    assert {reply.key: reply.text for reply in replies} == {f"k{i}": f"to question {i}" for i in range(5)}
    assert point.meter.spent == pytest.approx(5 * (100 + 2 * 10) / 1e6)
    assert len(api.batches) == 1


@pytest.mark.parametrize("batch", [False, True])
def test_every_reply_that_is_paid_for_can_be_kept(tmp_path: Path, batch: bool) -> None:
    """Signs at which some programs end a line, and half an emoji, which no file can hold."""
    texts = ["a\u2028b", "a\u0085b\u2029c", "a\x0bb\x0cc\x1cd", "half \ud83d of it", "\U0001f600"]
    with serving(lambda body, _: texts[int(body["messages"][0]["content"][-1])]) as api:
        point = made(api.url)
        replies = list(batches.ask(point, asked(5), tmp_path / "b.jsonl") if batch else point.ask(asked(5)))
    assert point.meter.calls == 5
    assert not any(reply.error for reply in replies)
    kept = tmp_path / "kept.jsonl"
    store.append(kept, [{"key": reply.key, "text": reply.text} for reply in replies])
    expected = {f"k{place}": text.replace("\ud83d", "\ufffd") for place, text in enumerate(texts)}
    assert {row["key"]: row["text"] for row in store.read_journal(kept)} == expected


def test_a_batch_that_was_paid_for_is_collected_not_handed_in_again(tmp_path: Path) -> None:
    with serving(echo) as api:
        stopped = batches.ask(made(api.url), asked(5), tmp_path / "b.jsonl")
        first = next(stopped)
        stopped.close()
        rest = [request for request in asked(5) if request.key != first.key]
        replies = list(batches.ask(made(api.url), rest, tmp_path / "b.jsonl"))
    assert {reply.key for reply in replies} == {request.key for request in rest}
    assert len(api.batches) == 1


def test_a_batch_started_just_before_the_run_was_killed_is_found_again(tmp_path: Path) -> None:
    """The journal knows that it was announced, not which it became."""
    with serving(echo) as api:
        list(batches.ask(made(api.url), asked(3), tmp_path / "b.jsonl"))
        announced = [row for row in store.read_journal(tmp_path / "b.jsonl") if "batch" not in row]
        store.write_jsonl(tmp_path / "b.jsonl", announced)
        assert len(list(batches.ask(made(api.url), asked(3), tmp_path / "b.jsonl"))) == 3
    assert len(api.batches) == 1


def test_what_an_expired_batch_left_is_handed_in_once_more(tmp_path: Path) -> None:
    with serving(echo, end="expired", answered=lambda index: index % 2 == 0) as api:
        replies = list(batches.ask(made(api.url), asked(5), tmp_path / "b.jsonl"))
    assert sorted(reply.key for reply in replies) == [f"k{i}" for i in range(5)]
    assert len(api.batches) == 2
    assert sum(bool(reply.error) for reply in replies) == 1, "never answered: a failed reply, not a verdict"


def test_a_line_that_fails_in_a_batch_is_a_failed_reply(tmp_path: Path) -> None:
    def reply(body: dict[str, Any], count: int) -> str | Failure:
        return Failure(400, "too long") if "question 2" in body["messages"][0]["content"] else echo(body, count)

    with serving(reply) as api:
        found = {reply.key: reply for reply in batches.ask(made(api.url), asked(3), tmp_path / "b.jsonl")}
    assert found["k2"].error == "too long"
    assert found["k0"].text == "to question 0"


def test_a_batch_that_the_endpoint_rejects_is_an_error_now_and_forgotten_later(tmp_path: Path) -> None:
    with serving(echo, end="failed") as api:
        with pytest.raises(UserError, match="line 1 is invalid"):
            list(batches.ask(made(api.url), asked(2), tmp_path / "b.jsonl"))
        api.end = "completed"
        assert len(list(batches.ask(made(api.url), asked(2), tmp_path / "b.jsonl"))) == 2


def test_the_cap_holds_for_batches(tmp_path: Path) -> None:
    with serving(echo) as api:
        point = made(api.url, price_in=0.0, price_out=1000.0, max_tokens=100, max_cost=0.35)
        kept: list[str] = []
        with pytest.raises(CapReached):
            kept.extend(reply.key for reply in batches.ask(point, asked(9), tmp_path / "b.jsonl"))
    assert len(kept) == 3


@pytest.mark.parametrize("batch", [False, True])
def test_an_address_with_a_name_and_a_query_is_asked_as_it_stands(batch: bool, tmp_path: Path) -> None:
    """The query stays behind the path; the name and password go in place of a key."""
    with serving(echo) as api:
        point = made(f"{api.url.replace('://', '://me:p%40ss@')}?version=2&key=k")
        found = batches.ask(point, asked(2), tmp_path / "b.jsonl") if batch else point.ask(asked(2))
        assert {reply.text for reply in found} == {"to question 0", "to question 1"}
    assert {path.partition("?")[2] for path in api.addresses} == {"version=2&key=k"}
    assert api.keys == {"Basic bWU6cEBzcw=="}, "me:p@ss"
