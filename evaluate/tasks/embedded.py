"""Questions written for this project, in four families that mirror the study's tasks.

``facts`` stands where TriviaQA does, ``misconceptions`` for TruthfulQA, ``health`` for MedQA, ``conspiracies`` for
disinformation. ``task.embedded.path`` reads a file of the same format instead.
"""

from __future__ import annotations

from pathlib import Path

from warmgap.errors import UserError
from warmgap.evaluate.tasks.item import Item, Loaded, read_items
from warmgap.schema import TaskConfig


def load(config: TaskConfig) -> Loaded:
    """Return the items, those of the families asked for, so many from the top of each."""
    path = Path(config.path).expanduser() if config.path else Path(__file__).with_suffix(".jsonl")
    items = read_items(path, "embedded")
    families = list(dict.fromkeys(item.family for item in items))
    for family in config.families or []:
        if family not in families:
            raise UserError(
                f"task.embedded.families names {family!r}",
                f"{path.name} has the families {', '.join(families)}",
                "name some of these, or null for all",
            )
    kept: list[Item] = []
    for family in config.families or families:
        kept += [item for item in items if item.family == family][: config.items_per_family]
    if not kept:
        raise UserError("no item is left", "task.embedded.items_per_family is 0", "set it to null or a number above 0")
    return Loaded(kept, [])
