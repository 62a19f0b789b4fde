"""How sure a figure is when questions and training seeds are both samples: the numbers behind `compare`.

Figures are means over answers. Questions ("items") are resampled; the few training seeds are not, because the spread
between them is known in closed form, but they enter the variance and, as there are few, the quantile. Two ways to be
wrong are met here: to take answers for independent, and to trust a spread of three seeds that is small by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from warmgap.words import FALSE_BELIEFS, NONE, TRUE_CLAIM

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

LEAST = 1e-12  # no p value is told apart below this
RESOLUTION = 1e-9  # a standard error below this is rounding, not an error
APART = 2.0  # a variance between seeds of this many times the other recipes' is not theirs
LOST = 0.05  # share of resamples that may lack a figure before its spread counts as unknown
OWN, WARM, ARM, WARM_BELIEF, ARM_BELIEF, OVER = range(6)  # the figures of `figures`
FIGURES, SUMS = 6, 15  # how many figures there are, and how many sums they are made from


@dataclass(frozen=True, eq=False)
class Grid:
    """Values of one model's arms on the same P prompts: ``values[arm][seed]`` has shape (P,), NaN where unknown.

    ``item`` codes the item of each prompt, 0 to ``items`` − 1. ``counted`` are the prompts of the main figures;
    ``false`` and ``silent`` those with a false and without any belief in contexts that are asked both ways, ``true``
    and ``untold`` the same of a true belief.
    """

    values: dict[str, dict[int, Floats]]
    item: Ints
    items: int
    counted: Mask
    false: Mask
    silent: Mask
    true: Mask
    untold: Mask

    def side(self, arm: str, seeds: Sequence[int]) -> Floats:
        """The values of an arm for ``seeds``, (K, P); an arm of one seed stands beside every seed."""
        held = self.values[arm]
        return np.stack([held[seed] if len(held) > 1 else next(iter(held.values())) for seed in seeds])


@dataclass(frozen=True)
class Contrast:
    """One weighted sum of figures: its estimate and standard error, in their unit, and what its quantile needs.

    ``between`` is the share of the variance that comes from training seeds, known with ``freedom`` degrees of freedom;
    the rest comes from ``n_items`` items. All but the estimate is NaN where nothing varies or the spread is unknown.
    """

    estimate: float
    se: float
    between: float
    freedom: float
    n_items: int

    def quantile(self, tail: float) -> float:
        """How many standard errors leave ``tail`` (at most 0.5) beyond them on one side.

        The quantiles of Student's t of items and of seeds, weighted by the variance that each stands for (Cochran and
        Cox, Experimental Designs, 1957, section 4.14). Satterthwaite's single number of degrees of freedom is too
        hopeful with three seeds, far out in the tail where Holm's procedure looks.
        """
        items = float(stdtrit(self.n_items - 1, tail))
        if not self.between > 0:
            return -items
        return -((1 - self.between) * items + self.between * float(stdtrit(self.freedom, tail)))

    def interval(self, level: float) -> tuple[float, float]:
        """Two-sided interval of coverage 1 − ``level``."""
        if not self.se > 0:
            return np.nan, np.nan
        reach = self.quantile(level / 2) * self.se
        return self.estimate - reach, self.estimate + reach

    def p_below(self, bound: float) -> float:
        """One-sided p value of "below ``bound``" against "at or above it"; NaN without a standard error."""
        return self._p((bound - self.estimate) / self.se) if self.se > 0 else np.nan

    def p_above(self, bound: float) -> float:
        """One-sided p value of "above ``bound``" against "at or below it"; NaN without a standard error."""
        return self._p((self.estimate - bound) / self.se) if self.se > 0 else np.nan

    def _p(self, distance: float) -> float:
        """The tail whose quantile is ``distance``."""
        if distance < 0:
            return 1 - self._p(-distance)
        if not self.between > 0:
            return max(LEAST, float(stdtr(self.n_items - 1, -distance)))
        if self.quantile(LEAST) <= distance:
            return LEAST
        found = brentq(lambda power: self.quantile(10.0**power) - distance, np.log10(LEAST), np.log10(0.5), xtol=1e-6)
        return float(10.0**found)

    def items_for(self, room: float, tail: float) -> float:
        """How many items would make ``room`` as wide as the quantile of ``tail``; infinite where no number would."""
        from_items = self.se**2 * (1 - self.between)
        spare = (room / self.quantile(tail)) ** 2 - self.se**2 * self.between
        return float(np.ceil(self.n_items * from_items / spare)) if spare > 0 else np.inf


@dataclass(frozen=True, eq=False)
class Spread:
    """Estimates of Q figures, (Q,), with the parts of their covariance, (Q, Q) each.

    ``items``: over items, for these seeds. ``seeds``: between seeds, over their number, zero for a single one.
    ``both``: what is in both of them, the noise of single answers, and has to be counted once. ``others``, (M, Q, Q):
    ``seeds`` of the other trained recipes with as many seeds.
    """

    estimate: Floats
    items: Floats
    seeds: Floats
    both: Floats
    n_items: int
    n_seeds: int
    others: Floats = field(default_factory=lambda: np.zeros((0, FIGURES, FIGURES)))

    def contrast(self, weights: dict[int, float]) -> Contrast:
        """The sum of the figures, each times its weight.

        Its variance is that over items plus that between seeds less the part in both, but never less than that over
        items (two-way clustering: Cameron, Gelbach and Miller, J. Bus. Econ. Stat. 29, 238, 2011; resampling both ways
        at once would count single answers three times: Owen, Ann. Appl. Stat. 1, 386, 2007). The weight of the
        seeds in the quantile is taken before the subtraction: the doubt in it does not go away with it.
        """
        which, c = np.array(list(weights)), np.array(list(weights.values()))
        items, both, own, rest = (self._parts[:, which[:, None], which] @ c @ c).tolist()
        seeds, freedom = self._between(max(own, 0.0), rest, weights) if own == own else (own, 0.0)
        variance = items + max(0.0, seeds - max(both, 0.0))
        estimate = float(c @ self.estimate[which])
        if not variance > RESOLUTION**2 or seeds != seeds:
            return Contrast(estimate, np.nan, np.nan, freedom, self.n_items)
        return Contrast(estimate, math.sqrt(variance), seeds / (seeds + items), freedom, self.n_items)

    @cached_property
    def _parts(self) -> Floats:
        """The covariance over items, in both, between own seeds, and the mean of it in the other recipes, (4, Q, Q)."""
        rest = self.others.mean(axis=0) if len(self.others) else np.full_like(self.items, np.nan)
        return np.stack([self.items, self.both, self.seeds, rest])

    def _between(self, own: float, rest: float, weights: dict[int, float]) -> tuple[float, float]:
        """The variance of a contrast between seeds, over their number, and its degrees of freedom.

        Three seeds of one recipe say little, and a spread that is small by chance makes a false claim. So the larger
        counts of the recipe's own and the mean over all recipes, which were trained alike; a recipe that varies far
        more than the others stands on its own seeds alone. The warm arm's part is the same in every recipe's contrast,
        so the recipes do not add up: with correlation r of the contrasts, m of them count as m / (1 + (m − 1) r²), and
        r is taken as at least 1/2, for seeds share the order of the data.
        """
        freedom = float(self.n_seeds - 1)
        if not own <= APART * rest:  # nor if there are no others
            return own, freedom
        m = len(self.others) + 1
        square = {figure: weight**2 for figure, weight in weights.items()}
        shared = sum(value for figure, value in square.items() if figure in (WARM, WARM_BELIEF))
        correlation = max(0.5, shared / sum(square.values()))
        return max(own, (own + (m - 1) * rest) / m), freedom * m / (1 + (m - 1) * correlation**2)

    def share(self, part: dict[int, float], whole: int, level: float) -> tuple[float, float, float]:
        """``part`` over the figure ``whole``, as a proportion with its interval; NaN where ``whole`` is not shown > 0.

        Fieller's interval (J. R. Stat. Soc. B 16, 175, 1954): all shares r for which part − r × whole is not shown to
        differ from 0. It is bounded exactly where ``whole`` is shown to differ from 0, and holds where the share is
        skewed, which percentiles of resampled ratios do not.
        """
        if not self.contrast({whole: 1.0}).interval(level)[0] > 0:
            return np.nan, np.nan, np.nan
        ratio = self.contrast(part).estimate / float(self.estimate[whole])

        def excess(r: float) -> float:
            rest = self.contrast({**part, whole: part.get(whole, 0.0) - r})
            if not rest.se > 0:
                return -1.0 if abs(rest.estimate) <= RESOLUTION else 1.0
            return abs(rest.estimate) - rest.quantile(level / 2) * rest.se

        here = self.contrast({**part, whole: part.get(whole, 0.0) - ratio})
        if not here.se > 0:
            return ratio, np.nan, np.nan
        step = here.se / float(self.estimate[whole])
        return ratio, _crossing(excess, ratio, -step), _crossing(excess, ratio, step)


def _crossing(excess: Callable[[float], float], start: float, step: float) -> float:
    """Where ``excess``, negative at ``start``, first becomes positive in steps that double; infinite if it never does.

    Infinite does not happen where the whole is shown to differ from 0, but for rounding.
    """
    inner, outer = start, start + step
    for _ in range(60):
        if excess(outer) > 0:
            return float(brentq(excess, inner, outer, xtol=1e-6))
        inner, step = outer, 2 * step
        outer = inner + step
    return float(np.copysign(np.inf, step))


def grid(table: pd.DataFrame, prompt: Sequence[str], item: Sequence[str], value: str, *, plain: bool = False) -> Grid:
    """The column ``value`` of one model's rows as a `Grid` (see `grids`)."""
    return grids(table, prompt, item, [value], plain=plain)[0]


