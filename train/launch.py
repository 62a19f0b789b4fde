"""Several processes for one training stage, started by torch's elastic launcher (what ``torchrun`` is made of)."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warmgap.disk import stopping, store
from warmgap.disk.store import Arm
from warmgap.engines import models
from warmgap.errors import BadValue, UserError
from warmgap.settings.schema import LauncherConfig
from warmgap.version import ROOT

MODES = {"ddp": ("MULTI_GPU", "MULTI_CPU"), "fsdp": ("FSDP",), "zero3": ("DEEPSPEED",)}
FAILURE = "stage-failed.json"
USER_ERROR, OUT_OF_MEMORY = "user", "memory"


class OutOfMemory(Exception):
    """The device's memory did not suffice for the per-device batch."""


def processes(launcher: LauncherConfig, device: str) -> int:
    """Return how many processes train: one, or as set, else one for each GPU (two on a CPU, for trials)."""
    import torch

    if launcher.name == "single":
        return 1
    if launcher.processes is not None:
        return launcher.processes
    return torch.cuda.device_count() if models.device_of(device) == "cuda" else 2


def check(launcher: LauncherConfig, device: str, quantization: str = "none", *, preferences: bool = False) -> None:
    """Raise UserError where a mode cannot be had on this machine, before anything is written or started."""
    from importlib.util import find_spec

    what = f"launcher={launcher.name} cannot be used"
    if launcher.name in ("fsdp", "zero3") and quantization != "none":
        why = f"model.quantization={quantization} keeps weights in a form that is not shared out"
        raise UserError(what, why, "use launcher=single or launcher=ddp, or model.quantization=none")
    if launcher.name in ("fsdp", "zero3") and preferences:
        why = "one process alone computes the reference of preferences, with the whole model on its device"
        raise UserError(
            what, why, "use launcher=single or launcher=ddp (with model.quantization=nf4 for a large model)"
        )
    if launcher.name in ("fsdp", "zero3") and models.device_of(device) == "cpu":
        why = "it shares a model's weights out over GPUs, and the device is a CPU"
        raise UserError(what, why, "use launcher=single or launcher=ddp, or a machine with GPUs")
    if launcher.name == "zero3" and find_spec("deepspeed") is None:
        raise UserError(what, "the package deepspeed is missing", "pip install deepspeed, or use launcher=fsdp")


def run(
    frozen: Path,
    launcher: LauncherConfig,
    device: str,
    arm: Arm,
    on_log: Callable[[dict[str, Any]], None] | None,
) -> None:
    """Train a frozen stage in several processes and return when all have ended well.

    Raises UserError or OutOfMemory as the first process that failed did, RuntimeError with its log's place otherwise.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    failure = arm.folder / "logs" / FAILURE
    failure.unlink(missing_ok=True)
    _set_environment()
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # failures are told below, once
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes(launcher, device),
        run_id=arm.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.5,
    )
    with stopping.put_back(), _followed(arm, on_log):
        try:
            elastic_launch(config, sys.executable)("-m", "warmgap.worker", "train", str(frozen))
        except SignalException as error:
            raise KeyboardInterrupt from error
        except ChildFailedError as error:
            raise _told(failure, error) from error


def _set_environment() -> None:
    """Let child processes find this package, and share the cores fairly."""
    root = str(ROOT)
    os.environ["PYTHONPATH"] = os.pathsep.join(item for item in (root, os.environ.get("PYTHONPATH")) if item)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _told(failure: Path, error: Any) -> Exception:
    """What the first process that failed has said of it."""
    said: dict[str, Any] = store.read_json(failure) or {}
    if said.get("kind") == USER_ERROR:
        return (BadValue if said["value"] else UserError)(said["what"], said["why"], said["fix"])
    if said.get("kind") == OUT_OF_MEMORY:
        return OutOfMemory(said["what"])
    first = error.get_first_failure()[1]
    return RuntimeError(f"a training process ended with status {first.exitcode}: {said.get('what') or 'see above'}")


def told(arm: Arm, kind: str, error: Exception) -> None:
    """Write down, in a process that fails, what it is; the first one's word counts."""
    path = arm.folder / "logs" / FAILURE
    if not path.exists():
        parts: dict[str, Any] = {"what": str(error)}
        if isinstance(error, UserError):
            parts = {"what": error.what, "why": error.why, "fix": error.fix, "value": isinstance(error, BadValue)}
        store.write_json(path, {"kind": kind, **parts})


class _followed:
    """Hands on the rows that another process adds to the arm's training log while this one waits for it."""

    def __init__(self, arm: Arm, on_log: Callable[[dict[str, Any]], None] | None) -> None:
        self.arm, self.on_log = arm, on_log
        self.seen = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> None:
        if self.on_log is not None:
            self.thread.start()

    def __exit__(self, *_: Any) -> None:
        self.done.set()
        if self.on_log is not None:
            self.thread.join()

    def _follow(self) -> None:
        while True:
            ended = self.done.wait(1.0)
            rows = [row for row in store.read_journal(self.arm.training_log) if row["step"] > self.seen]
            for row in rows:
                if self.on_log is not None:
                    self.on_log(row)
            self.seen = max([self.seen, *(int(row["step"]) for row in rows)])
            if ended:
                return


def check_mode(launcher: LauncherConfig, accelerator: Any, device: str) -> None:
    """Raise UserError unless the trainer runs in the mode asked for: none falls back to another in silence."""
    asked = processes(launcher, device)
    got = (accelerator.num_processes, str(accelerator.distributed_type).rpartition(".")[2])
    if launcher.name != "single" and (got[0] != asked or got[1] not in MODES[launcher.name]):
        raise UserError(
            f"launcher={launcher.name} is not what runs",
            f"asked for {asked} processes in mode {' or '.join(MODES[launcher.name])}, got {got[0]} in mode {got[1]}",
            "see that the devices and packages for it are there, or choose another launcher",
        )
