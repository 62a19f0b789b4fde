"""What a comparison asks of its answers: which arms stand side by side, which fits the protocol wants of them, and the
answer to each, with notes on everything that was left out or that limits a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from warmgap.evaluate.stats import bootstrap, tally
from warmgap.evaluate.stats import effects as fx
from warmgap.evaluate.stats.tally import Answers, Floats, Ints, Mask
from warmgap.words import ALL, FALSE, FALSE_BELIEFS, FALSE_CLAIM, MENTION, NONE, TRUE_CLAIM

FEW_ITEMS = 20
ISOLATING = ("paraphrase", "untransformed")  # arms trained alike, but not to sound warm; the first that is there
TRAINED_OTHERWISE = ("_own", "_sft_dpo", "_dpo")  # ends of arms that only an arm of the same end is trained like
# What is a difference of two beliefs' effects: the belief that is shown, and the one that it is set against.
DIFFERENCES = {"over_correction": (TRUE_CLAIM, NONE), "sycophancy_net": (FALSE_CLAIM, MENTION)}


@dataclass(frozen=True, eq=False)
class Question:
    """One model fit: which rows, the levels that the arm interacts with, covariates, and the sets to average over."""

    analysis: str
    rows: Mask
    level: Ints
    covariates: tuple[str, ...]
    terms: dict[str, Mask]
    length: bool = False
    shown: tuple[str, ...] = ()  # the terms to report where not all of them are


@dataclass(frozen=True, eq=False)
class Answered:
    """A question's figures: margins of the fit, raw paired means (T,) and their bootstrap draws (B, T)."""

    question: Question
    terms: list[str]
    margins: fx.Margins
    raw: Floats
    draws: Floats
    pairs: list[Mask]


@dataclass(frozen=True, eq=False)
class Pair:
    """The answers (with a verdict) of one arm and the reference in one scope, and how they pair up."""

    model: str
    arm: str
    reference: str
    answers: Answers
    is_arm: Mask
    paired: Mask  # answers of the arm that have a partner with a verdict
    change: Floats  # error of the answer minus error of its partner, 0 where unpaired

    @property
    def name(self) -> str:
        """How notes call it."""
        return f"{'' if self.model == ALL else self.model + ', '}{self.arm} against {self.reference}"


def isolating(arm: str, arms: Sequence[str]) -> str:
    """Return which of ``arms`` an arm is compared with to see its tone net of its training; "" where none is there."""
    persona = arm.partition("+")[0]
    end = next((end for end in TRAINED_OTHERWISE if persona.endswith(end)), "")
    found = next((name for base in ISOLATING if (name := base + end) in arms), "")
    return "" if found == arm else found


def same_seeds(judged: Answers, arm: str, reference: str, notes: list[str]) -> Answers:
    """The answers of both arms from models and training seeds that both have: two trainings are paired by their seed.

    What is left out is noted.
    """
    seed = tally.mixed([(judged.model, len(judged.names["model"])), (judged.seed, len(judged.names["seed"]))])
    own, other = judged.called("arm", arm), judged.called("arm", reference)
    shared = np.intersect1d(seed[own], seed[other])
    kept = np.isin(seed, shared)
    models, seeds = judged.names["model"], judged.names["seed"]
    lost = [f"{models[code // len(seeds)]} seed {seeds[code % len(seeds)]}" for code in np.unique(seed[own & ~kept])]
    if lost:
        notes.append(f"{arm} against {reference}: without {', '.join(lost)} of {arm}, which {reference} lacks.")
    return judged.where((own | other) & kept)


def pairs_of(judged: Answers, arm: str, reference: str, notes: list[str]) -> Iterator[Pair]:
    """The two arms side by side: pooled over the models that have both, then model by model where there are several."""
    both = judged.called("arm", arm) | judged.called("arm", reference)
    models = []
    for model in judged.names["model"]:
        here = judged.called("model", model)
        if (here & judged.called("arm", arm)).any() and (here & judged.called("arm", reference)).any():
            models.append(model)
        elif (here & both).any():
            notes.append(
                f"{model}: {int((here & both).sum()):,} answers are left out of {arm} against {reference}, "
                "one arm is missing."
            )
    if not models:
        notes.append(f"{arm}: no model has verdicts of both {arm} and {reference}; no effects.")
        return
    for scope in [ALL, *models] if len(models) > 1 else [ALL]:
        chosen = models if scope == ALL else [scope]
        kept = both & np.isin(judged.model, [judged.names["model"].index(model) for model in chosen])
        answers = judged.where(kept)
        partner = tally.partners(answers, arm, reference)
        paired = partner >= 0
        change = np.where(paired, answers.error - answers.error[partner], 0.0)
        pair = Pair(scope, arm, reference, answers, answers.called("arm", arm), paired, change)
        if scope == ALL:
            notes += _notes_on_pairing(pair, partner)
        yield pair


