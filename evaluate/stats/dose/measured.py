"""From answers and warmth scores to the arms of a sweep: what each costs and how warm it is, with resamples of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from warmgap.errors import UserError
from warmgap.evaluate.stats import bootstrap, tally
from warmgap.evaluate.stats import effects as fx
from warmgap.evaluate.stats.tally import Answers, Floats, Ints, Mask
from warmgap.words import ALL, MENTION, NONE, TRUE_CLAIM, WARMTH_SCORES

DIALS = ("arm", "dial", "setting", "order")
FEW = 20


@dataclass(frozen=True)
class Counts:
    """What a point rests on: seeds, pairs of answers, items, warmth prompts, and pairs with a claim that is right."""

    seeds: int
    n: int
    n_items: int
    warmth_n: int
    over_n: int


@dataclass(frozen=True, eq=False)
class Cohort:
    """The measured arms of one model, P of them, and B resamples of items and of warmth prompts.

    ``error`` (a proportion) and ``shift`` (SocioT), (P,), are differences from the reference; the draws are (B, P), NaN
    where a draw holds no pair of an arm. ``over`` (a proportion) is the over-correction: by how much more the error
    grows than the reference's where the user claims what is right; NaN where nobody is asked so. ``asked`` names the
    items of each arm.
    """

    model: str
    arms: list[str]
    error: Floats
    shift: Floats
    error_draws: Floats
    shift_draws: Floats
    over: Floats
    over_draws: Floats
    counts: list[Counts]
    asked: list[Ints]

    def varies(self, arm: str) -> bool:
        """Whether the arm is here and not one and the same as the reference."""
        if arm not in self.arms:
            return False
        place = self.arms.index(arm)
        draws = (self.error_draws[:, place], self.shift_draws[:, place])
        return bool(np.isfinite(self.error[place])) and any(float(np.ptp(d[np.isfinite(d)])) > 1e-12 for d in draws)

    def items(self, places: Sequence[int]) -> int:
        """How many items some arms rest on."""
        return len(np.unique(np.concatenate([self.asked[place] for place in places])))


def laid_out(dials: pd.DataFrame) -> pd.DataFrame:
    """The table of dials, checked: dials as they come, the settings of each in their order."""
    absent = [name for name in DIALS if name not in dials.columns]
    if absent:
        raise UserError(
            f"the table of dials lacks {', '.join(absent)}", f"it needs {', '.join(DIALS)}", "add the columns"
        )
    table = dials[list(DIALS)].copy()
    if table.empty or table.isna().any(axis=None):
        raise UserError(
            "the table of dials has no rows" if table.empty else "the table of dials has empty values",
            "each row says which arm a setting of a dial made", f"fill {', '.join(DIALS)} in every row",
        )  # fmt: skip
    table[["arm", "dial"]] = table[["arm", "dial"]].astype(str)
    if (table["dial"] == ALL).any():
        raise UserError(f"a dial is called {ALL!r}", "this word stands for all dials together", "rename the dial")
    twice = table[table.duplicated(["dial", "setting"], keep=False)]
    if len(twice):
        first = twice.iloc[0]
        raise UserError(
            f"the setting {first['setting']} of the dial {first['dial']} stands in {len(twice)} rows",
            "a setting makes one arm; several seeds of it share the arm's name",
            "keep one row for each setting of a dial",
        )
    rank = pd.factorize(table["dial"])[0]
    order = pd.to_numeric(table["order"], errors="coerce")
    if order.isna().any():
        raise UserError("an order is no number", "settings are joined in their order", "number the settings 0, 1, 2, …")
    return table.assign(rank=rank, place=order).sort_values(["rank", "place"], kind="stable")[list(DIALS)]


def cohorts(
    answers: pd.DataFrame, warmth: pd.DataFrame, dials: pd.DataFrame, reference: str, resamples: int, seed: int
) -> tuple[list[Cohort], list[str]]:
    """Measure every arm of the dials against ``reference``, model by model; what is left out is in the notes."""
    if resamples < 100:
        raise UserError(
            f"{resamples} resamples are too few", "a 95 % interval wants at least 100", "set 2000, or 100 at least"
        )
    wanted = sorted(set(laid_out(dials)["arm"]))  # their order would change the draws
    table, notes = tally.check(answers)
    scores = _scores(warmth)
    for where, arms in (("answers", table["arm"]), ("warmth scores", scores["arm"])):
        if not (arms.astype(str) == reference).any():
            raise UserError(
                f"there are no {where} of an arm called {reference!r}",
                "every point is a difference from it", f"the arms are {', '.join(sorted(set(arms.astype(str))))}",
            )  # fmt: skip
    coded = tally.code(table)
    judged = coded.where(~np.isnan(coded.error))
    found = []
    for model in coded.names["model"]:
        here = judged.where(judged.called("model", model))
        cohort = _cohort(model, here, scores[scores["model"] == model], wanted, reference, resamples, seed, notes)
        if cohort is not None:
            found.append(cohort)
    return found, notes


def _scores(warmth: pd.DataFrame) -> pd.DataFrame:
    """The warmth scores, checked, without rows that have none."""
    absent = [name for name in WARMTH_SCORES if name not in warmth.columns]
    if absent:
        raise UserError(
            f"the table of warmth lacks {', '.join(absent)}", f"it needs {', '.join(WARMTH_SCORES)}", "add the columns"
        )
    table = warmth[list(WARMTH_SCORES)].copy()
    values = pd.to_numeric(table["sociot"], errors="coerce").astype("float64")
    strange = table.loc[(values.isna() & table["sociot"].notna()) | np.isinf(values), "sociot"]
    if len(strange):
        raise UserError(
            f"the column sociot holds {strange.iloc[0]!r}", "warmth is a number, or empty", "mend the column sociot"
        )
    table["sociot"] = values
    table["seed"] = pd.to_numeric(table["seed"], errors="coerce").astype("float64")
    for name in ("model", "arm", "prompt_id"):
        table[name] = table[name].astype(str)
    keys = ["model", "arm", "seed", "prompt_id"]
    twice = table.duplicated(keys)
    if twice.any():
        first = table[twice].iloc[0]
        raise UserError(
            f"{int(twice.sum())} prompts are scored twice, the first is {first['prompt_id']} of {first['arm']}",
            "each arm and seed has one score per prompt", "keep one checkpoint and one mode of each arm",
        )  # fmt: skip
    return table.dropna(subset=["sociot"])


def _cohort(
    model: str, answers: Answers, scores: pd.DataFrame, wanted: Sequence[str], reference: str, resamples: int,
    seed: int, notes: list[str],
) -> Cohort | None:  # fmt: skip
    """The arms of one model; None where none can be measured."""
    cost, warm = _costs(answers, wanted, reference), _shifts(scores, wanted, reference)
    arms, seeds = [], []
    for arm in wanted:
        both = sorted(set(cost.sets.get(arm, {})) & set(warm.get(arm, {})))
        union = _union([cost.sets[arm][one] for one in both]) if both else np.zeros(len(answers), dtype=np.bool_)
        if len(np.unique(answers.item[union])) >= 2 and all(int(warm[arm][one].notna().sum()) >= 2 for one in both):
            arms.append(arm)
            seeds.append(both)
    _note_missing(model, wanted, arms, cost.sets, warm, notes)
    if not arms:
        return None
    flat = [(arm, one) for arm, many in zip(arms, seeds, strict=True) for one in many]
    average = np.zeros((len(flat), len(arms)))
    for row, (arm, _) in enumerate(flat):
        average[row, arms.index(arm)] = 1 / len(seeds[arms.index(arm)])
    masks = [cost.sets[arm][one] for arm, one in flat]
    sums, numbers = fx.columns(masks, answers.item, cost.change)
    shifts = pd.concat([warm[arm][one] for arm, one in flat], axis=1).to_numpy(np.float64)
    known = np.isfinite(shifts)
    filled = np.where(known, shifts, 0.0)
    unions = [_union([cost.sets[arm][one] for one in many]) for arm, many in zip(arms, seeds, strict=True)]
    places = [np.flatnonzero(average[:, place]) for place in range(len(arms))]
    over, over_draws = _over_correction(answers, cost, flat, resamples, seed)
    counts = [
        Counts(len(many), int(sum(int(cost.sets[arm][one].sum()) for one in many)), len(np.unique(answers.item[union])),
               int(pd.concat([warm[arm][one].notna() for one in many], axis=1).any(axis=1).sum()),
               int(sum(int(cost.claims[arm][one].sum()) for one in many)))
        for arm, many, union in zip(arms, seeds, unions, strict=True)
    ]  # fmt: skip
    _note_limits(model, answers, arms, unions, counts, notes)
    return Cohort(
        model, arms,
        (sums.sum(axis=0) / numbers.sum(axis=0)) @ average,
        (filled.sum(axis=0) / known.sum(axis=0)) @ average,
        bootstrap.means(sums, numbers, resamples, seed) @ average,
        bootstrap.means(filled, known.astype(np.float64), resamples, seed + 1) @ average,
        np.array([over[own].mean() for own in places]),
        np.stack([over_draws[:, own].mean(axis=1) for own in places], axis=1),
        counts, [np.unique(answers.item[union]) for union in unions],
    )  # fmt: skip


def _over_correction(
    answers: Answers, cost: _Costs, flat: Sequence[tuple[str, float]], resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """The change of the error under a claim that is right minus that without a belief, in the contexts of the claims.

    Of each arm and seed of ``flat``, (F,), and of each resample of items, (B, F); NaN where one of both is not asked.
    """
    claims, plain = [], []
    for arm, one in flat:
        told, untold = cost.claims[arm][one], cost.untold[arm][one]
        both = np.intersect1d(answers.context[told], answers.context[untold])
        claims.append(told & np.isin(answers.context, both))
        plain.append(untold & np.isin(answers.context, both))
    sums, numbers = fx.columns([*claims, *plain], answers.item, cost.change)
    count, size = numbers.sum(axis=0), len(flat)
    means = np.divide(sums.sum(axis=0), count, out=np.full(count.shape, np.nan), where=count > 0)
    draws = bootstrap.means(sums, numbers, resamples, seed)
    return means[:size] - means[size:], draws[:, :size] - draws[:, size:]


@dataclass(frozen=True, eq=False)
class _Costs:
    """Per arm and seed which answers are paired, (n,), and the error of each minus its partner's.

    ``sets`` are those that error is measured on, ``claims`` those in which the user claims what is right, ``untold``
    those without a belief.
    """

    sets: dict[str, dict[float, Mask]]
    claims: dict[str, dict[float, Mask]]
    untold: dict[str, dict[float, Mask]]
    change: Floats


def _costs(answers: Answers, wanted: Sequence[str], reference: str) -> _Costs:
    """Pair the answers of every wanted arm with the reference's."""
    change = np.zeros(len(answers))
    true, mention = (answers.called("belief", name) for name in (TRUE_CLAIM, MENTION))
    sets: list[dict[str, dict[float, Mask]]] = [{}, {}, {}]
    for arm in wanted:
        partner = tally.partners(answers, arm, reference)
        paired = partner >= 0
        change[paired] = answers.error[paired] - answers.error[partner[paired]]
        seeds = {float(answers.names["seed"][code]): answers.seed == code for code in np.unique(answers.seed[paired])}
        for some, asked in zip(sets, (~(true | mention), true, answers.called("belief", NONE)), strict=True):
            some[arm] = {one: paired & own & asked for one, own in seeds.items()}
    counted = {
        arm: own for arm, found in sets[0].items() if (own := {one: mask for one, mask in found.items() if mask.any()})
    }
    return _Costs(counted, sets[1], sets[2], change)


