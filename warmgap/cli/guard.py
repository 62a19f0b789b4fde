"""What ends a command: exit statuses, three lines for a user's mistake, a traceback in a log for anything else."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from warmgap.disk import stopping
from warmgap.engines import cores
from warmgap.errors import UserError

DONE, GATE_FAILED, USER_MISTAKE, FAILED = 0, 1, 2, 3
FULL = (  # what libraries say that have met a full disk: safetensors, torch, sqlite
    "No space left on device", "os error 28", "os error 27", "PytorchStreamWriter failed", "file write failed",
    "iostream error", "database or disk is full",
)  # fmt: skip


def guarded(work: Callable[[], int], log_dir: Path, again: str) -> int:
    """Run work and turn whatever ends it into an exit status: 2 for a user's mistake (three lines), 3 for the rest."""
    cores.share()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # on a CPU it tells of kernels that it does not need
    try:
        with stopping.heeded():
            return _ended(work, log_dir, again)
    except KeyboardInterrupt:  # a second one, while the first was being told of
        return FAILED


def _ended(work: Callable[[], int], log_dir: Path, again: str) -> int:
    try:
        status = work()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except UserError as error:
        print(error, file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        print(f"\nstopped; everything finished so far is kept. To go on: {again}", file=sys.stderr)
        return FAILED
    except Exception as error:
        if full := _disk_full(error):
            print(full, file=sys.stderr)
            return USER_MISTAKE
        where = _log(log_dir)
        print(f"failed: {type(error).__name__}: {error}\ntraceback: {where}", file=sys.stderr)
        return FAILED


def _disk_full(error: BaseException | None) -> UserError | None:
    """The three lines for a disk that is full, whichever library met it; None for any other error."""
    while error is not None:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full or any(words in str(error) for words in FULL):
            why = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
            return UserError("the disk is full", why, "free some space, then run again: what was finished is kept")
        error = error.__cause__ or error.__context__
    return None


def _log(folder: Path) -> str:
    """Write the traceback to a log file, or to stderr where that cannot be done; return where it is."""
    text = traceback.format_exc()  # of the exception being handled
    path = folder / "logs" / "failed.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError:
        print(text, file=sys.stderr)
        return "above"
    return str(path)
