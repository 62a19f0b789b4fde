"""The dose–response of a sweep in the terminal: points, fits and notes; at most 100 columns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from warmgap.disk import progress, seals, store
from warmgap.errors import UserError
from warmgap.evaluate.report.comparison import interval, number, p_value, whole
from warmgap.evaluate.report.figures.dose_figure import read_dose, setting_in_words
from warmgap.version import train_command

WIDTH = 100
ROWS = {
    ("line", "slope"): ("line: pp per 0.01 SocioT", 2),
    ("line", "misfit"): ("line: misfit, sum of squares", 1),
    ("knee", "knee"): ("knee: SocioT", 4),
    ("knee", "slope"): ("knee: pp per 0.01 SocioT beyond", 2),
    ("agree", "Q"): ("do the dials agree? Q", 1),
}


def print_dose(folder: Path, console: Console | None = None) -> None:
    """Print the points and fits of a comparison folder (``dose.csv``, ``dose_fits.csv``) and the notes on them.

    UserError where the folder holds no sweep.
    """
    if not (folder / "dose.csv").is_file():
        raise UserError(
            f"{folder} holds no sweep",
            "it has no dose.csv",
            f"run `{train_command()} -m experiment=warmth_sweep` first",
        )
    points, fits, _ = read_dose(folder)
    out = console or progress.console()
    width = min(WIDTH, out.width)
    models = list(dict.fromkeys([*points["model"], *fits["model"]]))
    for model in models:
        out.print(_points(points[points["model"] == model], model), width=width)
        out.print(_fits(fits[fits["model"] == model], model), width=width)
    if not models:
        out.print(Text("No points: no arm of the sweep could be measured."), width=width)
    for note in _notes(folder):
        out.print(Text(f"note: {note}"), width=width)


def _table(title: str, columns: tuple[str, ...], text: int) -> Table:
    """An unframed table, the first ``text`` columns to the left and foldable, the others to the right."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for place, name in enumerate(columns):
        left = place < text
        table.add_column(
            name, justify="left" if left else "right", header_style="dim", no_wrap=not left, overflow="fold"
        )
    return table


def _points(points: pd.DataFrame, model: str) -> Table:
    """One row per dial and setting."""
    columns = ["dial", "setting", "warmth", "95 % CI", "prompts", "error, pp", "95 % CI", "n", "items", "seeds"]
    claimed = points["over_correction_pp"].notna().any()
    table = _table(
        f"\nDose and response · {model} (against the original)",
        (*columns, *(["over", "95 % CI"] if claimed else [])),
        2,
    )
    if claimed:
        table.caption = (
            "over: over-correction, pp; by how much more the error grows where the user claims what is right"
        )
        table.caption_justify = "left"
    table.padding = (0, 1, 0, 0)
    last = ""
    for row in points.to_dict("records"):
        warmth = interval(row["warmth_shift_low"], row["warmth_shift_high"], 4)
        table.add_row(
            Text("" if row["dial"] == last else row["dial"]),
            Text(setting_in_words(row["setting"])),
            number(row["warmth_shift"], 4, signed=True), warmth, whole(row["warmth_n"]),
            number(row["error_pp"], signed=True), interval(row["error_low"], row["error_high"]),
            whole(row["n"]), whole(row["n_items"]), whole(row["seeds"]),
            *([number(row["over_correction_pp"], signed=True), _ends(row)] if claimed else []),
        )  # fmt: skip
        last = row["dial"]
    return table


def _ends(row: dict[Any, Any]) -> str:
    return interval(row["over_correction_low"], row["over_correction_high"])


def _fits(fits: pd.DataFrame, model: str) -> Table:
    """One row per dial and parameter; an empty estimate is a figure that the data do not tell."""
    table = _table(f"\nFits · {model}", ("dial", "", "estimate", "95 % CI", "p", "arms", "items"), 2)
    last = ""
    for row in fits.to_dict("records"):
        label, digits = ROWS.get((row["shape"], row["parameter"]), (f"{row['shape']}: {row['parameter']}", 2))
        if not (math.isfinite(row["estimate"]) or math.isfinite(row["p"])):
            continue
        table.add_row(
            Text("" if row["dial"] == last else "all dials" if row["dial"] == "all" else row["dial"]),
            Text(label), number(row["estimate"], digits), interval(row["low"], row["high"], digits),
            p_value(row["p"]), whole(row["n_points"]), whole(row["n_items"]),
        )  # fmt: skip
        last = row["dial"]
    return table


def _notes(folder: Path) -> list[str]:
    """The notes that the summary keeps under ``dose_notes``."""
    path = folder / "summary.json"
    seals.check_file(path)
    summary = store.read_sealed(path) or {}
    return [str(note) for note in summary.get("dose_notes") or []]
