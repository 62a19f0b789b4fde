"""The engine of models on this machine: what it does without weights, and that it is one of a table that all speak."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from warmgap.disk import store
from warmgap.engines import ENGINES, chat, engine_of, models
from warmgap.engines.base import Engine, Reply, Request, Serving
from warmgap.engines.endpoint import EndpointEngine
from warmgap.engines.hf import HfEngine
from warmgap.errors import UserError
from warmgap.evaluate.answer import answer
from warmgap.evaluate.judges import Judges
from warmgap.evaluate.judges.grade import grade, verdict_key
from warmgap.evaluate.suites.base import Prompt
from warmgap.evaluate.tasks.item import Item
from warmgap.settings.schema import EndpointConfig, GenerateConfig, JudgeConfig, ModelConfig

SHORT = GenerateConfig(max_new_tokens=3, temperature=0.5, seed=7, batch_size=2)
SAID = [{"role": "user", "content": "Why?"}]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WARMGAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def model(folder: Path) -> ModelConfig:
    return ModelConfig(name="tiny", source="local", path=str(folder), dtype="float32")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of which weights were loaded."""
    found: list[Path] = []
    load: Callable[..., Any] = models.load

    def counting(path: Path, **more: Any) -> Any:
        found.append(path)
        return load(path, **more)

    monkeypatch.setattr(models, "load", counting)
    return found


def test_weights_are_loaded_once_and_when_they_are_needed(model: ModelConfig, loads: list[Path]) -> None:
    engine = HfEngine(model, "cpu")
    prompt = engine.encode(SAID)
    request = Request(engine.key(prompt, SHORT), prompt)
    assert engine.room(prompt) == 2048 - len(prompt)
    assert list(engine.answer([request], SHORT, {request.key})) == []
    assert (engine.name, engine.made_by["name"]) == ("tiny", "tiny")
    assert loads == []
    ((reply,),) = engine.answer([request], SHORT)
    assert reply.prompt_tokens == len(prompt)
    engine.score([prompt], [["Yes", "No"]])
    assert len(loads) == 1


def test_an_adapter_without_effect_is_refused_when_loaded(model: ModelConfig, folder: Path, tmp_path: Path) -> None:
    engine = HfEngine(model, "cpu", tiny.adapter(tmp_path / "zero", folder, zero=True))
    prompt = engine.encode(SAID)
    with pytest.raises(UserError, match="has no effect"):
        list(engine.answer([Request("k", prompt)], SHORT))


def test_the_key_is_that_of_the_journals(model: ModelConfig) -> None:
    engine = HfEngine(model, "cpu")
    ids = engine.encode(SAID)
    text = f"{','.join(map(str, ids))}|3|0.5|7"
    assert engine.key(ids, SHORT) == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert ids == chat.prompt_ids(models.load_tokenizer(Path(str(model.path))), SAID, {})


def test_a_model_that_names_no_window_has_room_for_anything(tmp_path: Path) -> None:
    folder = tiny.model(tmp_path / "mamba", "mamba")
    engine = HfEngine(ModelConfig(name="mamba", source="local", path=str(folder)), "cpu")
    assert engine.room(engine.encode(SAID)) is None


# ---- one table, one protocol ----


def test_whoever_answers_is_asked_alike(model: ModelConfig) -> None:
    here = engine_of(Serving(model, "cpu"))
    point = EndpointConfig(model="m-2024-08-06")
    there = engine_of(Serving(ModelConfig(name="tiny", source="hosted"), "cpu", endpoint=point))
    assert (type(here), type(there)) == (HfEngine, EndpointEngine)
    assert set(ENGINES) == {"hf", "vllm", "endpoint"}
    parts = [name for name in vars(Engine) if not name.startswith("_")]
    assert parts == ["name", "made_by", "encode", "key", "room", "answer", "score"]
    for engine in (here, there):
        assert all(hasattr(engine, name) for name in parts)
        prompt = engine.encode(SAID)
        assert engine.key(prompt, SHORT) == engine.key(engine.encode(list(SAID)), SHORT)


def test_what_is_on_disk_is_not_asked(model: ModelConfig, loads: list[Path], tmp_path: Path) -> None:
    prompts = [Prompt("t", str(number), "f", "none", "", "none", f"Question {number}?") for number in range(3)]
    journal = {"t": tmp_path / "t.jsonl"}
    first = answer(HfEngine(model, "cpu"), prompts, SHORT, [], journal, "answers")
    assert len(loads) == 1
    assert answer(HfEngine(model, "cpu"), prompts, SHORT, [], journal, "answers") == first
    assert len(loads) == 1
    assert all(row["prompt_tokens"] > 0 and "served_by" not in row and "failed" not in row for row in first)


def test_a_judge_that_has_said_it_all_is_not_loaded(model: ModelConfig, loads: list[Path], tmp_path: Path) -> None:
    bench = Judges(JudgeConfig(name="local", local_model=model), "cpu", tmp_path / "batches.jsonl")
    judge = bench.build("local")
    item = Item("t", "1", "f", "Why?", "so", "not so", (), (), "")
    key = verdict_key("k", judge, item)
    store.append(tmp_path / "v.jsonl", [{"key": key, "task": "t", "verdict": "correct"}])
    prompt = Prompt("t", "1", "f", "none", "", "none", "Why?")
    row = {"key": "k", "answer": "So.", "finish_reason": "stop"}
    (found,) = grade(judge, [row], [prompt], {("t", "1"): item}, {"t": tmp_path / "v.jsonl"}, "verdicts")
    assert found["verdict"] == "correct"
    assert loads == []


def test_an_answer_that_did_not_come_is_no_wrong_answer(tmp_path: Path) -> None:
    class Absent(EndpointEngine):
        def answer(self, requests: Any, params: Any, done: Any = None) -> Any:
            yield [Reply(one.key, "", None, "", error="HTTP 500: busy") for one in requests]

    prompt = Prompt("t", "1", "f", "none", "", "none", "Why?")
    engine = Absent(EndpointConfig(model="m-2024-08-06"), "arm")
    (row,) = answer(engine, [prompt], SHORT, [], {"t": tmp_path / "t.jsonl"}, "answers")
    assert (row["failed"], row["answer"], row["n_chars"], row["finish_reason"]) == ("HTTP 500: busy", "", None, None)
    assert not (tmp_path / "t.jsonl").exists()
    item = Item("t", "1", "f", "Why?", "so", "not so", (), (), "")
    judge = Judges(JudgeConfig(name="match"), "cpu", tmp_path / "batches.jsonl").build("match")
    (found,) = grade(judge, [row], [prompt], {("t", "1"): item}, {"t": tmp_path / "v.jsonl"}, "verdicts")
    assert (found["verdict"], found["reason"]) == ("error", "no answer came: HTTP 500: busy")
    assert not (tmp_path / "v.jsonl").exists()
