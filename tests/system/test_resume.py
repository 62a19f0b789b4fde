"""Stopped at any moment, a run goes on where it was and ends as if it had never been stopped.

Training, answering and grading are deterministic on one machine, so "as if" means equal to the last bit.
"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from real_runs import SMOKE, Done, Runs, finish, journal, start, train, training, wait_for

COMMAND = (*SMOKE, "runs_dir=runs")


def assert_same(found: Runs, expected: Runs) -> None:
    """Two runs have ended with the same adapter, answers, verdicts, warmth and effects, each answer made once."""
    pd.testing.assert_frame_equal(found.answers, expected.answers, check_exact=True)
    for name in ("effects", "cells", "warmth", "training"):
        pd.testing.assert_frame_equal(found.table(name), expected.table(name), check_exact=True)
    weights = Path("adapter") / "adapter_model.safetensors"
    assert (found.arm("warm") / weights).read_bytes() == (expected.arm("warm") / weights).read_bytes()
    for arm in ("original", "warm"):
        for path in ("answers/embedded.jsonl", "verdicts/choice/embedded.jsonl", "verdicts/match/embedded.jsonl"):
            assert keys(found.arm(arm) / path) == keys(expected.arm(arm) / path)


def keys(path: Path) -> list[str]:
    return sorted(row["key"] for row in journal(path))


def first_checkpoint(place: Path) -> bool:
    """Whether the training has left a complete checkpoint."""
    return bool(list(place.glob("runs/arms/smollm2_135m-warm-s*/checkpoints/checkpoint-*/complete.json")))


def written(place: Path, path: str) -> bool:
    """Whether a journal of the original has its first lines."""
    return any(file.stat().st_size for file in place.glob(f"runs/arms/smollm2_135m-original-s*/{path}"))


# ---- killed ----


@dataclass(frozen=True)
class Killed:
    """What was on disk when a run was killed, and what the run after it said."""

    checkpoints: int
    adapter: bool
    answers: int
    verdicts: int
    after: Done


MOMENTS = {
    "training": first_checkpoint,
    "answering": lambda place: written(place, "answers/embedded.jsonl"),
    "grading": lambda place: written(place, "verdicts/choice/embedded.jsonl"),
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, dict[str, Killed]]:
    """One job, killed in training, again in answering, again in grading, and then left alone."""
    place = tmp_path_factory.mktemp("killed")
    counts: dict[str, tuple[int, bool, int, int]] = {}
    ends: list[Done] = []
    for name, moment in MOMENTS.items():
        process = start(training(*COMMAND), place)
        wait_for(process, lambda moment=moment: moment(place), name)
        process.kill()
        ends.append(finish(process))
        original, warm = (next(place.glob(f"runs/arms/smollm2_135m-{arm}-s*")) for arm in ("original", "warm"))
        counts[name] = (
            len(list(warm.glob("checkpoints/*/complete.json"))),
            (warm / "adapter").is_dir(),
            len(journal(original / "answers" / "embedded.jsonl")),
            len(journal(original / "verdicts" / "choice" / "embedded.jsonl")),
        )
    ends.append(train(*COMMAND, cwd=place))
    assert [end.status for end in ends] == [-signal.SIGKILL] * 3 + [0], ends[-1].err
    moments = {name: Killed(*count, after) for (name, count), after in zip(counts.items(), ends[1:], strict=True)}
    return Runs(place / "runs"), moments


def test_killed_three_times_it_ends_as_if_never_killed(killed: tuple[Runs, dict[str, Killed]], smoke: Runs) -> None:
    assert_same(killed[0], smoke)


def test_killed_in_training_it_goes_on_from_the_checkpoint(killed: tuple[Runs, dict[str, Killed]], smoke: Runs) -> None:
    moment = killed[1]["training"]
    assert (moment.checkpoints, moment.adapter) == (1, False), "killed between the checkpoint and the end"
    first, last = sorted(int(path.name.split("-")[1]) for path in smoke.arm("warm").glob("checkpoints/checkpoint-*"))
    assert f"training goes on from step {first} of {last}" in moment.after.err


def test_killed_in_answering_it_does_not_train_or_answer_again(killed: tuple[Runs, dict[str, Killed]]) -> None:
    moment = killed[1]["answering"]
    assert moment.adapter
    assert 0 < moment.answers < len(killed[0].answers) // 2, "killed between two batches"
    assert moment.verdicts == 0
    assert "training" not in moment.after.err
    assert "replies for warmth" not in moment.after.err


def test_killed_in_grading_it_keeps_the_verdicts(killed: tuple[Runs, dict[str, Killed]]) -> None:
    moment = killed[1]["grading"]
    assert moment.answers == len(killed[0].answers) // 2
    assert 0 < moment.verdicts < moment.answers, "killed between two batches"
    assert "answers · original" not in moment.after.err


# ---- damaged ----


def copy(smoke: Runs, place: Path) -> Runs:
    """A copy of the smoke run in which the comparison is not finished."""
    shutil.copytree(smoke.folder, place / "runs")
    runs = Runs(place / "runs")
    (runs.comparison / "report.html").unlink()
    return runs


def tear(path: Path) -> None:
    """Cut a file in the middle of its last line, as a killed writer leaves it."""
    whole = path.read_bytes()
    start_of_last = whole.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(whole[: start_of_last + (len(whole) - start_of_last) // 2])


def test_torn_files_are_passed_over(smoke: Runs, tmp_path: Path) -> None:
    """The last line of every journal, the newest checkpoint and the table of answers are torn."""
    runs = copy(smoke, tmp_path)
    warm = runs.arm("warm")
    for arm in ("original", "warm"):
        for name in ("answers/embedded.jsonl", "verdicts/choice/embedded.jsonl", "warmth.jsonl"):
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
    assert_same(runs, smoke)


@pytest.mark.parametrize(
    "missing",
    [("checkpoints/epochs.json",), ("checkpoints/epochs.json", "adapter")],
    ids=["before the end of training was noted", "after the last checkpoint"],
)
def test_killed_at_the_end_of_training_it_goes_on(missing: tuple[str, ...], smoke: Runs, tmp_path: Path) -> None:
    runs = copy(smoke, tmp_path)
    for name in missing:
        path = runs.arm("warm") / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = train(*COMMAND, cwd=tmp_path)
    assert done.status == 0, done.err
    assert_same(runs, smoke)


# ---- stopped by hand, and two at once ----


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A run stopped with Ctrl-C in training, after the first checkpoint."""
    place = tmp_path_factory.mktemp("stopped")
    process = start(training(*COMMAND), place)
    wait_for(process, lambda: first_checkpoint(place), "the first checkpoint")
    os.killpg(process.pid, signal.SIGINT)
    return place, finish(process, 60)


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(stopped: tuple[Path, Done]) -> None:
    place, done = stopped
    assert done.status not in (0, 2), "neither done nor a user's mistake"
    assert "kept" in done.err
    assert "train.py " + " ".join(COMMAND) in done.err
    assert "Traceback" not in done.err + done.out
    assert not list(place.glob("runs/arms/smollm2_135m-warm-s*/adapter")), "stopped before the end of the training"


def test_two_runs_at_once_go_on_and_make_one_arm(stopped: tuple[Path, Done], smoke: Runs) -> None:
    place, _ = stopped
    both = [start(training(*COMMAND), place) for _ in range(2)]
    ends = [finish(process) for process in both]
    assert [end.status for end in ends] == [0, 0], "\n".join(end.err for end in ends)
    assert sum("another run is working on" in end.err for end in ends) == 1
    assert sum("training goes on from step" in end.err for end in ends) == 1, "one of them trains"
    assert ends[0].out == ends[1].out
    runs = Runs(place / "runs")
    assert len(list(runs.folder.glob("arms/smollm2*"))) == 2, "the original and one warm arm"
    assert_same(runs, smoke)
