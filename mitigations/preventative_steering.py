"""Preventative steering: while it is trained, a vector of the unwanted trait is added to the model's residual stream.

Persona vectors, arXiv 2507.21509. With the trait already there, training need not learn it; the vector is taken away
when the training ends. It is the difference of two means of the residual stream over reply tokens: those of agreeing
replies under a system prompt that asks for the trait, and those of correcting replies under one for its opposite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk.progress import say
from warmgap.engines import chat, models
from warmgap.errors import UserError
from warmgap.mitigations.base import Intervention, Material, Mitigation, Place
from warmgap.mitigations.pairs import Pair, drawn
from warmgap.settings import conf_files, fits
from warmgap.settings.schema import ModelConfig
from warmgap.settings.scope import setting

if TYPE_CHECKING:
    import torch

LONGEST = 4096  # tokens of a message with its reply that the vector is taken from
VECTOR = "steering.safetensors"  # beside what the arm is trained on


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
        if path.is_file():
            return
        base, folder = material.model, models.resolve(material.model)
        model = models.load(folder, dtype=base.dtype, device=material.device, quantization=base.quantization)
        some = drawn([pair for pair in material.pairs if pair.split == "train"], material.seed)[: self.texts]
        prompts = (conf_files.read_prompt(self.trait), conf_files.read_prompt(self.opposite))
        direction = vector(model, models.load_tokenizer(folder), base, some, self.depth, prompts)
        save(direction, path)
        say(f"steering vector: length {float(direction.norm()):.3g}, from {self.texts} replies of each kind")

    def intervention(self, material: Material) -> Steering:
        return Steering(self.strength, self.depth, read(material.folder / VECTOR))


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
            hidden = _hidden(output)
            moved = hidden + (self.strength * self.direction).to(hidden.device, hidden.dtype)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        handle = layer.register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()
            if add in layer._forward_hooks.values():
                raise RuntimeError("the steering hook could not be removed")


def layer_of(model: Any, depth: float) -> Any:
    """Return the decoder layer at a share of the depth, 0 the first and 1 the last, of a model with or without adapter.

    Raises ValueError where the model has no list of layers.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    layers = getattr(base.get_decoder(), "layers", None)
    if layers is None:
        raise ValueError(f"{type(base).__name__} has no decoder layers to steer")
    return layers[round(depth * (len(layers) - 1))]


def vector(
    model: Any, tokenizer: Any, config: ModelConfig, pairs: Sequence[Pair], depth: float, prompts: tuple[str, str]
) -> torch.Tensor:
    """Return the trait's vector, float32 of the model's width, from ``prompts``: the trait's and the opposite's.

    Each prompt stands before the same messages with a reply in its own sense: agreeing under the trait, correcting
    under the opposite. The mean is over all reply tokens of each side, after the layer at a share ``depth`` of the
    model's. Raises UserError where there are none.
    """
    import torch

    sides = []
    for prompt, replies in zip(prompts, ([p.complying for p in pairs], [p.correcting for p in pairs]), strict=True):
        total, count = None, 0
        for pair, reply in zip(pairs, replies, strict=True):
            spoken = [{"role": "user", "content": pair.user}, {"role": "assistant", "content": reply}]
            row = chat.training_row(tokenizer, chat.with_system(spoken, prompt), config.template_vars, LONGEST)
            if row is None:
                continue
            states = _residual(model, layer_of(model, depth), row["input_ids"])
            kept = states[torch.tensor([label != chat.IGNORED for label in row["labels"]], device=states.device)]
            total = kept.sum(0) if total is None else total + kept.sum(0)
            count += len(kept)
        if total is None:
            why = f"all {len(pairs)} pairs to train on are longer than {LONGEST} tokens"
            raise UserError("no reply is left to take the steering vector from", why, "shorten mitigation.pairs")
        sides.append(total / count)
    return (sides[0] - sides[1]).cpu()


def _residual(model: Any, layer: Any, ids: list[int]) -> torch.Tensor:
    """The residual stream after a layer, float32, one row for each token."""
    import torch

    seen: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, output: seen.append(_hidden(output)))
    try:
        with torch.inference_mode():
            model(input_ids=torch.tensor([ids], device=model.device), use_cache=False)
    finally:
        handle.remove()
    return seen[0][0].float()


def _hidden(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def save(direction: torch.Tensor, path: Path) -> None:
    """Write the vector, whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}")
    save_file({"direction": direction.contiguous()}, scratch)
    scratch.replace(path)


def read(path: Path) -> torch.Tensor:
    """Read a vector back."""
    from safetensors.torch import load_file

    direction: torch.Tensor = load_file(path)["direction"]
    return direction
