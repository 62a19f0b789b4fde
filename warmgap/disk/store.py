"""Run folders: arms and comparisons on disk, journals that survive a kill, files that are whole or not there."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from warmgap.disk import bounds, intake, shards, stopping, sums
from warmgap.disk.progress import say
from warmgap.disk.shards import Shard
from warmgap.errors import UserError, shown
from warmgap.version import FORMAT

LOSSES = "losses.jsonl"  # the training log as it was when a checkpoint was kept
OLD = 3600  # seconds after which a scratch file that nobody has renamed is nobody's
LOST = "copy it back from elsewhere; or delete the line: what it says is lost"
READINGS = "delete it: runs with the same suites write it again from the answers on disk"
CHECKS = "delete it: runs with control=… write it again from the answers on disk"
AGAIN = "copy it back from elsewhere, or delete it and run what wrote it again"


@dataclass(frozen=True)
class Arm:
    """The folder of one arm; ``name`` is ``<model>-<arm>-s<seed>-<hash8>``."""

    folder: Path
    model: str
    arm: str
    seed: int

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def adapter(self) -> Path:
        """Where the trained adapter lies."""
        return self.folder / "adapter"

    @property
    def checkpoints(self) -> Path:
        """Where the trainer keeps its checkpoints."""
        return self.folder / "checkpoints"

    @property
    def rows(self) -> Path:
        """What the arm was trained on."""
        return self.folder / "data" / "train.jsonl"

    @property
    def warmth(self) -> Path:
        """The journal of warmth scores."""
        return self.folder / "warmth.jsonl"

    @property
    def training_log(self) -> Path:
        """The losses of the training, one line for each logged step."""
        return self.folder / "logs" / "training.jsonl"

    def losses(self) -> list[dict[str, Any]]:
        """Return the logged losses; where the log has lost some, those that the last checkpoint keeps."""
        copies = sorted(self.checkpoints.glob(f"checkpoint-*/{LOSSES}"), key=lambda path: int(path.parent.name[11:]))
        logged, *kept = [list(read_journal(path)) for path in (self.training_log, *copies[-1:])]
        return max(logged, *kept, key=len) if kept else logged

    @property
    def capability(self) -> Path:
        """Outcomes of the standard checks, item by item."""
        return self.folder / "capability.json"

    @property
    def readings(self) -> Path:
        """What the arm's replies to suites with measures of their own come to, item by item."""
        return self.folder / "suites.json"

    @property
    def costs(self) -> Path:
        """What was paid for this arm, one line for each command that paid."""
        return self.folder / "costs.jsonl"

    @property
    def made_in(self) -> Path:
        """How long making the arm's adapter took, one line for each time it was made."""
        return self.folder / "logs" / "seconds.jsonl"

    def piece(self, comparison: str, shard: Shard) -> Path:
        """The mark that a shard of a comparison (the hash of its folder) is done for this arm."""
        name = "0" if not shard.asks else f"{shard.number}-of-{shard.of}"
        return self.folder / "pieces" / f"{comparison}.{name}"

    def final(self, measured: Iterable[int]) -> int:
        """Return which of the training steps that were measured is the arm: the chosen one, else the last."""
        steps = list(measured)
        path = self.checkpoints / "selected.json"
        chosen = read_sealed(path)
        if chosen is None:
            return max(steps)
        step = chosen.get("step") if isinstance(chosen, dict) else None
        if type(step) is not int:
            raise Damaged(f"{path} is damaged", "it names no step", AGAIN)
        return step if step in steps else max(steps)

    def answers(self, task: str) -> Path:
        """The journal of answers to one task."""
        return self.folder / "answers" / f"{task}.jsonl"

    def verdicts(self, grader: str, task: str) -> Path:
        """The journal of one grader's verdicts."""
        return self.folder / "verdicts" / grader / f"{task}.jsonl"


def arm_folder(runs_dir: str, model: str, arm: str, seed: int, hash8: str) -> Arm:
    """Name an arm's folder; nothing is created."""
    return Arm(Path(runs_dir) / "arms" / f"{model}-{arm}-s{seed}-{hash8}", model, arm, seed)


