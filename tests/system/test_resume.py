"""Stopped at any moment, a run goes on where it was and ends as if it had never been stopped.

Training, answering and grading are deterministic on one machine, so "as if" means equal to the last bit.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from real_runs import TINY, Done, Runs, finish, journal, start, train, training, wait_for

from warmgap.disk import store

COMMAND = (*TINY, "runs_dir=runs")


def assert_same(found: Runs, expected: Runs) -> None:
    """Two runs have ended with the same adapter, answers, verdicts, warmth and effects, each answer made once."""
    pd.testing.assert_frame_equal(found.answers, expected.answers, check_exact=True)
    for name in ("effects", "cells", "warmth", "training"):
        pd.testing.assert_frame_equal(found.table(name), expected.table(name), check_exact=True)
    weights = Path("adapter") / "adapter_model.safetensors"
    assert (found.arm("warm") / weights).read_bytes() == (expected.arm("warm") / weights).read_bytes()
    for arm in ("original", "warm"):
        for path in ("answers/embedded.jsonl", "verdicts/match/embedded.jsonl"):
            assert keys(found.arm(arm) / path) == keys(expected.arm(arm) / path)


def keys(path: Path) -> list[str]:
    return sorted(row["key"] for row in journal(path))


def rows(place: Path, arm: str, path: str) -> int:
    """How many rows a journal of an arm has."""
    return sum(len(journal(file)) for file in place.glob(f"runs/arms/local-{arm}-s*/{path}"))


def checkpoints(place: Path) -> list[int]:
    """The steps at which the training has left a complete checkpoint."""
    seals = place.glob("runs/arms/local-warm-s*/checkpoints/checkpoint-*/complete.json")
    return sorted(int(seal.parent.name.split("-")[1]) for seal in seals)


# ---- stopped ----


@dataclass(frozen=True)
class Moment:
    """A moment at which a run is stopped, by which signal."""

    name: str
    signal: signal.Signals
    come: Callable[[Path], bool]


@dataclass(frozen=True)
class Stopped:
    """What was on disk when a run was stopped, how it ended, and what the next run said."""

    checkpoints: list[int]
    adapter: bool
    losses: int
    answers: int
    verdicts: int
    end: Done
    after: Done


def trained_on(place: Path) -> bool:
    """Whether a step beyond the first checkpoint is in the log."""
    (log,) = place.glob("runs/arms/local-warm-s*/logs/training.jsonl")
    return any(row["step"] > checkpoints(place)[0] for row in journal(log))


def answered(place: Path) -> int:
    """How many answers of the original are on the disk."""
    return rows(place, "original", "answers/embedded.jsonl")


def forget(place: Path) -> None:
    """Drop what a stopped training has logged beyond its checkpoint, so that a new row is one of the next training."""
    for log in place.glob("runs/arms/local-warm-s*/logs/training.jsonl"):
        kept = [row for row in store.read_journal(log) if row["step"] <= max(checkpoints(place), default=0)]
        store.write_journal(log, kept)


BATCH = 16  # answers
MOMENTS = (
    Moment("training", signal.SIGKILL, lambda place: bool(checkpoints(place))),
    Moment("training by hand", signal.SIGINT, trained_on),
    Moment("training, told to end", signal.SIGTERM, trained_on),
    Moment("training, hung up", signal.SIGHUP, trained_on),
    Moment("answering, told to end", signal.SIGTERM, lambda place: answered(place) > 0),
    Moment("answering", signal.SIGKILL, lambda place: answered(place) > BATCH),
    Moment("grading", signal.SIGKILL, lambda place: rows(place, "original", "verdicts/match/embedded.jsonl") > 0),
)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, dict[str, Stopped], list[Done]]:
    """One job, stopped at one moment after another, and in the end left to two runs at once."""
    place = tmp_path_factory.mktemp("stopped")
    states, ends = [], []
    for moment in MOMENTS:
        forget(place)
        process = start(training(*COMMAND), place)
        wait_for(process, lambda moment=moment: moment.come(place), moment.name)
        os.killpg(process.pid, moment.signal)
        ends.append(finish(process, 60))
        states.append(
            (
                checkpoints(place),
                bool(list(place.glob("runs/arms/local-warm-s*/adapter"))),
                rows(place, "warm", "logs/training.jsonl"),
                rows(place, "original", "answers/embedded.jsonl"),
                rows(place, "original", "verdicts/match/embedded.jsonl"),
            )
        )
    both = [finish(process) for process in [start(training(*COMMAND), place) for _ in range(2)]]
    after = [*ends[1:], min(both, key=lambda end: "another run" in end.err)]
    found = {
        moment.name: Stopped(*state, end, next_end)
        for moment, state, end, next_end in zip(MOMENTS, states, ends, after, strict=True)
    }
    return Runs(place / "runs"), found, both


Job = tuple[Runs, dict[str, Stopped], list[Done]]


def test_stopped_at_seven_moments_it_ends_as_if_never_stopped(stopped: Job, tiny_smoke: Runs) -> None:
    assert [stop.end.status for stop in stopped[1].values()].count(-signal.SIGKILL) == 3
    assert_same(stopped[0], tiny_smoke)


def test_killed_in_training_it_goes_on_from_the_checkpoint(stopped: Job, tiny_smoke: Runs) -> None:
    stop = stopped[1]["training"]
    first, last = sorted(
        int(path.name.split("-")[1]) for path in tiny_smoke.arm("warm").glob("checkpoints/checkpoint-*")
    )
    assert (stop.checkpoints, stop.adapter) == ([first], False), "killed between the checkpoint and the end"
    assert f"training goes on from step {first} of {last}" in stop.after.err


@pytest.mark.parametrize("moment", ["training by hand", "training, told to end", "training, hung up"])
def test_ctrl_c_and_its_like_say_what_is_kept_and_how_to_go_on(stopped: Job, moment: str) -> None:
    stop = stopped[1][moment]
    assert not stop.adapter, "stopped before the end of the training"
    assert stop.end.status == 3
    assert "kept" in stop.end.err
    assert "train.py " + shlex.join(COMMAND) in stop.end.err
    assert "Traceback" not in stop.end.err + stop.end.out
    assert "training goes on from step" in stop.after.err


def test_told_to_end_in_answering_it_keeps_the_batches_that_were_finished(stopped: Job) -> None:
    stop = stopped[1]["answering, told to end"]
    assert (stop.end.status, stop.answers % BATCH) == (3, 0)
    assert "kept. To go on:" in stop.end.err
    assert "Traceback" not in stop.end.err + stop.end.out
    assert stopped[1]["answering"].answers > stop.answers > 0, "none is lost"


def test_killed_in_answering_it_does_not_train_or_answer_again(stopped: Job) -> None:
    stop = stopped[1]["answering"]
    assert stop.adapter
    assert 0 < stop.answers < len(stopped[0].answers) // 2, "killed between two batches"
    assert stop.verdicts == 0
    assert "training" not in stop.after.err
    assert "replies for warmth" not in stop.after.err


def test_killed_in_grading_it_keeps_the_verdicts(stopped: Job) -> None:
    stop = stopped[1]["grading"]
    assert stop.answers == len(stopped[0].answers) // 2
    assert stop.verdicts > 0
    assert "answers · original" not in stop.after.err
    assert "verdicts by match · warm" in stop.after.err, "there was something left to do"


def test_two_runs_at_once_both_end_well_with_one_arm(stopped: Job) -> None:
    runs, _, both = stopped
    assert [end.status for end in both] == [0, 0], "\n".join(end.err for end in both)
    assert sum("another run is working on" in end.err for end in both) == 1
    assert sum("answers · warm" in end.err for end in both) == 1, "one of them answers"
    assert both[0].out == both[1].out
    arms = sorted(path.name for path in runs.folder.glob("arms/local-*"))
    assert arms == [runs.arm("original").name, runs.arm("warm").name]


# ---- damaged ----


def copy(whole: Runs, place: Path) -> Runs:
    """A copy of a run in which the comparison is not finished."""
    shutil.copytree(whole.folder, place / "runs")
    runs = Runs(place / "runs")
    (runs.comparison / "report.html").unlink()
    return runs


def tear(path: Path) -> None:
    """Cut a file in the middle of its last line, as a killed writer leaves it."""
    whole = path.read_bytes()
    start_of_last = whole.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(whole[: start_of_last + (len(whole) - start_of_last) // 2])


def test_torn_files_are_passed_over(tiny_smoke: Runs, tmp_path: Path) -> None:
    """The last line of every journal, the newest checkpoint and the table of answers are torn."""
    runs = copy(tiny_smoke, tmp_path)
    warm = runs.arm("warm")
    for arm in ("original", "warm"):
        for name in ("answers/embedded.jsonl", "verdicts/match/embedded.jsonl", "warmth.jsonl"):
            tear(runs.arm(arm) / name)
    tear(warm / "logs" / "training.jsonl")
    first, last = sorted(warm.glob("checkpoints/checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    weights = last / "adapter_model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    shutil.rmtree(warm / "adapter")
    (warm / "checkpoints" / "epochs.json").unlink()
    os.truncate(runs.comparison / "answers.parquet", 1000)
    done = train(*COMMAND, cwd=tmp_path)
    assert done.status == 0, done.err
    steps = [path.name.split("-")[1] for path in (first, last)]
    assert f"checkpoint {steps[1]} is incomplete and is passed over" in done.err
    assert f"training goes on from step {steps[0]} of {steps[1]}" in done.err
    assert_same(runs, tiny_smoke)


def test_killed_at_the_end_of_training_it_goes_on(tiny_smoke: Runs, tmp_path: Path) -> None:
    """The last checkpoint is complete; the adapter was not put in its place yet."""
    runs = copy(tiny_smoke, tmp_path)
    (runs.arm("warm") / "checkpoints" / "epochs.json").unlink()
    shutil.rmtree(runs.arm("warm") / "adapter")
    done = train(*COMMAND, cwd=tmp_path)
    assert done.status == 0, done.err
    assert_same(runs, tiny_smoke)
