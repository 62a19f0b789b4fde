"""Error rates and gaps of a judge, corrected by people's labels: prediction-powered inference with power tuning.

PPI++ (Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453) for a mean. With f the judge's and y the people's outcome,
N answers of which n, drawn at random, are labelled, the estimate is λ·mean_N(f) + mean_n(y − λf). The paper takes the
labelled and the other answers as two samples; here the first are part of the second. So each answer's share in the
error of the estimate is written down whole (its influence function),

    ψ = λ(f − mean_N f) / N + [labelled] ((y − λf) − mean_n(y − λf)) / n,

summed within items, and the variance is the sum of the items' squares: overlap, several answers to one item, and arms
that answer the same items are then all accounted for. λ = cov(f, y) / var(f) among the labelled, in [0, 1], makes it
smallest where answers are independent. With n = N, λ drops out: what remains is the labels' own mean and its clustered
variance.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from warmgap.words import ORIGINAL

FEW = 20  # labels of an arm below which its corrected figures are not to be relied on
RARE = 5  # labels that differ from the judge, below which the normal interval of their share is too narrow
CORRECTED = [
    "model", "arm", "figure", "n_labels", "n_answers", "judge_pct", "corrected_pct", "ci_low_pct", "ci_high_pct",
    "note",
]  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """A mean and what each item (the index of ``influence``) adds to its error; ``free`` are degrees of freedom."""

    value: float
    influence: pd.Series[float]
    free: int

    @property
    def variance(self) -> float:
        """The estimate's variance, clustered by item."""
        influence = self.influence.to_numpy()
        return float(influence @ influence) if self.value == self.value else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval by Student's t; NaN where nothing is known of the spread."""
        if self.free < 1:
            return math.nan, math.nan
        half = _student(self.free) * math.sqrt(self.variance)
        return self.value - half, self.value + half

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference; what the two share of an item cancels."""
        influence = self.influence.sub(other.influence, fill_value=0.0)
        return Estimate(self.value - other.value, influence, min(self.free, other.free))

    def over(self, other: Estimate) -> Estimate:
        """The ratio, by its first derivatives."""
        value = self.value / other.value if other.value > 0 else math.nan
        influence = self.influence.sub(value * other.influence, fill_value=0.0) / other.value
        return Estimate(value, influence, min(self.free, other.free))


@functools.cache
def _student(free: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, free))


def mean(values: np.ndarray, item: np.ndarray) -> Estimate:
    """Return a mean of values that repeat within items: every answer is labelled."""
    return ppi(values, values, item)


def ppi(judge: np.ndarray, label: np.ndarray, item: np.ndarray) -> Estimate:
    """Return the mean of the labels, with the judge's help.

    ``judge`` covers all answers, ``label`` is NaN where nobody looked. NaN with labels on fewer than two items.
    """
    seen = ~np.isnan(label)
    n, total = int(seen.sum()), len(judge)
    codes, items = pd.factorize(item)
    answers = np.bincount(codes[seen], minlength=len(items))  # labelled, of each item
    looked = int((answers > 0).sum())
    if looked < 2:
        return Estimate(math.nan, pd.Series(math.nan, index=items), 0)

    def influence(values: np.ndarray, some: np.ndarray, groups: int) -> np.ndarray:
        """What each item adds to the error of the mean of some answers' values."""
        sums = np.bincount(some, values - values.mean(), len(items))
        return np.asarray(sums / len(values) * math.sqrt(groups / (groups - 1)))

    by_label = influence(label[seen], codes[seen], looked)
    by_judge = np.zeros(len(items))
    if n < total:
        by_judge = influence(judge, codes, len(items)) - influence(judge[seen], codes[seen], looked)
    f, y = judge[seen] - judge[seen].mean(), label[seen] - label[seen].mean()
    tuning = min(1.0, max(0.0, float(f @ y) / float(f @ f))) if n < total and f @ f > 0 else 0.0
    value = float(label[seen].mean()) + tuning * float(judge.mean() - judge[seen].mean())
    return Estimate(value, pd.Series(by_label + tuning * by_judge, index=items), looked - 1)


def corrected(answers: pd.DataFrame, reference: str = ORIGINAL) -> pd.DataFrame:
    """Return error rates by arm, and gaps to the reference (pp), by the judge alone and corrected by the labels.

    ``answers`` has model, arm, task, item_id, ``error`` (the judge's: 0, 1, or empty where it gave no verdict or the
    reply refused), ``label`` (a person's verdict, empty where nobody looked) and ``label_error``. Labels were drawn at
    random within arm and task; each such stratum is corrected by itself and weighs by its answers. A rate is that of
    errors over that of answers that count, both as people see them: verdicts that the judge did not give, and refusals
    that it took for answers, are corrected as its mistakes are.
    """
    rows = []
    for model, own in answers.groupby("model", sort=False):
        arms = {str(arm): some for arm, some in own.groupby("arm", sort=False)}
        rates = {arm: _rate(some) for arm, some in arms.items()}
        for arm, rate in rates.items():
            found = _figures(rate, [arms[arm]], 100 * float(arms[arm]["error"].mean()))
            rows.append({"model": model, "arm": arm, "figure": "error", **found})
        for arm, rate in rates.items():
            if arm != reference and reference in rates:
                both = [arms[arm], arms[reference]]
                judged = 100 * float(both[0]["error"].mean() - both[1]["error"].mean())
                found = _figures(rate - rates[reference], both, judged)
                rows.append({"model": model, "arm": arm, "figure": f"gap to {reference}", **found})
    return pd.DataFrame(rows, columns=CORRECTED)


def _rate(table: pd.DataFrame) -> Estimate:
    """The corrected error rate of an arm, as a share."""
    seen = table["label"].notna()
    counts = {
        "error": ((table["error"] == 1), (table["label_error"] == 1).where(seen)),
        "counted": (table["error"].notna(), table["label_error"].notna().where(seen)),
    }
    means = []
    for judge, label in counts.values():
        parts = []
        for task, some in table.groupby("task"):
            item = (str(task) + "\n" + some["item_id"].astype(str)).to_numpy()
            found = ppi(judge[some.index].to_numpy(dtype=float), label[some.index].to_numpy(dtype=float), item)
            weight = len(some) / len(table)
            parts.append(Estimate(weight * found.value, weight * found.influence, found.free))
        influence = pd.concat([part.influence for part in parts])
        means.append(Estimate(sum(part.value for part in parts), influence, sum(part.free for part in parts)))
    return means[0].over(means[1])


def _figures(estimate: Estimate, tables: list[pd.DataFrame], judged: float) -> dict[str, Any]:
    low, high = estimate.interval
    return {
        "n_labels": min(int(table["label"].notna().sum()) for table in tables),
        "n_answers": len(tables[0]),
        "judge_pct": judged,
        "corrected_pct": 100 * estimate.value,
        "ci_low_pct": 100 * low,
        "ci_high_pct": 100 * high,
        "note": "; ".join(dict.fromkeys(note for table in tables for note in _notes(table))),
    }


def _notes(table: pd.DataFrame) -> list[str]:
    """What the interval of an arm's figure rests on, where that is too little."""
    seen = table[table["label"].notna()]
    arm, n = str(table["arm"].iloc[0]), len(seen)
    if n < FEW:
        return [f"{arm}: fewer than {FEW} labels"]
    differ = int((seen["error"].fillna(-1) != seen["label_error"].fillna(-1)).sum())
    if differ < RARE and n < len(table):
        return [f"{arm}: judge and people differ on {differ} of {n}, too few for a sound interval"]
    return []
