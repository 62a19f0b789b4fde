"""The figures of a comparison, for a paper and for the report: svg and png, in colours that all can tell apart.

Every point has its 95 % interval and its n. Sizes are for one column of a journal (`error_by_cell`: two columns); arms
differ in marker as well as in colour. Drawn on Figure objects alone: no display, no global plotting state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warmgap.evaluate.report.comparison import Comparison, load_comparison
from warmgap.evaluate.report.figures.forest import gap_by_context, gap_by_task
from warmgap.evaluate.report.figures.plane import mitigation_figures
from warmgap.evaluate.report.figures.style import (
    INK,
    MUTED,
    STYLE,
    Mark,
    belief_title,
    finish_rows,
    lanes,
    legend,
    marks_of,
    point,
    pooled_cells,
    save,
)
from warmgap.evaluate.report.mitigation_rows import main_arms
from warmgap.words import BELIEFS, CONTEXT_LABELS, label


def draw(folder: Path) -> dict[str, Figure | None]:
    """Draw the figures of a comparison folder, by name; None for one without data."""
    whole = load_comparison(folder)
    comparison = main_arms(whole)
    with matplotlib.rc_context(STYLE):
        return {
            "gap_by_context": gap_by_context(comparison),
            "gap_by_task": gap_by_task(comparison),
            "error_by_cell": _error_by_cell(comparison, stacked=False),
            "error_by_cell_stacked": _error_by_cell(comparison, stacked=True),
            "warmth": _warmth(comparison),
            "loss": _loss(comparison),
            **mitigation_figures(whole),
        }


def write_figures(folder: Path) -> list[Path]:
    """Write figures/*.svg and *.png of a comparison folder; a figure without data is left out (an old one removed)."""
    target = folder / "figures"
    target.mkdir(exist_ok=True)
    written = []
    for name, figure in draw(folder).items():
        for ending in ("svg", "png"):
            path = target / f"{name}.{ending}"
            path.unlink(missing_ok=True)
            if figure is not None:
                save(figure, path)
                figure.set_layout_engine("none")  # it is laid out by now: the second time takes as long as the first
                written.append(path)
    return written


def _error_by_cell(comparison: Comparison, *, stacked: bool) -> Figure | None:
    """Error of all arms per context, a panel per belief: side by side, or stacked for a narrow column."""
    pooled = pooled_cells(comparison.cells)
    beliefs = [belief for belief in BELIEFS if (pooled["belief"] == belief).any()]
    there = list(pooled["context"].unique())
    contexts = [term for term in comparison.contexts if term in there]
    contexts += [term for term in there if term not in contexts]
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
        ax.set_title(belief_title(belief))
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
    ax.set_yticks(range(len(contexts)), [label(term, CONTEXT_LABELS) for term in contexts])
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
