"""Verdicts for answers that come as rows of a table, whoever gave them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from warmgap.disk import locks
from warmgap.engines.replies import finish_reason, unknown_reasons
from warmgap.errors import UserError
from warmgap.evaluate import judges
from warmgap.evaluate.judges.grade import error_of, grade
from warmgap.evaluate.suites.base import Prompt
from warmgap.evaluate.tasks import load_items
from warmgap.evaluate.tasks.item import Item
from warmgap.settings.identity import digest
from warmgap.settings.schema import Run


class Graded(NamedTuple):
    """What has to be known of the verdicts: ``notes``, and whether their judge was ``paid``."""

    notes: list[str]
    paid: bool


def grade_rows(rows: Sequence[dict[str, Any]], run: Run, kept: Path, where: str = "the table") -> Graded:
    """Add ``verdict``, ``grader``, ``reason`` and ``error`` to each row; return what has to be known of them.

    A row has ``item_id`` and ``answer``; ``task`` where the run has several, and where known ``finish_reason``,
    ``context``, ``belief``, ``prompt`` and ``reasoning``. ``kept`` is where journals lie while the judge works, so that
    a stopped call goes on: ``<kept>.journal.jsonl`` and, of a paid judge, costs and batches; of two at once the second
    waits for the first, and pays for nothing twice. Raises UserError for a
    judge that is not fit for the tasks, and a row that names none of their items.
    """
    tasks = list(run.task)
    judges.check(run.judge, tasks)
    items = {(item.task, item.item_id): item for item in load_items(run.task).items}
    answers: list[dict[str, Any]] = []
    prompts: list[Prompt] = []
    for number, row in enumerate(rows, 1):
        task = str(row.get("task") or tasks[0]) if len(tasks) > 1 else tasks[0]
        if (task, str(row["item_id"])) not in items:
            why = f"{task} has no item {row['item_id']!r}" if task in tasks else f"its task is {task}"
            raise UserError(f"{where}: row {number} cannot be graded", why, "check item_id and task")
        answers.append(_answered(row, prompts, items[task, str(row["item_id"])]))
    bench = judges.Judges(run.judge, run.device, Path(f"{kept}.batches.jsonl"))
    judge = bench.build(run.judge.name)
    journal = journal_of(kept)
    with locks.alone(kept) if judge.paid else nullcontext(), bench.costs(judge, Path(f"{kept}.costs.jsonl")):
        verdicts = grade(judge, answers, prompts, items, dict.fromkeys(tasks, journal), f"verdicts by {judge.name}")
    for row, verdict in zip(rows, verdicts, strict=True):
        row.update(verdict=verdict["verdict"], grader=verdict["grader"], reason=verdict["reason"])
        row["error"] = error_of(verdict["verdict"], verdict["task"])
    notes = [*judges.notes(run.judge, tasks), *unknown_reasons(answer["finish_reason"] for answer in answers)]
    return Graded(notes, judge.paid)


def journal_of(kept: Path) -> Path:
    """Return the file of the verdicts that ``grade_rows`` has given so far."""
    return Path(f"{kept}.journal.jsonl")


def _answered(row: dict[str, Any], prompts: list[Prompt], item: Item) -> dict[str, Any]:
    """Return a row as grading takes it, and add the place that it has in the grid to ``prompts``."""
    context, belief = str(row.get("context") or "none"), str(row.get("belief") or "none")
    text, finish = str(row["answer"] or ""), finish_reason(row.get("finish_reason"))[0]
    prompts.append(Prompt(item.task, item.item_id, item.family, context, "", belief, str(row.get("prompt") or "")))
    key = digest([item.task, item.item_id, context, belief, text, finish], 16)
    return {"key": key, "answer": text, "finish_reason": finish, "reasoning": row.get("reasoning")}
