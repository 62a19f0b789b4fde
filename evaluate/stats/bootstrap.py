"""The bootstrap: things (questions, prompts, units) are drawn with replacement, and figures follow from the draws.

Everything that resamples draws here, so that one seed means one set of draws: `means` for effects, shifts and the
points of a sweep, `times` for the figures of recipes, `drawn` itself where the figure is no mean.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from warmgap.evaluate.stats.effects import Interval
from warmgap.evaluate.stats.tally import Floats, Ints

AT_ONCE = 4_000_000  # draws held in memory


def drawn(things: int, resamples: int, seed: int, size: int | None = None) -> Iterator[Ints]:
    """Yield tables of the indices drawn, (some of the resamples, ``size``), each below ``things``, with replacement.

    ``size`` is how many are drawn in each resample, as many as there are unless it is given.
    """
    size = things if size is None else size
    rng = np.random.default_rng(seed)
    many = max(1, AT_ONCE // max(size, 1))
    for start in range(0, resamples, many):
        yield rng.integers(0, things, size=(min(many, resamples - start), size))


def counted(indices: Ints, things: int) -> Floats:
    """How often each thing is among the indices of each resample, (resamples, things)."""
    flat = indices + things * np.arange(len(indices))[:, None]
    times = np.bincount(flat.ravel(), minlength=len(indices) * things)
    return times.reshape(len(indices), things).astype(np.float64)


def times(things: int, resamples: int, seed: int) -> Floats:
    """How often each thing is drawn in each resample, (resamples, things): things − 1 of them, with replacement.

    Drawing one fewer makes the variance over resamples unbiased without a factor (Rao and Wu, J. Am. Stat. Assoc. 83,
    231, 1988). One table serves all arms, so that all of them are resampled jointly.
    """
    if not things:
        return np.zeros((resamples, 0))
    return np.concatenate([counted(some, things) for some in drawn(things, resamples, seed, things - 1)])


def means(sums: Floats, counts: Floats, resamples: int, seed: int) -> Floats:
    """Means of T sets of pairs in each resample of items, shape (resamples, T).

    ``sums`` and ``counts``, (G, T), hold per item the sum of the paired differences and the number of pairs. Whole
    items are drawn with replacement, the same draw for every set, and the mean is sum over count of what was drawn; NaN
    where a draw has no pair of a set. Items are put in order of their figures first, so that neither their names nor
    their order change the result.
    """
    figures = np.hstack([sums, counts])
    figures = figures[np.lexsort(figures.T)]
    items, sets = len(figures), sums.shape[1]
    total = np.concatenate([counted(some, items) @ figures for some in drawn(items, resamples, seed)])
    n = total[:, sets:]
    found: Floats = np.divide(total[:, :sets], n, out=np.full(n.shape, np.nan), where=n > 0)
    return found


def percentile(estimate: float, draws: Floats) -> Interval:
    """Percentile interval from bootstrap ``draws``, (B,); NaN beside the estimate where the draws do not vary.

    p is twice the smaller share of draws on either side of 0, draws on 0 counted on both, with one added to count and
    total (Davison and Hinkley, Bootstrap Methods and their Application, 1997), so never below 2/(B + 1).
    """
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2 or np.isnan(estimate) or float(np.ptp(draws)) < 1e-12:
        return Interval(estimate, np.nan, np.nan, np.nan, np.nan)
    low, high = (float(value) for value in np.quantile(draws, (0.025, 0.975)))
    tail = min(int((draws <= 0).sum()), int((draws >= 0).sum())) + 1
    return Interval(estimate, float(draws.std(ddof=1)), low, high, min(1.0, 2 * tail / (len(draws) + 1)))
