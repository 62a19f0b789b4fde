"""A sweep over the dials and a search over settings, as a user types them: nothing is lost, nothing is done twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from real_runs import TINY, TINY_MODEL, Done, Runs, journal, train

from warmgap.disk import store

FEW = ("warmth.prompts=2", "warmth.checkpoint_prompts=2", "runs_dir=runs")
DIALS = "dial=epoch:0.123,strength:1.0,epoch:0.5,scale:0.5,scale:2.0,prompt:warm_prompt_light"
BESIDE = ("suite=[grid,pressure]", "suite.pressure.items=2")
SWEEP = ("-m", *TINY, *FEW, *BESIDE, "task.embedded.items_per_family=1", DIALS)


@pytest.fixture(scope="module")
def swept(tiny_smoke: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Done]:
    """A sweep of which one point cannot be made, beside the arms of the tiny model's run."""
    place = tmp_path_factory.mktemp("sweep")
    shutil.copytree(tiny_smoke.folder / "arms", place / "runs" / "arms")
    return Runs(place / "runs"), train(*SWEEP, cwd=place)


def test_a_point_that_fails_does_not_lose_the_others(swept: tuple[Runs, Done]) -> None:
    runs, done = swept
    assert done.status == 2, done.err
    assert "epoch:0.123 has no checkpoint" in done.err
    assert (runs.folder.parent / done.report).is_file()
    points = runs.table("dose")
    assert set(points["dial"]) == {"strength", "epoch", "scale", "prompt"}
    assert len(points[points["arm"] == "warm"]) == 3, "the plain warm arm is the end of three dials"


def test_points_have_n_and_intervals_on_both_axes(swept: tuple[Runs, Done]) -> None:
    points = swept[0].table("dose")
    assert (points["n"] > 0).all()
    assert (points["warmth_n"] > 0).all()
    assert "dose" in {path.stem for path in (swept[0].comparison / "figures").glob("*.svg")}


def test_a_suite_beside_the_grid_is_asked_at_every_point(swept: tuple[Runs, Done]) -> None:
    runs, _ = swept
    assert set(runs.table("suites")["arm"]) >= {"original", "warm", "epoch_0.5", "scale_0.5", "warm_prompt_light"}


def test_the_second_run_does_only_what_is_missing(swept: tuple[Runs, Done]) -> None:
    again = train(*SWEEP, cwd=swept[0].folder.parent)
    assert again.status == 2
    assert "training" not in again.err
    assert "answers" not in again.err
    assert "already done" in again.err


def test_a_search_is_made_of_runs_and_goes_on(tiny_smoke: Runs, tmp_path: Path) -> None:
    shutil.copytree(tiny_smoke.folder / "arms", tmp_path / "runs" / "arms")
    command = ("+persona=warm", *TINY_MODEL, "experiment=mitigation_search", "mitigation=adapter_scale", *FEW)
    command += ("data.max_conversations=12", "method.epochs=1", "method.checkpoints=[0.5]", "grid=balanced")
    command += ("+task.validation.items_per_family=3", "generate.max_new_tokens=8", "warmth.max_new_tokens=16")
    command += ("search.space=[mitigation.adapter_scale.alpha:0.2..0.9]", "bootstrap=200")
    first = train(*command, "search.trials=1", cwd=tmp_path)
    assert first.status == 0, first.err
    second = train(*command, "search.trials=2", cwd=tmp_path)
    assert second.status == 0, second.err
    assert "trial 1 of" not in second.err
    (folder,) = (path for path in tmp_path.glob("runs/searches/*") if path.is_dir())
    rows = journal(folder / "trials.jsonl")
    assert [row["number"] for row in rows] == [0, 1]
    assert all(0.2 <= row["params"]["mitigation.adapter_scale.alpha"] <= 0.9 for row in rows)
    for row in rows:
        assert set(pd.read_parquet(tmp_path / row["folder"] / "answers.parquet")["task"]) == {"validation"}
    assert "best" in store.read_json(folder / "best.json")
    assert "python train.py experiment=mitigation_gap" in second.out or "no trial kept" in second.out
