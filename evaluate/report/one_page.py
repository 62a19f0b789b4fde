"""One page on a model: what got worse against its base, where and by how much, what standard checks would have shown,
and which recipe is worth trying.

A measure got worse where its interval says so, on ten items at least, and p does, adjusted for the arm over its lines
of the grid or its measures of all suites. One that missing outcomes could turn round is marked where it is worse, and
is not called better. What was not shown either way is counted, never called equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from warmgap.evaluate.report.comparison import Comparison, Effect, control_rows, effects_of, number
from warmgap.evaluate.report.findings import findings_of
from warmgap.evaluate.report.headline import MINUS
from warmgap.evaluate.report.mitigation_rows import GOOD, mitigation_rows
from warmgap.evaluate.report.seen import seen_lines
from warmgap.evaluate.report.suite_rows import FEWEST, Line, parts_of
from warmgap.evaluate.stats import tally
from warmgap.evaluate.stats.beside.equivalence import BEYOND, WITHIN
from warmgap.words import ALL

GRID = "grid"
WORST, BETTER, UNSHOWN = "worse", "better", "not shown"


@dataclass(frozen=True)
class Cell:
    """A measure of one arm: difference from the base with its interval; ``shown`` is worse, better or not shown."""

    estimate: float
    low: float
    high: float
    shown: str
    n: float
    holds: bool = True


@dataclass(frozen=True)
class Row:
    """A measure over all arms: where it is from, its title and unit, the base's level, and a cell for each arm."""

    where: str
    title: str
    unit: str
    base: float
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Page:
    """What one page says. ``counts`` gives for each arm how many measures got worse, better, or were not shown."""

    base: str
    arms: list[str]
    rows: list[Row]
    counts: dict[str, dict[str, int]]
    checks: list[str]
    advice: dict[str, str]

    @property
    def sections(self) -> dict[str, list[Row]]:
        """Its rows by where they are from, in their order."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.where, []).append(row)
        return found

    def unsure(self, arm: str) -> int:
        """How many of the measures in which an arm got worse missing outcomes could turn round."""
        return sum(not row.cells[arm].holds for row in self.worse(arm))

    def worse(self, arm: str) -> list[Row]:
        """The measures in which an arm got worse, the farthest from 0 for its interval's width first."""
        found = [row for row in self.rows if arm in row.cells and row.cells[arm].shown == WORST]
        return sorted(found, key=lambda row: -_sureness(row.cells[arm]))


def page_of(comparison: Comparison, model: str = "") -> Page:
    """The page of a comparison; of one model where it has several, and of what is known of that one alone."""
    model = model or (comparison.models[0] if comparison.models else "")
    if len(comparison.models) > 1:
        comparison = _of_model(comparison, model)
    arms = comparison.others
    rows = [*_grid_rows(comparison, arms), *_suite_rows(comparison, arms, model)]
    counts = {
        arm: {
            word: sum(row.cells[arm].shown == word for row in rows if arm in row.cells)
            for word in (WORST, BETTER, UNSHOWN)
        }
        for arm in arms
    }
    page = Page(comparison.reference, arms, rows, counts, [], {})
    advice = {arm: _advice(comparison, page, arm) for arm in arms}
    return Page(comparison.reference, arms, rows, counts, [_checks(comparison, arm) for arm in arms], advice)


def _of_model(comparison: Comparison, model: str) -> Comparison:
    """The tables and arms of one of several models; what is pooled over them is left out.

    A pair of arms that one model alone has stands under ``all``.
    """
    names = ("cells", "controls", "equivalence", "mitigations", "suites", "blind_spot")
    tables = {name: table[table["model"] == model] for name in names for table in [getattr(comparison, name)]}
    own = {*tables["cells"]["arm"], *tables["suites"]["arm"]}
    effects = comparison.effects
    pairs = effects["arm"].astype(str) + "\0" + effects["reference"].astype(str)
    pooled = pairs.isin(pairs[effects["model"] != ALL]) | ~(effects["arm"].isin(own) & effects["reference"].isin(own))
    kept = (effects["model"] == model) | ((effects["model"] == ALL) & ~pooled)
    arms = [arm for arm in comparison.summary.get("arms") or [] if str(arm.get("model")) == model]
    tables["effects"] = effects[kept].assign(model=model)
    return replace(comparison, **tables, summary={**comparison.summary, "arms": arms})


