"""The work of a run as jobs of a real SLURM: a job is killed, the command typed twice, and the result is the same."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import slurm
from real_runs import TINY, Done, Runs, journal, refused, train, warmgap

WHY = slurm.missing()
pytestmark = [
    pytest.mark.skipif(bool(WHY), reason=WHY),
    pytest.mark.skipif(not slurm.submits(), reason="pip install 'warmgap[slurm]'"),
]
COMMAND = (*TINY, "launcher=slurm", "launcher.shards=2", "launcher.gpus=0", "runs_dir=runs")
TABLES = ("answers.parquet", "effects.csv", "cells.csv", "warmth.csv", "training.csv")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Slurm]:
    """A cluster of one machine that runs three jobs at once."""
    with slurm.running(tmp_path_factory.mktemp("slurm") / "s", 3) as found:
        yield found


@dataclass
class Course:
    """What was said and seen while jobs ran."""

    runs: Runs
    ends: dict[str, Done] = field(default_factory=dict)
    killed: str = ""
    queued: dict[str, list[str]] = field(default_factory=dict)


def running(cluster: slurm.Slurm, place: Path, text: str) -> str:
    """The first job that runs and whose log says a text."""
    until = time.monotonic() + 200
    while time.monotonic() < until:
        for job in [line.split("|")[0] for line in cluster.jobs() if "|RUNNING|" in line]:
            for log in place.glob(f"runs/launched/*/jobs/{job}_0_log.err"):
                if text in log.read_text():
                    return job
        time.sleep(0.2)
    raise TimeoutError("\n".join(cluster.jobs()))


@pytest.fixture(scope="module")
def course(cluster: slurm.Slurm, tiny_smoke: Runs, tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Arms that are trained already are asked by jobs, one of which is killed; the command is typed at three times."""
    place = tmp_path_factory.mktemp("jobs")
    shutil.copytree(tiny_smoke.folder / "arms", place / "runs" / "arms")
    for path in place.glob("runs/arms/*/answers/embedded.jsonl"):
        path.unlink()
    found = Course(Runs(place / "runs"))
    for name in ("first", "second"):
        found.ends[name] = train(*COMMAND, cwd=place, **cluster.environment)
        found.queued[name] = cluster.jobs()
        assert found.ends[name].status == 0, found.ends[name].err
    found.killed = running(cluster, place, "model: ")
    cluster.kill(found.killed)
    found.ends["status"] = warmgap("status", cwd=place, **cluster.environment)
    cluster.wait(300)
    found.ends["third"] = train(*COMMAND, cwd=place, **cluster.environment)
    return found


def test_jobs_end_with_the_tables_of_a_run_on_one_machine(course: Course, tiny_smoke: Runs) -> None:
    assert [end.status for end in course.ends.values()] == [0] * 4, course.ends["third"].err
    for name in TABLES:
        assert (course.runs.comparison / name).read_bytes() == (tiny_smoke.comparison / name).read_bytes(), name
    assert course.ends["third"].report == "runs/comparisons/" + course.runs.comparison.name + "/report.html"


def test_what_is_under_way_is_not_handed_in_again(course: Course) -> None:
    assert "nothing is handed in" in course.ends["second"].err
    known = {line.split("|")[0] for line in course.queued["first"]}
    assert {line.split("|")[0] for line in course.queued["second"]} <= known
    assert len(known) == 7, "2 arms made, 2 × 2 shards, all together"


def test_a_job_that_was_killed_goes_again_under_its_number(course: Course) -> None:
    logs = course.runs.folder.glob("launched/*/jobs/*_0_log.out")
    begun = {log.name.removesuffix("_0_log.out"): log.read_text().count("Starting with JobEnvironment") for log in logs}
    assert begun.pop(course.killed) == 2
    assert list(begun.values()) == [1] * 6, "no other is done again"
    assert not list(course.runs.folder.glob("launched/*/failed/*"))


def test_status_tells_what_is_done_and_under_way(course: Course) -> None:
    said = course.ends["status"].out
    assert "jobs of local-warm-s0-" in said
    assert {"done", "running", "waiting", "failed", "missing"} <= set(said.split())
    assert "to hand in what failed" not in said


def test_no_answer_was_made_twice(course: Course) -> None:
    for arm in ("original", "warm"):
        parts = [journal(path) for path in sorted(course.runs.arm(arm).glob("answers/embedded.*-of-2.jsonl"))]
        keys = [row["key"] for part in parts for row in part]
        assert len(parts) == 2
        assert len(keys) == len(set(keys))


def test_what_a_user_has_to_mend_is_not_tried_again_and_nothing_waits_for_it(
    cluster: slurm.Slurm, tmp_path: Path
) -> None:
    """Training finds no row that is short enough; the status says so, and what would hand it in again."""
    wrong = (*COMMAND, "method.max_length=8", "launcher.shards=1")
    assert train(*wrong, cwd=tmp_path, **cluster.environment).status == 0
    cluster.wait(200)
    said = warmgap("status", cwd=tmp_path, **cluster.environment).out
    assert "failed: warm 0/1: status 2 in try 1: no row is left to train on" in said
    assert "launcher=slurm" in said.partition("to hand in what failed or is missing: ")[2]
    assert not list(tmp_path.glob("runs/comparisons/*"))


def test_what_slurm_does_not_take_is_told(cluster: slurm.Slurm, tmp_path: Path) -> None:
    done = train(*COMMAND, "launcher.partition=nowhere", cwd=tmp_path, **cluster.environment)
    why = refused(done).splitlines()[1].lower()
    assert "invalid partition" in why
    assert "batch job submission failed" in why, "all that sbatch says"
    assert "sbatch:" not in done.err, "in the three lines, not before them"
    assert not cluster.jobs()
