"""Steering while the arm answers: its residual stream is moved along a direction, away from siding with the user.

Persona vectors, arXiv 2507.21509 (steering at inference). The direction is taken in the model that answers, adapter and
all: training has moved the residual stream, and the length in which the strength is told is that of the model's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warmgap.disk.progress import say
from warmgap.engines.hf import directions as hf
from warmgap.mitigations import directions
from warmgap.mitigations.base import Material
from warmgap.mitigations.directions import AlongDirection, kept
from warmgap.settings import fits
from warmgap.settings.scope import setting


@dataclass
class Steer(AlongDirection):
    """Moves every token ``strength`` times the mean length of the residual stream, after the layer at ``depth``.

    Above 0 it goes against ``sycophancy`` or along ``scepticism``; the direction is taken from ``texts`` replies of
    each kind.
    """

    name = "steer"
    worth_trying = {"sycophancy": "it takes siding with the user off the activations while the model answers"}
    dial = "steer"
    lowest, highest = -10.0, 10.0

    direction: str = setting("arm", fits=fits.words(*directions.NAMES))
    strength: float = setting("arm", fits=fits.number(-10, most=10))
    depth: float = setting("arm", fits=fits.SHARE)
    texts: int = setting("arm", fits=fits.count())

    def alter(self, model: Any, material: Material) -> None:
        """Take the direction, unless it is kept from before, and move the model along it; at strength 0 do nothing."""
        if self.strength == 0:
            return
        held = hf.read(kept(self.name, material))
        if held is None:
            pairs = directions.chosen(material, self.texts)
            found = directions.along(model, material, pairs, self.direction, self.depth)
            import torch

            held = {"direction": found.unit, "norm": torch.tensor(found.norm)}
            hf.save(held, kept(self.name, material))
            say(f"steer: {self.direction}, mean length of the residual stream {found.norm:.3g}")
        step = directions.sense(self.direction) * self.strength * held["norm"] * held["direction"]
        hf.attach(model, self.depth, lambda hidden: hidden + step.to(hidden.device, hidden.dtype))