def _grid_rows(comparison: Comparison, arms: Sequence[str]) -> list[Row]:
    """The lines of the main table, each with all arms."""
    effects = effects_of(comparison)
    by_label: dict[str, dict[str, Cell]] = {}
    for arm in arms:
        found = [finding for finding in findings_of(effects, arm) if finding.level == 0]
        adjusted = tally.fdr(np.array([finding.ours.p for finding in found], dtype=np.float64))
        for finding, p in zip(found, adjusted.tolist(), strict=True):
            by_label.setdefault(finding.label, {})[arm] = _of_effect(finding.ours, p)
    return [
        Row(GRID, f"Error: {label[:1].lower()}{label[1:]}", "pp", math.nan, some) for label, some in by_label.items()
    ]


def _of_effect(effect: Effect, p: float) -> Cell:
    """A line of the grid, with p adjusted over those of its arm."""
    holds = not effect.missing or (effect.missing_low > 0 if effect.sign > 0 else effect.missing_high < 0)
    sign = effect.sign if effect.n_items >= FEWEST and p < 0.05 else 0
    shown = {1: WORST, -1: BETTER if holds else UNSHOWN, 0: UNSHOWN}[sign]
    return Cell(effect.estimate, effect.low, effect.high, shown, effect.n_items, holds)


def _suite_rows(comparison: Comparison, arms: Sequence[str], model: str) -> list[Row]:
    """The measures of all suites, each with all arms."""
    found = []
    for part in parts_of(comparison):
        for lines in part.pooled.values():
            own = {
                line.arm: line
                for line in lines
                if line.arm in arms and line.reference == comparison.reference and line.model == model
            }
            if own:
                some = next(iter(own.values()))
                cells = {arm: _of_line(line) for arm, line in own.items()}
                found.append(Row(part.name, some.title, some.unit, some.base, cells))
    return found


def _of_line(line: Line) -> Cell:
    shown = WORST if line.worse else BETTER if line.better else UNSHOWN
    return Cell(line.estimate, line.low, line.high, shown, line.count, line.holds)


def _sureness(cell: Cell) -> float:
    """How many half widths of its interval a difference lies from 0."""
    width = (cell.high - cell.low) / 2
    return abs(cell.estimate) / width if math.isfinite(width) and width > 0 else 0.0


def _checks(comparison: Comparison, arm: str) -> str:
    """What standard checks would have shown of an arm, in a sentence."""
    rows = [row for row in control_rows(comparison) if row["arm"] == arm]
    if not rows:
        return f"{arm}: no standard check was run beside it (control=[mmlu,gsm8k,advbench,xstest])."
    said = {
        word: [f"{row['control']} {row['measure']}" for row in rows if row["verdict"] == word]
        for word in (WITHIN, BEYOND)
    }
    parts = [f"beyond its margin: {', '.join(said[BEYOND])}"] if said[BEYOND] else ["none is beyond its margin"]
    parts += [f"shown to be within it: {', '.join(said[WITHIN])}"] if said[WITHIN] else []
    left = len(rows) - len(said[WITHIN]) - len(said[BEYOND])
    parts += [f"not shown either way: {left}"] if left else []
    seen = [f" {line}." for line in seen_lines(comparison, arm, MINUS)]
    return f"{arm}: of {len(rows)} figures of standard checks {'; '.join(parts)}.{''.join(seen)}"


def _advice(comparison: Comparison, page: Page, arm: str) -> str:
    """Which recipe is worth trying: one that was compared and helps, else what acts on what got worse."""
    good = [row for row in mitigation_rows(comparison) if row.verdict in GOOD]
    if good:
        shown = f"{number(good[0].error.value, signed=True)} pp of error against {page.base}"
        return f"{good[0].arm}: it was compared here, and {good[0].verdict} the gap ({shown})."
    worse = page.worse(arm)
    if not worse:
        return "None: nothing was shown to be worse."
    told = comparison.summary.get("suites") or {}
    harms = [str(told.get(row.where, {}).get("harm", "error")) for row in worse]
    commonest = max(dict.fromkeys(harms), key=harms.count)
    known = comparison.summary.get("worth_trying") or {}
    if commonest not in known:
        return "No recipe says that it is for this, without a training."
    recipe, why = known[commonest]["recipe"], known[commonest]["why"]
    return f"{recipe}: {why}. It was not measured on this model; mitigation={recipe} does."
