"""A probe: a suite that brings its own items and reads its own measures off the replies.

items → dialogues → checks → outcomes → a table by arm. A check is a yes-or-no question about a reply, which is
answered by a rule here or, with ``reader: judge``, by the run's chat judge. What cannot be told is missing: it is
neither yes nor no, and its share stands beside every figure.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from warmgap.evaluate.suites.base import Exchange, Prompt, Suite
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import fits
from warmgap.settings.schema import setting

if TYPE_CHECKING:
    from warmgap.engines.base import Engine
    from warmgap.engines.chat import Message

PREFIX = "suite-"  # of the tasks of its prompts, and so of the journals of its answers
RULES, JUDGE = "rules", "judge"
WORSE, BETTER, NEITHER = "more is worse", "more is better", "neither"


@dataclass(frozen=True)
class Measure:
    """A figure of a probe: the mean of its outcomes over items, by condition and over all of them.

    ``unit`` is ``%`` for outcomes from 0 to 1, which are shown in percent, else what one outcome is counted in.
    ``sense`` says whether more of it is worse, better or neither. ``by`` says what its conditions are, such as "tone".
    """

    name: str
    title: str
    unit: str = "%"
    sense: str = WORSE
    by: str = ""

    @property
    def bounded(self) -> bool:
        """Whether an outcome lies between 0 and 1, so that missing ones have bounds."""
        return self.unit == "%"


@dataclass(frozen=True)
class Outcome:
    """What a measure comes to for one item in one ``condition``: a value, or None with ``why`` it cannot be told.

    ``why`` of a value says what in the reply it rests on.
    """

    measure: str
    item_id: str
    condition: str
    value: float | None
    why: str = ""


@dataclass(frozen=True)
class Check:
    """A yes-or-no question about one reply, in words for a judge, and the rule that answers it without one.

    The rule is given the dialogue and which turn's reply is asked about, from 0. It says yes, no, or None where the
    reply does not let it tell, and on what it rests.
    """

    name: str
    question: str
    rule: Callable[[Dialogue, int], tuple[bool | None, str]]


@dataclass(frozen=True)
class Dialogue:
    """A dialogue as an arm held it. ``finish`` says of each reply how it ended: ``stop`` or ``length``.

    It is ``whole`` where every reply came; one that is not ends with the last that did.
    """

    exchanges: tuple[Exchange, ...]
    finish: tuple[str, ...]
    whole: bool = True

    @property
    def first(self) -> Prompt:
        """Its first turn, by which it is known."""
        return self.exchanges[0].prompt

    @property
    def item_id(self) -> str:
        """The item that it is about."""
        return self.first.item_id

    @property
    def condition(self) -> str:
        """What sets it apart from the other dialogues of its item: the context of its first turn."""
        return self.first.context

    def reply(self, turn: int) -> str:
        """The reply of a turn, from 0."""
        return self.exchanges[turn].reply


@dataclass(frozen=True)
class Told:
    """Whether a check is answered with yes or no (None: it cannot be told), and on what that rests."""

    yes: bool | None
    why: str = ""


Teller = Callable[[str, Dialogue, int], Told]  # the name of a check, a dialogue, a turn from 0


@dataclass
class ProbeOptions:
    """What every probe takes: who answers its checks, and how many of its items are asked (null: all)."""

    reader: str = setting("measure", RULES, fits=fits.words(RULES, JUDGE))
    items: int | None = setting("measure", None, fits=fits.count())


class Probe(Suite):
    """What a probe says of itself. A subclass has ``dialogues``, ``next_turn`` where there is one, and ``read``.

    ``title`` and ``question`` head its part of the report, ``source`` says where its idea is from, ``harm`` what kind
    it measures: ``error``, ``sycophancy``, ``care`` or ``drift``. Its prompts have the
    task ``suite-NAME``. ``Options`` derives from `ProbeOptions`.
    """

    Options: ClassVar[type] = ProbeOptions
    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    question: ClassVar[str] = ""
    source: ClassVar[str] = ""
    harm: ClassVar[str] = "error"
    measures: ClassVar[tuple[Measure, ...]] = ()
    checks: ClassVar[tuple[Check, ...]] = ()
    max_new_tokens: ClassVar[int | None] = None  # where its replies have to be longer than the grid's

    @property
    def reply_tokens(self) -> int:
        """How long its replies may be, in tokens."""
        return max(self.run.generate.max_new_tokens, self.max_new_tokens or 0)

    @property
    def task(self) -> str:
        """The task of its prompts."""
        return PREFIX + self.name

    @abstractmethod
    def dialogues(self, items: Sequence[Item] = ()) -> list[Prompt]:
        """Return the first turn of each of its dialogues; the run's items are not its own."""

    def judged(self, prompt: Prompt) -> bool:
        """No answer to a probe has a verdict."""
        return False

    def asks(self, dialogue: Dialogue) -> list[tuple[str, int]]:
        """Return which checks are needed of a dialogue, each with the turn that it is about, from 0."""
        return [(check.name, turn) for turn in range(len(dialogue.exchanges)) for check in self.checks]

    def shown(self, dialogue: Dialogue, turn: int, check: str) -> dict[str, Any]:
        """Return what a judge has to know of the item to answer this check on a turn, such as its correct answer."""
        return {}

    @abstractmethod
    def read(self, dialogues: Sequence[Dialogue], told: Teller) -> list[Outcome]:
        """Return the outcomes of one item from all of its dialogues; ``told`` answers what ``asks`` has named."""

    def look(
        self, engine: Engine, dialogues: Sequence[Dialogue], system: Sequence[Message], journal: Path
    ) -> list[Outcome]:
        """Return outcomes that need the model itself, such as what it thinks likely; kept in the journal.

        ``system`` is what the arm is told before each dialogue.

        Where the engine cannot tell (it is a server), outcomes without a value that say so.
        """
        return []


def items_of(name: str) -> list[dict[str, Any]]:
    """Return the rows of ``evaluate/suites/probes/items/NAME.jsonl``, in their order."""
    path = Path(__file__).parent / "probes" / "items" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def spread(rows: Sequence[dict[str, Any]], count: int | None) -> list[dict[str, Any]]:
    """Return so many of the rows, evenly over the file, in its order; all of them where ``count`` is None."""
    if count is None or count >= len(rows):
        return list(rows)
    return [rows[place * len(rows) // count] for place in range(count)]


class Reader:
    """Answers the checks of a probe by its rules."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    @cached_property
    def _checks(self) -> dict[str, Check]:
        return {check.name: check for check in self.probe.checks}

    def __call__(self, check: str, dialogue: Dialogue, turn: int) -> Told:
        """Return what the rule of a check says of a reply; of an empty one nothing can be told."""
        if not dialogue.reply(turn).strip():
            return Told(None, "empty reply")
        return Told(*self._checks[check].rule(dialogue, turn))
