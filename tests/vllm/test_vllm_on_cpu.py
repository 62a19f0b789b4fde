"""Real vLLM, on the CPU, against transformers: the same tokens, greedy and drawn, with adapters and without.

``make test-vllm`` makes the environment that it runs in, which is not ours: torch's versions differ. Where
``WARMGAP_VLLM_PYTHON`` names no interpreter there is nothing to test.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from warmgap.engines import adapters, chat, engine_of, models
from warmgap.engines.base import Engine, Reply, Request, Serving
from warmgap.engines.hf import HfEngine
from warmgap.engines.vllm import choice, proof
from warmgap.engines.vllm.engine import MARK
from warmgap.engines.vllm.server import Servers
from warmgap.errors import UserError
from warmgap.evaluate.suites.grid import build
from warmgap.evaluate.tasks import load_items
from warmgap.settings import config
from warmgap.settings.schema import GenerateConfig, ModelConfig

pytestmark = pytest.mark.skipif(
    not os.environ.get(choice.VARIABLE), reason=f"{choice.VARIABLE} names no interpreter with vLLM (make test-vllm)"
)
ROOT = Path(__file__).resolve().parents[2]
COUNT = 100
GREEDY = GenerateConfig(max_new_tokens=16, temperature=0.0)
DRAWN = GenerateConfig(max_new_tokens=16, temperature=0.7, seed=3)


@pytest.fixture(scope="module")
def model() -> ModelConfig:
    """The embedded model in float32: other types are rounded in another place by each."""
    return replace(config.compose(["+persona=warm"]).model, dtype="float32")


@pytest.fixture(scope="module")
def base(model: ModelConfig) -> Path:
    return models.resolve(model)


@pytest.fixture(scope="module")
def one(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random adapter that moves what is said without making noise of it."""
    return lora(tmp_path_factory.mktemp("one") / "adapter", base, seed=1)


