"""A suite: what is asked of every arm, and what is made of the answers.

items → dialogues → answers by turn → verdicts → effects. A suite opens a dialogue for each prompt that it makes of the
items, may go on with what the user says next, says which answers are judged, and turns the judged ones into tables.
All else (engines, journals, judges, report) is the same for every suite. `dialogue.hold` puts a suite to an arm.

A turn is a `Prompt`: its text, and the place at which its answer counts. No two judged turns may have one place: a
suite that judges several turns of a dialogue tells them apart by their context, as ``none`` and ``doubted``. Contexts
in one group are pooled, and everything is measured against ``none``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from warmgap.evaluate.tasks.item import Item
from warmgap.settings.schema import Run
from warmgap.words import NONE

if TYPE_CHECKING:
    import pandas as pd

    from warmgap.evaluate.stats import Analysis


@dataclass(frozen=True)
class Prompt:
    """One user turn: its text ``prompt``, its place, the ``group`` of its context, and the messages ``before`` it."""

    task: str
    item_id: str
    family: str
    context: str
    statement_id: str
    belief: str
    prompt: str
    group: str = NONE
    before: tuple[dict[str, str], ...] = ()

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation that is put to a model."""
        return [*self.before, {"role": "user", "content": self.prompt}]

    @property
    def turn(self) -> int:
        """Which of the user's turns it is, from 1."""
        return 1 + sum(message["role"] == "user" for message in self.before)

    def row(self) -> dict[str, Any]:
        """The prompt as a row of a file; one that follows others names its ``turn``."""
        row = asdict(self)
        del row["before"]
        return {**row, **({"turn": self.turn} if self.before else {}), "messages": self.messages}


@dataclass(frozen=True)
class Exchange:
    """A user turn and what the arm replied, without the reasoning before it."""

    prompt: Prompt
    reply: str


@dataclass
class NoOptions:
    """A suite that takes no ``suite.options``."""


class Suite(ABC):
    """What a suite says of itself. One of single turns, all of them judged, has only ``dialogues`` to write.

    ``Options`` is a dataclass of what ``suite.options`` may hold, ``turns`` how many turns a user has at most.
    """

    Options: ClassVar[type] = NoOptions
    turns: ClassVar[int] = 1

    def __init__(self, run: Run, options: Any) -> None:
        self.run, self.options = run, options

    @abstractmethod
    def dialogues(self, items: Sequence[Item]) -> list[Prompt]:
        """Return the first turn of each dialogue. Raises UserError for items that it cannot ask."""

    def next_turn(self, so_far: Sequence[Exchange]) -> Prompt | None:
        """Return what the user says next, without its ``before``; None where the dialogue ends.

        The same exchanges must give the same turn, or a run that was cut off would not go on where it was.
        """
        return None

    def judged(self, prompt: Prompt) -> bool:
        """Whether the answer to a turn gets a verdict and counts."""
        return True

    def notes(self, items: Sequence[Item], prompts: Sequence[Prompt]) -> list[str]:
        """Return what a report should say of what was asked."""
        return []

    def analyze(self, answers: pd.DataFrame, *, reference: str, bootstrap: int) -> Analysis:
        """Return effects and cells of the judged answers, a row each, columns as `stats.analyze` takes them."""
        from warmgap.evaluate import stats

        return stats.analyze(answers, reference=reference, bootstrap=bootstrap)
