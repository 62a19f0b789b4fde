"""A model behind an endpoint answers the grid: every reply kept as it comes, nothing asked for twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_api import Api, Failure, serving

from warmgap import cli
from warmgap.disk import store, tabular
from warmgap.engines import client
from warmgap.engines.base import Reply, Request
from warmgap.engines.calls.costs import paid
from warmgap.engines.client import CapReached, Endpoint
from warmgap.engines.endpoint import EndpointEngine
from warmgap.errors import UserError
from warmgap.evaluate.tasks import load_items
from warmgap.settings import config
from warmgap.settings.identity import digest
from warmgap.settings.schema import EndpointConfig, GenerateConfig

MODEL = "some-model-2024-08-06"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Short waits, no key, a folder of its own."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.005)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


def echo(body: dict[str, Any], _: int) -> str:
    """Say what was asked."""
    return f" to {body['messages'][-1]['content']}\n"


def engine(api: Api, journal: Path | None = None, costs: Path | None = None, **settings: Any) -> EndpointEngine:
    made = EndpointConfig(model=MODEL, base_url=api.url, timeout=5.0, batch_poll=0.01, **settings)
    return EndpointEngine(made, "endpoint", batch_journal=journal, costs=costs)


def prompts(count: int) -> list[Request]:
    return [Request(f"k{i}", [{"role": "user", "content": f"question {i}"}]) for i in range(count)]


def how(tokens: int = 20, temperature: float = 0.0, seed: int = 0) -> GenerateConfig:
    return GenerateConfig(max_new_tokens=tokens, temperature=temperature, seed=seed)


def replies(asked: EndpointEngine, count: int, params: GenerateConfig, done: set[str] | None = None) -> list[Reply]:
    return [reply for some in asked.answer(prompts(count), params, done) for reply in some]


# ---- the engine ----


def test_every_prompt_gets_its_reply() -> None:
    with serving(echo, finish_reason="length") as api:
        found = replies(engine(api), 9, how(300, 0.8, 7))
    assert {reply.key: reply.text for reply in found} == {f"k{i}": f"to question {i}" for i in range(9)}
    assert {(reply.finish_reason, reply.n_tokens, reply.error) for reply in found} == {("length", 10, "")}
    assert {(reply.model, reply.prompt_tokens) for reply in found} == {(f"{MODEL}-served", 100)}
    assert {(body["max_tokens"], body["temperature"], body["seed"]) for body in api.bodies} == {(300, 0.8, 7)}


def test_what_is_done_is_not_asked() -> None:
    with serving(echo) as api:
        assert [reply.key for reply in replies(engine(api), 3, how(), {"k0", "k2"})] == ["k1"]
        assert len(api.bodies) == 1


def test_nothing_is_needed_where_everything_is_done() -> None:
    """Neither a server nor a key."""
    made = EndpointConfig(model=MODEL, base_url="https://api.example.org/v1", key_env="NO_SUCH_KEY")
    asked = EndpointEngine(made, "arm")
    assert replies(asked, 2, how(), {"k0", "k1"}) == []
    with pytest.raises(UserError, match="NO_SUCH_KEY is not set"):
        replies(asked, 2, how())


def test_tokens_that_nobody_counts_are_none() -> None:
    with serving(echo, usage=False) as api:
        (reply,) = replies(engine(api), 1, how())
    assert (reply.n_tokens, reply.prompt_tokens) == (None, None)


def test_what_a_model_does_not_take_is_neither_sent_nor_in_the_key() -> None:
    with serving(echo) as api:
        asked = engine(api, temperature=None, seed=None)
        replies(asked, 1, how(20, 0.8, 3))
        assert not {"temperature", "seed"} & api.bodies[0].keys()
        assert asked.key([], how(20, 0.8, 3)) == asked.key([], how(20, 0.1, 4))


def test_the_settings_of_one_call_are_not_those_of_the_next() -> None:
    with serving(echo) as api:
        asked = engine(api, price_in=1.0, price_out=1.0)
        replies(asked, 1, how(20))
        replies(asked, 1, how(40, 1.0, 1))
    assert [(body["max_tokens"], body["temperature"]) for body in api.bodies] == [(20, 0.0), (40, 1.0)]
    assert asked.meter.calls == 2, "one meter"
    assert asked.meter.spent == pytest.approx(2 * 110 / 1e6)
    assert asked.config.max_tokens == 256


def test_a_prompt_without_an_answer_says_why() -> None:
    def reply(body: dict[str, Any], count: int) -> str | Failure:
        return Failure(400, "content policy") if "question 1" in json.dumps(body) else echo(body, count)

    with serving(reply) as api:
        found = {one.key: one for one in replies(engine(api), 3, how())}
    assert found["k1"].error == "HTTP 400: content policy"
    assert not found["k1"].text
    assert not found["k0"].error


def test_by_batch(tmp_path: Path) -> None:
    with serving(echo, looks=2) as api:
        found = replies(engine(api, tmp_path / "b.jsonl", batch=True), 5, how(30, 0.8))
    assert {reply.key: reply.text for reply in found} == {f"k{i}": f"to question {i}" for i in range(5)}
    assert len(api.batches) == 1
    assert {body["max_tokens"] for body in api.bodies} == {30}


def test_the_cap_holds_and_what_it_came_to_is_noted(tmp_path: Path) -> None:
    costs = tmp_path / "costs.jsonl"
    with serving(echo) as api:
        kept: list[Reply] = []
        asked = engine(api, costs=costs, price_in=0.0, price_out=1000.0, max_cost=0.05, concurrency=1)
        with pytest.raises(CapReached):
            kept.extend(reply for some in asked.answer(prompts(20), how(10)) for reply in some)
    assert len(kept) == 5
    assert len(api.bodies) == 5
    (row,) = paid(costs)
    assert (row["stage"], row["model"], row["calls"]) == ("answers", MODEL, 5)
    assert row["spent"] == pytest.approx(0.05)


def test_engines_of_one_meter_share_the_cap(tmp_path: Path) -> None:
    with serving(echo) as api:
        settings: dict[str, Any] = {"price_in": 0.0, "price_out": 1000.0, "max_cost": 0.05, "concurrency": 1}
        first = engine(api, **settings)
        second = EndpointEngine(first.config, "arm", meter=first.meter)
        assert len(replies(first, 3, how(10))) == 3
        with pytest.raises(CapReached):
            replies(second, 3, how(10))
    assert len(api.bodies) == 5


def test_the_key_is_made_of_what_decides_the_answer() -> None:
    def key(messages: list[dict[str, str]], params: GenerateConfig, **settings: Any) -> str:
        asked = EndpointEngine(EndpointConfig(model=MODEL, **settings), "endpoint")
        return asked.key(asked.encode(messages), params)

    messages = [{"role": "user", "content": "q"}]
    plain = key(messages, how())
    assert plain == key(messages, how(), concurrency=2, base_url="http://localhost/v1")
    other = [key(messages, how(seed=1)), key(messages, how(3)), key(messages, how(temperature=1.0))]
    other += [key(messages, how(), revision="r"), key([{"role": "system", "content": "x"}, *messages], how())]
    assert len({plain, *other}) == 6
    assert plain == digest([[MODEL, None], messages, 20, 0.0, 0], 16), "as the journals of `warmgap answer` have it"


def test_the_models_own_system_prompt_comes_first() -> None:
    made = EndpointEngine(EndpointConfig(model=MODEL), "arm", system_prompt="Be brief.")
    said = [{"role": "user", "content": "q"}]
    assert made.encode(said) == [{"role": "system", "content": "Be brief."}, *said]
    ours = [{"role": "system", "content": "Be kind."}, *said]
    assert made.encode(ours) == ours


def test_likelihoods_cannot_be_had() -> None:
    made = EndpointEngine(EndpointConfig(model=MODEL), "arm")
    with pytest.raises(UserError, match="cannot score texts"):
        made.score([[{"role": "user", "content": "q"}]], [["Yes", "No"]])
    assert made.room([{"role": "user", "content": "q"}]) is None


# ---- the command ----


def grid(name: str = "prompts.jsonl", items: int = 2) -> list[dict[str, Any]]:
    """Prompts as `warmgap prompts` writes them."""
    assert cli.main(["prompts", "--out", name, f"+task.embedded.items_per_family={items}"]) == 0
    return tabular.read(Path(name), ["item_id", "prompt"])


def answer(api: Api, *more: str, file: str = "prompts.jsonl", out: str = "answers.jsonl") -> int:
    typed = ["answer", file, "--out", out, f"base_url={api.url}", "timeout=5", "retries=2"]
    named = any(part.startswith(("model=", "--hosted")) for part in more)
    return cli.main([*typed, *([] if named else [f"model={MODEL}"]), *more])


def rows(name: str = "answers.jsonl") -> list[dict[str, Any]]:
    return list(store.read_journal(Path(name)))


def test_the_grid_is_answered_and_graded(capsys: pytest.CaptureFixture[str]) -> None:
    asked = grid()
    with serving(echo) as api:
        assert answer(api) == 0
    found = rows()
    for prompt, row in zip(asked, found, strict=True):
        assert [row[name] for name in ("item_id", "context", "belief", "task", "prompt")] == [
            prompt[name] for name in ("item_id", "context", "belief", "task", "prompt")
        ]
        assert row["answer"] == f"to {prompt['prompt']}"
        assert (row["finish_reason"], row["n_tokens"], row["n_chars"]) == ("stop", 10, len(row["answer"]))
    assert {(body["max_tokens"], body["temperature"], body["seed"]) for body in api.bodies} == {(300, 0.8, 0)}
    assert cli.main(["grade", "answers.jsonl", "--task", "embedded", "--judge", "match", "--out", "v.csv"]) == 0
    verdicts = tabular.read(Path("v.csv"), ["item_id", "verdict"])
    assert [row["item_id"] for row in verdicts] == [row["item_id"] for row in asked]
    assert f"{len(asked):,} answers" in capsys.readouterr().out


def test_two_endpoints_are_two_arms_of_one_model() -> None:
    """From the grid to the gap: one model gives the right answer that the prompt holds, the other the wrong one."""
    asked = grid(items=4)
    items = {item.item_id: item for item in load_items(config.compose(["+persona=none"]).task).items}
    side = {row["prompt"]: items[row["item_id"]] for row in asked}
    for arm, which in (("original", "correct"), ("warm", "incorrect")):
        with serving(lambda body, _, which=which: getattr(side[body["messages"][-1]["content"]], which)) as api:
            assert answer(api, f"model={arm}-2024-08-06", out=f"{arm}.jsonl") == 0
        graded = ["grade", f"{arm}.jsonl", "--task", "embedded", "--judge", "match", "--out", f"{arm}-v.csv"]
        assert cli.main(graded) == 0
    arms = ["original=original-v.csv", "warm=warm-v.csv"]
    assert cli.main(["analyze", *arms, "--model", "hosted", "--out", "results", "--bootstrap", "100"]) == 0
    effects = tabular.read_table(Path("results/effects.csv"))
    main = effects[(effects["analysis"] == "main") & (effects["errors"] == "bootstrap")]
    assert main["estimate_pp"].tolist() == [pytest.approx(100, abs=10)]
    assert set(effects["model"]) == {"all"}


def test_settings_and_the_way_of_answering() -> None:
    grid(items=1)
    with serving(echo) as api:
        assert answer(api, "--generate", "short", "temperature=0", "endpoint.seed=null") == 0
    assert {(body["max_tokens"], body["temperature"]) for body in api.bodies} == {(48, 0.0)}
    assert all("seed" not in body for body in api.bodies)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_prompts_of_any_kind_of_file(ending: str) -> None:
    asked = grid(f"prompts.{ending}", items=1)
    with serving(echo) as api:
        assert answer(api, file=f"prompts.{ending}", out=f"answers.{ending}") == 0
    found = tabular.read(Path(f"answers.{ending}"), ["item_id", "answer"])
    assert [row["answer"] for row in found] == [f"to {prompt['prompt']}" for prompt in asked]
    assert all(body["messages"] == [{"role": "user", "content": body["messages"][0]["content"]}] for body in api.bodies)


def test_the_messages_of_a_prompt_count() -> None:
    talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]
    store.write_jsonl(Path("prompts.jsonl"), [{"item_id": "007", "prompt": "hello", "messages": talk}])
    with serving(echo) as api:
        assert answer(api) == 0
    assert api.bodies[0]["messages"] == talk
    assert rows()[0]["item_id"] == "007"


def test_the_same_prompt_twice_is_asked_once() -> None:
    store.write_jsonl(Path("prompts.jsonl"), [{"item_id": name, "prompt": "hello"} for name in "ab"])
    with serving(echo) as api:
        assert answer(api) == 0
    assert len(api.bodies) == 1
    assert [row["item_id"] for row in rows()] == ["a", "b"]


def test_stopped_and_run_again_it_asks_for_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    asked = grid()
    prices = ("price_in=0", "price_out=1000", "concurrency=1")
    with serving(echo) as api:
        assert answer(api, *prices, "max_cost=0.35") == 2
        assert "max_cost=0.35 is reached" in capsys.readouterr().err
        assert not Path("answers.jsonl").exists()
        first = len(api.bodies)
        assert 0 < first < len(asked)
        assert answer(api, *prices) == 0
        assert len(api.bodies) == len(asked)
        assert answer(api, *prices) == 0
        assert len(api.bodies) == len(asked), "all there"
    costs = paid(Path(".answers.jsonl.costs.jsonl"))
    assert [row["calls"] for row in costs] == [first, len(asked) - first]
    assert sum(row["spent"] for row in costs) == pytest.approx(len(asked) * 10 * 1000 / 1e6)


def test_half_a_line_that_a_killed_run_left_is_asked_for_again() -> None:
    grid(items=1)
    with serving(echo) as api:
        assert answer(api) == 0
        whole, asked = rows(), len(api.bodies)
        journal = Path(".answers.jsonl.journal.jsonl")
        journal.write_bytes(journal.read_bytes()[:-20])
        assert answer(api) == 0
    assert rows() == whole
    assert len(api.bodies) == asked + 1


def test_other_settings_are_other_answers() -> None:
    grid(items=1)
    with serving(echo) as api:
        assert answer(api) == 0
        asked = len(api.bodies)
        assert answer(api, "seed=1") == 0
    assert len(api.bodies) == 2 * asked


def test_what_is_not_answered_is_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    """An answer that never came must not be graded as one that is wrong."""
    store.write_jsonl(Path("prompts.jsonl"), [{"item_id": name, "prompt": f"ask {name}"} for name in "abc"])
    good = [False]

    def reply(body: dict[str, Any], count: int) -> str | Failure:
        bad = "ask b" in json.dumps(body) and not good[0]
        return Failure(400, "content policy") if bad else echo(body, count)

    with serving(reply) as api:
        assert answer(api) == 0
        assert [row["item_id"] for row in rows()] == ["a", "c"]
        assert "1 prompts have no answer and are left out (HTTP 400: content policy)" in capsys.readouterr().err
        good[0] = True
        assert answer(api) == 0
    assert [row["item_id"] for row in rows()] == ["a", "b", "c"]
    assert len(api.bodies) == 4


def test_no_answer_at_all_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    store.write_jsonl(Path("prompts.jsonl"), [{"item_id": "a", "prompt": "hello"}])
    with serving(lambda body, count: Failure(400, "content policy")) as api:
        assert answer(api) == 2
    assert "no prompt was answered" in capsys.readouterr().err
    assert not Path("answers.jsonl").exists()


def test_tokens_that_are_not_told_are_not_zero() -> None:
    store.write_jsonl(Path("prompts.jsonl"), [{"item_id": "a", "prompt": "hello"}])
    with serving(echo, usage=False) as api:
        assert answer(api) == 0
    assert rows()[0]["n_tokens"] is None


# ---- a model that was fine-tuned there ----


def hosted(api: Api) -> None:
    made = {"model": "org/warm", "revision": None, "job": "ftjob-1", "base_url": api.url, "key_env": "NO_SUCH_KEY"}
    store.write_json(Path("arm/model.json"), {**made, "epochs": {"1": "org/warm:ckpt-5", "2": "org/warm"}})


def test_the_model_of_a_folder_is_asked() -> None:
    grid(items=1)
    with serving(echo) as api:
        hosted(api)
        assert cli.main(["answer", "prompts.jsonl", "--out", "a.jsonl", "--hosted", "arm"]) == 0
        assert {body["model"] for body in api.bodies} == {"org/warm"}
        api.bodies.clear()
        assert cli.main(["answer", "prompts.jsonl", "--out", "a.jsonl", "--hosted", "arm", "--epoch", "1"]) == 0
        assert {body["model"] for body in api.bodies} == {"org/warm:ckpt-5"}


MISTAKES = [
    ["answer", "prompts.jsonl", "--out", "a.jsonl"],
    ["answer", "prompts.jsonl", "--out", "a.txt", "model=m-2024-08-06", "base_url=http://127.0.0.1:9/v1"],
    ["answer", "absent.jsonl", "--out", "a.jsonl", "model=m-2024-08-06", "base_url=http://127.0.0.1:9/v1"],
    ["answer", "prompts.jsonl", "--out", "a.jsonl", "modle=m-2024-08-06"],
    ["answer", "prompts.jsonl", "--out", "a.jsonl", "model=m", "base_url=http://127.0.0.1:9/v1"],
    ["answer", "prompts.jsonl", "--out", "a.jsonl", "--hosted", "absent"],
    ["answer", "prompts.jsonl", "--out", "a.jsonl", "--hosted", "arm", "--epoch", "7"],
    ["answer", "prompts.jsonl", "--out", "a.jsonl", "--generate", "long", "model=m-2024-08-06"],
    ["hosted", "absent.jsonl", "--persona", "warm", "--out", "x", "model=m-2024-08-06"],
    ["hosted", "prompts.jsonl", "--persona", "wram", "--out", "x", "model=m-2024-08-06"],
    ["hosted", "prompts.jsonl", "--persona", "warm", "--out", "x"],
    ["hosted", "prompts.jsonl", "--persona", "warm"],
]


@pytest.mark.parametrize("typed", MISTAKES, ids=lambda typed: " ".join(typed))
def test_a_mistake_is_three_lines_and_nothing_is_written(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    store.write_jsonl(Path("prompts.jsonl"), [{"item_id": "a", "prompt": "hello"}])
    with serving(echo) as api:
        hosted(api)
    before = sorted(str(path) for path in Path().rglob("*"))
    assert cli.main(typed) == 2
    out, err = capsys.readouterr()
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "why", "fix"], err
    assert out == ""
    assert sorted(str(path) for path in Path().rglob("*")) == before


@pytest.mark.parametrize("name", ["hosted", "answer"])
def test_help_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    assert f"warmgap {name}" in capsys.readouterr().out.partition("example:")[2]


def test_an_endpoint_that_is_down_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    store.write_jsonl(Path("prompts.jsonl"), [{"item_id": str(n), "prompt": f"ask {n}"} for n in range(12)])
    typed = ["answer", "prompts.jsonl", "--out", "a.jsonl", f"model={MODEL}", "base_url=http://127.0.0.1:9/v1"]
    assert cli.main([*typed, "retries=1", "concurrency=2"]) == 2
    assert "in a row have failed" in capsys.readouterr().err


def test_a_mistake_of_settings_is_one_of_the_endpoint() -> None:
    with pytest.raises(UserError, match=r"endpoint\.model is not set"):
        Endpoint(EndpointConfig(base_url="http://127.0.0.1:9/v1"), "endpoint")
