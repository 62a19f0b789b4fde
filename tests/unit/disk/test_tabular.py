"""Tables that a person may open in a spreadsheet: no cell is a formula, and every text is read back as it was."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warmgap import cli
from warmgap.disk import store, tabular
from warmgap.version import ROOT

FORMULAS = ["=HYPERLINK(1)", "+1 is right", "-5 degrees", "@SUM", "\ttab", "\rreturn", "'=kept", "''-two", "＝1"]
BEGIN = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
TEXTS = st.sampled_from(FORMULAS) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


def cells(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [cell for row in csv.reader(file) for cell in row]


def formulas(path: Path) -> list[str]:
    """The cells that a spreadsheet would take for a formula; a number is none."""

    def number(cell: str) -> bool:
        try:
            return bool(float(cell)) or True
        except ValueError:
            return False

    return [cell for cell in cells(path) if cell.startswith(BEGIN) and not number(cell)]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_any_text_comes_back_and_none_is_a_formula(texts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    tabular.write(path, [{"item_id": text, "=column": text, "number": -0.5} for text in texts])
    assert not formulas(path)
    rows = tabular.read(path, ["item_id", "=column"])
    assert [row["item_id"] for row in rows] == [row["=column"] for row in rows]
    assert [row["item_id"] for row in rows] == [text.replace("\r", "\n") for text in texts], "the ends of lines are one"
    assert [row["number"] for row in rows] == [-0.5] * len(texts)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Graded answers of somebody whose tasks and arms are called like formulas."""
    path = tmp_path / "graded.jsonl"
    rows: list[dict[str, Any]] = []
    for arm in ("original", "=cmd|'/c calc'!A1"):
        for number in range(12):
            row = {"item_id": f"q{number}", "arm": arm, "task": "@SUM(1)", "context": "none"}
            wrong = int((number + len(arm)) % 3 == 0)
            rows.append({**row, "belief": "none", "model": "+m", "seed": 0, "error": wrong, "answer": "-x"})
    store.write_jsonl(path, rows)
    return path


def test_what_analyze_writes_of_somebodys_names_holds_no_formula(foreign: Path, tmp_path: Path) -> None:
    assert cli.main(["analyze", str(foreign), "--out", str(tmp_path / "out"), "--bootstrap", "100"]) == 0
    tables = sorted((tmp_path / "out").glob("*.csv"))
    assert [path.stem for path in tables] == ["cells", "effects"]
    assert [formulas(path) for path in tables] == [[], []]
    assert "'@SUM(1)" in cells(tables[0])
    found = tabular.read_table(tables[0])
    assert "@SUM(1)" in set(found["task"]), "read back as it was"


def test_an_export_of_answers_holds_no_formula(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    from warmgap.evaluate.tasks import load_items
    from warmgap.settings.schema import TaskConfig

    items = load_items({"embedded": TaskConfig()}).items[: len(FORMULAS)]
    store.write_jsonl(
        answers, [{"item_id": i.item_id, "answer": text} for i, text in zip(items, FORMULAS, strict=True)]
    )
    words = ["grade", str(answers), "--task", "embedded", "--judge", "match", "--out", str(tmp_path / "graded.csv")]
    assert cli.main(words) in (0, 1)
    assert not formulas(tmp_path / "graded.csv")
    assert [row["answer"] for row in tabular.read(tmp_path / "graded.csv", ["answer"])] == [
        text.replace("\r", "\n") for text in FORMULAS
    ]


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    tabular.write_csv(tmp_path / "a.csv", pd.DataFrame({"pp": [-1.25, 3.0], "n": [-1, 2], "note": [None, "x"]}))
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "pp,n,note\n-1.25,-1,\n3,2,x\n"


def test_all_that_is_written_as_csv_is_written_in_one_place() -> None:
    """Another writer would have to know of formulas, too; the sheet of labels asks ``tabular.cell``."""
    folders = [ROOT / name for name in ("warmgap", "evaluate", "train", "mitigations")]
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    own = {
        path.name
        for path in paths
        if ".to_csv(" in (text := path.read_text(encoding="utf-8"))
        or "csv.DictWriter(" in text
        or "csv.writer(" in text
    }
    assert own == {"tabular.py", "label.py"}
