"""``warmgap status``: what is on disk."""

from __future__ import annotations

from typing import Any

from warmgap.cli.parser import command, runs_dir
from warmgap.version import train_command


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(commands, "status", _status, "what is on disk", "warmgap status")
    runs_dir(parser)


def _status(options: Any) -> int:
    from rich.table import Table

    from warmgap.disk import arm_names, store
    from warmgap.disk.progress import console

    table = Table("arm", "trained", "answers", "verdicts", "warmth", title=str(options.runs_dir), box=None)
    for path in sorted((options.runs_dir / "arms").glob("*/manifest.json")):
        arm = store.open_arm(path.parent)
        answers = [p for p in arm.folder.glob("answers/*.jsonl") if not p.name.startswith(("warmth-step", "control-"))]
        verdicts = list(arm.folder.glob("verdicts/*/*.jsonl"))
        counts = [sum(1 for p in files for _ in store.read_journal(p)) for files in (answers, verdicts)]
        steps = {row["step"] for row in store.read_journal(arm.warmth)}
        trained = "yes" if arm.adapter.is_dir() else "begun" if arm.rows.exists() else "-"
        table.add_row(arm.name, trained, str(counts[0]), str(counts[1]), f"{len(steps)} points")
    if not table.row_count:
        print(f"no arms in {options.runs_dir}; make one: {train_command()} +persona=warm")
        return 0
    out = console()
    out.print(table)
    short = arm_names.short_names(arm_names.arms_in(options.runs_dir))
    out.print(f"short names: {', '.join(short.values())}", highlight=False, soft_wrap=True)
    for path in sorted((options.runs_dir / "comparisons").glob("*/report.html")):
        out.print(f"report: {path}", highlight=False, soft_wrap=True)
    return 0
