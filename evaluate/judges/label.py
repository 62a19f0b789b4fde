"""Sheets for blind human labels: drawn from a comparison, and read back with the key that says whose each answer is.

People open sheets in spreadsheets, which make numbers and dates of what looks like one and formulas of what begins like
one. So ids are consonants alone, cells are made safe, and a row is known by its id: texts that a spreadsheet changed
are named, not refused.
"""

from __future__ import annotations

import csv
import hashlib
import io
import random
import re
from pathlib import Path
from typing import Any

import pandas as pd

from warmgap.disk import intake, store, tabular
from warmgap.errors import UserError
from warmgap.evaluate.judges.base import GRADED
from warmgap.evaluate.judges.grade import error_of
from warmgap.settings.identity import digest

SHOWN = ["label_id", "question", "correct", "incorrect", "prompt", "answer"]
FILLED = ["label", "note"]
UNCLEAR = "unclear"
CHOICES = (*GRADED, UNCLEAR)
PLACE = ["model", "arm", "seed", "task", "item_id", "context", "belief"]
LETTERS = "bcdfghjklmnpqrstvwxz"  # of ids: no digit and no vowel, so that none is a number, a date, a month or a word
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


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
        name = _name(["label", seed, place, str(row["answer"])])
        shown = {column: str(row.get(column) or "") for column in SHOWN[1:]}
        rows.append({"label_id": name, **shown, "label": "", "note": ""})
        prints = {part: _print(text) for part, text in shown.items()}
        key[name] = {**place, "verdict": row["verdict"], "shown": prints, "cell": _is_cell(shown["answer"])}
    return rows, {"seed": seed, "answers": key}


def _name(value: Any) -> str:
    """An id of ten letters (43 bits)."""
    number, letters = int.from_bytes(hashlib.sha256(digest(value, 64).encode()).digest(), "big"), ""
    for _ in range(10):
        number, place = divmod(number, len(LETTERS))
        letters += LETTERS[place]
    return letters


def _print(text: str) -> str:
    """A text's fingerprint, the same whatever happened to its spaces, line ends, quotation marks and encoding."""
    plain = re.sub(r"[\W_]+", "", text.casefold())
    ascii_alone = re.sub(r"[^a-z0-9]+", "", plain)
    return digest(ascii_alone if len(ascii_alone) >= len(plain) / 2 else plain, 16)


def _is_cell(text: str) -> bool:
    """Whether a spreadsheet may take a text for a number, date or truth value, and write it in another way."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    if not re.search(r"\d", text):
        return words in (["true"], ["false"])
    return all(word in ("e", "am", "pm") or word.startswith(MONTHS) for word in words)


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
    """Write the rows of a sheet, whole or not at all, in the way that spreadsheets read; no cell is a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*SHOWN, *FILLED], lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows({name: tabular.cell(value) for name, value in row.items()} for row in rows)
    store.write_text(sheet, "\ufeff" + text.getvalue())