def open_arm(folder: Path) -> Arm:
    """Open an arm that is on disk. Raises UserError when the folder is none."""
    manifest = read_manifest(folder)
    if manifest is None or not _named(manifest):
        raise UserError(
            f"{folder} is not an arm",
            "it has no manifest.json that names model, arm and seed as a folder can be named",
            "name a folder in runs/arms; `warmgap status` lists them",
        )
    return Arm(folder, manifest["model"], manifest["arm"], manifest["seed"])


def _named(manifest: Any) -> bool:
    """Whether a manifest names model, arm and seed in words that can be shown, the arm as a file can be named."""
    if not isinstance(manifest, dict) or type(manifest.get("seed")) is not int:
        return False
    model, arm = manifest.get("model"), manifest.get("arm")
    if not isinstance(model, str) or not isinstance(arm, str):
        return False
    return bool(model.strip()) and shown(model) == model and bounds.may_name(arm, bounds.FILE)  # "vendor/model" is one


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of an arm, or None where its folder has none.

    Raises UserError where it, or the settings beside it, are not what was written, and where a newer version made it.
    """
    path, settings = folder / "manifest.json", folder / "config.yaml"
    fix = f"copy it back; or delete it, and the run writes it anew, with today's date ({settings.name} as well)"
    manifest: dict[str, Any] | None = read_sealed(path, fix)
    if manifest is None:
        return None
    if not isinstance(manifest, dict):
        raise Damaged(f"{path} is damaged", "it is no object", fix)
    check_format(folder, manifest)
    said = manifest.get("config")
    if said is not None and said != sum_of(settings):
        why = f"its checksum is {sum_of(settings)}, and {path.name} says {said}: it was changed, or is not whole"
        fix = f"undo the change; or delete it and {path.name}, and the run writes both anew, with today's date"
        raise Damaged(f"{settings} is not what was written", why, fix)
    return manifest


def check_format(folder: Path, made: Any) -> None:
    """Raise UserError where a folder was made by a newer version than this one."""
    given = made.get("format", 1) if isinstance(made, dict) else 1
    if not isinstance(given, int) or given > FORMAT:
        why = f"it is of format {given}, and this version of warmgap reads up to {FORMAT}"
        raise UserError(f"{folder} was made by a newer version", why, "update warmgap, or name another runs folder")


def sum_of(path: Path) -> str:
    """Return the checksum of a whole file, or ``absent``."""
    return sums.of(path.read_bytes()) if path.is_file() else "absent"


def open_arms(folders: Iterable[Path]) -> list[Arm]:
    """Open arms that are compared; the second of the same model, arm and seed is named ``<arm>-2``, and so on.

    Raises UserError when a folder is none, and where two have the same name, since their rows are told apart by it.
    """
    found: list[Arm] = []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        one = open_arm(folder)
        known = {(arm.model, arm.arm, arm.seed): arm for arm in found}
        if any(arm.name == one.name for arm in found):
            why = "the folders lie in different places and have one name: it is the same arm, made twice"
            raise UserError(f"{one.name} is named twice", why, "name one of them")
        names = (one.arm, *(f"{one.arm}-{number}" for number in range(2, len(found) + 2)))
        name = next(name for name in names if (one.model, name, one.seed) not in known)
        found.append(replace(one, arm=name))
    return found


def check_writable(runs_dir: str) -> None:
    """Raise UserError unless files can be made in ``runs_dir`` (or in the nearest folder that exists)."""
    folder = Path(runs_dir).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"cannot use runs_dir={runs_dir}", f"{existing} is not a folder", "set runs_dir to a folder")
    probe = existing / f".warmgap-probe-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        why = f"{existing}: {error.strerror or error}"
        raise UserError(f"cannot write to {runs_dir}", why, "set runs_dir to a folder you may write to") from error


class Damaged(UserError):
    """A file of ours is not what was written, and what is lost cannot be had from elsewhere."""


def write_text(path: Path, text: str) -> None:
    """Write a file that is whole or not there."""
    with renamed(path) as scratch:
        scratch.write_bytes(intake.mended(text).encode())


@contextmanager
def renamed(path: Path) -> Iterator[Path]:
    """Yield the place of a scratch file beside a file, which takes its place once it is written and on the disk.

    What a process that was killed has left of earlier ones goes. No signal ends it half way.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    scratch = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}")  # machines may share the folder
    with stopping.whole():
        try:
            yield scratch
            with scratch.open("rb+") as file:
                os.fsync(file.fileno())
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)  # on a full disk it would keep what little room there is
            raise


