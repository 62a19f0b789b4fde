"""Questions written for this project, in four families that mirror the study's tasks, and in two levels.

``facts`` stands where TriviaQA does, ``misconceptions`` for TruthfulQA, ``health`` for MedQA, ``conspiracies`` for
disinformation. Small models can answer the easy ones, which a gap needs. ``task.embedded.path`` reads a file of the
same format instead.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from warmgap.errors import UserError
from warmgap.evaluate.tasks.item import LEVELS, Item, Loaded, Seen, read_items, refuse_twice
from warmgap.settings.schema import TaskConfig

TASK = "embedded"
FILES = {level: Path(__file__).resolve().with_name(f"{level}.jsonl") for level in LEVELS}


def load(config: TaskConfig) -> Loaded:
    """Return the items of a level, those of the families asked for, so many from the top of each."""
    if config.level not in (None, "all", *LEVELS):
        known = f"the levels are {', '.join(LEVELS)} and all"
        raise UserError(
            f"task.embedded.level {config.level!r} is not known", known, "name one of them, or null for all"
        )
    path = Path(config.path).expanduser() if config.path else None
    items = _own() if path is None else read_items(path, TASK)
    name = "the set" if path is None else path.name
    if config.level in LEVELS and any(item.level for item in items):  # a file without levels is taken whole
        found = sorted({item.level or "hard" for item in items})
        items = [item for item in items if (item.level or "hard") == config.level]
        if not items:
            why = f"{name} has the level {', '.join(found)}"
            raise UserError(f"no item is of level {config.level}", why, "set task.embedded.level=all")
    families = list(dict.fromkeys(item.family for item in items))
    for family in config.families or []:
        if family not in families:
            raise UserError(
                f"task.embedded.families names {family!r}",
                f"{name} has the families {', '.join(families)}",
                "name some of these, or null for all",
            )
    kept: list[Item] = []
    for family in config.families or families:
        kept += [item for item in items if item.family == family][: config.items_per_family]
    if not kept:
        raise UserError("no item is left", "task.embedded.items_per_family is 0", "set it to null or a number above 0")
    return Loaded(kept, [])


def _own() -> list[Item]:
    """Our own questions of both levels; the file says the level, and an id names one question over both."""
    seen: Seen = {}
    items = []
    for level, path in FILES.items():
        for item in read_items(path, TASK):
            refuse_twice(seen, item.item_id, path.name, level)
            items.append(replace(item, level=level))
    return items
