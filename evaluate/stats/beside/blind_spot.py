"""Would a standard check have caught it? Each check's power to see what the grid has measured, at the same cost.

A check and a cell of the grid are alike here: two arms on the same items, a fault or none for each. From the
reference's share of faults and the correlation of both arms' answers follows, by ``power``, the chance that a
difference of some size is told from 0. A check that says "unchanged" where that chance is small has not looked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from warmgap.evaluate.stats import power
from warmgap.evaluate.stats.beside.equivalence import of_seed
from warmgap.evaluate.suites.controls import OVER_REFUSAL
from warmgap.words import ALL, BLIND_SPOT_COLUMNS, FALSE_CLAIM, NONE, ORIGINAL

CHECK, CELL = "check", "cell"
MAIN = "main"
EFFECTS = {MAIN: (MAIN, None), FALSE_CLAIM: ("belief", FALSE_CLAIM)}  # analysis and term; None: the arm's own name
FEWEST = 10  # pairs: of fewer nothing is said, as in ``equivalence``
WANTED = 0.8  # the power of what counts as seen


@dataclass(frozen=True)
class Paired:
    """Faults (0 or 1) of an arm and of the reference on the same items, each of shape (n,)."""

    own: np.ndarray[Any, np.dtype[np.float64]]
    base: np.ndarray[Any, np.dtype[np.float64]]

    @property
    def n(self) -> int:
        """How many pairs there are."""
        return len(self.own)

    @property
    def share(self) -> float:
        """The reference's share of faults, drawn in by half an item, so that none and all are no certainty."""
        return float((self.base.sum() + 0.5) / (self.n + 1))

    @property
    def correlation(self) -> float:
        """The correlation of both arms' faults; 0 where one of them does not vary, below 1 where they are the same."""
        if self.own.std() == 0 or self.base.std() == 0:
            return 0.0
        return float(np.clip(np.corrcoef(self.own, self.base)[0, 1], -0.99, 0.99))

    @property
    def difference(self) -> float:
        """The share of faults of the arm minus the reference's."""
        return float((self.own - self.base).mean())

    @property
    def se(self) -> float:
        """The standard error of that difference."""
        return float((self.own - self.base).std(ddof=1) / math.sqrt(self.n))


def blind_spot(
    answers: pd.DataFrame, outcomes: pd.DataFrame, effects: pd.DataFrame, reference: str = ORIGINAL
) -> pd.DataFrame:
    """Return what each check, and each cell of the grid, could have seen of each arm's effects.

    ``answers`` is a comparison's (model, arm, seed, task, item_id, context, belief, error), ``outcomes`` has the checks
    item by item (model, arm, seed, control, measure, item_id, outcome), ``effects`` is of `analyze`. There is a row for
    each check, arm, seed and effect (``main``; ``false_claim`` where it was asked), and one for each cell, with the
    effect that it is a part of. Differences are of faults: wrong answers, harmful requests answered, safe ones refused;
    so a harm is positive everywhere. ``smallest_pp`` is the smallest harm told from 0 at 5 % in 80 of 100 studies of
    this many items; ``power_pct`` the chance that the check sees a difference as large as the effect; ``equal_n_pct``
    the same with an item for each pair of answers that the effect was measured on; ``items_needed`` how many items have
    80 %. All four are empty where they cannot be (a check without faults has none to lose), and where there are fewer
    than 10 pairs. The columns are ``BLIND_SPOT_COLUMNS``.
    """
    rows = []
    models = sorted({*answers["model"].astype(str)})
    for key, arm_effects in _effects(effects, models, reference).items():
        model, arm = key
        cells = list(_cells(answers, model, arm, reference))
        sizes = {name: _size(cells, name) for name in arm_effects}
        for place, seed, pair in cells:
            name = FALSE_CLAIM if place[1] == FALSE_CLAIM else MAIN
            if name in arm_effects and place[1] in (NONE, FALSE_CLAIM):
                check = {"kind": CELL, "check": "/".join(place), "measure": "error"}
                rows.append(_row(key, seed, check, pair, name, arm_effects[name], sizes[name]))
        for (control, measure), seed, pair in _checks(outcomes, model, arm, reference):
            check = {"kind": CHECK, "check": control, "measure": measure}
            rows += [_row(key, seed, check, pair, name, arm_effects[name], sizes[name]) for name in arm_effects]
    return pd.DataFrame(rows, columns=BLIND_SPOT_COLUMNS)


def _row(
    key: tuple[str, str], seed: Any, check: dict[str, str], pair: Paired, name: str, effect: float, same: int
) -> dict[str, Any]:
    """What one check says of one effect (a proportion)."""
    row = {"model": key[0], "arm": key[1], "seed": seed, **check, "n": pair.n}
    row |= {"effect": name, "effect_pp": 100 * effect}
    if pair.n < FEWEST:
        return row
    row |= {"difference_pp": 100 * pair.difference, "se_pp": 100 * pair.se}
    row["smallest_pp"] = 100 * _smallest(pair)
    row |= {"power_pct": 100 * _power(pair, effect, pair.n), "equal_n_pct": 100 * _power(pair, effect, same)}
    row["items_needed"] = _items(pair, effect)
    return row


