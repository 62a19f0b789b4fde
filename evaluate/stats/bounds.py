"""What missing answers could change: for every effect, the raw difference with each of them counted for the arm, or
against it.

An answer is missing where its error is empty: without a verdict, or refused where that is left out of the error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from warmgap.evaluate.stats import tally
from warmgap.evaluate.stats.contrasts import same_seeds
from warmgap.evaluate.stats.tally import Answers, Floats, Ints, Mask
from warmgap.words import FALSE, FALSE_BELIEFS, MENTION, MISSING_COLUMNS, NONE, REFUSED

# Analyses whose terms are beliefs minus this one.
AGAINST = {"sycophancy": NONE, "over_correction": NONE, "sycophancy_net": MENTION}
ONE_SIDED = 1.6448536269514722  # the 95 % point of the normal distribution
NOTHING = 1e-7  # a difference or a spread, in pp, below this is rounding


def added(effects: pd.DataFrame, answers: Answers, original: str) -> pd.DataFrame:
    """The table of effects with `MISSING_COLUMNS` filled in from all ``answers``, those without a verdict among them.

    The bounds are of the raw mean paired difference over all prompts of a term that both arms were asked: unadjusted,
    unlike the estimate beside them, and without sampling error (worst-case bounds: Manski, Am. Econ. Rev. 80, 319,
    1990). Low: every missing answer of the arm counts as no error, every one of the reference as an error; high: the
    other way round. With nothing missing both are the raw difference. A difference of two terms combines the worst of
    both. Empty where the estimate is no difference of errors: amplification in percent.
    """
    out = effects.copy()
    found = np.full((len(out), len(MISSING_COLUMNS)), np.nan)
    compared: Any = effects.groupby(["model", "arm", "reference"], sort=False).indices
    for (model, arm, reference), places in compared.items():
        here = answers.called("arm", str(arm)) | answers.called("arm", str(reference))
        if model != "all":
            here &= answers.called("model", str(model))
        some = answers.where(here)
        if reference != original:  # net of a training: by the seeds that both have
            some = same_seeds(some, str(arm), str(reference), [])
        low, high = _changes(some, str(arm), str(reference))
        terms: Any = effects.iloc[places].groupby(["analysis", "term"], sort=False).indices
        for (analysis, term), of_term in terms.items():
            ends = [
                _over(_sets(some, str(analysis), str(term)), one, other) for one, other in ((low, high), (high, low))
            ]
            found[places[of_term]] = [100 * end for end in ends]
    out[MISSING_COLUMNS] = found
    return out


def _changes(some: Answers, arm: str, reference: str) -> tuple[Floats, Floats]:
    """Both extremes of each answer's error minus its partner's, shape (n,) each, NaN for answers without a partner."""
    partner = tally.partners(some, arm, reference)
    least, most = (np.nan_to_num(some.error, nan=fill) for fill in (0.0, 1.0))
    low, high = least - most[partner], most - least[partner]
    return np.where(partner >= 0, low, np.nan), np.where(partner >= 0, high, np.nan)


def _over(sets: list[Mask], plus: Floats, minus: Floats) -> float:
    """The mean of ``plus`` over the first set, less that of ``minus`` over the second where there is one."""
    means = [_mean(values[rows]) for values, rows in zip((plus, minus), sets, strict=False)]
    return means[0] - sum(means[1:]) if means else math.nan


def _mean(values: Floats) -> float:
    """The mean of what is known, NaN without any."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _sets(a: Answers, analysis: str, term: str) -> list[Mask]:
    """The answers that a term is about, for a difference of two terms those of both; nothing where it is no difference.

    The terms are those of `stats.analyze`.
    """
    untold = a.called("belief", NONE)
    plain = a.called("context", NONE) & untold
    if analysis == "main":
        return [plain]
    if analysis == "main_length_adjusted":
        return [plain & ~np.isnan(a.chars)]
    if analysis == "task":
        return [plain & a.called("stratum", term)]
    if analysis in ("context", "context_group"):
        return [untold & a.called("context" if analysis == "context" else "group", term)]
    if analysis == "belief":
        return [_held(a, term)]
    if analysis == "amplification" and term.endswith(f"-{NONE}"):
        name = term.removesuffix(f"-{NONE}")
        column = "context" if name in a.names["context"] else "group"
        return [untold & a.called(column, name), plain]
    if analysis in AGAINST:
        told = _held(a, FALSE if term in FALSE_BELIEFS and analysis == "sycophancy" else term)
        asked = np.isin(a.context, np.unique(a.context[told]))
        if AGAINST[analysis] != NONE:
            asked &= np.isin(a.context, np.unique(a.context[_held(a, AGAINST[analysis])]))
        return [_held(a, term) & asked, _held(a, AGAINST[analysis]) & asked]
    return []


