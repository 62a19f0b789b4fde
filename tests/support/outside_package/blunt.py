"""A judge in a module of its own, for ``plugins=[blunt]``: every reply is wrong, unless it is empty."""

from collections.abc import Sequence

from warmgap.evaluate.judges.base import INCORRECT, Answer, Judge, Verdict, nothing_said


class Blunt(Judge):
    """Takes nothing for an answer."""

    name = "blunt"
    short_facts = True

    def grade(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [nothing_said(answer) or Verdict(answer.key, INCORRECT, "it always is") for answer in answers]


JUDGES = {"blunt": Blunt}
