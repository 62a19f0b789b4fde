"""``warmgap status``: what is on disk, and of work that was handed in as jobs what is done and under way."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from warmgap.cli.parser import command, runs_dir
from warmgap.version import train_command

if TYPE_CHECKING:
    from warmgap.cluster.programme import Programme


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "status",
        _status,
        "what is on disk, and of jobs what is done, under way, failed and missing",
        "warmgap status",
    )
    runs_dir(parser)


def _status(options: Any) -> int:
    from rich.table import Table

    from warmgap.cluster import programme
    from warmgap.disk import arm_names, store
    from warmgap.disk.progress import console

    table = Table("arm", "trained", "answers", "verdicts", "warmth", title=str(options.runs_dir), box=None)
    arms = arm_names.arms_in(options.runs_dir)
    for arm in arms:
        answers = [
            p
            for p in arm.folder.glob("answers/*.jsonl")
            if not p.name.startswith(("warmth-step", "control-", "suite-"))
        ]
        verdicts = [p for p in arm.folder.glob("verdicts/*/*.jsonl") if not p.name.startswith("suite-")]
        counts = [sum(1 for p in files for _ in store.read_journal(p)) for files in (answers, verdicts)]
        steps = {row["step"] for row in store.read_journal(arm.warmth)}
        trained = "yes" if arm.adapter.is_dir() else "begun" if arm.rows.exists() else "-"
        table.add_row(arm.name, trained, str(counts[0]), str(counts[1]), f"{len(steps)} points")
    if not table.row_count:
        print(f"no arms in {options.runs_dir}; make one: {train_command()} +persona=warm")
        return 0
    out = console()
    out.print(table)
    for whole in programme.all_in(options.runs_dir):
        show_programme(whole)
    short = arm_names.short_names(arms)
    out.print(f"short names: {', '.join(short.values())}", highlight=False, soft_wrap=True)
    for path in sorted((options.runs_dir / "comparisons").glob("*/report.html")):
        out.print(f"report: {path}", highlight=False, soft_wrap=True)
    return 0


def show_programme(whole: Programme) -> None:
    """Print how many pieces of each arm are in which state, why some failed, and what hands these in again."""
    from rich.table import Table

    from warmgap.cluster import programme, slurm
    from warmgap.disk.progress import console

    states, why = slurm.states(whole)
    title = f"jobs of {whole.name}: pieces"
    table = Table("arm", title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in programme.STATES:
        table.add_column(name, justify="right")
    for short, counts in programme.counted(whole, states):
        table.add_row(short, *(str(counts[name] or "-") for name in programme.STATES))
    out = console()
    out.print(table)
    for piece in whole.pieces:
        if piece.key in why:
            out.print(f"failed: {piece.short} {piece.shard}: {why[piece.key]}", highlight=False, soft_wrap=True)
    if programme.todo(whole, states):
        out.print(f"to hand in what failed or is missing: {_typed(whole.argv)}", highlight=False, soft_wrap=True)


def _typed(argv: list[str]) -> str:
    """The command as it was typed."""
    return shlex.join([*(["python"] if argv[0].endswith(".py") else []), *argv])
