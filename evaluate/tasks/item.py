"""One question with its correct answers and an incorrect one, and the checks that every item must pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap.disk import intake
from warmgap.errors import UserError
from warmgap.evaluate.normal import normalise
from warmgap.settings.schema import TaskConfig

LEVELS = ("easy", "hard")
Seen = dict[str, tuple[str, tuple[str, ...]]]  # where an id stood first, and what its row said


@dataclass(frozen=True)
class Item:
    """A question. ``aliases`` are further forms of the correct answer, ``incorrect_aliases`` of the incorrect one.

    ``level`` is easy or hard where a file says so.
    """

    task: str
    item_id: str
    family: str
    question: str
    correct: str
    incorrect: str
    aliases: tuple[str, ...]
    incorrect_aliases: tuple[str, ...]
    source: str
    instruction: str = ""  # ends every prompt of the item
    level: str = ""


@dataclass(frozen=True)
class Loaded:
    """The items of a task, and notes on what was left out and why."""

    items: list[Item]
    notes: list[str]


@dataclass(frozen=True)
class Task:
    """A set of questions: what loads it by its settings, and what else there is to know of it.

    ``short_facts`` says that rules can tell a right answer from a wrong one, so that judge=match may be its only judge;
    ``levels`` that its questions are easy or hard. ``options`` names what it takes in ``task.<name>.options``.
    """

    load: Callable[[TaskConfig], Loaded]
    short_facts: bool = False
    levels: bool = False
    options: tuple[str, ...] = ()


def fault(item: Item) -> str | None:
    """Return why no answer to an item could be graded, or None: a side that says nothing, a form on both sides."""
    for side, answer in (("correct", item.correct), ("incorrect", item.incorrect)):
        if not normalise(answer):
            return f"its {side} answer {answer!r} is nothing but marks and articles"
    wrong = {normalise(form) for form in (item.incorrect, *item.incorrect_aliases)}
    both = [form for form in (item.correct, *item.aliases) if normalise(form) in wrong - {""}]
    return f"{both[0]!r} stands on both sides, correct and incorrect" if both else None


def checked(item: Item, where: str) -> Item:
    """Return the item; UserError that names its row where no answer to it could be graded."""
    why = fault(item)
    if why is not None:
        raise UserError(f"{where}: item {item.item_id!r} cannot be graded", why, "mend or remove the row")
    return item


def refuse_twice(seen: Seen, name: str, where: str, *content: str) -> None:
    """Raise UserError, which names both rows, where an id stands twice and the rows do not say the same."""
    first, said = seen.setdefault(name, (where, content))
    if said != content:
        why = f"it stands in {first} too, with another text; answers are graded by the id of their question"
        raise UserError(f"{where}: id {name!r} stands twice", why, "give each question an id of its own")


def read_items(path: Path, task: str) -> list[Item]:
    """Read items from JSON lines; raises UserError with file, line and what was expected."""
    items: list[Item] = []
    seen: Seen = {}
    for number, line in intake.lines(path, "name a readable file of JSON lines (UTF-8)"):
        item = checked(_parse(line, f"{path}:{number}", task), f"{path}:{number}")
        refuse_twice(seen, item.item_id, f"{path}:{number}", str(number))
        items.append(item)
    if not items:
        raise UserError(f"{path} has no items", "the file is empty", "one JSON object a line, as in docs/measuring.md")
    return items


def _parse(line: str, where: str, task: str) -> Item:
    expected = 'an object with the texts "id", "question", "correct", "incorrect"; also "family", "source", "aliases"'
    try:
        row: Any = intake.parse(line)
    except ValueError as error:
        raise UserError(f"{where} is not JSON", str(error), f"expected {expected}") from error
    if not isinstance(row, dict):
        raise UserError(f"{where} is not an object", f"it is {type(row).__name__}", f"expected {expected}")
    for key in ("id", "question", "correct", "incorrect"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise UserError(f"{where} lacks {key!r}", "every item needs it as a text", f"expected {expected}")
    for key in ("aliases", "incorrect_aliases"):
        value = row.get(key, [])
        if not isinstance(value, list) or not all(isinstance(alias, str) and alias.strip() for alias in value):
            raise UserError(f"{where}: {key!r} is not a list of texts", f"it is {value!r}", f"expected {expected}")
    return Item(
        task=task,
        item_id=row["id"],
        family=str(row.get("family") or task),
        question=row["question"].strip(),
        correct=row["correct"].strip(),
        incorrect=row["incorrect"].strip(),
        aliases=tuple(row.get("aliases", [])),
        incorrect_aliases=tuple(row.get("incorrect_aliases", [])),
        source=str(row.get("source") or ""),
        level=_level(row, where),
    )


def _level(row: dict[str, Any], where: str) -> str:
    level = str(row.get("level") or "")
    if level and level not in LEVELS:
        raise UserError(f"{where}: level {level!r} is not known", f"levels are {', '.join(LEVELS)}", "name one or none")
    return level
