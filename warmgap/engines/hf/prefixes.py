"""Prompts are read as a tree: what several begin with is read once, and expanded to a row for each.

The prompts of a grid share their system prompt, their context sentence and often their question, so that two thirds of
their tokens stand in several of them. Sorted prompts are laid into packs, one sequence each, in which every token is
that of a node of the tree; a mask lets it see its ancestors alone, and its position is its depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from warmgap.engines.hf.cache import Layer, Slots

PACK = 512  # nodes of a pack at most, unless one prompt has more: the mask grows with their square


@dataclass
class Pack:
    """A part of the tree as one sequence: a token and a parent for each node, and the path of each prompt to its last.

    A ``path`` lists the nodes of one prompt from the root on, so a node's depth is its place there.
    """

    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)

    def add(self, prompt: Sequence[int], shared: int) -> None:
        """Add a prompt whose first ``shared`` tokens are those of the prompt before it."""
        path = self.paths[-1][:shared] if shared else []
        path += range(len(self.tokens), len(self.tokens) + len(prompt) - shared)
        self.tokens += prompt[shared:]
        self.depths += range(shared, len(prompt))
        self.paths.append(path)

    def mask(self, dtype: torch.dtype) -> torch.Tensor:
        """Return what is added to the scores (1 × 1 × nodes × nodes): 0 where a node sees another, else the least."""
        import torch

        seen = torch.zeros(len(self.tokens), len(self.tokens), dtype=torch.bool)
        known = 0
        for path in self.paths:
            before, fresh = [node for node in path if node < known], len(path) and path[-1] + 1 - known
            if fresh > 0:
                rows = slice(known, known + fresh)
                seen[rows, before] = True
                seen[rows, rows] = torch.ones(fresh, fresh, dtype=torch.bool).tril()
                known += fresh
        return torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)[None, None]


def packs(prompts: Sequence[Sequence[int]], size: int = PACK) -> Iterator[Pack]:
    """Lay prompts, in their order, into packs of at most so many nodes; neighbours share what both begin with."""
    pack, last = Pack(), list[int]()
    for prompt in prompts:
        shared = _shared(last, prompt) if pack.paths else 0
        if pack.paths and len(pack.tokens) + len(prompt) - shared > size:
            yield pack
            pack, shared = Pack(), 0
        pack.add(prompt, shared)
        last = list(prompt)
    if pack.paths:
        yield pack


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))


def read(model: Any, prompts: Sequence[Sequence[int]], room: int) -> tuple[torch.Tensor, Slots]:
    """Read prompts; return the logits behind each (rows × words) and a cache with ``room`` for so many tokens more.

    Rows are padded on the left, so that all write their next token into the same column.
    """
    import torch
    from transformers import DynamicCache

    from warmgap.engines.hf.cache import Slots, argument

    width, start = max(map(len, prompts)), 0
    logits: list[torch.Tensor] = []
    layers: list[Layer] = []
    for pack in packs(prompts):
        cache = DynamicCache()
        ends = torch.tensor([path[-1] for path in pack.paths], device=model.device)
        out = model(
            input_ids=torch.tensor([pack.tokens], device=model.device),
            position_ids=torch.tensor([pack.depths], device=model.device),
            attention_mask=pack.mask(model.dtype).to(model.device),
            **{argument(model): cache},
            use_cache=True,
            logits_to_keep=ends,
        )
        logits.append(out.logits[0])
        if not layers:
            layers = [_empty(layer, len(prompts), width, room) for layer in cache.layers]
        places = torch.tensor([[0] * (width - len(path)) + path for path in pack.paths])
        rows = slice(start, start + len(pack.paths))
        for layer, own in zip(layers, cache.layers, strict=True):
            _expand(layer, own, places, rows, width)
        start = rows.stop
    return torch.cat(logits), Slots(layers)


def _empty(like: Any, rows: int, width: int, room: int) -> Layer:
    """A layer's memory for a batch. Padding is zeros: its scores are masked, and masked they must be finite."""
    from warmgap.engines.hf.cache import Layer

    keys, values = (
        part.new_zeros(rows, part.shape[1], width + room, part.shape[3]) for part in (like.keys, like.values)
    )
    return Layer(keys, values, width)


def _expand(layer: Layer, pack: Any, places: torch.Tensor, rows: slice, width: int) -> None:
    """Copy the nodes of each prompt's path to its row."""
    index = places.to(layer.device)
    for into, own in ((layer.keys, pack.keys), (layer.values, pack.values)):
        into[rows, :, :width] = own[0][:, index].transpose(0, 1)
