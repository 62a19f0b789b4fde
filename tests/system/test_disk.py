"""A disk that is full in the middle of anything, and a finished run on one that cannot be written to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_runs import TINY, Runs, refused, train, warmgap

from warmgap.disk import seals

COMMAND = (*TINY, "runs_dir=runs")
ROOT_USER = hasattr(os, "geteuid") and os.geteuid() == 0


def mount(*words: str) -> bool:
    """Mount something, if this machine lets us."""
    return ROOT_USER and subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)):
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def read_only(tiny_smoke: Runs, tmp_path: Path) -> Iterator[Path]:
    """A finished run where nothing can be written."""
    place = tmp_path / "kept"
    shutil.copytree(tiny_smoke.folder, place / "runs")
    if ROOT_USER:
        if not mount("--bind", str(place), str(place)) or not mount("-o", "remount,bind,ro", str(place)):
            pytest.skip("nothing can be mounted here")
        yield place
        subprocess.run(["umount", str(place)], check=True)
    else:
        subprocess.run(["chmod", "-R", "a-w", str(place)], check=True)
        yield place
        subprocess.run(["chmod", "-R", "u+w", str(place)], check=True)


def test_a_full_disk_is_a_plain_error_and_nothing_is_lost(small_disk: Path, tiny_smoke: Runs) -> None:
    """With a little more room each time, the run stops somewhere else; in the end it is that of a disk with room."""
    whole = sum(path.stat().st_size for path in tiny_smoke.folder.rglob("*") if path.is_file())
    stopped = []
    for share in (0.04, 0.3, 0.8):
        assert mount("-o", f"remount,size={int(share * whole)}", str(small_disk))
        done = train(*COMMAND, cwd=small_disk)
        assert "the disk is full" in refused(done)
        stopped.append(sorted(path.name for path in small_disk.rglob("*") if path.is_file()))
    assert len({len(names) for names in stopped}) >= 2, "it was stopped in several places"
    assert mount("-o", f"remount,size={3 * whole}", str(small_disk))
    done = train(*COMMAND, cwd=small_disk)
    assert done.status == 0, done.err
    runs = Runs(small_disk / "runs")
    assert seals.finished(runs.comparison)
    for name in ("answers.parquet", "effects.csv", "cells.csv", "warmth.csv", "training.csv"):
        assert (runs.comparison / name).read_bytes() == (tiny_smoke.comparison / name).read_bytes(), name
    weights = Path("adapter") / "adapter_model.safetensors"
    assert (runs.arm("warm") / weights).read_bytes() == (tiny_smoke.arm("warm") / weights).read_bytes()


def test_a_finished_run_is_shown_where_nothing_can_be_written(read_only: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"ead-only|denied"):
        (read_only / "runs" / "x").touch()
    again = train(*COMMAND, cwd=read_only)
    assert again.status == 0, again.err
    assert "already done" in again.err
    assert again.out.rstrip().endswith("report.html")
    answers = Runs(read_only / "runs").comparison / "answers.parquet"
    shown = [
        warmgap("status", cwd=read_only),
        warmgap("card", "warm", cwd=read_only),
        warmgap("analyze", str(answers), "--out", str(tmp_path / "out"), "--bootstrap", "0", cwd=read_only),
    ]
    assert [done.status for done in shown] == [0, 0, 0], [done.err for done in shown]
    assert "report:" in shown[0].out
    assert (tmp_path / "out" / "effects.csv").is_file()
    said = refused(train(*COMMAND, "seed=1", cwd=read_only))
    assert "cannot write to runs" in said
