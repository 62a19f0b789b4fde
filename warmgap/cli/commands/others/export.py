"""``warmgap export``: the answers and verdicts of a comparison or an arm in the format of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.cli.parser import ARM, command, runs_dir


def add(commands: Any) -> None:
    """Add the command."""
    what = "answers and verdicts as another tool's logs"
    parser = command(commands, "export", _export, what, "warmgap export runs/comparisons/… --to inspect --out logs")
    parser.add_argument("what", metavar="COMPARISON|ARM", help=f"a comparison's folder; or {ARM}")
    parser.add_argument("--to", required=True, choices=["inspect"], help="inspect: one log for each arm and task")
    parser.add_argument("--out", required=True, type=Path, help="the folder that the logs are written into")
    runs_dir(parser)


def _export(options: Any) -> int:
    from warmgap.disk.arm_names import find_arm
    from warmgap.errors import UserError
    from warmgap.evaluate import inspect_log

    if options.out.exists() and not options.out.is_dir():
        raise UserError(f"{options.out} is a file", "the logs are several", "name a folder with --out")
    folder = Path(options.what)
    is_comparison = (folder / "answers.parquet").is_file()
    logs = (
        inspect_log.of_comparison(folder)
        if is_comparison
        else inspect_log.of_arm(find_arm(options.runs_dir, options.what))
    )
    paths = inspect_log.write(logs, options.out)
    print(f"{len(paths)} logs: {options.out}   (inspect view --log-dir {options.out})")
    return 0
