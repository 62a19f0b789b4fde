"""How many questions a study needs: the chance that a gap of a given size is told from 0.

The main effect compares an arm with the original on the same questions, one answer each. With errors p0 and p1 and
correlation r between the two answers to a question, the paired difference has variance
p0(1 − p0) + p1(1 − p1) − 2 r √(p0(1 − p0) p1(1 − p1)), and the clustered interval is that of its mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from warmgap.errors import UserError

ITEMS = (125, 250, 500, 1000, 1625)
GAPS = (2.0, 3.0, 5.0, 7.5, 10.0, 15.0)


def spread(gap: float, base_error: float, correlation: float) -> float:
    """Return the standard deviation of the paired difference of one question (proportions, not percent)."""
    other = base_error + gap
    if not 0 < base_error < 1 or not 0 < other < 1:
        raise UserError(
            f"an error of {100 * base_error:g} % with a gap of {100 * gap:g} pp is impossible",
            "both errors must lie between 0 and 100 %",
            "set --base-error so that both do",
        )
    if not -1 < correlation < 1:
        raise UserError(f"a correlation of {correlation:g} is impossible", "it lies between -1 and 1", "such as 0.5")
    first, second = base_error * (1 - base_error), other * (1 - other)
    return math.sqrt(first + second - 2 * correlation * math.sqrt(first * second))


def power(gap: float, n_items: int, base_error: float, correlation: float) -> float:
    """Return the chance (0 to 1) that the two-sided test at 5 % tells the gap from 0."""
    from statsmodels.stats.power import normal_power

    size = gap / spread(gap, base_error, correlation)
    return float(normal_power(size, n_items, 0.05, alternative="two-sided"))


def items_for(gap: float, base_error: float, correlation: float, wanted: float = 0.8) -> int:
    """Return the number of questions that gives the wanted power."""
    low, high = 2, 2
    while power(gap, high, base_error, correlation) < wanted:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if power(gap, middle, base_error, correlation) < wanted else (low, middle)
    return high


def table(
    base_error: float, correlation: float, gaps: Sequence[float] = GAPS, items: Sequence[int] = ITEMS
) -> pd.DataFrame:
    """Return power in percent, a row for each gap (pp) and a column for each number of questions."""
    rows = []
    spread(gaps[0] / 100, base_error, correlation)  # refuses what no gap is possible with
    for gap in gaps:
        if base_error + gap / 100 >= 1:
            continue
        row: dict[str, float] = {"gap_pp": gap}
        row |= {str(n): 100 * power(gap / 100, n, base_error, correlation) for n in items}
        rows.append({**row, "items_for_80": items_for(gap / 100, base_error, correlation)})
    return pd.DataFrame(rows)


def observed(comparison: Path, reference: str = "original") -> tuple[float, float]:
    """Return base error and correlation as a comparison on disk shows them, without context and belief."""
    path = comparison / "answers.parquet"
    if not path.is_file():
        why, fix = f"there is no {path}", "name a folder in runs/comparisons"
        raise UserError(f"{comparison} is not a comparison", why, fix)
    answers = pd.read_parquet(path, columns=["arm", "model", "seed", "task", "item_id", "context", "belief", "error"])
    plain = answers[(answers["context"] == "none") & (answers["belief"] == "none")].dropna(subset=["error"])
    wide = plain.pivot_table(index=["model", "task", "item_id"], columns="arm", values="error")
    others = [arm for arm in wide.columns if arm != reference]
    if reference not in wide.columns or not others:
        raise UserError(
            f"{comparison} cannot tell the correlation", f"it needs {reference} and another arm", "name another"
        )
    pairs = wide[[reference, others[0]]].dropna()
    both = pairs.to_numpy(float)
    moves = len(pairs) > 2 and both.std(axis=0).min() > 0
    correlation = float(pairs[reference].corr(pairs[others[0]])) if moves else 0.0
    return float(pairs[reference].mean()), correlation