def load(sheet: Path) -> list[dict[str, str]]:
    """Read a sheet as people save it: with commas, semicolons or tabs, in UTF-8, UTF-16 or Windows' code page.

    Every row has all columns of a sheet, as they were before ``save``; labels in lower case; rows without anything in
    them are passed over.
    """
    try:
        text = _decoded(sheet.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {sheet}", str(error), "name a sheet that `warmgap label` wrote (UTF-8)"
        ) from error
    first = text.split("\n", 1)[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        found = [row for row in reader if any(row.values())]
    except csv.Error as error:
        raise UserError(f"cannot read {sheet}", str(error), "save it as CSV again") from error
    for column in ("label_id", "label"):
        if column not in (reader.fieldnames or ()):
            raise UserError(
                f"{sheet} is no sheet", f"it has no column {column!r}", "name one that `warmgap label` wrote"
            )
    rows = [{name: tabular.from_cell(row.get(name) or "") for name in (*SHOWN, *FILLED)} for row in found]
    for number, row in enumerate(rows, 2):
        row.update(label=row["label"].strip().lower(), label_id=row["label_id"].strip().lower())
        if row["label"] and row["label"] not in CHOICES:
            why = f"the labels are {', '.join(CHOICES)}"
            raise UserError(f"{sheet}:{number}: {row['label']!r} is no label", why, "mend the row, or leave it empty")
    return rows


def _decoded(data: bytes) -> str:
    if other := intake.other_encoding(data[:4]):
        return data.decode(other).removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def read(sheets: list[Path]) -> tuple[pd.DataFrame, dict[str, int], list[str]]:
    """Return one row for each answer of the sheets with a column of labels for each rater; counts; what was changed.

    The rater is the file's name. What was changed names the rows whose texts are not as they were drawn. Raises
    UserError for a sheet without its key, and for labels whose id or answer is not the one drawn.
    """
    table: dict[str, dict[str, Any]] = {}
    counts = {"labelled": 0, "unlabelled": 0, UNCLEAR: 0}
    changed: list[str] = []
    for sheet in sheets:
        key = next((key for path in [sheet, *sheets] if (key := store.read_json(key_path(path)))), None)
        if key is None:
            raise UserError(f"{sheet} has no key", f"{key_path(sheet)} is not there", "put it beside the sheet again")
        rows = load(sheet)
        changed += _compare(sheet, rows, key["answers"])
        for row in rows:
            entry = table.setdefault(row["label_id"], {**key["answers"][row["label_id"]]})
            entry[f"label:{sheet.stem}"] = row["label"] if row["label"] in GRADED else None
            counts["labelled" if row["label"] in GRADED else row["label"] or "unlabelled"] += 1
    return pd.DataFrame(list(table.values())), counts, changed


def _compare(sheet: Path, rows: list[dict[str, str]], key: dict[str, Any]) -> list[str]:
    """Name the rows whose texts were changed; raise UserError where it is not known which answer a label is for."""
    drawn = {known["shown"]["answer"] for known in key.values()}
    wrong, changed, met = [], [], set()
    for number, row in enumerate(rows, 2):
        known, name = key.get(row["label_id"]), f"{sheet.name}:{number} {row['label_id'] or '(no id)'}"
        if known is None:
            wrong.append(f"{name} is no id of this sheet's key")
        elif row["label_id"] in met:
            wrong.append(f"{name} stands twice")
        else:
            parts = [part for part, was in known["shown"].items() if _print(row[part]) != was]
            if "answer" in parts and (not known["cell"] or _print(row["answer"]) in drawn):
                wrong.append(f"{name} has another answer than was drawn")
            elif parts:
                changed.append(f"{name}: {', '.join(parts)}")
        met.add(row["label_id"])
    if wrong:
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        fix = "give each sheet its own key, sort whole rows, and change labels and notes alone"
        raise UserError(f"{sheet}: {len(wrong)} rows are not as they were drawn", "; ".join(wrong[:5]) + more, fix)
    return changed


def consensus(table: pd.DataFrame) -> pd.Series[Any]:
    """Return the label that most raters gave an answer; none where two are given equally often."""
    raters = [column for column in table.columns if column.startswith("label:")]

    def most(row: pd.Series[Any]) -> str | None:
        counts = row.dropna().value_counts()
        if counts.empty or (len(counts) > 1 and counts.iloc[0] == counts.iloc[1]):
            return None
        return str(counts.index[0])

    return table[raters].apply(most, axis=1)


def with_labels(answers: pd.DataFrame, labels: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the answers with ``label`` and ``label_error`` (strict rule) where people looked.

    And how many labels are of answers that these are not: of an arm that is not among them, or that says other things.
    """
    given = labels[labels["label"].notna()]
    given = given.assign(print=[shown["answer"] for shown in given["shown"]])[[*PLACE, "print", "label"]]
    joined = answers.assign(print=[_print(str(text)) for text in answers["answer"]])
    joined = joined.merge(given, on=[*PLACE, "print"], how="left").drop(columns="print")
    joined["label_error"] = [
        error_of(label, task) if isinstance(label, str) else None
        for label, task in zip(joined["label"], joined["task"], strict=True)
    ]
    joined["label_error"] = joined["label_error"].astype("float64")
    return joined, len(given) - int(joined["label"].notna().sum())
