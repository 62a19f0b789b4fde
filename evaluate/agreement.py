"""A judge against people: agreement, and error rates and gaps corrected by the human labels.

The correction is prediction-powered inference with power tuning (PPI++: Angelopoulos, Duchi and Zrnic 2023, arXiv
2311.01453) for a mean: the judge's mean over all answers, plus what people say that the judge gets wrong on the sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from warmgap.evaluate.judge import GRADED

FEW = 20  # labels of an arm below which its corrected figures are not to be relied on
Z95 = 1.959964
AGREEMENT = ["part", "value", "n", "agreement_pct", "ci_low_pct", "ci_high_pct", "kappa", "kappa_low", "kappa_high"]
CORRECTED = [
    "model", "arm", "figure", "n_labels", "n_answers", "judge_pct", "corrected_pct", "ci_low_pct", "ci_high_pct",
    "note",
]  # fmt: skip


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far ``verdict`` (the judge) and ``label`` (a person) agree: overall, by arm and by task.

    Raw agreement in percent with Wilson's interval; Cohen's kappa with its asymptotic 95 % interval, empty where all
    are of one kind. Rows that lack either verdict are left out.
    """
    known = table[table["verdict"].isin(GRADED) & table["label"].isin(GRADED)]
    parts = [("all", "all", known)]
    parts += [(part, str(value), some) for part in ("arm", "task") for value, some in known.groupby(part, sort=True)]
    return pd.DataFrame(
        [{"part": part, "value": value, **_agree(some)} for part, value, some in parts], columns=AGREEMENT
    )


def _agree(table: pd.DataFrame) -> dict[str, Any]:
    from statsmodels.stats.inter_rater import cohens_kappa
    from statsmodels.stats.proportion import proportion_confint

    n = len(table)
    if n == 0:
        return {"n": 0}
    same = int((table["verdict"] == table["label"]).sum())
    low, high = proportion_confint(same, n, method="wilson")
    found = {"n": n, "agreement_pct": 100 * same / n, "ci_low_pct": 100 * low, "ci_high_pct": 100 * high}
    kinds = [kind for kind in GRADED if kind in {*table["verdict"], *table["label"]}]
    if len(kinds) < 2:
        return found
    counts = pd.crosstab(table["verdict"], table["label"]).reindex(index=kinds, columns=kinds, fill_value=0)
    kappa = cohens_kappa(counts.to_numpy())
    return {
        **found,
        "kappa": kappa.kappa,
        "kappa_low": max(-1.0, kappa.kappa_low),
        "kappa_high": min(1.0, kappa.kappa_upp),
    }


def alpha(labels: pd.DataFrame, bootstrap: int = 1000, seed: int = 0) -> dict[str, float]:
    """Return Krippendorff's alpha (nominal) of several raters with a 95 % interval by resampling the units.

    ``labels`` has one row for each unit and one column for each rater, empty where a rater said nothing. NaN where
    fewer than two raters share a unit, or all labels are of one kind.
    """
    import krippendorff

    codes = {kind: float(index) for index, kind in enumerate(GRADED)}
    data = labels.map(lambda label: codes.get(label, math.nan)).to_numpy(dtype=float).T
    shared = (~np.isnan(data)).sum(0) >= 2
    data = data[:, shared]
    found = {
        "alpha": math.nan,
        "low": math.nan,
        "high": math.nan,
        "units": int(shared.sum()),
        "raters": len(labels.columns),
    }
    if data.shape[1] < 2 or len(np.unique(data[~np.isnan(data)])) < 2:
        return found
    found["alpha"] = float(krippendorff.alpha(data, level_of_measurement="nominal"))
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(bootstrap):
        some = data[:, rng.integers(0, data.shape[1], data.shape[1])]
        if len(np.unique(some[~np.isnan(some)])) > 1:
            draws.append(float(krippendorff.alpha(some, level_of_measurement="nominal")))
    if len(draws) > bootstrap / 2:
        found["low"], found["high"] = (float(end) for end in np.percentile(draws, [2.5, 97.5]))
    return found


