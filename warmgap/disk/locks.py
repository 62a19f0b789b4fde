"""Locks: two commands that write the same file or folder take turns, and the second finds what the first has done.

A lock is the system's own, and goes with the process that holds it, however that ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warmgap.disk.progress import say
from warmgap.errors import UserError


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold what a command writes; another that holds it is waited for, which is said.

    Raises UserError where no lock can be made.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"another run is working on {path.name}; waiting for it")
            lock.acquire()
    except OSError as error:
        why = f"{path.parent}: {error.strerror or error}"
        raise UserError(f"cannot write {path}", why, "name another place, or one that you may write to") from error
    try:
        yield
    finally:
        lock.release()
