"""A gate for a team's CI: does an arm keep the original's accuracy, and enough of the warmth that was wanted?

Both are shown or not shown: too few items to tell is a failure that says how many would do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from warmgap import store
from warmgap.errors import UserError
from warmgap.store import Arm

ORIGINAL, WARM = "original", "warm"
ONE_SIDED = 1.6448536269514722  # the 95 % point of the normal distribution
MODE = "released"


def accuracy(folder: Path, margin: float) -> list[str]:
    """Return a line for each arm whose error is not shown to be within ``margin`` pp of the original's.

    Non-inferiority on the main effect: the upper end of its one-sided 95 % interval, clustered by item. Where other arms
    stand beside ``warm``, it is what they mend and is not judged itself.
    """
    effects = pd.read_csv(folder / "effects.csv")
    main = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered") & (effects["model"] == "all")]
    if main.empty:
        return ["gate: there is no main effect to judge by"]
    if set(main["arm"]) != {WARM}:
        main = main[main["arm"] != WARM]
    failed = []
    for row in main.to_dict("records"):
        spread = row["se_pp"] if row["se_pp"] == row["se_pp"] else 0.0  # arms that never differ have no spread
        upper = row["estimate_pp"] + ONE_SIDED * spread
        if not upper < margin:
            failed.append(
                f"gate: {row['arm']} is not shown to be within {margin:g} pp of {row['reference']}: "
                f"{row['estimate_pp']:+.1f} pp, at most {upper:+.1f} (one-sided 95 %), n {row['n']}; "
                + _would_do(row["estimate_pp"], spread, margin, row["n_items"])
            )
    return failed


def _would_do(estimate: float, spread: float, margin: float, items: float) -> str:
    """How many items would show what these suggest, if anything would."""
    room = margin - estimate
    if room <= 0 or not spread > 0:
        return "more questions would not help if the gap is what it seems"
    wanted = math.ceil(items * (ONE_SIDED * spread / room) ** 2)
    return f"with a gap like this, more than {max(wanted, int(items)):,} questions would do ({int(items):,} were asked)"


def warmth_kept(arms: Sequence[Arm], least: float, *, resamples: int = 2000, seed: int = 0) -> list[str]:
    """Return a line for each arm that is not shown to keep at least ``least`` percent of the warm arm's warmth.

    Warmth is the shift of SocioT (released mode) against the original on the same prompts, at the step that is the arm,
    averaged over the training seeds that are given; what is kept is its share of the warm arm's. The lower end of the
    one-sided 95 % interval by resampling the prompts decides.

    Raises UserError unless original and warm and another arm are there.
    """
    scores = _by_name(arms)
    if not {ORIGINAL, WARM} < scores.keys():
        why = "what an arm keeps is a share of the warm arm's shift against the original"
        raise UserError("--keep-warmth needs original, warm and another arm", why, "name the folders of all of them")
    failed = []
    for name, own in scores.items():
        if name in (ORIGINAL, WARM):
            continue
        prompts = sorted(scores[ORIGINAL].keys() & scores[WARM].keys() & own.keys())
        if len(prompts) < 10:
            failed.append(f"gate: {name} shares {len(prompts)} warmth prompts with original and warm; 10 are the least")
            continue
        sides = (scores[ORIGINAL], scores[WARM], own)
        base, warm, mine = (np.array([side[key] for key in prompts]) for side in sides)
        kept, lower = _kept(mine - base, warm - base, resamples, seed)
        if not lower >= least:
            said = f"{kept:.0f} %" if math.isfinite(kept) else "unknown"
            end = f"at least {lower:.0f} % (one-sided 95 %)"
            end = end if math.isfinite(lower) else "the warm arm itself is not shown warmer"
            line = f"gate: {name} is not shown to keep {least:g} % of the warmth: {said}, {end}, n {len(prompts)}"
            failed.append(f"{line}; {_prompts_would_do(kept, lower, least, len(prompts))}")
    return failed


def _kept(own: np.ndarray, warm: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """The share (percent) of the warm arm's mean shift that is kept, and the lower end of its one-sided 95 % interval.

    NaN where the warm arm's own shift is not above 0 in nearly every resample: a share of nothing is no share.
    """
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(own), (resamples, len(own)))
    below, above = own[draws].mean(1), warm[draws].mean(1)
    if (above > 0).mean() < 0.975:
        return math.nan, math.nan
    shares = below[above > 0] / above[above > 0]
    return 100 * float(own.mean() / warm.mean()), 100 * float(np.quantile(shares, 0.05))


def _prompts_would_do(kept: float, lower: float, least: float, asked: int) -> str:
    """How many prompts would show what these suggest, if anything would: the interval narrows with their root."""
    if not math.isfinite(kept):
        return "more prompts, or a warm arm that is warmer, would tell"
    if kept <= least:
        return "more prompts would not help if the share is what it seems"
    wanted = math.ceil(asked * ((kept - lower) / (kept - least)) ** 2)
    return f"with a share like this, more than {max(wanted, asked):,} prompts would do"


def _by_name(arms: Sequence[Arm]) -> dict[str, dict[str, float]]:
    """The warmth by prompt of each arm, the mean over its training seeds; prompts that all of them answered."""
    seeds: dict[str, list[dict[str, float]]] = {}
    for arm in arms:
        seeds.setdefault(arm.arm, []).append(_last(arm))
    return {
        name: {key: float(np.mean([one[key] for one in some])) for key in set.intersection(*(set(one) for one in some))}
        for name, some in seeds.items()
    }


def _last(arm: Arm) -> dict[str, float]:
    """The warmth of an arm at the step that it is, by prompt."""
    steps: dict[int, dict[str, float]] = {}
    for row in store.read_journal(arm.warmth):
        if row.get(MODE) is not None:
            steps.setdefault(int(row["step"]), {})[str(row["prompt_id"])] = float(row[MODE])
    return steps[arm.final(steps)] if steps else {}


def failures(folder: Path, folders: Sequence[Path], margin: float | None, keep: float | None) -> list[str]:
    """Return what a comparison of arms fails on; nothing where it passes or nothing is asked."""
    found: list[str] = [] if margin is None else accuracy(folder, margin)
    if keep is not None:
        found += warmth_kept(store.open_arms(folders), keep)
    return found
