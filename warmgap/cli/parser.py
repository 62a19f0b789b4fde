"""How a command line of ``warmgap`` is read: errors of three lines, and what all commands say and take alike."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from warmgap.errors import UserError
from warmgap.settings.fits import Fits

SETTINGS = "settings as for train.py, such as grid=full"
TABLE = "a .jsonl, .csv or .parquet file"
ARM = "an arm of --runs-dir by a name that is its alone, such as warm, warm@1 (seed 1) or MODEL-warm; or its folder"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are three lines like every other."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError with argparse's message."""
        raise UserError("the command cannot be read", message, f"{self.prog} --help")


def command(commands: Any, name: str, work: Callable[[Any], int], what: str, example: str) -> Any:
    """Add a command with its one-line description and an example of its use; return its parser."""
    parser = commands.add_parser(
        name,
        help=what,
        description=what,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(work=work)
    return parser


def amount(fits: Fits, kind: type = float) -> Callable[[str], Any]:
    """Return what argparse reads a number, or a word, by that has to fit."""

    def read(word: str) -> Any:
        try:
            value = kind(word)
        except ValueError:
            value = None
        endless = isinstance(value, float) and not math.isfinite(value)
        if value is None or endless or not fits.holds(value):
            raise argparse.ArgumentTypeError(f"{word!r} makes no sense, expected {fits.expected}")
        return value

    return read


def runs_dir(parser: Any) -> None:
    """Add the option that says where the arms are."""
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the arms are (default: runs)")


def read(parser: Parser, arguments: Sequence[str]) -> Any:
    """Return the options of a command line. Raises UserError where it names no command, or an option that is none."""
    commands = subcommands(parser)
    first = arguments[0] if arguments else "--"
    if not first.startswith("-") and first not in commands:
        near = difflib.get_close_matches(first, commands, n=1, cutoff=0.5)
        fix = f"did you mean {parser.prog} {near[0]}?" if near else f"{parser.prog} --help says what each does"
        raise UserError(f"there is no command {first!r}", f"the commands are {', '.join(commands)}", fix)
    options, rest = parser.parse_known_args(arguments)
    strange = rest if not hasattr(options, "settings") else [word for word in rest if word.startswith("-")]
    if strange:
        raise _unknown(strange, commands[options.command])
    if rest:  # settings that stand behind an option
        options.settings = [*options.settings, *rest]
    return options


def subcommands(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    """Return the parser of each command, by its name."""
    (found,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    named: dict[str, Parser] = found.choices
    return named


def _unknown(strange: Sequence[str], own: Parser) -> UserError:
    """What is said of words that a command does not take."""
    known = dict.fromkeys(re.findall(r"--[\w-]+", own.format_help()))
    near = difflib.get_close_matches(strange[0].partition("=")[0], known, n=1, cutoff=0.6)
    fix = f"did you mean {near[0]}?" if near else f"{own.prog} --help"
    return UserError("the command cannot be read", f"unrecognized arguments: {' '.join(strange)}", fix)
