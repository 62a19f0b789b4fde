"""Seals of folders, counts of journals, and folders of other versions and from killed or half-copied runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from warmgap.disk import arm_names, manifest, seals, store
from warmgap.errors import UserError
from warmgap.version import FORMAT


def comparison(folder: Path) -> Path:
    (folder / "figures").mkdir(parents=True)
    for name in ("effects.csv", "figures/gap.svg"):
        (folder / name).write_text(f"{name}\n", encoding="utf-8")
    seals.finish(folder)
    return folder


def arm(folder: Path, **more: object) -> store.Arm:
    store.write_text(folder / "config.yaml", "seed: 0\n")
    made = {"model": "m", "arm": "warm", "seed": 0, "config": store.sum_of(folder / "config.yaml")}
    store.write_json(folder / "manifest.json", manifest.record(**made) | more)
    return store.open_arm(folder)


@pytest.mark.parametrize("name", ["effects.csv", "figures/gap.svg"])
def test_a_finished_comparison_is_what_was_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = comparison(tmp_path / "c")
    assert seals.finished(folder)
    seals.check_file(folder / name)
    (folder / name).write_text("else\n", encoding="utf-8")
    assert not seals.finished(folder)
    assert f"{name} is not what was written; the comparison is made again" in capsys.readouterr().err
    with pytest.raises(store.Damaged, match="is damaged"):
        seals.check_file(folder / name)
    (folder / name).unlink()
    assert not seals.finished(folder)


def test_a_comparison_is_not_finished_while_it_is_made(tmp_path: Path) -> None:
    folder = comparison(tmp_path / "c")
    with pytest.raises(KeyboardInterrupt), seals.at_work(folder):
        raise KeyboardInterrupt
    assert not seals.finished(folder)
    with seals.at_work(folder):
        pass
    seals.finish(folder)
    assert seals.finished(folder)


def test_a_comparison_of_an_earlier_version_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = comparison(tmp_path / "c")
    (folder / seals.DONE).write_text("", encoding="utf-8")
    assert not seals.finished(folder)
    assert "was made by an earlier version" in capsys.readouterr().err


def test_folders_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    folder = comparison(tmp_path / "c")
    store.write_json(folder / seals.DONE, {"format": FORMAT + 1, "files": {}})
    with pytest.raises(UserError, match="newer version"):
        seals.finished(folder)
    with pytest.raises(UserError, match="newer version") as refusal:
        arm(tmp_path / "arms" / "a", format=FORMAT + 1)
    assert "update warmgap" in refusal.value.fix


def test_settings_changed_by_hand_are_named(tmp_path: Path) -> None:
    made = arm(tmp_path / "a")
    (made.folder / "config.yaml").write_text("seed: 1\n", encoding="utf-8")
    with pytest.raises(store.Damaged, match=r"config\.yaml is not what was written"):
        store.open_arm(made.folder)


def test_an_arm_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    made = arm(tmp_path / "a")
    old = {"model": "m", "arm": "warm", "seed": 0}
    (made.folder / "manifest.json").write_text(json.dumps(old), encoding="utf-8")
    (made.folder / "config.yaml").write_text("seed: 1\n", encoding="utf-8")
    assert store.open_arm(made.folder) == made
    seals.check_count(made)


def test_what_cannot_be_read_hides_no_other_arm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arm(tmp_path / "arms" / "whole")
    for name, text in (("torn", "{"), ("strange", "{}"), ("newer", json.dumps({"format": FORMAT + 1}))):
        store.write_text(tmp_path / "arms" / name / "manifest.json", text)
    assert [one.name for one in arm_names.arms_in(tmp_path)] == ["whole"]
    said = capsys.readouterr().err
    assert said.count("left out: ") == 3
    assert "newer version" in said


def counted(tmp_path: Path) -> store.Arm:
    made = arm(tmp_path / "a")
    for path in (made.answers("t"), made.costs):
        store.append(path, [{"key": str(number)} for number in range(3)])
    seals.count(made)
    return made


def test_journals_may_grow_and_lose_nothing(tmp_path: Path) -> None:
    made = counted(tmp_path)
    store.append(made.costs, [{"key": "new"}])
    seals.check_count(made)
    lines = made.costs.read_bytes().splitlines(keepends=True)
    made.costs.write_bytes(b"".join(lines[:2]))
    with pytest.raises(store.Damaged, match=r"costs\.jsonl is damaged") as refusal:
        seals.check_count(made, seals.NOT_MADE_AGAIN)
    assert "what is lost of it stays lost" in refusal.value.fix
    made.costs.write_bytes(b"".join(lines))
    made.answers("t").unlink()
    seals.check_count(made, seals.NOT_MADE_AGAIN)
    with pytest.raises(store.Damaged, match=r"t\.jsonl is damaged"):
        seals.check_count(made)


def test_counting_twice_changes_no_file(tmp_path: Path) -> None:
    made = counted(tmp_path)
    before = (made.folder / seals.COUNTED).stat().st_mtime_ns
    seals.count(made)
    assert (made.folder / seals.COUNTED).stat().st_mtime_ns == before


def test_scratch_files_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead, alive = (tmp_path / f".x.json.{socket.gethostname()}-{number}" for number in (process.pid, os.getppid()))
    fresh = tmp_path / f".y.json.{socket.gethostname()}-{process.pid}"
    for path in (dead, alive, fresh):
        path.write_text("half", encoding="utf-8")
    long_ago = time.time() - 2 * store.OLD
    os.utime(dead, (long_ago, long_ago))
    os.utime(alive, (long_ago, long_ago))
    store.write_json(tmp_path / "x.json", {})
    store.write_json(tmp_path / "y.json", {})
    assert not dead.exists()
    assert alive.exists()
    assert fresh.exists(), "it may be that of another machine"


FULL = """
import resource, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from warmgap.cli import guard
from warmgap.disk import store

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
ways = {
    "journal": lambda: store.append(Path("x.jsonl"), [{"key": "b", "text": "x" * 200_000}]),
    "text": lambda: store.write_text(Path("x.txt"), "x" * 200_000),
    "torch": lambda: torch.save(torch.zeros(100_000), "x.pt"),
    "safetensors": lambda: save_file({"x": torch.zeros(100_000)}, "x.safetensors"),
}
store.append(Path("x.jsonl"), [{"key": "a"}])
sys.exit(guard.guarded(ways[sys.argv[1]], Path("."), "again"))
"""


@pytest.mark.parametrize("way", ["journal", "text", "torch", "safetensors"])
def test_a_file_that_finds_no_room_is_a_plain_error(way: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, way], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert [line.partition(":")[0] for line in done.stderr.splitlines()[-3:]] == ["error", "why", "fix"]
    assert "the disk is full" in done.stderr
    assert [row["key"] for row in store.read_journal(tmp_path / "x.jsonl", "nothing is torn")] == ["a"]
    assert (tmp_path / "x.jsonl").read_bytes().count(b"\n") == 1
    assert not list(tmp_path.glob(".x.*")), "no scratch file takes the little room there is"
