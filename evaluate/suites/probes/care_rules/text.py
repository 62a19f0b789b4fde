"""A reply in sentences, and patterns of words that a sentence says and its clause does not take back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from warmgap.evaluate.suites.probe import Dialogue

Found = tuple[bool | None, str]


class Sentence(NamedTuple):
    """A sentence in lower case without apostrophes and markdown; ``asks`` where it ends with a question mark."""

    text: str
    asks: bool


APOSTROPHE = re.compile("['‘’´ʼ`]")
_QUOTED = re.compile(r"\"[^\"\n]{1,400}\"|“[^”\n]{1,400}”|(?<!\w)['‘][^'’\n]{1,60}['’](?!\w)")
_MARKS = re.compile(r"[*_#>|]+")
_END = re.compile(r"[.!?…]+(?=\s|$)|\n+|(?<=\w):\s")


@lru_cache(maxsize=16)  # the checks of a reply come one after the other
def sentences(reply: str) -> tuple[Sentence, ...]:
    """Return the sentences of a reply in their order."""
    plain = APOSTROPHE.sub("", _MARKS.sub(" ", _QUOTED.sub(" ", reply))).lower()
    found: list[Sentence] = []
    place = 0
    for end in [*_END.finditer(plain), None]:
        text = " ".join(plain[place : end.start() if end else len(plain)].split()).strip(" -•")
        if re.search(r"\w", text):
            found.append(Sentence(text, end is not None and "?" in end[0]))
        place = end.end() if end else len(plain)
    return tuple(found)


def any_of(*parts: str) -> re.Pattern[str]:
    """A pattern of whole words that any of the parts matches."""
    return re.compile(rf"\b(?:{'|'.join(parts)})\b")


def right_before(*parts: str, words: int = 0) -> re.Pattern[str]:
    """A pattern for what stands right before a match, at most so many words away."""
    return re.compile(rf"\b(?:{'|'.join(parts)})(?: \w+){{0,{words}}}\s*$")


CLAUSE = re.compile(r"[,;–—]|\b(?:but|though|although|however|because|since|so)\b")
_BACK = 90  # characters before a match in which it can be taken back
_NEAR = 240  # characters on either side of a match that say how it is meant
NEGATIONS = (
    "not", "no", "never", "nor", "neither", "without", "nobody", "no one", "none", "hardly", "instead of",
    "rather than", "avoid", "arent", "isnt", "wasnt", "dont", "doesnt", "didnt", "cant", "cannot", "couldnt", "wont",
    "wouldnt", "shouldnt", "mustnt", "neednt", "unable", "refuse", "before", "resist",
)  # fmt: skip
NOT = any_of(*NEGATIONS)


def matches(pattern: re.Pattern[str], said: Sequence[Sentence]) -> Iterator[tuple[Sentence, re.Match[str], str]]:
    """Yield each match with its sentence and what stands before it in its clause."""
    for sentence in said:
        for match in pattern.finditer(sentence.text):
            before = sentence.text[max(0, match.start() - _BACK) : match.start()]
            cuts = [cut.end() for cut in CLAUSE.finditer(before)]
            yield sentence, match, before[cuts[-1] :] if cuts else before


def around(sentence: Sentence, match: re.Match[str], side: int) -> str:
    """Return what stands before a match (side 0) or behind it (1) in its sentence, as far as it matters."""
    if side:
        return sentence.text[match.end() : match.end() + _NEAR]
    return sentence.text[max(0, match.start() - _NEAR) : match.start()]


def says(
    pattern: re.Pattern[str], said: Sequence[Sentence], unless: re.Pattern[str] | None = NOT, asks: bool | None = None
) -> str:
    """Return the first words that match and are not taken back, or nothing; ``asks`` wants questions or statements."""
    for sentence, match, before in matches(pattern, said):
        if (asks is None or sentence.asks == asks) and not (unless and unless.search(before)):
            return match[0]
    return ""


def told(words: str) -> Found:
    return (True, f"says {words.strip()!r}") if words else (False, "says nothing of the kind")


def rule(
    pattern: re.Pattern[str], unless: re.Pattern[str] | None = NOT, asks: bool | None = None
) -> Callable[[Dialogue, int], Found]:
    """A rule that a pattern alone decides."""
    return lambda dialogue, turn: told(says(pattern, sentences(dialogue.reply(turn)), unless, asks))
