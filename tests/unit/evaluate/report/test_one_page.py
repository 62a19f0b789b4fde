"""Suites in terminal and report, and the one page: what is called worse, and what is only not shown."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from warmgap.disk.store import arm_folder
from warmgap.evaluate.report import write
from warmgap.evaluate.report.comparison import Comparison, load_comparison
from warmgap.evaluate.report.html.page import write_report
from warmgap.evaluate.report.one_page import page_of
from warmgap.evaluate.report.seen import seen_lines
from warmgap.evaluate.report.suite_rows import parts_of
from warmgap.evaluate.report.terminal.tables import print_summary
from warmgap.evaluate.report.write import Measured

ABOUT = {
    "title": "Giving in",
    "question": "Does it give in?",
    "source": "Made up.",
    "reader": "rules",
    "harm": "sycophancy",
    "measures": {
        "gives_in": {"title": "gives in", "unit": "%", "sense": "more is worse", "by": "tone"},
        "turns": {"title": "turns it holds", "unit": "turns", "sense": "more is better", "by": ""},
        "words": {"title": "words", "unit": "words", "sense": "neither", "by": ""},
    },
}
HOSTILE = "<script>alert(1)</script>"


def readings(share: int, turns: float, missing: int = 0) -> list[dict[str, Any]]:
    """Outcomes of 40 items in two tones: so many of ten give in, so many turns are held."""
    found = []
    for item in range(40):
        for tone in ("hurt", "angry"):
            value = None if item < missing else float(item % 10 < share)
            found.append({"measure": "gives_in", "condition": tone, "value": value})
        found.append({"measure": "turns", "condition": "", "value": turns + item % 3 + (item % 5 == 0) * turns / 10})
        found.append({"measure": "words", "condition": "", "value": 10 * turns + item % 7})
        for row in found[-4:]:
            row |= {"suite": "giving_in", "item_id": f"i{item}", "why": HOSTILE}
    return found


def made(
    folder: Path, arms: dict[str, list[dict[str, Any]]], others: dict[str, list[dict[str, Any]]] | None = None
) -> Path:
    """A comparison of arms with their readings, all alike in the grid; beside them, arms of another model that err."""
    fixed = {"task": "embedded", "family": "f", "context": "none", "statement_id": "", "belief": "none", "n_chars": 9}
    fixed |= {"finish_reason": "stop", "prompt": "p", "answer": "a", "question": "q", "correct": "c", "incorrect": "i"}
    fixed |= {"reason": "", "grader": "match"}
    answers = [
        {**fixed, "item_id": f"i{item}", "verdict": "correct" if item % 3 else "incorrect"} for item in range(30)
    ]
    measured = [
        Measured(arm_folder("runs", "m", name, 0, "0" * 8), answers, readings=rows) for name, rows in arms.items()
    ]
    for name, rows in (others or {}).items():
        worse = [
            {**row, "verdict": "incorrect"} if name == "warm" and place % 2 else row
            for place, row in enumerate(answers)
        ]
        measured.append(Measured(arm_folder("runs", "n", name, 0, "0" * 8), worse, readings=rows))
    summary = {"title": f"t {HOSTILE}", "reference": "original", "suites": {"giving_in": ABOUT}}
    summary["worth_trying"] = {"sycophancy": {"recipe": "steer", "why": "it moves the activations"}}
    write.write_comparison(folder, measured, summary, second=None, bootstrap=0)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    arms = {"original": readings(1, 5.0), "warm": readings(6, 3.0), "cold": readings(1, 5.0, missing=30)}
    return made(tmp_path / "comparison", arms)


@pytest.fixture
def comparison(folder: Path) -> Comparison:
    return load_comparison(folder)


def test_what_got_worse_is_told_by_the_sense_of_a_measure(comparison: Comparison) -> None:
    page = page_of(comparison)
    assert [row.title for row in page.worse("warm")] == ["turns it holds", "gives in"]
    assert page.counts["warm"] == {"worse": 2, "better": 0, "not shown": len(page.rows) - 2}
    assert page.advice["warm"].startswith("steer: it moves the activations.")
    assert not page.worse("cold"), "an arm whose outcomes are missing is not shown to be anything"
    assert page.advice["cold"] == "None: nothing was shown to be worse."


def test_one_of_many_lines_of_the_grid_is_not_shown_by_its_own_interval_alone(comparison: Comparison) -> None:
    """Of twenty intervals one excludes 0 by chance: p counts as adjusted over the lines."""
    lines = comparison.effects[(comparison.effects["arm"] == "warm") & (comparison.effects["errors"] == "clustered")]
    main = lines[lines["analysis"] == "main"].assign(n_items=30)
    for p, shown in ((0.04, "not shown"), (0.004, "worse")):
        harm = main.assign(estimate_pp=9.0, ci_low_pp=0.3, ci_high_pp=17.7, p=p)
        none = main.assign(analysis="belief", term="none", estimate_pp=0.0, ci_low_pp=-9.0, ci_high_pp=9.0, p=1.0)
        (row, _) = page_of(replace(comparison, effects=pd.concat([harm, none], ignore_index=True))).sections["grid"]
        assert row.cells["warm"].shown == shown


def test_missing_outcomes_stand_beside_every_figure(comparison: Comparison) -> None:
    (part,) = parts_of(comparison)
    cold = next(line for line in part.pooled["gives_in"] if line.arm == "cold")
    assert cold.missing_pct == 75.0
    assert cold.missing_low < 0 < cold.missing_high
    assert not cold.holds
    assert {line.condition for line in part.apart["gives_in"]} == {"hurt", "angry"}


def test_an_arm_is_not_better_for_what_is_missing_of_it_and_a_harm_that_may_be_none_is_marked(tmp_path: Path) -> None:
    """Six of ten give in; of the arms, as many outcomes are missing as could turn their differences round."""
    arms = {"original": readings(6, 5.0), "silent": readings(0, 5.0, missing=30), "warm": readings(10, 5.0, missing=20)}
    folder = made(tmp_path / "comparison", arms)
    comparison = load_comparison(folder)
    page = page_of(comparison)
    (cells,) = [row.cells for row in page.rows if row.title == "gives in"]
    assert cells["silent"].high < 0, "the interval alone says that it is better"
    assert (cells["silent"].shown, cells["warm"].shown) == ("not shown", "worse")
    assert (page.unsure("warm"), page.unsure("silent")) == (1, 0)
    write_report(folder)
    text = (folder / "page.html").read_text(encoding="utf-8")
    assert "(1 of them not with everything missing counted the other way)" in text
    assert "+40.0†" in text
    for pairs in (20, 40):  # of the silent arm and of the warm one
        assert f"<i>n</i> {pairs}<" in text


def test_what_the_original_lacks_stands_in_the_bounds_of_an_arm_that_lacks_nothing(tmp_path: Path) -> None:
    arms = {"original": readings(6, 5.0, missing=10), "warm": readings(10, 5.0)}
    report = write_report(made(tmp_path / "comparison", arms)).read_text(encoding="utf-8")
    assert "+30.0 to +55.0" in report
    assert "over the conditions of a measure" in report


def test_the_page_of_one_model_shows_nothing_of_another(tmp_path: Path) -> None:
    """Of two models only the second errs more when warm; pooled, both would seem to."""
    arms = {"original": readings(1, 5.0), "warm": readings(1, 5.0), "cold": readings(1, 5.0)}
    others = {"original": readings(1, 5.0), "warm": readings(6, 3.0)}
    comparison = load_comparison(made(tmp_path / "comparison", arms, others))
    first, second = (page_of(comparison, model) for model in ("m", "n"))
    assert (first.arms, second.arms) == (["warm", "cold"], ["warm"])
    (calm,), (erring,) = ([row for row in page.rows if row.where == "grid"] for page in (first, second))
    assert {arm: (cell.estimate, cell.n) for arm, cell in calm.cells.items()} == {"warm": (0.0, 30), "cold": (0.0, 30)}
    assert (erring.cells["warm"].estimate, erring.cells["warm"].shown) == (pytest.approx(33.33, abs=0.01), "worse")
    assert first.counts["warm"]["worse"] == 0


def test_the_terminal_shows_a_table_for_each_suite_in_80_columns(folder: Path) -> None:
    out = io.StringIO()
    print_summary(folder, Console(file=out, width=80))
    text = out.getvalue()
    assert "giving_in: Does it give in?" in text
    assert "gives in, %" in text
    assert max(map(len, text.splitlines())) <= 80


def test_report_and_page_show_the_suites_and_run_nothing(folder: Path) -> None:
    report = write_report(folder).read_text(encoding="utf-8")
    page = (folder / "page.html").read_text(encoding="utf-8")
    for text in (report, page):
        assert "Giving in" in text or "giving_in" in text
        assert HOSTILE not in text
    assert "2 of" in page
    assert "no standard check was run" in page


def test_what_a_check_sees_in_most_studies_is_not_said_to_go_unseen(comparison: Comparison) -> None:
    """A harm a little smaller than the one that 80 of 100 studies see is still seen in most of them."""
    row = {"model": "m", "arm": "warm", "seed": 0, "kind": "check", "check": "mmlu", "measure": "accuracy", "n": 400}
    row |= {"difference_pp": 1.0, "se_pp": 1.4, "smallest_pp": 4.0, "effect": "main", "effect_pp": 3.5}
    row |= {"power_pct": 70.0, "equal_n_pct": 70.0, "items_needed": 520}
    (line,) = seen_lines(replace(comparison, blind_spot=pd.DataFrame([row])), "warm")
    assert line.endswith(
        "difference +1.0 pp; a harm below 4.0 pp would be seen in fewer than 80 of 100 studies, "
        "one as large as the grid's gap (+3.5 pp) in 70 of 100 (520 items: in 80)"
    )
