"""The verdict on a recipe: what has to be shown for it, and the reason in words.

See `verdicts`; the numbers that it goes by are `compare`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from warmgap.mitigations import resample as rs
from warmgap.mitigations.resample import ARM, WARM, Contrast, Spread

NOT_KEPT, WORSE, CLOSES, NARROWS = "not warm any more", "worse", "closes", "narrows"
NO_EFFECT, UNDECIDED = "no effect", "undecided"
CLAIMS = ("better", "noninferior", "worse", "within", "kept", "cooled")


@dataclass(frozen=True)
class Margins:
    """What is asked of a recipe.

    ``margin_pp``: by how much its error may exceed the reference's, and how close to the warm arm's error "no effect"
    is, in percentage points. ``keep_warmth_pct``: least share of the warm arm's warmth, in percent. ``level``:
    two-sided of intervals, family-wise (over the recipes of a model) of verdicts. ``seeds_wanted``: with fewer
    training seeds there is no verdict.
    """

    margin_pp: float = 2.0
    keep_warmth_pct: float = 80.0
    level: float = 0.05
    seeds_wanted: int = 3


@dataclass
class Arm:
    """One arm of one model: its row so far, and what the verdict needs. ``kept`` is in percent, contrasts in pp."""

    name: str
    fixed: bool  # nothing in its making is random
    row: dict[str, Any]
    change: Contrast | None = None  # against the warm arm
    own: Contrast | None = None  # against the reference
    seeds: int = 0  # of the comparison with the warm arm
    warmth_seeds: int = 0
    kept: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    warmth: Spread | None = None  # of the shifts that the share kept is of
    adjusted: dict[str, float] = field(default_factory=dict)
    unshown: dict[str, str] = field(default_factory=dict)  # what of the warm arm is not shown above 0, and its figures
    notes: list[str] = field(default_factory=list)


def verdicts(arms: Sequence[Arm], margins: Margins) -> None:
    """Fill in p values, adjusted by Holm, and the verdict of each arm with its reason; the first that holds:

    ``not warm any more``: less warmth than the least share is shown to be kept. ``worse``: error above the warm arm's.
    ``closes``: the warm arm's gap is shown, the error is below the warm arm's and within the margin of the reference,
    and the least share of warmth, or more, is shown to be kept (at half the level, as the interval's ends are).
    ``narrows``: the same, but not shown within the margin. ``no effect``: error shown to lie within the margin of the
    warm arm's, to both sides (two one-sided tests). ``undecided``: everything else, and whatever lacks seeds or warmth.
    All p values are adjusted over the recipes: the chance of any false claim of one kind stays below the level.
    """
    arms[0].row |= {"verdict": "", "why": "the arm to mend"}
    if arms[0].own is not None:
        arms[0].row["p_noninferior"] = arms[0].own.p_below(margins.margin_pp)
    lacking = {arm.name: _lacking(arm, margins) for arm in arms[1:]}
    for family in ([a for a in arms[1:] if not lacking[a.name]], [a for a in arms[1:] if lacking[a.name]]):
        p = np.array([_p_values(arm, margins) for arm in family]).reshape(-1, len(CLAIMS))
        for column, claim in enumerate(CLAIMS):
            for arm, raw, adjusted in zip(family, p[:, column], rs.holm(p[:, column]), strict=True):
                arm.adjusted[claim] = float(adjusted)
                if claim in ("better", "noninferior"):
                    arm.row |= {f"p_{claim}": float(raw), f"p_{claim}_adj": float(adjusted)}
    for arm in arms[1:]:
        arm.row["verdict"], arm.row["why"] = UNDECIDED, lacking[arm.name]
        if not lacking[arm.name]:
            arm.row["verdict"], arm.row["why"] = _verdict(arm, margins, len(arms) - 1)


def _p_values(arm: Arm, margins: Margins) -> list[float]:
    """One-sided p values of the `CLAIMS`, in their order; NaN where nothing is known."""
    margin, warmth = margins.margin_pp, [np.nan, np.nan]
    if arm.warmth is not None and "warmth" not in arm.unshown:
        beyond = arm.warmth.contrast({ARM: 1.0, WARM: -margins.keep_warmth_pct / 100})
        warmth = [beyond.p_above(0.0), beyond.p_below(0.0)]
    if arm.change is None or arm.own is None:
        return [*[np.nan] * 4, *warmth]
    within = max(arm.change.p_above(-margin), arm.change.p_below(margin))
    return [arm.change.p_below(0.0), arm.own.p_below(margin), arm.change.p_above(0.0), within, *warmth]


def _lacking(arm: Arm, margins: Margins) -> str:
    """Why there can be no verdict on the arm, or nothing."""
    wanted = margins.seeds_wanted
    if arm.change is None:
        return "no prompt is answered by it, the warm arm and the reference in a training seed that all have"
    whose = " of the warm arm" if arm.fixed else ""
    if arm.seeds < wanted:
        return f"{arm.seeds} training seed{'s' * (arm.seeds > 1)}{whose}; {wanted} are wanted"
    if not arm.warmth_seeds:
        return "no warmth scores beside those of the warm arm and the reference"
    if arm.warmth_seeds < wanted:
        return f"warmth of {arm.warmth_seeds} training seed{'s' * (arm.warmth_seeds > 1)}{whose}; {wanted} are wanted"
    return ""


def _verdict(arm: Arm, margins: Margins, recipes: int) -> tuple[str, str]:
    """The verdict on an arm that has what one needs, and its reason."""
    change, own, p, (kept, low, high) = arm.change, arm.own, arm.adjusted, arm.kept
    if change is None or own is None:
        return UNDECIDED, _lacking(arm, margins)
    level, margin, least = margins.level, margins.margin_pp, margins.keep_warmth_pct
    said = f"error {change.estimate:+.1f} pp against warm"
    warmth = f"warmth kept {kept:.0f} % ({low:.0f} to {high:.0f})"
    if p["cooled"] < level / 2:
        return NOT_KEPT, f"{warmth}, shown below {least:g} %"
    if p["worse"] < level:
        return WORSE, f"{said}, adjusted p {p['worse']:.2g}"
    better, gap, holds = p["better"] < level, "gap" not in arm.unshown, p["kept"] < level / 2
    if better and gap and holds:
        closed = f"{said}, adjusted p {p['better']:.2g}; {warmth}; {own.estimate:+.1f} pp against the original"
        if p["noninferior"] < level:
            return CLOSES, f"{closed}, within {margin:g} pp, adjusted p {p['noninferior']:.2g}"
        return NARROWS, f"{closed}, not shown within {margin:g} pp, adjusted p {p['noninferior']:.2g}"
    if p["within"] < level:
        return NO_EFFECT, f"{said}, within {margin:g} pp, adjusted p {p['within']:.2g}"
    missing = [] if gap else [f"no gap of warm shown: {arm.unshown['gap']}"]
    if "warmth" in arm.unshown:
        missing.append(f"the warm arm is not shown to be warmer: {arm.unshown['warmth']}")
    elif not holds:
        end = f"lower end {low:.0f} %" if np.isfinite(low) else "no interval"
        missing.append(f"warmth not shown to be kept ({kept:.0f} %, {end}, {least:g} % is asked)")
    if not change.se > 0:
        missing.append("its errors differ from warm's alike in every item, or in none: no spread to judge by")
    elif not better:
        shown = f"not shown to differ (adjusted p {min(p['better'], p['worse']):.2g})"
        missing.append(f"{said}{ends(change.interval(level))}, {shown}{_would_do(change, margins, recipes)}")
    return UNDECIDED, "; ".join(missing)


def _would_do(change: Contrast, margins: Margins, recipes: int) -> str:
    """How many items would show a change as large as it seems, or that it is as small, if any number would."""
    aim, room = "", abs(change.estimate)
    if room < margins.margin_pp / 2:
        aim, room = f" to show it within {margins.margin_pp:g} pp of warm", margins.margin_pp - room
    wanted = change.items_for(room, margins.level / recipes)
    if not np.isfinite(wanted):
        return "; more training seeds would help, more items alone would not"
    if wanted <= change.n_items:
        return ""
    scale = 10 ** max(0, len(str(int(wanted))) - 2)
    return f" with {change.n_items:,} items; about {int(np.ceil(wanted / scale)) * scale:,} would do{aim}"


def ends(ends: tuple[float, float], digits: int = 1) -> str:
    """An interval in words for brackets, or that there is none."""
    if not np.isfinite(ends).all():
        return ", without an interval"
    return f" ({ends[0]:+.{digits}f} to {ends[1]:+.{digits}f})"
