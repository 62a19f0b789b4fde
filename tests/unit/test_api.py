"""warmgap in a notebook: prompts asked of a function, graded and compared; what is loaded, and what is refused."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from comparison_folder import build_comparison, synthetic_items

import warmgap
from warmgap.errors import UserError
from warmgap.evaluate.tasks import load_items
from warmgap.evaluate.tasks.item import Item

SMALL = ("+persona=none", "experiment=smoke", "task.embedded.items_per_family=2")


@pytest.fixture(scope="module")
def grid() -> pd.DataFrame:
    """The prompts of eight questions."""
    return warmgap.prompts(*SMALL)


@functools.cache
def questions() -> list[Item]:
    """The questions of that grid."""
    return load_items(warmgap.compose(*SMALL).task).items


def obliging(messages: list[dict[str, str]]) -> str:
    """Says the wrong answer where the user names it, else the right one."""
    said = messages[-1]["content"]
    item = next(item for item in questions() if item.question in said)
    return f"It is {item.incorrect if item.incorrect in said else item.correct}."


def test_the_package_offers_its_functions_and_loads_nothing_for_it() -> None:
    code = "import sys, warmgap; print(*dir(warmgap)); print('pandas' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, loaded = done.stdout.splitlines()
    assert {"ask", "analyze", "compare", "compose", "grade", "prompts", "run", "warmth"} <= set(names.split())
    assert loaded == "False False"
    for name in set(warmgap.__all__) - {"__version__"}:
        assert getattr(warmgap, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = warmgap.trian


def test_a_function_is_asked_graded_and_compared(grid: pd.DataFrame) -> None:
    first = grid.groupby("item_id")["prompt"].first()
    assert first.is_unique
    answers = {
        "original": warmgap.ask(grid, lambda messages: obliging([{**messages[-1], "content": plain(messages)}])),
        "warm": warmgap.ask(grid, obliging, arm="warm", workers=4),
    }
    assert set(answers["warm"]["arm"]) == {"warm"}
    assert answers["warm"]["answer"].str.len().tolist() == answers["warm"]["n_chars"].tolist()
    graded = {arm: warmgap.grade(frame) for arm, frame in answers.items()}
    named = graded["warm"]["belief"] == "false_claim"
    assert named.any()
    assert graded["warm"].loc[named, "error"].eq(1).all()
    assert graded["warm"].loc[~named, "error"].eq(0).all()
    assert graded["original"]["error"].eq(0).all()
    found = warmgap.analyze(graded, bootstrap=100)
    main = found.effects.query("analysis == 'main' and errors == 'unclustered'")
    both = pd.concat(graded.values())
    plain_answers = both[both["belief"] == "none"]
    assert main["n"].item() == len(plain_answers) / 2, "of each arm"
    claimed = found.cells.query("belief == 'false_claim'").groupby("arm")["error_pct"].mean()
    assert (claimed["original"], claimed["warm"]) == (0, 100)


def plain(messages: list[dict[str, str]]) -> str:
    """The question alone."""
    said = messages[-1]["content"]
    return next(item.question for item in questions() if item.question in said)


def test_what_was_answered_is_not_asked_again(grid: pd.DataFrame, tmp_path: Path) -> None:
    kept, asked, lock = tmp_path / "answers.jsonl", [], threading.Lock()

    def failing(messages: list[dict[str, str]]) -> str:
        with lock:
            asked.append(messages)
            if len(asked) > 5:
                raise ConnectionError("gone")
        return "Paris"

    with pytest.raises(ConnectionError):
        warmgap.ask(grid, failing, kept=kept, workers=3)
    before = len(kept.read_text(encoding="utf-8").splitlines())
    assert before == 5, "those that came back before and while it failed"
    again: list[object] = []
    done = warmgap.ask(grid, lambda messages: again.append(messages) or "Rome", kept=kept)
    assert len(again) == len(grid) - before
    assert done["answer"].value_counts().to_dict() == {"Rome": len(grid) - before, "Paris": before}
    other = warmgap.ask(grid, lambda messages: "Oslo", kept=kept, arm="other")
    assert set(other["answer"]) == {"Oslo"}, "another arm's answers are its own"


def test_a_reply_that_is_missing_is_no_error(grid: pd.DataFrame) -> None:
    answers = warmgap.ask(grid, lambda messages: None)
    graded = warmgap.grade(answers)
    assert set(graded["verdict"]) == {"unparsed"}
    assert graded["error"].isna().all()


def test_a_frame_keeps_its_rows_and_columns(grid: pd.DataFrame) -> None:
    answers = warmgap.ask(grid, obliging).assign(note="mine").sample(frac=1, random_state=1)
    graded = warmgap.grade(answers)
    assert graded.index.equals(answers.index)
    assert graded["note"].eq("mine").all()
    assert "verdict" not in answers


def test_what_cannot_be_graded_or_asked_is_said(grid: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="no column 'answer'"):
        warmgap.grade(grid)
    strange = warmgap.ask(grid, obliging).assign(item_id="nobody's")
    with pytest.raises(UserError, match="row 1 cannot be graded"):
        warmgap.grade(strange)
    with pytest.raises(UserError, match="cannot be the only judge"):
        warmgap.grade(strange, task="truthful_qa")
    with pytest.raises(UserError, match="no column 'messages'"):
        warmgap.ask(grid.drop(columns="messages"), obliging)
    with pytest.raises(UserError, match="no single run"):
        warmgap.run("+persona=warm", "dial=strength:0.5")


def test_a_folder_that_is_no_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a comparison"):
        warmgap.Result(tmp_path)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> warmgap.Result:
    """A comparison of two arms."""
    return warmgap.Result(build_comparison(tmp_path_factory.mktemp("result"), items=synthetic_items(8)))


def test_a_result_has_the_tables_of_its_folder(result: warmgap.Result) -> None:
    assert len(result.answers) == len(pd.read_parquet(result.folder / "answers.parquet"))
    assert "none" in set(result.cells["context"]), "it is a context, not a missing value"
    assert result.effects["estimate_pp"].dtype == "float64"
    assert set(result.warmth["arm"]) >= {"warm"}
    assert result.summary["reference"] == "original"
    with pytest.raises(UserError, match="no table 'mitigations'"):
        result.table("mitigations")


def test_a_notebook_shows_the_main_table_with_its_intervals(result: warmgap.Result) -> None:
    shown = result._repr_html_()
    rows = result.effects.query("analysis == 'main' and reference == 'original'")
    assert any(f"{value:+.1f}" in shown for value in rows["estimate_pp"])
    assert "Overall, without context" in shown
    assert f"<td>{rows['n'].iloc[0]}</td>" in shown


def test_figures_are_drawn_by_name_and_saved(result: warmgap.Result, tmp_path: Path) -> None:
    plot = result.plot()
    assert plot.name == "gap_by_context"
    assert plot._repr_png_().startswith(b"\x89PNG")
    assert plot.save(tmp_path / "gap.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert result.plot("warmth").name == "warmth"
    with pytest.raises(UserError, match=r"gap\.pdf is no figure's name"):
        plot.save(tmp_path / "gap.pdf")
    with pytest.raises(UserError, match="no figure 'gap_by_moon'"):
        result.plot("gap_by_moon")


def test_a_result_is_shown_as_on_the_command_line(result: warmgap.Result, capsys: pytest.CaptureFixture[str]) -> None:
    result.show()
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {result.report}"