def _shifts(scores: pd.DataFrame, wanted: Sequence[str], reference: str) -> dict[str, dict[float, pd.Series]]:
    """Per arm and seed the paired shift of each prompt; the reference's only seed stands beside every seed."""
    wide = scores.pivot(index="prompt_id", columns=["arm", "seed"], values="sociot").sort_index()
    columns = [(str(arm), float(one)) for arm, one in zip(*map(wide.columns.get_level_values, (0, 1)), strict=True)]
    base = {one: wide[arm, one] for arm, one in columns if arm == reference}
    alone = next(iter(base.values())) if len(base) == 1 else None
    found: dict[str, dict[float, pd.Series]] = {}
    for arm, one in columns:
        beside = base.get(one, alone)
        if arm in wanted and beside is not None:
            found.setdefault(arm, {})[float(one)] = wide[arm, one] - beside
    return found


def _union(masks: Sequence[Mask]) -> Mask:
    return np.asarray(np.logical_or.reduce(masks), dtype=np.bool_)


def _note_missing(
    model: str, wanted: Sequence[str], arms: Sequence[str], cost: dict[str, dict[float, Mask]],
    warm: dict[str, dict[float, pd.Series]], notes: list[str],
) -> None:  # fmt: skip
    """Notes on arms that the dials name and that cannot be measured, and on seeds that lack one of both figures."""
    lost = [arm for arm in wanted if arm not in arms]
    for why, some in (
        ("no answer is paired with the original's", [arm for arm in lost if arm not in cost]),
        ("no warmth is paired with the original's", [arm for arm in lost if arm in cost and arm not in warm]),
        ("too few pairs, or other seeds in answers and warmth", [arm for arm in lost if arm in cost and arm in warm]),
    ):
        if some:
            notes.append(f"{model}: {', '.join(some)} left out: {why}.")
    half = [arm for arm in arms if set(cost[arm]) != set(warm[arm])]
    if half:
        notes.append(f"{model}: {', '.join(half)}: seeds without answers or without warmth are left out.")


