"""``warmgap grade``: verdicts for any answers to questions of a task."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from warmgap.cli.parser import SETTINGS, TABLE, command
from warmgap.disk.progress import say


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
    parser.add_argument("settings", nargs="*", default=[], help=SETTINGS.replace("grid=full", "judge.model=…"))


def _grade(options: Any) -> int:
    from warmgap.api import grading
    from warmgap.disk import tabular
    from warmgap.evaluate.judges.rows import grade_rows, journal_of

    run = grading(options.task, options.judge, options.settings)
    rows = tabular.read(options.file, ["item_id", "answer"])
    tabular.check_target(options.out)
    kept = options.out.with_name(f".{options.out.name}")
    graded = grade_rows(rows, run, kept, str(options.file))
    tabular.write(options.out, rows)
    if not graded.paid:
        journal_of(kept).unlink(missing_ok=True)  # what was paid for is kept: it serves the next file too
    for note in graded.notes:
        say(f"note: {note}")
    counts = Counter(row["verdict"] for row in rows)
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())) + f": {options.out}")
    return 0
