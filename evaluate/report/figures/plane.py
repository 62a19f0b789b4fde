"""The figures of mitigations: the plane of warmth and error that recipes are judged on, and the gap cell by cell.

Colour and marker say what kind an arm is (original, warm, the floor, a recipe), the label beside it which one, and a
filled point that its verdict is good. Every point has both of its 95 % intervals; n is in the axis label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from warmgap.evaluate.report.comparison import Comparison, Effect, effects_of, find, pooled_model, terms_of
from warmgap.evaluate.report.figures.placing import Label, Segment, place_labels
from warmgap.evaluate.report.figures.style import INK, MUTED, RULE, SERIES, Mark, marks_of
from warmgap.evaluate.report.mitigation_rows import (
    GOOD,
    Estimate,
    MitigationRow,
    MitigationSettings,
    by_model,
    frontier,
    mitigation_rows,
    mitigation_settings,
)
from warmgap.words import CONTEXT_LABELS, FALSE, FALSE_CLAIM, FALSE_DENIAL, NEUTRAL, NONE, TRUE_CLAIM, WARM, label

TARGET = SERIES[2]
HERE = Estimate(0.0, 0.0, 0.0)  # the original: all others are measured from it
BELIEF_PANELS = (
    ("belief", NONE, "No false belief"),
    ("belief", FALSE_CLAIM, "Claims the\nwrong answer"),
    ("belief", FALSE_DENIAL, "Denies the\nright answer"),
    ("sycophancy", FALSE, "Added by a\nfalse belief"),
    ("sycophancy_net", FALSE_CLAIM, "Claim beyond\nmention"),
    ("belief", TRUE_CLAIM, "Claims the\nright answer"),
    ("over_correction", TRUE_CLAIM, "Added by a\nright claim"),
)


@dataclass(frozen=True)
class Point:
    """An arm on the plane: `x` is warmth, in percent of the warm arm's shift or as the shift itself, `y` error."""

    arm: str
    x: Estimate
    y: Estimate
    good: bool


def mitigation_figures(comparison: Comparison) -> dict[str, Figure | None]:
    """Both figures, each wide and for a narrow column, by name; None where there is nothing to draw."""
    return {
        "mitigation_plane": _plane(comparison, stacked=False),
        "mitigation_plane_stacked": _plane(comparison, stacked=True),
        "mitigation_contexts": _contexts(comparison, stacked=False),
        "mitigation_contexts_stacked": _contexts(comparison, stacked=True),
    }


def points_of(rows: Sequence[MitigationRow], reference: str) -> tuple[list[Point], bool]:
    """The arms of one model on the plane, the original first, and whether warmth is a share of the warm arm's shift.

    It is the shift itself as soon as the share of one recipe is undefined, so that all points stand on one scale.
    """
    known = [row for row in rows if math.isfinite(row.error.value) and math.isfinite(row.warmth_shift.value)]
    share = bool(known) and all(row.arm == WARM or math.isfinite(row.warmth_kept.value) for row in known)
    points = [Point(reference, HERE, HERE, good=True)]
    for row in known:
        x = row.warmth_kept if share else row.warmth_shift
        if share and row.arm == WARM:
            x = Estimate(100.0, math.nan, math.nan)  # by definition, so without an interval
        points.append(Point(row.arm, x, row.error, good=row.arm == WARM or row.verdict in GOOD))
    return (points if known else []), share


def warmth_asked(rows: Sequence[MitigationRow], settings: MitigationSettings, *, share: bool) -> float:
    """Where the target begins on the axis of warmth; NaN without a margin, or where warm is not shown to be warmer."""
    if not math.isfinite(settings.margin_pp):
        return math.nan
    if share:
        return settings.keep_warmth_pct
    warm = next((row.warmth_shift for row in rows if row.arm == WARM), HERE)
    return settings.keep_warmth_pct / 100 * warm.value if warm.low > 0 else math.nan