def _power(pair: Paired, effect: float, n: int) -> float:
    """The chance that n items tell an effect from 0; NaN for one that is none, or that the share has no room for."""
    if effect == 0 or n < 2 or not 0 < pair.share + effect < 1:
        return math.nan
    return power.power(effect, n, pair.share, pair.correlation)


def _items(pair: Paired, effect: float) -> float:
    if effect == 0 or not 0 < pair.share + effect < 1:
        return math.nan
    return float(power.items_for(effect, pair.share, pair.correlation, WANTED))


def _smallest(pair: Paired) -> float:
    """The smallest harm (a proportion) that is seen with the power that is wanted; NaN where none is."""
    low, high = 0.0, 0.999 * (1 - pair.share)
    if _power(pair, high, pair.n) < WANTED:
        return math.nan
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(pair, middle, pair.n) < WANTED else (low, middle)
    return high


def _effects(effects: pd.DataFrame, models: Sequence[str], reference: str) -> dict[tuple[str, str], dict[str, float]]:
    """The effects of each arm of each model, as proportions, by their names; of a single model, ``all`` is it."""
    known = effects[(effects["errors"] == "clustered") & (effects["reference"] == reference)]
    found: dict[tuple[str, str], dict[str, float]] = {}
    for name, (analysis, term) in EFFECTS.items():
        some = known[(known["analysis"] == analysis) & known["estimate_pp"].notna()]
        some = some if term is None else some[some["term"] == term]
        for model, arm, estimate in zip(some["model"], some["arm"], some["estimate_pp"], strict=True):
            for one in models if model == ALL and len(models) == 1 else [str(model)]:
                found.setdefault((one, str(arm)), {})[name] = float(estimate) / 100
    return {key: some for key, some in found.items() if key[0] != ALL}


def _cells(
    answers: pd.DataFrame, model: str, arm: str, reference: str
) -> Iterator[tuple[tuple[str, str], Any, Paired]]:
    """The pairs of each cell of the grid, by context and belief, and seed."""
    graded = answers.dropna(subset=["error"])
    for seed, own, base in _beside(graded, model, arm, reference):
        joined = _joined(own, base, ["task", "item_id", "context", "belief"], "error")
        for (context, belief), some in joined.groupby(["context", "belief"], sort=False):
            yield (str(context), str(belief)), seed, _paired(some, fault_is_one=True)


def _checks(
    outcomes: pd.DataFrame, model: str, arm: str, reference: str
) -> Iterator[tuple[tuple[str, str], Any, Paired]]:
    """The pairs of each check, by its name and measure, and seed."""
    known = outcomes.dropna(subset=["outcome"])
    for seed, own, base in _beside(known, model, arm, reference):
        joined = _joined(own, base, ["control", "measure", "item_id"], "outcome")
        for (control, measure), some in joined.groupby(["control", "measure"], sort=False):
            yield (str(control), str(measure)), seed, _paired(some, fault_is_one=measure == OVER_REFUSAL)


def _beside(
    table: pd.DataFrame, model: str, arm: str, reference: str
) -> Iterator[tuple[Any, pd.DataFrame, pd.DataFrame]]:
    """The rows of each seed of an arm, and those of the reference beside it: of that seed, else of its only one."""
    some = table[table["model"] == model]
    base = some[some["arm"] == reference]
    for seed, own in some[some["arm"] == arm].groupby("seed", sort=False):
        yield seed, own, of_seed(base, seed)


def _joined(own: pd.DataFrame, base: pd.DataFrame, keys: Sequence[str], value: str) -> pd.DataFrame:
    once = [table.drop_duplicates(list(keys)) for table in (own, base)]
    columns = [*keys, value]
    return once[0][columns].merge(once[1][columns], on=list(keys), suffixes=("_own", "_base"))


def _paired(some: pd.DataFrame, *, fault_is_one: bool) -> Paired:
    own, base = (column.to_numpy(np.float64) for _, column in some.iloc[:, -2:].items())
    return Paired(own, base) if fault_is_one else Paired(1 - own, 1 - base)


def _size(cells: Sequence[tuple[tuple[str, str], Any, Paired]], name: str) -> int:
    """How many pairs an effect was measured on, of one seed at most: the main one's are without context and belief."""
    by_seed: dict[Any, int] = {}
    for place, seed, pair in cells:
        if (place == (NONE, NONE)) if name == MAIN else (place[1] == name):
            by_seed[seed] = by_seed.get(seed, 0) + pair.n
    return max(by_seed.values(), default=0)
