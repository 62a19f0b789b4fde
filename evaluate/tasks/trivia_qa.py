"""TriviaQA (Joshi et al. 2017), without its documents: short facts with many accepted forms.

The set has no incorrect answers: one of the same kind is found (see `distractors`), unless a row brings
its own in a column ``incorrect``. Reads the hub's format and a flat pool of question, answer and aliases.
"""

from __future__ import annotations

from typing import Any

from warmgap.errors import UserError
from warmgap.evaluate.normal import normalise
from warmgap.evaluate.tasks.distractors import Asked, distractors, family_of
from warmgap.evaluate.tasks.distractors.kinds import bare
from warmgap.evaluate.tasks.item import Item, Loaded, Seen, fault, refuse_twice
from warmgap.evaluate.tasks.source import finish, item_id, rows_of, text
from warmgap.settings.schema import TaskConfig

TASK = "trivia_qa"


def load(config: TaskConfig) -> Loaded:
    """Return the items drawn; a question for which no incorrect answer of its kind is found is left out and counted."""
    notes: list[str] = []
    asked: dict[str, Asked] = {}
    own: dict[str, str] = {}
    seen: Seen = {}
    rows = rows_of(TASK, config)
    for where, row in rows:
        one = _asked(row, where)
        refuse_twice(seen, one.name, where, one.question, one.answer)
        asked.setdefault(one.name, one)
        if row.get("incorrect"):
            own[one.name] = _given(one, str(row["incorrect"]), where)
    drawn = distractors(list(asked.values()), config.seed)
    found = [_item(one, own.get(one.name) or drawn[one.name]) for one in asked.values() if one.name in own | drawn]
    items = [item for item in found if fault(item) is None]
    if len(asked) < len(rows):
        notes.append(f"trivia_qa: {len(rows) - len(asked)} questions stand twice and are asked once.")
    if len(found) < len(asked):
        left = len(asked) - len(found)
        notes.append(f"trivia_qa: {left} of {len(rows)} questions were left out: no incorrect answer of the same kind.")
    if len(items) < len(found):
        left = len(found) - len(items)
        notes.append(f"trivia_qa: {left} of {len(rows)} questions were left out: an answer is nothing but articles.")
    return Loaded(finish(TASK, items, config, notes), notes)


def _asked(row: dict[str, Any], where: str) -> Asked:
    question = text(row, ("question",), where, TASK)
    answer = row.get("answer")
    if isinstance(answer, dict):  # the hub's format
        aliases = [*(answer.get("aliases") or []), *(answer.get("normalized_aliases") or [])]
        row, answer = {"answer": answer.get("value")}, answer.get("value")
    else:
        aliases = row.get("aliases") or []
    if not isinstance(aliases, (list, tuple)) or not all(isinstance(one, str) for one in aliases):
        raise UserError(f"{where}: 'aliases' is not a list of texts", f"it is {aliases!r}", "mend or remove the row")
    correct = text(row, ("answer",), where, TASK)
    return Asked(item_id(row, question), question, correct, tuple(dict.fromkeys(aliases)))


def _given(one: Asked, incorrect: str, where: str) -> str:
    """An incorrect answer that the file brings; UserError where it is a correct one."""
    if normalise(incorrect) in {normalise(form) for form in (one.answer, *one.aliases)}:
        raise UserError(f"{where}: the incorrect answer is correct", f"{incorrect!r} is an alias", "give another")
    return incorrect.strip()


def _item(one: Asked, incorrect: str) -> Item:
    return Item(
        task=TASK,
        item_id=one.name,
        family=family_of(one.question, one.answer),
        question=one.question,
        correct=bare(one.answer),
        incorrect=incorrect,
        aliases=one.aliases,
        incorrect_aliases=(),
        source="TriviaQA",
    )
