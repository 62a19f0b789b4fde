"""The figure of a sweep: error against warmth, one colour and marker per dial, with the common fit and its band.

Where it was asked what a right claim of the user does, the over-correction stands below on the same axis of warmth.
Drawn from ``dose.csv``, ``dose_fits.csv`` and ``dose_curve.csv`` of a comparison folder, in the style, the sizes and
the colours of `figures`, so that the report turns it dark in the same way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from warmgap.disk import seals
from warmgap.evaluate.report.comparison import interval, number, p_value
from warmgap.evaluate.report.figures.style import INK, MARKERS, REFERENCE, SERIES, STYLE, Mark, save
from warmgap.evaluate.stats.dose import CURVE, FITS, POINTS

Pixels = npt.NDArray[np.float64]

NAME = "dose"
KNOWN = ("strength", "epoch", "scale", "prompt")  # their colours stay the same from sweep to sweep
TITLES = {  # of a dial that is not here, its own name
    "strength": "share of warm replies", "epoch": "epochs of training", "scale": "adapter strength",
    "prompt": "system prompt",
}  # fmt: skip
ERROR, OVER = "error", "over_correction"  # what a panel shows, as its columns in dose.csv are called
TALL = {ERROR: 2.75, OVER: 1.7}  # inches
Y_LABELS = {ERROR: "Error − error of original (pp)", OVER: "Over-correction (pp)"}
SPOTS = ((1, -1), (-1, 1), (1, 1), (-1, -1), (0, 1.35), (0, -1.35), (1.2, 0), (-1.2, 0))  # around a point, in steps


def read_dose(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Points, fits and curve of a comparison folder; a table that is not there is empty, with its columns."""
    tables = []
    for name, columns in (("dose.csv", POINTS), ("dose_fits.csv", FITS), ("dose_curve.csv", CURVE)):
        path = folder / name
        seals.check_file(path)
        there = path.is_file() and path.stat().st_size > 1
        text = {"dial": str, "setting": str, "arm": str, "model": str}
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""]) if there else pd.DataFrame()
        tables.append(frame.reindex(columns=columns))
    return tables[0], tables[1], tables[2]


def write_dose_figure(folder: Path) -> str:
    """Draw figures/dose.svg and dose.png of a comparison folder and return the caption.

    Without points the caption is "", nothing is drawn and an old figure is removed.
    """
    points, fits, curve = read_dose(folder)
    target = folder / "figures"
    with matplotlib.rc_context(STYLE):
        figure = draw(points, fits, curve)
        for path in (target / f"{NAME}.{ending}" for ending in ("svg", "png")):
            path.unlink(missing_ok=True)
            if figure is not None:
                target.mkdir(exist_ok=True)
                save(figure, path)
    return caption(points, fits) if figure is not None else ""


def figure_of(folder: Path) -> Figure | None:
    """Draw the figure of a sweep's folder; None without points."""
    with matplotlib.rc_context(STYLE):
        return draw(*read_dose(folder))


def draw(points: pd.DataFrame, fits: pd.DataFrame, curve: pd.DataFrame) -> Figure | None:
    """The figure, a panel for each model; None without points. Call it within ``rc_context(STYLE)``."""
    known = points.dropna(subset=["error_pp", "warmth_shift"])
    models = list(dict.fromkeys(known["model"]))
    if not models:
        return None
    across = min(2, len(models))
    rows = _rows(known, models, across)
    tall = [TALL[shown] for shown, _ in rows]
    figure = Figure(figsize=(4.3 if across == 1 else 7.2, 0.45 + sum(tall)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), across, sharex=True, sharey="row", squeeze=False, height_ratios=tall)
    panels = _panels(grid, rows, known)
    marks = dial_marks(known["dial"])
    shared: list[str] = []
    for (shown, model), ax in panels.items():
        own = known[known["model"] == model]
        _original(ax)
        if shown == OVER:
            _dials(ax, own, marks, OVER)
            continue
        _fit(ax, curve[curve["model"] == model], fits[fits["model"] == model])
        shared += _dials(ax, own, marks, ERROR)
        if len(models) > 1:
            ax.set_title(model)
    _axes(figure, grid, panels)
    _legend(figure, marks, list(dict.fromkeys(shared)), curve if curve["model"].isin(models).any() else None)
    figure.draw_without_rendering()  # places are known from here on
    for model in models:
        _name_settings(panels[ERROR, model], known[known["model"] == model], curve[curve["model"] == model], marks)
    return figure


