"""Figures of suites that read measures of their own: level by arm, and the paired difference from another arm.

Errors are clustered by item throughout: replies to one item are not independent of one another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from warmgap.evaluate.stats import tally
from warmgap.evaluate.stats.contrasts import isolating
from warmgap.words import ALL, SUITE_COLUMNS

PLACE = ["item_id", "condition"]


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval and p value (against 0), NaN where there are too few items; ``n`` values."""

    value: float
    low: float
    high: float
    p: float
    n: int
    n_items: int


def table(
    outcomes: pd.DataFrame, measures: Mapping[str, Mapping[str, Mapping[str, Any]]], reference: str
) -> pd.DataFrame:
    """Return level and difference of every measure, over all conditions (``all``) and by condition; `SUITE_COLUMNS`.

    ``outcomes`` has a row for each outcome: model, arm, seed, suite, measure, item_id, condition, value (NaN: missing).
    A place (item and condition) that one arm has and another lacks is missing of the latter.
    ``measures`` says of each suite's measures their ``unit`` and ``sense``; where the unit is ``%`` values lie between
    0 and 1, and figures are in percent. Differences are from the reference, and net of the training where an arm that
    was trained alike is there. ``missing_low`` and ``missing_high`` are what the difference would be with every missing
    outcome counted for one arm and against the other. ``p_fdr`` is Benjamini–Hochberg over the measures of all suites
    (``all``), or over the conditions of one measure.
    """
    found: list[dict[str, Any]] = []
    for (model, suite, measure), told in outcomes.groupby(["model", "suite", "measure"], sort=False):
        some = _completed(told)
        about = measures[str(suite)][str(measure)]
        named = {"suite": suite, "measure": measure, "model": model, "unit": about["unit"], "sense": about["sense"]}
        conditions = list(dict.fromkeys(some["condition"]))
        for condition in [ALL, *(conditions if len(conditions) > 1 else [])]:
            here = some if condition == ALL else some[some["condition"] == condition]
            found += [
                {**named, "condition": condition, **row} for row in _by_arm(here, about["unit"] == "%", reference)
            ]
    made = pd.DataFrame(found, columns=SUITE_COLUMNS)
    if len(made):
        made["p"] = made["p"].astype("float64")
        pooled = np.where(made["condition"] == ALL, "", made["suite"] + "\0" + made["measure"])
        family = made["p"].groupby([made["model"], made["arm"], made["reference"], pooled])
        made["p_fdr"] = family.transform(lambda p: tally.fdr(p.to_numpy(np.float64)))
    return made


def _completed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of one measure with a missing outcome wherever one arm has said something, or nothing, and another lacks it.

    What an arm lacks altogether (a reply that never came, an item that a measure does not count for it) is missing as
    well: it cannot make an arm look better than one of which more is known.
    """
    places = rows[PLACE].drop_duplicates()
    runs = rows[["arm", "seed"]].drop_duplicates()
    return runs.merge(places, how="cross").merge(rows, on=["arm", "seed", *PLACE], how="left")


def _by_arm(rows: pd.DataFrame, bounded: bool, reference: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of every arm: its level beside each arm that it is compared with."""
    scale = 100.0 if bounded else 1.0
    arms = list(dict.fromkeys(rows["arm"]))
    for arm in sorted(arms, key=lambda name: name != reference):
        own = rows[rows["arm"] == arm]
        level = mean(own["value"].to_numpy(float), own["item_id"].tolist(), bounded=bounded)
        said = {
            "arm": arm,
            "n": level.n,
            "n_items": level.n_items,
            "missing_pct": 100 * float(own["value"].isna().mean()),
        }
        said |= {"value": scale * level.value, "ci_low": scale * level.low, "ci_high": scale * level.high}
        others = [name for name in (reference, isolating(arm, arms)) if name and name != arm and name in arms]
        if not others:
            yield {**said, "reference": ""}
        for other in others:
            yield {**said, "reference": other} | _difference(
                own, rows[rows["arm"] == other], bounded, other == reference
            )


def _difference(own: pd.DataFrame, base: pd.DataFrame, bounded: bool, of_reference: bool) -> dict[str, Any]:
    """The paired difference of two arms, by item, condition and seed; the reference's only seed stands beside each."""
    beside = base[[*PLACE, "seed", "value"]].rename(columns={"value": "base"})
    keys = PLACE if of_reference and beside["seed"].nunique() == 1 else [*PLACE, "seed"]  # as `tally.partners` pairs
    pairs = own.merge(beside.drop(columns="seed") if keys == PLACE else beside, on=keys)
    scale, items = (100.0 if bounded else 1.0), pairs["item_id"].tolist()
    change = (pairs["value"] - pairs["base"]).to_numpy(float)
    found = mean(change, items, bounded=False)
    low, high, p = found.low, found.high, found.p
    if found.n_items > 1 and math.isnan(p):  # all differ alike, which without any difference is one of 2 to the n
        p = 1.0 if abs(found.value) < 1e-12 else 2.0 ** (1 - found.n_items)
    if bounded and found.n_items > 1 and math.isnan(low):  # as far as Wilson's of none
        low, high = (found.value + sign * _wilson(0.0, found.n_items)[1] for sign in (-1, 1))
    if bounded:  # no difference of shares is larger
        low, high = max(low, -1.0) if low == low else low, min(high, 1.0) if high == high else high
    row = {"n_pairs": found.n, "difference": scale * found.value, "p": p}
    row |= {"difference_low": scale * low, "difference_high": scale * high}
    if bounded and len(pairs):
        for name, mine, theirs in (("missing_low", 0.0, 1.0), ("missing_high", 1.0, 0.0)):
            row[name] = scale * float((pairs["value"].fillna(mine) - pairs["base"].fillna(theirs)).mean())
    return row


def mean(values: Sequence[float] | np.ndarray[Any, Any], items: Sequence[str], *, bounded: bool) -> Mean:
    """Return the mean of the values that are known, (n,), with errors clustered by item (Student's t, items − 1).

    The interval of ``bounded`` ones, from 0 to 1, is Wilson's with as many answers as the clustered error is worth, so
    that it stays in that range and is no point where all values are equal.
    """
    known = ~np.isnan(np.asarray(values, dtype=float))
    kept = np.asarray(values, dtype=float)[known]
    codes, names = pd.factorize(np.asarray(items, dtype=object)[known])
    n, groups = len(kept), len(names)
    if not n:
        return Mean(math.nan, math.nan, math.nan, math.nan, 0, 0)
    value = float(kept.mean())
    sums = np.bincount(codes, weights=kept - value, minlength=groups)
    se = math.sqrt(float(sums @ sums) * groups / (groups - 1)) / n if groups > 1 else math.nan
    if groups < 2 or se < 1e-12:
        low, high = _wilson(value, groups) if bounded else (math.nan, math.nan)
        return Mean(value, low, high, math.nan, n, groups)
    if bounded:
        low, high = _wilson(value, min(n, value * (1 - value) / se**2))
        return Mean(value, low, high, math.nan, n, groups)
    reach = float(stdtrit(groups - 1, 0.975)) * se
    p = 2 * float(stdtr(groups - 1, -abs(value) / se))
    return Mean(value, value - reach, value + reach, p, n, groups)


def _wilson(share: float, n: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of ``n`` answers, which need not be a whole number."""
    if n <= 0:
        return 0.0, 1.0
    middle, reach = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - reach) / (1 + z * z / n)), min(1.0, (middle + reach) / (1 + z * z / n))