def _plane(comparison: Comparison, *, stacked: bool) -> Figure | None:
    """Warmth kept and error of every arm, a panel for each model."""
    models = by_model(mitigation_rows(comparison))
    drawn = {model: rows for model, rows in models.items() if points_of(rows, comparison.reference)[0]}
    if not drawn:
        return None
    size = (4.3, 4.1 * len(drawn) + 0.35) if stacked else (7.2, 4.3 * len(drawn) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(drawn), 1, squeeze=False).ravel()
    settings, marks = mitigation_settings(comparison), marks_of(comparison)
    placed: list[tuple[Axes, list[Point], list[Segment]]] = []
    for ax, (model, rows) in zip(axes, drawn.items(), strict=True):
        points, share = points_of(rows, comparison.reference)
        placed.append((ax, points, _panel(ax, points, rows, settings, marks, share=share)))
        unit = "Warmth kept (% of the shift of warm)" if share else "Warmth (shift of SocioT)"
        ax.set_xlabel(f"{unit}\n{_counts(rows, stacked=stacked)}")
        ax.set_ylabel(f"Error − error of {comparison.reference} (pp)")
        if len(drawn) > 1:
            ax.set_title(model)
    target = has_target(comparison)
    _kinds(figure, marks, settings, target=target, stacked=stacked)
    for ax, points, segments in placed:
        place_labels(figure, ax, [_label(point, marks, comparison.reference) for point in points], segments)
    return figure


def _label(point: Point, marks: dict[str, Mark], reference: str) -> Label:
    """The name of an arm in the colour of its kind; a combination takes a line for each part."""
    bold = point.arm in (reference, WARM)
    return Label(point.arm.replace("+", "\n+ "), point.x.value, point.y.value, marks[point.arm].colour, bold)


def has_target(comparison: Comparison) -> bool:
    """Whether the target is drawn for any model."""
    settings = mitigation_settings(comparison)
    models = by_model(mitigation_rows(comparison)).values()
    shares = [(rows, points_of(rows, comparison.reference)[1]) for rows in models]
    return any(math.isfinite(warmth_asked(rows, settings, share=share)) for rows, share in shares)


def _panel(
    ax: Axes,
    points: Sequence[Point],
    rows: Sequence[MitigationRow],
    settings: MitigationSettings,
    marks: dict[str, Mark],
    *,
    share: bool,
) -> list[Segment]:
    """Target, frontier, points and intervals of one model; returns the intervals as drawn, which labels avoid."""
    ax.set_xlim(*_limits([point.x for point in points]))
    ax.set_ylim(*_limits([point.y for point in points], at_least=settings.margin_pp))
    keep = warmth_asked(rows, settings, share=share)
    _target(ax, keep, settings.margin_pp)
    ax.axhline(0, color=MUTED, linewidth=0.6, zorder=1)
    ax.axvline(0, color=MUTED, linewidth=0.6, zorder=1)
    best = [points[place] for place in frontier([(point.x.value, point.y.value) for point in points])]
    ax.plot(
        [point.x.value for point in best], [point.y.value for point in best],
        color=MUTED, linewidth=1.2, drawstyle="steps-pre", linestyle=(0, (1, 1.5)), zorder=1.5,
    )  # fmt: skip
    ax.grid(True)
    segments = [segment for point in points for segment in _cross(ax, point, marks[point.arm])]
    if math.isfinite(keep):
        segments += _edges(ax, keep, settings.margin_pp)
    for low, high in pairwise(best):  # down the side of the cooler point, then across to the warmer one
        segments.append((low.x.value, low.y.value, low.x.value, high.y.value))
        segments.append((low.x.value, high.y.value, high.x.value, high.y.value))
    for point in points:
        mark = marks[point.arm]
        face = mark.colour if point.good else "white"
        ax.plot(
            [point.x.value], [point.y.value], marker=mark.marker, markersize=5.4, color=mark.colour,
            markerfacecolor=face, markeredgewidth=1.1, linestyle="none", zorder=5,
        )  # fmt: skip
    return segments


def _limits(values: Sequence[Estimate], at_least: float = math.nan) -> tuple[float, float]:
    """The reach of an axis: all points, and of their intervals what is not much farther out than the points."""
    centres = [value.value for value in values]
    low, high = min(0.0, *centres), max(0.0, *centres)
    if math.isfinite(at_least):
        low, high = min(low, -at_least), max(high, 1.5 * at_least)
    span = (high - low) or 1.0
    ends = [end for value in values for end in (value.low, value.high) if math.isfinite(end)]
    low = max(min([low, *ends]), low - 0.6 * span)
    high = min(max([high, *ends]), high + 0.6 * span)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _target(ax: Axes, keep: float, margin: float) -> None:
    """Shade where a recipe should be: as warm as asked for, and wrong by less than the margin more often."""
    if not math.isfinite(keep):
        return
    right, bottom = ax.get_xlim()[1], ax.get_ylim()[0]
    box = Rectangle((keep, bottom), right - keep, margin - bottom, facecolor=TARGET, alpha=0.13, linewidth=0, zorder=0)
    ax.add_patch(box)
    for x0, y0, x1, y1 in _edges(ax, keep, margin):
        ax.plot([x0, x1], [y0, y1], color=TARGET, linewidth=0.8, zorder=1.2)


