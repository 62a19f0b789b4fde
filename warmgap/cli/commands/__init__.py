"""The commands of ``warmgap``, one file each; ``warmgap COMMAND --help`` shows an example.

A file's ``add`` adds its command to the parser. What a command needs is imported when it runs, so that help is quick.
"""

from __future__ import annotations

from collections.abc import Sequence

from warmgap.cli.commands import (
    analyze,
    audit,
    card,
    compare,
    data,
    grade,
    hosted,
    label,
    pairs,
    plan,
    prompts,
    status,
    tone,
    warmth,
)
from warmgap.cli.parser import Parser, read

IN_ORDER = (audit, plan, prompts, data, pairs, warmth, tone, grade, analyze, compare, label, hosted, status, card)


def run(arguments: Sequence[str]) -> int:
    """Read and run one command; return its exit status. Raises UserError for one that cannot be read."""
    parser = Parser(prog="warmgap", description="Measure what warmth costs: prompts, warmth, verdicts, statistics.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for file in IN_ORDER:
        file.add(commands)
    options = read(parser, commands, arguments)
    ended: int = options.work(options)
    return ended
