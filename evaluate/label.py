"""Sheets for blind human labels: drawn from a comparison, and read back with the key that says whose each answer is."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path
from typing import Any

import pandas as pd

from warmgap import reading, store
from warmgap.errors import UserError
from warmgap.evaluate.grade import error_of
from warmgap.evaluate.judge import GRADED
from warmgap.schema import digest

SHOWN = ["label_id", "question", "correct", "incorrect", "prompt", "answer"]
FILLED = ["label", "note"]
UNCLEAR = "unclear"
CHOICES = (*GRADED, UNCLEAR)
PLACE = ["model", "arm", "seed", "task", "item_id", "context", "belief"]


def key_path(sheet: Path) -> Path:
    """Return where the key of a sheet lies."""
    return sheet.with_suffix(".key.json")


def sample(answers: pd.DataFrame, n: int, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Draw n answers, evenly over arms and tasks and at random within; return the sheet's rows and its key.

    The sheet holds nothing of the arm, the judge or the cell beyond the prompt itself, in random order.
    """
    missing = [column for column in [*PLACE, "prompt", "answer", "verdict"] if column not in answers.columns]
    if missing:
        fix = "name a comparison folder, or a table with the columns of answers.parquet"
        raise UserError("no answers to draw from", f"the table lacks {', '.join(missing)}", fix)
    rng = random.Random(seed)
    groups = [list(some.index) for _, some in answers.groupby(["arm", "task"], sort=True)]
    for group in groups:
        rng.shuffle(group)
    drawn: list[Any] = []
    while len(drawn) < min(n, len(answers)):
        for group in groups:
            if group and len(drawn) < n:
                drawn.append(group.pop())
    rng.shuffle(drawn)
    rows, key = [], {}
    for index in drawn:
        row = answers.loc[index]
        place = {column: _plain(row[column]) for column in PLACE}
        name = digest(["label", seed, place, str(row["answer"])], 8)
        shown = {column: str(row.get(column) or "") for column in SHOWN[1:]}
        rows.append({"label_id": name, **shown, "label": "", "note": ""})
        key[name] = {**place, "verdict": row["verdict"], "shown": digest(shown, 16)}
    return rows, {"seed": seed, "answers": key}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def write(sheet: Path, rows: list[dict[str, Any]], key: dict[str, Any]) -> None:
    """Write a sheet and its key. Raises UserError where labels would be overwritten."""
    if sheet.exists():
        why = "it may hold labels already"
        raise UserError(f"{sheet} is there", why, "name another file, or remove it")
    store.write_json(key_path(sheet), key)
    save(sheet, rows)


def save(sheet: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows of a sheet, whole or not at all, in the way that spreadsheets read."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*SHOWN, *FILLED], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    store.write_text(sheet, "\ufeff" + text.getvalue())


def load(sheet: Path) -> list[dict[str, str]]:
    """Read a sheet as people save it: with commas, semicolons or tabs, a byte-order mark, labels in any case."""
    text = reading.text(sheet, "name a sheet that `warmgap label` wrote (UTF-8)")
    first = text.split("\n", 1)[0]
    mark = max(",;\t", key=first.count)
    rows = list(csv.DictReader(io.StringIO(text), delimiter=mark))
    for column in ("label_id", "label"):
        if not rows or column not in rows[0]:
            raise UserError(
                f"{sheet} is no sheet", f"it has no column {column!r}", "name one that `warmgap label` wrote"
            )
    for number, row in enumerate(rows, 2):
        row["label"] = (row["label"] or "").strip().lower()
        if row["label"] and row["label"] not in CHOICES:
            why = f"the labels are {', '.join(CHOICES)}"
            raise UserError(f"{sheet}:{number}: {row['label']!r} is no label", why, "mend the row, or leave it empty")
    return rows


def read(sheets: list[Path]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return one row for each answer of the sheets with a column of labels for each rater, and counts of what is open.

    The rater is the file's name. Raises UserError for a sheet without its key, or whose texts were changed.
    """
    table: dict[str, dict[str, Any]] = {}
    counts = {"labelled": 0, "unlabelled": 0, UNCLEAR: 0}
    for sheet in sheets:
        key = next((key for path in [sheet, *sheets] if (key := store.read_json(key_path(path)))), None)
        if key is None:
            raise UserError(f"{sheet} has no key", f"{key_path(sheet)} is not there", "put it beside the sheet again")
        for row in load(sheet):
            known = key["answers"].get(row["label_id"])
            shown = {column: (row.get(column) or "").replace("\r\n", "\n") for column in SHOWN[1:]}
            if known is None or known["shown"] != digest(shown, 16):
                fix = "give each sheet its own key, and change labels and notes alone"
                raise UserError(f"{sheet}: {row['label_id']} is not as it was drawn", "its texts were changed", fix)
            entry = table.setdefault(row["label_id"], {**known})
            entry[f"label:{sheet.stem}"] = row["label"] if row["label"] in GRADED else None
            counts["labelled" if row["label"] in GRADED else row["label"] or "unlabelled"] += 1
    return pd.DataFrame(list(table.values())), counts


def consensus(table: pd.DataFrame) -> pd.Series[Any]:
    """Return the label that most raters gave an answer; none where two are given equally often."""
    raters = [column for column in table.columns if column.startswith("label:")]

    def most(row: pd.Series[Any]) -> str | None:
        counts = row.dropna().value_counts()
        if counts.empty or (len(counts) > 1 and counts.iloc[0] == counts.iloc[1]):
            return None
        return str(counts.index[0])

    return table[raters].apply(most, axis=1)


def with_labels(answers: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Return the answers with ``label`` and ``label_error`` (strict rule) where people looked."""
    joined = answers.merge(labels[[*PLACE, "label"]], on=PLACE, how="left")
    joined["label_error"] = [
        error_of(label, task) if isinstance(label, str) else None
        for label, task in zip(joined["label"], joined["task"], strict=True)
    ]
    joined["label_error"] = joined["label_error"].astype("float64")
    return joined
