"""Keys and values of a batch in one piece of memory: written in place, read as a view, rows taken out when done.

transformers' own dynamic cache copies the whole of it for every token.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


class Layer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values: rows × heads × width × head dimension, of which ``filled`` columns are written."""

    is_sliding = False
    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, filled: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values, self.filled = keys, values, filled
        self.device, self.is_initialized = keys.device, True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the memory is there from the beginning."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the next columns, and return a view of all that is written."""
        end = self.filled + key_states.shape[-2]
        self.keys[:, :, self.filled : end] = key_states
        self.values[:, :, self.filled : end] = value_states
        self.filled = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def keep(self, rows: torch.Tensor) -> None:
        """Keep some rows, by their indices in ascending order."""
        index = rows.to(self.device)
        self.keys, self.values = self.keys.index_select(0, index), self.values.index_select(0, index)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return (length, offset) of what is attended to."""
        return self.filled + query_length, 0

    def get_seq_length(self) -> int:
        """Return how many columns are written."""
        return self.filled

    def get_max_length(self) -> int:
        """Return how many columns there are."""
        return self.keys.shape[-2]


class Slots(Cache):
    """The cache of a batch that only ever loses rows."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(layers=list(layers))
        self._own = layers

    def keep(self, rows: torch.Tensor) -> None:
        """Keep some rows of every layer."""
        for layer in self._own:
            layer.keep(rows)


def argument(model: Any) -> str:
    """The forward pass's name for the cache: ``past_key_values`` up to transformers 5.23, ``cache`` after it."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"
