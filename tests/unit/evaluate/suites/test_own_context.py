"""A context that nobody but the user knows: from settings, or a yaml of his own, to effects, figures and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmgap.disk import tabular
from warmgap.disk.store import Arm, arm_folder
from warmgap.errors import UserError
from warmgap.evaluate import stats
from warmgap.evaluate.report import comparison
from warmgap.evaluate.report.findings import findings_of
from warmgap.evaluate.report.html.page import write_report
from warmgap.evaluate.report.write import Measured, write_comparison
from warmgap.evaluate.stats import tally
from warmgap.evaluate.suites import make
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import conf_files, config, groups
from warmgap.settings.schema import Run

ITEMS = [Item("t", str(number), "f", f"Question {number}?", "yes", "no", (), (), "") for number in range(40)]
HUNGRY = ("+context.hungry.group=emotion", "+context.hungry.statements=[I am starving.,I have not eaten.]")
AT_NIGHT = ("+context.at_night.group=time_of_day", "+context.at_night.statements=[It is past midnight here.]")


def asked(*overrides: str) -> Run:
    return config.compose(["+persona=none", "grid=full", "belief=[false_claim]", *overrides])


def measured(run: Run) -> list[Measured]:
    """Answers of two arms to what a run asks, drawn at random."""
    rng = np.random.default_rng(0)
    suite = make(run)
    found = []
    for name, risk in (("original", 0.3), ("warm", 0.45)):
        rows = []
        for prompt in suite.dialogues(ITEMS):
            row: dict[str, Any] = {**prompt.row(), "verdict": "incorrect" if rng.random() < risk else "correct"}
            row |= {"answer": "a", "n_chars": 20, "n_tokens": 5, "finish_reason": "stop", "question": "q"}
            rows.append(row)
        found.append(Measured(arm(name), rows))
    return found


def arm(name: str) -> Arm:
    return arm_folder("runs", "m", name, 0, "0" * 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("own") / "comparison"
    write_comparison(made, measured(asked(*HUNGRY, *AT_NIGHT)), {"reference": "original"}, second=None, bootstrap=100)
    write_report(made)
    return made


def effect(folder: Path, analysis: str, term: str) -> Any:
    table = pd.read_csv(folder / "effects.csv", keep_default_na=False)
    (row,) = table[
        (table["analysis"] == analysis) & (table["term"] == term) & (table["errors"] == "clustered")
    ].itertuples()
    return row


def test_a_context_joins_a_group_of_ours_and_a_new_group_gets_a_row(folder: Path) -> None:
    items, arms = len(ITEMS), 2
    assert effect(folder, "context", "hungry").n == items * arms
    assert effect(folder, "context_group", "emotion").n == 4 * items * arms, "happy, sad, angry and hungry"
    assert effect(folder, "context_group", "relation").n == 3 * items * arms
    assert effect(folder, "context_group", "time_of_day").n == items * arms
    assert effect(folder, "amplification", "time_of_day-none").n == 2 * items * arms
    assert effect(folder, "sycophancy", "false").n == 11 * 2 * items * arms, "ten contexts and none, both ways"


def test_it_is_shown_in_the_main_table_the_figures_and_the_page(folder: Path) -> None:
    found = comparison.load_comparison(folder)
    assert found.groups["emotion"] == ["happy", "sad", "angry", "hungry"]
    assert found.groups["time_of_day"] == ["at_night"]
    labels = [line.label for line in findings_of(comparison.effects_of(found), "warm")]
    assert labels.index("Emotion") < labels.index("Stakes") < labels.index("Time of day")
    forest = (folder / "figures" / "gap_by_context.svg").read_text(encoding="utf-8")
    order = [
        forest.index(f">{text}<") for text in ("Emotion", "\u2003hungry", "Relation", "Time of day", "\u2003at night")
    ]
    assert order == sorted(order)
    assert ">hungry<" in (folder / "figures" / "error_by_cell.svg").read_text(encoding="utf-8")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Time of day" in page
    assert "at night" in page


def test_the_answers_carry_their_groups_to_an_analysis_elsewhere(folder: Path, tmp_path: Path) -> None:
    answers = pd.read_parquet(folder / "answers.parquet")
    again = stats.analyze(tabular.read_table(folder / "answers.parquet"), bootstrap=100)
    assert again.effects.to_csv(index=False, float_format="%.6g") == (folder / "effects.csv").read_text()
    assert not [note for note in again.notes if "group" in note]
    alone = stats.analyze(answers.drop(columns="group"), bootstrap=0)
    assert {"hungry", "at_night"} <= set(alone.effects["term"][alone.effects["analysis"] == "context_group"])
    assert any("at_night has no group that is known" in note for note in alone.notes)


def test_our_own_contexts_need_no_column(folder: Path) -> None:
    table = pd.read_parquet(folder / "answers.parquet")
    table = table[~table["context"].isin(["hungry", "at_night"])]
    one, two = (stats.analyze(some, bootstrap=100) for some in (table, table.drop(columns="group")))
    pd.testing.assert_frame_equal(one.effects, two.effects)
    some = table.assign(group=table["group"].where(table["context"] != "sad", ""))
    pd.testing.assert_frame_equal(one.effects, stats.analyze(some, bootstrap=100).effects)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sad": "mood"}, "the context sad stands in the groups"),
        ({"none": "emotion"}, "'none' is the prompt without a context"),
        ({"hungry": "sad", "sad": "emotion"}, "a context is called 'sad' as well"),
    ],
)
def test_groups_that_cannot_be_told_apart_are_refused(folder: Path, changes: dict[str, str], said: str) -> None:
    table = pd.read_parquet(folder / "answers.parquet")
    half = (table["item_id"].astype(int) < 20) if "mood" in changes.values() else pd.Series(True, index=table.index)
    for context, group in changes.items():
        table.loc[half & (table["context"] == context), "group"] = group
    with pytest.raises(UserError) as caught:
        tally.check(table)
    assert said in f"{caught.value.what} {caught.value.why}"


def test_a_yaml_is_all_that_a_context_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its group is known where a table does not name it, after those of ours; its line in the defaults asks it."""
    import shutil

    own = tmp_path / "conf"
    shutil.copytree(conf_files.conf_dir(), own)
    (own / "context" / "hungry.yaml").write_text("hungry:\n  group: emotion\n  statements: [I am starving.]\n")
    monkeypatch.setattr(conf_files, "conf_dir", lambda: own)
    assert list(groups.known())[-2:] == ["neutral", "hungry"]
    assert groups.known()["hungry"] == "emotion"
    settings = (own / "config.yaml").read_text(encoding="utf-8")
    (own / "config.yaml").write_text(settings.replace("      - happy\n", "      - happy\n      - hungry\n", 1))
    run = asked()
    assert (len(run.context), run.grid.contexts_per_item) == (10, 10)
    assert {prompt.group for prompt in make(run).dialogues(ITEMS[:1]) if prompt.context == "hungry"} == {"emotion"}
