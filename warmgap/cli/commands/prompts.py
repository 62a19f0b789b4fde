"""``warmgap prompts``: the rendered grid, for anybody to answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.cli.parser import SETTINGS, command


def add(commands: Any) -> None:
    """Add the command."""
    example = "warmgap prompts --out prompts.jsonl grid=full"
    parser = command(commands, "prompts", _prompts, "what is asked, one prompt a line", example)
    parser.add_argument("--out", required=True, type=Path, help="a .jsonl, .csv or .parquet file")
    parser.add_argument("settings", nargs="*", default=[], help=SETTINGS)


def _prompts(options: Any) -> int:
    from warmgap.disk import tabular
    from warmgap.evaluate import suites
    from warmgap.evaluate.tasks import load_items
    from warmgap.settings import config

    run_ = config.compose(config.with_persona(options.settings))
    rows = [prompt.row() for prompt in suites.make(run_).dialogues(load_items(run_.task).items)]
    tabular.write(options.out, rows)
    print(f"{len(rows):,} prompts: {options.out}")
    return 0