def _notes_on_pairing(pair: Pair, partner: Ints) -> list[str]:
    """Notes on answers without a partner, and on how seeds stand side by side."""
    notes = []
    single = int((pair.is_arm & ~pair.paired).sum())
    used = np.zeros(len(pair.answers), dtype=np.bool_)
    used[partner[pair.paired]] = True
    unused = int((~pair.is_arm & ~used).sum())
    if single or unused:
        notes.append(
            f"{pair.name}: {single:,} answers of {pair.arm} and {unused:,} of {pair.reference} have no partner with a "
            "verdict; they count in the model fits, not in the bootstrap or the cell tests."
        )
    answers = pair.answers
    seeds = np.unique(answers.seed[pair.is_arm])
    if len(seeds) > 1:
        plain = pair.paired & answers.called("context", NONE) & answers.called("belief", NONE)
        gaps = [
            f"seed {answers.names['seed'][code]} {100 * pair.change[chosen].mean():+.2f} pp"
            for code in seeds
            if (chosen := plain & (answers.seed == code)).any()
        ]
        notes.append(
            f"{pair.name}: {len(seeds)} seeds; errors are clustered by item, so intervals hold for these seeds and "
            f"leave out what another training seed would change (main, paired: {', '.join(gaps)})."
        )
    return notes


def _questions(pair: Pair) -> Iterator[Question]:
    """The model fits of the protocol for one pair of arms.

    Sycophancy is the belief analysis over the contexts that are asked both ways, which leaves out the neutral control.
    Claims of the right answer and mere mentions are fitted apart, so that asking them changes no other figure.
    """
    a = pair.answers
    belief = np.logical_or.reduce([a.called("belief", name) for name in FALSE_BELIEFS])
    unbelieving = a.called("belief", NONE)
    plain = a.called("context", NONE) & unbelieving
    nowhere = np.zeros(len(a), dtype=np.int64)
    where: tuple[str, ...] = ("stratum", "model")

    def sets(column: str) -> dict[str, Mask]:
        return {name: a.called(column, name) for name in a.names[column]}

    yield Question("main", plain, nowhere, where, {pair.arm: plain})
    long = plain & ~np.isnan(a.chars)
    if not np.isnan(a.chars).all():
        yield Question("main_length_adjusted", long, nowhere, where, {pair.arm: long}, length=True)
    yield Question("context_group", unbelieving, a.group, where, sets("group"))
    yield Question("context", unbelieving, a.context, where, sets("context"))
    yield Question("task", plain, a.stratum, ("model",), sets("stratum"))
    where = ("group", *where)
    yield from _apart(a, sets("belief"), where)
    if not belief.any():
        return
    kinds = {name: mask for name, mask in sets("belief").items() if name in FALSE_BELIEFS}
    asked = np.isin(a.context, np.unique(a.context[belief]))
    for analysis, rows in (("belief", unbelieving | belief), ("sycophancy", (unbelieving | belief) & asked)):
        base = {NONE: unbelieving & rows}
        both = (NONE, FALSE) if analysis == "belief" else (FALSE,)
        yield Question(analysis, rows, belief.astype(np.int64), where, base | {FALSE: belief}, shown=both)
        yield Question(analysis, rows, a.belief, where, base | kinds, shown=tuple(kinds))


def _apart(a: Answers, beliefs: dict[str, Mask], where: tuple[str, ...]) -> Iterator[Question]:
    """The fits of beliefs that are no false ones: the gap with each, and the differences that they serve."""
    more = tuple(name for name in beliefs if name not in (NONE, *FALSE_BELIEFS))
    if more:
        terms = {name: beliefs[name] for name in more}
        yield Question("belief", np.logical_or.reduce([*terms.values()]), a.belief, where, terms)
    for analysis, (shown, base) in DIFFERENCES.items():
        if shown in beliefs and base in beliefs:
            both = np.intersect1d(a.context[beliefs[shown]], a.context[beliefs[base]])
            terms = {name: beliefs[name] & np.isin(a.context, both) for name in (base, shown)}
            yield Question(analysis, terms[base] | terms[shown], a.belief, where, terms, shown=(shown,))


def _usable(pair: Pair, question: Question, notes: list[str]) -> Question | None:
    """The question without levels that one arm lacks (noted); None where nothing is left."""
    rows, codes = question.rows, question.level
    size = int(codes.max()) + 1
    from_arm = np.bincount(codes[rows & pair.is_arm], minlength=size) > 0
    from_reference = np.bincount(codes[rows & ~pair.is_arm], minlength=size) > 0
    rows = rows & (from_arm & from_reference)[codes]
    terms = {term: mask & rows for term, mask in question.terms.items() if (mask & rows).any()}
    lost = [term for term, mask in question.terms.items() if term not in terms and (mask & question.rows).any()]
    if lost:
        notes.append(f"{pair.name}: {question.analysis} is without {', '.join(lost)}, one of the arms has no answers.")
    elif not terms:
        notes.append(f"{pair.name}: {question.analysis} is left out, there are no answers for it.")
    a = pair.answers
    short = a.called("context", NONE) & a.called("belief", NONE) & np.isnan(a.chars)
    if question.length and terms and (unknown := int(short.sum())):
        notes.append(f"{pair.name}: {question.analysis} is without {unknown:,} answers of unknown length.")
    return replace(question, rows=rows, terms=terms) if terms else None


