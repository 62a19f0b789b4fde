"""A gate for a team's CI: does an arm keep the original's accuracy, and enough of the warmth that was wanted?

Both are shown or not shown: too few items to tell is a failure that says how many would do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from warmgap.disk import seals, store, tabular
from warmgap.disk.store import Arm
from warmgap.errors import UserError
from warmgap.evaluate.report.arms import warmth
from warmgap.evaluate.stats import bootstrap
from warmgap.evaluate.stats.bounds import ONE_SIDED, Mean, Missing, missing
from warmgap.evaluate.stats.contrasts import ISOLATING
from warmgap.words import NONE, ORIGINAL, WARM

CONTROLS = ("cold", *ISOLATING)
MODE = "released"
DEFAULTS = {"--gate": 2, "--keep-warmth": 80}


def check(folders: Sequence[Path], margin: float | None, keep: float | None) -> None:
    """Raise UserError where the arms in ``folders`` cannot be judged as asked: by ``margin``, by the warmth to keep."""
    for option, value in (("--gate", margin), ("--keep-warmth", keep)):
        if value is not None and not (math.isfinite(value) and value > 0):
            why = "it is how much more error is let pass, in percentage points"
            why = why if option == "--gate" else "it is the least share of the warm arm's warmth to keep, in percent"
            raise UserError(f"{option} is {value:g}", why, f"give a number above 0, as in {option} {DEFAULTS[option]}")
    if margin is None and keep is None:
        return
    arms = store.open_arms(folders)
    scores = warmth(arms)[0] if keep is not None else {}
    for model in dict.fromkeys(arm.model for arm in arms):
        own = [arm for arm in arms if arm.model == model]
        names, of_model = {arm.arm for arm in own}, f" of {model}" if len({arm.model for arm in arms}) > 1 else ""
        if margin is not None and not {ORIGINAL} < names:
            why = f"the arms{of_model} are {', '.join(sorted(names))}; each model is judged by itself"
            raise UserError("--gate needs an original and another arm", why, "name the folders of both")
        if keep is None:
            continue
        if not {ORIGINAL, WARM} < names:
            why = "what an arm keeps is a share of the warm arm's shift against the original"
            lacks = f"--keep-warmth needs original, warm and another arm{of_model}"
            raise UserError(lacks, why, "name the folders of all of them")
        for arm in own:
            if not any(row.get(MODE) is not None for rows in scores[arm.name].values() for row in rows):
                why = f"--keep-warmth reads them, and the arms' are of one scorer: {arm.folder} has none of these"
                raise UserError(
                    f"{arm.name} has no warmth scores", why, "measure its warmth, or leave --keep-warmth out"
                )


def accuracy(folder: Path, margin: float) -> list[str]:
    """Return a line for each arm that is not shown to be as accurate as the original, to within ``margin`` pp.

    Each model is judged by itself, on the prompts without context and belief: its error is not inferior, by the upper
    end of the one-sided 95 % interval of the main effect, clustered by item (the exact binomial one where no item
    differs); nor is its share of correct answers out of all prompts, where answers are missing; and where not as much
    is missing as of the original's, its error is not inferior with all that is missing counted against it either.
    Where other arms stand beside ``warm``, it is what they mend and is not judged; controls beside it mend nothing.
    """
    for name in ("effects.csv", "answers.parquet", "summary.json"):
        seals.check_file(folder / name)
    effects = pd.read_csv(folder / "effects.csv", keep_default_na=False, na_values=["", "nan", "NaN"])
    main = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered")]
    main = main[main["reference"] == ORIGINAL]
    found = {(str(row["model"]), str(row["arm"])): row for row in main.to_dict("records")}
    answers = tabular.read_parquet(folder / "answers.parquet")
    answers = answers[(answers["context"] == NONE) & (answers["belief"] == NONE)]
    named = [(str(arm["model"]), str(arm["arm"])) for arm in store.read_json(folder / "summary.json")["arms"]]
    models = list(dict.fromkeys(model for model, _ in named))
    lines = []
    for model in models:
        names = dict.fromkeys(arm for of, arm in named if of == model)
        for name in _judged(names):
            who = f"{name} of {model}" if len(models) > 1 else name
            alone = found.get(("all", name)) if len(models) == 1 else None
            line = _shown(who, found.get((model, name), alone), margin)
            of_both = answers[(answers["model"].astype(str) == model) & answers["arm"].isin((ORIGINAL, name))]
            lines.append(line or _all_prompts(who, missing(of_both, name, ORIGINAL), margin))
        if not set(names) - {ORIGINAL}:
            lines.append(f"gate: there is no arm beside the original of {model}")
    return [line for line in lines if line]


def _judged(names: Iterable[str]) -> list[str]:
    """The arms of a model that are to be judged: what mends the warm arm, else that one, else the controls."""
    others = [name for name in names if name != ORIGINAL]
    mending = [name for name in others if name not in (WARM, *CONTROLS)]
    return mending or [name for name in others if name == WARM] or others


def _shown(name: str, row: dict[Any, Any] | None, margin: float) -> str:
    """What an arm fails on; empty where its error is shown to be within the margin."""
    line = f"gate: {name} is not shown to be within {margin:g} pp of {ORIGINAL}: "
    if row is None:
        return line + "it has no question with verdicts of both"
    effect = Mean(float(row["estimate_pp"]), float(row["se_pp"]), int(row["n_items"]), int(row["n"]))
    if math.isnan(effect.upper):
        return line + f"{effect.estimate:+.1f} pp, without an interval: {effect.items} questions are too few for one"
    if effect.upper < margin:
        return ""
    return f"{line}{_told(effect)}; {_would_do(effect.estimate, effect.se, margin, effect.items)}"


def _told(effect: Mean) -> str:
    """A difference with its upper end and n."""
    end = f"at most {effect.upper:+.1f} (one-sided 95 %)" if math.isfinite(effect.upper) else "without an interval"
    return f"{effect.estimate:+.1f} pp, {end}, n {effect.n}"


def _all_prompts(name: str, found: Missing | None, margin: float) -> str:
    """What an arm whose error passes fails on once all prompts count; empty where it passes, or nothing is missing."""
    if found is None:
        return ""
    start = f"gate: {name} is not shown to be within {margin:g} pp of {ORIGINAL}"
    shares = f"{found.arm_pct:.1f} % of its answers are missing, {found.reference_pct:.1f} % of {ORIGINAL}'s"
    if not found.fall.upper < margin:
        return f"{start} in correct answers out of all prompts: lower by {_told(found.fall)}; {shares}"
    if not found.alike(margin) and not found.most.upper < margin:
        return f"{start} once what is missing is counted against it: {_told(found.most)}; {shares}"
    return ""


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
    one-sided 95 % interval by resampling the prompts decides. `check` says first what is lacking.
    """
    measured, _ = warmth(arms)
    failed = []
    models = list(dict.fromkeys(arm.model for arm in arms))
    for model in models:
        own = [(arm, measured[arm.name]) for arm in arms if arm.model == model]
        of_model = f" of {model}" if len(models) > 1 else ""
        failed += _kept_by(_by_name(own), least, resamples, seed, of_model)
    return failed


