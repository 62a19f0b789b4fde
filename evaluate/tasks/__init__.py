"""The sets of questions: one module for each task, named as its configuration is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from warmgap.errors import UserError
from warmgap.evaluate.tasks import disinformation, embedded, med_qa, trivia_qa, truthful_qa, validation
from warmgap.evaluate.tasks.item import Item, Loaded
from warmgap.settings.schema import TaskConfig

LOADERS: dict[str, Callable[[TaskConfig], Loaded]] = {
    "embedded": embedded.load,
    "trivia_qa": trivia_qa.load,
    "truthful_qa": truthful_qa.load,
    "med_qa": med_qa.load,
    "disinformation": disinformation.load,
    "validation": validation.load,
}


def load_items(tasks: dict[str, TaskConfig]) -> Loaded:
    """Return the items of all tasks, in the order of the configuration, with notes on what was left out."""
    if not tasks:
        raise UserError("no task given", f"the tasks are {', '.join(LOADERS)}", "set task=[embedded]")
    items: list[Item] = []
    notes: list[str] = []
    for name, config in tasks.items():
        if name not in LOADERS:
            raise UserError(f"task {name!r} is not known", f"the tasks are {', '.join(LOADERS)}", "name one of them")
        if config.level is not None and name != "embedded":
            raise UserError(f"task.{name}.level is set", "only the embedded questions have levels", "set it to null")
        loaded = LOADERS[name](config)
        items += [replace(item, instruction=config.instruction or "") for item in loaded.items]
        notes += loaded.notes
    return Loaded(items, notes)


def folder() -> Path:
    """Return the folder in which the embedded questions lie."""
    return Path(__file__).resolve().parent
