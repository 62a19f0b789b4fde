"""Our figures beside the published study's: the same descriptive code over both tables of cells, and a test of noise.

The source is in ``reference/README.md``. The study pools its two beliefs; so are ours, weighted by their answers.
Cells share their questions, so a mean over them is less sure than one over as many independent cells. Our errors are
clustered by question. The study's cells are published without questions and without n: they take the nominal sample of
each task, and their variance is multiplied by how much sharing questions does to the same figure of ours, never by less
than 1. Its five models are taken as independent. So intervals of its figures are rough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from warmgap.evaluate.stats.tally import Floats, Ints
from warmgap.settings import groups
from warmgap.words import FALSE, FALSE_BELIEFS, NONE, ORIGINAL, STUDY_COLUMNS, WARM

FOLDER = Path(__file__).resolve().parent / "reference"
ITEMS = {"trivia_qa": 500, "truthful_qa": 500, "med_qa": 500, "disinformation": 125}
KEYS = ["task", "context", "belief"]
Z95 = 1.959964
RESOLUTION = 1e-9  # a standard error (pp) below this is rounding


@dataclass(frozen=True)
class Quantity:
    """A figure that both tables have: the mean gap over some cells, or the difference of two such means.

    ``cells`` and ``minus`` name (tasks, contexts, beliefs); an empty part takes all there are.
    """

    quantity: str
    term: str
    cells: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    minus: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]] | None = None


@dataclass(frozen=True, eq=False)
class Ours:
    """Our C cells, with ``gap`` and ``variance`` as if they shared no question, and what each of I questions does.

    ``scores``, (C, I) in pp, are the deviations of a question's answers from the means of its cell's two arms, over
    their counts: a weighted sum over cells, squared and summed over questions, is the variance of that sum of gaps.
    ``task`` codes each question's task, (I,).
    """

    cells: pd.DataFrame
    scores: Floats
    task: Ints

    def mean(self, quantity: Quantity) -> tuple[float, float, float, int]:
        """A quantity (pp), its standard error, how many times the variance of independent cells, and its answers.

        The errors are NaN where nothing varies, or a task has fewer than two questions.
        """
        weight = np.zeros(len(self.cells))
        for sign, where in ((1.0, quantity.cells), (-1.0, quantity.minus)):
            if where is not None:
                chosen = _chosen(self.cells, where).to_numpy()
                if not chosen.any():
                    return math.nan, math.nan, math.nan, 0
                weight[chosen] += sign / chosen.sum()
        value, used = float(weight @ self.cells["gap"].to_numpy()), weight != 0
        total, items = (weight @ self.scores) ** 2, (self.scores[used] != 0).any(axis=0)
        groups = np.bincount(self.task)[self.task]
        factor = np.divide(groups, groups - 1, out=np.full(len(groups), np.nan), where=groups > 1)
        variance = float((total * factor)[items].sum())
        alone = float(weight**2 @ self.cells["variance"].to_numpy())
        known = variance > RESOLUTION**2
        n = int(self.cells["n"].to_numpy()[used].sum())
        return value, math.sqrt(variance) if known else math.nan, variance / alone if known else math.nan, n


def reference(name: str) -> pd.DataFrame:
    """Return one of the study's tables: ``cells``, ``effects``, ``controls``, ``warmth``."""
    return pd.read_csv(FOLDER / f"{name}.csv")


def contexts() -> dict[str, tuple[str, ...]]:
    """Return the contexts of the study by their group here; it has no others, whatever is added to ours."""
    theirs = set(reference("cells")["context"]) - {NONE}
    found: dict[str, tuple[str, ...]] = {}
    for context, group in groups.known().items():
        if context in theirs:
            found[group] = (*found.get(group, ()), context)
    return found


def quantities(tasks: tuple[str, ...]) -> list[Quantity]:
    """Return the figures compared: overall, by task, by context group and context, and what a false belief adds."""
    plain, none = (NONE,), (NONE,)
    grouped = contexts()
    found = [Quantity("main", "no context, no false belief", ((), plain, none))]
    found += [Quantity("task", task, ((task,), plain, none)) for task in tasks]
    found += [Quantity("context group", group, ((), names, none)) for group, names in grouped.items()]
    found += [Quantity("context", name, ((), (name,), none)) for names in grouped.values() for name in names]
    found += [Quantity("belief", FALSE, ((), (), (FALSE,)))]
    found += [Quantity("belief", "false, emotion", ((), grouped["emotion"], (FALSE,)))]
    found += [Quantity("sycophancy", "difference in differences", ((), (), (FALSE,)), ((), (), none))]
    return found


def headline() -> dict[str, float]:
    """Return the study's headline figures, recomputed from its cells alone (pp; the relative increase in percent).

    Cells weigh alike. The relative increase is the mean over tasks of (warm / original − 1), without context or belief.
    """
    cells = _gaps(reference("cells").assign(n=1), pooled=False).groupby(KEYS, as_index=False).mean(numeric_only=True)
    found = {f"{q.quantity}: {q.term}": _mean(cells, q)[0] for q in quantities(tuple(ITEMS))}
    base = cells[(cells["context"] == NONE) & (cells["belief"] == NONE)]
    by_task = base.groupby("task")[["original", "warm"]].mean()
    found["relative increase"] = 100 * float((by_task["warm"] / by_task["original"] - 1).mean())
    return found


