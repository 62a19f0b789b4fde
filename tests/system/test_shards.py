"""A run cut into shards ends as the whole run does: each shard by itself, at once with others, stopped, or missing."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from pathlib import Path

import pytest
from real_runs import TINY, Done, Runs, finish, journal, refused, start, train, training, wait_for

COMMAND = (*TINY, "runs_dir=runs")
TABLES = ("answers.parquet", "effects.csv", "cells.csv", "warmth.csv", "training.csv")
JOURNALS = ("answers/embedded", "verdicts/match/embedded")


def made(whole: Runs, place: Path) -> Runs:
    """The arms of a run, trained and with their warmth, before the grid is asked."""
    shutil.copytree(whole.folder / "arms", place / "runs" / "arms")
    for folder in [*place.glob("runs/arms/*/verdicts")]:
        shutil.rmtree(folder)
    for path in place.glob("runs/arms/*/answers/embedded.jsonl"):
        path.unlink()
    return Runs(place / "runs")


def assert_same_tables(found: Runs, whole: Runs) -> None:
    """Byte for byte."""
    for name in TABLES:
        assert (found.comparison / name).read_bytes() == (whole.comparison / name).read_bytes(), name


def shard(text: str, place: Path, *more: str) -> Done:
    return train(*COMMAND, f"shard={text}", *more, cwd=place)


@pytest.fixture(scope="module")
def cut(tiny_smoke: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Done]]:
    """Everything from nothing: put together too soon, shard by shard, one of them stopped, another one left out."""
    place = tmp_path_factory.mktemp("cut")
    ends = {"too soon": shard("1/3", place)}
    ends["0"] = shard("0/3", place)
    at_once = [start(training(*COMMAND, f"shard={number}/3"), place) for number in (1, 2)]
    ends |= {str(number): finish(process) for number, process in enumerate(at_once, 1)}
    ends["partial"] = shard("all/3", place)
    process = start(training(*COMMAND, "shard=3/3"), place)
    wait_for(process, lambda: any(place.glob("runs/arms/*/answers/embedded.3-of-3.jsonl")), "an answer of the third")
    os.killpg(process.pid, signal.SIGKILL)
    ends["stopped"] = finish(process, 60)
    ends["3"] = shard("3/3", place)
    ends["again"] = shard("3/3", place)
    ends["all"] = shard("all/3", place)
    return place, ends


Cut = tuple[Path, dict[str, Done]]


def test_shards_end_with_the_tables_of_the_whole_run(cut: Cut, tiny_smoke: Runs) -> None:
    place, ends = cut
    assert [ends[name].status for name in ("0", "1", "2", "3", "all")] == [0] * 5, ends["all"].err
    assert_same_tables(Runs(place / "runs"), tiny_smoke)
    weights = Path("adapter") / "adapter_model.safetensors"
    assert (Runs(place / "runs").arm("warm") / weights).read_bytes() == (tiny_smoke.arm("warm") / weights).read_bytes()


def test_a_shard_answers_as_arms_that_are_there(cut: Cut) -> None:
    said = refused(cut[1]["too soon"])
    assert "not made yet: warm" in said
    assert said.endswith(f"train.py {shlex.join(COMMAND)} shard=0/3".replace("'", ""))
    assert "training" not in cut[1]["1"].err


def test_no_two_shards_write_one_file_and_each_answer_is_made_once(cut: Cut, tiny_smoke: Runs) -> None:
    runs = Runs(cut[0] / "runs")
    for arm in ("original", "warm"):
        for name in JOURNALS:
            parts = [journal(runs.arm(arm) / f"{name}.{number}-of-3.jsonl") for number in (1, 2, 3)]
            assert all(parts)
            assert not (runs.arm(arm) / f"{name}.jsonl").exists()
            keys = [row["key"] for part in parts for row in part]
            assert sorted(keys) == sorted(row["key"] for row in journal(tiny_smoke.arm(arm) / f"{name}.jsonl"))


def test_all_prompts_of_an_item_are_in_one_shard(cut: Cut) -> None:
    folder = Runs(cut[0] / "runs").arm("original") / "answers"
    held = [{row["item_id"] for row in journal(path)} for path in sorted(folder.glob("embedded.*-of-3.jsonl"))]
    assert len(held) == 3
    assert sum(map(len, held)) == len(set.union(*held))


def test_what_is_missing_is_named_with_its_command_and_nothing_is_compared(cut: Cut) -> None:
    said = refused(cut[1]["partial"])
    assert "nothing is compared" in said
    assert "original and warm: 3 of 3" in said
    assert "shard=3/3" in said.splitlines()[2]
    assert "shard=1/3" not in said


def test_a_shard_that_is_done_is_not_done_again(cut: Cut) -> None:
    again = cut[1]["again"]
    assert again.status == 0
    assert "answers ·" not in again.err
    assert "shard 3/3 is done" in again.err


def test_the_whole_run_takes_in_what_shards_have_made(tiny_smoke: Runs, tmp_path: Path) -> None:
    """One shard of the whole, of one arm: the rest is asked by the command without a shard."""
    runs = made(tiny_smoke, tmp_path)
    first = shard("2/2", tmp_path, "only=[warm]")
    assert first.status == 0, first.err
    assert not list(runs.arm("original").glob("answers/embedded*"))
    missing = refused(shard("all/2", tmp_path))
    assert "only=[original]" in missing
    assert "warm: 1 of 2" in missing or "original and warm: 1 of 2" in missing
    done = train(*COMMAND, cwd=tmp_path)
    assert done.status == 0, done.err
    assert_same_tables(runs, tiny_smoke)
    parts = [journal(runs.arm("warm") / f"answers/embedded{part}.jsonl") for part in ("", ".2-of-2")]
    keys = [row["key"] for part in parts for row in part]
    assert len(set(keys)) == len(keys), "no answer is made twice"


def test_arms_that_the_run_does_not_have_are_refused(tiny_smoke: Runs, tmp_path: Path) -> None:
    assert "it has original, warm" in refused(shard("1/2", tmp_path, "only=[cold]"))
    assert "without a shard" in refused(train(*COMMAND, "only=[warm]", cwd=tmp_path))
    assert not (tmp_path / "runs" / "arms").exists()
