"""Seals: what a folder holds by the hashes of its files, written last, so that it is known to be whole and as written.

An adapter and a checkpoint have ``complete.json``, a finished comparison ``complete``. Journals grow, so an
arm's ``counted.json`` tells how far each of them had come when a run ended, and by which checksum that part is known.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warmgap.disk import store
from warmgap.disk.manifest import sha256
from warmgap.disk.progress import say
from warmgap.disk.store import Arm, Damaged
from warmgap.version import FORMAT

SEAL = "complete.json"
DONE = "complete"  # of a comparison: without it, it is made again
COUNTED = "counted.json"
NOT_MADE_AGAIN = ("costs.jsonl", "logs/seconds.jsonl")
JOURNALS = ("answers/*.jsonl", "verdicts/*/*.jsonl", "warmth.jsonl", *NOT_MADE_AGAIN)


def seal(folder: Path) -> None:
    """Write the hashes of a folder's files, which marks it complete."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SEAL)
    store.write_json(folder / SEAL, {path.name: sha256(path) for path in files})


def changed(folder: Path) -> list[str] | None:
    """Return the files of a sealed folder that are not what was written, the seal among them; None without a seal."""
    if not (folder / SEAL).is_file():
        return None
    hashes = store.read_json(folder / SEAL)
    if not isinstance(hashes, dict) or not hashes:
        return [SEAL]
    return [name for name, said in hashes.items() if _hash(folder / name) != said]


def verified(folder: Path) -> bool:
    """Whether a folder is sealed and its files are what was written."""
    return changed(folder) == []


def _hash(path: Path) -> str:
    return sha256(path) if path.is_file() else "absent"


# ---- comparisons ----


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Hold a comparison's folder while its files are written; it is not finished until ``finish`` says so."""
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        (folder / DONE).unlink(missing_ok=True)
        yield


def finish(folder: Path) -> None:
    """Seal a comparison."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in paths if path.name != DONE}
    store.write_json(folder / DONE, {"format": FORMAT, "files": files})


def finished(folder: Path) -> bool:
    """Whether a comparison is finished and its files are what was written; says why where one is to be made again.

    Raises UserError where a newer version made it.
    """
    if not (folder / DONE).is_file():
        return False
    made = store.read_json(folder / DONE)
    store.check_format(folder, made)
    if not isinstance(made, dict) or "files" not in made:
        old = (folder / DONE).stat().st_size == 0
        why = "was made by an earlier version, without checksums" if old else f"is not finished: {DONE} is damaged"
        say(f"{folder} {why}; it is made again from its arms")
        return False
    lost = [name for name, said in made["files"].items() if _hash(folder / name) != said]
    if lost:
        say(f"{folder}: {', '.join(lost)} is not what was written; the comparison is made again from its arms")
    return not lost


def check_file(path: Path) -> None:
    """Raise Damaged where a file of a finished comparison is no longer what was written; others have no seal."""
    for folder in (path.parent, path.parent.parent):
        made = store.read_json(folder / DONE)
        said = made.get("files", {}).get(path.relative_to(folder).as_posix()) if isinstance(made, dict) else None
        if said is not None and _hash(path) != said:
            fix = "run what made the comparison again: it is made anew from its arms"
            raise Damaged(f"{path} is damaged", f"its SHA-256 is another than {folder / DONE} says", fix)


# ---- journals ----


def count(arm: Arm) -> None:
    """Note how far the journals of an arm have come."""
    found: dict[str, Any] = {}
    for path in sorted(path for pattern in JOURNALS for path in arm.folder.glob(pattern)):
        found[path.relative_to(arm.folder).as_posix()] = dict(zip(("bytes", "sum"), _so_far(path), strict=True))
    if store.read_json(arm.folder / COUNTED) != {"files": found}:
        store.write_json(arm.folder / COUNTED, {"files": found})


def check_count(arm: Arm, names: Sequence[str] = ()) -> None:
    """Raise Damaged where a journal (of those named, or any) has lost something since a run of the arm ended.

    An arm of which no run has ended, and one of an earlier version, has no count.
    """
    path = arm.folder / COUNTED
    again = "the run that made the arm writes it again"
    counted = store.read_sealed(path, f"delete it: {again}") or {}
    for name, said in (counted.get("files") or {}).items():
        if names and name not in names:
            continue
        size, found = _so_far(arm.folder / name, int(said["bytes"]))
        if (size, found) != (said["bytes"], said["sum"]):
            why = f"of the {said['bytes']:,} bytes that it had when a run ended, it has {size:,}, or others"
            fix = "run again what made the arm: only what is missing is asked for"
            if name in NOT_MADE_AGAIN:
                fix = f"copy it back; or delete {path}: what is lost of it stays lost"
            raise Damaged(f"{arm.folder / name} is damaged", why, fix)


def _so_far(path: Path, most: int = -1) -> tuple[int, str]:
    """Return the size of a file, or of so many bytes of it, and their checksum."""
    size, found = 0, 0
    if path.is_file():
        with path.open("rb") as file:
            while part := file.read(1 << 20 if most < 0 else min(1 << 20, most - size)):
                size += len(part)
                found = zlib.crc32(part, found)
    return size, f"{found:08x}"
