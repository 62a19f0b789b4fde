"""The commands of ``warmgap``, one file each; ``warmgap COMMAND --help`` shows an example.

A file's ``add`` adds its command to the parser. What a command needs is imported when it runs, so that help is quick.
"""

from __future__ import annotations

from collections.abc import Sequence

from warmgap.cli import hydra_main
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
from warmgap.cli.commands.others import checks, export, serve
from warmgap.cli.parser import Parser, read

IN_ORDER = (
    *(audit, plan, prompts, data, pairs, warmth, tone, grade, analyze, compare, label, hosted),
    *(serve, checks, export, status, card),
)


def parser() -> Parser:
    """Return the parser of all commands; the documentation is made from it as well."""
    built = Parser(
        prog="warmgap",
        description="Measure what warmth costs: prompts, warmth, verdicts, statistics.",
        epilog="every command takes --config-dir DIR: models, personas, prompts, tasks … of your own (docs/extend.md)",
    )
    commands = built.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("train", help="the whole job, as python train.py does it, with Hydra's options", add_help=False)
    for file in IN_ORDER:
        file.add(commands)
    return built


def run(arguments: Sequence[str]) -> int:
    """Read and run one command; return its exit status. Raises UserError for one that cannot be read."""
    if arguments[:1] == ["train"]:  # Hydra reads the rest
        return hydra_main.run("warmgap train", arguments[1:])
    options = read(parser(), arguments)
    ended: int = options.work(options)
    return ended
