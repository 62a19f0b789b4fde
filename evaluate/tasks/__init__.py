"""The sets of questions: one module for each task, named as its configuration is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from warmgap.errors import UserError
from warmgap.evaluate.tasks import embedded
from warmgap.evaluate.tasks.item import Item
from warmgap.schema import TaskConfig

LOADERS: dict[str, Callable[[TaskConfig], list[Item]]] = {
    "embedded": embedded.load,
}


def load_items(tasks: dict[str, TaskConfig]) -> list[Item]:
    """Return the items of all tasks, in the order of the configuration and of the files."""
    if not tasks:
        raise UserError("no task given", f"the tasks are {', '.join(LOADERS)}", "set task=[embedded]")
    items: list[Item] = []
    for name, config in tasks.items():
        if name not in LOADERS:
            raise UserError(f"task {name!r} is not known", f"the tasks are {', '.join(LOADERS)}", "name one of them")
        items += LOADERS[name](config)
    return items


def folder() -> Path:
    """Return the folder in which the embedded questions lie."""
    return Path(__file__).resolve().parent
