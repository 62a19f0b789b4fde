"""How the figures look: colours that all can tell apart, a mark for each arm, points with their intervals."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warmgap.evaluate.report.comparison import Comparison
from warmgap.evaluate.report.mitigation_rows import kinds_of
from warmgap.words import BELIEF_LABELS, MENTION, NONE, label

INK, MUTED, RULE, REFERENCE = "#1b1b1a", "#66645f", "#d9d6cf", "#5b6470"
SERIES = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito
MARKERS = "osD^vP"
STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 8, "svg.fonttype": "none",
    "axes.titlesize": 8, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.labelsize": 8,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "axes.linewidth": 0.6, "axes.spines.top": False,
    "axes.spines.right": False, "axes.axisbelow": True, "axes.facecolor": "none", "figure.facecolor": "none",
    "grid.color": RULE, "grid.linewidth": 0.5, "text.color": INK, "legend.frameon": False, "legend.fontsize": 7.5,
} | {
    f"{axis}tick.{name}": value
    for axis in "xy"
    for name, value in {
        "color": MUTED, "labelcolor": INK, "labelsize": 7.5, "major.width": 0.6, "major.size": 2.5
    }.items()
}  # fmt: skip
INDENT = "\u2003"  # a space that html does not fold
FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Mark:
    """Colour and marker of an arm, the same in every figure and in the report."""

    colour: str
    marker: str


def marks_of(comparison: Comparison) -> dict[str, Mark]:
    """A mark for each arm; the reference is grey and round. Recipes that are compared share one, by their kind."""
    if len(comparison.mitigations):
        look = {"warm": Mark(SERIES[0], "s"), "floor": Mark(SERIES[3], "D"), "recipe": Mark(SERIES[1], "o")}
        look["original"] = Mark(REFERENCE, "o")
        controls = iter((Mark(SERIES[2], "^"), Mark(SERIES[4], "v"), Mark(SERIES[5], "P")) * len(comparison.arms))
        return {arm: look.get(kind) or next(controls) for arm, kind in kinds_of(comparison).items()}
    marks = {
        arm: Mark(SERIES[place % len(SERIES)], MARKERS[(place + place // len(SERIES)) % len(MARKERS)])
        for place, arm in enumerate(comparison.others)
    }
    return {comparison.reference: Mark(REFERENCE, "o"), **marks}


def belief_title(belief: str) -> str:
    """What a panel of one belief is called."""
    said = label(belief, BELIEF_LABELS)
    return said.capitalize() if belief in (NONE, MENTION) else f"User {said}"


def wilson(errors: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, in percent (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    if n <= 0:
        return math.nan, math.nan
    z, share = 1.959964, errors / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


def finish_rows(ax: Axes) -> None:
    """What all plots with rows share: a vertical grid and no left axis."""
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def lanes(count: int) -> list[float]:
    """Offsets of `count` arms within a row, symmetrical around it."""
    reach = 0.0 if count == 1 else 0.2 if count == 2 else 0.32
    return [float(offset) for offset in np.linspace(-reach, reach, count)]


def point(
    ax: Axes, x: float, ends: tuple[float, float], y: float, mark: Mark, *, heavy: bool = False, hollow: bool = False
) -> None:
    """One estimate with its interval."""
    if not all(map(math.isfinite, (x, *ends))):
        return
    ax.plot(ends, (y, y), color=mark.colour, linewidth=1.5 if heavy else 1.0, solid_capstyle="butt", zorder=2)
    face = "white" if hollow else mark.colour
    size = 5.2 if heavy else 4.2
    style: dict[str, Any] = {"marker": mark.marker, "markersize": size, "linestyle": "none"}
    ax.plot([x], [y], color=mark.colour, markerfacecolor=face, markeredgewidth=1.0, zorder=3, clip_on=False, **style)


def legend(figure: Figure, marks: dict[str, Mark], arms: Sequence[str], hollow: str = "") -> None:
    """Arms above the plot; `hollow` names the one drawn hollow."""
    handles = [
        Line2D(
            [], [], color=marks[arm].colour, marker=marks[arm].marker, markersize=4.5, linewidth=1.0, label=arm,
            markerfacecolor="white" if arm == hollow else marks[arm].colour,
        )
        for arm in arms
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=min(4, len(arms)), columnspacing=1.4)


def pooled_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Errors per arm × context × belief over models, seeds and tasks: n, error_pct and Wilson's interval in percent."""
    counted = cells[cells["n"].gt(0) & cells["error_pct"].notna()].copy()
    counted["errors"] = counted["n"] * counted["error_pct"] / 100
    pooled = counted.groupby(["arm", "context", "belief"], sort=False)[["n", "errors"]].sum().reset_index()
    pooled["error_pct"] = 100 * pooled["errors"] / pooled["n"]
    ends = [wilson(errors, n) for errors, n in zip(pooled["errors"], pooled["n"], strict=True)]
    pooled["low"], pooled["high"] = [low for low, _ in ends], [high for _, high in ends]
    return pooled


def save(figure: Figure, path: Path) -> None:
    """Write one figure: png on white at 300 dpi, svg with real text, the same bytes for the same data."""
    if path.suffix == ".png":
        with matplotlib.rc_context(STYLE):
            FigureCanvasAgg(figure)
            figure.savefig(path, dpi=300, facecolor="white")
        return
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    path.write_text(re.sub(r"'DejaVu Sans'(, [^;\"]*)?", FONTS, path.read_text(encoding="utf-8")), encoding="utf-8")
