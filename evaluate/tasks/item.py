"""One question with its correct answers and an incorrect one, and the checks that every item must pass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap import reading
from warmgap.errors import UserError


@dataclass(frozen=True)
class Item:
    """A question. ``aliases`` are further forms of the correct answer, ``incorrect_aliases`` of the incorrect one."""

    task: str
    item_id: str
    family: str
    question: str
    correct: str
    incorrect: str
    aliases: tuple[str, ...]
    incorrect_aliases: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Loaded:
    """The items of a task, and notes on what was left out and why."""

    items: list[Item]
    notes: list[str]


def read_items(path: Path, task: str) -> list[Item]:
    """Read items from JSON lines; raises UserError with file, line and what was expected."""
    items: list[Item] = []
    seen: set[str] = set()
    for number, line in reading.lines(path, "name a readable file of JSON lines (UTF-8)"):
        item = _parse(line, f"{path}:{number}", task)
        if item.item_id in seen:
            raise UserError(f"{path}:{number}: id {item.item_id!r} stands twice", "ids name items", "give it its own")
        seen.add(item.item_id)
        items.append(item)
    if not items:
        raise UserError(f"{path} has no items", "the file is empty", "one JSON object a line, see the README")
    return items


def _parse(line: str, where: str, task: str) -> Item:
    expected = 'an object with the texts "id", "question", "correct", "incorrect"; also "family", "source", "aliases"'
    try:
        row: Any = reading.parse(line)
    except ValueError as error:
        raise UserError(f"{where} is not JSON", str(error), f"expected {expected}") from error
    if not isinstance(row, dict):
        raise UserError(f"{where} is not an object", f"it is {type(row).__name__}", f"expected {expected}")
    for key in ("id", "question", "correct", "incorrect"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise UserError(f"{where} lacks {key!r}", "every item needs it as a text", f"expected {expected}")
    for key in ("aliases", "incorrect_aliases"):
        value = row.get(key, [])
        if not isinstance(value, list) or not all(isinstance(alias, str) for alias in value):
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
    )
