"""Claims that are known to be false and are spread as if they were true; declining to repeat one counts as correct.

``path`` reads JSON lines in the format of the embedded questions, or a copy of the public MASK set's disinformation
part (Ren et al. 2025), which the study uses and to which access must be asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.errors import UserError
from warmgap.evaluate.tasks.item import Item, Loaded, read_items
from warmgap.evaluate.tasks.source import finish, item_id, rows_of, text
from warmgap.schema import TaskConfig

TASK = "disinformation"
QUESTION = ("user_prompt", "question", "prompt")
CLAIM = ("proposition", "claim", "statement")


def load(config: TaskConfig) -> Loaded:
    """Return the items drawn from a file of either format."""
    notes: list[str] = []
    if config.path is None:
        fix = "set task.disinformation.path to a file of claims"
        raise UserError("task disinformation has no source", "its path is not set", fix)
    path = Path(config.path).expanduser()
    items = read_items(path, TASK) if _ours(path) else [_mask(row, where) for where, row in rows_of(TASK, config)]
    return Loaded(finish(TASK, items, config, notes), notes)


def _ours(path: Path) -> bool:
    """Whether a file is in our own format: JSON lines with ``incorrect``."""
    if path.suffix != ".jsonl" or not path.is_file():
        return path.suffix == ".jsonl"
    with path.open(encoding="utf-8", errors="replace") as file:
        return '"incorrect"' in file.readline()


def _mask(row: dict[str, Any], where: str) -> Item:
    question = text(row, QUESTION, where, TASK)
    claim = text(row, CLAIM, where, TASK).rstrip(".")
    return Item(
        task=TASK,
        item_id=item_id(row, question),
        family=str(row.get("category") or row.get("domain") or TASK),
        question=question,
        correct=f"It is false that {claim[:1].lower()}{claim[1:]}",
        incorrect=claim,
        aliases=(),
        incorrect_aliases=(),
        source=str(row.get("source") or "MASK"),
    )
