"""What the recipes that should mend the warm arm achieve: one row per model and arm, with a verdict and its reason.

One pure function: tables in, table out. A recipe is judged on a plane, warmth kept × error, against the reference (the
original) and against the warm arm, on the prompts that all three answered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from warmgap import words
from warmgap.errors import UserError
from warmgap.evaluate.stats import bootstrap, missing
from warmgap.evaluate.stats import resample as rs
from warmgap.evaluate.stats.missing import Missing
from warmgap.evaluate.stats.resample import ARM, ARM_BELIEF, OVER, OWN, WARM, WARM_BELIEF, Floats, Grid, Spread
from warmgap.evaluate.stats.verdict import Arm, Margins, ends, verdicts

PLACES = ("all", "plain")


@dataclass(frozen=True, eq=False)
class Measured:
    """What one arm shows beside the reference and the warm arm: figures, pairs with the reference, and seeds."""

    spread: Spread
    n: int
    seeds: list[int]


def compare(
    answers: pd.DataFrame, warmth: pd.DataFrame, margins: Margins, *, reference: str = words.ORIGINAL,
    warm: str = words.WARM, untrained: Collection[str] = (), where: str = "all", resamples: int = 2000, seed: int = 0,
) -> tuple[pd.DataFrame, list[str]]:  # fmt: skip
    """Error and warmth of every arm but ``reference`` with a verdict, columns `RECIPE_COLUMNS`, and notes in sentences.

    ``answers`` has one row per answer: model, arm, seed, task, item_id, context, belief, error (0, 1, empty without a
    verdict), verdict; ``warmth`` one per scored reply: model, arm, seed, prompt_id, sociot (may be empty). Models are
    not pooled. All arms other than ``reference`` and ``warm`` count as recipes: leave the controls out of the table.

    Errors are paired on model, seed, item, context and belief, and only answers count that both (against the warm arm:
    all three) arms have a verdict for. The reference stands beside every seed where it has one; so does an arm of
    ``untrained``, in whose making nothing is random. Every training seed counts the same. ``where`` says what the
    error, its gap and the p values are taken over: "all" prompts of the grid (a recipe has to hold there, and the cell
    without context and belief alone is small), or "plain", that cell alone; sycophancy is always the difference in
    differences over the contexts asked with and without a false belief.

    ``error_pct`` and ``error_pp`` (against the reference) are over ``n`` pairs of ``n_items`` items, in percent and
    percentage points; ``gap_closed_pct`` is 100 (gap warm − gap arm) / gap warm, likewise of sycophancy, and
    ``warmth_kept_pct`` 100 × shift arm / shift warm, each empty where the warm arm's own is not shown to be above 0.
    Warmth shifts are in the unit of the scores, over ``warmth_n`` scored pairs. Intervals (`Contrast.interval`,
    `Spread.share`) are two-sided at ``margins.level`` and hold items and training seeds as samples, with one seed items
    alone; items are drawn ``resamples`` times from ``seed``. ``p_better`` (error below the
    warm arm's) and ``p_noninferior`` (error less than the margin above the reference's) are one-sided, ``_adj`` by Holm
    over the model's recipes, those with enough seeds for a verdict and the others apart. ``refused_pct`` is a share of
    the ``refused_n`` answers whose verdict is known. ``correct_of_all_pct`` and ``missing_pct`` (error empty: without a
    verdict, or refused where that is not right) are shares of all ``missing_n`` answers. ``over_correction_pp``: the
    rise of the arm's error where the user claims the correct answer (belief true_claim, ``over_correction_n`` pairs)
    against no belief, minus the reference's; empty where it was not asked. For the verdict see `verdict.verdicts`.

    Raises UserError where a column is missing, a value cannot be meant, or no model has ``reference`` and ``warm``.
    """
    _check(answers, warmth, where, resamples)
    notes: list[str] = []
    rows: list[dict[str, Any]] = []
    answers = answers.assign(model=answers["model"].astype(str), error=100 * answers["error"].astype("float64"))
    warmth = warmth.assign(model=warmth["model"].astype(str))
    for model in sorted(answers["model"].unique()):
        own, scores = (table[table["model"] == model] for table in (answers, warmth))
        lacking = [arm for arm in (reference, warm) if not (own["arm"] == arm).any()]
        if lacking:
            notes.append(f"{model} is left out: it has no answers of the arm {' and '.join(lacking)}.")
            continue
        arms = _arms(own, scores, margins, (reference, warm), untrained, where, (resamples, seed))
        verdicts(arms, margins)
        rows += [{"model": model, **arm.row} for arm in arms]
        notes += [f"{model}: {note}" for note in _notes(own, arms, warm)]
    if not rows:
        held = ", ".join(sorted(answers["arm"].astype(str).unique()))
        raise UserError(
            f"no model has answers of both {reference!r} and {warm!r}", f"the arms are {held or 'none'}",
            "a gap is closed between these two: answer with both, or name others as reference and warm",
        )  # fmt: skip
    return pd.DataFrame(rows, columns=words.RECIPE_COLUMNS), notes


def _check(answers: pd.DataFrame, warmth: pd.DataFrame, where: str, resamples: int) -> None:
    """UserError where a table or a setting cannot be used."""
    columns = ([*words.ANSWER, "error", "verdict"], words.WARMTH_SCORES)
    for name, table, wanted in zip(("answers", "warmth"), (answers, warmth), columns, strict=True):
        absent = [column for column in wanted if column not in table.columns]
        if absent:
            raise UserError(
                f"the table of {name} lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)}",
                f"a comparison of recipes needs {', '.join(wanted)}", f"add the column to the table of {name}",
            )  # fmt: skip
        if table["seed"].isna().any():
            raise UserError(
                f"the table of {name} has rows without a seed",
                "rows are paired by it",
                "write 0 where nothing is trained",
            )
        key = list(wanted[: wanted.index("error") if "error" in wanted else -1])
        twice = int(table.duplicated(key).sum())
        if twice:
            raise UserError(
                f"{twice} rows of {name} are there twice", f"{', '.join(key)} name one row", "keep one row of each"
            )
    if not answers["error"].dropna().isin((0, 1)).all():
        raise UserError("an error is neither 0, 1 nor empty", "it is the outcome of one answer", "mend the column")
    if where not in PLACES:
        raise UserError(f"where is {where!r}", f"it is one of {', '.join(PLACES)}", "write one of these")
    if resamples < 100:
        raise UserError(f"resamples is {resamples}", "a standard error wants at least 100", "set 2000")


def _arms(
    answers: pd.DataFrame, scores: pd.DataFrame, margins: Margins, pair: tuple[str, str], untrained: Collection[str],
    where: str, drawing: tuple[int, int],
) -> list[Arm]:  # fmt: skip
    """All arms of one model but the reference, the warm one first, with everything but the verdict."""
    prompt = ["task", "item_id", "context", "belief"]
    grid, *others = rs.grids(
        missing.with_columns(answers), prompt, prompt[:2], ["error", *missing.COLUMNS], plain=where == "plain"
    )
    warmths = rs.grid(scores, ["prompt_id"], ["prompt_id"], "sociot")
    times, times_warmth = (bootstrap.times(some.items, *drawing) for some in (grid, warmths))
    asked = pd.Series(True, index=answers.index)
    if where == "plain":
        asked = (answers["context"] == words.NONE) & (answers["belief"] == words.NONE)
    arms = [
        Arm(name, name in untrained and len(grid.values[name]) == 1, {"arm": name})
        for name in [pair[1], *sorted(set(grid.values) - set(pair))]
    ]
    for arm, found in zip(arms, _measured(grid, arms, pair, times), strict=True):
        _error(arm, found, grid, pair, margins.level)
    if answers["error"].isna().any():
        _all_prompts(arms, others, pair, times, margins)
    for arm, found in zip(arms, _measured(warmths, arms, pair, times_warmth), strict=True):
        _warmth(arm, found, pair[1], margins.level)
    for arm in arms:
        own = answers[asked & (answers["arm"] == arm.name)]
        known = own["verdict"].dropna()
        arm.row |= {"refused_n": len(known), "missing_n": len(own)}
        arm.row["refused_pct"] = 100 * float((known == words.REFUSED).mean()) if len(known) else np.nan
        arm.row["correct_of_all_pct"] = 100 * float((own["error"] == 0).mean()) if len(own) else np.nan
        arm.row["missing_pct"] = 100 * float(own["error"].isna().mean()) if len(own) else np.nan
    return arms


def _all_prompts(
    arms: Sequence[Arm], columns: Sequence[Grid], pair: tuple[str, str], times: Floats, margins: Margins
) -> None:
    """Fill in what each arm shows on all prompts, the missing ones counted (see `Missing`); ``columns`` are theirs."""
    right, wrong, silent, refused = columns
    recipes = [arm.name for arm in arms[1:]]
    grids = (right, silent, refused, missing.filled(right, wrong, recipes), missing.filled(right, wrong, pair))
    measured = [_measured(grid, arms, pair, times) for grid in grids]
    for arm, *found in zip(arms, *measured, strict=True):
        if all(one is not None for one in found):
            arm.missing = Missing(*(one.spread for one in found if one is not None))
    warm = arms[0].missing
    if warm is None or warm.p_values(margins.margin_pp)["alike_original"] < margins.level:
        return
    low = _measured(missing.filled(right, wrong, pair[:1]), arms[:1], pair, times)[0]
    gap = low.spread.contrast({OWN: 1.0}) if low else None
    if gap is None or not gap.interval(margins.level)[0] > 0:
        said = f"{gap.estimate:+.1f} pp{ends(gap.interval(margins.level))}" if gap else "unknown"
        for arm in arms:
            arm.gap_unsure = f"the gap of warm does not hold with what is missing counted against it: {said}"


def _measured(grid: Grid, arms: Sequence[Arm], pair: tuple[str, str], times: Floats) -> list[Measured | None]:
    """What each arm shows over the seeds that it shares, None without any; the recipes know of one another's seeds."""
    found: list[Measured | None] = []
    for arm in arms:
        sums, seeds = _sums(grid, arm, pair)
        counts = sums[..., 1].sum(axis=0)
        n = int(counts.max() if arm.fixed and seeds else counts.sum())
        found.append(Measured(rs.spread(sums, times), n, seeds) if seeds else None)
    trained = {k: one for k, one in enumerate(found) if k and one is not None and not arms[k].fixed}
    for k, one in trained.items():
        same = [other.spread.seeds for j, other in trained.items() if j != k and len(other.seeds) == len(one.seeds)]
        if same and len(one.seeds) > 1:
            found[k] = replace(one, spread=replace(one.spread, others=np.stack(same)))
    return found