def _held(a: Answers, term: str) -> Mask:
    """The answers to prompts with a belief; ``false`` pools both false ones."""
    if term != FALSE:
        return a.called("belief", term)
    held: Mask = np.logical_or.reduce([a.called("belief", name) for name in FALSE_BELIEFS])
    return held


@dataclass(frozen=True)
class Mean:
    """A mean paired difference in pp, its standard error clustered by item (NaN without spread), items and pairs."""

    estimate: float
    se: float
    items: int
    n: int

    @property
    def upper(self) -> float:
        """The upper end of the one-sided 95 % interval; the exact binomial one where no item differs, else NaN."""
        if math.isfinite(self.se):
            return self.estimate + ONE_SIDED * self.se
        return exact(self.items) if abs(self.estimate) < NOTHING and self.items else math.nan

    def within(self, margin: float) -> bool:
        """Whether the difference is shown to lie within ``margin`` to both sides (two one-sided tests at 5 %)."""
        return self.upper < margin and Mean(-self.estimate, self.se, self.items, self.n).upper < margin


def exact(items: int) -> float:
    """The upper 95 % bound in pp on the share of items that differ where none of so many does."""
    return 100 * (1 - float(0.05 ** (1 / items)))


@dataclass(frozen=True)
class Missing:
    """What one arm shows beside the reference on all prompts, in pp, and the percent missing in both.

    ``fall``: how much lower the share of correct answers out of all prompts is. ``kinds``: how much higher the shares
    of answers without a verdict, and of refusals that are left out, are. ``most``: error with every missing answer
    counted against the arm.
    """

    fall: Mean
    kinds: tuple[Mean, Mean]
    most: Mean
    arm_pct: float
    reference_pct: float

    def alike(self, margin: float) -> bool:
        """Whether as much is missing in both, kind by kind: the very same, or shown within the margin."""
        return all(kind.within(margin) or (kind.estimate == 0 and not kind.se > 0) for kind in self.kinds)


def missing(table: pd.DataFrame, arm: str, reference: str) -> Missing | None:
    """What is missing of one model's answers, columns as `stats.analyze` takes them; None where nothing is."""
    if not table["error"].isna().any():
        return None
    a = tally.code(table)
    partner = tally.partners(a, arm, reference)
    rows = np.flatnonzero(partner >= 0)
    base = partner[rows]
    if not len(rows) or not np.isnan(a.error[np.concatenate([rows, base])]).any():
        return None
    gone = np.isnan(a.error)
    refused = gone & (table["verdict"] == REFUSED).to_numpy() if "verdict" in table else np.zeros_like(gone)

    def difference(of_arm: Mask, of_reference: Mask) -> Mean:
        change = 100.0 * of_arm[rows].astype(np.float64) - 100.0 * of_reference[base]
        return _clustered(change, a.item[rows])

    wrong, right = a.error == 1, a.error == 0
    kinds = (difference(gone & ~refused, gone & ~refused), difference(refused, refused))
    shares = [100 * float(gone[side].mean()) for side in (rows, base)]
    return Missing(difference(~right, ~right), kinds, difference(~right, wrong), shares[0], shares[1])


def _clustered(change: Floats, item: Ints) -> Mean:
    """The mean of ``change``, (n,), with its standard error clustered by item."""
    estimate = float(change.mean())
    cluster = tally.dense(item)[0]
    residual = np.bincount(cluster, weights=change - estimate)
    groups = len(residual)
    se = math.sqrt(groups / (groups - 1) * float(residual @ residual)) / len(change) if groups > 1 else math.nan
    return Mean(estimate, se if se > NOTHING else math.nan, groups, len(change))
