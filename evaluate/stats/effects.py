"""Effects of one arm against another: a logistic regression with average marginal effects.

The model of every analysis is ``error ~ arm × level + covariates`` (binomial, logit link). It is written with one
column per arm and level, which spans the same space as a reference coding and keeps cells without any error from
spoiling the others. Answers with equal covariates are folded into one pattern for the fit; only the scores of the
sandwich are summed over single answers, by item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import qr
from scipy.special import expit, ndtr

from warmgap.evaluate.stats.tally import Floats, Ints, Mask, dense, mixed

Z95 = 1.959963984540054
ITERATIONS = 100
CERTAIN = 1e-7  # a fitted probability this close to 0 or 1 is a prediction without doubt
RESOLUTION = 1e-7  # a standard error below this is rounding, not an error


@dataclass(frozen=True, eq=False)
class Rows:
    """The answers of one model fit, (n,) each: ``arm`` 0 (reference) or 1, ``error`` 0 or 1, the rest codes from 0."""

    arm: Ints
    level: Ints
    covariates: tuple[Ints, ...]
    length: Floats | None
    error: Floats
    item: Ints


@dataclass(frozen=True, eq=False)
class Margins:
    """Average marginal effects of the arm, as proportions, for T sets of rows.

    ``estimate`` has shape (T,), NaN where the data do not determine it; ``unclustered`` and ``clustered`` are their
    covariances, (T, T), the latter all NaN with fewer than two items. ``certain`` counts the answers that the model
    predicts without doubt; ``converged`` is False where the fit did not come to rest (estimates are then NaN).
    """

    estimate: Floats
    unclustered: Floats
    clustered: Floats
    certain: int
    converged: bool


@dataclass(frozen=True)
class Interval:
    """An estimate with its standard error, 95 % interval and two-sided p value (against 0), in the estimate's unit."""

    estimate: float
    se: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, eq=False)
class _Design:
    """Patterns of covariates, P of them, with K columns each: as observed, and as if from either arm."""

    pattern: Ints  # (n,)
    count: Floats  # (P,)
    wrong: Floats  # (P,)
    observed: Floats  # (P, K)
    as_arm: Floats
    as_reference: Floats
    determined: Mask  # (P,) both predictions follow from the data


def margins(rows: Rows, terms: npt.NDArray[np.bool_]) -> Margins:
    """Fit ``error ~ arm × level + covariates [+ length]`` and average P(arm) − P(reference) over each set of rows.

    ``terms`` has shape (T, n). Every level needs answers of both arms. Standard errors by the delta method, from the
    inverse information and from the sandwich clustered by item with the factor G/(G−1) × (N−1)/(N−K). The factor and
    the estimates are those of statsmodels' GLM (``cov_type="cluster"``). Columns that depend on others are left out.
    """
    design = _design(rows)
    size = len(design.count)
    weight = np.stack([np.bincount(design.pattern[term], minlength=size) / max(int(term.sum()), 1) for term in terms])
    fitted = _fit(design)
    if fitted is None:
        empty = np.full((len(terms), len(terms)), np.nan)
        return Margins(empty[0], empty, empty, 0, False)
    beta, inverse = fitted
    chance, up, down = (expit(x @ beta) for x in (design.observed, design.as_arm, design.as_reference))
    estimate = weight @ (up - down)
    slope = (weight * up * (1 - up)) @ design.as_arm - (weight * down * (1 - down)) @ design.as_reference
    unclustered = slope @ inverse @ slope.T
    clustered = slope @ _sandwich(rows, design, chance, inverse) @ slope.T
    estimate[weight @ ~design.determined > 0] = np.nan
    certain = int(design.count[(chance < CERTAIN) | (chance > 1 - CERTAIN)].sum())
    return Margins(estimate, unclustered, clustered, certain, True)


def _design(rows: Rows) -> _Design:
    """Fold ``rows`` into patterns and write out the columns of the model."""
    parts = [rows.arm, rows.level, *rows.covariates]
    if rows.length is not None:
        parts.append(np.unique(rows.length, return_inverse=True)[1])
    _, first, pattern = np.unique(
        mixed([(part, int(part.max()) + 1) for part in parts]), return_index=True, return_inverse=True
    )
    count = np.bincount(pattern).astype(np.float64)
    wrong = np.bincount(pattern, weights=rows.error).astype(np.float64)
    others = [_dummies(codes[first], count, wrong) for codes in rows.covariates]
    if rows.length is not None:
        spread = float(rows.length.std()) or 1.0
        others.append(((rows.length[first] - rows.length.mean()) / spread)[:, None])
    arm, level = rows.arm[first], rows.level[first]
    cells = np.eye(2 * (int(rows.level.max()) + 1))
    observed, as_arm, as_reference = (
        np.hstack([cells[2 * level + which], *others]) for which in (arm, np.ones_like(arm), np.zeros_like(arm))
    )
    keep, null = _independent(observed)
    stray = np.abs(np.hstack([as_arm @ null, as_reference @ null])).sum(axis=1)
    return _Design(pattern, count, wrong, observed[:, keep], as_arm[:, keep], as_reference[:, keep], stray < 1e-6)


