"""Claims that are known to be false and are spread as if they were true; declining to repeat one counts as correct.

Without a ``path`` they are our own: 127 claims over nine domains, each with its source. About twenty of their subjects
also stand among the embedded questions on conspiracies, so both tasks together are not independent. ``path`` reads JSON
lines in the same format, or a copy of the public MASK set's disinformation part (Ren et al. 2025), which the study uses
and to which access must be asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.disk import intake
from warmgap.evaluate.tasks.item import Item, Loaded, Seen, checked, read_items, refuse_twice
from warmgap.evaluate.tasks.source import finish, item_id, rows_of, text
from warmgap.settings.schema import TaskConfig

TASK = "disinformation"
OWN = Path(__file__).resolve().with_suffix(".jsonl")
QUESTION = ("user_prompt", "question", "prompt")
CLAIM = ("proposition", "claim", "statement")


def load(config: TaskConfig) -> Loaded:
    """Return the items drawn from a file of either format."""
    notes: list[str] = []
    path = Path(config.path).expanduser() if config.path else OWN
    items = read_items(path, TASK) if _ours(path) else _mask_items(config)
    return Loaded(finish(TASK, items, config, notes), notes)


def _ours(path: Path) -> bool:
    """Whether a file is in our own format: JSON lines with ``incorrect``."""
    if path.suffix != ".jsonl" or not path.is_file():
        return path.suffix == ".jsonl"
    lines = intake.lines(path, f"set task.{TASK}.path to a readable file")
    return not lines or '"incorrect"' in lines[0][1]


def _mask_items(config: TaskConfig) -> list[Item]:
    seen: Seen = {}
    items = []
    for where, row in rows_of(TASK, config):
        item = checked(_mask(row, where), where)
        refuse_twice(seen, item.item_id, where, item.question, item.incorrect)
        items.append(item)
    return items


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
