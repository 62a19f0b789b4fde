"""Labels beside the points of a plot, none over another label, a point or, where it can be helped, an interval.

Every label tries places all around its point, near ones first, and takes the cheapest beside those that stand already;
a few rounds let the early ones move again. The same input always gives the same places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Box = tuple[float, float, float, float]  # left, bottom, right, top, in pixels
Segment = tuple[float, float, float, float]  # x and y of one end, then of the other
DISTANCES = (5.0, 8.0, 12.0, 17.0, 23.0, 30.0, 38.0, 48.0, 60.0, 74.0, 90.0)  # points
ANGLES = tuple(math.radians(angle) for angle in (0, 180, 90, 270, 45, 315, 135, 225, *range(15, 360, 30)))
LEADER_FROM = 10.5  # points between label and point from which a line joins them


@dataclass(frozen=True)
class Label:
    """A text and the data point that it names."""

    text: str
    x: float
    y: float
    colour: str
    bold: bool = False


@dataclass(frozen=True)
class _Place:
    """A candidate: box and leader of a label in pixels, and its distance from the point in points."""

    box: Box
    leader: Segment
    distance: float


def place_labels(
    figure: Figure, ax: Axes, labels: Sequence[Label], segments: Sequence[Segment], boxes: Sequence[Box] = ()
) -> None:
    """Write the labels into `ax`; `segments` (data) are crossed only where it must be, `boxes` (data) never covered.

    Freezes the layout of the figure, so it is called once, last.
    """
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    scale = figure.dpi / 72
    lines = [_pixels(ax, segment) for segment in segments]
    taken = [_pixels(ax, box) for box in boxes]
    points = [ax.transData.transform((label.x, label.y)) for label in labels]
    taken += [(x - 2 * scale, y - 3.5 * scale, x + 2 * scale, y + 3.5 * scale) for x, y in points]
    frame = ax.get_window_extent()
    inside = (frame.x0, frame.y0, frame.x1, frame.y1)
    choices = [_candidates(point, _size(ax, label), scale, inside) for label, point in zip(labels, points, strict=True)]
    for label, point, place in zip(labels, points, _settle(choices, taken, lines, scale), strict=True):
        _write(ax, label, point, place, scale)


def _pixels(ax: Axes, ends: Segment | Box) -> Segment:
    """Two corners or ends, from data to pixels."""
    (x0, y0), (x1, y1) = ax.transData.transform([(ends[0], ends[1]), (ends[2], ends[3])])
    return float(x0), float(y0), float(x1), float(y1)


def _style(label: Label) -> dict[str, Any]:
    """How a label is set."""
    return {"fontsize": 7.5, "fontweight": "bold" if label.bold else "normal", "linespacing": 1.05}


def _size(ax: Axes, label: Label) -> tuple[float, float]:
    """Width and height of a label in pixels."""
    text = ax.text(label.x, label.y, label.text, **_style(label))
    extent = text.get_window_extent()
    text.remove()
    return 1.05 * extent.width, extent.height  # text is a little wider at other resolutions


def _candidates(point: Any, size: tuple[float, float], scale: float, inside: Box) -> list[_Place]:
    """Places around a point whose box lies within the axes; if there are none, the one to the right."""
    x, y = float(point[0]), float(point[1])
    found = []
    for distance in DISTANCES:
        for angle in ANGLES:
            reach = distance * scale
            cx = x + math.cos(angle) * (reach + size[0] / 2)
            cy = y + math.sin(angle) * (reach + size[1] / 2)
            box = (cx - size[0] / 2, cy - size[1] / 2, cx + size[0] / 2, cy + size[1] / 2)
            end = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
            gap = math.hypot(end[0] - x, end[1] - y) / scale
            if box[0] >= inside[0] and box[2] <= inside[2] and box[1] >= inside[1] and box[3] <= inside[3]:
                found.append(_Place(box, (x, y, *end), gap))
    right = (x + 5 * scale, y - size[1] / 2, x + 5 * scale + size[0], y + size[1] / 2)
    return found or [_Place(right, (x, y, right[0], y), 5.0)]


def _settle(
    choices: Sequence[Sequence[_Place]], taken: Sequence[Box], lines: Sequence[Segment], scale: float
) -> list[_Place]:
    """The cheapest place of each label beside those of all others, after a few rounds."""
    fixed = [[_fixed_cost(place, taken, lines, scale) for place in some] for some in choices]
    chosen: list[_Place | None] = [None] * len(choices)
    for _ in range(6):
        before = list(chosen)
        for number, some in enumerate(choices):
            others = [place for other, place in enumerate(chosen) if other != number and place is not None]
            costs = [
                cost + sum(_clash(place, other, scale) for other in others)
                for place, cost in zip(some, fixed[number], strict=True)
            ]
            chosen[number] = some[costs.index(min(costs))]
        if chosen == before:
            break
    return [place for place in chosen if place is not None]


def _fixed_cost(place: _Place, taken: Sequence[Box], lines: Sequence[Segment], scale: float) -> float:
    """What a place costs whatever the other labels do: distance, covered points and boxes, crossed intervals."""
    cost = place.distance + 0.6 * max(0.0, place.distance - LEADER_FROM)
    for box in taken:
        cost += 400.0 * _overlaps(place.box, box, scale)
        if place.distance > LEADER_FROM and not _starts_in(place.leader, box):
            cost += 60.0 * (_length_inside(place.leader, box) > 0)
    wide = _widened(place.box, 1.5 * scale)
    crossed = [length for line in lines if (length := _length_inside(line, wide)) > 0]
    return cost + 14.0 * len(crossed) + 0.4 * sum(crossed) / scale


def _clash(place: _Place, other: _Place, scale: float) -> float:
    """What two labels cost each other: overlapping, or a leader of one through the other."""
    cost = 1000.0 * _overlaps(place.box, other.box, scale)
    for one, two in ((place, other), (other, place)):
        if one.distance > LEADER_FROM and _length_inside(one.leader, two.box) > 0:
            cost += 200.0
    return cost


def _overlaps(one: Box, two: Box, scale: float) -> bool:
    """Whether two boxes overlap or come too close: three points beside, less than one above one another."""
    beside, above = 3 * scale, 0.75 * scale
    across = one[0] < two[2] + beside and two[0] < one[2] + beside
    return across and one[1] < two[3] + above and two[1] < one[3] + above


def _widened(box: Box, room: float) -> Box:
    """A box with this much room around it."""
    return box[0] - room, box[1] - room, box[2] + room, box[3] + room


def _starts_in(segment: Segment, box: Box) -> bool:
    """Whether the first end of a segment lies in the box."""
    return box[0] <= segment[0] <= box[2] and box[1] <= segment[1] <= box[3]


def _length_inside(segment: Segment, box: Box) -> float:
    """Length of the part of a segment that lies in a box (Liang and Barsky's clipping)."""
    x, y, dx, dy = segment[0], segment[1], segment[2] - segment[0], segment[3] - segment[1]
    enter, leave = 0.0, 1.0
    for step, room in ((-dx, x - box[0]), (dx, box[2] - x), (-dy, y - box[1]), (dy, box[3] - y)):
        if step == 0:
            if room < 0:
                return 0.0
        elif step < 0:
            enter = max(enter, room / step)
        else:
            leave = min(leave, room / step)
    return max(0.0, leave - enter) * math.hypot(dx, dy)


def _write(ax: Axes, label: Label, point: Any, place: _Place, scale: float) -> None:
    """Set one label, and a line to its point where it stands apart."""
    left, bottom, right, top = place.box
    x, y = float(point[0]), float(point[1])
    # Anchored at the side that faces the point: other fonts than the one measured with leave no gap there.
    side, anchor = ("left", left) if left >= x else ("right", right) if right <= x else ("center", (left + right) / 2)
    offset = ((anchor - x) / scale, ((bottom + top) / 2 - y) / scale)
    text = ax.annotate(
        label.text, (label.x, label.y), offset, textcoords="offset points", ha=side, va="center", color=label.colour,
        multialignment=side, zorder=6, **_style(label),
    )  # fmt: skip
    text.set_in_layout(False)
    if place.distance > LEADER_FROM:
        end = ((place.leader[2] - x) / scale, (place.leader[3] - y) / scale)
        line = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3.5}
        ax.annotate("", (label.x, label.y), end, textcoords="offset points", arrowprops=line, zorder=4)
