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
from warmgap.errors import UserError, one_line, shown
from warmgap.hidden import without_secrets

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
        print(without_secrets(str(error)), file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        print(f"\nstopped; everything finished so far is kept. To go on: {without_secrets(again)}", file=sys.stderr)
        return FAILED
    except Exception as error:
        if known := _of_the_machine(error):
            print(known, file=sys.stderr)
            return USER_MISTAKE
        where = _log(log_dir)
        said = one_line(without_secrets(str(error)))
        print(f"failed: {type(error).__name__}: {said}\ntraceback: {shown(where)}", file=sys.stderr)
        return FAILED


_REFUSES = {  # what a file system says no to, and what helps
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EACCES: "name another place, or see to its permissions",
    errno.EPERM: "name another place, or see to its permissions",
    errno.EROFS: "name a place that can be written to",
    errno.ENOTDIR: "a part of the path is a file: name another place",
    errno.EISDIR: "name a file",
    errno.EMFILE: "allow more open files (ulimit -n)",
}


def _of_the_machine(error: BaseException | None) -> UserError | None:
    """The three lines for a disk that is full or a place that cannot be used, whichever library met it; else None."""
    while error is not None:
        why = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full or any(words in str(error) for words in FULL):
            return UserError("the disk is full", why, "free some space, then run again: what was finished is kept")
        if isinstance(error, OSError) and error.errno in _REFUSES and error.filename is not None:
            name = str(error.filename)
            what = f"cannot use {name if len(name) < 120 else f'{name[:60]}… ({len(name):,} characters)'}"
            return UserError(what, error.strerror or why, _REFUSES[error.errno])
        error = error.__cause__ or error.__context__
    return None


def _log(folder: Path) -> str:
    """Write the traceback to a log file, or to stderr where that cannot be done; return where it is."""
    text = without_secrets(traceback.format_exc())  # of the exception being handled
    path = folder / "logs" / "failed.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError:
        print(text, file=sys.stderr)
        return "above"
    return str(path)