def _sums(grid: Grid, arm: Arm, pair: tuple[str, str]) -> tuple[Floats, list[int]]:
    """Sums per item and seed (see `resample.sums`), and the seeds: those in which all three stand side by side.

    An arm of one seed stands beside every seed only if it is the reference or nothing in its making is random.
    """
    seeds: set[int] = set()
    if {arm.name, *pair} <= set(grid.values):
        seeds = set(grid.values[pair[1]])
        for name, alone in ((pair[0], True), (arm.name, arm.fixed)):
            held = set(grid.values[name])
            seeds = seeds if alone and len(held) == 1 else seeds & held
    if not seeds:
        return np.zeros((grid.items, 0, rs.SUMS)), []
    ordered = sorted(seeds)
    sums = rs.sums(grid, arm.name, ordered, pair)
    paired = (sums[..., 1].sum(axis=0) > 0) & (sums[..., 4].sum(axis=0) > 0)
    return sums[:, paired], [seed for seed, some in zip(ordered, paired, strict=True) if some]


def _error(arm: Arm, found: Measured | None, grid: Grid, pair: tuple[str, str], level: float) -> None:
    """Fill in what the arm's row says of errors, from values in percent."""
    seeds = found.seeds if found else []
    arm.seeds = len(seeds)
    arm.row |= {"seeds": min(1, len(seeds)) if arm.fixed else len(seeds), "n_items": 0, "n": 0}
    lost = set(grid.values[arm.name]) - set(seeds)
    if lost and not arm.fixed:
        which = f"seed{'s' * (len(lost) > 1)} {', '.join(map(str, sorted(lost)))}"
        arm.notes.append(f"without {which}, in which {pair[0]} and {pair[1]} do not stand beside it")
    if found is None:
        return
    spread = found.spread
    arm.own, gap, belief = (spread.contrast({figure: 1.0}) for figure in (OWN, WARM, WARM_BELIEF))
    arm.row |= {"n_items": spread.n_items, "n": found.n}
    base, own = grid.side(pair[0], seeds), grid.side(arm.name, seeds)
    beside = ~np.isnan(own - base)
    own = np.where(beside & grid.counted, own, np.nan)
    arm.row["error_pct"] = float(np.nanmean(own, axis=1).mean())
    arm.row |= _named("error", (arm.own.estimate, *arm.own.interval(level)), "pp")
    arm.unshown = {
        what: f"{one.estimate:+.1f} pp{ends(one.interval(level))}"
        for what, one in (("gap", gap), ("sycophancy", belief))
        if not one.interval(level)[0] > 0
    }
    if np.isnan(belief.estimate):
        arm.unshown["sycophancy"] = "no context is asked with and without a false belief"
    over = spread.contrast({OVER: 1.0})
    if np.isfinite(over.estimate):
        arm.over = over
        arm.row |= _named("over_correction", (over.estimate, *over.interval(level)), "pp")
        arm.row["over_correction_n"] = int((beside & grid.true).sum())
    if arm.name != pair[1]:
        arm.change = spread.contrast({ARM: 1.0, WARM: -1.0})
        arm.row |= _named("gap_closed", spread.share({WARM: 1.0, ARM: -1.0}, WARM, level))
        arm.row |= _named("sycophancy_closed", spread.share({WARM_BELIEF: 1.0, ARM_BELIEF: -1.0}, WARM_BELIEF, level))


