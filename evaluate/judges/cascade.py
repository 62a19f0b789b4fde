"""A judge in two steps: rules decide what they can with certainty, a chat model the rest.

The rules are those of ``match`` where they were found to be safe: short references in short replies. On a random share
of what they decide the chat model is asked as well; how often both agree is reported beside the result.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from warmgap.errors import UserError
from warmgap.evaluate.judges.base import CORRECT, INCORRECT, UNPARSED, Answer, Judge, Verdict
from warmgap.evaluate.judges.match import MatchJudge
from warmgap.evaluate.judges.reading import WINDOW
from warmgap.evaluate.normal import words
from warmgap.settings.identity import digest
from warmgap.settings.schema import JudgeConfig

if TYPE_CHECKING:
    from warmgap.evaluate.judges import Judges

SHORT_REFERENCE, SHORT_REPLY = 4, 60  # words
RULES = "rules"


def certain(answer: Answer, found: Verdict) -> bool:
    """Whether the verdict of the rules needs no second look.

    An empty reply holds no answer. A reply of at most 60 words that asserts one side, and does not so much as mention
    the other, is decided where every form of both answers has at most four words; else words are no sign of meaning.
    """
    if not answer.text.strip():
        return True
    said = _plain(answer.text)
    if found.verdict not in (CORRECT, INCORRECT) or answer.finish_reason == "length":
        return False
    item = answer.item
    sides = ((item.correct, *item.aliases), (item.incorrect, *item.incorrect_aliases))
    forms = [[f" {_plain(form)} " for form in side] for side in sides]
    if any(len(form.split()) > SHORT_REFERENCE for side in forms for form in side) or len(said.split()) > SHORT_REPLY:
        return False
    right, wrong = (any(form in f" {said} " for form in side) for side in forms)
    return (right, wrong) == ((True, False) if found.verdict == CORRECT else (False, True))


def _plain(text: str) -> str:
    return " ".join(word.text for word in words(text)[:-1])


class CascadeJudge(Judge):
    """The rules first, then ``rest``. ``decided_by`` says who gave a verdict, ``overlap`` what the other one said."""

    name = "cascade"

    def __init__(self, rest: Judge, overlap: float, window: int = WINDOW) -> None:
        self.rules, self.rest, self.overlap = MatchJudge(window), rest, overlap
        self.batch_size = rest.batch_size
        self.paid = rest.paid
        parts = {"rules": self.rules.params, "rest": [rest.name, rest.params]}
        self.params = {"version": "2", "overlap": f"{overlap:g}", "parts": json.dumps(parts, sort_keys=True)}

    @classmethod
    def check(cls, config: JudgeConfig) -> None:
        """Raise UserError where nobody decides the rest."""
        if config.rest is None:
            why = "a cascade needs a chat model for what its rules cannot decide"
            raise UserError("judge.rest is not set", why, "set judge.rest to openai or local")

    @classmethod
    def asks(cls, config: JudgeConfig) -> list[str]:
        """Return who decides the rest."""
        return [config.rest] if config.rest else []

    @classmethod
    def made(cls, bench: Judges) -> CascadeJudge:
        """Return the judge with the run's rest, overlap and window."""
        return cls(bench.build(str(bench.config.rest)), bench.config.overlap, bench.config.window)

    def grade(self, answers: Sequence[Answer]) -> Iterator[Verdict]:
        """Yield a verdict for each answer, the rules' own first."""
        by_rules: dict[str, Verdict] = {}
        asked = []
        for answer, found in zip(answers, self.rules.grade(answers), strict=True):
            if certain(answer, found):
                by_rules[answer.key] = dataclasses.replace(found, more={**found.more, "decided_by": RULES})
                if found.verdict == UNPARSED or not _drawn(answer.key, self.overlap):
                    yield by_rules[answer.key]
                    continue
            asked.append(answer)
        for verdict in self.rest.grade(asked) if asked else ():
            if verdict.key in by_rules:
                ours = by_rules[verdict.key]
                yield dataclasses.replace(ours, more={**verdict.more, **ours.more, "overlap": verdict.verdict})
            else:
                yield dataclasses.replace(verdict, more={**verdict.more, "decided_by": self.rest.name})


def _drawn(key: str, share: float) -> bool:
    """Whether an answer is in the overlap sample: decided by its key alone, so the same in every run."""
    return int(digest(["overlap", key], 8), 16) / 16**8 < share