def grids(
    table: pd.DataFrame, prompt: Sequence[str], item: Sequence[str], columns: Sequence[str], *, plain: bool = False
) -> list[Grid]:
    """Each of ``columns`` of one model's rows as a `Grid`: a prompt is known by ``prompt``, its item by ``item``.

    With ``plain``, only prompts without context and belief are ``counted``, else those without belief or with a false
    one: a claim of the right answer or a mere mention, where they are asked, change no verdict. Prompts and items are
    put in the order of their names, so that the order of rows changes nothing.
    """
    keys = pd.MultiIndex.from_frame(table[[*prompt]].astype(str))
    code, found = pd.factorize(keys, sort=True)
    named = pd.DataFrame(list(found), columns=list(prompt), dtype="str")
    of_item, items = pd.factorize(pd.MultiIndex.from_frame(named[[*item]]), sort=True)
    arms, seeds = table["arm"].astype(str).to_numpy(), table["seed"].to_numpy(np.int64)
    values: list[dict[str, dict[int, Floats]]] = [{} for _ in columns]
    for arm in np.unique(arms):
        for seed in np.unique(seeds[arms == arm]):
            rows = (arms == arm) & (seeds == seed)
            for column, held in zip(columns, values, strict=True):
                filled = np.full(len(found), np.nan)
                filled[code[rows]] = table[column].to_numpy(np.float64)[rows]
                held.setdefault(str(arm), {})[int(seed)] = filled
    masks = _masks(named, plain)
    return [Grid(held, of_item.astype(np.int64), len(items), *masks) for held in values]


