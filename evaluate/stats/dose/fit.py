"""Curves through points with errors in both directions: a line through the origin, and a knee.

The points of a sweep share their questions, the original's answers and the warmth prompts, so their errors hang
together. With slope b the residuals have the covariance Ω = C_y + b² C_x, both from the bootstrap, and the slope is the
generalised least-squares one, corrected for the error in x by the method of moments (Fuller, Measurement Error Models,
1987): b = zᵀWy / (zᵀWz − tr(W D C_x D)) with W = Ω⁻¹, z = x for the line and z = max(0, x − knee) for the knee, and D
the share of the error in x that reaches z. As the original's own error is common to all points, the line need not run
through their middle. Intervals and tests redo the fit on resamples laid around the fitted curve, in which x and y both
move; the weight W stays. Throughout, x is in hundredths of SocioT and y in pp; B resamples, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from warmgap.evaluate.stats.tally import Floats

WEAK = 4.0  # xᵀWx over the error in it, at least: the correction is then a quarter at most
CONDITION = 50.0  # of the correlations, at most
GRID = 61  # knees tried
KNEE_POINTS = 4  # a knee needs as many arms
ROUNDS, KNEE_ROUNDS = 25, 6


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points ``x``, ``y``, (P,), the moves of both from resample to resample, (B, P), and their covariances, (P, P)."""

    x: Floats
    y: Floats
    x_moves: Floats
    y_moves: Floats
    x_cov: Floats
    y_cov: Floats


@dataclass(frozen=True, eq=False)
class Curve:
    """A fitted curve: ``shape`` line (knee 0) or knee, its parameters and their values in each resample, (B,)."""

    shape: str
    knee: float
    slope: float
    knees: Floats
    slopes: Floats

    def reach(self, x: Floats, knee: float | Floats | None = None) -> Floats:
        """What the slope is multiplied with, shape of ``x``."""
        where = self.knee if knee is None else knee
        return np.maximum(0.0, x - where) if self.shape == "knee" else x


@dataclass(frozen=True, eq=False)
class Fit:
    """Both curves of one cloud. ``misfit`` is the generalised sum of squares around the line, with its p value.

    ``knee_p`` tests the knee against the line (NaN where none was tried), ``edge`` is the largest knee tried.
    """

    line: Curve
    weight: Floats
    misfit: float
    misfit_p: float
    knee: Curve | None = None
    knee_p: float = float("nan")
    edge: float = float("nan")


@dataclass(frozen=True)
class Agreement:
    """Cochran's Q of the dials' slopes on their joint covariance, with degrees of freedom and p value."""

    q: float
    df: int
    p: float


def covariance(moves: Floats, n: int, least: Floats) -> Floats:
    """Covariance of the points from their ``moves``, (P, P), shrunk.

    All points share the original, so correlations are shrunk towards their mean, by the intensity of Schäfer and
    Strimmer (Stat. Appl. Genet. Mol. Biol. 4:32, 2005) for ``n`` clusters; then towards 0 until their condition number
    is at most `CONDITION`. ``least``, (P,), is the smallest
    standard error: what a point without any change cannot be told from.
    """
    spread = moves.std(axis=0, ddof=1)
    unit = np.divide(moves - moves.mean(axis=0), spread, out=np.zeros_like(moves), where=spread > 1e-12)
    r = unit.T @ unit / (len(moves) - 1)
    np.fill_diagonal(r, 1.0)
    off = ~np.eye(len(r), dtype=np.bool_)
    common = float(r[off].mean()) if len(r) > 1 else 0.0
    apart = float(((r[off] - common) ** 2).sum())
    noise = float(((1 - r[off] ** 2) ** 2).sum()) / max(n - 1, 1)
    shrink = min(1.0, noise / apart) if apart > 0 else 1.0
    r = np.where(off, (1 - shrink) * r + shrink * common, 1.0)
    values = np.linalg.eigvalsh(r)
    excess = float(values[-1]) - CONDITION * float(values[0])
    loosen = excess / (excess + CONDITION - 1) if excess > 0 else 0.0
    r = np.where(off, (1 - loosen) * r, 1.0)
    se = np.maximum(spread, least)
    return np.asarray(r * np.outer(se, se), dtype=np.float64)


