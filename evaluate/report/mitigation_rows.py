"""What a comparison says of mitigations: a row per model and arm, and the words that terminal, figures and report use.

A recipe is judged on two numbers at once, how much warmth it keeps and how much more often than the original it is
wrong, so everything here keeps both together, each with its interval.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from warmgap.evaluate.report.comparison import Comparison, number
from warmgap.words import WARM

VERDICTS = ("closes", "narrows", "undecided", "no effect", "worse", "not warm any more")  # from the best
GOOD = ("closes", "narrows")
LEVEL = 0.05  # of intervals, where nothing else is said
CLAIMS = {
    "closes": "{arm} closes the gap and stays warm.",
    "narrows": "{arm} narrows the gap and stays warm; that it closes the gap was not shown.",
    "undecided": "Whether {arm} helps could not be told from these answers.",
    "no effect": "{arm} has no effect: its error is shown to be close to the warm arm’s.",
    "worse": "{arm} is wrong more often than the warm arm.",
    "not warm any more": "{arm} is not warm any more, so it is no mitigation, whatever its error.",
}


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; NaN where it is not known."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there are the number and both ends of its interval."""
        return all(map(math.isfinite, (self.value, self.low, self.high)))


@dataclass(frozen=True)
class MitigationRow:
    """One arm of one model: error and capability in pp against the original, shares in percent, warmth in SocioT."""

    model: str
    arm: str
    seeds: float
    n_items: float
    n: float
    error_pct: float
    error: Estimate
    gap_closed: Estimate
    sycophancy_closed: Estimate
    warmth_shift: Estimate
    warmth_n: float
    warmth_kept: Estimate
    p_better: float
    p_better_adj: float
    p_noninferior: float
    p_noninferior_adj: float
    refused_pct: float
    refused_n: float
    verdict: str
    why: str
    train_seconds: float
    prompt_tokens: float
    capability: Estimate
    capability_n: float
    correct_of_all_pct: float
    missing_pct: float
    missing_n: float
    over_correction: Estimate
    over_correction_n: float


@dataclass(frozen=True)
class MitigationSettings:
    """What the verdicts were given by: margin (pp), warmth to keep (percent), level, seeds, draws, the arm to beat."""

    margin_pp: float
    keep_warmth_pct: float
    level: float
    seeds: tuple[int, ...]
    resamples: int
    floor: str

    @property
    def coverage(self) -> str:
        """What share of intervals holds the true value, "95 %"."""
        return f"{100 * (1 - self.level):g} %"


def mitigation_rows(comparison: Comparison) -> list[MitigationRow]:
    """The rows of mitigations.csv: by model, warm first, then the floor, then recipes from the best verdict down."""
    names = {
        "error": "error_pp", "gap_closed": "gap_closed_pct", "sycophancy_closed": "sycophancy_closed_pct",
        "warmth_shift": "warmth_shift", "warmth_kept": "warmth_kept_pct", "capability": "capability_pp",
        "over_correction": "over_correction_pp",
    }  # fmt: skip
    rows = []
    for record in comparison.mitigations.to_dict("records"):
        values: dict[str, Any] = {str(key): value for key, value in record.items()}
        for field, column in names.items():
            values[field] = Estimate(values[column], values[f"{field}_low"], values[f"{field}_high"])
        rows.append(MitigationRow(**{field.name: values[field.name] for field in dataclasses.fields(MitigationRow)}))
    models = list(dict.fromkeys(row.model for row in rows))
    floor = str(comparison.summary.get("floor") or "")
    return sorted(rows, key=lambda row: (models.index(row.model), row.arm != WARM, row.arm != floor, *_merit(row)))


def _merit(row: MitigationRow) -> tuple[int, float]:
    """The better a recipe did, the smaller: its verdict first, then its error."""
    rank = VERDICTS.index(row.verdict) if row.verdict in VERDICTS else len(VERDICTS)
    return rank, row.error.value if math.isfinite(row.error.value) else math.inf


def mitigation_settings(comparison: Comparison) -> MitigationSettings:
    """The settings of the verdicts, NaN or empty where the summary has none."""
    stated = comparison.summary.get("mitigation_settings") or {}
    return MitigationSettings(
        margin_pp=float(stated.get("margin_pp", math.nan)),
        keep_warmth_pct=float(stated.get("keep_warmth_pct", math.nan)),
        level=float(stated.get("level", LEVEL)),
        seeds=tuple(int(seed) for seed in stated.get("seeds") or ()),
        resamples=int(stated.get("resamples") or 0),
        floor=str(comparison.summary.get("floor") or ""),
    )


def settings_sentence(settings: MitigationSettings) -> str:
    """How verdicts and intervals came about, with the margins."""
    said = f"Brackets: {settings.coverage} intervals"
    if settings.resamples:
        said += f" by paired bootstrap over questions and seeds ({settings.resamples:,} draws)"
    if settings.level != LEVEL:
        said += "; those of capability 95 %"
    if math.isfinite(settings.margin_pp) and math.isfinite(settings.keep_warmth_pct):
        said += (
            f". Closes: shown to be wrong at most {settings.margin_pp:g} pp more often than the original, less often "
            f"than warm, and to keep at least {settings.keep_warmth_pct:g} % of the warmth; to be right on more of all "
            "prompts than warm too, and within the margin of the original. p adjusted over the recipes"
        )
    return said + "."


