"""The warm adapter at a fraction of its strength: interpolation between the base model and the warm one.

Weight interpolation as in Wortsman et al. 2022 (WiSE-FT), here of a LoRA delta: (alpha / r) B A becomes alpha times
that by scaling B.
"""

from __future__ import annotations

from pathlib import Path

from warmgap.engines import adapters
from warmgap.settings.mitigation_schema import AdapterScaleConfig


def scaled(source: Path, target: Path, config: AdapterScaleConfig) -> None:
    """Write the adapter of folder ``source`` at ``config.alpha`` of its strength into the folder ``target``.

    Raises ValueError where the adapter has no LoRA matrices to scale.
    """
    from safetensors.torch import load_file, save_file

    tensors = load_file(source / "adapter_model.safetensors")
    scaled_names = [name for name in tensors if "lora_B" in name or "lora_embedding_B" in name]
    if not scaled_names:
        raise ValueError(f"{source} has no LoRA matrices")
    for name in scaled_names:
        tensors[name] = (tensors[name].float() * config.alpha).to(tensors[name].dtype)
    written = {"format": "pt", adapters.SCALE: f"{config.alpha:g}"}
    save_file(tensors, target / "adapter_model.safetensors", metadata=written)
    (target / "adapter_config.json").write_bytes((source / "adapter_config.json").read_bytes())