def _dummies(codes: Ints, count: Floats, wrong: Floats) -> Floats:
    """Indicator columns of a covariate, (P, levels − 1), without its most informative level.

    A level with errors only (or none) must keep its own column, or all other coefficients would run off with it.
    """
    n, y = np.bincount(codes, weights=count), np.bincount(codes, weights=wrong)
    spread = np.divide(y * (n - y), n, out=np.full(len(n), -1.0), where=n > 0)
    return np.delete(np.eye(len(n)), int(spread.argmax()), axis=1)[codes]


def _independent(x: Floats) -> tuple[Ints, Floats]:
    """Indices of independent columns of ``x``, and a basis of the combinations that vanish, (K, K − rank)."""
    triangle, pivot = qr(x, mode="r", pivoting=True)
    size = np.abs(np.diag(triangle))
    keep = np.sort(pivot[: len(size)][size > 1e-9 * size[0]]).astype(np.int64)
    vectors = np.linalg.eigh(x.T @ x)[1]
    return keep, np.asarray(vectors[:, : x.shape[1] - len(keep)], dtype=np.float64)


def _fit(design: _Design) -> tuple[Floats, Floats] | None:
    """Maximum likelihood by Newton's method with step halving: coefficients (K,) and inverse information (K, K).

    With perfect prediction the coefficients run off towards infinity; the loop ends when the likelihood no longer
    gains, and probabilities and effects are at their limits by then. None where it does not come to rest.
    """
    x, count, wrong = design.observed, design.count, design.wrong

    def likelihood(beta: Floats) -> float:
        eta = x @ beta
        return float(wrong @ eta - count @ np.logaddexp(0.0, eta))

    beta = np.zeros(x.shape[1])
    best = likelihood(beta)
    for _ in range(ITERATIONS):
        chance = expit(x @ beta)
        inverse = _inverse((x * (count * chance * (1 - chance))[:, None]).T @ x)
        gradient = x.T @ (wrong - count * chance)
        step = inverse @ gradient
        if float(gradient @ step) < 1e-11:
            return beta + step, inverse
        reached = likelihood(beta + step)
        for _ in range(30):
            if reached >= best - 1e-12 * abs(best):
                break
            step = step / 2
            reached = likelihood(beta + step)
        beta, best = beta + step, reached
    return None


def _inverse(information: Floats) -> Floats:
    """Inverse of the information matrix, (K, K), scaled to a unit diagonal first so that tiny entries stay exact."""
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    kept = values > 1e-12
    part = vectors[:, kept] / scale[:, None]
    return np.asarray((part / values[kept]) @ part.T, dtype=np.float64)


def _sandwich(rows: Rows, design: _Design, chance: Floats, inverse: Floats) -> Floats:
    """Covariance of the coefficients with errors clustered by item, (K, K), NaN with fewer than two items."""
    cluster, groups = dense(rows.item)
    n, k = len(rows.error), design.observed.shape[1]
    if groups < 2 or n <= k:
        return np.full((k, k), np.nan)
    residual = rows.error - chance[design.pattern]
    score = np.stack(
        [
            np.bincount(cluster, weights=residual * column[design.pattern], minlength=groups)
            for column in design.observed.T
        ]
    )
    half = inverse @ score
    return np.asarray(half @ half.T * (groups / (groups - 1) * (n - 1) / (n - k)), dtype=np.float64)


def wald(estimate: float, variance: float) -> Interval:
    """Normal interval around ``estimate``; everything but the estimate is NaN where the variance is 0 or unknown."""
    if not variance > RESOLUTION**2 or np.isnan(estimate):
        return Interval(estimate, np.nan, np.nan, np.nan, np.nan)
    se = float(np.sqrt(variance))
    return Interval(estimate, se, estimate - Z95 * se, estimate + Z95 * se, float(2 * ndtr(-abs(estimate) / se)))


def ratio(above: float, below: float, covariance: Floats) -> tuple[float, float]:
    """``above`` / ``below`` and its delta-method variance, from the (2, 2) covariance of the two."""
    value = above / below
    slope = np.array([1.0, -value]) / below
    return value, float(slope @ covariance @ slope)


def columns(sets: Sequence[Mask], item: Ints, value: Floats) -> tuple[Floats, Floats]:
    """Sums of ``value`` and counts per item, (G, T) each, for T sets of rows given as masks over (n,)."""
    cluster, size = dense(item)
    sums = [np.bincount(cluster[rows], weights=value[rows], minlength=size) for rows in sets]
    counts = [np.bincount(cluster[rows], minlength=size).astype(np.float64) for rows in sets]
    return np.stack(sums, axis=1), np.stack(counts, axis=1)


def constant(error: Floats) -> bool:
    """Whether all outcomes, (n,), are the same."""
    return len(error) == 0 or float(error.min()) == float(error.max())
