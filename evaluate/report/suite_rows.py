"""What suites with measures of their own have shown, read once for terminal, report and the page of an audit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from warmgap.evaluate.report.comparison import Comparison
from warmgap.evaluate.suites.probe import BETTER, WORSE
from warmgap.words import ALL

FEWEST = 10  # items, and pairs of outcomes, of fewer than which nothing is called worse or better


@dataclass(frozen=True)
class Line:
    """A measure of one arm beside another one: levels and difference, in its unit, percent and pp where that is ``%``.

    ``estimate``, ``low`` and ``high`` are of the difference. ``missing_low`` and ``missing_high`` are what missing
    outcomes allow it to be.
    """

    measure: str
    title: str
    unit: str
    sense: str
    model: str
    arm: str
    reference: str
    condition: str
    value: float
    value_low: float
    value_high: float
    base: float
    estimate: float
    low: float
    high: float
    p_fdr: float
    n: float
    n_items: float
    n_pairs: float
    missing_pct: float
    missing_low: float
    missing_high: float

    @property
    def known(self) -> bool:
        """Whether there are a difference and both ends of its interval."""
        return all(map(math.isfinite, (self.estimate, self.low, self.high)))

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies above or below 0; 0 where it holds 0 or is unknown."""
        if not self.known or self.low <= 0 <= self.high:
            return 0
        return 1 if self.low > 0 else -1

    @property
    def worse(self) -> bool:
        """Whether the arm is shown to be worse: the interval says so, and p adjusted over all measures does."""
        return self._shown({WORSE: 1, BETTER: -1}.get(self.sense, 0))

    @property
    def better(self) -> bool:
        """Whether it is shown to be better, in the same way, and no missing outcome can have made it so."""
        return self._shown({WORSE: -1, BETTER: 1}.get(self.sense, 0)) and self.holds

    def _shown(self, sign: int) -> bool:
        return bool(sign) and self.sign == sign and self.p_fdr < 0.05 and min(self.n_items, self.n_pairs) >= FEWEST

    @property
    def count(self) -> float:
        """How many outcomes of both arms stand behind a difference; behind a level alone, of how many items it is."""
        return self.n_pairs if self.reference else self.n_items

    @property
    def holds(self) -> bool:
        """Whether missing outcomes cannot turn the difference round; of a measure without bounds it is not known."""
        ends = (self.missing_low, self.missing_high)
        return not all(map(math.isfinite, ends)) or min(ends) > 0 or max(ends) < 0

    @property
    def lacks(self) -> bool:
        """Whether outcomes of either arm are missing, so that the two bounds of the difference differ."""
        return self.missing_high - self.missing_low > 1e-6

    @property
    def counted(self) -> str:
        """The unit of its difference."""
        return "pp" if self.unit == "%" else self.unit


@dataclass(frozen=True)
class Part:
    """One suite: what it asks, and its lines over all conditions and by condition, measure by measure."""

    name: str
    title: str
    question: str
    source: str
    reader: str
    pooled: dict[str, list[Line]] = field(default_factory=dict)
    apart: dict[str, list[Line]] = field(default_factory=dict)
    by: dict[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> list[Line]:
        """Its lines over all conditions."""
        return [line for some in self.pooled.values() for line in some]

    def half(self, lines: Sequence[Line]) -> float:
        """Half the width of the interval plots of these lines, a round number of their unit."""
        ends = [abs(end) for line in lines if line.known for end in (line.low, line.high)]
        reach = max(ends, default=1.0)
        size = 10 ** math.floor(math.log10(reach)) if reach > 0 else 1.0
        return next(step * size for step in (1, 2, 5, 10) if step * size >= reach)


def parts_of(comparison: Comparison) -> list[Part]:
    """The suites of a comparison, in the order in which they were asked."""
    found = []
    for name, about in (comparison.summary.get("suites") or {}).items():
        rows = comparison.suites[comparison.suites["suite"] == name]
        part = Part(name, about["title"], about["question"], about["source"], about["reader"])
        for measure, words in about["measures"].items():
            some = rows[rows["measure"] == measure]
            lines = [_line(row, words["title"], some) for row in some.to_dict("records")]
            part.pooled[measure] = [line for line in lines if line.condition == ALL]
            part.apart[measure] = [line for line in lines if line.condition != ALL]
            part.by[measure] = words["by"]
        found.append(part)
    return found


def _line(row: dict[Any, Any], title: str, some: pd.DataFrame) -> Line:
    """A row of suites.csv with the level of the arm that it is compared with."""
    base = some[
        (some["arm"] == row["reference"]) & (some["model"] == row["model"]) & (some["condition"] == row["condition"])
    ]
    words: dict[str, Any] = {
        key: str(row[key]) for key in ("measure", "unit", "sense", "model", "arm", "reference", "condition")
    }
    numbers: dict[str, Any] = {
        key: float(row[key]) for key in ("p_fdr", "n_items", "n_pairs", "missing_pct", "missing_low", "missing_high")
    }
    return Line(
        **words,
        **numbers,
        title=title,
        value=float(row["value"]),
        value_low=float(row["ci_low"]),
        value_high=float(row["ci_high"]),
        base=float(base["value"].iloc[0]) if len(base) else math.nan,
        estimate=float(row["difference"]),
        low=float(row["difference_low"]),
        high=float(row["difference_high"]),
        n=float(row["n"]),
    )
