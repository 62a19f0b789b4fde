"""A stage is trained: in this process or in several, with less at a time where memory runs out, and verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from warmgap.disk.progress import say
from warmgap.errors import UserError
from warmgap.train import checkpoints, finish, launch
from warmgap.train.stage import Intervention, OnLog, Stage, freeze


def train(
    stage: Stage,
    on_log: OnLog | None = None,
    chooser: finish.Chooser | None = None,
    interventions: Sequence[Intervention] = (),
) -> None:
    """Train the stage's adapter, or go on from the newest complete checkpoint; nothing to do where it is there.

    ``on_log`` is given each logged row, ``chooser`` the epochs of the checkpoints where these alone do not say which of
    them is the arm. Several processes make their ``interventions`` themselves. Leaves ``adapter/`` (verified by a fresh
    process), ``checkpoints/``, ``data/`` and ``logs/training.jsonl``. Where memory runs out, the per-device batch is
    halved and the global one kept.
    """
    if (stage.arm.adapter / checkpoints.SEAL).is_file():
        return
    while True:
        try:
            if stage.run.launcher.name == "single":
                learn(stage, on_log, interventions)
            else:
                launch.run(freeze(stage), stage.run.launcher, stage.run.device, stage.arm, on_log)
            break
        except launch.OutOfMemory as error:
            stage = _with_less(stage, error)
    finish.place(stage.run, stage.arm, chooser)


def learn(stage: Stage, on_log: OnLog | None = None, interventions: Sequence[Intervention] = ()) -> None:
    """Train in this process, which may be one of several, up to the last checkpoint. Raises OutOfMemory."""
    import torch

    from warmgap.train import dpo, sft

    try:
        (dpo if stage.preferences else sft).train(stage, on_log, interventions)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise launch.OutOfMemory(str(error).splitlines()[0]) from error
        raise


def _with_less(stage: Stage, error: Exception) -> Stage:
    """The same stage with half the per-device batch, or less. Raises UserError where it is 1 already."""
    method = stage.run.method
    share = method.batch_size // launch.processes(stage.run.launcher, stage.run.device)
    size = method.per_device_batch_size or share
    if size <= 1:
        fix = "lower method.max_length, set method.gradient_checkpointing=true, or use a larger device"
        raise UserError("the device's memory is too small", f"one row at a time does not fit: {error}", fix) from error
    half = next(n for n in range(size // 2, 0, -1) if share % n == 0)
    say(f"out of memory with {size} rows at a time; going on with {half} (the global batch stays {method.batch_size})")
    method = dataclasses.replace(method, per_device_batch_size=half)
    return dataclasses.replace(stage, run=dataclasses.replace(stage.run, method=method))
