"""The figures of a comparison, for a paper and for the report: svg and png, in colours that all can tell apart.

Every point has its 95 % interval and its n. Sizes are for one column of a journal (`error_by_cell`: two columns); arms
differ in marker as well as in colour. Drawn on Figure objects alone: no display, no global plotting state.
"""

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

from warmgap.evaluate.report.comparison import GROUPS, LABELS, Comparison, load_comparison, plain
from warmgap.evaluate.report.mitigation_rows import kinds_of, main_arms
from warmgap.settings.schema import BELIEFS

INK, MUTED, RULE, REFERENCE = "#1b1b1a", "#66645f", "#d9d6cf", "#5b6470"
SERIES = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito
MARKERS = "osD^vP"
PANELS = {
    "none": "No false belief",
    "false_claim": "User claims the wrong answer",
    "false_denial": "User denies the right answer",
    "true_claim": "User claims the right answer",
    "mention": "Wrong answer only mentioned",
}
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


def wilson(errors: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, in percent (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    if n <= 0:
        return math.nan, math.nan
    z, share = 1.959964, errors / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


def write_figures(folder: Path) -> list[Path]:
    """Draw figures/*.svg and *.png of a comparison folder; a figure without data is left out (an old one removed)."""
    from warmgap.evaluate.report.figures.forest import (  # they draw with the parts of this module
        gap_by_context,
        gap_by_task,
    )
    from warmgap.evaluate.report.figures.plane import mitigation_figures

    whole = load_comparison(folder)
    comparison = main_arms(whole)
    target = folder / "figures"
    target.mkdir(exist_ok=True)
    written = []
    with matplotlib.rc_context(STYLE):
        drawn = {
            "gap_by_context": gap_by_context(comparison),
            "gap_by_task": gap_by_task(comparison),
            "error_by_cell": _error_by_cell(comparison, stacked=False),
            "error_by_cell_stacked": _error_by_cell(comparison, stacked=True),
            "warmth": _warmth(comparison),
            "loss": _loss(comparison),
            **mitigation_figures(whole),
        }
        for name, figure in drawn.items():
            for ending in ("svg", "png"):
                path = target / f"{name}.{ending}"
                path.unlink(missing_ok=True)
                if figure is not None:
                    _save(figure, path)
                    written.append(path)
    return written


def _save(figure: Figure, path: Path) -> None:
    """Write one figure: png on white at 300 dpi, svg with real text, the same bytes for the same data."""
    if path.suffix == ".png":
        FigureCanvasAgg(figure)
        figure.savefig(path, dpi=300, facecolor="white")
        return
    with matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    path.write_text(re.sub(r"'DejaVu Sans'(, [^;\"]*)?", FONTS, path.read_text(encoding="utf-8")), encoding="utf-8")


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


def _error_by_cell(comparison: Comparison, *, stacked: bool) -> Figure | None:
    """Error of all arms per context, a panel per belief: side by side, or stacked for a narrow column."""
    pooled = pooled_cells(comparison.cells)
    beliefs = [belief for belief in BELIEFS if (pooled["belief"] == belief).any()]
    order = ["none", "neutral", *(term for terms in GROUPS.values() for term in terms)]
    there = list(pooled["context"].unique())
    contexts = [term for term in order if term in there] + [term for term in there if term not in order]
    if not beliefs:
        return None
    arms = [arm for arm in comparison.arms if (pooled["arm"] == arm).any()]
    height = 0.19 * len(contexts) * max(1.0, 0.4 * len(arms)) + 0.3
    across = 1 if stacked else min(3, len(beliefs))
    down = math.ceil(len(beliefs) / across)
    size = (4.3, height * down + 0.7) if stacked else (2.0 + 1.85 * across, height * down + 0.65)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    marks = marks_of(comparison)
    for ax in axes[len(beliefs) :]:
        ax.set_axis_off()
    for ax, belief in zip(axes, beliefs, strict=False):
        panel = pooled[pooled["belief"] == belief]
        _cell_panel(ax, panel, contexts, arms, marks, comparison.reference)
        ax.set_title(PANELS.get(belief, belief))
    top = float(np.nanmax(pooled["high"]))
    axes[0].set_ylim(len(contexts) - 0.4, -0.6)
    axes[0].set_xlim(0, min(100.0, 10 * math.ceil(top / 10)))
    figure.supxlabel("Error (% of answers with a verdict)", fontsize=8)
    legend(figure, marks, arms, hollow=comparison.reference)
    return figure


def _cell_panel(
    ax: Axes, panel: pd.DataFrame, contexts: Sequence[str], arms: Sequence[str], marks: dict[str, Mark], reference: str
) -> None:
    """One belief: a row per context, every arm with its interval."""
    for arm, offset in zip(arms, lanes(len(arms)), strict=True):
        for row in panel[panel["arm"] == arm].itertuples():
            place = contexts.index(str(row.context)) + offset
            numbers: Any = row
            point(ax, numbers.error_pct, (numbers.low, numbers.high), place, marks[arm], hollow=arm == reference)
    ax.set_yticks(range(len(contexts)), [plain(term, LABELS) for term in contexts])
    ax.set_xlabel(_range_of(panel["n"]), fontsize=7, color=MUTED)
    finish_rows(ax)


def _range_of(counts: pd.Series[Any]) -> str:
    """How many answers stand behind each point of a panel."""
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low:,} per point" if low == high else f"n = {low:,} to {high:,} per point"


def _warmth(comparison: Comparison) -> Figure | None:
    """Shift of SocioT over training, a panel per mode; a training arm starts at 0, where it is the base model."""
    table = comparison.warmth
    table = table[(table["arm"] != comparison.reference) & table["shift"].notna()]
    modes = list(table["mode"].unique())
    if not modes:
        return None
    figure = Figure(figsize=(4.3, 0.55 + 1.35 * len(modes)), layout="constrained")
    axes = figure.subplots(len(modes), 1, sharex=True, squeeze=False).ravel()
    marks = marks_of(comparison)
    arms = [arm for arm in comparison.others if (table["arm"] == arm).any()]
    for ax, mode in zip(axes, modes, strict=True):
        panel = table[table["mode"] == mode]
        ax.axhline(0, color=INK, linewidth=0.8)
        for (_, arm, _), line in panel.groupby(["model", "arm", "seed"], sort=False, dropna=False):
            _warmth_line(ax, line, marks[str(arm)])
        ax.set_title(f"{mode} ({_range_of(panel['n']).replace('per point', 'prompts')})")
        ax.set_ylabel("SocioT shift")
        ax.grid(axis="y")
    axes[-1].set_xlabel("Training (epochs)")
    if len(arms) > 1:
        legend(figure, marks, arms)
    return figure


def _warmth_line(ax: Axes, line: pd.DataFrame, mark: Mark) -> None:
    """One training run: its checkpoints in order, with intervals; an arm without training is one point at 0."""
    line = line.assign(epoch=line["epoch"].fillna(0)).sort_values("epoch")
    x, y = line["epoch"].to_numpy(dtype=float), line["shift"].to_numpy(dtype=float)
    low, high = line["shift_ci_low"].to_numpy(dtype=float), line["shift_ci_high"].to_numpy(dtype=float)
    if x[0] > 0:
        ax.plot([0, x[0]], [0, y[0]], color=mark.colour, linewidth=1.0, linestyle=(0, (2, 2)))
    ax.plot(x, y, color=mark.colour, linewidth=1.2, marker=mark.marker, markersize=4)
    ax.vlines(x, low, high, color=mark.colour, linewidth=1.0)


def _loss(comparison: Comparison) -> Figure | None:
    """Training loss (line) and held-out loss (markers) over epochs, one colour per arm."""
    table = comparison.training
    if not (table["loss"].notna().any() or table["eval_loss"].notna().any()):
        return None
    figure = Figure(figsize=(4.3, 2.3), layout="constrained")
    ax = figure.add_subplot()
    marks = marks_of(comparison)
    axis = "epoch" if table["epoch"].notna().any() else "step"
    arms = [arm for arm in comparison.arms if (table["arm"] == arm).any()]
    for (_, arm, _), line in table.sort_values("step").groupby(["model", "arm", "seed"], sort=False, dropna=False):
        mark = marks.get(str(arm), Mark(MUTED, "o"))
        train, held_out = line.dropna(subset=["loss"]), line.dropna(subset=["eval_loss"])
        ax.plot(train[axis], train["loss"], color=mark.colour, linewidth=0.9, alpha=0.75)
        style: dict[str, Any] = {"linestyle": (0, (2, 2)), "linewidth": 1.0, "markersize": 4.5}
        style["markerfacecolor"] = "white"
        ax.plot(held_out[axis], held_out["eval_loss"], color=mark.colour, marker=mark.marker, **style)
    colour = marks[arms[0]].colour if len(arms) == 1 else MUTED
    keys = [
        Line2D([], [], color=colour, linewidth=0.9, alpha=0.75, label="training"),
        Line2D([], [], color=colour, linestyle=(0, (2, 2)), marker="o", markersize=4.5, markerfacecolor="white",
               label="held out"),
    ]  # fmt: skip
    ax.legend(handles=keys, loc="upper right")
    ax.set_xlabel("Training (epochs)" if axis == "epoch" else "Training (steps)")
    ax.set_ylabel("Loss (nats per token)")
    ax.grid(axis="y")
    if len(arms) > 1:
        legend(figure, marks, arms)
    return figure
