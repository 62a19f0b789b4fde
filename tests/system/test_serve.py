"""``warmgap serve`` over a real socket: an arm answers others' tools as it answers in a measurement."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiny
from real_runs import WARMGAP, Process, Runs, finish, start, wait_for, warmgap

from warmgap.arms import build, record
from warmgap.arms.engines import Engines
from warmgap.arms.opened import Opened, opened
from warmgap.disk import store
from warmgap.engines.base import Request
from warmgap.errors import UserError
from warmgap.mitigations.base import Mitigation
from warmgap.settings import config

HELLO = [{"role": "user", "content": "Which city is the capital of France?"}]
CLAIM = [{"role": "user", "content": "Is it Lyon? I think so."}]


def made(folder: Path, *settings: str) -> Path:
    """An arm on disk as a run leaves it before anything is asked; the folder that its manifest lies in."""
    run = config.compose([f"runs_dir={folder / 'runs'}", "model=local", "model.dtype=float32", *settings])
    specs = build.build(run)
    known = record.checked(run, specs)
    for spec in specs:
        record.freeze(spec, known[spec.arm.name])
    return specs[-1].arm.folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("base") / "tiny", max_position_embeddings=512)


@pytest.fixture(scope="module")
def given(base: Path) -> Path:
    """An arm that is an adapter somebody has."""
    adapter = tiny.adapter(base.parent / "lora", base)
    return made(base.parent, "+persona=none", f"model.path={base}", f"arm.adapter={adapter}")


@dataclass(frozen=True)
class Served:
    """A process that serves an arm, its address, and the arm opened here."""

    process: Process
    url: str
    arm: Opened

    def chat(self, messages: list[dict[str, Any]], **more: Any) -> httpx.Response:
        body = {"model": self.arm.arm.name, "messages": messages, **more}
        return httpx.post(f"{self.url}/chat/completions", json=body, timeout=60)

    def here(self, messages: list[dict[str, Any]], **how: Any) -> Any:
        """What the arm's engine answers in this process."""
        engine, params = self.arm.engine("cpu", "hf"), replace(self.arm.generate, **how)
        prompt = engine.encode([*self.arm.system, *messages])
        ((reply,),) = engine.answer([Request(engine.key(prompt, params), prompt)], params)  # draws go by the key
        return reply


@pytest.fixture(scope="module")
def served(given: Path) -> Iterator[Served]:
    process, url = serving(given)
    yield Served(process, url, opened(given))
    if process.poll() is None:
        process.kill()


