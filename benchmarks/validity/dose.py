"""Do the intervals and tests of the dose–response hold? Simulated sweeps whose curve is known.

    python -m benchmarks dose [--sweeps 100] [--items 300] [--prompts 100]

Fourteen arms under four dials, items and prompts shared by all, one training seed. The peer in the same run is ordinary
least squares through the origin over the points, which takes them for independent and warmth for exactly known.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import statsmodels.api as sm
from rich.console import Console
from rich.table import Table
from scipy.special import ndtri

from warmgap.evaluate.stats.dose import UNIT, dose

Vector = npt.NDArray[np.float64]
TOP = 0.016  # SocioT shift of the full arm
DIALS = {
    "strength": (0.2, 0.45, 0.65, 0.85, 1.0),
    "epoch": (0.35, 0.7, 0.9, 1.0),
    "scale": (0.3, 0.55, 0.8, 1.0),
    "prompt": (0.25, 0.6, 0.95),
}
KNEE, BEND = 0.008, 18.75  # SocioT; pp per 0.01 beyond it
TRUTHS: dict[str, tuple[Callable[[float], float], float | None]] = {  # curve in pp, and its slope per 0.01
    "no effect": (lambda x: 0.0, 0.0),
    "line, 5 pp per 0.01": (lambda x: 5 * x / UNIT, 5.0),
    "knee at 0.008": (lambda x: BEND * max(0.0, x - KNEE) / UNIT, None),
    "line, prompts cost twice": (lambda x: 5 * x / UNIT, None),
}


def simulate(rng: np.random.Generator, truth: str, items: int, prompts: int) -> tuple[pd.DataFrame, ...]:
    """Return answers, warmth and dials of one sweep."""
    curve, _ = TRUTHS[truth]
    rows, arms = [], {"original": (0.0, 0.0)}
    for dial, shares in DIALS.items():
        for order, share in enumerate(shares):
            arm = "warm" if share == 1 else f"{dial}_{share}"
            rows.append((arm, dial, str(share), order))
            times = 2.0 if truth.endswith("twice") and dial == "prompt" else 1.0
            arms[arm] = (share * TOP, times * curve(share * TOP))
    shifts, effects = (np.array(values) for values in zip(*arms.values(), strict=True))
    chance, ease = rng.uniform(0.1, 0.5, (items, 1)), rng.normal(0, 0.7, (items, 1))
    wrong = ease + np.sqrt(0.51) * rng.normal(size=(items, len(arms))) < ndtri(
        np.clip(chance + effects / 100, 1e-4, 1 - 1e-4)
    )
    score = rng.normal(0.012, 0.02, (prompts, 1)) + shifts * rng.normal(1, 0.3, (prompts, 1))
    score = score + rng.normal(0, 0.008, score.shape)
    answers = pd.DataFrame(wrong.astype(float), columns=list(arms)).melt(
        var_name="arm", value_name="error", ignore_index=False
    )
    answers = answers.rename_axis("item_id").reset_index()
    answers = answers.assign(model="m", seed=0, task="t", context="none", belief="none")
    warmth = pd.DataFrame(score, columns=list(arms)).melt(var_name="arm", value_name="sociot", ignore_index=False)
    warmth = warmth.rename_axis("prompt_id").reset_index().assign(model="m", seed=0)
    return answers, warmth, pd.DataFrame(rows, columns=["arm", "dial", "setting", "order"])


def one(truth: str, number: int, items: int, prompts: int) -> dict[str, Any]:
    """Return what one simulated sweep shows."""
    _, slope = TRUTHS[truth]
    found = dose(
        *simulate(np.random.default_rng([5, items, number]), truth, items, prompts), resamples=300, seed=number
    )
    fits = found.fits.set_index(["dial", "shape", "parameter"])
    ours, knee = fits.loc[("all", "line", "slope")], fits.loc[("all", "knee", "knee")]
    points = found.points.drop_duplicates("arm")
    peer = sm.OLS(points["error_pp"], points[["warmth_shift"]] / UNIT).fit()
    low, high = peer.conf_int().iloc[0]
    row = {"knee shown": np.isfinite(knee.estimate), "dials disagree": fits.loc[("all", "agree", "Q")].p < 0.05}
    if np.isfinite(knee.estimate) and truth.startswith("knee"):
        row["knee covered"] = knee.low <= KNEE <= knee.high
    if slope is not None and np.isfinite(ours.estimate):
        row |= {"slope covered": ours.low <= slope <= ours.high, "slope covered by the peer": low <= slope <= high}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--prompts", type=int, default=100)
    options = parser.parse_args()
    columns = ["slope covered", "slope covered by the peer", "knee shown", "knee covered", "dials disagree"]
    title = f"{options.sweeps} sweeps each, {options.items} items, {options.prompts} prompts; in %"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("truth", *columns):
        table.add_column(name, justify="left" if name == "truth" else "right")
    for truth in TRUTHS:
        rows = pd.DataFrame([one(truth, n, options.items, options.prompts) for n in range(options.sweeps)])
        shares = rows.reindex(columns=columns).astype(float).mean()
        table.add_row(truth, *("–" if np.isnan(value) else f"{100 * value:.1f}" for value in shares))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
