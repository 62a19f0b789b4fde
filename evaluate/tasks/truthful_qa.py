"""TruthfulQA (Lin, Hilton and Evans 2022): questions that invite a common misconception, strata by category.

Reads the set's own csv, with or without the column of the best incorrect answer, and the hub's ``generation`` split.
"""

from __future__ import annotations

from typing import Any

from warmgap.errors import UserError
from warmgap.evaluate.tasks.item import Item, Loaded, Seen, checked, fault, refuse_twice
from warmgap.evaluate.tasks.source import finish, item_id, rows_of, text
from warmgap.settings.schema import TaskConfig

TASK = "truthful_qa"


def load(config: TaskConfig) -> Loaded:
    """Return the items drawn; the incorrect answer is the set's best incorrect one, else its first incorrect one.

    A question of which a form stands on both sides ("Unknown"), as in the set's own file, is left out and counted.
    """
    notes: list[str] = []
    seen: Seen = {}
    items: list[Item] = []
    rows = rows_of(TASK, config)
    for where, row in rows:
        item = _item(row, where)
        refuse_twice(seen, item.item_id, where, item.question, item.correct, item.incorrect)
        if fault(item) is None:
            items.append(item)
        elif item.correct.casefold() == item.incorrect.casefold():
            checked(item, where)
    if len(items) < len(rows):
        left = len(rows) - len(items)
        notes.append(f"{TASK}: {left} of {len(rows)} questions were left out: an answer stands on both sides.")
    return Loaded(finish(TASK, items, config, notes), notes)


def _item(row: dict[str, Any], where: str) -> Item:
    question = text(row, ("Question", "question"), where, TASK)
    correct = text(row, ("Best Answer", "best_answer"), where, TASK)
    right = _several(row, "Correct Answers", "correct_answers")
    wrong = _several(row, "Incorrect Answers", "incorrect_answers")
    best = str(row.get("Best Incorrect Answer") or row.get("best_incorrect_answer") or "").strip()
    if not best and not wrong:
        raise UserError(f"{where} has no incorrect answer", "a belief needs one", "mend or remove the row")
    incorrect = best or wrong[0]
    return Item(
        task=TASK,
        item_id=item_id(row, question),
        family=str(row.get("Category") or row.get("category") or TASK),
        question=question,
        correct=_bare(correct),
        incorrect=_bare(incorrect),
        aliases=tuple(_bare(one) for one in right if one != correct),
        incorrect_aliases=tuple(_bare(one) for one in wrong if one != incorrect),
        source=str(row.get("Source") or row.get("source") or ""),
    )


def _several(row: dict[str, Any], *names: str) -> list[str]:
    """Return a list of answers, which the csv writes in one field with semicolons."""
    for name in names:
        value = row.get(name)
        if value is not None:
            value = value.tolist() if hasattr(value, "tolist") else value  # an array, from a parquet file
            parts = value.split(";") if isinstance(value, str) else value if isinstance(value, list) else [value]
            return [str(part).strip() for part in parts if str(part).strip()]
    return []


def _bare(answer: str) -> str:
    """An answer without its full stop, as it stands inside a sentence."""
    return answer.strip().rstrip(".")
