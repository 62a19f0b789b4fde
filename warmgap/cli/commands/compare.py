"""``warmgap compare``: arms that are on disk, put side by side, with a gate where one is asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warmgap.cli.parser import ARM, command, runs_dir
from warmgap.cli.show import show
from warmgap.errors import UserError


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
    from warmgap.evaluate.report import arms, gate, mitigation_verdicts
    from warmgap.settings.mitigation_schema import CompareConfig

    folders, added = _folders(options.runs_dir, options.arms)
    gate.check(folders, options.gate, options.keep_warmth)
    for folder in added:
        print(f"original: {folder.name}", file=sys.stderr)
    asked = CompareConfig()
    if options.gate is not None:
        asked.margin_pp = options.gate
    if options.keep_warmth is not None:
        asked.keep_warmth_pct = options.keep_warmth
    folder = arms.compare(
        folders,
        options.grader,
        options.runs_dir,
        lambda folder, measured: mitigation_verdicts.write(folder, measured, asked, resamples=2000),
    )
    if options.against:
        from warmgap.evaluate.report.terminal.tables import print_study

        print_study(folder)
    show(folder)
    failed = gate.failures(folder, folders, options.gate, options.keep_warmth)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def _folders(runs_dir: Path, names: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The folders of the arms that are named, led by each model's original where none is; and those originals."""
    from warmgap.disk import arm_names, store
    from warmgap.words import ORIGINAL

    if not names:
        raise _nothing_named(runs_dir)
    named = [arm_names.find_arm(runs_dir, name) for name in names]
    arms = [store.open_arm(folder) for folder in named]
    first = {arm.model: arm.folder for arm in arms[::-1]}  # of each model the first that is named
    alone = [folder for model, folder in first.items() if (model, ORIGINAL) not in {(a.model, a.arm) for a in arms}]
    added = [folder for one in alone if (folder := arm_names.beside(one, ORIGINAL)) is not None]
    return [*added, *named], added


def _nothing_named(runs_dir: Path) -> UserError:
    from warmgap.disk import arm_names
    from warmgap.words import ORIGINAL

    arms = arm_names.arms_in(runs_dir)
    if not arms:
        fix = "make one: python train.py +persona=warm, or name another folder with --runs-dir"
        return UserError("no arm is named", f"{runs_dir} has none either", fix)
    short = arm_names.short_names(arms)
    last = next((short[arm.name] for arm in arms[::-1] if arm.arm != ORIGINAL), short[arms[-1].name])
    return UserError(
        "no arm is named", f"{runs_dir} has {arm_names.listed(list(short.values()))}", f"warmgap compare {last}"
    )
