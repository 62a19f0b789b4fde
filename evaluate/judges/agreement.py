"""A judge against people: how far they agree, and whether the judge errs alike in every arm and belief cell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from warmgap.evaluate.judges.base import GRADED
from warmgap.evaluate.judges.grade import error_of
from warmgap.evaluate.stats.bootstrap import drawn
from warmgap.evaluate.stats.ppi import Estimate, mean
from warmgap.words import NONE, ORIGINAL

PARTS = ("arm", "task", "belief")
COMPARED = {"arm": ORIGINAL, "belief": NONE}  # the value that the others of a part are held against
AGREEMENT = [
    "part", "value", "n", "n_no_verdict", "agreement_pct", "ci_low_pct", "ci_high_pct", "kappa", "kappa_low",
    "kappa_high", "n_errors", "sensitivity_pct", "sensitivity_low_pct", "sensitivity_high_pct", "n_right",
    "specificity_pct", "specificity_low_pct", "specificity_high_pct",
]  # fmt: skip
DIFFERENCES = [
    "part", "value", "reference", "n", "n_reference", "mistakes_pct", "reference_mistakes_pct", "mistakes_pp",
    "mistakes_low_pp", "mistakes_high_pp", "bias_pp", "bias_low_pp", "bias_high_pp",
]  # fmt: skip


def outcomes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a person labelled, with the strict error of both: 1, 0, or empty where it is left out."""
    known = table[table["label"].isin(GRADED)]
    errors = {
        name: [error_of(word, task) for word, task in zip(known[source], known["task"], strict=True)]
        for name, source in (("judged", "verdict"), ("labelled", "label"))
    }
    return known.assign(**{name: pd.Series(values, known.index, dtype=float) for name, values in errors.items()})


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far ``verdict`` (the judge) and ``label`` (a person) agree: overall, by arm, by task and by belief.

    Raw agreement and Cohen's kappa over the four verdicts. Of the answers that people call errors in the strict rule
    (``n_errors``), the share that the judge calls so (sensitivity); of those that they call right, the share that it
    does not (specificity). All with 95 % intervals clustered by item. Answers without a verdict of the judge are
    counted in ``n_no_verdict`` and are in nothing else.
    """
    known = outcomes(table)
    parts = [("all", "all", known)]
    parts += [(part, str(value), some) for part in PARTS for value, some in known.groupby(part, sort=True)]
    return pd.DataFrame(
        [{"part": part, "value": value, **_agree(some)} for part, value, some in parts], columns=AGREEMENT
    )


def _agree(labelled: pd.DataFrame) -> dict[str, Any]:
    table = labelled[labelled["verdict"].isin(GRADED)]
    same = table["verdict"] == table["label"]
    found = {"n": len(table), "n_no_verdict": len(labelled) - len(table), **_share("agreement", "ci", same, table)}
    found |= _kappa(table)
    for name, count, truth in (("sensitivity", "n_errors", 1.0), ("specificity", "n_right", 0.0)):
        some = table[table["labelled"] == truth]
        hit = (some["judged"] == 1.0) == bool(truth)
        found |= {count: len(some), **_share(name, name, hit, some)}
    return found


def _items(table: pd.DataFrame) -> np.ndarray:
    return np.asarray(table["task"].astype(str) + "\n" + table["item_id"].astype(str))


def _share(name: str, interval: str, hit: pd.Series[bool], table: pd.DataFrame) -> dict[str, float]:
    """A share in percent with its interval, empty where there is none."""
    if not len(table):
        return {}
    low, high = wilson(hit.to_numpy(), _items(table))
    return {
        f"{name}_pct": 100 * float(hit.mean()),
        f"{interval}_low_pct": 100 * low,
        f"{interval}_high_pct": 100 * high,
    }


def wilson(hit: np.ndarray, item: np.ndarray) -> tuple[float, float]:
    """Return Wilson's 95 % interval at the effective number of answers: fewer where those to one item go together.

    n is divided by the variance clustered by item over that of independent answers, where this is above 1 (Korn and
    Graubard 1998); it holds at 0 and 100 %, where a bootstrap has no width.
    """
    from statsmodels.stats.proportion import proportion_confint

    n, share = len(hit), float(np.mean(hit))
    single = share * (1 - share) / max(1, n - 1)
    clustered = mean(hit.astype(float), item).variance  # NaN where all answers are to one item
    effective = 1.0 if math.isnan(clustered) else n / max(1.0, clustered / single) if single > 0 else float(n)
    low, high = proportion_confint(share * effective, effective, method="wilson")
    return float(low), float(high)


def _kappa(table: pd.DataFrame) -> dict[str, float]:
    """Cohen's kappa and its interval by the delta method (Fleiss, Cohen and Everitt 1969), clustered by item.

    Empty where all verdicts and labels are of one kind. Where all agree, the lower end is kappa at Wilson's lower end.
    """
    kinds = {*table["verdict"], *table["label"]}
    if len(kinds) < 2:
        return {}
    judge, people = (table[name].value_counts(normalize=True) for name in ("verdict", "label"))
    same = (table["verdict"] == table["label"]).to_numpy(dtype=float)
    agree, chance = float(same.mean()), float(judge.mul(people, fill_value=0.0).sum())
    kappa = (agree - chance) / (1 - chance)
    met = (table["verdict"].map(people).fillna(0) + table["label"].map(judge).fillna(0)).to_numpy(dtype=float)
    slope = same / (1 - chance) - met * (1 - agree) / (1 - chance) ** 2
    low, high = mean(slope, _items(table)).interval
    half = (high - low) / 2
    if agree == 1.0:
        return {"kappa": 1.0, "kappa_low": (wilson(same, _items(table))[0] - chance) / (1 - chance), "kappa_high": 1.0}
    return {"kappa": kappa, "kappa_low": max(-1.0, kappa - half), "kappa_high": min(1.0, kappa + half)}


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Return how much more often the judge is wrong in an arm than in ``original``, in a belief cell than in ``none``.

    ``mistakes_pp``: the share of answers whose outcome (error, right, left out) is another by the judge than by people.
    ``bias_pp``: the share of errors by the judge minus that by people; what it differs by between two arms is added to
    their gap, so this is what must be small. 95 % intervals clustered by item, with one more answer of either extreme
    on each side (Agresti and Caffo 2000), so that no mistake seen is not certainty.
    """
    known = outcomes(table)
    known = known[known["verdict"].isin(GRADED)]
    mistake = (known["judged"].fillna(-1) != known["labelled"].fillna(-1)).astype(float)
    bias = (known["judged"] == 1).astype(float) - (known["labelled"] == 1).astype(float)
    rows = []
    for part, usual in COMPARED.items():
        groups = {str(value): some.index for value, some in known.groupby(part, sort=True)}
        against = usual if usual in groups else next(iter(groups), usual)
        for value, index in groups.items():
            if value == against:
                continue
            base = groups[against]
            row = {"part": part, "value": value, "reference": against, "n": len(index), "n_reference": len(base)}
            row |= {"mistakes_pct": 100 * mistake[index].mean(), "reference_mistakes_pct": 100 * mistake[base].mean()}
            for name, measured, least in (("mistakes", mistake, 0.0), ("bias", bias, -1.0)):
                one, other = (_widened(measured[some], known.loc[some], least) for some in (index, base))
                low, high = (one - other).interval
                difference = float(measured[index].mean() - measured[base].mean())
                row |= {f"{name}_pp": 100 * difference, f"{name}_low_pp": 100 * low, f"{name}_high_pp": 100 * high}
            rows.append(row)
    return pd.DataFrame(rows, columns=DIFFERENCES)


def _widened(values: pd.Series[float], table: pd.DataFrame, least: float) -> Estimate:
    """The mean with one more answer of either extreme, each to an item of its own."""
    item = np.concatenate([_items(table), [f"{least} {table.index[0]}", f"{1.0} {table.index[0]}"]])
    return mean(np.concatenate([values.to_numpy(), [least, 1.0]]), item)


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
    draws = []
    for units in (one for some in drawn(data.shape[1], bootstrap, seed) for one in some):
        again = data[:, units]
        if len(np.unique(again[~np.isnan(again)])) > 1:
            draws.append(float(krippendorff.alpha(again, level_of_measurement="nominal")))
    if len(draws) > bootstrap / 2:
        found["low"], found["high"] = (float(end) for end in np.percentile(draws, [2.5, 97.5]))
    return found
