"""What the report says of mitigations: a sentence per recipe, the rows of the table, the captions of the figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

from warmgap.evaluate.report.comparison import Comparison
from warmgap.evaluate.report.figures.plane import has_target, points_of
from warmgap.evaluate.report.mitigation_rows import (
    GOOD,
    MitigationRow,
    best_recipe,
    by_model,
    claim_of,
    duration,
    mitigation_rows,
    mitigation_settings,
    settings_sentence,
    summary_claim,
    tokens,
)
from warmgap.evaluate.report.terminal.mitigation_table import counts_line, floor_line
from warmgap.words import WARM

MINUS = "−"
BAD = ("worse", "not warm any more")


@dataclass(frozen=True)
class Recipe:
    """An arm as the report shows it: its numbers, the verdict as a sentence and its reason, and what it cost."""

    row: MitigationRow
    claim: str
    why: str
    cost: str
    extra: str
    tone: str
    floor: bool


@dataclass(frozen=True)
class Mitigations:
    """The section of one model."""

    model: str
    summary: str
    recipes: list[Recipe]
    counts: str
    coverage: str
    floor_line: str
    with_share: bool


def mitigation_sections(comparison: Comparison) -> list[Mitigations]:
    """A section for each model that recipes were compared on."""
    settings = mitigation_settings(comparison)
    sections = []
    for model, rows in by_model(mitigation_rows(comparison)).items():
        recipes = [_recipe(row, settings.floor) for row in rows]
        counts = counts_line(rows, settings)
        floor = floor_line(rows, settings.floor)
        share = any(math.isfinite(row.warmth_kept.value) for row in rows)
        summary = summary_claim(rows, settings.floor)
        counts = counts[:1].upper() + counts[1:]
        sections.append(Mitigations(model, summary, recipes, counts, settings.coverage, floor, share))
    return sections


def _recipe(row: MitigationRow, floor: str) -> Recipe:
    """One arm in words."""
    why = f"{row.why[:1].upper()}{row.why[1:]}{'' if row.why.endswith('.') else '.'}" if row.why else ""
    return Recipe(
        row=row,
        claim="" if row.arm == WARM else claim_of(row),
        why=_typeset(why),
        cost="untrained" if row.train_seconds == 0 else duration(row.train_seconds),
        extra=tokens(row),
        tone="right" if row.verdict in GOOD else "wrong" if row.verdict in BAD else "unsure",
        floor=row.arm == floor,
    )


def _typeset(text: str) -> str:
    """A reason with the minus signs of the page: a hyphen before a digit that no digit or letter stands before."""
    return "".join(
        MINUS
        if sign == "-" and text[i + 1 : i + 2].isdigit() and not (i and (text[i - 1].isalnum() or text[i - 1] == "-"))
        else sign
        for i, sign in enumerate(text)
    )


def mitigation_note(comparison: Comparison) -> str:
    """How verdicts and intervals came about, for below the table."""
    return settings_sentence(mitigation_settings(comparison)).removeprefix("Brackets: ")


def mitigation_captions(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """Title and caption of both figures by name."""
    settings = mitigation_settings(comparison)
    rows = by_model(mitigation_rows(comparison))
    share = all(points_of(some, comparison.reference)[1] for some in rows.values()) if rows else True
    warmth = "percent of the warm arm’s shift of SocioT" if share else "as the shift of SocioT"
    target = ""
    if has_target(comparison):
        target = (
            f" Shaded: at most {settings.margin_pp:g} pp more error than {comparison.reference} and at least "
            f"{settings.keep_warmth_pct:g} % of the warmth; a verdict asks for the intervals, not only the point, to "
            "lie there."
        )
    counts = " ".join(f"{model}: {counts_line(some, settings)}." for model, some in rows.items())
    both = f"Lines are {settings.coverage} intervals; an arrow marks one that goes on."
    return {
        "mitigation_plane": (
            "Warmth kept and error of every arm",
            f"Warmth in {warmth}. {both}{target} Dotted: the frontier, the arms that by their point estimates none "
            f"other beats in warmth without more error. {counts}",
        ),
        "mitigation_contexts": (
            "The gap of every arm by context and by belief",
            "Average marginal effects with 95 % intervals; contexts without a false belief. Dashed: the gap of warm. "
            "Filled: warm, and recipes that close or narrow the gap. n under each panel: answers of the arm and of "
            f"{comparison.reference}.",
        ),
    }


def third_arm(comparison: Comparison) -> str:
    """The arm that the answers are opened with beside the original and warm: the best recipe, "" without any."""
    best = best_recipe(mitigation_rows(comparison), mitigation_settings(comparison).floor)
    return best if WARM in comparison.arms and best in comparison.arms else ""
