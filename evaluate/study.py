"""Our figures beside the published study's: the same descriptive code over both tables of cells, and a test of noise.

The source is in ``reference/README.md``. The study pools its two beliefs; so are ours, weighted by their answers.
Its cells carry no n: intervals of its figures take the nominal sample of each task, so they are rough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from warmgap.evaluate.comparison import GROUPS, STUDY_COLUMNS

FOLDER = Path(__file__).resolve().parent / "reference"
ITEMS = {"trivia_qa": 500, "truthful_qa": 500, "med_qa": 500, "disinformation": 125}
EMOTION = GROUPS["emotion"]
CONTEXTS = ("none", *(context for group in GROUPS.values() for context in group))
KEYS = ["task", "context", "belief"]
Z95 = 1.959964


@dataclass(frozen=True)
class Quantity:
    """A figure that both tables have: the mean gap over some cells, or the difference of two such means.

    ``cells`` and ``minus`` name (tasks, contexts, beliefs); an empty part takes all there are.
    """

    quantity: str
    term: str
    cells: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    minus: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]] | None = None


def reference(name: str) -> pd.DataFrame:
    """Return one of the study's tables: ``cells``, ``effects``, ``controls``, ``warmth``."""
    return pd.read_csv(FOLDER / f"{name}.csv")


def quantities(tasks: tuple[str, ...]) -> list[Quantity]:
    """Return the figures compared: overall, by task, by context group and context, and what a false belief adds."""
    plain, none = ("none",), ("none",)
    found = [Quantity("main", "no context, no false belief", ((), plain, none))]
    found += [Quantity("task", task, ((task,), plain, none)) for task in tasks]
    found += [Quantity("context group", group, ((), names, none)) for group, names in GROUPS.items()]
    found += [Quantity("context", name, ((), (name,), none)) for name in CONTEXTS[1:]]
    found += [Quantity("belief", "false", ((), (), ("false",)))]
    found += [Quantity("belief", "false, emotion", ((), EMOTION, ("false",)))]
    found += [Quantity("sycophancy", "difference in differences", ((), (), ("false",)), ((), (), none))]
    return found


def headline() -> dict[str, float]:
    """Return the study's headline figures, recomputed from its cells alone (pp; the relative increase in percent).

    Cells weigh alike. The relative increase is the mean over tasks of (warm / original − 1), without context or belief.
    """
    cells = _gaps(reference("cells").assign(n=1), pooled=False).groupby(KEYS, as_index=False).mean(numeric_only=True)
    found = {f"{q.quantity}: {q.term}": _mean(cells, q)[0] for q in quantities(tuple(ITEMS))}
    base = cells[(cells["context"] == "none") & (cells["belief"] == "none")]
    by_task = base.groupby("task")[["original", "warm"]].mean()
    found["relative increase"] = 100 * float((by_task["warm"] / by_task["original"] - 1).mean())
    return found


def beside(cells: pd.DataFrame, arm: str = "warm", original: str = "original") -> pd.DataFrame:
    """Return our figures beside the study's (columns `STUDY_COLUMNS`), per model; empty without both arms.

    ``cells`` has the columns of cells.csv. A model that the study has is put beside itself, any other beside the mean
    of its five. Where no task is the study's, all of ours are put beside all of its, which ``tasks`` says. ``p`` is
    that of a two-sided z test of the difference, from binomial errors of the cells on both sides; ``p_fdr`` by
    Benjamini–Hochberg over the table.
    """
    from statsmodels.stats.multitest import multipletests

    rows = []
    theirs = reference("cells")
    for model, own in cells.groupby("model", sort=False):
        ours = _ours(own, arm, original)
        if ours.empty:
            continue
        shared = tuple(task for task in ITEMS if task in set(ours["task"]))
        mine = ours[ours["task"].isin(shared)] if shared else ours
        known = str(model) in set(theirs["model"])
        table = theirs[theirs["model"] == model] if known else theirs
        table = table[table["task"].isin(shared)] if shared else table
        names = {"model": model, "study_model": model if known else "mean of five"}
        names["tasks"] = (
            ", ".join(shared) if shared else f"{', '.join(sorted(set(ours['task'])))} beside all of its own"
        )
        rows += [row | names for q in quantities(shared) if (row := _row(mine, _theirs(table), q))]
    found = pd.DataFrame(rows, columns=STUDY_COLUMNS)
    tested = found["p"].notna()
    if tested.any():
        found.loc[tested, "p_fdr"] = multipletests(found.loc[tested, "p"], method="fdr_bh")[1]
    return found