def corrected(answers: pd.DataFrame, reference: str = "original") -> pd.DataFrame:
    """Return error rates by arm, and gaps to the reference (pp), by the judge alone and corrected by the labels.

    ``answers`` has model, arm, task, item_id, ``error`` (the judge's, 0/1) and ``label_error`` (a person's, empty where
    nobody looked). Labels were drawn at random within arm and task; each such stratum is corrected by itself and weighs
    by its answers. Variances are clustered by item; a gap's takes the arms as independent, which errs on the wide side.
    """
    rows = []
    for model, own in answers[answers["error"].notna()].groupby("model", sort=False):
        means = {str(arm): _arm(some) for arm, some in own.groupby("arm", sort=False)}
        for arm, mean in means.items():
            rows.append({"model": model, "arm": arm, "figure": "error", **_figures(mean, None)})
        rows += [
            {"model": model, "arm": arm, "figure": f"gap to {reference}", **_figures(mean, means[reference])}
            for arm, mean in means.items()
            if arm != reference and reference in means
        ]
    return pd.DataFrame(rows, columns=CORRECTED)


def _arm(table: pd.DataFrame) -> dict[str, float]:
    """The judge's and the corrected error rate of an arm (share), the variance of the latter, and the counts."""
    value = variance = 0.0
    for _, some in table.groupby("task"):
        weight = len(some) / len(table)
        mean, spread = ppi(some["error"].to_numpy(), some["label_error"].to_numpy(), some["item_id"].to_numpy())
        value, variance = value + weight * mean, variance + weight**2 * spread
    labels = int(table["label_error"].notna().sum())
    return {
        "value": value,
        "variance": variance,
        "judge": float(table["error"].mean()),
        "labels": labels,
        "n": len(table),
    }


def ppi(judge: np.ndarray, label: np.ndarray, item: Sequence[Any] | np.ndarray) -> tuple[float, float]:
    """Return the power-tuned prediction-powered mean of the labels and its variance.

    ``judge`` covers all answers, ``label`` is NaN where nobody looked. (NaN, NaN) with fewer than two labels.
    """
    seen = ~np.isnan(label)
    n, total = int(seen.sum()), len(judge)
    if n < 2:
        return math.nan, math.nan
    f, y = judge[seen], label[seen]
    spread = float(np.var(judge))
    share = n / total
    covariance = float(np.mean((f - f.mean()) * (y - y.mean())))
    tuning = min(1.0, max(0.0, covariance / ((1 + share) * spread))) if spread > 0 else 0.0
    mean = tuning * float(judge.mean()) + float(np.mean(y - tuning * f))
    variance = tuning**2 * _clustered(judge, np.asarray(item)) + _clustered(y - tuning * f, np.asarray(item)[seen])
    return mean, variance


def _clustered(values: np.ndarray, item: np.ndarray) -> float:
    """The variance of a mean whose values repeat within items."""
    _, codes = np.unique(item.astype(str), return_inverse=True)
    sums = np.bincount(codes, weights=values - values.mean())
    groups = len(sums)
    return float((sums**2).sum()) / len(values) ** 2 * groups / max(1, groups - 1)


def _figures(mean: dict[str, float], base: dict[str, float] | None) -> dict[str, Any]:
    value, variance, judge = mean["value"], mean["variance"], mean["judge"]
    labels = mean["labels"]
    if base is not None:
        value, variance, judge = value - base["value"], variance + base["variance"], judge - base["judge"]
        labels = min(labels, base["labels"])
    half = Z95 * math.sqrt(variance) if variance == variance else math.nan
    return {
        "n_labels": int(labels),
        "n_answers": int(mean["n"]),
        "judge_pct": 100 * judge,
        "corrected_pct": 100 * value,
        "ci_low_pct": 100 * (value - half),
        "ci_high_pct": 100 * (value + half),
        "note": f"fewer than {FEW} labels" if labels < FEW else "",
    }
