"""A gate for a team's CI: does an arm keep the original's accuracy, and enough of the warmth that was wanted?

Both are shown or not shown: too few items to tell is a failure that says how many would do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from warmgap import store
from warmgap.errors import UserError
from warmgap.evaluate.arms import ORIGINAL, warmth
from warmgap.evaluate.questions import ISOLATING
from warmgap.store import Arm

WARM = "warm"
CONTROLS = ("cold", *ISOLATING)
ONE_SIDED = 1.6448536269514722  # the 95 % point of the normal distribution
MODE = "released"


def accuracy(folder: Path, margin: float) -> list[str]:
    """Return a line for each arm whose error is not shown to be within ``margin`` pp of the original's.

    Non-inferiority on the main effect: the upper end of its one-sided 95 % interval, clustered by item; the exact
    binomial one where no item differs. Where other arms stand beside ``warm``, it is what they mend and is not judged;
    controls beside it mend nothing.
    """
    effects = pd.read_csv(folder / "effects.csv")
    effects = effects[effects["reference"] == ORIGINAL]
    main = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered") & (effects["model"] == "all")]
    found = {str(row["arm"]): row for row in main.to_dict("records")}
    names = dict.fromkeys(str(arm["arm"]) for arm in store.read_json(folder / "summary.json")["arms"])
    others = [name for name in names if name != ORIGINAL]
    judged = [name for name in others if name not in (WARM, *CONTROLS)] or [name for name in others if name == WARM]
    judged = judged or others
    lines = (_shown(name, found.get(name), margin) for name in judged)
    return [line for line in lines if line] or ([] if judged else ["gate: there is no arm beside the original"])


def _shown(name: str, row: dict[Any, Any] | None, margin: float) -> str:
    """What an arm fails on; empty where its error is shown to be within the margin."""
    line = f"gate: {name} is not shown to be within {margin:g} pp of {ORIGINAL}: "
    if row is None:
        return line + "it has no question with verdicts of both"
    estimate, spread, items = float(row["estimate_pp"]), float(row["se_pp"]), int(row["n_items"])
    if math.isfinite(spread):
        upper = estimate + ONE_SIDED * spread
    elif estimate == 0:
        upper = 100 * (1 - 0.05 ** (1 / items))
    else:
        return line + f"{estimate:+.1f} pp, without an interval: {items} questions are too few for one"
    if upper < margin:
        return ""
    told = f"{estimate:+.1f} pp, at most {upper:+.1f} (one-sided 95 %), n {row['n']}"
    return f"{line}{told}; {_would_do(estimate, spread, margin, items)}"


def _would_do(estimate: float, spread: float, margin: float, items: int) -> str:
    """How many items would show what these suggest, if anything would."""
    room = margin - estimate
    if room <= 0:
        return "more questions would not help if the gap is what it seems"
    if math.isfinite(spread):
        wanted = math.ceil(items * (ONE_SIDED * spread / room) ** 2)
    else:
        wanted = math.ceil(math.log(0.05) / math.log1p(-margin / 100)) if margin < 100 else items
    return f"with a gap like this, more than {max(wanted, items):,} questions would do ({items:,} were asked)"


def warmth_kept(arms: Sequence[Arm], least: float, *, resamples: int = 2000, seed: int = 0) -> list[str]:
    """Return a line for each arm that is not shown to keep at least ``least`` percent of the warm arm's warmth.

    Warmth is the shift of SocioT (released mode) against the original on the same prompts, at the step that is the arm,
    averaged over the training seeds that are given; what is kept is its share of the warm arm's. The lower end of the
    one-sided 95 % interval by resampling the prompts decides.

    Raises UserError unless original and warm and another arm are there.
    """
    if not {ORIGINAL, WARM} < {arm.arm for arm in arms}:
        why = "what an arm keeps is a share of the warm arm's shift against the original"
        raise UserError("--keep-warmth needs original, warm and another arm", why, "name the folders of all of them")
    measured, _ = warmth(arms)
    failed = []
    for model in dict.fromkeys(arm.model for arm in arms):
        own = [(arm, measured[arm.name]) for arm in arms if arm.model == model]
        failed += _kept_by(_by_name(own), least, resamples, seed)
    return failed


def _kept_by(scores: dict[str, dict[str, float]], least: float, resamples: int, seed: int) -> list[str]:
    """What the arms of one model fail on, from their warmth by name and prompt."""
    failed = []
    for name, own in scores.items():
        if name in (ORIGINAL, WARM):
            continue
        beside = [scores.get(other, {}) for other in (ORIGINAL, WARM)]
        prompts = sorted(beside[0].keys() & beside[1].keys() & own.keys())
        if len(prompts) < 10:
            failed.append(f"gate: {name} shares {len(prompts)} warmth prompts with original and warm; 10 are the least")
            continue
        base, warm, mine = (np.array([side[key] for key in prompts]) for side in (*beside, own))
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


def _by_name(arms: Sequence[tuple[Arm, dict[int, list[dict[str, Any]]]]]) -> dict[str, dict[str, float]]:
    """The warmth by prompt of each arm, the mean over its training seeds; prompts that all of them answered."""
    seeds: dict[str, list[dict[str, float]]] = {}
    for arm, steps in arms:
        rows = steps[arm.final(steps)] if steps else []
        found = {str(row["prompt_id"]): float(row[MODE]) for row in rows if row.get(MODE) is not None}
        seeds.setdefault(arm.arm, []).append(found)
    return {
        name: {key: float(np.mean([one[key] for one in some])) for key in set.intersection(*(set(one) for one in some))}
        for name, some in seeds.items()
    }


def failures(folder: Path, folders: Sequence[Path], margin: float | None, keep: float | None) -> list[str]:
    """Return what a comparison of arms fails on; nothing where it passes or nothing is asked."""
    found: list[str] = [] if margin is None else accuracy(folder, margin)
    if keep is not None:
        found += warmth_kept(store.open_arms(folders), keep)
    return found
