"""The sets of questions: one module and one line for each task, named as its configuration is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from warmgap.errors import UserError
from warmgap.evaluate.tasks import disinformation, embedded, med_qa, trivia_qa, truthful_qa, validation
from warmgap.evaluate.tasks.item import Item, Loaded, Task, checked
from warmgap.settings import plugins
from warmgap.settings.schema import TaskConfig

TASKS: dict[str, Task] = {
    "embedded": Task(embedded.load, short_facts=True, levels=True),
    "trivia_qa": Task(trivia_qa.load, short_facts=True),
    "truthful_qa": Task(truthful_qa.load),
    "med_qa": Task(med_qa.load),
    "disinformation": Task(disinformation.load),
    "validation": Task(validation.load, short_facts=True),
}


def table() -> dict[str, Task]:
    """Return the tasks by name, ours and those from outside. Raises UserError for one that is no ``Task``."""
    found: dict[str, Any] = plugins.table("tasks", TASKS)
    for name, task in found.items():
        if not isinstance(task, Task):
            why = f"it is of type {type(task).__name__}, not a warmgap.evaluate.tasks.item.Task"
            raise UserError(f"task {name!r} cannot be used", why, "wrap what loads it: Task(load)")
    return found


def load_items(tasks: dict[str, TaskConfig]) -> Loaded:
    """Return the items of all tasks, in the order of the configuration, with notes on what was left out."""
    known = table()
    if not tasks:
        raise UserError("no task given", f"the tasks are {', '.join(known)}", "set task=[embedded]")
    items: list[Item] = []
    notes: list[str] = []
    for name, config in tasks.items():
        if name not in known:
            raise UserError(f"task {name!r} is not known", f"the tasks are {', '.join(known)}", "name one of them")
        _check(name, known[name], config)
        loaded = known[name].load(config)
        found = loaded.items if name in TASKS else [checked(item, f"task {name}") for item in loaded.items]
        items += [replace(item, task=name, instruction=config.instruction or "") for item in found]
        notes += loaded.notes
    return Loaded(items, notes)


def _check(name: str, task: Task, config: TaskConfig) -> None:
    """Raise UserError for settings that the task does not take."""
    if config.level is not None and not task.levels:
        levelled = ", ".join(other for other, found in table().items() if found.levels)
        raise UserError(f"task.{name}.level is set", f"only {levelled} has levels", "set it to null")
    if strange := [option for option in config.options if option not in task.options]:
        why = f"its options are {', '.join(task.options)}" if task.options else "it takes none"
        raise UserError(f"task.{name}.options has {strange[0]!r}", why, "leave it out")


def folder() -> Path:
    """Return the folder in which the embedded questions lie."""
    return Path(__file__).resolve().parent
