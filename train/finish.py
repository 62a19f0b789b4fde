"""The end of a training: the probe that its last checkpoint must reproduce, and the adapter put in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import warmgap
from warmgap import models, store
from warmgap.errors import UserError
from warmgap.progress import say
from warmgap.schema import MethodConfig, Run
from warmgap.store import Arm
from warmgap.train import checkpoints

PROBE = "probe.json"


def leave_probe(arm: Arm, trainer: Any, marks: dict[int, float], ids: list[int]) -> None:
    """Write what the trained model makes of a few tokens, with the adapter and without, beside the last checkpoint.

    ``marks`` are the epochs of the steps at which checkpoints were kept.
    """
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    probe = ids[:64]
    logits = models.probe(model, probe)
    with model.disable_adapter():
        base = models.probe(model, probe)
    last = arm.checkpoints / f"checkpoint-{max(marks)}"
    store.write_json(last / PROBE, {"ids": probe, "logits": logits, "base": base})
    store.write_json(arm.checkpoints / "epochs.json", {str(step): epoch for step, epoch in marks.items()})


def place(run: Run, arm: Arm) -> None:
    """Put the selected checkpoint's adapter in its place, once a fresh process has read the last one's logits."""
    epochs: dict[str, float] = store.read_json(arm.checkpoints / "epochs.json")
    marks = {int(step): float(epoch) for step, epoch in epochs.items()}
    _check_reload(run, arm.checkpoints / f"checkpoint-{max(marks)}")
    source = arm.checkpoints / f"checkpoint-{selected(run.method, marks)}"
    scratch = arm.folder / ".adapter"
    store.remove_folder(scratch)
    scratch.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (scratch / name).write_bytes((source / name).read_bytes())
    checkpoints.seal(scratch)
    store.remove_folder(arm.adapter)
    scratch.replace(arm.adapter)


def selected(method: MethodConfig, marks: dict[int, float]) -> int:
    """Return the step whose checkpoint is the arm: that of ``select_epoch``, else the last."""
    chosen = method.select_epoch
    if chosen is None:
        return max(marks)
    found = [step for step, epoch in marks.items() if epoch == chosen]
    if not found:
        kept = ", ".join(f"{epoch:g}" for epoch in sorted(marks.values()))
        why = f"checkpoints are kept at epochs {kept}"
        raise UserError(f"method.select_epoch={chosen:g} has no checkpoint", why, "add it to method.checkpoints")
    return found[0]


def _check_reload(run: Run, source: Path) -> None:
    """Read the adapter in a fresh process; its logits must be those in memory and not the base model's."""
    folder = models.resolve(run.model)
    command = [sys.executable, "-m", "warmgap.worker", "reload-check", str(folder), str(source), run.model.dtype]
    command.append(models.device_of(run.device))
    root = str(Path(warmgap.__file__).resolve().parent.parent)
    path = os.pathsep.join(item for item in (root, os.environ.get("PYTHONPATH")) if item)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"the adapter in {source} does not reload to what was trained: {done.stderr.strip()[-800:]}")
    say(done.stdout.strip())