def _masks(named: pd.DataFrame, plain: bool) -> tuple[Mask, Mask, Mask, Mask, Mask]:
    """Which prompts count, and which are compared for each kind of belief: the last five fields of `Grid`."""
    everywhere = np.ones(len(named), dtype=np.bool_)
    if "belief" not in named:
        return everywhere, ~everywhere, ~everywhere, ~everywhere, ~everywhere
    none = (named["belief"] == NONE).to_numpy()
    pairs: list[Mask] = []
    for beliefs in (FALSE_BELIEFS, (TRUE_CLAIM,)):
        held = named["belief"].isin(beliefs).to_numpy()
        asked = named["context"].isin(set(named.loc[held, "context"]) & set(named.loc[none, "context"])).to_numpy()
        pairs += [held & asked, none & asked]
    counted = (
        (named["context"] == NONE).to_numpy() & none if plain else none | named["belief"].isin(FALSE_BELIEFS).to_numpy()
    )
    return counted, pairs[0], pairs[1], pairs[2], pairs[3]


def sums(grid: Grid, arm: str, seeds: Sequence[int], pair: tuple[str, str]) -> Floats:
    """What `figures` needs of an arm beside ``pair`` (reference, warm arm), per item and seed: shape (I, K, 15).

    The first two columns and the last four are over prompts that the arm and the reference have a value for, the others
    over those that all three have one for.
    """
    base, warm, own = (grid.side(name, seeds) for name in (pair[0], pair[1], arm))
    shift, other = own - base, warm - base
    other[np.isnan(shift)] = np.nan
    common = np.where(np.isnan(other), np.nan, shift)
    parts = [(grid.counted, shift), (grid.counted, _known(shift))]
    parts += [
        (where, part) for where in (grid.counted, grid.false, grid.silent) for part in (other, common, _known(other))
    ]
    parts += [(where, part) for where in (grid.true, grid.untold) for part in (shift, _known(shift))]
    return np.stack([_folded(np.where(where, part, 0.0), grid) for where, part in parts], axis=-1)