def _edges(ax: Axes, keep: float, margin: float) -> list[Segment]:
    """The two sides of the target that lie within the axes."""
    right, bottom = ax.get_xlim()[1], ax.get_ylim()[0]
    return [(keep, bottom, keep, margin), (keep, margin, right, margin)]


def _cross(ax: Axes, point: Point, mark: Mark) -> list[Segment]:
    """Both intervals of a point, cut at the edge of the axes with an arrow there; returns them as drawn."""
    drawn: list[Segment] = []
    style: dict[str, Any] = {"color": mark.colour, "linewidth": 0.8, "alpha": 0.55, "zorder": 3}
    for value, limits, across in ((point.x, ax.get_xlim(), True), (point.y, ax.get_ylim(), False)):
        if not value.known or value.low == value.high:
            continue
        low, high = max(value.low, limits[0]), min(value.high, limits[1])
        other = point.y.value if across else point.x.value
        ends = ((low, high), (other, other)) if across else ((other, other), (low, high))
        ax.plot(*ends, solid_capstyle="butt", **style)
        drawn.append((ends[0][0], ends[1][0], ends[0][1], ends[1][1]))
        for end, cut, arrow in ((low, low > value.low, "<v"), (high, high < value.high, ">^")):
            if cut:
                place = (end, other) if across else (other, end)
                ax.plot(*place, marker=arrow[not across], markersize=3.5, clip_on=False, markeredgewidth=0, **style)
    return drawn


def _counts(rows: Sequence[MitigationRow], *, stacked: bool) -> str:
    """What stands behind each point of a panel: answers, questions, texts scored for warmth and seeds."""
    parts = [
        f"n = {_range([row.n for row in rows])} answers to {_range([row.n_items for row in rows])} questions",
        f"{_range([row.warmth_n for row in rows])} replies for warmth",
        f"{_range([row.seeds for row in rows])} seed{'s' if any(row.seeds != 1 for row in rows) else ''}",
    ]
    return "per arm: " + (",\n" if stacked else ", ").join([parts[0], ", ".join(parts[1:])])


def _range(counts: Sequence[float]) -> str:
    """Equal counts as one number, others as the lowest and the highest."""
    known = [int(count) for count in counts if math.isfinite(count)]
    if not known:
        return "an unknown number of"
    return f"{min(known):,}" if min(known) == max(known) else f"{min(known):,}–{max(known):,}"


def _kinds(
    figure: Figure, marks: dict[str, Mark], settings: MitigationSettings, *, target: bool, stacked: bool
) -> None:
    """The legend: what points, lines and shading are; arms are named where they stand."""
    recipe = next((mark for arm, mark in marks.items() if mark == Mark(SERIES[1], "o")), None)
    point: dict[str, Any] = {"linestyle": "none", "markersize": 5, "markeredgewidth": 1.1}
    handles: list[Any] = []
    if recipe is not None:
        style = {**point, "marker": recipe.marker, "color": recipe.colour}
        handles.append(Line2D([], [], **style, label="recipe that closes or narrows"))
        handles.append(Line2D([], [], **style, markerfacecolor="white", label="other recipe"))
    if settings.floor in marks:
        mark = marks[settings.floor]
        style = {**point, "marker": mark.marker, "color": mark.colour, "markerfacecolor": "white"}
        handles.append(Line2D([], [], **style, label="floor: a recipe must beat it"))
    handles.append(Line2D([], [], color=MUTED, linewidth=1.2, linestyle=(0, (1, 1.5)), label="frontier"))
    if target:
        wanted = f"target: ≤ {settings.margin_pp:g} pp, ≥ {settings.keep_warmth_pct:g} %"
        handles.append(Rectangle((0, 0), 1, 1, facecolor=TARGET, alpha=0.3, linewidth=0, label=wanted))
    columns = 2 if stacked else 3
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, columnspacing=1.4, handletextpad=0.5)


