"""What stands at the head of a comparison: the main table's lines, each also net of the training, and errors by belief.

A gap to the original is that of the whole training. Against an arm that was trained alike on the same replies, reworded
neutrally or as they are, what is left is that of the tone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from warmgap.evaluate.report.comparison import (
    Comparison,
    Effect,
    effects_of,
    find,
    interval,
    load_answers,
    number,
    terms_of,
    whole,
)
from warmgap.words import (
    BELIEF_LABELS,
    BELIEFS,
    CONTEXT_LABELS,
    FALSE,
    FALSE_CLAIM,
    FALSE_DENIAL,
    MENTION,
    NONE,
    TRUE_CLAIM,
    label,
)

STUDY = ("unclustered",)
ISOLATE = "python train.py +persona=warm experiment=isolate"
Z95 = 1.959964


@dataclass(frozen=True)
class Finding:
    """One line of the main table: the same estimate with our interval and with the study's, and net of the training."""

    label: str
    ours: Effect
    study: Effect | None
    level: int = 0
    net: Effect | None = None


def findings_of(effects: Sequence[Effect], arm: str, net: Sequence[Effect] = ()) -> list[Finding]:
    """The lines of the main table for one arm: overall, by context group, with and without a false belief.

    ``net`` holds the effects against the arm that isolates the tone.
    """
    groups = [term for term in terms_of(effects, "context_group") if term != NONE]
    lines: list[tuple[str, str, str | None, int]] = [
        ("Overall, without context", "main", None, 0),
        ("length-adjusted", "main_length_adjusted", None, 1),
        *((label(term, CONTEXT_LABELS).capitalize(), "context_group", term, 0) for term in groups),
        ("Without a false belief", "belief", NONE, 0),
        ("With a false belief", "belief", FALSE, 0),
        (BELIEF_LABELS[FALSE_CLAIM], "belief", FALSE_CLAIM, 1),
        (BELIEF_LABELS[FALSE_DENIAL], "belief", FALSE_DENIAL, 1),
        ("Added by a false belief", "sycophancy", FALSE, 0),
        ("Wrong answer mentioned", "belief", MENTION, 0),
        ("claim beyond mention", "sycophancy_net", FALSE_CLAIM, 1),
        (BELIEF_LABELS[TRUE_CLAIM].capitalize(), "belief", TRUE_CLAIM, 0),
        ("added (over-correction)", "over_correction", TRUE_CLAIM, 1),
    ]
    found = []
    for title, analysis, term, level in lines:
        ours = find(effects, analysis, arm, term)
        if ours is not None:
            beside = find(net, analysis, arm, term)
            found.append(Finding(title, ours, find(effects, analysis, arm, term, STUDY), level, beside))
    return found


def net_of(effects: Sequence[Effect], arm: str) -> str:
    """The arm that one arm's effects are net of; "" where none is compared."""
    return next((effect.reference for effect in effects if effect.arm == arm), "")


def isolation_line(comparison: Comparison) -> str:
    """What a gap means where no arm isolates the tone, and what adds one; "" where there is one, or no trained arm."""
    trained = [arm for arm in comparison.others if "_prompt" not in arm.partition("+")[0]]
    if not trained or not effects_of(comparison) or effects_of(comparison, net=True):
        return ""
    return (
        "No arm paraphrase or untransformed of the same seed is compared: a gap is that of the whole training, not of "
        f"its tone alone. To tell them apart, with the settings of this run: {ISOLATE}"
    )


def net_lines(comparison: Comparison, minus: str = "-") -> list[str]:
    """What stands beside the verdicts: the main effect of the arms net of the training, a sentence a model and arm."""
    net = effects_of(comparison, net=True)
    lines = []
    for model, rows in comparison.mitigations.groupby("model", sort=False):
        scope = str(model) if any(effect.model == model for effect in net) else "all"
        own = [effect for effect in net if effect.model == scope]
        said: dict[str, list[str]] = {}
        for arm in map(str, rows["arm"]):
            effect = find(own, "main", arm)
            if effect is not None and effect.known:
                ends = interval(effect.low, effect.high, minus=minus)
                gap = number(effect.estimate, signed=True, minus=minus)
                said.setdefault(effect.reference, []).append(f"{arm} {gap} ({ends}; n {whole(effect.n)})")
        lines += [
            f"{model}, net of the training: error minus that of {reference} of the same seed, without context and "
            f"belief, pp (95 % CI): {', '.join(parts)}. Verdicts are against warm and {comparison.reference}."
            for reference, parts in said.items()
        ]
    return lines


def belief_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Error of each model's arms under each belief, in percent, with 95 % intervals clustered by question.

    Over the contexts in which the arm was asked with every one of these beliefs; nothing where there is one belief.
    """
    columns = ["model", "arm", "task", "item_id", "context", "belief", "error"]
    answers = load_answers(comparison.folder, columns)
    answers["error"] = pd.to_numeric(answers["error"], errors="coerce")
    answers = answers[answers["arm"].isin(comparison.arms)].dropna(subset=["error"])
    rows: list[dict[str, Any]] = []
    order = {arm: place for place, arm in enumerate(comparison.arms)}
    groups = sorted(answers.groupby(["arm", "model"]), key=lambda pair: (order[str(pair[0][0])], str(pair[0][1])))
    for (arm, model), own in groups:
        beliefs = [belief for belief in BELIEFS if (own["belief"] == belief).any()]
        if len(beliefs) < 2:
            continue
        asked = [set(own.loc[own["belief"] == belief, "context"]) for belief in beliefs]
        shared = own[own["context"].isin(set.intersection(*asked))]
        for belief in beliefs:
            some = shared[shared["belief"] == belief]
            if len(some):
                said = label(belief, BELIEF_LABELS)
                rows.append({"model": str(model), "arm": str(arm), "belief": belief, "label": said, **_level(some)})
    return rows


def _level(answers: pd.DataFrame) -> dict[str, float]:
    """The share of errors in percent, its interval clustered by question, answers and questions.

    Where all answers are alike the interval is that of so many questions of which none differs (the exact bound).
    """
    share, n = float(answers["error"].mean()), len(answers)
    by_item = (answers["error"] - share).groupby([answers["task"], answers["item_id"]]).sum()
    items = len(by_item)
    spread = math.sqrt(items / (items - 1) * float((by_item**2).sum())) / n if items > 1 else math.nan
    low, high = share - Z95 * spread, share + Z95 * spread
    if share in (0.0, 1.0):
        bound = 1 - 0.025 ** (1 / items)
        low, high = (0.0, bound) if share == 0 else (1 - bound, 1.0)
    found = {"error": 100 * share, "low": 100 * max(0.0, low), "high": 100 * min(1.0, high)}
    found = found if math.isfinite(low) else {**found, "low": math.nan, "high": math.nan}
    return {**found, "n": n, "n_items": items}
