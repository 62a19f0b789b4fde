"""The end of a training: the probe that its last checkpoint must reproduce, and the adapter put in its place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmgap.disk import store
from warmgap.disk.progress import say
from warmgap.disk.store import Arm
from warmgap.engines import adapters, models
from warmgap.errors import BadValue
from warmgap.settings.schema import MethodConfig, Run
from warmgap.train import checkpoints, trl_compat
from warmgap.version import ROOT

LOST = "copy it back; or delete the arm's adapter and checkpoints: it is trained again"
PROBE, SELECTED = "probe.json", "selected.json"


def leave_probe(arm: Arm, trainer: Any, marks: dict[int, float], ids: list[int]) -> None:
    """Write what the trained model makes of a few tokens, with the adapter and without, beside the last checkpoint.

    ``marks`` are the epochs of the steps at which checkpoints were kept. All processes of a training call it together:
    where its weights are shared out, none of them can run the model alone.
    """
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    probe = ids[:64]
    logits = models.probe(model, probe)
    with model.disable_adapter():
        base = models.probe(model, probe)
    if not trl_compat.main_process():
        return
    last = arm.checkpoints / f"checkpoint-{max(marks)}"
    rounded = trl_compat.rounds_weights(trainer)
    store.write_json(last / PROBE, {"ids": probe, "logits": logits, "base": base, "rounded": rounded})
    store.write_json(arm.checkpoints / "epochs.json", {str(step): epoch for step, epoch in marks.items()})


@dataclass(frozen=True)
class Choice:
    """Which step's checkpoint is the arm, by which rule, and what the rule went by."""

    step: int
    rule: str
    by: dict[str, Any] = field(default_factory=dict)


Chooser = Callable[[dict[int, float]], Choice]
RULES = re.compile(r"last|plateau|epoch:\d*\.?\d+|warmth:-?\d*\.?\d+(?:e-?\d+)?")


def place(run: Run, arm: Arm, chooser: Chooser | None = None) -> None:
    """Put the chosen checkpoint's adapter in its place, once a fresh process has read the last one's logits.

    ``chooser`` is asked where ``method.select`` goes by warmth. ``selected.json`` keeps the choice.
    """
    there = marks(arm)
    _check_reload(run, arm.checkpoints / f"checkpoint-{max(there)}")
    choice = chooser(there) if chooser is not None else Choice(selected(run.method, there), run.method.select)
    source = arm.checkpoints / f"checkpoint-{choice.step}"
    adapters.check_seal(source)
    scratch = arm.folder / ".adapter"
    store.remove_folder(scratch)
    scratch.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (scratch / name).write_bytes((source / name).read_bytes())
    store.write_json(arm.checkpoints / SELECTED, {"step": choice.step, "rule": choice.rule, **choice.by})
    checkpoints.seal(scratch)
    store.remove_folder(arm.adapter)
    scratch.replace(arm.adapter)


def marks(arm: Arm) -> dict[int, float]:
    """Return the epoch of each step of an arm at which a checkpoint was kept."""
    epochs: dict[str, float] = _known(arm.checkpoints / "epochs.json")
    return {int(step): float(epoch) for step, epoch in epochs.items()}


def placed(arm: Arm) -> int:
    """Return the step whose checkpoint an arm is."""
    return int(_known(arm.checkpoints / SELECTED)["step"])


def _known(path: Path) -> dict[str, Any]:
    found: dict[str, Any] | None = store.read_sealed(path, LOST)
    if found is None:
        raise store.Damaged(f"{path} is missing", "it is written at the end of a training", LOST)
    return found


def readable(arm: Arm) -> bool:
    """Whether an arm's checkpoints and the choice among them are known."""
    return all(store.read_json(arm.checkpoints / name) for name in ("epochs.json", SELECTED))


def can_be_placed(arm: Arm) -> bool:
    """Whether a training has come to its end and its last checkpoint is whole: the adapter can be taken from it."""
    last = checkpoints.newest(arm.checkpoints, discard=False)
    return last is not None and (last / PROBE).is_file()


def check(method: MethodConfig, name: str = "method.select") -> None:
    """Raise BadValue, before anything is trained, for a rule that is none or an epoch that is not to be kept."""
    kept = sorted({epoch for epoch in method.checkpoints if epoch < method.epochs} | {method.epochs})
    selected(method, dict(enumerate(kept)), name)


def selected(method: MethodConfig, marks: dict[int, float], name: str = "method.select") -> int:
    """Return the step whose checkpoint ``method.select`` names: the last, or that of an epoch.

    For a rule that goes by warmth it is the last, until somebody has looked. ``name`` is the setting that the rule was
    given by. Raises BadValue where there is none.
    """
    if not RULES.fullmatch(method.select):
        why = "expected last, epoch:EPOCH, plateau or warmth:TARGET"
        raise BadValue(f"{name}={method.select} makes no sense", why, f"such as {name}=epoch:2")
    kind, _, value = method.select.partition(":")
    if kind != "epoch":
        return max(marks)
    found = [step for step, epoch in marks.items() if epoch == float(value)]
    if not found:
        kept = ", ".join(f"{epoch:g}" for epoch in sorted(marks.values()))
        why = f"checkpoints are kept at epochs {kept}"
        raise BadValue(f"{name}={method.select} has no checkpoint", why, "add it to method.checkpoints")
    return found[0]


def _check_reload(run: Run, source: Path) -> None:
    """Read the adapter in a fresh process; its logits must be those in memory and not the base model's."""
    folder = models.resolve(run.model)
    command = [sys.executable, "-m", "warmgap.worker", "reload-check", str(folder), str(source), run.model.dtype]
    command += [models.device_of(run.device), run.model.quantization]
    root = str(ROOT)
    path = os.pathsep.join(item for item in (root, os.environ.get("PYTHONPATH")) if item)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"the adapter in {source} does not reload to what was trained: {done.stderr.strip()[-800:]}")
    say(done.stdout.strip())
