"""Figures of the controls: rates with intervals, and whether two arms are equal within a margin.

"Unchanged" is stated by two one-sided tests on paired items (TOST, Schuirmann 1987), never by a large p-value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from warmgap.words import EQUIVALENCE_COLUMNS, RATE_COLUMNS

WITHIN, NOT_SHOWN, BEYOND = "within the margin", "not shown", "beyond the margin"


def rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rate of each control's outcome (percent, Wilson's 95 % interval), by arm.

    ``rows`` has model, arm, seed, control, measure, outcome, finish_reason, n_chars. A reply that does not say is left
    out of the rate; its share stands in ``no_answer_pct``.
    """
    from statsmodels.stats.proportion import proportion_confint

    found = []
    keys = ["model", "arm", "seed", "control", "measure"]
    for key, some in rows.groupby(keys, sort=False):
        known = some["outcome"].dropna()
        row = dict(zip(keys, key, strict=True)) | {"n": len(known)}
        if len(known):
            low, high = proportion_confint(int(known.sum()), len(known), method="wilson")
            row |= {"pct": 100 * known.mean(), "ci_low_pct": 100 * low, "ci_high_pct": 100 * high}
        row |= {"no_answer_pct": 100 * some["outcome"].isna().mean(), "mean_chars": some["n_chars"].mean()}
        row |= {"truncated_pct": 100 * (some["finish_reason"] == "length").mean()}
        found.append(row)
    return pd.DataFrame(found, columns=RATE_COLUMNS)


def equivalence(rows: pd.DataFrame, reference: str, margins: dict[str, float]) -> pd.DataFrame:
    """Return, for each arm but the reference, whether its outcomes equal the reference's on the same items.

    ``verdict`` is ``within the margin`` where TOST rejects a difference as large as the margin at 5 % (the 90 %
    interval lies inside it), ``beyond the margin`` where the interval lies outside, else ``not shown``. Only items on
    which both arms have an outcome enter. A verdict has to stand as well where each outcome that one of the two arms
    lacks is counted for it, and where it is counted against it: replies that do not say buy no "unchanged".
    """
    found = []
    for (model, control, measure), some in rows.groupby(["model", "control", "measure"], sort=False):
        others = some[some["arm"] == reference]
        margin = margins.get(str(control), math.nan)
        for (arm, seed), own in some[some["arm"] != reference].groupby(["arm", "seed"], sort=False):
            sides = [
                one.drop_duplicates("item_id").set_index("item_id")["outcome"] for one in (own, of_seed(others, seed))
            ]
            pair = pd.concat(sides, axis=1, join="inner", keys=["own", "base"]).astype(float)
            row = {"model": model, "arm": arm, "seed": seed, "reference": reference, "control": control}
            row |= {"measure": measure, "margin_pp": margin}
            found.append(row | _tested(pair.dropna(how="all"), margin))
    return pd.DataFrame(found, columns=EQUIVALENCE_COLUMNS)


def of_seed(reference: pd.DataFrame, seed: Any) -> pd.DataFrame:
    """Return the rows of the reference that stand beside an arm's of a seed: of that seed, else of its only one."""
    same = reference[reference["seed"] == seed]
    return same if len(same) or reference["seed"].nunique() > 1 else reference


def _tested(pair: pd.DataFrame, margin: float) -> dict[str, Any]:
    """What the outcomes of both arms (columns ``own`` and ``base``, one of them may be missing) show."""

    def test(some: pd.DataFrame) -> dict[str, Any]:
        return tost(some["own"].tolist(), some["base"].tolist(), margin)

    found = test(pair.dropna())
    if found["verdict"] == NOT_SHOWN or not pair.isna().any(axis=None):
        return found
    ends = [test(pair.fillna({"own": own, "base": 1 - own})) for own in (0.0, 1.0)]
    turned = found["verdict"] == BEYOND and any(end["difference_pp"] * found["difference_pp"] <= 0 for end in ends)
    holds = not turned and all(end["verdict"] == found["verdict"] for end in ends)
    return found if holds else {**found, "verdict": NOT_SHOWN}


def tost(own: Sequence[float], base: Sequence[float], margin_pp: float) -> dict[str, Any]:
    """Return n, difference (pp) with its 90 % interval, p of TOST and of exact McNemar, and the verdict, of paired 0/1.

    With fewer than 10 pairs, or a margin that is unknown, nothing is said. Pairs that all differ alike have no spread:
    the interval then reaches as far as Wilson's for a share of none in n.
    """
    from statsmodels.stats.contingency_tables import mcnemar
    from statsmodels.stats.proportion import proportion_confint
    from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

    n = len(own)
    if n < 10 or math.isnan(margin_pp):
        return {"n": n, "verdict": NOT_SHOWN}
    differences = [a - b for a, b in zip(own, base, strict=True)]
    up, down = differences.count(1.0), differences.count(-1.0)
    if len(set(differences)) == 1:
        share = proportion_confint(0, n, alpha=0.10, method="wilson")[1]
        low, high = 100 * (differences[0] - share), 100 * (differences[0] + share)
        p = math.nan
    else:
        low, high = (100 * end for end in DescrStatsW(differences).tconfint_mean(alpha=0.10))
        p = float(ttost_paired(pd.Series(own), pd.Series(base), -margin_pp / 100, margin_pp / 100)[0])
    inside, outside = -margin_pp < low and high < margin_pp, high < -margin_pp or low > margin_pp
    same = float(mcnemar([[0, up], [down, 0]], exact=True).pvalue) if up + down else 1.0
    return {
        "n": n,
        "difference_pp": 100 * (up - down) / n,
        "ci90_low_pp": low,
        "ci90_high_pp": high,
        "p_tost": p,
        "p_mcnemar": same,
        "verdict": WITHIN if inside else BEYOND if outside else NOT_SHOWN,
    }
