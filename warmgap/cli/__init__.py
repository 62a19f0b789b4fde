"""The command lines: ``python train.py`` and ``warmgap``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from warmgap.cli.guard import guarded
from warmgap.errors import UserError, shown


def train() -> int:
    """Run ``python train.py``: compose the settings with Hydra, check them, run the whole job; return its status."""
    from warmgap.cli import hydra_main

    program, *given = sys.argv

    def work() -> int:
        check_words(given)
        return hydra_main.run(program, given)

    return guarded(work, _runs_dir(given), shlex.join(["python", *sys.argv]))


def main(arguments: list[str] | None = None) -> int:
    """Run ``warmgap COMMAND …``; return its exit status. ``warmgap train …`` is ``python train.py …``."""
    from warmgap.settings import plugins

    given = sys.argv[1:] if arguments is None else arguments
    try:
        return guarded(lambda: _command(given), _runs_dir(given), shlex.join(["warmgap", *given]))
    finally:
        plugins.use((), ())  # what was put to work was for this command


def _command(arguments: Sequence[str]) -> int:
    from warmgap.cli import commands
    from warmgap.settings import config

    check_words(arguments)
    return commands.run(config.outside(arguments))


def check_words(words: Sequence[str]) -> None:
    """Raise UserError for a word with a sign that no name and no setting has, such as NUL or half an emoji."""
    for word in words:
        if shown(word) != word:
            why = f"{word!a} has a control character, or is not UTF-8"
            raise UserError("the command cannot be read", why, "type it again, without what cannot be seen")


def _runs_dir(words: Sequence[str]) -> Path:
    """Where a command keeps its arms, and the log of what fails."""
    for place, word in enumerate(words):
        if word.startswith(("runs_dir=", "--runs-dir=")):
            return Path(word.partition("=")[2])
        if word == "--runs-dir" and place + 1 < len(words):
            return Path(words[place + 1])
    return Path("runs")