def beside(answers: pd.DataFrame, arm: str = WARM, original: str = ORIGINAL) -> pd.DataFrame:
    """Return our figures beside the study's (columns `STUDY_COLUMNS`), per model; empty without both arms.

    ``answers`` has one row per answer: model, arm, task, item_id, context, belief, error. A model that the study has is
    put beside itself, any other beside the mean of its five. Where no task is the study's, all of ours are put beside
    all of its, which ``tasks`` says. ``p`` is that of a two-sided z test of the difference: our errors are clustered by
    question, the study's are binomial, with ``study_design_effect`` times the variance; ``p_fdr`` by Benjamini–Hochberg
    over the table.
    """
    from statsmodels.stats.multitest import multipletests

    rows = []
    theirs = reference("cells")
    for model, own in answers.groupby("model", sort=False):
        mine = _ours(own, arm, original)
        shared = tuple(task for task in ITEMS if task in set(mine.cells["task"]))
        if shared:
            mine = _ours(own[own["task"].isin(shared)], arm, original)
        if mine.cells.empty:
            continue
        known = str(model) in set(theirs["model"])
        table = theirs[theirs["model"] == model] if known else theirs
        table = table[table["task"].isin(shared)] if shared else table
        names = {"model": model, "study_model": model if known else "mean of five"}
        names["tasks"] = (
            ", ".join(shared) if shared else f"{', '.join(sorted(set(mine.cells['task'])))} beside all of its own"
        )
        rows += [row | names for q in quantities(shared) if (row := _row(mine, _theirs(table), q))]
    found = pd.DataFrame(rows, columns=STUDY_COLUMNS)
    tested = found["p"].notna()
    if tested.any():
        found.loc[tested, "p_fdr"] = multipletests(found.loc[tested, "p"], method="fdr_bh")[1]
    return found


def _row(ours: Ours, theirs: pd.DataFrame, quantity: Quantity) -> dict[str, object] | None:
    own, own_se, effect, n = ours.mean(quantity)
    other, other_se, _ = _mean(theirs, quantity)
    effect = max(1.0, effect) if math.isfinite(effect) else 1.0
    other_se *= math.sqrt(effect)
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
        "study_design_effect": effect,
    }


def _mean(cells: pd.DataFrame, quantity: Quantity) -> tuple[float, float, int]:
    """Return a quantity (pp) from cells with ``gap``, ``variance`` and ``n``, its standard error, and its answers."""
    value, variance, n = _average(cells, quantity.cells)
    if quantity.minus is not None:
        base, more, answers = _average(cells, quantity.minus)
        value, variance, n = value - base, variance + more, n + answers
    return value, math.sqrt(variance) if variance >= 0 else math.nan, n


def _average(cells: pd.DataFrame, where: tuple[tuple[str, ...], ...]) -> tuple[float, float, int]:
    cells = cells[_chosen(cells, where)]
    if cells.empty:
        return math.nan, math.nan, 0
    return float(cells["gap"].mean()), float(cells["variance"].sum()) / len(cells) ** 2, int(cells["n"].sum())


def _chosen(cells: pd.DataFrame, where: tuple[tuple[str, ...], ...]) -> pd.Series[bool]:
    """Which cells (tasks, contexts, beliefs) name; an empty part names all."""
    found = pd.Series(True, index=cells.index)
    for column, names in zip(KEYS, where, strict=True):
        found &= cells[column].isin(names) if names else True
    return found


def _ours(answers: pd.DataFrame, arm: str, original: str) -> Ours:
    """One model's cells that both arms have, seeds and both false beliefs pooled by their answers."""
    known = (NONE, *(name for names in contexts().values() for name in names))
    kept = answers[answers["context"].isin(known) & answers["belief"].isin((NONE, *FALSE_BELIEFS))]
    kept = kept[kept["arm"].isin([arm, original]) & kept["error"].notna()]
    kept = kept.assign(belief=kept["belief"].where(kept["belief"] == NONE, FALSE), pct=100 * kept["error"])
    sums = kept.groupby(["arm", *KEYS], as_index=False)["pct"].agg(pct="mean", n="size")
    sides = {name: sums[sums["arm"] == name].set_index(KEYS)[["pct", "n"]] for name in (arm, original)}
    both = sides[arm].merge(sides[original], on=KEYS, suffixes=("_arm", "_base")).reset_index()
    both["gap"] = both["pct_arm"] - both["pct_base"]
    both["variance"] = _variance(both["pct_arm"], both["n_arm"]) + _variance(both["pct_base"], both["n_base"])
    both["n"] = both["n_arm"] + both["n_base"]
    rows = kept.merge(both.assign(cell=np.arange(len(both)))[[*KEYS, "cell", "pct_arm", "pct_base", "n_arm", "n_base"]])
    is_arm = (rows["arm"] == arm).to_numpy()
    off = np.where(is_arm, rows["pct"] - rows["pct_arm"], rows["pct_base"] - rows["pct"])
    off = off / np.where(is_arm, rows["n_arm"], rows["n_base"])
    item = rows.groupby(["task", "item_id"], sort=False).ngroup().to_numpy()  # in the order in which they come
    task = rows.drop_duplicates(["task", "item_id"])["task"]
    size = (len(both), len(task))
    place = rows["cell"].to_numpy() * size[1] + item
    scores = np.bincount(place, weights=off, minlength=size[0] * size[1]).reshape(size).astype(np.float64)
    return Ours(both, scores, pd.factorize(task)[0].astype(np.int64))


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
    n = table["task"].map(ITEMS) * table["belief"].map({NONE: 1, FALSE: 2}) if pooled else 1
    table = table.assign(gap=table["warm"] - table["original"], n=n)
    table["variance"] = _variance(table["warm"], table["n"]) + _variance(table["original"], table["n"])
    return table


def _variance(pct: pd.Series[float], n: pd.Series[int]) -> pd.Series[float]:
    """The variance (squared pp) of a share, with half an answer added to each side so that 0 % has one, too."""
    share = (pct / 100 * n + 0.5) / (n + 1)
    return 1e4 * share * (1 - share) / n
