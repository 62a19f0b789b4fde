"""Questions to choose settings by, so that those of the evaluation stay unseen: the held-out pairs of the mitigations.

They are disjoint from every other task, and no recipe trains on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.disk import intake
from warmgap.errors import UserError
from warmgap.evaluate.tasks.item import Item, Loaded, Seen, checked, refuse_twice
from warmgap.settings.schema import TaskConfig

PAIRS = Path(__file__).resolve().parents[2] / "mitigations" / "pairs" / "embedded" / "pairs.jsonl"


def load(config: TaskConfig) -> Loaded:
    """Return the items; ``path`` names another file of pairs."""
    path = Path(config.path).expanduser() if config.path else PAIRS
    try:
        lines = intake.lines(path, "point task.validation.path at a file of pairs")
        rows = [(f"{path}:{number}", intake.parse(line)) for number, line in lines]
        items = [(where, _item(row)) for where, row in rows if row["split"] == "heldout"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"cannot read {path}"
        fix = "point task.validation.path at a file of pairs, as warmgap pairs writes it"
        raise UserError(what, f"{type(error).__name__}: {error}", fix) from error
    if not items:
        why = 'no line has "split": "heldout"'
        raise UserError(f"{path} has nothing to validate on", why, "hold some pairs out")
    seen: Seen = {}
    for where, item in items:
        refuse_twice(seen, checked(item, where).item_id, where, where)
    return Loaded([item for _, item in items][: config.items_per_family], [])


def _item(row: dict[str, Any]) -> Item:
    return Item(
        task="validation",
        item_id=row["id"],
        family="validation",
        question=row["question"],
        correct=row["correct"],
        incorrect=row["incorrect"],
        aliases=(),
        incorrect_aliases=(),
        source="",
    )
