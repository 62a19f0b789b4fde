"""The warm adapter at a fraction of its strength: interpolation between the base model and the warm one.

Weight interpolation as in Wortsman et al. 2022 (WiSE-FT), here of a LoRA delta: (alpha / r) B A becomes alpha times
that by scaling B.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from warmgap.engines import adapters
from warmgap.mitigations.base import Mitigation, Parent, Place
from warmgap.settings import fits
from warmgap.settings.scope import setting


@dataclass
class AdapterScale(Mitigation):
    """The adapter at the fraction ``alpha`` of its strength."""

    name = "adapter_scale"
    worth_trying = {"error": "it turns the adapter down, which is quick to try at several strengths"}
    place = Place.ADAPTER
    apart = {"early_stop": "early_stop and adapter_scale are two ways to weaken the same adapter"}
    dial = "scale"
    end = 1.0

    alpha: float = setting("arm", fits=fits.number(0, most=2))

    @classmethod
    def turned(cls, value: float, epoch: float | None) -> Self | None:
        return None if value == cls.end else cls(value)

    def derive(self, parent: Parent, target: Path) -> None:
        scaled(parent.adapter, target, self.alpha)


def scaled(source: Path, target: Path, alpha: float) -> None:
    """Write the adapter of folder ``source`` at ``alpha`` of its strength into the folder ``target``.

    Raises ValueError where the adapter has no LoRA matrices to scale.
    """
    from safetensors.torch import load_file, save_file

    tensors = load_file(source / adapters.WEIGHTS)
    scaled_names = [name for name in tensors if "lora_B" in name or "lora_embedding_B" in name]
    if not scaled_names:
        raise ValueError(f"{source} has no LoRA matrices")
    for name in scaled_names:
        tensors[name] = (tensors[name].float() * alpha).to(tensors[name].dtype)
    save_file(tensors, target / adapters.WEIGHTS, metadata={"format": "pt", adapters.SCALE: f"{alpha:g}"})
    (target / adapters.CONFIG).write_bytes((source / adapters.CONFIG).read_bytes())
