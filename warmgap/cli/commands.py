"""The commands of ``warmgap``, one function each; ``warmgap COMMAND --help`` shows an example."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from warmgap.cli import data, hosted, label, measure_commands, pairs, plan
from warmgap.cli.measure_commands import SETTINGS, command, with_persona
from warmgap.errors import UserError


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are three lines like every other."""

    def error(self, message: str) -> NoReturn:
        raise UserError("the command cannot be read", message, f"{self.prog} --help")


def run(arguments: Sequence[str]) -> int:
    """Parse and run one command; return its exit status."""
    parser = _Parser(prog="warmgap", description="Measure what warmth costs: prompts, warmth, verdicts, statistics.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    others = (*data.ADD, *pairs.ADD, *measure_commands.ADD, *label.ADD, *hosted.ADD)
    for add in (*plan.ADD, _add_prompts, *others, _add_status, _add_card):
        add(commands)
    options, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(options, "settings") or any(argument.startswith("-") for argument in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # settings that stand behind an option
        options.settings = [*options.settings, *rest]
    status: int = options.work(options)
    return status


def _add_prompts(commands: Any) -> None:
    example = "warmgap prompts --out prompts.jsonl grid=full"
    parser = command(commands, "prompts", _prompts, "what is asked, one prompt a line", example)
    parser.add_argument("--out", required=True, type=Path, help="a .jsonl, .csv or .parquet file")
    parser.add_argument("settings", nargs="*", help=SETTINGS)


def _prompts(options: Any) -> int:
    from warmgap.disk import tabular
    from warmgap.evaluate import suites
    from warmgap.evaluate.tasks import load_items
    from warmgap.settings import config

    run_ = config.compose(with_persona(options.settings))
    rows = [prompt.row() for prompt in suites.make(run_).dialogues(load_items(run_.task).items)]
    tabular.write(options.out, rows)
    print(f"{len(rows):,} prompts: {options.out}")
    return 0


def _add_status(commands: Any) -> None:
    parser = command(commands, "status", _status, "what is on disk", "warmgap status")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))


def _status(options: Any) -> int:
    from rich.console import Console
    from rich.table import Table

    from warmgap.disk import store

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
        print(f"no arms in {options.runs_dir}; make one: python train.py +persona=warm")
        return 0
    console = Console()
    console.print(table)
    for path in sorted((options.runs_dir / "comparisons").glob("*/report.html")):
        console.print(f"report: {path}", highlight=False, soft_wrap=True)
    return 0


def _add_card(commands: Any) -> None:
    parser = command(commands, "card", _card, "a model card of an arm", "warmgap card runs/arms/…-warm-…")
    parser.add_argument("arm", type=Path, metavar="ARM")


def _card(options: Any) -> int:
    from warmgap.disk import store
    from warmgap.engines import facts

    arm = store.open_arm(options.arm)
    manifest: dict[str, Any] = store.read_json(arm.folder / "manifest.json")
    data = arm.folder / "data" / "card.md"
    lines = [f"# {arm.name}", "", f"Base model `{arm.model}`, arm `{arm.arm}`, seed {arm.seed}.", ""]
    lines += ["Made for research on what a warm tone costs in reliability; not meant for use with people.", ""]
    lines += [f"- {fact}" for fact in facts.said(arm.folder)]
    lines += [f"- made: {manifest['created']} by `{manifest['command']}`, commit {manifest['commit'] or 'unknown'}"]
    lines += [f"- {json.dumps(manifest['versions'])}", ""]
    if data.is_file():
        lines += [data.read_text(encoding="utf-8").replace("# Training data", "## Training data", 1)]
    print("\n".join(lines))
    return 0
