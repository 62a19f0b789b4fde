"""Capping while the arm answers: along a direction, its residual stream is held within the original model's range.

Activation capping along the assistant axis (2026) and persona vectors (arXiv 2507.21509). Direction and range are those
of the original, which is the answering model with its adapter off: the range is what the arm is held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmgap.disk.progress import say
from warmgap.engines import models
from warmgap.engines.hf import directions as hf
from warmgap.mitigations import directions
from warmgap.mitigations.base import Material
from warmgap.mitigations.directions import AlongDirection, kept
from warmgap.mitigations.pairs import Pair
from warmgap.settings import fits
from warmgap.settings.scope import setting

if TYPE_CHECKING:
    import torch

LONG = 8  # times the median length: such a token is one that models rest their attention on, and is left alone


@dataclass
class Cap(AlongDirection):
    """Takes ``strength`` of what a token's projection exceeds the original's range by, after the layers at ``depths``.

    The range leaves out a share ``quantile`` of the original's tokens at either end; it is measured, as the direction
    is, on ``texts`` of the pairs with both of their replies.
    """

    name = "cap"
    worth_trying = {"drift": "it holds the activations within the base's own range"}
    dial = "cap"
    lowest, highest = 0.0, 1.0

    direction: str = setting("arm", fits=fits.words(*directions.NAMES))
    strength: float = setting("arm", fits=fits.SHARE)
    quantile: float = setting("arm", fits=fits.number(0, below=0.5))
    depths: list[float] = setting("arm", fits=fits.each(fits.SHARE, 1))
    texts: int = setting("arm", fits=fits.count())

    def alter(self, model: Any, material: Material) -> None:
        """Measure the range, unless it is kept from before, and hold the model to it; at strength 0 do nothing."""
        if self.strength == 0:
            return
        held = hf.read(kept(self.name, material))
        if held is None:
            with hf.original(model):
                held = self._measured(model, material)
            hf.save(held, kept(self.name, material))
            ends = " ".join(f"{low:.3g} to {high:.3g}" for low, high in zip(held["low"], held["high"], strict=True))
            say(f"cap: {self.direction} of the original {ends}")
        for place, depth in enumerate(self.depths):
            unit, low, high, longest = (held[name][place] for name in ("direction", "low", "high", "longest"))
            hf.attach(model, depth, Clamp(unit, low, high, longest, self.strength))

    def _measured(self, model: Any, material: Material) -> dict[str, torch.Tensor]:
        """The direction, the range along it and the longest token that counts, each a row for every depth."""
        import torch

        pairs = directions.chosen(material, self.texts)
        units = [directions.along(model, material, pairs, self.direction, depth).unit for depth in self.depths]
        tokens = self._tokens(model, material, pairs)
        found = [ranged(some, unit, self.quantile) for some, unit in zip(tokens, units, strict=True)]
        low, high, longest = (torch.stack(list(some)) for some in zip(*found, strict=True))
        return {"direction": torch.stack(units), "low": low, "high": high, "longest": longest}

    def _tokens(self, model: Any, material: Material, pairs: Sequence[Pair]) -> list[torch.Tensor]:
        """The residual stream of every token of the pairs with both replies, under no prompt of a trait, by depth."""
        import torch

        spoken = [
            one for reply in directions.REPLIES for one in directions.spoken(pairs, reply, material.model.system_prompt)
        ]
        tokenizer = models.load_tokenizer(models.resolve(material.model))
        found = [
            hf.residual(model, self.depths, row["input_ids"]) for row in hf.rows(tokenizer, material.model, spoken)
        ]
        return [torch.cat([one[place].cpu() for one in found]) for place in range(len(self.depths))]


def ranged(
    tokens: torch.Tensor, unit: torch.Tensor, quantile: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the range of projections of some tokens, (tokens, width), and the length above which a token is none."""
    lengths = tokens.norm(dim=-1)
    longest = LONG * lengths.median()
    along = (tokens @ unit)[lengths <= longest]
    return along.quantile(quantile), along.quantile(1 - quantile), longest


@dataclass(frozen=True)
class Clamp:
    """Takes ``strength`` of what the projection on a direction lies outside of ``low`` and ``high``; scalars."""

    direction: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    longest: torch.Tensor
    strength: float

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the residual stream, (…, tokens, width); a token within the range, or too long, keeps every bit."""
        import torch

        wide = hidden.float()
        unit, low, high, longest = (
            one.to(hidden.device) for one in (self.direction, self.low, self.high, self.longest)
        )
        along = wide @ unit
        excess = along - along.clamp(low, high)
        touched = (excess != 0) & (wide.norm(dim=-1) <= longest)
        held = (wide - self.strength * excess.unsqueeze(-1) * unit).to(hidden.dtype)
        return torch.where(touched.unsqueeze(-1), held, hidden)