def _kept_by(scores: dict[str, dict[str, float]], least: float, resamples: int, seed: int, of_model: str) -> list[str]:
    """What the arms of one model fail on, from their warmth by name and prompt."""
    failed = []
    for name, own in scores.items():
        if name in (ORIGINAL, WARM):
            continue
        beside = [scores.get(other, {}) for other in (ORIGINAL, WARM)]
        prompts = sorted(beside[0].keys() & beside[1].keys() & own.keys())
        if len(prompts) < 10:
            failed.append(
                f"gate: {name}{of_model} shares {len(prompts)} warmth prompts with original and warm; 10 are the least"
            )
            continue
        base, warm, mine = (np.array([side[key] for key in prompts]) for side in (*beside, own))
        kept, lower = _kept(mine - base, warm - base, resamples, seed)
        if not lower >= least:
            said = f"{kept:.0f} %" if math.isfinite(kept) else "unknown"
            end = f"at least {lower:.0f} % (one-sided 95 %)"
            end = end if math.isfinite(lower) else "the warm arm itself is not shown warmer"
            line = f"gate: {name}{of_model} is not shown to keep {least:g} % of the warmth"
            failed.append(
                f"{line}: {said}, {end}, n {len(prompts)}; {_prompts_would_do(kept, lower, least, len(prompts))}"
            )
    return failed


def _kept(own: np.ndarray, warm: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """The share (percent) of the warm arm's mean shift that is kept, and the lower end of its one-sided 95 % interval.

    NaN where the warm arm's own shift is not above 0 in nearly every resample: a share of nothing is no share.
    """
    draws = list(bootstrap.drawn(len(own), resamples, seed))
    below, above = (np.concatenate([shift[some].mean(1) for some in draws]) for shift in (own, warm))
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