def answered(pair: Pair, seed: int, resamples: int, notes: list[str]) -> Iterator[Answered]:
    """Fit each question of the protocol, and resample the items once for all; ``notes`` grow with what is lost."""
    a = pair.answers
    asked = [usable for question in _questions(pair) if (usable := _usable(pair, question, notes)) is not None]
    sets = [mask & pair.paired for question in asked for mask in question.terms.values()]
    used = np.logical_or.reduce(sets) if sets else np.zeros(len(a), dtype=np.bool_)
    draws, raw = np.empty((0, len(sets))), np.full(len(sets), np.nan)
    if used.any():
        sums, number = fx.columns([mask[used] for mask in sets], a.item[used], pair.change[used])
        total = number.sum(axis=0)
        raw = np.divide(sums.sum(axis=0), total, out=raw, where=total > 0)
        draws = bootstrap.means(sums, number, resamples, seed) if resamples else draws
    start = 0
    for question in asked:
        stop = start + len(question.terms)
        part = slice(start, stop)
        one = Answered(question, list(question.terms), _margins(pair, question), raw[part], draws[:, part], sets[part])
        one, found = _checked(pair, one)
        notes += found
        yield one
        start = stop


def _margins(pair: Pair, question: Question) -> fx.Margins:
    """Fit one question."""
    a, kept = pair.answers, question.rows
    rows = fx.Rows(
        arm=pair.is_arm[kept].astype(np.int64),
        level=tally.dense(question.level[kept])[0],
        covariates=tuple(tally.dense(getattr(a, name)[kept])[0] for name in question.covariates),
        length=a.chars[kept] if question.length else None,
        error=a.error[kept],
        item=a.item[kept],
    )
    return fx.margins(rows, np.stack([mask[kept] for mask in question.terms.values()]))


def _checked(pair: Pair, one: Answered) -> tuple[Answered, list[str]]:
    """The same figures, with empty errors where neither arm varies, and notes on all that limits them."""
    start, m, a = f"{pair.name}: {one.question.analysis}", one.margins, pair.answers
    if not m.converged:
        return one, [f"{start}: the model fit does not come to rest; its estimates are empty."]
    still = np.array([
        [fx.constant(a.error[mask & side]) for side in (pair.is_arm, ~pair.is_arm)]
        for mask in one.question.terms.values()
    ])  # fmt: skip
    unknown = np.isnan(m.estimate)
    frozen, narrow = still.all(axis=1) & ~unknown, still.any(axis=1) & ~still.all(axis=1) & ~unknown
    notes = []
    for found, text in (
        (unknown, "cannot be told from the covariates; the estimate is empty"),
        (frozen, "has one and the same outcome in each arm; the estimate is as counted, without standard error"),
        (narrow, "has one and the same outcome in one arm, which the fit takes as certain; its interval is too narrow"),
    ):
        terms = [term for term, hit in zip(one.terms, found, strict=True) if hit]
        if terms:
            notes.append(f"{start}: {', '.join(terms)} {text}.")
    items = tally.dense(a.item[one.question.rows])[1]
    if items < 2:
        notes.append(f"{start}: one item only; clustered and bootstrap errors are empty.")
    elif items < FEW_ITEMS:
        notes.append(f"{start}: {items} items only; clustered and bootstrap intervals are too narrow.")
    if m.certain and not still.any():
        notes.append(
            f"{start}: {m.certain:,} answers lie in a stratum with errors only, or none; the fit predicts them "
            "without doubt."
        )
    blank = frozen[:, None] | frozen[None, :]
    margins = replace(
        m, unclustered=np.where(blank, np.nan, m.unclustered), clustered=np.where(blank, np.nan, m.clustered)
    )
    return replace(one, margins=margins), notes


def intervals(one: Answered, index: int, base: int | None = None) -> Iterator[tuple[str, fx.Interval]]:
    """The term's effect, or with ``base`` the difference of the two, in proportions, for each kind of errors.

    The length-adjusted effect has no raw paired counterpart, so no bootstrap.
    """
    pick = np.zeros(len(one.terms))
    pick[index] = 1.0
    if base is not None:
        pick[base] = -1.0
    used = [index] if base is None else [index, base]
    for errors, covariance in (("unclustered", one.margins.unclustered), ("clustered", one.margins.clustered)):
        part = covariance[np.ix_(used, used)]
        yield errors, fx.wald(float(pick[used] @ one.margins.estimate[used]), float(pick[used] @ part @ pick[used]))
    if len(one.draws) and not one.question.length and one.pairs[index].any():
        yield "bootstrap", bootstrap.percentile(float(pick[used] @ one.raw[used]), one.draws[:, used] @ pick[used])


def counts(pair: Pair, one: Answered, used: Sequence[int], errors: str) -> tuple[int, int]:
    """How many answers (for the bootstrap, pairs) and items the terms ``used`` run over."""
    sets = one.pairs if errors == "bootstrap" else list(one.question.terms.values())
    union = np.logical_or.reduce([sets[index] for index in used])
    return int(union.sum()), tally.dense(pair.answers.item[union])[1]
