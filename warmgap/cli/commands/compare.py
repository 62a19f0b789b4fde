"""``warmgap compare``: arms that are on disk, put side by side, with a gate where one is asked for."""

from __future__ import annotations

import sys
from typing import Any

from warmgap.cli.parser import ARM, command, runs_dir
from warmgap.cli.show import show


def add(commands: Any) -> None:
    """Add the command."""
    example = "warmgap compare warm --gate 2\n  warmgap compare original warm@0 warm@1"
    parser = command(commands, "compare", _compare, "a comparison of arms on disk", example)
    more = "; the original of the same model is added where none is named"
    parser.add_argument("arms", nargs="*", default=[], metavar="ARM", help=ARM + more)
    parser.add_argument("--gate", type=float, metavar="MARGIN", help="fail unless each arm is within MARGIN pp")
    parser.add_argument("--keep-warmth", type=float, metavar="PCT", help="fail unless so much of warm's warmth is kept")
    parser.add_argument("--against", choices=["study"], help="put the gaps beside the published ones")
    parser.add_argument("--grader", help="whose verdicts (default: of those that all arms have, the judge of the run)")
    runs_dir(parser)


def _compare(options: Any) -> int:
    from warmgap.disk.arm_names import find_arms
    from warmgap.evaluate.report import arms, gate
    from warmgap.settings.mitigation_schema import CompareConfig

    folders, added = find_arms(options.runs_dir, options.arms)
    gate.check(folders, options.gate, options.keep_warmth)
    for folder in added:
        print(f"original: {folder.name}", file=sys.stderr)
    asked = CompareConfig()
    if options.gate is not None:
        asked.margin_pp = options.gate
    if options.keep_warmth is not None:
        asked.keep_warmth_pct = options.keep_warmth
    folder = arms.compare(folders, options.grader, options.runs_dir, asked)
    if options.against:
        from warmgap.evaluate.report.terminal.tables import print_study

        print_study(folder)
    show(folder)
    failed = gate.failures(folder, folders, options.gate, options.keep_warmth)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0