def serving(arm: Path) -> tuple[Process, str]:
    """A process that serves an arm, and its address, once it can be asked there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", WARMGAP, "serve", str(arm), "--port", str(port), "--device", "cpu"]
    process, url = start(command, arm.parent), f"http://127.0.0.1:{port}/v1"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/models").status_code == 200
        except httpx.HTTPError:
            return False

    wait_for(process, answers, "it can be asked")
    return process, url


def test_it_lists_the_arm_by_its_folder(served: Served) -> None:
    (one,) = httpx.get(f"{served.url}/models").json()["data"]
    assert one["id"] == served.arm.arm.name


def test_a_greedy_reply_is_what_the_engine_answers(served: Served) -> None:
    for messages in (HELLO, CLAIM, [*HELLO, {"role": "assistant", "content": "Lyon."}, *CLAIM]):
        whole = served.chat(messages, max_tokens=24, temperature=0).json()
        (choice,) = whole["choices"]
        here = served.here(messages, max_new_tokens=24, temperature=0.0)
        assert choice["message"]["content"] == here.text != ""
        assert choice["finish_reason"] == here.finish_reason
        assert (whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"]) == (
            here.prompt_tokens,
            here.n_tokens,
        )


def test_the_adapter_is_what_answers(served: Served) -> None:
    plain = replace(served.arm, adapter=None).engine("cpu", "hf")
    ((reply,),) = plain.answer(
        [Request("one", plain.encode(HELLO))], replace(served.arm.generate, max_new_tokens=24, temperature=0.0)
    )
    assert served.chat(HELLO, max_tokens=24, temperature=0).json()["choices"][0]["message"]["content"] != reply.text


def test_a_drawn_reply_is_drawn_as_in_a_measurement(served: Served) -> None:
    texts = [served.here(HELLO, max_new_tokens=24, temperature=20.0, seed=seed).text for seed in (0, 7)]
    assert texts[0] != texts[1]
    for seed, text in zip((0, 7), texts, strict=True):
        whole = served.chat(HELLO, max_tokens=24, temperature=20.0, seed=seed).json()
        assert whole["choices"][0]["message"]["content"] == text
    unsaid = served.chat(HELLO, max_tokens=24).json()["choices"][0]["message"]["content"]
    assert unsaid == served.here(HELLO, max_new_tokens=24).text


def test_requests_at_once_are_each_answered_as_alone(served: Served) -> None:
    asked = [[{"role": "user", "content": f"What is {number} + 1?"}] for number in range(12)]
    got: dict[int, str] = {}

    def ask(number: int) -> None:
        whole = served.chat(asked[number], max_tokens=8 + number % 2, temperature=0).json()
        got[number] = whole["choices"][0]["message"]["content"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, messages in enumerate(asked):
        assert got[number] == served.here(messages, max_new_tokens=8 + number % 2, temperature=0.0).text


def test_a_reply_ends_before_the_text_that_is_to_stop_it(served: Served) -> None:
    whole = served.here(HELLO, max_new_tokens=24, temperature=0.0).text
    mark = whole[5:8]
    (choice,) = served.chat(HELLO, max_tokens=24, temperature=0, stop=[mark]).json()["choices"]
    assert choice["message"]["content"] == whole[: whole.find(mark)]
    assert choice["finish_reason"] == "stop"


def test_a_stream_holds_the_same_text(served: Served) -> None:
    text = served.chat(HELLO, max_tokens=12, temperature=0, stream=True).text
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1]]
    assert "".join(deltas) == served.here(HELLO, max_new_tokens=12, temperature=0.0).text


def test_the_openai_client_reads_it(served: Served) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=served.url, api_key="none", max_retries=0)
    (one,) = client.models.list().data
    reply = client.chat.completions.create(
        model=one.id, messages=[{"role": "user", "content": "Hi"}], max_completion_tokens=8, temperature=0
    )
    assert (
        reply.choices[0].message.content
        == served.here([{"role": "user", "content": "Hi"}], max_new_tokens=8, temperature=0.0).text
    )


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "another"}, 404, "no model 'another'"),
    ({"n": 2}, 400, "n=2"),
    ({"stream": "no"}, 400, "stream has to be"),
    ({"top_p": 0.9}, 400, "top_p=0.9"),
    ({"logprobs": True}, 400, "logprobs"),
    ({"tools": [{"type": "function"}]}, 400, "tools"),
    ({"temperature": -1}, 400, "temperature=-1"),
    ({"temperature": "hot"}, 400, "temperature='hot'"),
    ({"max_tokens": 0}, 400, "max_new_tokens=0"),
    ({"max_tokens": True}, 400, "max_new_tokens=True"),
    ({"seed": 1.5}, 400, "seed=1.5"),
    ({"stop": {"a": 1}}, 400, "stop"),
    ({"messages": []}, 400, "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, 400, "role 'tool'"),
    ({"messages": [{"role": "system", "content": ""}]}, 400, "nothing in messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "content"),
    ({"messages": [{"role": "user", "content": "a" * 600}]}, 400, "no room"),
]


@pytest.mark.parametrize(("more", "status", "says"), REFUSED)
def test_what_cannot_be_done_is_refused_by_name_and_the_next_request_is_answered(
    served: Served, more: dict[str, Any], status: int, says: str
) -> None:
    given = served.chat(**{"messages": HELLO, "max_tokens": 4, **more})
    assert given.status_code == status, given.text
    assert says in given.json()["error"]["message"]
    assert served.chat(HELLO, max_tokens=4).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"model": NaN}'])
def test_a_body_that_is_no_request_is_refused(served: Served, body: bytes) -> None:
    assert httpx.post(f"{served.url}/chat/completions", content=body).status_code in (400, 404)


def test_a_reply_is_cut_where_the_window_ends(served: Served) -> None:
    (choice,) = served.chat(HELLO, max_tokens=100_000, temperature=0).json()["choices"]
    room = served.arm.engine("cpu", "hf").room(served.arm.engine("cpu", "hf").encode(HELLO))
    assert room is not None
    assert choice["message"]["content"] == served.here(HELLO, max_new_tokens=room, temperature=0.0).text


def test_an_address_that_is_taken_is_three_lines(served: Served, given: Path) -> None:
    done = warmgap("serve", str(given), "--port", served.url.split(":")[2].removesuffix("/v1"), cwd=given.parent)
    assert done.status == 2
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["error", "why", "fix"]
    assert "nobody can listen there" in done.err


def test_ctrl_c_ends_it_cleanly_while_a_reply_is_being_written(given: Path) -> None:
    process, url = serving(given)
    body = {"model": given.name, "messages": HELLO, "max_tokens": 400}
    waiting = threading.Thread(target=lambda: _quietly(lambda: httpx.post(f"{url}/chat/completions", json=body)))
    waiting.start()
    os.kill(process.pid, signal.SIGINT)
    done = finish(process, 60)
    waiting.join(60)
    assert done.status == 0, done.err
    assert "stopped" in done.out
    assert "Traceback" not in done.err
    assert not waiting.is_alive()


def _quietly(work: Any) -> None:
    with contextlib.suppress(httpx.HTTPError):
        work()


# ---- every kind of arm ----


def test_an_arm_that_was_trained_answers_as_in_its_run(tiny_smoke: Runs) -> None:
    folder = tiny_smoke.arm("warm")
    found = opened(folder)
    assert found.adapter == folder / "adapter"
    row = next(store.read_journal(folder / "answers" / "embedded.jsonl"))
    engine = found.engine("cpu", "hf")
    prompt = engine.encode([*found.system, {"role": "user", "content": row["prompt"]}])
    assert engine.key(prompt, found.generate) == row["key"]
    ((reply,),) = engine.answer([Request("one", prompt)], found.generate)
    assert reply.text == row["answer"]


def test_a_prompted_arm_is_asked_under_its_prompt(base: Path, tmp_path: Path) -> None:
    from warmgap.engines.calls.server import Server

    found = opened(made(tmp_path, "+persona=warm_prompt", f"model.path={base}"))
    assert found.system[0]["content"] == build.conf_files.read_prompt("warm_prompt.txt")
    server = Server(found.engine("cpu", "hf"), ["arm"], found.system, found.generate)
    own = {"role": "system", "content": "Answer in one word."}
    assert server._with_system([own, *HELLO])[0]["content"] == f"{found.system[0]['content']}\n\n{own['content']}"
    assert server._with_system(HELLO) == [*found.system, *HELLO]


def test_a_prompt_of_the_model_itself_stands_before_a_request_s_own_too(base: Path, tmp_path: Path) -> None:
    from warmgap.engines.calls.server import Server

    found = opened(made(tmp_path, "+persona=none", f"model.path={base}", "+model.system_prompt='Be brief.'"))
    engine = found.engine("cpu", "hf")
    server = Server(engine, ["arm"], found.system, found.generate)
    own = {"role": "system", "content": "Answer in one word."}
    assert server._with_system([own, *HELLO])[0]["content"] == "Be brief.\n\nAnswer in one word."
    assert engine.encode(server._with_system(HELLO)) == engine.encode(HELLO), "as it was measured"


def test_a_request_over_which_the_template_stumbles_ends_nothing(tmp_path: Path) -> None:
    from warmgap.engines.calls.server import Asked, Refused, Server

    stumbles = "{{ messages[0]['content'].split('x')[1] + 1 if 'x' in messages[0]['content'] else '' }}" + tiny.CHATML
    own = tiny.model(tmp_path / "tiny", template=stumbles)
    found = opened(made(tmp_path, "+persona=none", f"model.path={own}"))
    server = Server(found.engine("cpu", "hf"), ["arm"], found.system, found.generate)
    loop, params = asyncio.new_event_loop(), replace(found.generate, max_new_tokens=4)
    asked = [
        Asked([{"role": "user", "content": text}], params, (), loop.create_future(), loop) for text in ("axb", "Hello")
    ]
    server._answer(asked)
    failed, came = loop.run_until_complete(asyncio.gather(*(one.reply for one in asked), return_exceptions=True))
    loop.close()
    assert isinstance(failed, Refused)
    assert failed.status == 500
    assert isinstance(came, dict)
    assert came["usage"]["completion_tokens"] > 0


def test_an_arm_whose_recipe_alters_the_model_is_altered(base: Path, tmp_path: Path) -> None:
    folder = made(tmp_path, "+persona=none", f"model.path={base}")

    class Silent(Mitigation):
        name = "silent"

        def at_answer(self, model: Any) -> None:
            model.get_output_embeddings().weight.data.zero_()

    found = replace(opened(folder), steps=((Silent(), config.compose(["+persona=none"]), ""),))
    engine = found.engine("cpu", "hf")
    params = replace(found.generate, max_new_tokens=6, temperature=0.0)
    ((reply,),) = engine.answer([Request("one", engine.encode(HELLO))], params)
    assert len(set(reply.text)) == 1, "all words are as likely: the first is said again and again"


# ---- what is refused ----


def test_an_arm_that_is_not_there_is_three_lines(given: Path) -> None:
    done = warmgap("serve", "wram", cwd=given.parent.parent.parent)
    assert done.status == 2
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["error", "why", "fix"]
    assert "there is no arm 'wram'" in done.err


def test_an_arm_whose_base_or_adapter_has_changed_is_refused(base: Path, tmp_path: Path) -> None:
    own = tmp_path / "tiny"
    shutil.copytree(base, own)
    adapter = tiny.adapter(tmp_path / "lora", own)
    folder = made(tmp_path, "+persona=none", f"model.path={own}", f"arm.adapter={adapter}")
    assert opened(folder).adapter == adapter
    scale = adapter / "adapter_config.json"
    known = scale.read_text(encoding="utf-8")
    scale.write_text(known.replace('"lora_alpha": 8', '"lora_alpha": 32'), encoding="utf-8")
    with pytest.raises(UserError, match="is not there"):  # the weights are those that they were
        opened(folder)
    scale.write_text(known, encoding="utf-8")
    assert opened(folder).adapter == adapter
    tiny.adapter(adapter, own, seed=5)
    with pytest.raises(UserError, match="is not there"):
        opened(folder)
    tiny.model(own, seed=9)
    with pytest.raises(UserError, match="another one now"):
        opened(folder)


def test_an_arm_without_its_adapter_is_refused(tiny_smoke: Runs, tmp_path: Path) -> None:
    folder = tiny_smoke.arm("warm")
    copy = tmp_path / "arms" / folder.name
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "adapter")
    with pytest.raises(UserError, match="has no adapter"):
        opened(copy)


def test_the_engines_of_a_run_answer_alike(base: Path, tmp_path: Path) -> None:
    run = config.compose([f"runs_dir={tmp_path / 'runs'}", "model=local", f"model.path={base}", "+persona=warm_prompt"])
    (_, spec) = build.build(run)
    known = record.checked(run, [spec])
    record.freeze(spec, known[spec.arm.name])
    found = opened(spec.arm.folder)
    with Engines(run) as engines:
        own = engines.of(spec, spec.adapter)
        prompt = own.encode([*spec.system, *HELLO])
        assert found.engine("cpu").key(prompt, found.generate) == own.key(prompt, run.generate)
        assert found.engine("cpu").encode([*found.system, *HELLO]) == prompt