def _inverse(matrix: Floats) -> Floats:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def _weighed(y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Wy and yᵀWy of each row of ``y``, (…, P)."""
    wy = y @ weight
    return wy, np.asarray(np.vecdot(wy, y), dtype=np.float64)


def _slope(z: Floats, weighed: tuple[Floats, Floats], weight: Floats, error: float) -> tuple[Floats, Floats]:
    """Corrected slope and generalised sum of squares of each row of ``z``, (…, P); NaN and inf where not determined.

    ``error`` is what the error in x adds to zᵀWz on average. A slope more than half of whose denominator is error is
    not determined.
    """
    wy, squares = weighed
    both, own = np.vecdot(z, wy), np.vecdot(z @ weight, z)
    known = own > max(2 * error, 1e-12)
    slope = np.divide(both, own - error, out=np.full(np.shape(own), np.nan), where=known)
    return slope, np.where(known, squares - 2 * slope * both + slope**2 * own, np.inf)


def _error(cloud: Cloud, weight: Floats, share: Floats) -> float:
    """The trace of W D C_x D, with D the diagonal of ``share``, (P,)."""
    return float((weight * cloud.x_cov * np.outer(share, share)).sum())


def _around(cloud: Cloud, curve: Curve, weight: Floats) -> tuple[Floats, Floats]:
    """Resamples of points that lie on ``curve``: x and y, (B, P).

    The true x is the best linear prediction from both coordinates, x + C_x D b W (y − curve(x)).
    """
    share = _share(cloud, curve)
    residual = cloud.y - curve.slope * curve.reach(cloud.x)
    true = cloud.x + curve.slope * (cloud.x_cov * share) @ weight @ residual
    return true + cloud.x_moves, curve.slope * curve.reach(true) + cloud.y_moves


def _share(cloud: Cloud, curve: Curve) -> Floats:
    """The share of the error in x that reaches the curve: the chance that a point lies beyond the knee, (P,)."""
    if curve.shape == "line":
        return np.ones(len(cloud.x))
    return np.asarray(ndtr((cloud.x - curve.knee) / np.sqrt(np.diag(cloud.x_cov))), dtype=np.float64)


def fit(cloud: Cloud) -> Fit | None:
    """Fit the line, and the knee where there are points enough; None where the points are not shown to be warm at all.

    The knee lies between 0 and the second warmest point: beyond it, knee and slope could not be told apart. Its test
    compares the fall in the generalised sum of squares with that in resamples around the line.
    """
    weight, slope, squares = _settled(cloud)
    if weight is None:
        return None
    draft = Curve("line", 0.0, slope, np.empty(0), np.empty(0))
    x, y = _around(cloud, draft, weight)
    slopes, around = _slope(x, _weighed(y, weight), weight, _error(cloud, weight, np.ones(len(cloud.x))))
    line = replace(draft, slopes=slopes, knees=np.zeros(len(slopes)))
    found = Fit(line, weight, squares, _share_above(around, squares) if len(cloud.x) > 1 else float("nan"))
    edge = float(np.sort(cloud.x)[-2]) if len(cloud.x) >= KNEE_POINTS else 0.0
    if edge <= 0:
        return found
    grid = np.linspace(0.0, edge, GRID)
    least = _profile(cloud, cloud.x[None], cloud.y[None], weight, grid)[2]
    with np.errstate(invalid="ignore"):
        null = around - _profile(cloud, x, y, weight, grid)[2]
    knee = _bent(cloud, weight, grid)
    if knee is None:
        return found
    return replace(found, knee=knee, knee_p=_share_above(null, squares - float(least[0])), edge=edge)


def _bent(cloud: Cloud, weight: Floats, grid: Floats) -> Curve | None:
    """The knee, settled with a weight of its own (below it, the error in x does not matter); None if undetermined."""
    knee = Curve("knee", 0.0, 0.0, np.empty(0), np.empty(0))
    for _ in range(KNEE_ROUNDS):
        knees, slopes, _ = _profile(cloud, cloud.x[None], cloud.y[None], weight, grid)
        if not np.isfinite(slopes[0]):
            return None
        before, knee = knee, replace(knee, knee=float(knees[0]), slope=float(slopes[0]))
        reach = knee.slope * _share(cloud, knee)
        weight = _inverse(cloud.y_cov + cloud.x_cov * np.outer(reach, reach))
        if knee.knee == before.knee:
            break
    knees, slopes, _ = _profile(cloud, *_around(cloud, knee, weight), weight, grid)
    return replace(knee, knees=knees, slopes=slopes)


def _settled(cloud: Cloud) -> tuple[Floats | None, float, float]:
    """Weight, slope and sum of squares of the line, slope and weight each following from the other; None if weak."""
    slope, whole = 0.0, np.ones(len(cloud.x))
    for _ in range(ROUNDS):
        weight = _inverse(cloud.y_cov + slope**2 * cloud.x_cov)
        error = _error(cloud, weight, whole)
        if float(cloud.x @ weight @ cloud.x) < WEAK * error:
            return None, float("nan"), float("nan")
        before, slope = slope, float(_slope(cloud.x, _weighed(cloud.y, weight), weight, error)[0])
        if abs(slope - before) < 1e-9 * max(1.0, abs(slope)):
            break
    weight = _inverse(cloud.y_cov + slope**2 * cloud.x_cov)
    slopes, squares = _slope(cloud.x, _weighed(cloud.y, weight), weight, _error(cloud, weight, whole))
    return weight, float(slopes), float(squares)


def _profile(cloud: Cloud, x: Floats, y: Floats, weight: Floats, grid: Floats) -> tuple[Floats, Floats, Floats]:
    """The best knee on ``grid`` for each row of ``x`` and ``y``, (B, P): knees, slopes and sums of squares, (B,)."""
    best, slopes, knees = (np.full(len(x), value) for value in (np.inf, np.nan, np.nan))
    weighed = _weighed(y, weight)
    for knee in grid:
        curve = Curve("knee", float(knee), 0.0, np.empty(0), np.empty(0))
        slope, squares = _slope(curve.reach(x), weighed, weight, _error(cloud, weight, _share(cloud, curve)))
        better = squares < best
        best, slopes, knees = (
            np.where(better, new, old) for new, old in ((squares, best), (slope, slopes), (knee, knees))
        )
    return knees, slopes, best


def _share_above(draws: Floats, value: float) -> float:
    """p value: the share of ``draws``, (B,), that reach ``value``, with one added to both counts."""
    known = draws[~np.isnan(draws)]
    return float((known >= value).sum() + 1) / (len(known) + 1)


def agreement(cloud: Cloud, whole: Fit, curve: Curve, parts: Sequence[tuple[Cloud, Fit, Sequence[int]]]) -> Agreement:
    """Whether one ``curve`` of all points serves every dial: Cochran's Q of the dials' slopes, knee in common.

    Each part is a dial's cloud, its fit and its places among all points. The slopes' covariance comes from resamples
    around the common curve, which also give the p value; dials may share points.
    """
    x, y = _around(cloud, curve, whole.weight)
    slopes, moves = [], []
    for part, own, places in parts:
        weight, error = own.weight, _error(part, own.weight, _share(part, curve))
        slopes.append(_slope(curve.reach(part.x), _weighed(part.y, weight), weight, error)[0])
        where = curve.knees[:, None] if curve.shape == "knee" else None
        some = list(places)
        moves.append(_slope(curve.reach(x[:, some], where), _weighed(y[:, some], weight), weight, error)[0])
    known = [place for place, (one, many) in enumerate(zip(slopes, moves, strict=True)) if _steady(one, many)]
    if len(known) < 2:
        return Agreement(float("nan"), 0, float("nan"))
    values, draws = np.array([slopes[place] for place in known]), np.stack([moves[place] for place in known], axis=1)
    draws = draws[np.isfinite(draws).all(axis=1)]
    change, changes = values[1:] - values[0], draws[:, 1:] - draws[:, :1]
    size, vectors = np.linalg.eigh(np.atleast_2d(np.cov(changes.T)))
    kept = size > 1e-6 * np.atleast_2d(np.cov(draws.T)).diagonal().max()
    if not kept.any():
        return Agreement(float("nan"), 0, float("nan"))
    root = vectors[:, kept] / np.sqrt(size[kept])
    q, null = float(((change @ root) ** 2).sum()), ((changes - changes.mean(axis=0)) @ root) ** 2
    return Agreement(q, int(kept.sum()), _share_above(null.sum(axis=1), q))


def _steady(slope: Floats, slopes: Floats) -> bool:
    """Whether a slope is determined, in nine resamples of ten as well."""
    return bool(np.isfinite(slope)) and float(np.isfinite(slopes).mean()) > 0.9
