"""Where a task's rows come from, a local file or the hub, and the seeded draw of a part of its items."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warmgap.disk import intake, tabular
from warmgap.errors import UserError
from warmgap.evaluate.tasks.item import Item
from warmgap.settings.schema import TaskConfig

ENDINGS = (".csv", ".jsonl", ".json", ".parquet")
Row = dict[str, Any]


def rows_of(task: str, config: TaskConfig, group: str = "task") -> list[tuple[str, Row]]:
    """Return the set's rows, each with a name for messages (``file:row``); UserError where there are none."""
    key = f"{group}.{task}.path"
    if config.path is None:
        return _from_hub(task, config, group)
    path = Path(config.path).expanduser()
    if path.suffix not in ENDINGS:
        raise UserError(f"{path} is of no known kind", f"files end in {', '.join(ENDINGS)}", f"set {key}")
    try:
        rows = _read(path, f"set {key} to a readable {path.suffix} file")
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"cannot read {path}", why, f"set {key} to a readable {path.suffix} file") from error
    if not rows:
        raise UserError(f"{path} has no rows", "the file is empty", f"set {key} to a file with questions")
    return [(f"{path}:{number}", row) for number, row in enumerate(rows, 1)]


def _read(path: Path, fix: str) -> list[Row]:
    import pandas as pd

    if path.suffix == ".jsonl":
        rows = [intake.parse(line) for _, line in intake.lines(path, fix)]
    elif path.suffix == ".json":
        rows = intake.parse(intake.text(path, fix))
    else:
        if path.suffix == ".parquet":
            table = tabular.read_parquet(path)
        else:
            table = pd.read_csv(io.StringIO(intake.text(path, fix)), dtype=str, na_filter=False)
        rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("its rows are not objects")
    return rows


def _from_hub(task: str, config: TaskConfig, group: str) -> list[tuple[str, Row]]:
    fix = f"log in or go online, or set {group}.{task}.path to a local copy"
    if not config.id or not config.revision or not config.split:
        why = "neither path nor id, revision and split are set"
        raise UserError(f"{group} {task} has no source", why, f"set {group}.{task}.path to a local file")
    from datasets import load_dataset

    try:
        loaded = load_dataset(config.id, name=config.subset, split=config.split, revision=config.revision)
    except Exception as error:  # the hub, the network and the library fail in many ways; each is for the user to mend
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise UserError(f"cannot load {config.id} at {config.revision[:8]}", why[:300], fix) from error
    return [(f"{config.id}:{number}", dict(row)) for number, row in enumerate(loaded, 1)]


def text(row: Row, names: Sequence[str], where: str, task: str) -> str:
    """Return the first of these columns as text; UserError that names the columns where it is absent or empty."""
    for name in names:
        if name in row:
            if isinstance(row[name], str) and row[name].strip():
                return " ".join(row[name].split())
            raise UserError(f"{where}: {name!r} is empty", "every row needs it as a text", "mend or remove the row")
    raise UserError(
        f"{where} has no {' or '.join(map(repr, names))}",
        f"its columns are {', '.join(map(str, row))[:200]}",
        f"give {task} a file in the data set's own public format",
    )


def item_id(row: Row, question: str) -> str:
    """Return the set's own id, else a short hash of the question, which stays when rows move."""
    for name in ("id", "question_id", "task_id"):
        if row.get(name):
            return str(row[name])
    return hashlib.sha256(question.encode()).hexdigest()[:12]


def draw(seed: int, *parts: object) -> bytes:
    """Return bytes that decide a draw: a hash of seed and parts, whatever else is in the file."""
    return hashlib.sha256(":".join(map(str, (seed, *parts))).encode()).digest()


def finish(task: str, items: Sequence[Item], config: TaskConfig, notes: list[str]) -> list[Item]:
    """Leave out questions that stand twice, take the families asked for, and draw the sample."""
    if not items:
        why = "; ".join(notes) or "it is empty"
        raise UserError(f"{task} has no question that can be asked", why, f"set task.{task}.path to another file")
    unique: dict[str, Item] = {}
    for item in items:
        unique.setdefault(" ".join(item.question.lower().split()), item)
    if len(unique) < len(items):
        notes.append(f"{task}: {len(items) - len(unique)} questions stand twice and are asked once.")
    kept = list(unique.values())
    families = list(dict.fromkeys(item.family for item in kept))
    for family in config.families or []:
        if family not in families:
            known = ", ".join(families)[:300]
            raise UserError(f"task.{task}.families names {family!r}", f"the set has {known}", "name some of these")
    if config.families:
        kept = [item for item in kept if item.family in config.families]
    if config.items_per_family is not None:
        kept = [i for f in families for i in [x for x in kept if x.family == f][: config.items_per_family]]
    if config.sample is None or config.sample >= len(kept):
        if config.sample is not None and config.sample > len(kept):
            notes.append(f"{task}: all {len(kept)} questions are asked, {config.sample} were wanted.")
        return kept
    return stratified(kept, config.sample, config.seed)


def stratified(items: Sequence[Item], n: int, seed: int) -> list[Item]:
    """Draw n items in proportion to their families (largest remainder), by a hash of seed and item; order is kept."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.family, []).append(item)
    exact = {family: n * len(group) / len(items) for family, group in groups.items()}
    sizes = {family: int(value) for family, value in exact.items()}
    ranked = sorted(exact, key=lambda family: (sizes[family] - exact[family], draw(seed, "family", family)))
    for family in ranked[: n - sum(sizes.values())]:
        sizes[family] += 1
    chosen = {
        (item.task, item.item_id)
        for family, group in groups.items()
        for item in sorted(group, key=lambda one: draw(seed, one.item_id))[: sizes[family]]
    }
    return [item for item in items if (item.task, item.item_id) in chosen]
