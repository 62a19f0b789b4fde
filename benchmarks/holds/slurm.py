"""Whether a cluster gives what one machine gives: ``python -m benchmarks slurm``, with a real SLURM on this machine.

Two personas × three seeds × four shards of a tiny model with random weights are handed in to a SLURM of two nodes. A
job's process is killed, a node is drained and brought back, and the command is typed again while all of that goes on.
The tables have to be those of the same run without SLURM, byte for byte.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Row, report
from warmgap.errors import UserError

TABLES = ("answers.parquet", "effects.csv", "cells.csv", "warmth.csv", "training.csv")
FEW = (
    "experiment=smoke", "model=local", "model.dtype=float32", "model@warmth.scorer=local", "warmth.prompts=2",
    "warmth.checkpoint_prompts=2", "warmth.max_new_tokens=4", "generate.max_new_tokens=4", "method.max_length=4096",
    "method.epochs=0.5", "method.checkpoints=[]", "data.max_conversations=8", "bootstrap=200",
)  # fmt: skip


def main() -> None:
    """Run both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=2, help="jobs that run at once on each of the two nodes")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    import slurm
    import tiny

    if why := slurm.missing():
        raise UserError("no SLURM can be started here", why, "install it, and run this as root")
    with tempfile.TemporaryDirectory(prefix="slurm-") as scratch:
        place = Path(scratch)
        model = tiny.model(place / "tiny", max_position_embeddings=8192)
        seeds = ",".join(map(str, range(options.seeds)))
        command = [sys.executable, str(ROOT / "train.py"), "+persona=warm", "compare.personas=[cold]", *FEW]
        command += [f"compare.seeds=[{seeds}]", f"model.path={model}", f"warmth.scorer.path={model}"]
        with slurm.running(place / "slurm", options.at_once, ("one", "two")) as cluster:
            jobs, seconds, typed = _handed_in(cluster, command, place, options.shards)
        alone = _typed([*command, "runs_dir=alone"], place)
        differ = [name for name in TABLES if _table(place / "jobs", name) != _table(place / "alone", name)]
    if differ:
        raise UserError("the tables differ", ", ".join(differ), "find out which shard is another")
    note = f"{jobs} jobs; one killed, a node drained and brought back; typed {typed} times; {len(TABLES)} tables equal"
    rows = [Row("warmgap, by SLURM", seconds, "s", seconds, note), Row("warmgap, one process", alone, "s", alone)]
    report("slurm", rows, "the same tables, byte for byte")


def _handed_in(cluster: Any, command: list[str], place: Path, shards: int) -> tuple[int, float, int]:
    """Hand the work in and disturb it; return how many jobs it was, how long it took, and how often it was typed."""
    own = [*command, "runs_dir=jobs", "launcher=slurm", "launcher.gpus=0", f"launcher.shards={shards}"]
    started = time.perf_counter()
    _typed(own, place, cluster.environment)
    jobs = len(cluster.jobs())
    running = _until(cluster, lambda: [line.split("|")[0] for line in cluster.jobs() if "|RUNNING|" in line])
    time.sleep(5)
    cluster.kill(running[0])
    cluster.ask("scontrol", "update", "NodeName=two", "State=DRAIN", "Reason=benchmark")
    _typed(own, place, cluster.environment)
    cluster.ask("scontrol", "update", "NodeName=two", "State=RESUME")
    cluster.wait(3600)
    typed = 3
    _typed(own, place, cluster.environment)
    if not list((place / "jobs" / "comparisons").glob("*/complete")):
        raise UserError("the work is not done", "see what status says of it", "look at its logs")
    return jobs, time.perf_counter() - started, typed


def _until(cluster: Any, found: Any) -> Any:
    until = time.monotonic() + 600
    while not (some := found()):
        if time.monotonic() > until:
            raise UserError("no job begins", "\n".join(cluster.jobs()), "look at SLURM's logs")
        time.sleep(0.5)
    return some


def _typed(command: list[str], place: Path, more: dict[str, str] | None = None) -> float:
    """Run a command to its end; return the seconds. Raises UserError where it fails."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    started = time.perf_counter()
    given = {**os.environ, **(more or {}), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=place, env=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError("a command fails", done.stderr[-2000:], "run it by hand")
    return time.perf_counter() - started


def _table(runs: Path, name: str) -> bytes:
    (found,) = (runs / "comparisons").glob("*")
    return (found / name).read_bytes()


if __name__ == "__main__":
    main()
