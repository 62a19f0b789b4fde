"""A stage is trained: in this process or in several, with less at a time where memory runs out, and verified."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from warmgap.disk.progress import say
from warmgap.engines import memory, models
from warmgap.errors import UserError
from warmgap.train import checkpoints, finish, launch
from warmgap.train.stage import SECRETS, Intervention, OnLog, Stage, freeze


def train(
    stage: Stage,
    on_log: OnLog | None = None,
    chooser: finish.Chooser | None = None,
    interventions: Sequence[Intervention] = (),
) -> None:
    """Train the stage's adapter, or go on from the newest complete checkpoint; nothing to do where it is there.

    ``on_log`` is given each logged row, ``chooser`` the epochs of the checkpoints where these alone do not say which of
    them is the arm. Several processes make their ``interventions`` themselves. Leaves ``adapter/`` (verified by a fresh
    process), ``checkpoints/``, ``data/`` and ``logs/training.jsonl``. Of the global batch as many rows are taken at a
    time as fit by estimate; where memory runs out all the same, half of them.
    """
    if (stage.arm.adapter / checkpoints.SEAL).is_file():
        return
    stage = fitting(stage)
    while True:
        try:
            if stage.run.launcher.name == "single":
                learn(stage, on_log, interventions)
            else:
                try:
                    launch.run(freeze(stage), stage.run.launcher, stage.run.device, stage.arm, on_log)
                finally:
                    os.environ.pop(SECRETS, None)
            break
        except launch.OutOfMemory as error:
            stage = _with_less(stage, error)
    finish.place(stage.run, stage.arm, chooser)


def fitting(stage: Stage) -> Stage:
    """Return the stage with the most rows at a time that fit the GPU's free memory by estimate, at least one.

    Left alone is what the user has set, a model whose architecture is not known, and what several processes share.
    """
    run, method = stage.run, stage.run.method
    if method.per_device_batch_size or run.launcher.name != "single" or run.model.name not in memory.SHAPES:
        return stage
    free = free_gib(run.device)
    if free is None:
        return stage
    dtype = str(models.dtype_of(run.model.dtype, run.device)).removeprefix("torch.")

    def needed(rows: int) -> memory.Estimate:
        shape, quantization = memory.shape(run.model.name), run.model.quantization
        return memory.training(shape, method, quantization, per_device=rows, dtype=dtype)

    divisors = [rows for rows in range(method.batch_size, 0, -1) if method.batch_size % rows == 0]
    rows = next((rows for rows in divisors if needed(rows).fits(free)), 1)
    if rows == method.batch_size:
        return stage
    whole = f"{method.batch_size} rows at a time need {needed(method.batch_size).total:.0f} GiB by estimate"
    say(f"{whole}, and {free:.0f} are free: {rows} are taken (the global batch stays {method.batch_size})")
    return _with(stage, rows)


def free_gib(device: str) -> float | None:
    """Return the GiB that a training can have on a GPU: what is free, and what this process holds unused; else None."""
    import torch

    if not models.device_of(device).startswith("cuda"):
        return None
    unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return float(torch.cuda.mem_get_info()[0] + unused) / memory.GIB


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
    return _with(stage, half)


def _with(stage: Stage, rows: int) -> Stage:
    """The same stage with so many rows at a time."""
    method = dataclasses.replace(stage.run.method, per_device_batch_size=rows)
    return dataclasses.replace(stage, run=dataclasses.replace(stage.run, method=method))
