"""The analyses of the study for every arm against the reference arm: a table of verdicts in, effects and cells out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from warmgap.errors import UserError
from warmgap.evaluate.stats import bounds, tally
from warmgap.evaluate.stats import effects as fx
from warmgap.evaluate.stats.bootstrap import percentile
from warmgap.evaluate.stats.contrasts import (
    DIFFERENCES,
    Answered,
    Pair,
    answered,
    counts,
    intervals,
    isolating,
    pairs_of,
    same_seeds,
)
from warmgap.evaluate.stats.tally import Answers
from warmgap.words import EFFECT_COLUMNS, NONE, ORIGINAL

ANALYSES = (
    "main", "main_length_adjusted", "context_group", "context", "belief", "task", "amplification", "sycophancy",
    *DIFFERENCES,
)  # fmt: skip
ERRORS = ("unclustered", "clustered", "bootstrap")


@dataclass(frozen=True)
class Analysis:
    """``effects`` (columns `EFFECT_COLUMNS`), ``cells`` (`CELL_COLUMNS`) and ``notes``: what was left out, and why."""

    effects: pd.DataFrame
    cells: pd.DataFrame
    notes: list[str]


def analyze(answers: pd.DataFrame, *, reference: str = ORIGINAL, seed: int = 0, bootstrap: int = 2000) -> Analysis:
    """Effects of every arm on error against the arm ``reference``, and counts per cell (see `tally.cells`).

    ``answers`` has one row per answer: model, arm, seed, task, item_id, context, belief, error (0, 1, empty without a
    verdict), where known verdict, n_chars, finish_reason, family and group; others are ignored. A context without a
    group has that of ``conf/context``, or is one by itself. Effects are average marginal effects of P(error) in
    percentage points, from ``error ~ arm × … + task [+ model]`` (binomial, logit), once with unclustered and once with
    errors clustered by item (the same item under all models, seeds and prompts is one cluster); rows with ``errors`` =
    bootstrap are raw paired differences with a percentile interval over ``bootstrap`` resamples of items, drawn from
    ``seed`` (0 resamples: none). ``model`` is ``all`` with a row per model beside it where there are several. ``n``
    counts the answers averaged over, for the bootstrap the pairs. The term is the arm in the main analyses, else a
    group, context, belief (``false`` pools the two false ones) or task. In ``amplification``, a context's or group's
    name is its effect over the effect without context, minus one, IN PERCENT although the column says pp; empty where
    the effect without context cannot be told from 0; ``<name>-none`` is the plain difference in pp.
    ``sycophancy`` is (error with − without false belief) of the arm minus the same of the reference, over contexts
    asked with and without belief; ``over_correction`` is the same for a claim of the right answer, ``sycophancy_net``
    the same for a false claim against a mere mention. Where an arm ``paraphrase`` (else ``untransformed``) is there,
    all of it comes a second time with that arm as ``reference``, from training seeds that both have: net of the
    training. ``p_fdr`` is Benjamini–Hochberg within analysis, errors, model, arm and reference.
    ``missing_low_pp`` and ``missing_high_pp`` are what missing answers allow (see `bounds.added`).

    Several training seeds enter as more answers: intervals are over items for these seeds, not over seeds.
    Raises UserError where the table or a setting cannot be used. What is left out is in the notes.
    """
    if bootstrap < 0 or 0 < bootstrap < 100:
        raise UserError(
            f"bootstrap is {bootstrap}", "a 95 % interval wants at least 100 resamples", "set 2000, or 0 for none"
        )
    table, notes = tally.check(answers)
    coded = tally.code(table)
    arms = coded.names["arm"]
    if reference not in arms and len(arms) > 1:
        raise UserError(
            f"no arm is called {reference!r}", f"the arms are {', '.join(arms)}", "name one of these as the reference"
        )
    notes += _notes_on_missing(coded)
    cells = tally.cells(table, coded, reference)
    judged = coded.where(~np.isnan(coded.error))
    others = [arm for arm in arms if arm != reference]
    if reference not in arms or not others:
        notes.append(
            f"Only the arm {arms[0]} is here: its cells are counted, there are no effects without a second arm."
        )
        others = []
    rows: list[dict[str, Any]] = []
    for arm in others:
        for pair in pairs_of(judged, arm, reference, notes):
            rows += _effects(pair, seed, bootstrap, notes)
        if net_of := isolating(arm, others):
            for pair in pairs_of(same_seeds(judged, arm, net_of, notes), arm, net_of, notes):
                rows += _effects(pair, seed, bootstrap, notes)
    return Analysis(bounds.added(_finished(rows, reference), coded, reference), cells, list(dict.fromkeys(notes)))


def _notes_on_missing(coded: Answers) -> list[str]:
    """A note on answers without a verdict, where there are some."""
    missing = np.isnan(coded.error)
    if not missing.any():
        return []
    by_arm = ", ".join(f"{name} {int(missing[coded.called('arm', name)].sum()):,}" for name in coded.names["arm"])
    return [
        f"{int(missing.sum()):,} of {len(coded):,} answers have no verdict ({by_arm}); effects are without "
        "them, missing_low_pp and missing_high_pp say what they allow."
    ]


def _effects(pair: Pair, seed: int, bootstrap: int, notes: list[str]) -> list[dict[str, Any]]:
    """All rows of the table of effects for one pair of arms."""
    rows: list[dict[str, Any]] = []
    undefined: set[str] = set()
    for one in answered(pair, seed, bootstrap, notes):
        question = one.question
        if question.analysis == "sycophancy" or question.analysis in DIFFERENCES:
            rows += _differences(pair, one)
            continue
        for index, term in enumerate(one.terms):
            if not question.shown or term in question.shown:
                rows += [
                    _row(pair, question.analysis, term, errors, interval, *counts(pair, one, [index], errors))
                    for errors, interval in intervals(one, index)
                ]
        if question.analysis in ("context_group", "context") and NONE in one.terms:
            rows += _amplification(pair, one, undefined)
    if undefined:
        notes.append(
            f"{pair.name}: the effect without context cannot be told from 0 ({', '.join(sorted(undefined))}), so "
            "amplification in percent is undefined and left empty; the differences in pp are given."
        )
    notes += _notes_on_empty(pair, rows)
    return rows


def _notes_on_empty(pair: Pair, rows: list[dict[str, Any]]) -> list[str]:
    """One note per kind of errors on estimates that stand without an interval."""
    notes = []
    for errors in ERRORS:
        empty = [r for r in rows if r["errors"] == errors and np.isfinite(r["estimate_pp"]) and np.isnan(r["se_pp"])]
        if empty:
            named = ", ".join(f"{row['analysis']} {row['term']}" for row in empty)
            notes.append(
                f"{pair.name}: no {errors} error for {named}: fewer than two items, too few answers for the fit, or "
                "nothing that varies."
            )
    return notes


def _amplification(pair: Pair, one: Answered, undefined: set[str]) -> list[dict[str, Any]]:
    """Each context (or group) against no context: the ratio minus one in percent, and the difference in pp."""
    rows: list[dict[str, Any]] = []
    base = one.terms.index(NONE)
    plain = dict(intervals(one, base))
    for index, term in enumerate(one.terms):
        single = one.question.analysis == "context_group" and term in pair.answers.names["context"]
        if term == NONE or single:  # a group of one context of the same name comes with the contexts
            continue
        for errors, difference in intervals(one, index, base):
            over = counts(pair, one, [index, base], errors)
            limit = plain.get("bootstrap" if errors == "bootstrap" else "clustered")
            if limit is not None and (limit.low > 0 or limit.high < 0):
                relative = _relative(one, index, base, errors)
            else:
                undefined.add(errors)
                relative = fx.Interval(np.nan, np.nan, np.nan, np.nan, np.nan)
            rows.append(_row(pair, "amplification", term, errors, relative, *over))
            rows.append(_row(pair, "amplification", f"{term}-{NONE}", errors, difference, *over))
    return rows


def _relative(one: Answered, index: int, base: int, errors: str) -> fx.Interval:
    """The term's effect over the base's, minus one."""
    if errors == "bootstrap":
        below = one.draws[:, base]
        change = np.divide(one.draws[:, index], below, out=np.full(len(below), np.nan), where=below != 0) - 1
        return percentile(float(one.raw[index] / one.raw[base] - 1), change)
    covariance: npt.NDArray[np.float64] = getattr(one.margins, errors)[np.ix_([index, base], [index, base])]
    value, variance = fx.ratio(one.margins.estimate[index], one.margins.estimate[base], covariance)
    return fx.wald(value - 1, variance)


def _differences(pair: Pair, one: Answered) -> list[dict[str, Any]]:
    """Each belief against its base, a difference in differences; nothing where no context is asked with both."""
    analysis = one.question.analysis
    against = DIFFERENCES[analysis][1] if analysis in DIFFERENCES else NONE
    if against not in one.terms:
        return []
    base = one.terms.index(against)
    return [
        _row(pair, analysis, term, errors, interval, *counts(pair, one, [index, base], errors))
        for index, term in enumerate(one.terms)
        if term in one.question.shown
        for errors, interval in intervals(one, index, base)
    ]


def _row(
    pair: Pair, analysis: str, term: str, errors: str, interval: fx.Interval, n: int, n_items: int
) -> dict[str, Any]:
    """One row of the table of effects, proportions turned into percent."""
    return {
        "analysis": analysis, "term": term, "model": pair.model, "arm": pair.arm, "reference": pair.reference,
        "estimate_pp": 100 * interval.estimate, "se_pp": 100 * interval.se, "ci_low_pp": 100 * interval.low,
        "ci_high_pp": 100 * interval.high, "p": interval.p, "p_fdr": np.nan, "n": n, "n_items": n_items,
        "errors": errors,
    }  # fmt: skip


def _finished(rows: list[dict[str, Any]], reference: str) -> pd.DataFrame:
    """The table of effects with adjusted p values; arms and terms in the order in which they came.

    Rows against ``reference`` come first, those net of the training after them.
    """
    table = pd.DataFrame(rows, columns=EFFECT_COLUMNS)
    numbers = [column for column in EFFECT_COLUMNS if column.endswith("_pp") or column.startswith("p")]
    table = table.astype(dict.fromkeys(numbers, "float64") | {"n": "int64", "n_items": "int64"})
    if table.empty:
        return table
    come = pd.DataFrame({
        "reference": table["reference"] != reference,
        "arm": pd.factorize(table["arm"])[0], "model": pd.factorize(table["model"])[0],
        "analysis": table["analysis"].map({name: rank for rank, name in enumerate(ANALYSES)}),
        "term": pd.factorize(table["analysis"] + "/" + table["term"])[0],
        "errors": table["errors"].map({name: rank for rank, name in enumerate(ERRORS)}),
    })  # fmt: skip
    order = come.sort_values(["reference", "arm", "model", "analysis", "term", "errors"]).index
    table = table.loc[order].reset_index(drop=True)
    family = table.groupby(["analysis", "errors", "model", "arm", "reference"])["p"]
    table["p_fdr"] = family.transform(lambda p: tally.fdr(p.to_numpy(np.float64)))
    return table
