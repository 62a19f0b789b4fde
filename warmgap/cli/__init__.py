"""The command lines: ``python train.py`` and ``warmgap``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from warmgap.cli.guard import guarded


def train() -> int:
    """Run ``python train.py``: compose the settings with Hydra, check them, run the whole job; return its status."""
    from warmgap.cli import hydra_main

    program, *given = sys.argv
    return guarded(lambda: hydra_main.run(program, given), _runs_dir(given), shlex.join(["python", *sys.argv]))


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

    return commands.run(config.outside(arguments))


def _runs_dir(words: Sequence[str]) -> Path:
    """Where a command keeps its arms, and the log of what fails."""
    for place, word in enumerate(words):
        if word.startswith(("runs_dir=", "--runs-dir=")):
            return Path(word.partition("=")[2])
        if word == "--runs-dir" and place + 1 < len(words):
            return Path(words[place + 1])
    return Path("runs")
