"""What the numbers of a comparison say in plain words: a claim for each arm, with its figures behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from warmgap.evaluate.report.comparison import (
    Comparison,
    Effect,
    WarmthRow,
    effects_of,
    find,
    interval,
    number,
    warmth_rows,
    whole,
)
from warmgap.words import ORIGINAL

MINUS = "−"


@dataclass(frozen=True)
class Sentence:
    """One statement of the headline: a claim in plain words, and the numbers behind it."""

    claim: str
    numbers: str


def headline(comparison: Comparison, effects: Sequence[Effect], arm: str) -> list[Sentence]:
    """What the numbers say of one arm, in plain words; an interval that holds 0 is "no difference shown"."""
    one, ref = _the(arm), _the(comparison.reference)
    said = [_gap_sentence(find(effects, "main", arm), one, ref)]
    alone = find(effects_of(comparison, net=True), "main", arm)
    if alone is not None and alone.known:
        said.append(_net_sentence(alone, one))
    said += _warmth_sentences([row for row in warmth_rows(comparison) if row.arm == arm], ref)
    extra = find(effects, "sycophancy", arm, "false")
    if extra is not None and extra.known:
        claims = {
            1: f"A false belief of the user adds more to the error of {one} than to that of {ref}.",
            -1: f"A false belief of the user adds less to the error of {one} than to that of {ref}.",
            0: f"That a false belief of the user sways {one} more or less than {ref} was not shown.",
        }
        said.append(Sentence(claims[extra.sign], f"Difference in differences: {_numbers(extra)}."))
    return said


def _the(arm: str) -> str:
    """An arm as a sentence names it."""
    return "the original" if arm == ORIGINAL else f"the {arm} arm"


def _gap_sentence(main: Effect | None, arm: str, reference: str) -> Sentence:
    """The main effect in words."""
    if main is None or not main.known:
        return Sentence(f"The gap between {arm} and {reference} could not be estimated from these answers.", "")
    claims = {
        1: f"{arm[:1].upper()}{arm[1:]} was wrong more often than {reference}.",
        -1: f"{arm[:1].upper()}{arm[1:]} was wrong less often than {reference}.",
        0: f"No difference in error was shown between {arm} and {reference}.",
    }
    if main.missing and main.sign and not (main.missing_low > 0 if main.sign > 0 else main.missing_high < 0):
        claims[main.sign] = claims[main.sign].removesuffix(".") + ", among the answers with a verdict."
    numbers = f"Without context or false belief: {_numbers(main)}."
    if main.missing:
        span = interval(main.missing_low, main.missing_high, minus=MINUS)
        numbers += f" With every missing answer counted for it, and against it, the raw gap is {span} pp."
    if main.sign == 0:
        span = interval(main.low, main.high, minus=MINUS)
        numbers += f" The data are compatible with any gap of {span} pp; they do not show that there is none."
    return Sentence(claims[main.sign], numbers)


def _net_sentence(net: Effect, arm: str) -> Sentence:
    """The main effect against the arm that was trained alike."""
    other = _the(net.reference)
    claims = {
        1: f"Net of the training, {arm} was wrong more often: more often than {other} of the same seed.",
        -1: f"Net of the training, {arm} was wrong less often: less often than {other} of the same seed.",
        0: f"Net of the training, against {other} of the same seed, no difference in error was shown.",
    }
    return Sentence(claims[net.sign], f"Without context or false belief: {_numbers(net)}.")


def _numbers(effect: Effect) -> str:
    """An effect with its interval and n."""
    estimate = number(effect.estimate, signed=True, minus=MINUS)
    items = f" to {whole(effect.n_items)} questions" if math.isfinite(effect.n_items) else ""
    ci = interval(effect.low, effect.high, minus=MINUS)
    return f"{estimate} pp (95 % CI {ci}; {whole(effect.n)} answers{items})"


def _warmth_sentences(rows: Sequence[WarmthRow], reference: str) -> list[Sentence]:
    """Whether the arm was shown to sound warmer, by both modes; nothing where warmth was not measured."""
    rows = [row for row in rows if math.isfinite(row.low) and math.isfinite(row.high)]
    if not rows:
        return []
    up, down = [row.low > 0 for row in rows], [row.high < 0 for row in rows]
    if all(up):
        claim = f"It sounds warmer than {reference}."
    elif all(down):
        claim = f"It sounds colder than {reference}."
    elif any(up) or any(down):
        tone = "warmer and colder" if any(up) and any(down) else "warmer" if any(up) else "colder"
        claim = f"It sounds {tone} than {reference} by some of the measurements, not by all."
    else:
        claim = "That it sounds warmer was not shown, so a gap would say little about warmth."
    parts = [
        f"{row.mode} {number(row.shift, 4, signed=True, minus=MINUS)} "
        f"(95 % CI {interval(row.low, row.high, 4, MINUS)}; {whole(row.n)} prompts)"
        for row in rows[:4]
    ]
    return [Sentence(claim, "Shift of SocioT on the same prompts: " + ", ".join(parts) + ".")]
