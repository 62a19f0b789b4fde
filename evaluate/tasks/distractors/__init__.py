"""Incorrect answers for questions that bring none: another answer of the same kind, never an alias.

In this order: what the question offers beside the right answer; for a number or a year a near one of the same form;
for a thing of a short list (planets, countries of a continent, kings) another of it; else, among the pool's answers of
the same kind that do not differ in nationality, sex or sport, the one whose question reads most alike. Where none is
left there is no incorrect answer.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from warmgap.evaluate.normal import normalise
from warmgap.evaluate.tasks.distractors.kinds import OTHER, bare, kind_of
from warmgap.evaluate.tasks.distractors.numbers import near_number, number_kind
from warmgap.evaluate.tasks.distractors.places import CONTINENT_OF, COUNTRIES, LANDLOCKED, REGIONS, STATES
from warmgap.evaluate.tasks.distractors.series import series_of
from warmgap.evaluate.tasks.distractors.traits import alike, traits_of
from warmgap.evaluate.tasks.source import draw
from warmgap.evaluate.tasks.wordlist import words

# of these the pool has too much that is far apart
_NOT_FROM_POOL = words("other person number year month day god surname organisation character duo company")


_OF_A_LAND = re.compile(r"\b(?!european|british)[a-z]+(?:ian|ish|ese|can|ench|utch) (?:\w+ )?(?:city|town)\b", re.I)


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
    traits = {one.name: traits_of(one.question, one.answer) for one in pool}
    ordered = sorted(pool, key=lambda one: draw(seed, one.name))
    vectors = _vectors(ordered)
    by_kind: dict[str, list[Asked]] = {}
    for one in ordered:
        by_kind.setdefault(traits[one.name].kind, []).append(one)
    found: dict[str, str] = {}
    for one in ordered:
        mine = traits[one.name]
        said = (
            _contrary(one.answer)
            or _offered(one, seed)
            or near_number(one.question, one.answer, one.aliases, draw(seed, one.name, "number"))
        )
        said = said or _listed(one, mine.kind, seed)
        if said is None and mine.kind not in _NOT_FROM_POOL:
            rivals = [other for other in by_kind[mine.kind] if alike(mine, traits[other.name]) and differs(other, one)]
            said = _most_alike(one, rivals, vectors)
        if said is not None:
            found[one.name] = in_form(said, one.answer)
    return found


def family_of(question: str, answer: str) -> str:
    """Return the kind of answer that is asked for, as the items are grouped by it."""
    kind = number_kind(question, answer) or kind_of(question, answer)
    return OTHER if kind.startswith("-") else kind


def _contrary(answer: str) -> str | None:
    pairs = {"true": "False", "false": "True", "yes": "No", "no": "Yes", "left": "Right", "right": "Left"}
    return pairs.get(normalise(answer))


def _offered(one: Asked, seed: int) -> str | None:
    """Return another of the answers that the question offers: "Poland, Austria or Switzerland?"."""
    match = re.search(r"([^.?!:]*)[,;]? or (?:an? |the )?([^,;.?!]{1,40})[?.\s]*$", one.question)
    if match is None:
        return None
    parts = [re.sub(r"^.*\b(?:an?|the) ", "", part).strip() for part in [*re.split(r"[,;]", match[1]), match[2]]]
    parts = [part for part in parts if 0 < len(part.split()) <= 4]
    ours = {normalise(form) for form in (one.answer, *one.aliases)}
    others = sorted(part for part in parts if normalise(part) and normalise(part) not in ours)
    if not others or normalise(one.answer) not in {normalise(part) for part in parts}:
        return None
    return others[int.from_bytes(draw(seed, one.name, "offered")[:8], "big") % len(others)]


def _listed(one: Asked, kind: str, seed: int) -> str | None:
    """Return another of the list in which the answer stands."""
    plain = normalise(bare(one.answer))
    members, place = series_of(kind, bare(one.answer))
    if kind == "city" and not members and not _OF_A_LAND.search(one.question):
        members, place = series_of("world city", bare(one.answer))
    if kind == "country":
        asked = one.question.lower()
        region = next((names for name, names in REGIONS.items() if name in asked), COUNTRIES[CONTINENT_OF[plain]])
        members = region.split(", ")
        if "landlocked" in asked:
            members = [name for name in members if normalise(name) in LANDLOCKED]
    elif kind == "state":
        members = [name.title() for name in sorted(STATES)]
    fits = [name for name in members if differs(Asked("", "", name, ()), one)]
    if kind not in ("country", "state"):  # neighbours in a list are nearest to each other
        fits.sort(key=lambda name: abs(members.index(name) - place))
        fits = fits[:4]
    return min(fits, key=lambda name: draw(seed, one.name, name), default=None)


def _most_alike(one: Asked, rivals: Sequence[Asked], vectors: dict[str, dict[str, float]]) -> str | None:
    best = max(rivals, key=lambda other: _likeness(one, other, vectors), default=None)
    return None if best is None else bare(best.answer)


def in_form(said: str, like: str) -> str:
    """An answer with the capitals of another: all of them, or those of names."""
    letters = [word for word in re.findall(r"[^\W\d_]+", like) if len(word) > 1]
    words_said = re.findall(r"[^\W\d_]+", said)
    shouted = any(len(word) > 3 and word.isupper() for word in words_said) or (len(words_said) > 1 and said.isupper())
    if letters and all(word.isupper() for word in letters) and len("".join(letters)) > 2:
        return said.upper()
    if shouted:
        said = re.sub(r"[^\W\d_]+(?:['’][^\W\d_]+)?", _calm, said)
    return said[:1].upper() + said[1:] if like[:1].isupper() else said


def _calm(match: re.Match[str]) -> str:
    """A word of a name without its capitals: "PLANET OF THE APES"."""
    word = match[0]
    if word.lower() in ("of", "the", "and", "in", "on", "at", "to", "for", "a") and match.start() > 0:
        return word.lower()
    return word.capitalize() if len(word) > 2 else word


def differs(candidate: Asked, one: Asked) -> bool:
    """Whether a candidate's answer is surely another one: no form of it equals, contains or is within one of ours."""
    theirs = {form for text in (bare(candidate.answer), *candidate.aliases) if (form := normalise(text))}
    ours = {form for text in (bare(one.answer), *one.aliases) if (form := normalise(text))}
    if theirs & ours or {frozenset(form.split()) for form in theirs} & {frozenset(form.split()) for form in ours}:
        return False
    said = normalise(bare(candidate.answer))
    if not said or any(_within(said, form) or _within(form, said) for form in ours):
        return False
    return not _within(said, normalise(one.question))


def _within(inner: str, outer: str) -> bool:
    return f" {inner} " in f" {outer} "


def _vectors(pool: Sequence[Asked]) -> dict[str, dict[str, float]]:
    """Return unit tf-idf vectors of the questions' words."""
    counted = {one.name: Counter(re.findall(r"[a-z0-9]{3,}", one.question.lower())) for one in pool}
    seen = Counter(word for counts in counted.values() for word in counts)
    vectors = {}
    for name, counts in counted.items():
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