def many_arms(comparison: Comparison) -> bool:
    """Whether recipes or dials are compared in such number that the tables for every single arm would hide them."""
    apart = len(comparison.mitigations) > 0 or comparison.summary.get("dose_notes") is not None
    return apart and len(comparison.others) > 2


def main_arms(comparison: Comparison) -> Comparison:
    """The same comparison without the recipes where there are many arms: the reference, `warm` and controls."""
    if not many_arms(comparison):
        return comparison
    swept = comparison.arms[1:] if comparison.summary.get("dose_notes") is not None else []
    recipes = {*comparison.mitigations["arm"], *swept} - {WARM}
    kept = [arm for arm in comparison.arms if arm not in recipes]
    tables = {
        name: getattr(comparison, name).loc[lambda table: table["arm"].isin(kept)]
        for name in ("effects", "cells", "warmth", "training", "controls", "equivalence")
    }
    arms = [arm for arm in comparison.summary["arms"] if arm["arm"] in kept]  # what models and order are read from
    return dataclasses.replace(comparison, summary={**comparison.summary, "arms": arms}, **tables)


def by_model(rows: Iterable[MitigationRow]) -> dict[str, list[MitigationRow]]:
    """The rows of each model, models and rows in their order."""
    found: dict[str, list[MitigationRow]] = {}
    for row in rows:
        found.setdefault(row.model, []).append(row)
    return found


def kinds_of(comparison: Comparison) -> dict[str, str]:
    """What each arm is in a comparison of mitigations: `original`, `warm`, `floor`, `recipe` or `control`."""
    named = {comparison.reference: "original", WARM: "warm", str(comparison.summary.get("floor") or ""): "floor"}
    judged = list(map(str, comparison.mitigations["arm"]))
    arms = dict.fromkeys([*comparison.arms, *judged])
    return {arm: named.get(arm, "recipe" if arm in judged else "control") for arm in arms}


def recipes_of(rows: Iterable[MitigationRow], floor: str = "") -> list[MitigationRow]:
    """The rows that are neither the warm arm nor the floor."""
    return [row for row in rows if row.arm not in (WARM, floor)]


def best_recipe(rows: Sequence[MitigationRow], floor: str = "") -> str:
    """The arm of the best verdict, among equals the one with the lowest error; "" without recipes."""
    recipes = recipes_of(rows, floor) or recipes_of(rows)
    return min(recipes, key=_merit).arm if recipes else ""


def claim_of(row: MitigationRow) -> str:
    """The verdict of a recipe as a sentence."""
    if not row.verdict:
        return f"{row.arm} was given no verdict."
    return CLAIMS.get(row.verdict, "{arm}: " + row.verdict + ".").format(arm=row.arm)


def summary_claim(rows: Sequence[MitigationRow], floor: str = "") -> str:
    """How many recipes there are of each verdict, the best first, in one sentence; "" without recipes."""
    recipes = recipes_of(rows, floor)
    if not recipes:
        return ""
    words = {
        "closes": ("closes the gap and stays warm", "close the gap and stay warm"),
        "narrows": ("narrows it", "narrow it"),
        "undecided": ("is undecided", "are undecided"),
        "no effect": ("has no effect", "have no effect"),
        "worse": ("makes it worse", "make it worse"),
        "not warm any more": ("is not warm any more", "are not warm any more"),
    }
    counts = [(verdict, sum(row.verdict == verdict for row in recipes)) for verdict in VERDICTS]
    first, *rest = [(verdict, count) for verdict, count in counts if count or verdict == "closes"]
    said = f"{first[1] or 'none'} {words['closes'][first[1] > 1 or not first[1]]}"
    parts = [said, *(f"{count} {words[verdict][count > 1]}" for verdict, count in rest)]
    noun = "recipe" if len(recipes) == 1 else "recipes"
    return f"Of {len(recipes)} {noun}, " + (", ".join(parts[:-1]) + " and " if parts[1:] else "") + parts[-1] + "."


def beats_floor(rows: Sequence[MitigationRow], floor: str) -> list[str]:
    """Recipes that by their point estimates are both warmer and less often wrong than the floor."""
    base = next((row for row in rows if row.arm == floor), None)
    if base is None:
        return []
    return [
        row.arm
        for row in recipes_of(rows, floor)
        if row.warmth_shift.value > base.warmth_shift.value and row.error.value < base.error.value
    ]


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points (warmth, error) that no other point beats in one without losing in the other, coolest first.

    One of two equal points is kept.
    """
    order = sorted(range(len(points)), key=lambda place: (-points[place][0], points[place][1]))
    kept: list[int] = []
    for place in order:
        if not kept or points[place][1] < points[kept[-1]][1]:
            kept.append(place)
    return kept[::-1]


def duration(seconds: float) -> str:
    """A time in the unit that suits it: "45 s", "14 min", "3.2 h", "4.1 d"; "–" where it is not known."""
    if not math.isfinite(seconds):
        return "–"
    for limit, unit, size, digits in ((90, "s", 1, 0), (5400, "min", 60, 0), (172_800, "h", 3600, 1)):
        if seconds < limit:
            return f"{number(seconds / size, digits)} {unit}"
    return f"{number(seconds / 86_400)} d"


def tokens(row: MitigationRow) -> str:
    """Extra tokens in every prompt, "+35 tokens"; "" where there are none."""
    extra = row.prompt_tokens
    return f"{number(extra, 0, signed=True)} tokens" if math.isfinite(extra) and round(extra) else ""
