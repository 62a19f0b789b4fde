"""The tables of suites with measures of their own, in 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from warmgap.evaluate.report.comparison import Comparison, interval, number, whole
from warmgap.evaluate.report.seen import seen_rows
from warmgap.evaluate.report.suite_rows import Line, Part, parts_of


def print_suites(comparison: Comparison, out: Console) -> None:
    """Print a table for each suite: its measures over all conditions, an arm a line."""
    several = len(comparison.models) > 1
    for part in parts_of(comparison):
        if part.lines:
            out.print(_table(part, comparison.reference, several))
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


def _table(part: Part, reference: str, several: bool) -> Table:
    """One suite's table."""
    title = Text(f"\n{part.name}: {part.question}")
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    for place, name in enumerate(("", "", reference, "diff", "95 % CI", "items", "missing %")):
        table.add_column(name, justify="right" if place else "left", header_style="dim", no_wrap=bool(place))
    for lines in part.pooled.values():
        if not lines:
            continue
        unit = f", {lines[0].unit}" if lines[0].unit else ""
        table.add_row(Text(f"{lines[0].title}{unit}", style="dim"))
        for line in lines:
            if line.arm != reference or len(lines) == 1:
                table.add_row(*_cells(line, reference, several))
    return table


def _cells(line: Line, reference: str, several: bool) -> list[Text | str]:
    """A line: level, the other arm's, and the difference, bold where its interval excludes 0."""
    name = f"  {line.arm}" + (f" {line.model}" if several else "")
    if line.reference not in ("", reference):
        name = f"  {line.arm} − {line.reference}"
    difference = Text(number(line.estimate, signed=True), style="bold" if line.sign else "")
    level = "" if line.reference not in ("", reference) else number(line.value)
    cells: list[Text | str] = [level, number(line.base), difference, interval(line.low, line.high), whole(line.n_items)]
    return [Text(name), *cells, number(line.missing_pct)]