def _row(ours: pd.DataFrame, theirs: pd.DataFrame, quantity: Quantity) -> dict[str, object] | None:
    own, own_se, n = _mean(ours, quantity)
    other, other_se, _ = _mean(theirs, quantity)
    if not (math.isfinite(own) and math.isfinite(other)):
        return None
    from scipy.stats import norm

    spread = math.hypot(own_se, other_se)
    z = (own - other) / spread if spread > 0 else math.nan
    return {
        "quantity": quantity.quantity,
        "term": quantity.term,
        "ours_pp": own,
        "ours_low_pp": own - Z95 * own_se,
        "ours_high_pp": own + Z95 * own_se,
        "n": n,
        "study_pp": other,
        "study_low_pp": other - Z95 * other_se,
        "study_high_pp": other + Z95 * other_se,
        "difference_pp": own - other,
        "z": z,
        "p": 2 * float(norm.sf(abs(z))) if math.isfinite(z) else math.nan,
    }


def _mean(cells: pd.DataFrame, quantity: Quantity) -> tuple[float, float, int]:
    """Return a quantity (pp) from cells with ``gap``, ``variance`` and ``n``, its standard error, and its answers."""
    value, variance, n = _average(cells, quantity.cells)
    if quantity.minus is not None:
        base, more, answers = _average(cells, quantity.minus)
        value, variance, n = value - base, variance + more, n + answers
    return value, math.sqrt(variance) if variance >= 0 else math.nan, n


def _average(cells: pd.DataFrame, where: tuple[tuple[str, ...], ...]) -> tuple[float, float, int]:
    for column, names in zip(KEYS, where, strict=True):
        if names:
            cells = cells[cells[column].isin(names)]
    if cells.empty:
        return math.nan, math.nan, 0
    return float(cells["gap"].mean()), float(cells["variance"].sum()) / len(cells) ** 2, int(cells["n"].sum())


def _ours(cells: pd.DataFrame, arm: str, original: str) -> pd.DataFrame:
    """Our cells, seeds and both beliefs pooled by their answers, with the gap and its variance (pp, squared pp)."""
    kept = cells[cells["context"].isin(CONTEXTS) & cells["arm"].isin([arm, original]) & cells["error_pct"].notna()]
    kept = kept.assign(
        belief=kept["belief"].where(kept["belief"] == "none", "false"), wrong=kept["error_pct"] * kept["n"] / 100
    )
    sums = kept.groupby(["arm", *KEYS], as_index=False)[["wrong", "n"]].sum()
    sums["pct"] = 100 * sums["wrong"] / sums["n"]
    sides = {name: sums[sums["arm"] == name].set_index(KEYS)[["pct", "n"]] for name in (arm, original)}
    both = sides[arm].merge(sides[original], on=KEYS, suffixes=("_arm", "_base")).reset_index()
    both["gap"] = both["pct_arm"] - both["pct_base"]
    both["variance"] = _variance(both["pct_arm"], both["n_arm"]) + _variance(both["pct_base"], both["n_base"])
    both["n"] = both["n_arm"] + both["n_base"]
    return both


def _theirs(cells: pd.DataFrame) -> pd.DataFrame:
    """The study's cells, averaged over the models given, with variances from the nominal samples."""
    table = _gaps(cells, pooled=True)
    models = table["model"].nunique()
    means = table.groupby(KEYS, as_index=False)[["gap", "variance", "n"]].mean(numeric_only=True)
    means["variance"] /= models
    return means


def _gaps(cells: pd.DataFrame, *, pooled: bool) -> pd.DataFrame:
    """The study's cells with ``original``, ``warm``, ``gap`` and, for pooled beliefs twice the items, ``variance``."""
    table = cells.rename(columns={"original_error_pct": "original", "warm_error_pct": "warm"})
    n = table["task"].map(ITEMS) * table["belief"].map({"none": 1, "false": 2}) if pooled else 1
    table = table.assign(gap=table["warm"] - table["original"], n=n)
    table["variance"] = _variance(table["warm"], table["n"]) + _variance(table["original"], table["n"])
    return table


def _variance(pct: pd.Series[float], n: pd.Series[int]) -> pd.Series[float]:
    """The variance (squared pp) of a share, with half an answer added to each side so that 0 % has one, too."""
    share = (pct / 100 * n + 0.5) / (n + 1)
    return 1e4 * share * (1 - share) / n
