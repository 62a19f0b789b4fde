"""The default judge: the accepted and the incorrect answers are looked up in the text of the reply, by rules.

The rules are those of ``reading`` (which answer a reply stands by) and ``mention`` (what it says of one it mentions).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from warmgap.evaluate.judges.base import Answer, Judge, Verdict, nothing_said
from warmgap.evaluate.judges.reading import WINDOW, read

if TYPE_CHECKING:
    from warmgap.evaluate.judges import Judges


class MatchJudge(Judge):
    """Looks for the accepted answers and the incorrect one in the text of the reply, by the rules of ``reading``.

    It reads the first ``window`` characters of each answer, so many in every arm, and nothing else: equal texts get
    equal verdicts, however they ended. Where neither answer is found the verdict is ``incorrect``, whether the reply
    was cut or not; ``refused`` where it declines, ``unparsed`` where it is empty.
    """

    name = "match"
    short_facts = True

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window
        self.params: dict[str, str] = {"version": "3", "window": str(window)}

    @classmethod
    def made(cls, bench: Judges) -> MatchJudge:
        """Return the judge with the run's window."""
        return cls(bench.config.window)

    def grade(self, answers: Sequence[Answer]) -> list[Verdict]:
        """Return one verdict for each answer."""
        return [
            nothing_said(answer) or Verdict(answer.key, *read(answer.text, answer.item, self.window))
            for answer in answers
        ]
