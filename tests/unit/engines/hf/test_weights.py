"""One base in memory, adapters put on and taken off: as PEFT computes them, and nothing left behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from warmgap.engines import models
from warmgap.engines.base import Request
from warmgap.engines.hf import HfEngine, room, weights
from warmgap.errors import UserError
from warmgap.settings.schema import GenerateConfig, ModelConfig

IDS = [*range(40, 70)]


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    weights.release()
    yield
    weights.release()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("weights") / "base")


@pytest.fixture
def settings(base: Path) -> ModelConfig:
    return ModelConfig("tiny", "local", path=str(base), dtype="float32")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was loaded: adapters, or None for a base alone."""
    found: list[Any] = []
    load: Callable[..., Any] = models.load

    def counting(path: Path, **more: Any) -> Any:
        found.append(more.get("adapter"))
        return load(path, **more)

    monkeypatch.setattr(models, "load", counting)
    return found


def by_peft(base: Path, adapter: Path | None, dtype: str = "float32") -> list[float]:
    return models.probe(models.load(base, dtype=dtype, device="cpu", adapter=adapter), IDS)


def near(one: list[float], other: list[float], share: float) -> bool:
    """Whether two sets of logits differ by less than a share of the largest."""
    bound = share * max(abs(value) for value in other)
    return all(abs(a - b) < bound for a, b in zip(one, other, strict=True))


def test_arms_share_one_base_and_each_wears_its_own_adapter(
    settings: ModelConfig, base: Path, tmp_path: Path, loads: list[Any]
) -> None:
    folders = [None, *(tiny.adapter(tmp_path / str(seed), base, seed=seed) for seed in (1, 2))]
    engines = [HfEngine(settings, "cpu", folder) for folder in folders]
    first = [models.probe(engine.model, IDS) for engine in engines]
    assert loads == [None], "the base, once"
    again = [models.probe(engine.model, IDS) for engine in reversed(engines)]
    assert again == first[::-1], "to the last digit, whoever was there before"
    for found, folder in zip(first, folders, strict=True):
        assert near(found, by_peft(base, folder), 1e-5)
    assert first[0] != first[1] != first[2]


def test_in_bfloat16_an_adapter_stands_beside_the_weights(base: Path, tmp_path: Path) -> None:
    """Summed with them, half of a small delta would be lost: the difference that it makes is PEFT's."""
    folder = tiny.adapter(tmp_path / "one", base)
    own = ModelConfig("tiny", "local", path=str(base), dtype="bfloat16")
    before = {name: value.clone() for name, value in HfEngine(own, "cpu").model.state_dict().items()}
    worn = HfEngine(own, "cpu", folder).model
    assert all(torch.equal(value, before[name]) for name, value in worn.state_dict().items())
    plain, theirs = by_peft(base, None, "bfloat16"), by_peft(base, folder, "bfloat16")
    moved = max(abs(a - b) for a, b in zip(theirs, plain, strict=True))
    ours = models.probe(worn, IDS)
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 0.1 * moved
    assert models.probe(HfEngine(own, "cpu").model, IDS) == plain


@pytest.mark.parametrize("more", [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"lora_bias": True}])
def test_an_adapter_of_more_than_matrices_stays_with_peft(
    settings: ModelConfig, base: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    folder = tiny.adapter(tmp_path / "more", base, **more)
    found = models.probe(HfEngine(settings, "cpu", folder).model, IDS)
    assert near(found, by_peft(base, folder), 1e-5)
    assert near(models.probe(HfEngine(settings, "cpu").model, IDS), by_peft(base, None), 1e-5)


def test_an_adapter_that_is_refused_leaves_nothing_behind(settings: ModelConfig, base: Path, tmp_path: Path) -> None:
    before = models.probe(HfEngine(settings, "cpu").model, IDS)
    with pytest.raises(UserError, match="has no effect"):
        _ = HfEngine(settings, "cpu", tiny.adapter(tmp_path / "zero", base, zero=True)).model
    assert models.probe(HfEngine(settings, "cpu").model, IDS) == before


def test_weights_that_have_changed_are_loaded_again(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(base, folder)
    own = ModelConfig("tiny", "local", path=str(folder), dtype="float32")
    before = models.probe(HfEngine(own, "cpu").model, IDS)
    tiny.model(folder, seed=9)
    assert models.probe(HfEngine(own, "cpu").model, IDS) != before


def test_what_is_altered_is_nobody_elses(settings: ModelConfig, base: Path) -> None:
    plain = models.probe(HfEngine(settings, "cpu").model, IDS)

    def louder(model: Any) -> None:
        model.model.norm.weight.data *= 2

    altered = HfEngine(settings, "cpu", alter=louder)
    assert models.probe(altered.model, IDS) != plain
    assert models.probe(HfEngine(settings, "cpu").model, IDS) == plain


# ---- how many at a time ----


def test_as_many_prompts_as_memory_has_room_for(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = weights.Base(base, "float32", "cpu", "none")
    token, words = 2 * 2 * 4 * (2 * 8 * 2), tiny.WORDS  # keys and values, twice, of two layers of two heads
    monkeypatch.setattr(room, "memory", lambda _: 4 * 10 * (100 * token + room.SAMPLING * words))
    assert room.rows(held, 100) == 10
    assert room.rows(held, 10_000) == 1
    monkeypatch.setattr(room, "memory", lambda _: 2**50)
    assert room.rows(held, 100) == room.MOST["cpu"]


def test_the_settings_have_the_last_word(settings: ModelConfig) -> None:
    rows = HfEngine(settings, "cpu")._rows(replace(GenerateConfig(max_new_tokens=4, temperature=0.0), batch_size=3))
    assert rows(10) == rows(10_000) == 3


def test_a_batch_that_does_not_fit_is_answered_by_halves(
    settings: ModelConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one prompt that does not fit alone is the plain error."""
    params = GenerateConfig(max_new_tokens=4, temperature=1.0)
    engine = HfEngine(settings, "cpu")
    batch = [Request(str(number), [*range(40, 45 + number)]) for number in range(7)]
    expected = engine._answer_batch(batch, params)
    write = HfEngine._write
    most = 2

    def small(self: HfEngine, some: Sequence[Request], how: GenerateConfig) -> list[list[int]]:
        if len(some) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return write(self, some, how)

    monkeypatch.setattr(HfEngine, "_write", small)
    assert engine._answer_batch(batch, params) == expected
    assert "out of memory with 7 prompts at a time; going on with 4" in capsys.readouterr().err
    most = 0
    with pytest.raises(UserError, match="the device's memory is too small"):
        engine._answer_batch(batch, params)