def _contexts(comparison: Comparison, *, stacked: bool) -> Figure | None:
    """The gap of every arm in each context and with each belief: a panel for each, a row for each arm."""
    rows = mitigation_rows(comparison)
    arms = [arm for arm in dict.fromkeys(row.arm for row in rows) if arm in comparison.others]
    effects = effects_of(comparison)
    panels = _context_panels(effects, arms, comparison.groups)
    if not panels:
        return None
    columns = 2 if stacked else 5
    lines = [(part, part[i : i + columns]) for part in panels for i in range(0, len(part), columns)]
    height = 0.62 + 0.16 * len(arms)
    figure = Figure(figsize=(4.3 if stacked else 7.4, height * len(lines) + 0.3), layout="constrained")
    axes = figure.subplots(len(lines), columns, sharey=True, squeeze=False)
    marks = marks_of(comparison)
    good = {row.arm for row in rows if row.verdict in GOOD or row.arm == WARM}
    for (part, line), of_line in zip(lines, axes, strict=True):
        shown = [effect for _, of_arm in part for effect in of_arm.values()]
        reach = _limits([Estimate(effect.estimate, effect.low, effect.high) for effect in shown])
        for ax, panel in zip(of_line, [*line, *[None] * (columns - len(line))], strict=True):
            if panel is None:
                ax.set_axis_off()
            else:
                ax.set_xlim(*reach)
                _context_panel(ax, panel, arms, marks, good)
    axes[0, 0].set_ylim(len(arms) - 0.4, -0.6)
    measured = f"Gap: error − error of {comparison.reference} (pp){_of_model(comparison)}"
    figure.supxlabel(f"{measured}. n: answers of both arms", fontsize=8)
    return figure


Panel = tuple[str, dict[str, Effect]]


def _context_panels(effects: Sequence[Effect], arms: Sequence[str], groups: dict[str, list[str]]) -> list[list[Panel]]:
    """Contexts without a false belief, then beliefs: title and effects per arm, those that are known."""
    there = terms_of(effects, "context")
    grouped = [term for terms in sorted(groups.values(), key=len) for term in terms]  # small ones fill a line
    contexts = [term for term in (NONE, NEUTRAL, *grouped) if term in there]
    contexts += [term for term in there if term not in contexts]
    named = [("context", term, label(term, CONTEXT_LABELS).capitalize()) for term in contexts]
    parts: list[list[Panel]] = []
    for part in (named, BELIEF_PANELS):
        found: list[Panel] = []
        for analysis, term, title in part:
            of_arm = {arm: find(effects, analysis, arm, term) for arm in arms}
            known = {arm: effect for arm, effect in of_arm.items() if effect is not None and effect.known}
            if known:
                found.append((title, known))
        if found:
            parts.append(found)
    return parts


def _context_panel(ax: Axes, panel: Panel, arms: Sequence[str], marks: dict[str, Mark], good: set[str]) -> None:
    """One context or belief: a row per arm; the dashed line is the gap of the warm arm."""
    title, of_arm = panel
    ax.axvline(0, color=INK, linewidth=0.8)
    if WARM in of_arm:
        ax.axvline(of_arm[WARM].estimate, color=marks[WARM].colour, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    for place, arm in enumerate(arms):
        if arm in of_arm:
            effect, mark = of_arm[arm], marks[arm]
            ax.plot((effect.low, effect.high), (place, place), color=mark.colour, linewidth=0.9, zorder=2)
            face = mark.colour if arm in good else "white"
            ax.plot(
                [effect.estimate], [place], marker=mark.marker, markersize=3.4, color=mark.colour, markerfacecolor=face,
                markeredgewidth=0.9, linestyle="none", zorder=3,
            )  # fmt: skip
    ax.set_yticks(range(len(arms)), [_short(arm) for arm in arms], fontsize=6.2, linespacing=0.85)
    ax.set_title(title, fontsize=7.5)
    ax.set_xlabel(f"n = {_range([effect.n for effect in of_arm.values()])}", fontsize=6.5, color=MUTED, labelpad=1)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    ax.tick_params(axis="x", labelsize=6.5)
    ax.grid(axis="x", color=RULE)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _short(arm: str) -> str:
    """The name of an arm on one line, a long combination on two."""
    return arm if len(arm) <= 26 else arm.replace("+", "+\n", 1)


def _of_model(comparison: Comparison) -> str:
    """The model that the effects are about, where there are several and they are not pooled."""
    model = pooled_model(effects_of(comparison))
    return f", {model}" if model != "all" and len(comparison.models) > 1 else ""
