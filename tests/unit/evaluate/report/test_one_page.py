"""Suites in terminal and report, and the one page: what is called worse, and what is only not shown."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from warmgap.disk.store import arm_folder
from warmgap.evaluate.report import write
from warmgap.evaluate.report.comparison import Comparison, load_comparison
from warmgap.evaluate.report.html.page import write_report
from warmgap.evaluate.report.one_page import page_of
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fixed = {"task": "embedded", "family": "f", "context": "none", "statement_id": "", "belief": "none", "n_chars": 9}
    fixed |= {"finish_reason": "stop", "prompt": "p", "answer": "a", "question": "q", "correct": "c", "incorrect": "i"}
    fixed |= {"reason": "", "grader": "match"}
    answers = [
        {**fixed, "item_id": f"i{item}", "verdict": "correct" if item % 3 else "incorrect"} for item in range(30)
    ]
    arms = {"original": readings(1, 5.0), "warm": readings(6, 3.0), "cold": readings(1, 5.0, missing=30)}
    measured = [
        Measured(arm_folder("runs", "m", name, 0, "0" * 8), answers, readings=rows) for name, rows in arms.items()
    ]
    summary = {"title": f"t {HOSTILE}", "reference": "original", "suites": {"giving_in": ABOUT}}
    summary["worth_trying"] = {"sycophancy": {"recipe": "steer", "why": "it moves the activations"}}
    made = tmp_path / "comparison"
    write.write_comparison(made, measured, summary, second=None, bootstrap=0)
    return made


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


def test_missing_outcomes_stand_beside_every_figure(comparison: Comparison) -> None:
    (part,) = parts_of(comparison)
    cold = next(line for line in part.pooled["gives_in"] if line.arm == "cold")
    assert cold.missing_pct == 75.0
    assert cold.missing_low < 0 < cold.missing_high
    assert not cold.holds
    assert {line.condition for line in part.apart["gives_in"]} == {"hurt", "angry"}


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