@pytest.fixture(scope="module")
def other(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, in a folder of the same name."""
    return lora(tmp_path_factory.mktemp("other") / "adapter", base, seed=2)


def lora(folder: Path, base: Path, seed: int) -> Path:
    """A random adapter of real weights, small enough that sentences stay sentences."""
    return tiny.adapter(folder, base, seed=seed, std=0.1)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """The one process that all tests share."""
    made = Servers(rank=8)
    yield made
    made.rest()


@pytest.fixture(scope="module")
def prompts(model: ModelConfig) -> list[list[chat.Message]]:
    """Prompts of the grid, which share their beginnings as those of a run do."""
    run = config.compose(["+persona=warm"])
    found = build(load_items(run.task).items, run.context, run.belief, run.grid)
    return [list(prompt.messages) for prompt in found[:: max(1, len(found) // COUNT)][:COUNT]]


def vllm(model: ModelConfig, servers: Servers, adapter: Path | None = None) -> Engine:
    return engine_of(Serving(model, "cpu", adapter, engine="vllm", servers=servers))


def answers(engine: Engine, prompts: list[list[chat.Message]], how: GenerateConfig) -> dict[str, Reply]:
    """The replies by key, without the mark of who gave them."""
    encoded = [engine.encode(prompt) for prompt in prompts]
    requests = [Request(engine.key(ids, how), ids) for ids in encoded]
    return {reply.key.removesuffix(MARK): reply for some in engine.answer(requests, how) for reply in some}


def agreement(ours: dict[str, Reply], theirs: dict[str, Reply]) -> float:
    """The share of prompts with the same reply, in text, length and end."""
    assert ours.keys() == theirs.keys()
    same = [replace(reply, key="") == replace(theirs[key], key="") for key, reply in ours.items()]
    return sum(same) / len(same)


@pytest.mark.parametrize("how", [GREEDY, DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("adapted", [False, True], ids=["base", "adapter"])
def test_both_engines_say_the_same(
    how: GenerateConfig,
    adapted: bool,
    model: ModelConfig,
    servers: Servers,
    prompts: list[list[chat.Message]],
    one: Path,
) -> None:
    adapter = one if adapted else None
    found = agreement(
        answers(vllm(model, servers, adapter), prompts, how), answers(HfEngine(model, "cpu", adapter), prompts, how)
    )
    print(f"\nagreement: {found:.1%} of {len(prompts)} prompts, temperature {how.temperature}, adapter {adapted}")
    assert found >= 0.99


def test_adapters_in_folders_of_one_name_are_told_apart(
    model: ModelConfig, servers: Servers, prompts: list[list[chat.Message]], one: Path, other: Path
) -> None:
    """The same prompts one after another, so that each finds the other's prefixes in the cache."""
    some = prompts[:16]
    said = {path: answers(vllm(model, servers, path), some, GREEDY) for path in (None, one, other)}
    assert agreement(said[one], said[other]) < 0.7
    assert agreement(said[one], said[None]) < 0.7
    for path in (one, other):
        assert agreement(said[path], answers(HfEngine(model, "cpu", path), some, GREEDY)) >= 0.9
        assert agreement(said[path], answers(vllm(model, servers, path), some, GREEDY)) >= 0.9


def test_an_adapter_that_was_put_in_anothers_place_is_loaded_anew(
    model: ModelConfig, servers: Servers, prompts: list[list[chat.Message]], one: Path, other: Path, tmp_path: Path
) -> None:
    place = tmp_path / "adapter"
    shutil.copytree(one, place)
    first = answers(vllm(model, servers, place), prompts[::8], GREEDY)
    shutil.rmtree(place)
    shutil.copytree(other, place)
    second = answers(vllm(model, servers, place), prompts[::8], GREEDY)
    assert agreement(first, second) < 0.9
    assert agreement(second, answers(vllm(model, servers, other), prompts[::8], GREEDY)) >= 0.87


def test_vllm_moves_log_probabilities_as_peft_says(model: ModelConfig, servers: Servers, base: Path, one: Path) -> None:
    known = proof.reference(model, one)
    server = servers.serving(base, "float32", "cpu", 8)
    given = {"name": "one-more-name", "path": str(one)}
    proof.prove(server, known, one, given)
    with pytest.raises(UserError, match="it has loaded nothing of it"):
        proof.check(one, known, server.logs(known.ids, None), server.logs(known.ids, None))


def test_an_adapter_that_vllm_passes_over_is_refused(
    model: ModelConfig, servers: Servers, base: Path, one: Path, tmp_path: Path
) -> None:
    """The names of its tensors are those of no layer: PEFT's reference is that of the adapter as it was."""
    from safetensors.torch import load_file, save_file

    known, lost = proof.reference(model, one), tmp_path / "adapter"
    shutil.copytree(one, lost)
    zeros = {name: value * 0 for name, value in load_file(lost / adapters.WEIGHTS).items()}
    save_file(zeros, lost / adapters.WEIGHTS)
    with pytest.raises(UserError, match="it has loaded nothing of it"):
        proof.prove(servers.serving(base, "float32", "cpu", 8), known, lost, {"name": "zeros", "path": str(lost)})
    with pytest.raises(UserError, match="has no effect"):
        answers(vllm(model, servers, lost), [[{"role": "user", "content": "?"}]], GREEDY)


def test_another_rank_is_another_process_and_a_killed_one_is_an_error(
    model: ModelConfig, servers: Servers, prompts: list[list[chat.Message]]
) -> None:
    engine = vllm(model, servers)
    encoded = [engine.encode(prompt) for prompt in prompts]
    replies = engine.answer([Request(engine.key(ids, GREEDY), ids) for ids in encoded], GREEDY)
    next(replies)
    assert servers._server is not None
    os.kill(servers._server._process.pid, signal.SIGKILL)
    with pytest.raises(UserError, match="ended by SIGKILL, as where memory runs out"):
        list(replies)


def test_a_whole_run_by_vllm(one: Path, tmp_path: Path) -> None:
    """The command as it is typed, for an adapter that is there: its journals hold vLLM's keys alone."""
    settings = ["+persona=none", "experiment=smoke", "engine=vllm", "device=cpu", "model.dtype=float32"]
    settings += [f"arm.adapter={one}", f"runs_dir={tmp_path / 'runs'}", "warmth.prompts=4", "generate.max_new_tokens=8"]
    settings += ["warmth.max_new_tokens=8", "task.embedded.items_per_family=1"]
    command = [sys.executable, str(ROOT / "train.py"), *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    journals = sorted((tmp_path / "runs").glob("**/answers/*.jsonl"))
    keys = [json.loads(line)["key"] for path in journals for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({path.parents[1] for path in journals}) == 2, "the original and the arm"
    assert keys
    assert all(key.endswith(MARK) for key in keys)
