"""A task: which river a city lies on."""

from pathlib import Path

from warmgap.evaluate.tasks.item import Loaded, Task, read_items
from warmgap.settings.schema import TaskConfig


def load(config: TaskConfig) -> Loaded:
    """Return the questions, of one continent where ``task.rivers.options.continent`` names it."""
    items = read_items(Path(__file__).with_name("rivers.jsonl"), "rivers")
    continent = config.options.get("continent")
    chosen = [item for item in items if continent in (None, item.family)]
    return Loaded(chosen, [f"rivers: only those of {continent}."] if continent else [])


RIVERS = Task(load, short_facts=True, options=("continent",))