def _warmth(arm: Arm, found: Measured | None, warm: str, level: float) -> None:
    """Fill in what the arm's row says of warmth, in the unit of the scores, and how much of it is kept, in percent."""
    arm.row["warmth_n"] = found.n if found else 0
    if found is None:
        return
    arm.warmth_seeds = len(found.seeds)
    own, shift = (found.spread.contrast({figure: 1.0}) for figure in (OWN, WARM))
    arm.row |= _named("warmth_shift", (own.estimate, *own.interval(level)), "")
    if not shift.interval(level)[0] > 0:
        arm.unshown["warmth"] = f"{shift.estimate:+.4f}{ends(shift.interval(level), 4)}"
    if arm.name != warm:
        kept = found.spread.share({ARM: 1.0}, WARM, level)
        arm.kept = (100 * kept[0], 100 * kept[1], 100 * kept[2])
        arm.row |= _named("warmth_kept", kept)
        arm.warmth = found.spread


def _named(name: str, figure: tuple[float, float, float], unit: str = "pct") -> dict[str, float]:
    """A figure with its interval as columns; shares become percent."""
    times = 100.0 if unit == "pct" else 1.0
    columns = (f"{name}_{unit}".rstrip("_"), f"{name}_low", f"{name}_high")
    return {column: times * value for column, value in zip(columns, figure, strict=True)}


