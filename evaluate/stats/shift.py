"""Two scores of the same prompts, such as warmth before and after: the mean paired difference with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from warmgap.errors import UserError
from warmgap.evaluate.stats import bootstrap


@dataclass(frozen=True)
class Shift:
    """Mean paired difference with standard error and 95 % interval, in the unit of the scores; ``n`` pairs counted."""

    estimate: float
    se: float
    ci_low: float
    ci_high: float
    p: float
    n: int
    n_dropped: int


def paired_shift(
    a: npt.ArrayLike, b: npt.ArrayLike, *, method: str = "t", seed: int = 0, resamples: int = 2000
) -> Shift:
    """Mean of ``a`` − ``b`` over scores of the same prompts, in the scores' unit, with a 95 % interval.

    ``a`` and ``b`` have shape (n,) and belong together by position; pairs with a missing score are dropped and counted.
    ``method`` is "t" (Student's t, n − 1 degrees of freedom) or "bootstrap" (percentile over pairs). With fewer than
    two pairs, or none that differ from one another, the estimate stands without an interval (NaN). UserError where the
    two have different lengths or the method is unknown.
    """
    first, second = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    if len(first) != len(second):
        raise UserError(
            f"{len(first)} scores stand against {len(second)}", "a paired shift needs both scores of each prompt",
            "score the same prompts in both arms, in the same order",
        )  # fmt: skip
    if method not in ("t", "bootstrap"):
        raise UserError(f"unknown interval {method!r}", "it is t or bootstrap", "write one of the two")
    change = first - second
    known = change[np.isfinite(change)]
    n, dropped = len(known), len(change) - len(known)
    estimate = float(known.mean()) if n else float("nan")
    if n < 2 or float(np.ptp(known)) < 1e-12 * max(1.0, abs(estimate)):
        return Shift(estimate, np.nan, np.nan, np.nan, np.nan, n, dropped)
    if method == "bootstrap":
        draws = bootstrap.means(known[:, None], np.ones((n, 1)), resamples, seed)
        found = bootstrap.percentile(estimate, draws[:, 0])
        return Shift(found.estimate, found.se, found.low, found.high, found.p, n, dropped)
    se = float(known.std(ddof=1)) / float(np.sqrt(n))
    reach = float(stdtrit(n - 1, 0.975)) * se
    p = 2 * float(stdtr(n - 1, -abs(estimate) / se))
    return Shift(estimate, se, estimate - reach, estimate + reach, p, n, dropped)
