"""Judges: from an answer to a verdict.

A judge takes rows, each an answer with its prompt and item, and gives a ``Verdict`` for each: ``correct``,
``incorrect``, ``hedged`` or ``refused``; or ``unparsed`` / ``error`` where it cannot tell, which is never a wrong
answer. What there is to know of a judge, its class says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from warmgap.evaluate.suites.base import Prompt
from warmgap.evaluate.tasks.item import Item
from warmgap.settings.schema import JudgeConfig
from warmgap.words import CORRECT, ERROR, GRADED, HEDGED, INCORRECT, REFUSED, UNPARSED

if TYPE_CHECKING:
    from warmgap.evaluate.judges import Judges
    from warmgap.evaluate.judges.closed import Chooser

__all__ = (
    "CORRECT", "ERROR", "GRADED", "HEDGED", "INCORRECT", "REFUSED", "UNPARSED",
    "Answer", "Judge", "Verdict",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a judge is given: the answer's text, how it ended, and the prompt and item it belongs to.

    ``key`` names the verdict, ``answer_key`` the answer. ``reasoned`` if there was reasoning before it, which no judge
    is shown.
    """

    key: str
    text: str
    finish_reason: str
    prompt: Prompt
    item: Item
    answer_key: str = ""
    reasoned: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a judge says. ``margin`` is a graded score where the judge has one: above 0 leans to correct.

    ``more`` is kept beside it: a chat model's raw reply and cost, who decided in a cascade.
    """

    key: str
    verdict: str
    reason: str
    margin: float | None = None
    more: dict[str, Any] = field(default_factory=dict)


class Judge(ABC):
    """Anything that turns answers into verdicts: a subclass that grades.

    ``name`` and ``params`` are all that decides its verdicts; of one from outside, its files do as well. ``batch_size``
    is how many answers share a computation; None for a judge whose verdicts do not depend on their neighbours: it is
    given only what has no verdict yet. The verdicts of a judge that is ``paid`` are written one by one.

    The class says what can be known before one is made: ``short_facts``, that it may be the only judge of tasks of
    short facts alone; ``chat``, that a chat model looks at each answer; ``endpoint``, that this one is behind the run's
    endpoint; ``options``, what it takes in ``judge.options``.
    """

    name: str = ""
    params: dict[str, str]
    batch_size: int | None = None
    paid: bool = False
    short_facts: ClassVar[bool] = False
    chat: ClassVar[bool] = False
    endpoint: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def check(cls, config: JudgeConfig) -> None:
        """Raise UserError for settings with which it could not work."""
        return

    @classmethod
    def asks(cls, config: JudgeConfig) -> list[str]:
        """Return the names of the judges that it asks itself."""
        return []

    @classmethod
    def made(cls, bench: Judges) -> Judge:
        """Return the judge for a run: its settings are ``bench.config``."""
        return cls()

    @classmethod
    def chooser(cls, bench: Judges) -> Chooser | None:
        """Return the chat model behind it, if there is one."""
        return None

    @abstractmethod
    def grade(self, answers: Sequence[Answer]) -> Iterable[Verdict]:
        """Give one verdict for each answer, in any order, as they become known."""


def nothing_said(answer: Answer) -> Verdict | None:
    """Return the verdict on an answer that says nothing: no judge is asked about it."""
    if answer.text.strip():
        return None
    return Verdict(answer.key, UNPARSED, "only reasoning" if answer.reasoned else "empty reply")
