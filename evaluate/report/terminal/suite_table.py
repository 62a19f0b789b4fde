"""The tables of suites with measures of their own, in 80 columns."""

from __future__ import annotations

from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from warmgap.evaluate.report.comparison import Comparison, interval, number, whole
from warmgap.evaluate.report.seen import seen_rows
from warmgap.evaluate.report.suite_rows import Line, parts_of

WIDTHS = (20, 7, 9, 8, 17, 7, 11)
COLUMNS = ("", "level", "beside", "diff", "95 % CI", "pairs", "missing %")


def print_suites(comparison: Comparison, out: Console) -> None:
    """Print each suite: its measures over all conditions, each with a line for an arm."""
    several = len(comparison.models) > 1
    for part in parts_of(comparison):
        if not part.lines:
            continue
        out.print(Text(f"\n{part.name}: {part.question}", style="bold"))
        out.print(_table(header=True))
        for lines in part.pooled.values():
            shown = [line for line in lines if line.arm != comparison.reference or len(lines) == 1]
            if not shown:
                continue
            out.print(Text(f"{lines[0].title}{', ' * bool(lines[0].unit)}{lines[0].unit}", style="dim"))
            table = _table()
            for line in shown:
                table.add_row(*_cells(line, comparison.reference, several))
            out.print(table)
    if comparison.summary.get("suites"):
        out.print(Text("Differences by condition, and what missing outcomes allow, are in the report.", style="dim"))


def seen_table(comparison: Comparison) -> Table:
    """What each standard check could have seen of each arm."""
    title = Text("\nWhat the checks could have seen: smallest harm, power to see the grid's effects")
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    columns = ("", "arm", "n", "smallest\npp", "gap\npp", "power\n%", "false claim\npp", "power\n%", "items\nfor 80 %")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place > 1 else "left", header_style="dim", no_wrap=True)
    for row in seen_rows(comparison):
        effects = [number(row.gap, signed=True), number(row.power, 0)]
        effects += [number(row.claim, signed=True), number(row.claim_power, 0)]
        cells = (whole(row.n), number(row.smallest), *effects, whole(row.needed))
        table.add_row(Text(f"{row.check} {row.measure}"), Text(row.arm), *cells)
    return table


def _table(*, header: bool = False) -> Table:
    """A table of fixed widths, so that those of one suite stand under one another; with ``header`` that alone."""
    table = Table(box=None, padding=(0, 0, 0, 0), show_header=header, pad_edge=False)
    for place, (name, width) in enumerate(zip(COLUMNS, WIDTHS, strict=True)):
        side: Literal["left", "right"] = "right" if place else "left"
        table.add_column(name, justify=side, header_style="dim", width=width, no_wrap=bool(place))
    return table


def _cells(line: Line, reference: str, several: bool) -> list[Text | str]:
    """A line: level, the other arm's, and the difference, bold where its interval excludes 0."""
    name = f"  {line.arm}" + (f" {line.model}" if several else "")
    if line.reference not in ("", reference):
        name = f"  {line.arm} − {line.reference}"
    difference = Text(number(line.estimate, signed=True), style="bold" if line.sign else "")
    level = "" if line.reference not in ("", reference) else number(line.value)
    cells: list[Text | str] = [level, number(line.base), difference, interval(line.low, line.high), whole(line.count)]
    return [Text(name), *cells, number(line.missing_pct)]
