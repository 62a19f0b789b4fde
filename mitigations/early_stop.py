"""An earlier checkpoint of the same training: less of everything that was learnt, warmth and error alike.

Nothing is trained; which checkpoint it is follows from warmth on held-out messages, or from an epoch that is named.
"""

from __future__ import annotations

from pathlib import Path


def taken(checkpoint: Path, target: Path) -> None:
    """Copy the adapter of a checkpoint into the folder ``target``."""
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (target / name).write_bytes((checkpoint / name).read_bytes())
