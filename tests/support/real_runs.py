"""The commands that a user types, run as processes of their own, and the folders that they leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fork_server import Forked, can_fork

from warmgap.engines import models

ROOT = Path(__file__).resolve().parents[2]
# 16 answers a batch instead of 64: several batches, so that there are moments between them.
SMOKE = ("+persona=warm", "experiment=smoke", "generate.batch_size=16")
# The same with a tiny model of random weights (the fixture ``tiny_model``), where it does not matter who answers.
TINY_MODEL = (
    "model=local",
    "model.path=${oc.env:TINY_MODEL}",
    "model.dtype=float32",
    "model@warmth.scorer=local",
    "warmth.scorer.path=${oc.env:TINY_MODEL}",
)
TINY = (*SMOKE, *TINY_MODEL)
Process = subprocess.Popen[str] | Forked
NO_HUB = "http://127.0.0.1:9"  # the port of `discard`: nothing may be fetched from a hub
WARMGAP = "import sys; from warmgap.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class Done:
    """A process that has ended: exit status, what it printed, and the wall time in seconds."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def report(self) -> str:
        """The path on the last line of stdout."""
        return self.out.rstrip("\n").rpartition("\n")[2].removeprefix("report: ")


@dataclass(frozen=True)
class Runs:
    """A runs folder with one comparison of the trained arm and the original."""

    folder: Path

    def arm(self, name: str) -> Path:
        """The only folder of an arm of that name."""
        (found,) = self.folder.glob(f"arms/[!.]*-{name}-s*")
        return found

    @property
    def comparison(self) -> Path:
        """The only comparison."""
        (found,) = self.folder.glob("comparisons/*")
        return found

    @property
    def answers(self) -> pd.DataFrame:
        """The answers of the comparison."""
        return pd.read_parquet(self.comparison / "answers.parquet")

    def table(self, name: str) -> pd.DataFrame:
        """A csv file of the comparison."""
        return pd.read_csv(self.comparison / f"{name}.csv")


def environment(**more: str) -> dict[str, str]:
    """The environment of a process: this one's without what steers trackers and hubs; the model cache is the user's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "HF_", "HYDRA", "PYTEST"))}
    ours = {"WARMGAP_CACHE": str(models.cache_dir()), "PYTHONPATH": str(ROOT), "HF_ENDPOINT": NO_HUB, "COLUMNS": "80"}
    return {"OMP_NUM_THREADS": "1", **kept, **ours, **more}


def start(command: list[str], cwd: Path, *, fresh: bool = False, **more: str) -> Process:
    """Start a process in a session of its own, so that Ctrl-C reaches it and its children alone.

    It is forked from one that has imported everything (``fork_server``), unless ``fresh`` or what it is stands against
    that. A shell that runs the tests in the background ignores Ctrl-C, and its children would, too: they are told not
    to.
    """
    given = environment(**more)
    if not fresh and can_fork(command, given, environment()):
        return Forked(command, cwd, given)
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def finish(process: Process, seconds: float = 900) -> Done:
    """Wait for a process to end."""
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"not done after {seconds} s:\n{out}\n{err}")
    return Done(process.returncode, out, err, time.monotonic() - began)


def training(*arguments: str) -> list[str]:
    """The command ``python train.py …``."""
    return [sys.executable, str(ROOT / "train.py"), *arguments]


def train(*arguments: str, cwd: Path, fresh: bool = False, **more: str) -> Done:
    """Run ``python train.py …`` to its end."""
    return finish(start(training(*arguments), cwd, fresh=fresh, **more))


def warmgap(*arguments: str, cwd: Path, **more: str) -> Done:
    """Run ``warmgap …`` to its end."""
    return finish(start([sys.executable, "-c", WARMGAP, *arguments], cwd, **more))


def wait_for(process: Process, moment: Callable[[], bool], what: str, seconds: float = 600) -> None:
    """Return as soon as a moment has come; fails when the process ends before it."""
    until = time.monotonic() + seconds
    while not moment():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"ended, or {seconds} s passed, before {what}:\n{out}\n{err}")
        time.sleep(0.005)


def journal(path: Path) -> list[dict[str, Any]]:
    """The rows of a journal; one line that a killed writer tore may be among them, and is left out."""
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    rows, torn = [], 0
    for line in filter(None, lines):
        try:
            rows.append(json.loads(line))
        except ValueError:
            torn += 1
    assert torn <= 1, path
    return rows


def refused(done: Done) -> str:
    """Check that a command was refused as a user's mistake, in three lines; return them."""
    assert done.status == 2, done.err
    lines = done.err.splitlines()[-3:]
    assert [line.partition(":")[0] for line in lines] == ["error", "why", "fix"], done.err
    assert all(line.partition(":")[2].strip() for line in lines), done.err
    assert "Traceback" not in done.err
    return "\n".join(lines)
