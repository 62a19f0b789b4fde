"""Checkpoints that can be trusted: each gets a list of its files' hashes, written last; only one that verifies is used.

The trainer writes checkpoints file by file, and resumes from the newest folder even if a kill left it torn
(transformers issue 40790).
"""

from __future__ import annotations

import re
from pathlib import Path

from warmgap.disk import seals, store
from warmgap.disk.progress import say
from warmgap.disk.seals import SEAL, verified

__all__ = ["SEAL", "by_step", "newest", "seal", "verified"]


def seal(folder: Path) -> None:
    """Write the hashes of a checkpoint's files, which marks it complete.

    The trainer's pickled arguments are not kept: nothing reads them, and they hold whatever was set, a token too.
    """
    (folder / "training_args.bin").unlink(missing_ok=True)
    seals.seal(folder)


def by_step(folder: Path) -> dict[int, Path]:
    """Return the checkpoints in a folder by their step, complete or not."""
    found = {}
    for path in folder.glob("checkpoint-*"):
        if match := re.fullmatch(r"checkpoint-(\d+)", path.name):
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def newest(folder: Path, *, discard: bool = True) -> Path | None:
    """Return the newest checkpoint that verifies; those that do not are deleted with a notice, if they may be."""
    for step, path in reversed(by_step(folder).items()):
        if verified(path):
            return path
        if discard:
            say(f"checkpoint {step} is incomplete and is passed over")
            store.remove_folder(path)
    return None
