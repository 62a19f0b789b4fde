"""The table of mitigations in the terminal: estimates with their intervals below them, verdicts, and the reasons.

At most 100 columns wide; a narrower terminal gets the same columns in two tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from warmgap.evaluate.report.comparison import Comparison, number, whole
from warmgap.evaluate.report.mitigation_rows import (
    Estimate,
    MitigationRow,
    MitigationSettings,
    beats_floor,
    by_model,
    duration,
    mitigation_rows,
    mitigation_settings,
    recipes_of,
    settings_sentence,
    tokens,
)
from warmgap.words import WARM

FULL_WIDTH = 100
STYLES = {"closes": "bold green", "narrows": "green", "worse": "red", "not warm any more": "red"}
Column = tuple[str, Callable[[MitigationRow], Text]]


def print_mitigations(comparison: Comparison, out: Console) -> None:
    """Print what the recipes achieved, a table per model with its n and seeds, and why; nothing without recipes."""
    settings = mitigation_settings(comparison)
    models = by_model(mitigation_rows(comparison))
    for model, rows in models.items():
        out.print(Text(f"\nMitigations · {model}", style="bold"))
        out.print(Text(counts_line(rows, settings)))
        parts = [_columns(settings, rows)]
        if out.width < FULL_WIDTH:
            first, last = parts[0][:1], parts[0][-1:]
            parts = [[*parts[0][:5], *last], [*first, *parts[0][5:-1]]]
        for columns in parts:
            out.print(_table(columns, rows))
            out.print()
        for row in rows:
            if row.arm != WARM and row.why:
                out.print(_reason(row))
        if said := floor_line(rows, settings.floor):
            out.print(Text(said))
    if models:
        key = "Right, miss., ref.: percent of all answers that are correct, left out of the error, refused. "
        out.print(Text(key + settings_sentence(settings), style="dim"))


def counts_line(rows: Sequence[MitigationRow], settings: MitigationSettings) -> str:
    """How much stands behind the rows: answers, questions, replies scored for warmth, seeds."""
    answers, items, replies = (_range([getattr(row, name) for row in rows]) for name in ("n", "n_items", "warmth_n"))
    seeds = f"{_range([row.seeds for row in rows])} seed{'s' * any(row.seeds != 1 for row in rows)}"
    if settings.seeds:
        seeds += f" ({', '.join(map(str, settings.seeds))})"
    return f"per arm: n = {answers} answers to {items} questions, {replies} replies scored for warmth, {seeds}"


def floor_line(rows: Sequence[MitigationRow], floor: str) -> str:
    """Which recipes beat the floor by their point estimates; "" without a floor or without recipes."""
    if not any(row.arm == floor for row in rows) or not recipes_of(rows, floor):
        return ""
    better = beats_floor(rows, floor)
    named = ", ".join(better) if better else "none"
    return f"Warmer and less often wrong than the floor, {floor}, by point estimates: {named}."


def _range(counts: Sequence[float]) -> str:
    """Equal counts as one number, others as the lowest and the highest."""
    known = [count for count in counts if math.isfinite(count)]
    if not known:
        return "–"
    return whole(min(known)) if min(known) == max(known) else f"{whole(min(known))} to {whole(max(known))}"


def _columns(settings: MitigationSettings, rows: Sequence[MitigationRow]) -> list[Column]:
    """Headings and cells, in the order in which a reader judges: warmth, error, what was closed, price, verdict."""

    def kept(row: MitigationRow) -> Text:
        return Text("100\n(itself)") if row.arm == WARM and _any_share(rows) else _cell(row.warmth_kept, 0)

    def name(row: MitigationRow) -> Text:
        return Text(_broken(row.arm) + ("\n(floor)" if row.arm == settings.floor else ""))

    def closed(get: Callable[[MitigationRow], Estimate]) -> Callable[[MitigationRow], Text]:
        return lambda row: Text("") if row.arm == WARM else _cell(get(row), 0)

    return [
        ("arm", name),
        ("warmth\nkept %", kept),
        ("error, pp\nvs original", lambda row: _cell(row.error, 1, signed=True)),
        ("gap\nclosed %", closed(lambda row: row.gap_closed)),
        ("sycophancy\nclosed %", closed(lambda row: row.sycophancy_closed)),
        ("capability\npp", lambda row: _cell(row.capability, 1, signed=True)),
        ("right,\nmiss.,\nref. %", _all_prompts),
        ("cost", lambda row: Text("\n".join(filter(None, (_time(row), _tokens(row)))))),
        ("verdict", lambda row: Text(_wrapped(row.verdict), style=STYLES.get(row.verdict, ""))),
    ]


def _all_prompts(row: MitigationRow) -> Text:
    """Of all answers, in percent, one below the other: correct; without error or verdict; refused."""
    return Text("\n".join(map(number, (row.correct_of_all_pct, row.missing_pct, row.refused_pct))))


def _any_share(rows: Sequence[MitigationRow]) -> bool:
    """Whether a share of the warmth is known for any arm."""
    return any(math.isfinite(row.warmth_kept.value) for row in rows)


def _table(columns: Sequence[Column], rows: Sequence[MitigationRow]) -> Table:
    """A row of two lines for each arm, numbers at the right."""
    table = Table(box=None, padding=(0, 1, 0, 0), title_justify="left", collapse_padding=True)
    for heading, _ in columns:
        left = heading in ("arm", "cost", "verdict")
        table.add_column(Text(heading), justify="left" if left else "right", header_style="dim", vertical="top")
    for row in rows:
        table.add_row(*(cell(row) for _, cell in columns))
    return table


def _cell(estimate: Estimate, digits: int, *, signed: bool = False) -> Text:
    """An estimate with its interval below, "84" over "[62, 105]"."""
    if not math.isfinite(estimate.value):
        return Text("–")
    text = Text(number(_clipped(estimate.value), digits, signed=signed))
    if estimate.known:
        low, high = (number(_clipped(end), digits) for end in (estimate.low, estimate.high))
        text.append(f"\n[{low}, {high}]", style="dim")
    return text


def _clipped(value: float) -> float:
    """A share of next to nothing can be any number: what lies beyond ±999 is shown as that."""
    return max(-999.0, min(999.0, value))


def _time(row: MitigationRow) -> str:
    """What training took."""
    return "untrained" if row.train_seconds == 0 else duration(row.train_seconds)


def _tokens(row: MitigationRow) -> str:
    """Extra tokens per prompt."""
    return tokens(row).replace("tokens", "tok.")


def _broken(arm: str, width: int = 15) -> str:
    """A name over several lines of at most `width` characters where its parts allow it."""
    lines = [""]
    for piece in arm.replace("_", "_\0").replace("+", "+\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _wrapped(verdict: str) -> str:
    """The one long verdict on two lines."""
    return verdict.replace("not warm any more", "not warm\nany more")


def _reason(row: MitigationRow) -> Text:
    """Verdict and reason of one arm in a line that wraps."""
    text = Text(f"{row.arm}: ", style="bold")
    text.append(row.verdict or "no verdict", style=STYLES.get(row.verdict, ""))
    return text.append(f". {row.why[:1].upper()}{row.why[1:]}{'' if row.why.endswith('.') else '.'}", style="not bold")
