"""The dose–response of warmth: error against warmth on one axis, whichever dial of a sweep made the model warm.

Dials are the share of warm replies in training, the checkpoint, the strength of the adapter, the system prompt. Each
arm is a point: x its SocioT shift, y its error, both against the original on the same prompts. `dose` measures the
points, fits a line and a knee per dial and over all of them (see `dose.fit`), and tests whether equal warmth costs
equal error whichever dial made it. Tables in, tables out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from warmgap.evaluate.stats import effects as fx
from warmgap.evaluate.stats.bootstrap import percentile
from warmgap.evaluate.stats.dose import fit as dose_fit
from warmgap.evaluate.stats.dose.fit import Cloud, Curve, Fit
from warmgap.evaluate.stats.dose.measured import Cohort, cohorts, laid_out
from warmgap.evaluate.stats.tally import Floats
from warmgap.words import ALL, ORIGINAL

POINTS = [
    "model", "dial", "setting", "arm", "seeds", "n", "n_items", "error_pp", "error_low", "error_high", "warmth_shift",
    "warmth_shift_low", "warmth_shift_high", "warmth_n", "over_correction_pp", "over_correction_low",
    "over_correction_high", "over_correction_n",
]  # fmt: skip
FITS = ["model", "dial", "shape", "parameter", "estimate", "low", "high", "n_points", "n_items", "p"]
CURVE = ["model", "shape", "warmth_shift", "error_pp", "error_low", "error_high"]
UNIT = 0.01  # slopes are pp per this much SocioT
ALPHA = 0.05
STEPS = 60


@dataclass(frozen=True)
class Dose:
    """``points`` (columns `POINTS`), ``fits`` (`FITS`), the common ``curve`` with its band (`CURVE`), and ``notes``."""

    points: pd.DataFrame
    fits: pd.DataFrame
    curve: pd.DataFrame
    notes: list[str]


def points(
    answers: pd.DataFrame, warmth: pd.DataFrame, dials: pd.DataFrame, *, reference: str = ORIGINAL,
    resamples: int = 2000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """The points of `dose` alone."""
    found, notes = cohorts(answers, warmth, dials, reference, resamples, seed)
    return _points(found, laid_out(dials), notes)


def fits(
    answers: pd.DataFrame, warmth: pd.DataFrame, dials: pd.DataFrame, *, reference: str = ORIGINAL,
    resamples: int = 2000, seed: int = 0,
) -> tuple[pd.DataFrame, list[str]]:  # fmt: skip
    """The fits of `dose` alone, with all of its notes."""
    whole = dose(answers, warmth, dials, reference=reference, resamples=resamples, seed=seed)
    return whole.fits, whole.notes


def dose(
    answers: pd.DataFrame, warmth: pd.DataFrame, dials: pd.DataFrame, *, reference: str = ORIGINAL,
    resamples: int = 2000, seed: int = 0,
) -> Dose:  # fmt: skip
    """Points, fits and the common curve of a sweep, model by model.

    ``answers`` is as in `stats.analyze`; every prompt given counts alike, so pass context and belief ``none`` for the
    protocol's main figure. Only those in which the user claims what is right, or a wrong answer merely stands there,
    are no part of error; the first give ``over_correction_pp`` (pp): how much more the error grows than the original's
    where the right answer is claimed. ``warmth`` has a row per arm, seed and prompt (model, arm, seed, prompt_id,
    sociot), the same prompts for all arms. ``dials`` has a row per dial and setting (dial, setting, arm, order); an arm
    may stand under several dials, and counts once where all dials are together.

    Points: ``error_pp`` (pp) and ``warmth_shift`` (SocioT) are means of paired differences from ``reference``, seeds
    with equal weight, with 95 % percentile intervals from ``resamples`` draws of items and, apart from them, of warmth
    prompts; ``n`` counts answer pairs, ``warmth_n`` prompts. Fits, per ``dial`` and for ``all``: ``line`` slope (pp per
    0.01 SocioT, through the origin, p against 0) and ``misfit`` (sum of squares around it on the points' covariance, p
    of a true line); ``knee`` knee (SocioT, p of the knee against the line) and slope (beyond it); for all, ``agree`` Q
    (p of one curve for all dials). A knee stands only where its p is below 0.05 (for single dials divided by their
    number) and its interval leaves out 0; else the notes say why not. ``curve`` is the common fit,
    pointwise over the range of the points.

    Intervals are over items and prompts for these seeds, not over training seeds. Raises UserError where a table or a
    setting cannot be used; an arm that is missing is left out with a note.
    """
    found, notes = cohorts(answers, warmth, dials, reference, resamples, seed)
    settings = laid_out(dials)
    rows: list[dict[str, Any]] = []
    curves = []
    table = _points(found, settings, notes)
    for cohort in found:
        own, curve = _fits(cohort, settings, notes)
        rows += own
        curves += [curve] if curve is not None else []
    frame = pd.DataFrame(rows, columns=FITS)
    numbers = dict.fromkeys(("estimate", "low", "high", "p"), "float64") | {"n_points": "int64", "n_items": "int64"}
    drawn = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=CURVE)
    return Dose(table, frame.astype(numbers), drawn, list(dict.fromkeys(notes)))


def _points(found: Sequence[Cohort], settings: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The table of points, in the order of models, dials and their ``order``."""
    rows = []
    for cohort in found:
        for arm, dial, setting in zip(settings["arm"], settings["dial"], settings["setting"], strict=True):
            if arm not in cohort.arms:
                continue
            place = cohort.arms.index(arm)
            y = percentile(float(cohort.error[place]), cohort.error_draws[:, place])
            x = percentile(float(cohort.shift[place]), cohort.shift_draws[:, place])
            counts = cohort.counts[place]
            over = percentile(float(cohort.over[place]), cohort.over_draws[:, place])
            rows.append(
                (cohort.model, dial, setting, arm, counts.seeds, counts.n, counts.n_items, 100 * y.estimate,
                 100 * y.low, 100 * y.high, x.estimate, x.low, x.high, counts.warmth_n, 100 * over.estimate,
                 100 * over.low, 100 * over.high, counts.over_n)
            )  # fmt: skip
    table = pd.DataFrame(rows, columns=POINTS)
    numbers = [name for name in POINTS if name.startswith(("error", "warmth_shift", "over_correction"))]
    whole = ("seeds", "n", "n_items", "warmth_n", "over_correction_n")
    return table.astype(dict.fromkeys(numbers, "float64") | dict.fromkeys(whole, int))


