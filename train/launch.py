"""Several processes for one training stage, started by torch's elastic launcher (what ``torchrun`` is made of)."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import sys
import threading
import time
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
MEETING = "WARMGAP_MEETING"  # names the file in which a training of several machines says where they meet
USER_ERROR, OUT_OF_MEMORY = "user", "memory"


class OutOfMemory(Exception):
    """The device's memory did not suffice for the per-device batch."""


def processes(launcher: LauncherConfig, device: str) -> int:
    """Return how many processes train on all machines: one, or as set, else one for each GPU (on a CPU two).

    Machines are taken for alike.
    """
    import torch

    if launcher.name == "single":
        return 1
    if launcher.processes is not None:
        return launcher.processes * launcher.nodes
    return launcher.nodes * (torch.cuda.device_count() if models.device_of(device) == "cuda" else 2)


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

    failure = arm.folder / "logs" / FAILURE
    failure.unlink(missing_ok=True)
    meeting = {"frozen": str(frozen), "name": f"{arm.name}-{secrets.token_hex(4)}", "nodes": launcher.nodes}
    meeting |= {"each": processes(launcher, device) // launcher.nodes, "endpoint": "localhost:0"}
    if launcher.nodes > 1:
        meeting["endpoint"] = _announced(meeting)
    with stopping.put_back(), _followed(arm, on_log):
        try:
            _together(meeting)
        except SignalException as error:
            raise KeyboardInterrupt from error
        except ChildFailedError as error:
            raise _told(failure, error) from error


def _together(meeting: dict[str, Any]) -> None:
    """Run this machine's processes of a training, with those of the other machines that meet at its endpoint."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _set_environment()
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # failures are told once, by the first
    config = LaunchConfig(
        min_nodes=meeting["nodes"],
        max_nodes=meeting["nodes"],
        nproc_per_node=meeting["each"],
        run_id=meeting["name"],
        rdzv_backend="c10d",
        rdzv_endpoint=meeting["endpoint"],
        max_restarts=0,
        monitor_interval=0.5,
    )
    elastic_launch(config, sys.executable)("-m", "warmgap.worker", "train", meeting["frozen"])


def _announced(meeting: dict[str, Any]) -> str:
    """Tell the other machines of a training where they meet; return the endpoint. Raises UserError where none waits."""
    place = os.environ.get(MEETING)
    if place is None:
        why = "the other machines are told by a file that all of them see where to meet"
        fix = f"launcher=slurm; or set {MEETING}=FILE here and run python -m warmgap.worker join FILE on the others"
        raise UserError(f"launcher.nodes={meeting['nodes']}: no other machine is there", why, fix)
    with socket.socket() as probe:
        probe.bind(("", 0))
        endpoint = f"{socket.gethostname()}:{probe.getsockname()[1]}"
    store.write_json(Path(place), {**meeting, "endpoint": endpoint})
    return endpoint


def join(place: Path) -> None:
    """Take part in every training that another machine announces in a file, until it says that it has ended.

    What goes wrong is told by the machine that announced it.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    seen = ""
    while True:
        meeting: dict[str, Any] = store.read_json(place) or {}
        if meeting.get("ended"):
            return
        if meeting.get("name", seen) == seen:
            time.sleep(0.5)
            continue
        seen = meeting["name"]
        with contextlib.suppress(ChildFailedError):
            _together(meeting)


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
