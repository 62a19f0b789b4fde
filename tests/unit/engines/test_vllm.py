"""vLLM's engine without vLLM: when it is chosen, its keys, its process (by one that speaks as it does), its proof."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from warmgap.engines import adapters, engine_of, models
from warmgap.engines.base import Reply, Request, Serving
from warmgap.engines.hf import HfEngine
from warmgap.engines.vllm import choice, proof
from warmgap.engines.vllm.engine import MARK, VllmEngine
from warmgap.engines.vllm.server import Servers
from warmgap.errors import UserError
from warmgap.settings.schema import GenerateConfig, ModelConfig

ROOT = Path(__file__).resolve().parents[3]
SPEAKER = ROOT / "tests" / "support" / "vllm_speaker.py"
HOW = GenerateConfig(max_new_tokens=3, temperature=0.5, seed=7)
SAID = [[{"role": "user", "content": f"Why {number}?"}] for number in range(3)]
HI = tiny.tokenizer().encode("Hi", add_special_tokens=False)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WARMGAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(choice.VARIABLE, raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def model(folder: Path) -> ModelConfig:
    return ModelConfig(name="tiny", source="local", path=str(folder), dtype="float32")


# ---- who answers ----


def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "device_of", lambda wanted: "cuda" if wanted == "auto" else wanted)
    monkeypatch.setattr(models, "too_large_for_one", lambda *_: False)


CHOICES: list[tuple[dict[str, Any], bool, type]] = [
    ({"engine": "auto"}, True, VllmEngine),
    ({"engine": "auto"}, False, HfEngine),
    ({"engine": "auto", "device": "cpu"}, True, HfEngine),
    ({"engine": "auto", "alter": print}, True, HfEngine),
    ({"engine": "vllm", "alter": print}, True, HfEngine),
    ({"engine": "vllm", "device": "cpu"}, True, VllmEngine),
    ({"engine": "hf"}, True, HfEngine),
    ({}, True, HfEngine),
]


@pytest.mark.parametrize(("asked", "there", "expected"), CHOICES)
def test_who_answers(
    asked: dict[str, Any], there: bool, expected: type, model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_gpu(monkeypatch)
    if there:
        monkeypatch.setenv(choice.VARIABLE, sys.executable)
    assert type(engine_of(Serving(**{"model": model, "device": "auto", **asked}))) is expected


def test_a_model_in_4_bits_and_one_on_several_gpus_are_not_vllms(
    model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_gpu(monkeypatch)
    monkeypatch.setenv(choice.VARIABLE, sys.executable)
    monkeypatch.setattr(models, "too_large_for_one", lambda *_: True)
    assert type(engine_of(Serving(model, "auto", engine="auto"))) is HfEngine
    model.quantization = "nf4"
    assert type(engine_of(Serving(model, "cpu", engine="vllm"))) is HfEngine


@pytest.mark.skipif(choice.installed(), reason="vllm is installed")
def test_vllm_that_is_absent_is_named_with_its_extra(model: ModelConfig) -> None:
    with pytest.raises(UserError, match=r"pip install 'warmgap\[vllm\]'"):
        engine_of(Serving(model, "cpu", engine="vllm"))


def test_an_interpreter_that_is_not_there(model: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "/nowhere/python")
    with pytest.raises(UserError, match=r"WARMGAP_VLLM_PYTHON=/nowhere/python cannot be used"):
        engine_of(Serving(model, "cpu", engine="auto"))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"modules_to_save": ["lm_head"]}, "whole layers"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "biases"),
        ({"rank_pattern": {"q_proj": 2}}, "ranks that differ"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"r": 1024}, "rank is 1024"),
    ],
)
def test_an_adapter_that_vllm_cannot_load_is_transformers(
    more: dict[str, Any], why: str, model: ModelConfig, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_gpu(monkeypatch)
    monkeypatch.setenv(choice.VARIABLE, sys.executable)
    adapter = tiny.adapter(tmp_path / "adapter", folder)
    assert type(engine_of(Serving(model, "auto", adapter, engine="auto"))) is VllmEngine
    config = json.loads((adapter / adapters.CONFIG).read_text(encoding="utf-8"))
    (adapter / adapters.CONFIG).write_text(json.dumps({**config, **more}), encoding="utf-8")
    assert type(engine_of(Serving(model, "auto", adapter, engine="auto"))) is HfEngine
    with pytest.raises(UserError, match=why):
        engine_of(Serving(model, "auto", adapter, engine="vllm"))


def test_the_rank_is_the_smallest_that_an_adapter_fits_in() -> None:
    asked = (1, 4, 8, 9, 16, 33, 257, 512)
    assert [choice.rank_for(rank) for rank in asked] == [1, 8, 8, 16, 16, 64, 320, 512]


def test_keys_tell_the_engines_apart_and_nothing_else(model: ModelConfig) -> None:
    plain, other = HfEngine(model, "cpu"), VllmEngine(Serving(model, "cpu"))
    prompt = plain.encode(SAID[0])
    assert other.encode(SAID[0]) == prompt
    assert other.key(prompt, HOW) == plain.key(prompt, HOW) + MARK
    assert (other.name, other.made_by, other.room(prompt)) == (plain.name, plain.made_by, plain.room(prompt))


@pytest.mark.parametrize("configured", [True, False])
def test_it_stops_where_a_loaded_model_does(configured: bool, tmp_path: Path) -> None:
    made = tiny.model(tmp_path / "model", eos_token_id=[257, 258])
    if not configured:
        (made / "generation_config.json").unlink()
    loaded = models.load(made, dtype="float32", device="cpu")
    assert models.configured_ends(made) == set(loaded.generation_config.eos_token_id) == {257, 258}


# ---- its process ----

Speaks = Callable[..., Callable[[], list[dict[str, Any]]]]


@pytest.fixture
def speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Speaks:
    """Have a process that speaks as ours does; what it was asked for is returned by what this returns."""

    def start(**plan: Any) -> Callable[[], list[dict[str, Any]]]:
        log = tmp_path / "asked.jsonl"
        whole = {"how": "well", "ids": [*HI, 258], "base": [], "adapted": [], "log": str(log), **plan}
        (tmp_path / "plan.json").write_text(json.dumps(whole), encoding="utf-8")
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{SPEAKER}'\n", encoding="utf-8")
        script.chmod(0o755)
        monkeypatch.setenv("SPEAKER", str(tmp_path / "plan.json"))
        monkeypatch.setenv(choice.VARIABLE, str(script))
        return lambda: [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]

    return start


def requests_of(engine: VllmEngine) -> list[Request]:
    prompts = [engine.encode(said) for said in SAID]
    return [Request(engine.key(prompt, HOW), prompt) for prompt in prompts]


def replies_of(engine: VllmEngine, done: set[str] | None = None) -> list[Reply]:
    return [reply for some in engine.answer(requests_of(engine), HOW, done) for reply in some]


def gone(process: int) -> bool:
    """Whether a process ends within some seconds."""
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_answers_are_token_ids_there_and_text_here(model: ModelConfig, speaks: Speaks) -> None:
    asked, servers = speaks(), Servers(rank=8)
    engine = VllmEngine(Serving(model, "cpu", servers=servers))
    first, *others = [request.key for request in requests_of(engine)]
    replies = replies_of(engine, {first})
    assert {reply.key for reply in replies} == set(others)
    assert {(reply.text, reply.n_tokens, reply.finish_reason) for reply in replies} == {("Hi", 2, "stop")}
    start, work = asked()
    assert (start["dtype"], start["cuda"], start["rank"]) == ("float32", False, 8)
    assert {key + MARK for key, _ in work["requests"]} == set(others), "the random numbers are transformers'"
    assert (work["ends"], work["tokens"], work["temperature"], work["seed"]) == ([258], 3, 0.5, 7)
    assert replies_of(engine, set(others) | {first}) == []
    servers.rest()
    assert gone(start["pid"])


def test_nothing_is_started_before_it_is_asked(model: ModelConfig, speaks: Speaks) -> None:
    asked = speaks()
    engine = VllmEngine(Serving(model, "cpu"))
    assert replies_of(engine, {request.key for request in requests_of(engine)}) == []
    with pytest.raises(FileNotFoundError):
        asked()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("exit", r"ended with status 3\nwhy:   it said last: now the weights are loading / and there is no room left"),
        ("killed", r"ended by SIGKILL, as where memory runs out"),
        ("garbage", r"said what nobody understands\nwhy:   'WARNING: this is no JSON'"),
        ("another word", r"said what nobody understands"),
        ("error", r"could not do what it was asked\nwhy:   ValueError: the prompt is too long"),
    ],
)
def test_a_process_that_fails_is_an_error_in_plain_words(
    how: str, why: str, model: ModelConfig, speaks: Speaks
) -> None:
    asked = speaks(how=how)
    engine = VllmEngine(Serving(model, "cpu"))
    answers = engine.answer(requests_of(engine), HOW)
    assert len(next(answers)) == 1, "what was answered before is kept"
    with pytest.raises(UserError, match=why):
        next(answers)
    assert gone(asked()[0]["pid"])
    speaks()
    assert len(replies_of(engine)) == 3, "whoever asks again starts it again"


def test_who_stops_listening_ends_the_process(model: ModelConfig, speaks: Speaks) -> None:
    asked = speaks(how="hangs")
    answers = VllmEngine(Serving(model, "cpu")).answer(requests_of(VllmEngine(Serving(model, "cpu"))), HOW)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert gone(asked()[0]["pid"])


def test_it_does_not_outlive_who_started_it() -> None:
    """The real worker: nobody at the other end, and it ends with all that it has started."""
    code = (
        "import subprocess, sys, time\n"
        "own = subprocess.Popen([sys.executable, '-m', 'warmgap.engines.vllm.worker'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)\n"
        "own.stdin.write(b'{}\\n')\n"
        "own.stdin.flush()\n"
        "own.stdout.readline()\n"
        "print(own.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    assert gone(worker)


@pytest.mark.skipif(choice.installed(), reason="vllm is installed")
def test_the_worker_says_what_goes_wrong(model: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "python", lambda: sys.executable)
    with pytest.raises(UserError, match="No module named 'vllm'"):
        replies_of(VllmEngine(Serving(model, "cpu")))


# ---- its adapters ----


def test_one_process_serves_a_model_and_its_adapters(
    model: ModelConfig, folder: Path, tmp_path: Path, speaks: Speaks
) -> None:
    """Two adapters in folders of one name have names of their own; another rank needs another process."""
    one, other = (tiny.adapter(tmp_path / name / "adapter", folder, seed=seed) for seed, name in enumerate("ab", 1))
    large = tiny.adapter(tmp_path / "large", folder, r=12)
    servers, asked = Servers(rank=8), speaks()
    for adapter in (None, one, other, one, large, None):
        if adapter is not None:
            known = proof.reference(model, adapter)
            speaks(base=known.base.tolist(), adapted=known.adapted.tolist())
        replies_of(VllmEngine(Serving(model, "cpu", adapter, servers=servers)))
    servers.rest()
    names = [work["adapter"]["name"] if work["adapter"] else None for work in asked() if work["do"] == "answer"]
    assert (names[0], names[5]) == (None, None)
    assert names[1] == names[3]
    assert len({*names[1:3], names[4]}) == 3
    assert [work["do"] for work in asked()].count("logs") == 6, "each adapter is proved once"
    assert [work["rank"] for work in asked() if work["do"] == "start"] == [8, 16], "any of them serves the base model"


def test_an_adapter_of_which_nothing_was_loaded_is_refused(
    model: ModelConfig, folder: Path, tmp_path: Path, speaks: Speaks
) -> None:
    adapter = tiny.adapter(tmp_path / "adapter", folder)
    known = proof.reference(model, adapter)
    asked = speaks(base=known.base.tolist(), adapted=known.base.tolist())
    with pytest.raises(UserError, match="it has loaded nothing of it"):
        replies_of(VllmEngine(Serving(model, "cpu", adapter)))
    assert not [work for work in asked() if work["do"] == "answer"]


def test_an_adapter_that_is_all_zeros_is_refused_before_vllm_is_started(
    model: ModelConfig, folder: Path, tmp_path: Path, speaks: Speaks
) -> None:
    asked, adapter = speaks(), tiny.adapter(tmp_path / "zero", folder, zero=True)
    with pytest.raises(UserError, match="has no effect"):
        replies_of(VllmEngine(Serving(model, "cpu", adapter)))
    with pytest.raises(FileNotFoundError):
        asked()


def test_rounding_is_no_fault_and_another_shift_is(model: ModelConfig, folder: Path, tmp_path: Path) -> None:
    known = proof.reference(model, tiny.adapter(tmp_path / "adapter", folder))
    rounding = np.random.default_rng(0).normal(0, 0.02, (2, len(known.base)))
    rounded = [(values + off).tolist() for values, off in zip((known.base, known.adapted), rounding, strict=True)]
    proof.check(tmp_path, known, *rounded)
    twice = (2 * known.adapted - known.base).tolist()
    with pytest.raises(UserError, match="it moves log-probabilities by"):
        proof.check(tmp_path, known, known.base.tolist(), twice)
    with pytest.raises(UserError, match="another base model"):
        proof.check(tmp_path, known, known.base[::-1].tolist(), known.adapted.tolist())
    with pytest.raises(UserError, match="not finite"):
        proof.check(tmp_path, known, known.base.tolist(), [float("nan")] * len(known.base))