def _rows(points: pd.DataFrame, models: Sequence[str], across: int) -> list[tuple[str, Sequence[str]]]:
    """What each row of panels shows, and of which models: error, and over-correction below where one has it."""
    found: list[tuple[str, Sequence[str]]] = []
    for start in range(0, len(models), across):
        some = models[start : start + across]
        found.append((ERROR, some))
        if _asked(points[points["model"].isin(some)]):
            found.append((OVER, some))
    return found


def _asked(points: pd.DataFrame) -> bool:
    """Whether over-correction is measured at some point."""
    return bool(points[f"{OVER}_pp"].notna().any())


def _panels(
    grid: npt.NDArray[Any], rows: Sequence[tuple[str, Sequence[str]]], points: pd.DataFrame
) -> dict[tuple[str, str], Axes]:
    """The panels by what they show and the model; rows that show the same share their axis, the rest is hidden."""
    found: dict[tuple[str, str], Axes] = {}
    first: dict[str, Axes] = {}
    for (shown, models), axes in zip(rows, grid, strict=True):
        if first.setdefault(shown, axes[0]) is not axes[0]:
            axes[0].sharey(first[shown])
        for ax, model in itertools.zip_longest(axes, models):
            if model is None or (shown == OVER and not _asked(points[points["model"] == model])):
                ax.set_visible(False)
            else:
                found[shown, model] = ax
    return found