def cloud_of(cohort: Cohort, places: Sequence[int]) -> Cloud:
    """The points of some arms in hundredths of SocioT and pp, with their moves over the resamples."""
    some = list(places)
    x, y = cohort.shift[some] / UNIT, 100 * cohort.error[some]
    x_moves, y_moves = cohort.shift_draws[:, some] / UNIT - x, 100 * cohort.error_draws[:, some] - y
    known = np.isfinite(x_moves).all(axis=1) & np.isfinite(y_moves).all(axis=1)
    x_moves, y_moves = x_moves[known], y_moves[known]
    counts = [cohort.counts[place] for place in some]
    rare = np.array([100 / count.n for count in counts])  # one answer that changed
    x_cov = dose_fit.covariance(x_moves, min(count.warmth_n for count in counts), np.full(len(some), 1e-6))
    y_cov = dose_fit.covariance(y_moves, min(count.n_items for count in counts), rare)
    return Cloud(x, y, x_moves, y_moves, x_cov, y_cov)


def _fits(cohort: Cohort, settings: pd.DataFrame, notes: list[str]) -> tuple[list[dict[str, Any]], pd.DataFrame | None]:
    """The rows of one model, and its common curve."""
    dials = {
        str(dial): [cohort.arms.index(arm) for arm in dict.fromkeys(some["arm"]) if cohort.varies(arm)]
        for dial, some in settings.groupby("dial", sort=False)
    }
    dials = {dial: places for dial, places in dials.items() if places}
    together = list(dict.fromkeys(place for places in dials.values() for place in places))
    rows: list[dict[str, Any]] = []
    parts = []
    for dial, places in dials.items():
        cloud = cloud_of(cohort, places)
        fit = dose_fit.fit(cloud)
        rows += _rows(cohort, dial, places, fit, ALPHA / len(dials), notes)
        if fit is not None:
            parts.append((cloud, fit, [together.index(place) for place in places]))
    if not together:
        notes.append(f"{cohort.model}: no arm differs from the original, so nothing is fitted.")
        return [], None
    cloud = cloud_of(cohort, together)
    fit = dose_fit.fit(cloud)
    common = _rows(cohort, ALL, together, fit, ALPHA, notes)
    if fit is None:
        return [*rows, *common], None
    shown = fit.knee if fit.knee is not None and np.isfinite(common[-2]["estimate"]) else fit.line
    agree = dose_fit.agreement(cloud, fit, shown, parts)
    if len(dials) > 1:
        notes.append(_in_words(cohort.model, agree, shown, fit))
        common.append({**common[0], "shape": "agree", "parameter": "Q", "estimate": agree.q, "p": agree.p})
        common[-1] |= {"low": np.nan, "high": np.nan}
    return [*rows, *common], _drawn(cohort.model, shown, cloud.x)


