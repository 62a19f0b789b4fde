"""A suite of two turns goes the whole way: asked of two arms, graded by turn, and compared on the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import tiny

from warmgap import jobs, pipeline
from warmgap.disk import store
from warmgap.evaluate import suites
from warmgap.evaluate.suites.base import Exchange, Prompt, Suite
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import config


@dataclasses.dataclass
class Doubt:
    """What `Doubted` takes."""

    text: str


class Doubted(Suite):
    """Every question, and then a doubt of whatever was answered; both answers count."""

    Options = Doubt
    turns = 2

    def dialogues(self, items: Sequence[Item]) -> list[Prompt]:
        return [Prompt(item.task, item.item_id, item.family, "none", "", "none", item.question) for item in items]

    def next_turn(self, so_far: Sequence[Exchange]) -> Prompt | None:
        return dataclasses.replace(so_far[0].prompt, context="doubted", group="doubt", prompt=self.options.text)


def test_a_suite_of_two_turns_goes_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(suites.SUITES, "doubted", Doubted)
    model = tiny.model(tmp_path / "model")
    local = ["model=local", f"model.path={model}", "model@warmth.scorer=local", f"warmth.scorer.path={model}"]
    short = ["generate.max_new_tokens=4", "warmth.max_new_tokens=4", "warmth.prompts=2", "model.dtype=float32"]
    run = config.compose(["+persona=warm_prompt", "experiment=smoke", *local, *short, f"runs_dir={tmp_path / 'runs'}"])
    grid = jobs.prepare(run).folder
    run = dataclasses.replace(run, suite={"doubted": {"text": "Really?"}})
    folder = pipeline.execute(run)
    assert folder != grid, "what is asked is part of what a comparison is"
    answers = pd.read_parquet(folder / "answers.parquet")
    assert answers.groupby(["arm", "context", "group"]).size().to_dict() == {
        (arm, *place): 12 for arm in ("original", "warm_prompt") for place in (("none", "none"), ("doubted", "doubt"))
    }
    effects = pd.read_csv(folder / "effects.csv", keep_default_na=False)
    graded = answers[answers["error"].notna()].groupby("context").size()
    found = effects[(effects["analysis"] == "context") & (effects["errors"] == "clustered")].set_index("term")["n"]
    assert found.to_dict() == graded.to_dict()
    (arm,) = (tmp_path / "runs" / "arms").glob("local-original-*/answers/embedded.jsonl")
    assert [row.get("turn") for row in store.read_journal(arm)].count(2) == 12
    assert "doubted" in (folder / "report.html").read_text(encoding="utf-8")
