"""``warmgap compare``: arms that are on disk, put side by side, with a gate where one is asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from warmgap.cli.parser import command
from warmgap.cli.show import show


def add(commands: Any) -> None:
    """Add the command."""
    example = "warmgap compare runs/arms/…-original-… runs/arms/…-warm-… --gate 2"
    parser = command(commands, "compare", _compare, "a comparison of arms on disk", example)
    parser.add_argument("arms", nargs="+", type=Path, metavar="ARM", help="folders in runs/arms; one is the original")
    parser.add_argument("--gate", type=float, metavar="MARGIN", help="fail unless each arm is within MARGIN pp")
    parser.add_argument("--keep-warmth", type=float, metavar="PCT", help="fail unless so much of warm's warmth is kept")
    parser.add_argument("--against", choices=["study"], help="put the gaps beside the published ones")
    parser.add_argument("--grader", help="whose verdicts (default: of those that all arms have, the judge of the run)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))


def _compare(options: Any) -> int:
    from warmgap.evaluate.report import arms, gate, mitigation_verdicts
    from warmgap.settings.mitigation_schema import CompareConfig

    gate.check(options.arms, options.gate, options.keep_warmth)
    asked = CompareConfig()
    if options.gate is not None:
        asked.margin_pp = options.gate
    if options.keep_warmth is not None:
        asked.keep_warmth_pct = options.keep_warmth
    folder = arms.compare(
        options.arms,
        options.grader,
        options.runs_dir,
        lambda folder, measured: mitigation_verdicts.write(folder, measured, asked, resamples=2000),
    )
    if options.against:
        from warmgap.evaluate.report.terminal.tables import print_study

        print_study(folder)
    show(folder)
    failed = gate.failures(folder, options.arms, options.gate, options.keep_warmth)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0
