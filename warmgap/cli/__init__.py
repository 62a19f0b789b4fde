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

    return guarded(hydra_main.run, _runs_dir(sys.argv), shlex.join(["python", *sys.argv]))


def main(arguments: list[str] | None = None) -> int:
    """Run ``warmgap COMMAND …``; return its exit status."""
    from warmgap.cli import commands

    given = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: commands.run(given), _runs_dir(given), shlex.join(["warmgap", *given]))


def _runs_dir(words: Sequence[str]) -> Path:
    """Where a command keeps its arms, and the log of what fails."""
    for place, word in enumerate(words):
        if word.startswith(("runs_dir=", "--runs-dir=")):
            return Path(word.partition("=")[2])
        if word == "--runs-dir" and place + 1 < len(words):
            return Path(words[place + 1])
    return Path("runs")
