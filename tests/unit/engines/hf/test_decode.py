"""Prompts read as a tree and answers that leave the batch: the same tokens as transformers' own loop, row by row."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from transformers import MistralConfig, Qwen3Config

from warmgap.engines import models
from warmgap.engines.base import Request
from warmgap.engines.hf import HfEngine, decode, prefixes
from warmgap.engines.hf.engine import SPREAD, Draw, batches
from warmgap.settings.schema import GenerateConfig, ModelConfig

tiny.CONFIGS |= {
    "qwen3": lambda **more: Qwen3Config(**{**tiny.SHAPE, "attention_bias": True, **more}),
    "mistral": lambda **more: MistralConfig(**{**tiny.SHAPE, "sliding_window": 16, **more}),
}
PROBE = [*range(40, 60)]
PROMPTS = [
    [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 7, 8], [1, 2, 3, 9], [1, 2, 3], [1, 2, 3, 9, 9, 9, 9, 9, 9], [50], [1, 2, 3],
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("decode") / "model", seed=3)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return models.load(folder, dtype="float32", device="cpu")


def greedy(logits: torch.Tensor, _: Sequence[int], __: int) -> torch.Tensor:
    return logits.argmax(-1)


def alone(model: Any, prompt: Sequence[int], ends: set[int], most: int) -> list[int]:
    """What plain passes over one prompt write, without a cache."""
    ids = list(prompt)
    with torch.inference_mode():
        while len(ids) < len(prompt) + most and (len(ids) == len(prompt) or ids[-1] not in ends):
            ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt) :]


# ---- packs ----


def test_what_prompts_begin_with_is_one_path_of_the_tree() -> None:
    (pack,) = prefixes.packs(sorted(PROMPTS))
    assert len(pack.tokens) == 6 + 2 + 1 + 5 + 1 == len(pack.depths)
    for path, prompt in zip(pack.paths, sorted(PROMPTS), strict=True):
        assert [pack.tokens[node] for node in path] == prompt
        assert [pack.depths[node] for node in path] == list(range(len(prompt)))


def test_a_token_sees_what_stands_before_it_in_its_own_prompts_alone() -> None:
    (pack,) = prefixes.packs(sorted(PROMPTS))
    seen = pack.mask(torch.float32)[0, 0] == 0
    above = {node: set(path[: place + 1]) for path in pack.paths for place, node in enumerate(path)}
    for node in range(len(pack.tokens)):
        assert set(seen[node].nonzero().flatten().tolist()) == above[node]


@pytest.mark.parametrize("size", [1, 7, 12])
def test_no_pack_is_larger_than_it_may_be_unless_one_prompt_is(size: int) -> None:
    found = list(prefixes.packs(sorted(PROMPTS), size))
    assert sum(len(pack.paths) for pack in found) == len(PROMPTS)
    assert all(len(pack.tokens) <= size or len(pack.paths) == 1 for pack in found)


# ---- the loop ----


@pytest.mark.parametrize("order", [0, 1, 2])
def test_each_row_is_written_as_if_alone(model: Any, order: int) -> None:
    """Some end soon and leave, which moves the others; the last token of all is one that ends many answers."""
    prompts = random.Random(order).sample(PROMPTS * 3, len(PROMPTS) * 3)
    free = [alone(model, prompt, set(), 9) for prompt in prompts]
    ends = {max((row[3] for row in free), key=[row[3] for row in free].count)}
    written = decode.decode(model, prompts, ends, 9, greedy)
    assert written == [alone(model, prompt, ends, 9) for prompt in prompts]
    assert len({len(row) for row in written}) > 1, "some end before others"


def test_nothing_is_computed_for_rows_that_have_left(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an answer of one token to every prompt but one, the rest of the steps have one row."""
    sizes: list[int] = []

    def only_the_first(logits: torch.Tensor, rows: Sequence[int], step: int) -> torch.Tensor:
        sizes.append(len(rows))
        return torch.tensor([7 if row == 0 else 258 for row in rows])

    written = decode.decode(model, sorted(PROMPTS), {258}, 5, only_the_first)
    assert written == [[7] * 5, *[[258]] * (len(PROMPTS) - 1)]
    assert sizes == [len(PROMPTS), 1, 1, 1, 1]


def test_tokens_are_drawn_by_the_numbers_of_their_own_row(folder: Path) -> None:
    """The loop and transformers' own draw alike, row for row, whoever has left the batch."""
    engine = HfEngine(ModelConfig("tiny", "local", path=str(folder), dtype="float32"), "cpu")
    params = GenerateConfig(max_new_tokens=12, temperature=1.0)
    batch = [Request(str(number), prompt) for number, prompt in enumerate(PROMPTS * 4)]
    ours = decode.decode(engine.model, [one.prompt for one in batch], set(engine._ends), 12, Draw(batch, params))
    theirs = engine._generate(engine.model, batch, params, Draw(batch, params))
    ended = [next((place for place, token in enumerate(row) if token in engine._ends), 12) for row in theirs]
    assert [row[: end + 1] for row, end in zip(theirs, ended, strict=True)] == ours
    assert 0 < sum(end < 12 for end in ended) < len(batch)
    assert len(set(map(tuple, ours))) > len(batch) / 2


# ---- for whom it is ----


@pytest.mark.parametrize(
    ("architecture", "takes"),
    [("llama", True), ("qwen3", True), ("mistral", False), ("gemma2", False), ("gpt-oss", False), ("mamba", False)],
)
def test_it_takes_models_that_attend_to_everything(tmp_path: Path, architecture: str, takes: bool) -> None:
    made = models.load(tiny.model(tmp_path / "model", architecture), dtype="float32", device="cpu")
    assert decode.fits(made, PROBE) is takes


def test_a_model_that_computes_otherwise_is_told_by_its_logits(model: Any) -> None:
    """A layer that mixes in its neighbour, as a convolution does, gives other logits in a tree than in a line."""

    def mix(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        return output + torch.roll(output, 1, dims=1)

    assert decode.fits(model, PROBE)
    handle = model.model.embed_tokens.register_forward_hook(mix)
    try:
        assert not decode.fits(model, PROBE)
    finally:
        handle.remove()


# ---- batches ----


def test_batches_hold_what_begins_alike_and_none_much_longer_than_another() -> None:
    draw = random.Random(1)
    prompts = [[draw.randrange(3) for _ in range(draw.randrange(1, 40))] for _ in range(200)]
    requests = [Request(str(number), prompt) for number, prompt in enumerate(prompts)]
    made = batches(requests, lambda length: 320 // length)
    for batch in made:
        lengths = [len(one.prompt) for one in batch]
        assert max(lengths) < SPREAD * min(lengths)
        assert len(batch) * max(lengths) <= 320 * SPREAD
        assert [list(one.prompt) for one in batch] == sorted(list(one.prompt) for one in batch)
    assert sorted(one.key for batch in made for one in batch) == sorted(one.key for one in requests)
    assert batches(draw.sample(requests, 200), lambda length: 320 // length) == made
