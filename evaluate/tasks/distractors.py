"""Incorrect answers for questions that bring none: another question's answer of the same kind, never an alias.

The kind of an answer follows from what the question asks for ("Which river …", "Who …", "In which year …") and from the
answer's form. Among the pool's answers of the same kind the one whose question reads most alike is taken, which keeps
topic and era; a number or a year gets a near one of the same form.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from warmgap.evaluate.normal import normalise
from warmgap.evaluate.tasks.source import draw

_ASKED = re.compile(
    r"\b(?:which|what|whose)\b (?:(?:is|was|are|were) the (?:name of (?:the )?)?)?(?P<noun>[^?,]{1,60})"
    r"|\b(?P<who>who|whom)\b",
    re.I,
)
_KINDS = {
    "person": "actor actress author writer novelist singer composer painter artist president minister king queen "
    "politician scientist player footballer golfer boxer director poet comedian chemist inventor footballer jockey "
    "explorer character presenter musician philosopher physicist monarch emperor detective cricketer wife husband "
    "woman man daughter son mother father brother sister racer driver swimmer architect designer saint god goddess "
    "leader founder host star bassist guitarist drummer celebrity playwright dramatist manager businessman ruler",
    "country": "country countries nation republic",
    "city": "city town capital cities",
    "place": "river lake mountain island sea ocean county state region area desert range strait mountains islands "
    "province airport park bridge street building cathedral castle museum stadium village canal square district port",
    "work": "film movie novel book play opera song album series musical show painting poem ballet sitcom programme hit "
    "single tv soap magazine newspaper game",
    "group": "band group team club company organisation organization party orchestra airline duo manufacturer "
    "university college firm brand retailer store",
    "nature": "animal bird fish plant flower tree fruit vegetable insect mammal dog snake breed creature vegetable nut "
    "species herb shark reptile",
    "substance": "element metal gas mineral chemical gemstone stone drink spirit food dish cheese alcohol ingredient "
    "wine cocktail sauce meat fabric material disease condition vitamin acid alloy",
    "body": "bone organ gland muscle part",
    "language": "language alphabet script religion",
    "colour": "colour color",
    "sport": "sport game discipline event",
    "time": "month day season century decade",
    "job": "profession occupation job nickname title",
    "word": "word term letter phrase name prefix",
}
_KIND_OF = {noun: kind for kind, nouns in reversed(_KINDS.items()) for noun in nouns.split()}
_YEAR = re.compile(r"^(?:1[0-9]|20)\d\d$")
_NUMBER = re.compile(r"^\D{0,2}(\d[\d,]*(?:\.\d+)?)\s*\D{0,12}$")
_WORDS = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip
_MONTHS = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
]  # fmt: skip
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@dataclass(frozen=True)
class Asked:
    """A question with its accepted answers; ``name`` decides draws."""

    name: str
    question: str
    answer: str
    aliases: tuple[str, ...]


def distractors(pool: Sequence[Asked], seed: int) -> dict[str, str]:
    """Return an incorrect answer for each question, by its name; those for which there is none are absent.

    The result does not depend on the order of the pool.
    """
    kinds = {one.name: kind_of(one.question, one.answer) for one in pool}
    ordered = sorted(pool, key=lambda one: draw(seed, one.name))
    vectors = _vectors(ordered)
    found: dict[str, str] = {}
    for one in ordered:
        near = _near_number(one, seed)
        if near is not None:
            found[one.name] = near
            continue
        kind = kinds[one.name]
        rivals = [other for other in ordered if kinds[other.name] == kind and differs(other, one)]
        if kind != "other" and rivals:
            best = max(rivals, key=lambda other: _likeness(one, other, vectors))
            found[one.name] = best.answer
    return found


def kind_of(question: str, answer: str) -> str:
    """Return the kind of answer that is asked for: year, number, person, country …; ``other`` where one cannot tell."""
    plain = normalise(answer)
    if _YEAR.match(plain):
        return "year"
    if plain in _WORDS or _NUMBER.match(answer.strip()):
        return "number"
    if plain in _MONTHS:
        return "month"
    if plain in _DAYS:
        return "day"
    for match in _ASKED.finditer(question):
        if match["who"]:
            return "person" if _looks_like_name(answer) else "other"
        words = re.findall(r"[a-z]+", match["noun"].lower())
        # the head noun stands before the first verb or preposition: "US president who …", "river of France flows …"
        stop = next((i for i, word in enumerate(words) if word in _STOPS), len(words))
        for word in [*reversed(words[:stop]), *words[stop : stop + 3]]:
            kind = _KIND_OF.get(word) or _KIND_OF.get(word.removesuffix("s"))
            if kind is not None:
                return kind
    if re.search(r"\bwhere\b", question, re.I):
        return "place"
    return "name" if _looks_like_name(answer) else "other"


_STOPS = frozenset([
    "is", "was", "are", "were", "of", "in", "on", "at", "from", "with", "that", "who", "whose", "which", "has",
    "had", "did", "does", "do", "became", "by", "for", "won", "wrote", "played", "made", "can", "would", "will",
    "to", "and", "s", "starred", "gave", "takes", "took", "comes", "links", "connects",
])  # fmt: skip


def _looks_like_name(answer: str) -> bool:
    words = answer.split()
    return 2 <= len(words) <= 4 and all(
        word[:1].isupper() or word in ("of", "the", "de", "van", "von") for word in words
    )


def differs(candidate: Asked, one: Asked) -> bool:
    """Whether a candidate's answer is surely another one: no form of it equals, contains or is within one of ours."""
    theirs = {form for text in (candidate.answer, *candidate.aliases) if (form := normalise(text))}
    ours = {form for text in (one.answer, *one.aliases) if (form := normalise(text))}
    if theirs & ours or {frozenset(form.split()) for form in theirs} & {frozenset(form.split()) for form in ours}:
        return False
    said = normalise(candidate.answer)
    if not said or any(_within(said, form) or _within(form, said) for form in ours):
        return False
    return not _within(said, normalise(one.question))


