"""Answers as counts: checks a table of verdicts, codes it as integers, pairs the answers of two arms, and counts the
cells. Everything here is pure, table in, arrays or table out; `stats` builds the effects on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import bdtr

from warmgap.errors import UserError
from warmgap.settings import groups, limits
from warmgap.words import ALL, ANSWER, BELIEFS, CELL_COLUMNS, ERROR, HEDGED, REFUSED, UNPARSED

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

REQUIRED = (*ANSWER, "error")
KNOWN = ("verdict", "n_chars", "n_tokens", "finish_reason")


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers as integer codes, one entry per answer in each array, with the names that the codes stand for.

    ``stratum`` is the task, or ``task:family`` where a family is known; ``item`` is the item within its task, the same
    code for every model and arm. ``error`` is 0, 1 or NaN (no verdict), ``chars`` characters or NaN (unknown).
    """

    model: Ints
    arm: Ints
    seed: Ints
    stratum: Ints
    item: Ints
    context: Ints
    group: Ints
    belief: Ints
    error: Floats
    chars: Floats
    names: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.error)

    def where(self, keep: Mask) -> Answers:
        """The answers where ``keep``, shape (n,), holds; these themselves where it holds for all."""
        if keep.all():
            return self
        arrays = [f.name for f in fields(self) if f.name != "names"]
        return replace(self, **{name: getattr(self, name)[keep] for name in arrays})

    def called(self, column: str, name: str) -> Mask:
        """Which answers, shape (n,), have ``name`` in ``column``."""
        codes: Ints = getattr(self, column)
        names = self.names[column]
        return codes == names.index(name) if name in names else np.zeros(len(self), dtype=np.bool_)


def dense(codes: Ints) -> tuple[Ints, int]:
    """Codes, (n,), numbered anew in their order without gaps, and how many different ones there are.

    What ``np.unique`` gives with ``return_inverse``, by counting instead of sorting: for codes that are not much larger
    than there are rows, none below 0.
    """
    there = np.bincount(codes) > 0
    return (np.cumsum(there) - 1)[codes], int(there.sum())


def mixed(columns: Sequence[tuple[Ints, int]]) -> Ints:
    """One integer per row for each combination of ``columns``, given as (codes, how many codes there are)."""
    code = np.zeros(len(columns[0][0]), dtype=np.int64)
    for values, size in columns:
        code = code * size + values
    return code


