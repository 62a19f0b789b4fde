"""Work that is done in a process of its own: ``python -m warmgap.worker STAGE …``."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

from warmgap.disk import store
from warmgap.engines import models
from warmgap.errors import UserError


def reload_check(folder: str, adapter: str, dtype: str, device: str, quantization: str = "none") -> str:
    """Load an adapter as a stranger would and compare its logits with those that training left in ``probe.json``.

    Raises ValueError when they differ by more than rounding, or are the base model's.
    """
    import torch

    expected = store.read_json(Path(adapter) / "probe.json")
    model = models.load(Path(folder), dtype=dtype, device=device, adapter=Path(adapter), quantization=quantization)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=bool(expected.get("rounded"))):
        logits = models.probe(model, expected["ids"])
    off = max(abs(a - b) for a, b in zip(logits, expected["logits"], strict=True))
    moved = max(abs(a - b) for a, b in zip(logits, expected["base"], strict=True))
    scale = max(abs(value) for value in expected["logits"])
    if not math.isfinite(off + moved):
        raise ValueError("logits are not finite: the training has diverged")
    if off > (0.01 if quantization == "none" else 0.05) * scale:  # 4-bit layers compute in the type of their input
        raise ValueError(f"logits differ by {off:.4g} from those in memory (largest logit {scale:.4g})")
    if moved <= 4 * off or moved == 0:
        raise ValueError(f"logits differ from the base model's by {moved:.4g} only: the adapter has no effect")
    return f"adapter reloaded in a fresh process: logits within {off:.2g} of training, {moved:.2g} from the base model"


def train(frozen: str) -> str:
    """Train a frozen stage as one of several processes; what goes wrong is written where the launcher finds it."""
    from warmgap import pipeline
    from warmgap.arms import making
    from warmgap.train import launch, stage, training

    pipeline.quiet()
    work = stage.thaw(Path(frozen))
    if models.device_of(work.run.device) == "cpu":
        models.keep_memory()
    try:
        training.learn(work, interventions=making.interventions(work.run, work.arm, work.version))
    except UserError as error:
        launch.told(work.arm, launch.USER_ERROR, error)
        sys.exit(2)
    except launch.OutOfMemory as error:
        launch.told(work.arm, launch.OUT_OF_MEMORY, error)
        sys.exit(3)
    except Exception as error:
        launch.told(work.arm, "", error)
        raise
    return ""


def join(place: str) -> str:
    """Take part, as another machine, in the trainings that are announced in a file."""
    from warmgap.train import launch

    launch.join(Path(place))
    return ""


STAGES: dict[str, Callable[..., str]] = {"reload-check": reload_check, "train": train, "join": join}


def main(arguments: list[str]) -> int:
    """Run one stage; what it says goes to stdout, what went wrong to stderr."""
    try:
        if said := STAGES[arguments[0]](*arguments[1:]):
            print(said)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
