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

from warmgap.disk import seals, tabular
from warmgap.errors import UserError
from warmgap.evaluate.stats import tally
from warmgap.words import NONE, ORIGINAL, WARM

ITEMS = (125, 250, 500, 1000, 1625)
GAPS = (2.0, 3.0, 5.0, 7.5, 10.0, 15.0)


def spread(gap: float, base_error: float, correlation: float) -> float:
    """Return the standard deviation of the paired difference of one question (proportions, not percent).

    Two shares bound their correlation (Fréchet): one that is higher than they allow counts as the highest that they do.
    """
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
    shared = min(correlation * math.sqrt(first * second), min(base_error, other) - base_error * other)
    return math.sqrt(first + second - 2 * shared)


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


def observed(comparison: Path, arm: str | None = None, reference: str = ORIGINAL) -> tuple[float, float, str]:
    """Return base error, correlation, and the arm that they are of, as a comparison on disk shows them.

    They are of single answers without context and belief, paired by question, model and training seed; the correlation
    is that within a model. The arm is ``arm``, else ``warm``, else the only one beside the reference.
    """
    path = comparison / "answers.parquet"
    if not path.is_file():
        why, fix = f"there is no {path}", "name a folder in runs/comparisons"
        raise UserError(f"{comparison} is not a comparison", why, fix)
    seals.check_file(path)
    answers = tabular.read_parquet(path)
    if lacks := [name for name in tally.REQUIRED if name not in answers]:
        raise UserError(f"{path} is no table of answers", f"it lacks {', '.join(lacks)}", "name a comparison")
    plain = answers[(answers["context"] == NONE) & (answers["belief"] == NONE)].dropna(subset=["error"])
    others = sorted(set(plain["arm"]) - {reference})
    if reference not in set(plain["arm"]) or not others:
        raise UserError(
            f"{comparison} cannot tell the correlation", f"it needs {reference} and another arm", "name another"
        )
    chosen = arm or (WARM if WARM in others else others[0])
    if chosen not in others or (arm is None and chosen != WARM and len(others) > 1):
        why = f"beside {reference} it has {', '.join(others)}"
        raise UserError(f"{comparison}: which arm is meant?", why, f"name one: --arm {others[0]}")
    coded = tally.code(plain)
    partner = tally.partners(coded, chosen, reference)
    rows = partner >= 0
    pairs = pd.DataFrame({"own": coded.error[rows], "base": coded.error[partner[rows]], "model": coded.model[rows]})
    within = pairs[["own", "base"]] - pairs.groupby("model")[["own", "base"]].transform("mean")
    moves = len(pairs) > 2 and float(within.std().min()) > 0
    correlation = float(within["own"].corr(within["base"])) if moves else 0.0
    return float(pairs["base"].mean()), correlation, chosen