def _within(inner: str, outer: str) -> bool:
    return f" {inner} " in f" {outer} "


def _near_number(one: Asked, seed: int) -> str | None:
    """Return a near number or year, month or day in the same form, or None where the answer is none."""
    plain = normalise(one.answer)
    turn = int.from_bytes(draw(seed, one.name, "number")[:8], "big")
    for series in (_WORDS, _MONTHS, _DAYS):
        if plain in series:
            place = series.index(plain)
            step = (1, 2, -1, -2)[turn % 4]
            other = series[(place + step) % len(series)]
            return other.capitalize() if one.answer[:1].isupper() else other
    match = _NUMBER.match(one.answer.strip())
    if match is None:
        return None
    digits = match[1].replace(",", "")
    if _YEAR.match(digits) and "," not in match[1]:
        value = str(int(digits) + (3, 5, -4, -7, 8)[turn % 5])
    elif "." in digits:
        value = f"{float(digits) * (1.25, 0.8)[turn % 2]:.{len(digits.split('.')[1])}f}"
    else:
        step = max(1, round(int(digits) * 0.15))
        value = str(max(0, int(digits) + (step, -step, 2 * step)[turn % 3] or int(digits) + step))
        value = f"{int(value):,}" if "," in match[1] else value
    other = one.answer.strip().replace(match[1], value, 1)
    known = {normalise(text) for text in (one.answer, *one.aliases)}
    return other if normalise(other) not in known else None


def _vectors(pool: Sequence[Asked]) -> dict[str, dict[str, float]]:
    """Return unit tf-idf vectors of the questions' words."""
    words = {one.name: Counter(re.findall(r"[a-z0-9]{3,}", one.question.lower())) for one in pool}
    seen = Counter(word for counts in words.values() for word in counts)
    vectors = {}
    for name, counts in words.items():
        weights = {word: count * math.log(len(pool) / seen[word] + 1) for word, count in counts.items()}
        length = math.sqrt(sum(weight**2 for weight in weights.values())) or 1.0
        vectors[name] = {word: weight / length for word, weight in weights.items()}
    return vectors


def _likeness(one: Asked, other: Asked, vectors: dict[str, dict[str, float]]) -> float:
    """How alike two questions read, and whether their answers have the same form (words, length)."""
    mine, theirs = vectors[one.name], vectors[other.name]
    alike = sum(weight * theirs.get(word, 0.0) for word, weight in mine.items())
    a, b = len(one.answer.split()), len(other.answer.split())
    return alike - 0.1 * abs(a - b)
