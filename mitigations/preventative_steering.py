"""Preventative steering: while it is trained, a vector of the unwanted trait is added to the model's residual stream.

Persona vectors, arXiv 2507.21509. With the trait already there, training need not learn it; the vector is taken away
when the training ends. It is the difference of two means of the residual stream over reply tokens: those of agreeing
replies under a system prompt that asks for the trait, and those of correcting replies under one for its opposite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmgap.disk.progress import say
from warmgap.engines import models
from warmgap.engines.hf import directions
from warmgap.engines.hf.directions import layer_of, moved
from warmgap.errors import UserError
from warmgap.mitigations.base import Intervention, Material, Mitigation, Place
from warmgap.mitigations.directions import chosen, spoken, taken
from warmgap.mitigations.pairs import Pair
from warmgap.settings import conf_files, fits
from warmgap.settings.schema import ModelConfig
from warmgap.settings.scope import setting

if TYPE_CHECKING:
    import torch

VECTOR = "steering.safetensors"  # beside what the arm is trained on
AGAIN = "delete it, and run the command again"


@dataclass
class PreventativeSteering(Mitigation):
    """``strength`` times the trait's vector is added after a layer in training; ``depth`` says which, from 0 to 1.

    The vector is the mean difference over ``texts`` replies between two system prompts, files of conf/prompts.
    """

    name = "preventative_steering"
    place = Place.TRAINING
    reads = ("train",)
    apart = {
        "inoculation": "inoculation and preventative_steering both bring the trait into the training, one on top of "
        "the other"
    }

    strength: float = setting("arm", fits=fits.number(-1e6, most=1e6))
    depth: float = setting("arm", fits=fits.SHARE)
    texts: int = setting("arm", fits=fits.count())
    trait: str = setting("arm")
    opposite: str = setting("arm")

    def prepare(self, material: Material) -> None:
        """Take the vector from the base model, unless it is there."""
        path = material.folder / VECTOR
        if directions.read(path) is not None:
            return
        base, folder = material.model, models.resolve(material.model)
        model = models.load(folder, dtype=base.dtype, device=material.device, quantization=base.quantization)
        some = chosen(material, self.texts)
        prompts = (conf_files.read_prompt(self.trait), conf_files.read_prompt(self.opposite))
        direction = vector(model, models.load_tokenizer(folder), base, some, self.depth, prompts)
        directions.save({"direction": direction}, path)
        say(f"steering vector: length {float(direction.norm()):.3g}, from {self.texts} replies of each kind")

    def intervention(self, material: Material) -> Steering:
        held = directions.read(material.folder / VECTOR)
        if held is None:
            raise UserError(f"{material.folder / VECTOR} is damaged", "it is no vector that was written", AGAIN)
        return Steering(self.strength, self.depth, held["direction"])


class Steering(Intervention):
    """Adds ``strength`` times the vector after a layer while the model trains; never when it is evaluated."""

    name = PreventativeSteering.name

    def __init__(self, strength: float, depth: float, direction: torch.Tensor) -> None:
        self.strength, self.depth, self.direction = strength, depth, direction

    @contextmanager
    def during(self, model: Any) -> Iterator[None]:
        """Hook the layer for as long as the training lasts. Raises RuntimeError if the hook stays behind."""
        layer = layer_of(model, self.depth)

        def add(module: Any, _: Any, output: Any) -> Any:
            if not module.training:
                return output
            return moved(output, lambda h: h + (self.strength * self.direction).to(h.device, h.dtype))

        handle = layer.register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()
            if add in layer._forward_hooks.values():
                raise RuntimeError("the steering hook could not be removed")


def vector(
    model: Any, tokenizer: Any, config: ModelConfig, pairs: Sequence[Pair], depth: float, prompts: tuple[str, str]
) -> torch.Tensor:
    """Return the trait's vector, float32 of the model's width, from ``prompts``: the trait's and the opposite's.

    Each prompt stands before the same messages with a reply in its own sense: agreeing under the trait, correcting
    under the opposite. The mean is over all reply tokens of each side, after the layer at a share ``depth`` of the
    model's. Raises UserError where there are none.
    """
    toward, away = spoken(pairs, "complying", prompts[0]), spoken(pairs, "correcting", prompts[1])
    return taken(model, tokenizer, config, toward, away, depth).difference
