"""A run as pieces of work: which there are, what each needs, how far it is, and what a job of it asks for."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from warmgap import jobs
from warmgap.cluster import programme, slurm
from warmgap.cluster.programme import DONE, FAILED, MISSING, RUNNING, WAITING, Programme
from warmgap.disk import shards, store
from warmgap.errors import BadValue, UserError
from warmgap.settings import config

BASE = ("+persona=warm", "compare.personas=[cold]", "compare.seeds=[0,1]", "launcher=slurm", "launcher.shards=3")


@pytest.fixture
def whole(tmp_path: Path) -> Programme:
    """Two personas of two seeds, three shards."""
    run = config.compose([*BASE, f"runs_dir={tmp_path / 'runs'}", "+launcher.training.gpus=8"])
    job = jobs.prepare(run)
    folder = Path(run.runs_dir) / "launched" / job.folder.name
    return Programme(folder, run, ["train.py", *BASE], list(programme._pieces(job, run.launcher.shards)))


def finish(whole: Programme, key: str) -> None:
    """Mark a piece as done."""
    (piece,) = (piece for piece in whole.pieces if piece.key == key)
    store.write_text(whole.runs_dir / piece.mark, "")


def test_each_arm_is_made_and_asked_in_shards_and_all_are_put_together(whole: Programme) -> None:
    shorts = ["original", "cold@0", "cold@1", "warm@0", "warm@1"]
    found = {(piece.short, piece.shard) for piece in whole.pieces[:-1]}
    assert found == {(short, f"{number}/3") for short in shorts for number in range(4)}
    assert whole.pieces[-1].shard == "all/3"
    assert sorted(piece.short for piece in whole.pieces if piece.trains) == sorted(shorts[1:])
    assert {piece.short for piece in whole.pieces if piece.waits} == set(shorts) - {"original"}


def test_questions_wait_for_their_own_arm_and_the_comparison_for_all(whole: Programme) -> None:
    jobs = {piece.key: f"{number}_0" for number, piece in enumerate(whole.pieces, 1)}
    asked = [piece for piece in whole.pieces if piece.short == "warm@1" and not piece.makes]
    (made,) = (piece for piece in whole.pieces if piece.short == "warm@1" and piece.makes)
    assert slurm._needs(whole, asked, jobs) == [jobs[made.key]]
    assert slurm._needs(whole, asked, {}) == [], "it is made already"
    original = [piece for piece in whole.pieces if piece.short == "original" and not piece.makes]
    assert slurm._needs(whole, original, jobs) == []
    assert len(slurm._needs(whole, whole.pieces[-1:], jobs)) == len(whole.pieces) - 1


def test_disk_counts_before_the_queue_and_the_queue_before_what_has_failed(whole: Programme) -> None:
    keys = [piece.key for piece in whole.pieces]
    finish(whole, keys[0])
    states = whole.states({keys[0]: RUNNING, keys[1]: RUNNING, keys[2]: WAITING}, [keys[1], keys[3]])
    assert [states[key] for key in keys[:5]] == [DONE, RUNNING, WAITING, FAILED, MISSING]
    assert [piece.key for piece in programme.todo(whole, states)] == keys[3:]
    assert sum(count for _, counts in programme.counted(whole, states) for count in counts.values()) == len(keys)


def test_a_programme_is_read_back_as_it_was(whole: Programme) -> None:
    assert programme.thaw(programme.freeze(whole)) == whole
    assert programme.all_in(whole.runs_dir) == [whole]


def test_a_mark_is_of_one_comparison(whole: Programme) -> None:
    """Other questions, or another judge, make another hash: what is done of one is not done of the other."""
    arm = store.Arm(whole.runs_dir / "arms" / "a", "m", "a", 0)
    marks = {arm.piece(name, shards.Shard(number, 3)) for name in ("1" * 8, "2" * 8) for number in (0, 1, 2, 3)}
    assert len(marks) == 8
    assert arm.piece("1" * 8, shards.Shard(0, 3)) == arm.piece("1" * 8, shards.Shard(0, 7)), "it is the same work"


def test_jobs_ask_for_what_their_settings_say(whole: Programme) -> None:
    (trained, *_) = (piece for piece in whole.pieces if piece.trains)
    asked = next(piece for piece in whole.pieces if not piece.makes)
    found = [slurm._parameters(whole, piece, "label", ["7_1"]) for piece in (trained, asked, whole.pieces[-1])]
    assert [one.get("gpus_per_node") for one in found] == [8, 1, None]
    assert found[0]["dependency"] == "afterok:7_1"
    assert found[0]["comment"] == f"warmgap:{whole.name}:label"
    assert found[0]["additional_parameters"] == {"requeue": True, "kill-on-invalid-dep": "yes"}


def test_what_accounting_says_of_jobs_that_are_gone_is_told(
    whole: Programme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SLURM that keeps accounts needs a database; a program that prints in its form stands for it."""
    programme.freeze(whole)
    keys = [piece.key for piece in whole.pieces]
    store.write_json(whole.folder / "arrays" / "aa.json", {"pieces": keys[:3], "jobs": ["4_0", "4_1", "4_2"]})
    (tmp_path / "bin").mkdir()
    for name, said in (
        ("sacct", "4_0|TIMEOUT\\n4_1|COMPLETED\\n"),
        ("squeue", f"4_2|RUNNING|None|warmgap:{whole.name}:aa\\n"),
    ):
        script = tmp_path / "bin" / name
        script.write_text(f"#!/bin/sh\nprintf '{said}'\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    states, why = slurm.states(whole)
    assert [states[key] for key in keys[:3]] == [FAILED, MISSING, RUNNING]
    assert why == {keys[0]: "TIMEOUT"}


@pytest.mark.parametrize(
    "given",
    [
        ["launcher=slurm", "shard=1/2"],
        ["launcher=slurm", "dial=scale:0.5"],
        ["launcher=slurm", "launcher.nodes=2"],
        ["launcher=slurm", "launcher.mode=slurm"],
        ["launcher=slurm", "+launcher.training.gpu=8"],
        ["launcher=slurm", "launcher.shards=0"],
    ],
)
def test_what_makes_no_sense_is_refused(given: list[str]) -> None:
    with pytest.raises(BadValue):
        config.compose(["+persona=warm", *given])


def test_no_secret_is_written_for_jobs_to_read(tmp_path: Path) -> None:
    more = [*BASE, f"runs_dir={tmp_path / 'runs'}"]
    assert programme.hidden.blanked(dataclasses.asdict(config.compose(more))) == dataclasses.asdict(
        config.compose(more)
    )
    endpoint = ("judge=openai", "judge.model=m-2024-08-06", "judge.base_url=https://me:pa55word@host.example/v1")
    for secret in (("+method.trainer.hub_token=hf_abcdefgh",), endpoint):
        with pytest.raises(UserError, match="stands in the settings"):
            programme.of(config.compose([*more, *secret]))
    assert not list(tmp_path.rglob("*"))


def test_a_programme_whose_file_is_damaged_is_left_out_and_said(
    whole: Programme, capsys: pytest.CaptureFixture[str]
) -> None:
    path = programme.freeze(whole)
    assert [one.name for one in programme.all_in(whole.runs_dir)] == [whole.name]
    path.write_bytes(path.read_bytes().replace(b"cold", b"gold", 1))
    assert programme.all_in(whole.runs_dir) == []
    assert f"left out: {path} is damaged" in capsys.readouterr().err
    with pytest.raises(UserError, match="is damaged"):
        programme.thaw(path)