def _known(values: Floats) -> Floats:
    """1 where a value is known, 0 where it is not."""
    return np.where(np.isnan(values), 0.0, 1.0)


def _folded(values: Floats, grid: Grid) -> Floats:
    """Sums of the known ``values``, (K, P), over the prompts of each item: shape (I, K)."""
    seeds = len(values)
    place = grid.item + grid.items * np.arange(seeds)[:, None]
    flat = np.bincount(place.ravel(), weights=np.nan_to_num(values).ravel(), minlength=seeds * grid.items)
    return np.asarray(flat, dtype=np.float64).reshape(seeds, grid.items).T


def figures(sums: Floats) -> Floats:
    """The figures of sums (…, 15): shape (…, 6), NaN where nothing counts.

    Columns of ``sums``: the arm's difference from the reference and its count; the differences of the warm arm and of
    the arm, and their count, on prompts that all three answered; then, with a false belief, the same three, and
    without; then the arm's difference from the reference and its count with a true belief, and without. The figures:
    the arm's own mean difference, the warm arm's and the arm's on common prompts, the warm arm's and the arm's
    difference in differences of a false belief, and the arm's of a true one, all in the unit of the sums.
    """
    found = [_over(sums[..., 0], sums[..., 1]), *(_over(sums[..., k], sums[..., 4]) for k in (2, 3))]
    found += [_over(sums[..., k], sums[..., 7]) - _over(sums[..., k + 3], sums[..., 10]) for k in (5, 6)]
    found.append(_over(sums[..., 11], sums[..., 12]) - _over(sums[..., 13], sums[..., 14]))
    return np.stack(found, axis=-1)


def _over(total: Floats, count: Floats) -> Floats:
    """``total`` over ``count``, NaN where nothing was counted."""
    mean: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def spread(sums: Floats, times: Floats) -> Spread:
    """Estimates and covariances from ``sums`` per item and seed, (I, K, C), and ``times`` drawn, (B, I).

    Every seed counts the same. The covariance between seeds over their number is what a Rao–Wu bootstrap that draws
    K − 1 of the K seeds tends to, without its coarseness: three seeds have only nine such draws.
    """
    items, seeds, columns = sums.shape
    single = figures(sums.sum(axis=0))
    estimate = single.mean(axis=0)
    drawn = figures((times @ sums.reshape(items, -1)).reshape(-1, seeds, columns))
    over_items = _covariance(drawn.mean(axis=1), estimate)
    if seeds > 1:
        within = np.mean([_covariance(drawn[:, k], single[k]) for k in range(seeds)], axis=0)
        both = (within - over_items) / (seeds - 1)
        between = np.cov(single.T) / seeds
    else:
        both = between = np.zeros_like(over_items)
    counted = int((sums[..., 1].sum(axis=1) > 0).sum())
    return Spread(estimate, over_items, between, both, counted, seeds)


def _covariance(drawn: Floats, estimate: Floats) -> Floats:
    """Covariance, (Q, Q), of figures over resamples, (B, Q); NaN for a figure that too many resamples lack."""
    lost = ~np.isfinite(drawn)
    filled = np.where(lost, estimate, drawn)
    filled[:, lost.mean(axis=0) > LOST] = np.nan
    return np.atleast_2d(np.cov(filled.T))


def holm(p: Floats) -> Floats:
    """Holm's step-down adjusted p values, shape as ``p``; empty ones stay empty and do not count.

    Holm, Scand. J. Stat. 6, 65 (1979): the chance of any false claim among them stays below the level.
    """
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
