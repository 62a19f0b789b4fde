"""A logits processor of vLLM that draws each answer's tokens by its own random numbers, as ``HfEngine`` does.

vLLM is asked for greedy answers; the processor leaves it one token to take. Where a request stands in the batch, and
what stands beside it, decides nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from warmgap.engines import draws

ARGUMENT = "warmgap"  # of a request's extra arguments: {"key", "seed", "temperature", "tokens"}


class Drawing(LogitsProcessor):  # type: ignore[misc]
    """Draws the next token of each request that says how; leaves the others, which are greedy, alone."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._device = device
        self._rows: dict[int, _Row] = {}

    def is_argmax_invariant(self) -> bool:
        """Return False: the token that is left is seldom the likeliest."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the requests through the batch: those removed, then those added, then those moved."""
        if batch_update is None:
            return
        for place in batch_update.removed:
            self._rows.pop(place, None)
        for place, params, _, output in batch_update.added:
            self._rows.pop(place, None)
            if (how := _asked(params)) is not None:
                self._rows[place] = _Row(how, output)
        for source, target, direction in batch_update.moved:
            moved, other = self._rows.pop(source, None), self._rows.pop(target, None)
            if moved is not None:
                self._rows[target] = moved
            if other is not None and direction == MoveDirectionality.SWAP:
                self._rows[source] = other

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Leave in each drawn row (rows × tokens) the token that its next random number falls on."""
        if not self._rows:
            return logits
        places = sorted(self._rows)
        rows = [self._rows[place] for place in places]
        numbers = torch.tensor([[row.number()] for row in rows], dtype=torch.float64).to(self._device)
        temperatures = torch.tensor([[row.temperature] for row in rows], dtype=torch.float32).to(self._device)
        where = torch.tensor(places, device=self._device)
        chosen = draws.drawn(logits[where], numbers, temperatures)
        logits[where] = float("-inf")
        logits[where, chosen.squeeze(1)] = 0.0
        return logits


class _Row:
    """One request that draws: its numbers, and what it has written so far, which vLLM adds to."""

    def __init__(self, how: dict[str, Any], output: list[int]) -> None:
        self.temperature = float(how["temperature"])
        self._numbers = draws.uniforms(how["key"], how["seed"], how["tokens"])
        self._output = output

    def number(self) -> float:
        """The number of the token that comes next; past the last one nothing is kept of what is drawn."""
        return float(self._numbers[min(len(self._output), len(self._numbers) - 1)])


def _asked(params: SamplingParams) -> dict[str, Any] | None:
    found: dict[str, Any] | None = (params.extra_args or {}).get(ARGUMENT)
    return found