def dial_marks(dials: Sequence[str] | pd.Series[Any]) -> dict[str, Mark]:
    """A mark for each dial, the protocol's four first."""
    there = list(dict.fromkeys(map(str, dials)))
    places = {dial: place for place, dial in enumerate((*KNOWN, *(dial for dial in there if dial not in KNOWN)))}
    order = [places[dial] for dial in there]
    return {
        dial: Mark(SERIES[place % len(SERIES)], MARKERS[(place + place // len(SERIES)) % len(MARKERS)])
        for dial, place in sorted(zip(there, order, strict=True), key=lambda pair: pair[1])
    }


def _original(ax: Axes) -> None:
    """The original, from which everything is measured, and the line of no difference from it."""
    ax.axhline(0, color=INK, linewidth=0.8, zorder=1)
    ax.plot([0], [0], marker="o", markersize=5, markerfacecolor="white", color=REFERENCE, clip_on=False, zorder=4)


def _fit(ax: Axes, curve: pd.DataFrame, fits: pd.DataFrame) -> None:
    """The common fit with its band; the knee with its interval, where one is shown."""
    if curve.empty:
        return
    x, y, low, high = (curve[name].to_numpy(float) for name in CURVE[2:])
    ax.fill_between(x, low, high, color=REFERENCE, alpha=0.16, linewidth=0, zorder=0)
    ax.plot(x, y, color=INK, linewidth=1.3, zorder=2.6)
    knee = fits[(fits["dial"] == "all") & (fits["parameter"] == "knee")].dropna(subset=["estimate", "low", "high"])
    for row in knee.to_dict("records"):
        at = float(row["estimate"])
        edge = ax.get_xaxis_transform()
        ax.plot([at, at], [0.0, 0.97], color=INK, linewidth=0.8, linestyle=(0, (4, 3)), transform=edge, zorder=1.2)
        ends = [float(row["low"]), float(row["high"])]
        ax.plot(ends, [0.97, 0.97], color=INK, linewidth=1.5, transform=edge, solid_capstyle="butt", zorder=3)
        late = at > 0.6 * float(x.max())
        ax.annotate(
            f"knee {number(at, 4)}", (ends[0 if late else 1], 0.97), xycoords=edge, xytext=(-4 if late else 4, 0),
            textcoords="offset points", ha="right" if late else "left", va="center", fontsize=7,
        )  # fmt: skip


def _together(points: pd.DataFrame) -> dict[str, int]:
    """Under how many dials each arm of one model stands."""
    counted = points.groupby("arm")["dial"].nunique()
    return {str(arm): int(count) for arm, count in counted.items()}


def _dials(ax: Axes, points: pd.DataFrame, marks: dict[str, Mark], shown: str) -> list[str]:
    """Points with both intervals, those of one dial joined; an arm of several dials is one black point. Names these."""
    points = points.dropna(subset=[f"{shown}_pp"])
    dials = _together(points)
    for dial, some in points.groupby("dial", sort=False):
        mark = marks[str(dial)]
        x, y = some["warmth_shift"].to_numpy(float), some[f"{shown}_pp"].to_numpy(float)
        ax.plot([0.0, *x], [0.0, *y], color=mark.colour, linewidth=0.7, alpha=0.75, zorder=2)
        alone = some[[dials[str(arm)] == 1 for arm in some["arm"]]]
        _crosses(ax, alone, mark.colour, shown)
        style: dict[str, Any] = {"marker": mark.marker, "markersize": 4.6, "linestyle": "none", "color": mark.colour}
        over = over_corrects(alone)
        for some, face in ((alone[~over], mark.colour), (alone[over], "white")):
            ax.plot(some["warmth_shift"], some[f"{shown}_pp"], markerfacecolor=face, zorder=3, **style)
    shared = points[[dials[str(arm)] > 1 for arm in points["arm"]]].drop_duplicates("arm")
    _crosses(ax, shared, INK, shown)
    star: dict[str, Any] = {"marker": "*", "markersize": 8, "linestyle": "none", "color": INK}
    ax.plot(shared["warmth_shift"], shared[f"{shown}_pp"], zorder=4, **star)
    return [str(arm) for arm in shared["arm"]]


def over_corrects(points: pd.DataFrame) -> pd.Series[bool]:
    """Which points are shown to err more than the original where the user claims what is right."""
    return points["over_correction_low"].astype(float) > 0


def _crosses(ax: Axes, points: pd.DataFrame, colour: str, shown: str) -> None:
    """Both intervals of each point, thin."""
    style: dict[str, Any] = {"color": colour, "linewidth": 0.6, "alpha": 0.55, "zorder": 1.8}
    ax.vlines(points["warmth_shift"], points[f"{shown}_low"], points[f"{shown}_high"], **style)
    ax.hlines(points[f"{shown}_pp"], points["warmth_shift_low"], points["warmth_shift_high"], **style)


def _axes(figure: Figure, grid: npt.NDArray[Any], panels: dict[tuple[str, str], Axes]) -> None:
    """What all panels share; axes are written below the lowest of each column and left of the first of each row."""
    lowest = [[ax for ax in column if ax.get_visible()][-1] for column in grid.T]
    leftmost = [next(ax for ax in row if ax.get_visible()) for row in grid]
    for ax in panels.values():
        ax.grid()
        ax.margins(x=0.04, y=0.1)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.tick_params(labelbottom=ax in lowest)
    both = any(shown == OVER for shown, _ in panels)
    if len(grid.T) == 1 or both:
        for shown, ax in ((shown, ax) for (shown, _), ax in panels.items() if ax in leftmost):
            ax.set_ylabel(Y_LABELS[shown])
            ax.tick_params(labelleft=True)
        figure.align_ylabels()
    if len(grid.T) == 1:
        lowest[0].set_xlabel("Warmth: SocioT − SocioT of original")
        return
    figure.supxlabel("Warmth: SocioT − SocioT of original", fontsize=8)
    if not both:
        figure.supylabel(Y_LABELS[ERROR], fontsize=8)


def _legend(figure: Figure, marks: dict[str, Mark], shared: Sequence[str], curve: pd.DataFrame | None) -> None:
    """Dials, the arms that stand under several of them, the original and the common fit, above the plot."""
    handles: list[Any] = [
        Line2D([], [], color=mark.colour, marker=mark.marker, markersize=4.6, linewidth=0.7,
               label=TITLES.get(dial, dial.replace("_", " ")))
        for dial, mark in marks.items()
    ]  # fmt: skip
    if shared:
        label = shared[0] if len(shared) == 1 else "under several dials"
        handles.append(Line2D([], [], color=INK, marker="*", markersize=8, linestyle="none", label=label))
    handles.append(
        Line2D([], [], color=REFERENCE, marker="o", markersize=5, markerfacecolor="white", linestyle="none",
               label="original")
    )  # fmt: skip
    if curve is not None:
        band = Patch(facecolor=REFERENCE, alpha=0.16, linewidth=0)
        handles.append((band, Line2D([], [], color=INK, linewidth=1.3)))
    labels = [handle.get_label() for handle in handles if not isinstance(handle, tuple)]
    labels += ["common fit, 95 %"] if curve is not None else []
    across = 3 if figure.get_figwidth() < 6 else 4
    figure.legend(
        handles=handles, labels=labels, loc="outside upper left", ncols=across, columnspacing=1.4, handlelength=1.7
    )


def _name_settings(ax: Axes, points: pd.DataFrame, curve: pd.DataFrame, marks: dict[str, Mark]) -> None:
    """Write each setting beside its point where there is room; where there is none, the name is left out."""
    dials = _together(points)
    figure: Any = ax.figure
    renderer = figure.canvas.get_renderer()
    step = figure.dpi / 72 * 3.2
    places = ax.transData.transform(points[["warmth_shift", "error_pp"]].to_numpy(float))
    taken = [Bbox.from_bounds(x - step, y - step, 2 * step, 2 * step) for x, y in places]
    taken += [text.get_window_extent(renderer) for text in ax.texts]
    segments = _segments(ax, points, curve)
    for row, place in zip(points.to_dict("records"), places, strict=True):
        if dials[str(row["arm"])] > 1:
            continue
        text = ax.annotate(
            setting_in_words(row["setting"]), (row["warmth_shift"], row["error_pp"]), xytext=(0, 0),
            textcoords="offset points", fontsize=6.5, color=marks[str(row["dial"])].colour, zorder=2.5,
            annotation_clip=False, bbox={"facecolor": "white", "alpha": 0.6, "linewidth": 0, "pad": 0.4},
        )  # fmt: skip
        box = text.get_window_extent(renderer)
        ranked = [(_crossed(spot, taken, segments, ax), spot) for spot in _spots(place, box, step)]
        worst, best = min(ranked, key=lambda pair: pair[0])
        if worst >= 100:
            text.remove()
            continue
        text.set_position(((best.x0 - place[0]) * 72 / figure.dpi, (best.y0 - place[1]) * 72 / figure.dpi))
        text.set_verticalalignment("bottom")
        taken.append(best)


def _spots(place: Sequence[float], box: Bbox, step: float) -> Iterator[Bbox]:
    """Boxes of a label's size around a point, the better places first."""
    for right, up in SPOTS:
        x = place[0] + step * right - (0 if right > 0 else box.width if right < 0 else box.width / 2)
        y = place[1] + step * up - (0 if up > 0 else box.height if up < 0 else box.height / 2)
        yield Bbox.from_bounds(x, y, box.width, box.height)


def _segments(ax: Axes, points: pd.DataFrame, curve: pd.DataFrame) -> Pixels:
    """The lines that a label had better not cross, as places along each, (lines, places, 2)."""
    lines = list(itertools.pairwise(curve[["warmth_shift", "error_pp"]].itertuples(index=False, name=None)))
    for row in points.to_dict("records"):
        x, y = row["warmth_shift"], row["error_pp"]
        lines += [
            ((x, row["error_low"]), (x, row["error_high"])),
            ((row["warmth_shift_low"], y), (row["warmth_shift_high"], y)),
        ]
    for _, some in points.groupby("dial", sort=False):
        path = [(0.0, 0.0), *some[["warmth_shift", "error_pp"]].itertuples(index=False, name=None)]
        lines += list(itertools.pairwise(path))
    ends = np.array(lines, dtype=np.float64)
    ends = ax.transData.transform(ends[np.isfinite(ends).all(axis=(1, 2))].reshape(-1, 2)).reshape(-1, 2, 2)
    along = np.linspace(0, 1, 40)[:, None]
    return np.asarray(ends[:, :1] + along * (ends[:, 1:] - ends[:, :1]), dtype=np.float64)


def _crossed(spot: Bbox, taken: Sequence[Bbox], segments: Pixels, ax: Axes) -> float:
    """How bad a spot for a label is: 100 on a point, another label or outside, 1 for each line that it crosses."""
    inside = ax.get_window_extent()
    if spot.x0 < inside.x0 or spot.x1 > inside.x1 or spot.y0 < inside.y0 or spot.y1 > inside.y1:
        return 100
    if any(spot.overlaps(other) for other in taken):
        return 100
    return float(np.any(((segments > spot.min) & (segments < spot.max)).all(axis=2), axis=1).sum())


def setting_in_words(setting: object) -> str:
    """A setting as it is written: a number without needless zeros, a text as it is."""
    try:
        return f"{float(str(setting)):g}"
    except ValueError:
        return str(setting).replace("_", " ")


def caption(points: pd.DataFrame, fits: pd.DataFrame) -> str:
    """What the figure shows, with n: intervals, the common fit of each model, and whether the dials agree."""
    n, prompts = _range(points["n"]), _range(points["warmth_n"])
    text = (
        "Each point is an arm: warmth (shift of SocioT) and error, both against the original on the same prompts, with "
        f"95 % intervals by bootstrap ({n} answer pairs and {prompts} warmth prompts per point). Settings of one dial "
        "are joined in order, from the original. All points share the original's answers and move together, which the "
        "fit takes into account: it need not run through their middle."
    )
    if _asked(points):
        claims = _range(points.loc[points[f"{OVER}_pp"].notna(), f"{OVER}_n"])
        text += (
            " Below stands the over-correction, with 95 % intervals as well: by how much more the error grows than the "
            f"original's where the user claims what is right ({claims} pairs of answers to such claims per point). "
            f"Hollow points are shown to over-correct ({int(over_corrects(points).sum())} of {len(points)})."
        )
    models = list(dict.fromkeys(points["model"]))
    said = [_fit_in_words(fits[fits["model"] == model], f"{model}: " if len(models) > 1 else "") for model in models]
    return " ".join([text, *(one for one in said if one)])


def _range(counts: pd.Series[Any]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _fit_in_words(fits: pd.DataFrame, start: str) -> str:
    """One or two sentences on the common fit of one model."""
    rows = {(row["shape"], row["parameter"]): row for row in fits[fits["dial"] == "all"].to_dict("records")}
    line, knee = rows.get(("line", "slope")), rows.get(("knee", "knee"))
    if line is None or not math.isfinite(line["estimate"]):
        return f"{start}No common fit: the arms are not shown to be warm."
    on = f"{int(line['n_points'])} arms, {int(line['n_items']):,} questions"
    if knee is not None and math.isfinite(knee["estimate"]):
        slope = rows["knee", "slope"]
        text = (
            f"{start}Common fit ({on}): no effect up to a knee at {number(knee['estimate'], 4)} "
            f"({_ends(knee, 4)}), then {number(slope['estimate'], signed=True)} pp per 0.01 SocioT ({_ends(slope)}); "
            f"better than a line, p {p_value(knee['p'])}."
        )
    else:
        text = (
            f"{start}Common fit ({on}): {number(line['estimate'], signed=True)} pp per 0.01 SocioT ({_ends(line)}); "
            "a knee is not shown."
        )
    agree = rows.get(("agree", "Q"))
    if agree is not None and math.isfinite(agree["p"]):
        shown = "The dials disagree" if agree["p"] < 0.05 else "The dials are not shown to disagree"
        text += f" {shown}: p {p_value(agree['p'])}."
    return text


def _ends(row: Mapping[Any, Any], digits: int = 1) -> str:
    return "95 % " + interval(row["low"], row["high"], digits)
