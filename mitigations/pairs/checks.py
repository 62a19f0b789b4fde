"""What a pair must be: its fields, lengths and answers, worded unlike the grid, and no fact that is known already.

Two questions ask the same fact where they are equal but for punctuation, where their cosine under all-MiniLM-L6-v2 is
``alike`` or more, or ``agreeing`` or more and one answer stands in the other. Measured on the embedded pairs: distinct
facts reach 0.815 (the longest river of Europe, of France), 0.656 where answers agree (neck bones of a giraffe, of a
person); 44 questions in other words lie from 0.690 to 0.981, and 14 of them below 0.82, where only the answers tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmgap.mitigations.pairs import FIELDS, Pair

if TYPE_CHECKING:
    import numpy as np

ALIKE, AGREEING = 0.82, 0.67
RUN = 5  # words in a row that no message may share with a wording of the grid
WRITTEN = tuple(name for name in FIELDS if name not in ("id", "split", "feeling"))
LENGTHS = {  # characters, least and most
    "question": (12, 160), "correct": (1, 60), "incorrect": (1, 60), "user": (40, 400), "opening": (30, 180),
    "true": (50, 300), "agreeing": (50, 300), "closing": (25, 180), "plain": (8, 250),
}  # fmt: skip
BALANCE = 1.3  # the longer middle over the shorter one: length must not tell the replies apart
_LONG = 300  # characters; of a longer question (a vignette) the last sentence is compared

Encode = Callable[[Sequence[str]], "np.ndarray[Any, Any]"]


@dataclass(frozen=True)
class Fault:
    """What is wrong with an item: ``reason`` is one of a few words to count by, ``detail`` says what exactly."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Fact:
    """A question that must not be asked again, with the forms of its answer; ``origin`` says whose it is."""

    question: str
    answers: tuple[str, ...]
    origin: str


def plain(text: str) -> str:
    """Return lower-cased words alone, without articles: texts that differ in less are the same."""
    words = re.findall(r"[^\W_]+(?:[.,]\d+)?", re.sub(r"['’`]", "", text.casefold()))
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def holds(text: str, answer: str) -> bool:
    """Whether an answer stands in a text as whole words."""
    form = plain(answer)
    return bool(form) and f" {form} " in f" {plain(text)} "


class KnownFacts:
    """The facts that are taken; ``encode`` None compares words alone."""

    def __init__(
        self, facts: Iterable[Fact], encode: Encode | None, alike: float = ALIKE, agreeing: float = AGREEING
    ) -> None:
        self.facts: list[Fact] = []
        self._encode, self.alike, self.agreeing = encode, alike, agreeing
        self._rows: Any = None
        self._words: dict[str, int] = {}
        self.add(list(facts))

    def add(self, facts: Sequence[Fact]) -> None:
        """Take some facts."""
        for place, fact in enumerate(facts, len(self.facts)):
            self._words.setdefault(plain(fact.question), place)
        self.facts += facts
        if self._encode is not None and facts:
            import numpy as np

            rows = self._encode([_asking(fact.question) for fact in facts])
            self._rows = rows if self._rows is None else np.concatenate([self._rows, rows])

    def nearest(self, fact: Fact) -> list[tuple[float, Fact]]:
        """Return the known facts with their cosines, the nearest first; empty without an encoder."""
        if self._encode is None or self._rows is None:
            return []
        cosines = self._rows @ self._encode([_asking(fact.question)])[0]
        return [(float(cosines[place]), self.facts[place]) for place in (-cosines).argsort()]

    def same(self, fact: Fact) -> tuple[float, Fact] | None:
        """Return the known fact that this one asks again, with the cosine, or None."""
        if (place := self._words.get(plain(fact.question))) is not None:
            return 1.0, self.facts[place]
        for cosine, other in self.nearest(fact):
            if cosine < min(self.alike, self.agreeing):
                return None
            if cosine >= self.alike or (cosine >= self.agreeing and _agree(fact.answers, other.answers)):
                return cosine, other
        return None


def _asking(question: str) -> str:
    return question if len(question) <= _LONG else re.split(r"(?<=[.?!])\s+", question.strip())[-1]


def _agree(some: Sequence[str], others: Sequence[str]) -> bool:
    return any(holds(one, other) or holds(other, one) for one in some for other in others)


def fact_of(pair: Pair, origin: str) -> Fact:
    """Return the fact that a pair is about."""
    return Fact(pair.question, (pair.correct,), origin)


def faults(pair: Pair) -> list[Fault]:
    """Return what is wrong with a pair by itself, the gravest first; empty where nothing is."""
    found = []
    for name, (least, most) in LENGTHS.items():
        length = len(getattr(pair, name))
        if not least <= length <= most:
            reason = "too short" if length < least else "too long"
            found.append(Fault(reason, f"{name} has {length} characters, {least} to {most} are meant"))
    ratio = max(len(pair.true), len(pair.agreeing)) / max(1, min(len(pair.true), len(pair.agreeing)))
    if ratio > BALANCE:
        found.append(Fault("unequal", f"one of true and agreeing is {ratio:.2f} times as long as the other"))
    if not pair.question.endswith("?"):
        found.append(Fault("no question", "question does not end with a question mark"))
    return found + _answers(pair)


def _answers(pair: Pair) -> list[Fault]:
    """The answers stand where they belong and nowhere else."""
    right, wrong = pair.correct, pair.incorrect
    rules = [
        (not holds(right, wrong) and not holds(wrong, right), "answers alike", "one answer stands in the other"),
        (holds(pair.true, right), "misplaced answer", f"true does not hold correct ({right})"),
        (holds(pair.plain, right), "misplaced answer", f"plain does not hold correct ({right})"),
        (holds(pair.agreeing, wrong), "misplaced answer", f"agreeing does not hold incorrect ({wrong})"),
        (not holds(pair.agreeing, right), "misplaced answer", f"agreeing holds correct ({right})"),
    ]
    ends = f"{pair.opening} {pair.closing}"
    rules += [
        (not holds(ends, right) and not holds(ends, wrong), "misplaced answer", "opening or closing holds an answer"),
        (
            holds(pair.question, right) == holds(pair.question, wrong),
            "answer given away",
            "question holds one answer alone",
        ),
    ]
    return [Fault(reason, detail) for sound, reason, detail in rules if not sound]


def belief_missing(pair: Pair) -> list[Fault]:
    """A fault where the message does not say the incorrect answer; asked of a model's items, whose belief is unread."""
    if holds(pair.user, pair.incorrect):
        return []
    return [Fault("no belief", f"user does not say incorrect ({pair.incorrect}) word for word")]


def runs(text: str, length: int = RUN) -> set[str]:
    """Return the runs of so many words in a text."""
    words = plain(text).split()
    return {" ".join(words[place : place + length]) for place in range(len(words) - length + 1)}


def worded_as(pair: Pair, wordings: Iterable[str]) -> list[Fault]:
    """A fault where the message repeats a wording of the grid: five words in a row of a statement or a belief.

    A belief's sentence counts up to its answer: "I believe the right answer is: {incorrect}." as five words.
    """
    own = runs(pair.user)
    shared = {run for text in wordings for run in runs(text.split("{")[0])} & own
    return [Fault("worded as the grid", f"user says {run!r}") for run in sorted(shared)[:1]]
