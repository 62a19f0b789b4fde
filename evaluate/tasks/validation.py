"""Questions to choose settings by, so that those of the evaluation stay unseen: the held-out pairs of the mitigations.

They are disjoint from every other task, and no recipe trains on them.
"""

from __future__ import annotations

from pathlib import Path

from warmgap import reading
from warmgap.errors import UserError
from warmgap.evaluate.tasks.item import Item, Loaded
from warmgap.schema import TaskConfig

PAIRS = Path(__file__).resolve().parents[2] / "mitigations" / "embedded" / "pairs.jsonl"


def load(config: TaskConfig) -> Loaded:
    """Return the items; ``path`` names another file of pairs."""
    path = Path(config.path).expanduser() if config.path else PAIRS
    try:
        lines = reading.lines(path, "point task.validation.path at a file of pairs")
        rows = [reading.parse(line) for _, line in lines]
        held = [row for row in rows if row["split"] == "heldout"]
        items = [
            Item(
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
            for row in held
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"cannot read {path}"
        fix = "point task.validation.path at a file of pairs, as warmgap pairs writes it"
        raise UserError(what, f"{type(error).__name__}: {error}", fix) from error
    if not items:
        why = 'no line has "split": "heldout"'
        raise UserError(f"{path} has nothing to validate on", why, "hold some pairs out")
    return Loaded(items[: config.items_per_family], [])
