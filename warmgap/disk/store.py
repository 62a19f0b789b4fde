"""Run folders: arms and comparisons on disk, journals that survive a kill, files that are whole or not there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from warmgap.disk import bounds, intake
from warmgap.errors import UserError, shown


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

    @property
    def capability(self) -> Path:
        """Outcomes of the standard checks, item by item."""
        return self.folder / "capability.json"

    @property
    def costs(self) -> Path:
        """What was paid for this arm, one line for each command that paid."""
        return self.folder / "costs.jsonl"

    @property
    def made_in(self) -> Path:
        """How long making the arm's adapter took, one line for each time it was made."""
        return self.folder / "logs" / "seconds.jsonl"

    def final(self, measured: Iterable[int]) -> int:
        """Return which of the training steps that were measured is the arm: the chosen one, else the last."""
        steps = list(measured)
        chosen = read_json(self.checkpoints / "selected.json")
        return int(chosen["step"]) if chosen and int(chosen["step"]) in steps else max(steps)

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
    if not manifest:
        raise UserError(
            f"{folder} is not an arm",
            "it has no manifest.json that names model, arm and seed as a folder can be named",
            "name a folder in runs/arms; `warmgap status` lists them",
        )
    return Arm(folder, manifest["model"], manifest["arm"], manifest["seed"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return an arm's manifest; empty where there is none that names model, arm and seed."""
    found = read_json(folder / "manifest.json")
    if not isinstance(found, dict) or type(found.get("seed")) is not int:
        return {}
    model, arm = found.get("model"), found.get("arm")
    if not isinstance(model, str) or not isinstance(arm, str):
        return {}
    readable = bool(model.strip()) and shown(model) == model  # a vendor's name may have slashes, and names no file
    return found if readable and bounds.may_name(arm, bounds.FILE) else {}


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


def write_text(path: Path, text: str) -> None:
    """Write a file that is whole or not there: to a neighbour first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(intake.mended(text))
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Return a JSON file's value, or None where there is no readable one."""
    try:
        return intake.parse(path.read_bytes())
    except (OSError, ValueError):
        return None


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def append(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append rows to a journal in one write and force them to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                block = "\n" + block  # a killed writer left half a line; readers pass over it
        file.write(intake.mended(block).encode())  # what was paid for is kept, whatever a model said
        file.flush()
        os.fsync(file.fileno())


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a journal's rows; half a line that a killed writer left is passed over."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = intake.parse(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def journal_by_key(path: Path) -> dict[str, dict[str, Any]]:
    """Return a journal's rows by their ``key``; the first row of a key counts."""
    found: dict[str, dict[str, Any]] = {}
    for row in read_journal(path):
        found.setdefault(str(row.get("key")), row)
    return found


def remove_folder(path: Path) -> None:
    """Delete a folder and what is in it, if it is there."""
    if path.exists():
        shutil.rmtree(path)