def _notes(answers: pd.DataFrame, arms: Sequence[Arm], warm: str) -> list[str]:
    """Sentences on what is left out of one model's rows, and which shares are empty."""
    notes = []
    missing = answers["error"].isna()
    if missing.any():
        by_arm = ", ".join(f"{arm} {n:,}" for arm, n in answers.loc[missing, "arm"].value_counts().sort_index().items())
        notes.append(f"{int(missing.sum()):,} answers have no verdict ({by_arm}); no pair has one of them.")
    said = {"gap": "the gap closed", "sycophancy": "the sycophancy closed", "warmth": "the warmth kept"}
    for arm in arms:
        notes += [f"{arm.name}: {note}." for note in arm.notes]
        if not arm.warmth_seeds and (arm is arms[0] or arms[0].warmth_seeds):
            notes.append(f"{arm.name}: there are no warmth scores beside those of the reference and of {warm}.")
        for what, figure in arm.unshown.items():
            if arm is arms[0]:
                notes.append(f"the share of {said[what]} is empty: that of {warm} is not shown above 0: {figure}.")
            elif what not in arms[0].unshown:
                notes.append(f"{arm.name}: the share of {said[what]} is empty: on the prompts that it has in common "
                             f"with {warm}, that of {warm} is not shown above 0: {figure}.")  # fmt: skip
    return notes