def check(answers: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The answers without rows given twice, ``error`` as numbers, and notes on what was left out.

    Raises UserError where a column is missing, a key is empty, a value is none that the protocol knows, or one prompt
    has several different answers.
    """
    absent = [column for column in REQUIRED if column not in answers.columns]
    if absent:
        raise UserError(
            f"the table of answers lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)}",
            f"the statistics need {', '.join(REQUIRED)}",
            "add the columns; a table without contexts or beliefs has the word none in both",
        )
    if answers.empty:
        raise UserError("the table of answers has no rows", "there is nothing to compare", "grade some answers first")
    for column in ANSWER:
        empty = int(answers[column].isna().sum())
        if empty:
            raise UserError(
                f"{empty} answers have an empty {column}",
                "an answer is known by " + ", ".join(ANSWER),
                f"fill the column {column} (for no context or belief write none, for an untrained arm the seed 0)",
            )
    table = answers.copy(deep=False)
    table["error"] = _numbers(table["error"], "error", "0, 1 or empty (no verdict)")
    wrong = table["error"].dropna()
    wrong = wrong[~wrong.isin((0.0, 1.0))]
    if len(wrong):
        raise UserError(
            f"{len(wrong)} answers have an error that is neither 0 nor 1, the first is {wrong.iloc[0]:g}",
            "the outcome of one answer is 0 (no error), 1 (error) or empty (no verdict)",
            "turn shares or percentages back into one row per answer",
        )
    table["seed"] = _numbers(table["seed"], "seed", "a number")
    if "n_chars" in table:
        table["n_chars"] = _numbers(table["n_chars"], "n_chars", "a number of characters")
    _check_values(table)
    table, notes = _without_repeats(table)
    own = [name for name, group in groups_of(table).items() if name == group and name not in groups.known()]
    return table, notes + [f"The context {name} has no group that is known; it is a group of its own." for name in own]


def groups_of(table: pd.DataFrame) -> dict[str, str]:
    """Return the group of each context of a table, ours first, in the order of ``conf/config.yaml``.

    It is that of the column ``group`` where there is one, else that of ``conf/context``, else the context itself.
    Raises UserError for a context of two groups, groups that cannot be told apart, and a misspelt context of ours.
    """
    known, contexts = groups.known(), words(table["context"])
    found = {name: known.get(name, name) for name in _ordered(set(contexts.unique()), list(known))}
    for name in found.keys() - known.keys():
        meant = name.strip().lower().replace(" ", "_").replace("-", "_")
        if meant in known:
            raise UserError(f"unknown context {name!r}", f"contexts are written {', '.join(known)}", f"write {meant}")
    if "group" in table:
        given = table["group"].notna() & (table["group"] != "")
        pairs = pd.DataFrame({"context": contexts[given], "group": table["group"][given].astype(str)}).drop_duplicates()
        for context, some in pairs.groupby("context"):
            if len(some) > 1:
                why, fix = "a context is in one group", "mend the column group of the table"
                raise UserError(f"the context {context} stands in the groups {' and '.join(some['group'])}", why, fix)
        found |= dict(zip(pairs["context"], pairs["group"], strict=True))
    limits.check_groups(found)
    return found


def _numbers(column: pd.Series, name: str, wanted: str) -> pd.Series:
    """``column`` as numbers, NaN where empty; UserError where a value is no number."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    strange = column[numbers.isna() & column.notna()]
    if len(strange) or np.isinf(numbers).any():
        first = repr(strange.iloc[0]) if len(strange) else "infinite"
        raise UserError(
            f"the column {name} holds {first}", f"it has to be {wanted}", f"mend the column {name} of the table"
        )
    return numbers


def _check_values(table: pd.DataFrame) -> None:
    """UserError where the name of a belief or model cannot be meant."""
    beliefs = sorted({str(name) for name in table["belief"].unique()} - set(BELIEFS))
    if beliefs:
        raise UserError(
            f"unknown belief {beliefs[0]!r}", f"a belief is one of {', '.join(BELIEFS)}", "rename it in the table"
        )
    if ALL in {str(name) for name in table["model"].unique()}:
        raise UserError(
            f"a model is called {ALL!r}", "in effects.csv this word stands for the pooled models", "rename the model"
        )


def _without_repeats(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """One row per prompt, arm and seed: repeats of the same row are dropped with a note, others are a UserError."""
    if not table.duplicated(list(ANSWER)).any():
        return table, []
    known = [column for column in ("error", *KNOWN) if column in table]
    once = table.drop_duplicates([*ANSWER, *known])
    clash = once[once.duplicated(list(ANSWER), keep=False)]
    if len(clash):
        first = ", ".join(f"{column}={clash.iloc[0][column]}" for column in ANSWER)
        raise UserError(
            f"{len(clash)} rows answer the same prompt with different results, for instance {first}",
            "each arm and seed has one answer per prompt",
            "keep one row of each, or give every sample a seed of its own",
        )
    return once, [f"{len(table) - len(once)} rows were given twice and are counted once."]


def code(table: pd.DataFrame) -> Answers:
    """``table`` (as `check` gives it) as integer codes, row for row, in the protocol's order, then by the alphabet."""
    tasks, items = pd.factorize(words(table["task"]))[0], pd.factorize(words(table["item_id"]))[0]
    group_of = groups_of(table)
    context, contexts = _coded(words(table["context"]), list(group_of))
    named = list(dict.fromkeys(group_of.values()))
    group = np.array([named.index(group_of[name]) for name in contexts], dtype=np.int64)[context]
    seed, seeds = pd.factorize(table["seed"], sort=True)
    columns = {
        "model": _coded(words(table["model"])), "arm": _coded(words(table["arm"])),
        "stratum": _coded(_stratum(table)), "context": (context, contexts), "group": (group, named),
        "belief": _coded(words(table["belief"]), list(BELIEFS)),
        "seed": (seed.astype(np.int64), [f"{value:g}" for value in seeds]),
    }  # fmt: skip
    chars = table["n_chars"].to_numpy(np.float64) if "n_chars" in table else np.full(len(table), np.nan)
    return Answers(
        **{name: codes for name, (codes, _) in columns.items()},
        item=dense(mixed([(tasks, int(tasks.max()) + 1), (items, int(items.max()) + 1)]))[0],
        error=table["error"].to_numpy(np.float64),
        chars=chars,
        names={name: names for name, (_, names) in columns.items()},
    )


def words(column: pd.Series) -> pd.Series:
    """A column as words; one of categories stays one, so that an answer takes a code and no text."""
    coded = isinstance(column.dtype, pd.CategoricalDtype)
    return column if coded and all(isinstance(name, str) for name in column.cat.categories) else column.astype(str)


def _stratum(table: pd.DataFrame) -> pd.Series:
    """The task of each answer, or ``task:family`` where a family is known."""
    task = words(table["task"])
    if "family" not in table:
        return task
    of_task, tasks = pd.factorize(task)
    of_family, families = pd.factorize(table["family"])  # -1 where there is none
    pairs, place = np.unique(of_task * (len(families) + 1) + of_family + 1, return_inverse=True)
    named = [
        str(tasks[pair // (len(families) + 1)])
        + (f":{families[own - 1]}" if (own := pair % (len(families) + 1)) else "")
        for pair in pairs.tolist()
    ]
    codes, names = pd.factorize(np.array(named, dtype=object))
    return pd.Series(pd.Categorical.from_codes(codes[place], categories=pd.Index(names)), index=table.index)


def _coded(column: pd.Series, order: Sequence[str] = ()) -> tuple[Ints, list[str]]:
    """Codes and names of a column of words: first those of ``order`` that occur, then the others by the alphabet."""
    names = _ordered(set(column.unique()), order)
    return pd.Categorical(column, categories=names).codes.astype(np.int64), names


def _ordered(names: set[str], order: Sequence[str]) -> list[str]:
    """The names, first those of ``order``, then the others by the alphabet."""
    return [name for name in order if name in names] + sorted(names - set(order))


def partners(answers: Answers, arm: str, reference: str) -> Ints:
    """For each answer of ``arm`` the row of the reference's answer to the same prompt, -1 where there is none, (n,).

    The same prompt is the same model, item, context and belief. Seeds are matched; where the reference has one seed
    only (an untrained arm need not be run once per seed), it stands beside every seed of the arm.
    """
    found = np.full(len(answers), -1, dtype=np.int64)
    rows = np.flatnonzero(answers.called("arm", arm))
    refs = np.flatnonzero(answers.called("arm", reference))
    if not len(rows) or not len(refs):
        return found
    models, seeds = len(answers.names["model"]), len(answers.names["seed"])
    held = np.zeros((models, seeds), dtype=np.bool_)
    held[answers.model[refs], answers.seed[refs]] = True
    model, seed = answers.model[rows], answers.seed[rows]
    alone = np.where(held.sum(axis=1) == 1, held.argmax(axis=1), -1)
    wanted = np.where(held[model, seed], seed, alone[model])
    prompt = mixed([
        (answers.model, models), (answers.item, int(answers.item.max()) + 1),
        (answers.context, len(answers.names["context"])), (answers.belief, len(answers.names["belief"])),
    ])  # fmt: skip
    keys = prompt[refs] * seeds + answers.seed[refs]
    order = np.argsort(keys)
    asked = prompt[rows] * seeds + wanted
    place = np.minimum(np.searchsorted(keys, asked, sorter=order), len(keys) - 1)
    hit = (wanted >= 0) & (keys[order[place]] == asked)
    found[rows[hit]] = refs[order[place[hit]]]
    return found


def fdr(p: Floats) -> Floats:
    """Benjamini–Hochberg adjusted p values, shape as ``p``; empty ones stay empty and do not count.

    Benjamini and Hochberg, J. R. Stat. Soc. B 57, 289 (1995).
    """
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known])]
    m = len(order)
    scaled = p[order] * m / np.arange(1, m + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def mcnemar(better: Ints, worse: Ints) -> Floats:
    """Exact two-sided McNemar p values from the two counts of pairs that differ; 1 where none differ."""
    p = 2.0 * bdtr(np.minimum(better, worse).astype(np.float64), better + worse, 0.5)
    return np.asarray(np.minimum(p, 1.0), dtype=np.float64)


def cells(table: pd.DataFrame, answers: Answers, reference: str) -> pd.DataFrame:
    """Counts per model, arm, seed, stratum, context and belief, with the columns `CELL_COLUMNS`.

    ``n`` is the answers with a verdict and ``error_pct`` their share of errors. ``hedged_pct``, ``refused_pct`` and
    ``unparsed_pct`` (no verdict: unparsed or error) are shares of the answers whose ``verdict`` is known,
    ``truncated_pct`` (finish_reason "length") of those whose ``finish_reason`` is known; all in percent, empty where
    nothing is known. ``mcnemar_p`` is the exact test against the reference on pairs in which both have a verdict;
    ``mcnemar_p_fdr`` is Benjamini–Hochberg over the cells of one model's arm, all seeds together.
    ``correct_of_all_pct`` is the share of answers without error out of all answers of the cell, graded or not; where
    declining is right, a refusal is one of them.
    """
    arrays = ("model", "arm", "seed", "stratum", "context", "belief")
    keys = [(getattr(answers, name), len(answers.names[name])) for name in arrays]
    found, first, cell = np.unique(mixed(keys), return_index=True, return_inverse=True)
    size = len(found)
    out = pd.DataFrame({
        name: np.array(answers.names[name], dtype=object)[codes[first]]
        for name, (codes, _) in zip(arrays, keys, strict=True)
    }).rename(columns={"stratum": "task"})  # fmt: skip
    out["seed"] = table["seed"].to_numpy(np.float64)[first]
    if (out["seed"] % 1 == 0).all():
        out["seed"] = out["seed"].astype("int64")
    out["n"] = np.bincount(cell[~np.isnan(answers.error)], minlength=size)
    out["error_pct"] = 100 * _mean(answers.error, cell, size)
    verdict = table.get("verdict")
    for column, words in ((HEDGED, (HEDGED,)), (REFUSED, (REFUSED,)), (UNPARSED, (UNPARSED, ERROR))):
        out[f"{column}_pct"] = 100 * _mean(_share(verdict, words, len(table)), cell, size)
    out["mean_chars"] = _mean(answers.chars, cell, size)
    finish = table.get("finish_reason")
    out["truncated_pct"] = 100 * _mean(_share(finish, ("length",), len(table)), cell, size)
    out["mcnemar_p"] = _cell_tests(answers, cell, size, reference)
    out["mcnemar_p_fdr"] = out.groupby(["model", "arm"])["mcnemar_p"].transform(lambda p: fdr(p.to_numpy(np.float64)))
    out["correct_of_all_pct"] = 100 * _mean((answers.error == 0).astype(np.float64), cell, size)
    return out[CELL_COLUMNS]


def _share(column: pd.Series | None, words: Sequence[str], n: int) -> Floats:
    """1 where the column is one of ``words``, 0 where it is another, NaN where it is empty or absent, shape (n,)."""
    if column is None:
        return np.full(n, np.nan)
    return np.where(column.isna(), np.nan, column.isin(words).to_numpy(np.float64))


def _mean(values: Floats, cell: Ints, size: int) -> Floats:
    """Mean of the known ``values`` per cell, shape (size,), NaN where none is known."""
    known = ~np.isnan(values)
    n = np.bincount(cell[known], minlength=size)
    total = np.bincount(cell[known], weights=values[known], minlength=size)
    mean: Floats = np.divide(total, n, out=np.full(size, np.nan), where=n > 0)
    return mean


def _cell_tests(answers: Answers, cell: Ints, size: int, reference: str) -> Floats:
    """McNemar p value per cell against the reference, NaN for the reference and where nothing is paired, (size,)."""
    p = np.full(size, np.nan)
    for arm in answers.names["arm"]:
        if arm == reference:
            continue
        partner = partners(answers, arm, reference)
        rows = np.flatnonzero(partner >= 0)
        change = answers.error[rows] - answers.error[partner[rows]]
        rows, change = rows[~np.isnan(change)], change[~np.isnan(change)]
        paired = np.bincount(cell[rows], minlength=size)
        worse = np.bincount(cell[rows[change > 0]], minlength=size)
        better = np.bincount(cell[rows[change < 0]], minlength=size)
        p = np.where(paired > 0, mcnemar(better, worse), p)
    return p
