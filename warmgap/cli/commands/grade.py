"""``warmgap grade``: verdicts for any answers to questions of a task."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from warmgap.cli.parser import SETTINGS, TABLE, command, with_persona
from warmgap.errors import UserError


def add(commands: Any) -> None:
    """Add the command."""
    example = "warmgap grade answers.jsonl --task embedded --judge match --out verdicts.csv"
    parser = command(commands, "grade", _grade, "verdicts for any answers", example)
    parser.add_argument(
        "file", type=Path, help="rows with item_id and answer; task, finish_reason, context, belief if known"
    )
    parser.add_argument("--task", required=True, help="one of conf/task; several, as a,b, where the rows name theirs")
    parser.add_argument("--judge", required=True)
    parser.add_argument("--out", required=True, type=Path, help=TABLE)
    parser.add_argument("settings", nargs="*", help=SETTINGS.replace("grid=full", "judge.model=…"))


def _grade(options: Any) -> int:
    from warmgap.disk import tabular
    from warmgap.engines import replies
    from warmgap.evaluate import judges
    from warmgap.evaluate.judges.grade import error_of, grade
    from warmgap.evaluate.tasks import load_items
    from warmgap.settings import config

    tasks = options.task.split(",")
    settings = [f"task=[{options.task}]", f"judge={options.judge}", "++judge.second=null"]
    settings += ["task.embedded.level=all"] * ("embedded" in tasks)  # the rows name their questions
    settings += options.settings
    run_ = config.compose(with_persona(settings))
    judges.check(run_.judge, tasks)
    rows = tabular.read(options.file, ["item_id", "answer"])
    tabular.check_target(options.out)
    items = {(item.task, item.item_id): item for item in load_items(run_.task).items}
    answers: list[dict[str, Any]] = []
    prompts: list[Any] = []
    for number, row in enumerate(rows, 1):
        task = str(row.get("task") or tasks[0]) if len(tasks) > 1 else tasks[0]
        if (task, str(row["item_id"])) not in items:
            why = f"{task} has no item {row['item_id']!r}" if task in tasks else f"its task is {task}"
            raise UserError(f"{options.file}: row {number} cannot be graded", why, "check item_id, task and --task")
        answers.append(_answered(row, prompts, items[task, str(row["item_id"])]))
    hidden = f".{options.out.name}"
    bench = judges.Judges(run_.judge, run_.device, options.out.with_name(f"{hidden}.batches.jsonl"))
    judge = bench.build(run_.judge.name)
    journal = options.out.with_name(f"{hidden}.journal.jsonl")
    with bench.costs(judge, options.out.with_name(f"{hidden}.costs.jsonl")):
        journals = dict.fromkeys(tasks, journal)
        verdicts = grade(judge, answers, prompts, items, journals, f"verdicts by {judge.name}")
    for row, verdict in zip(rows, verdicts, strict=True):
        row.update(verdict=verdict["verdict"], grader=verdict["grader"], reason=verdict["reason"])
        row["error"] = error_of(verdict["verdict"], verdict["task"])
    tabular.write(options.out, rows)
    if not judge.paid:
        journal.unlink(missing_ok=True)  # what was paid for is kept: it serves the next file too
    for note in [*judges.notes(run_.judge, tasks), *replies.unknown_reasons(row["finish_reason"] for row in answers)]:
        print(f"note: {note}", file=sys.stderr)
    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[verdict["verdict"]] = counts.get(verdict["verdict"], 0) + 1
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())) + f": {options.out}")
    return 0


def _answered(row: dict[str, Any], prompts: list[Any], item: Any) -> dict[str, Any]:
    """Return a row as grading takes it, and add the place it has in the grid to ``prompts``."""
    from warmgap.engines.replies import finish_reason
    from warmgap.evaluate.suites.grid import Prompt
    from warmgap.settings.schema import digest

    context, belief = str(row.get("context") or "none"), str(row.get("belief") or "none")
    text, finish = str(row["answer"] or ""), finish_reason(row.get("finish_reason"))[0]
    shown = str(row.get("prompt") or "")
    prompts.append(Prompt(item.task, item.item_id, item.family, context, "", belief, shown))
    key = digest([item.task, item.item_id, context, belief, text, finish], 16)
    return {"key": key, "answer": text, "finish_reason": finish, "reasoning": row.get("reasoning")}