def _note_limits(
    model: str, answers: Answers, arms: Sequence[str], unions: Sequence[Mask], counts: Sequence[Counts],
    notes: list[str],
) -> None:  # fmt: skip
    """Notes on what limits the points: other prompts in some arms, few items, seeds."""
    beliefs = len(answers.names["belief"])
    cells = [frozenset(np.unique(answers.context[union] * beliefs + answers.belief[union])) for union in unions]
    if len(set(cells)) > 1:
        usual = max(set(cells), key=cells.count)
        odd = [arm for arm, own in zip(arms, cells, strict=True) if own != usual]
        notes.append(
            f"{model}: {', '.join(odd)}: other contexts or beliefs than the other arms; errors may not compare."
        )
    if (items := min(count.n_items for count in counts)) < FEW:
        notes.append(f"{model}: {items} items only; intervals are too narrow.")
    if (prompts := min(count.warmth_n for count in counts)) < FEW:
        notes.append(f"{model}: {prompts} warmth prompts only; intervals of warmth are too narrow.")
    seeds = sorted({count.seeds for count in counts})
    how = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    notes.append(
        f"{model}: {how} training seed{'s' * (seeds[-1] > 1)} per arm; intervals are over questions and warmth "
        "prompts, and leave out what another seed would change."
    )
