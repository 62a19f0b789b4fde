"""The gap by context and by task as forest plots: points with intervals, a row each, the arms one below the other.

Filled is the gap to the reference, hollow the same net of the training, where an arm is there that isolates the tone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from warmgap.evaluate.report.comparison import (
    Comparison,
    Effect,
    effects_of,
    find,
    pooled_model,
    terms_of,
)
from warmgap.evaluate.report.figures.style import INDENT, INK, MUTED, finish_rows, lanes, legend, marks_of, point
from warmgap.words import CONTEXT_LABELS, NEUTRAL, NONE, label


@dataclass(frozen=True)
class _Row:
    """One line of a forest plot: where it stands and what it shows, an effect per arm, also net of the training."""

    y: float
    label: str
    effects: dict[str, Effect]
    net: dict[str, Effect]
    heading: bool = False


def gap_by_context(comparison: Comparison) -> Figure | None:
    """Gap to the reference per context, grouped; a dashed line marks the gap without context."""
    there = terms_of(effects_of(comparison), "context")
    rows: list[_Row] = []
    y = 0.0
    for term in (NONE, NEUTRAL):
        if term in there:
            rows.append(_row(comparison, y, label(term, CONTEXT_LABELS).capitalize(), "context", term))
            y += 1
    for group, terms in comparison.groups.items():
        members = [term for term in terms if term in there]
        if not members:
            continue
        y += 0.4
        title = label(group, CONTEXT_LABELS).capitalize()
        rows.append(_row(comparison, y, title, "context_group", group, heading=True))
        for term in members if members != [group] else []:
            y += 1
            rows.append(_row(comparison, y, INDENT + label(term, CONTEXT_LABELS), "context", term))
        y += 1
    return _forest(comparison, rows, _row(comparison, 0, "", "context", NONE).effects)


def gap_by_task(comparison: Comparison) -> Figure | None:
    """Gap to the reference per task or family, and overall."""
    terms = terms_of(effects_of(comparison), "task")
    rows = [_row(comparison, float(y), _stratum(term), "task", term) for y, term in enumerate(terms)]
    overall = _row(comparison, len(terms) + 0.4, "Overall", "main", None, heading=True)
    return _forest(comparison, [*rows, overall] if overall.effects else rows, {})


def _stratum(term: str) -> str:
    """A task's stratum in words: "embedded:facts" is "facts"."""
    return term.split(":", 1)[-1].replace("_", " ")


def _row(
    comparison: Comparison, y: float, label: str, analysis: str, term: str | None, *, heading: bool = False
) -> _Row:
    """The effect of one term per arm, those with an estimate only."""
    sides = []
    for net in (False, True):
        effects = effects_of(comparison, net=net)
        found = {arm: find(effects, analysis, arm, term) for arm in comparison.others}
        sides.append({arm: effect for arm, effect in found.items() if effect is not None and effect.known})
    return _Row(y, label, sides[0], sides[1], heading)


def _forest(comparison: Comparison, rows: Sequence[_Row], lines: dict[str, Effect]) -> Figure | None:
    """Points with intervals, a row each and the arms one below the other; n at the right edge."""
    arms = [arm for arm in comparison.others if any(arm in row.effects for row in rows)]
    if not arms:
        return None
    marks = marks_of(comparison)
    series = [(arm, net) for arm in arms for net in (False, True) if not net or any(arm in row.net for row in rows)]
    isolating = dict.fromkeys(effect.reference for row in rows for effect in row.net.values())
    wide = max(1.0, 0.55 * len(series))
    height = 0.75 + 0.185 * wide * (rows[-1].y + 1) + 0.16 * (len(arms) > 1) + 0.14 * bool(isolating)
    figure = Figure(figsize=(4.3, height), layout="constrained")
    ax = figure.add_subplot()
    ax.axvline(0, color=INK, linewidth=0.8)
    for arm, effect in lines.items():
        ax.axvline(effect.estimate, color=marks[arm].colour, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    edge = ax.get_yaxis_transform()
    for row in rows:
        for (arm, net), offset in zip(series, lanes(len(series)), strict=True):
            shown = row.net if net else row.effects
            if arm in shown:
                ends = (shown[arm].low, shown[arm].high)
                point(ax, shown[arm].estimate, ends, row.y + offset, marks[arm], heavy=row.heading, hollow=net)
        if row.effects:
            count = next(iter(row.effects.values())).n
            text = f"{int(count):,}" if math.isfinite(count) else ""
            ax.text(1.03, row.y, text, transform=edge, va="center", fontsize=7, color=MUTED)
    ax.text(1.03, rows[0].y - 0.95, "n", transform=edge, va="center", fontsize=7, color=MUTED, style="italic")
    ax.set_yticks([row.y for row in rows], [row.label for row in rows])
    for tick, row in zip(ax.get_yticklabels(), rows, strict=True):
        tick.set_horizontalalignment("left")
        tick.set_fontweight("bold" if row.heading else "normal")
    ax.set_ylim(rows[-1].y + 0.7, rows[0].y - 0.7)
    of = arms[0] if len(arms) == 1 else "arm"
    model = pooled_model(effects_of(comparison))
    of_model = f", {model}" if model != "all" and len(comparison.models) > 1 else ""
    hollow = f"\nHollow, net of the training: − error of {', '.join(isolating)}" if isolating else ""
    ax.set_xlabel(f"Gap: error of {of} − error of {comparison.reference} (pp){of_model}{hollow}")
    finish_rows(ax)
    ax.tick_params(axis="y", pad=4.3 * max(len(row.label) for row in rows))  # room for the longest label, in points
    if len(arms) > 1:
        legend(figure, marks, arms)
    return figure
