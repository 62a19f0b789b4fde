"""Files read once: what was made of a file is kept for as long as the file stays as it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar

from warmgap.disk.manifest import sha256

MOST = 32  # files of which something is kept
SETTLED = 2e9  # nanoseconds after which a change would show in a file's times, on any file system of ours

Made = TypeVar("Made")


def once(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
    """Return a function that makes something of a file's content once for each state of the file.

    The state is its identity, size and times of change. A file that has changed just now may change again within the
    same tick of its clock, so what is made of it is not kept. What comes back is shared: nobody may change it.
    """
    kept: dict[tuple[str, str], tuple[tuple[int, ...], Made]] = {}

    @wraps(make)
    def found(path: Path) -> Made:
        try:
            file = path.stat()
        except OSError:
            return make(path)  # which says why it cannot be read
        name, state = (str(path), os.path.abspath(path)), _state(file)  # errors and ids say the path as it was given
        if name in kept and kept[name][0] == state:
            return kept[name][1]
        kept.pop(name, None)
        made = make(path)
        if time.time_ns() - max(file.st_mtime_ns, file.st_ctime_ns) > SETTLED:
            kept[name] = state, made
            if len(kept) > MOST:
                del kept[next(iter(kept))]
        return made

    return found


def _state(file: os.stat_result) -> tuple[int, ...]:
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


hashed = once(sha256)  # of data, which every arm of a run is known by