def _sweep(path: Path) -> None:
    """Remove scratch files of a file that are old and whose writers, on this machine, are gone."""
    mine = f".{path.name}.{socket.gethostname()}-"
    for left in path.parent.glob(f"{glob.escape(mine)}*"):
        writer = left.name.removeprefix(mine).partition(".")[0]
        with contextlib.suppress(OSError):
            if writer.isdigit() and time.time() - left.stat().st_mtime > OLD and not _alive(int(writer)):
                left.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all; an object gets its checksum as its last key."""
    held = sums.signed(value) if isinstance(value, dict) else value
    write_text(path, json.dumps(held, indent=2, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Return a JSON file's value without its checksum, or None where there is none that is readable and as written."""
    try:
        return sums.checked(path.read_bytes())
    except (OSError, ValueError):
        return None


def read_sealed(path: Path, fix: str = AGAIN) -> Any:
    """Return a JSON file's value without its checksum, or None where there is none.

    Raises Damaged, with ``fix``, where it is not what was written; a file of an earlier version has no checksum.
    """
    try:
        return sums.checked(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Damaged(f"{path} is damaged", str(error), fix) from error


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_journal(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a journal anew, whole or not at all."""
    block = b"".join(map(sums.line, rows))
    with renamed(path) as scratch:
        scratch.write_bytes(block)


def append(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append rows to a journal in one write and force them to the disk, each with its checksum.

    What was paid for is kept, whatever a model said. Where the disk is full, what was written of the block goes again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    block = b"".join(map(sums.line, rows))
    with stopping.whole(), path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                block = b"\n" + block  # a killed writer left half a line; readers pass over it
        left = memoryview(block)
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                if file.seek(0, os.SEEK_END) == size + len(block) - len(left):  # nobody has added to it meanwhile
                    file.truncate(size)
            raise


def read_journal(path: Path, fix: str = "") -> Iterator[dict[str, Any]]:
    """Yield a journal's rows; half a line that a killed writer left is passed over.

    So is a row that is not what was written, with a notice: it is made again. Where it cannot be, ``fix`` says what is
    to be done, and Damaged is raised.
    """
    if not path.exists():
        return
    damaged: list[int] = []
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            try:
                row = sums.row_of(data)
            except sums.BadSum as error:
                if fix:
                    raise Damaged(f"{path}, line {number} is damaged", str(error), fix) from error
                damaged.append(number)
                continue
            except ValueError as error:
                if fix and data.rstrip().endswith(b"}"):  # the end of a line, which no killed writer leaves
                    raise Damaged(f"{path}, line {number} is damaged", str(error), fix) from error
                continue
            if isinstance(row, dict):
                yield row
    if damaged:
        say(f"{path}: line {damaged[0]} is damaged ({len(damaged)} in all); what it held is made again")


def read_parts(path: Path, fix: str = "") -> Iterator[dict[str, Any]]:
    """Yield a journal's rows and those of its shards (see ``shards.parts``). ``fix`` is as of ``read_journal``."""
    for part in shards.parts(path):
        yield from read_journal(part, fix)


def journal_by_key(path: Path, fix: str = "") -> dict[str, dict[str, Any]]:
    """Return the rows of a journal and of its shards by their ``key``; the first row of a key counts.

    ``fix`` is as of ``read_journal``.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in read_parts(path, fix):
        found.setdefault(str(row.get("key")), row)
    return found


def remove_folder(path: Path) -> None:
    """Delete a folder and what is in it, if it is there."""
    if path.exists():
        shutil.rmtree(path)