def _rows(
    cohort: Cohort, dial: str, places: Sequence[int], fit: Fit | None, alpha: float, notes: list[str]
) -> list[dict[str, Any]]:
    """Slope and misfit of the line, knee and slope of the knee, of one dial; figures that cannot be told are empty."""
    name = f"{cohort.model}, {'all dials' if dial == ALL else dial}"
    nan = float("nan")
    figures = {("line", "slope"): fx.Interval(nan, nan, nan, nan, nan)}
    figures |= dict.fromkeys((("line", "misfit"), ("knee", "knee"), ("knee", "slope")), figures["line", "slope"])
    if fit is None:
        notes.append(
            f"{name}: the arms are not shown to be warmer than the original (their shifts are too small beside "
            "their error), so there is no slope and no knee; more warmth prompts may help."
        )
    else:
        figures["line", "slope"] = percentile(fit.line.slope, fit.line.slopes)
        figures["line", "misfit"] = fx.Interval(fit.misfit, nan, nan, nan, fit.misfit_p)
        shown = _judged(name, fit, alpha, notes)
        figures["knee", "knee"] = fx.Interval(nan, nan, nan, nan, fit.knee_p)
        if shown is not None:
            at = percentile(UNIT * shown.knee, UNIT * shown.knees)
            figures["knee", "knee"] = fx.Interval(at.estimate, at.se, at.low, at.high, fit.knee_p)
            slope = percentile(shown.slope, shown.slopes)
            figures["knee", "slope"] = fx.Interval(slope.estimate, slope.se, slope.low, slope.high, nan)
    items = cohort.items(places)
    return [
        {"model": cohort.model, "dial": dial, "shape": shape, "parameter": parameter, "estimate": figure.estimate,
         "low": figure.low, "high": figure.high, "n_points": len(places), "n_items": items, "p": figure.p}
        for (shape, parameter), figure in figures.items()
    ]  # fmt: skip


def _judged(name: str, fit: Fit, alpha: float, notes: list[str]) -> Curve | None:
    """The knee if the data say where it lies; else None, and a note on why it is left empty."""
    knee = fit.knee
    if knee is None:
        notes.append(
            f"{name}: no knee is looked for: it takes {dose_fit.KNEE_POINTS} arms, two of them warmer than it."
        )
        return None
    if not fit.knee_p < alpha:
        notes.append(
            f"{name}: a knee is not shown to be better than the line (p {fit.knee_p:.2g}, {alpha:.2g} is asked); "
            "it is left empty."
        )
        return None
    low, high = (float(end) for end in np.nanquantile(knee.knees, (0.025, 0.975)))
    step = fit.edge / (dose_fit.GRID - 1)
    if low <= step:
        where = (
            "anywhere below the second warmest arm" if high >= fit.edge - step else "at 0 as well, as a line's would"
        )
        notes.append(
            f"{name}: the line fits worse than a knee (p {fit.knee_p:.2g}), but the knee may lie {where}; it is left "
            "empty."
        )
        return None
    if high >= fit.edge - step:
        notes.append(
            f"{name}: the knee's interval ends at the second warmest arm, where the data end; read it as open."
        )
    return knee


def _in_words(model: str, agree: dose_fit.Agreement, shown: Curve, fit: Fit) -> str:
    """What the test of one common curve says, and what it cannot say."""
    if not agree.df:
        return f"{model}: whether the dials agree cannot be tested: fewer than two of them have a slope of their own."
    figures = f"Q {agree.q:.1f} on {agree.df} degree{'s' * (agree.df > 1)} of freedom, p {agree.p:.2g}"
    if agree.p < ALPHA:
        text = f"{model}: the dials disagree ({figures}): equal warmth does not cost equal error by every dial"
    else:
        text = f"{model}: the dials are not shown to disagree ({figures}); one {shown.shape} serves all"
    if shown.shape == "line" and fit.misfit_p < ALPHA:
        text += f"; the points scatter around the line by more than their sampling (p {fit.misfit_p:.2g})"
    return text + ". What another training seed would change counts as disagreement here."


def _drawn(model: str, curve: Curve, x: Floats) -> pd.DataFrame:
    """The common curve with its pointwise 95 % band, from the coldest to the warmest point, the origin included."""
    at = np.linspace(min(0.0, float(x.min())), max(0.0, float(x.max())), STEPS)
    y = curve.slope * curve.reach(at)
    draws = curve.slopes[:, None] * curve.reach(at[None], curve.knees[:, None])
    low, high = np.nanquantile(draws, (0.025, 0.975), axis=0)
    columns = (model, curve.shape, UNIT * at, y, low, high)
    return pd.DataFrame(dict(zip(CURVE, columns, strict=True)))
