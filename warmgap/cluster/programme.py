"""A run as pieces of work: each arm made, its questions in shards, all put together; and how far each of them is.

What a programme is made of is frozen in ``runs/launched/<comparison>/programme.json``. That a piece is done is marked
in its arm's folder, wherever it was done: by a job, or by hand.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap import hidden, jobs, pipeline
from warmgap.arms import missing, record
from warmgap.disk import seals, shards, store
from warmgap.disk.progress import say
from warmgap.errors import UserError
from warmgap.settings import config
from warmgap.settings.schema import LauncherConfig, Run

TOGETHER = "together"  # the last piece, which is no arm's
DONE, RUNNING, WAITING, FAILED, MISSING = STATES = ("done", "running", "waiting", "failed", "missing")
FILE = "programme.json"


@dataclass(frozen=True)
class Piece:
    """One job: a shard of an arm, by the name of its folder and a short one, or what puts all together.

    Pieces of a ``level`` need those of the levels before it: 0 and up make arms, by what these are made of. ``trains``
    if training is what it does, ``waits`` if its arm has to be made first. ``mark`` is the file that is there when it
    is done, relative to the runs folder.
    """

    arm: str
    short: str
    shard: str
    level: int
    trains: bool
    waits: bool
    mark: str

    @property
    def key(self) -> str:
        """What names the piece within its programme."""
        return f"{self.arm} {self.shard}"

    @property
    def makes(self) -> bool:
        """Whether it makes an arm, and does not ask it."""
        return self.shard.startswith("0/")


@dataclass(frozen=True)
class Programme:
    """The pieces of a run; ``argv`` is the command that handed them in, ``folder`` where its jobs leave their files."""

    folder: Path
    run: Run
    argv: list[str]
    pieces: list[Piece]

    @property
    def name(self) -> str:
        """The name of its comparison."""
        return self.folder.name

    @property
    def runs_dir(self) -> Path:
        """Where its arms lie."""
        return Path(self.run.runs_dir)

    @property
    def comparison(self) -> Path:
        """The folder of what comes out."""
        return self.runs_dir / "comparisons" / self.name

    def done(self, piece: Piece) -> bool:
        """Whether a piece is done."""
        return (self.runs_dir / piece.mark).is_file()

    def states(self, under_way: Mapping[str, str], failed: Iterable[str]) -> dict[str, str]:
        """Return the state of each piece, by its key: what is on disk, then what a queue says, then what has failed."""
        gone = set(failed)
        return {
            piece.key: DONE
            if self.done(piece)
            else under_way.get(piece.key) or (FAILED if piece.key in gone else MISSING)
            for piece in self.pieces
        }


def of(run: Run) -> Programme:
    """Return the programme of a run, checked as the run itself would be; only models that it lacks are fetched.

    Raises UserError for settings that hold a secret: jobs read their settings from a file.
    """
    launcher, settings = run.launcher, dataclasses.asdict(run)
    if hidden.blanked(settings) != settings:
        why = "jobs read their settings from a file, and no secret is written to one"
        raise UserError("a key, token or password stands in the settings", why, "set it in the environment of the jobs")
    own = LauncherConfig(launcher.mode, launcher.processes, launcher.nodes)
    job = jobs.prepare(dataclasses.replace(run, launcher=own))
    pipeline.quiet()
    record.checked(job.run, job.made)
    folder = Path(run.runs_dir) / "launched" / job.folder.name
    return Programme(folder, run, hidden.typed(sys.argv), list(_pieces(job, launcher.shards)))


def _pieces(job: jobs.Job, of: int) -> Iterator[Piece]:
    hash8, short = job.folder.name[-8:], missing.short(job.specs)
    names = {spec.arm.name for spec in job.specs}
    runs_dir, last = Path(job.run.runs_dir), 0

    def piece(spec: Any, number: int, level: int) -> Piece:
        shard = shards.Shard(number, of)
        mark = spec.arm.piece(hash8, shard).relative_to(runs_dir)
        name = spec.arm.name
        waits = bool(number) and any(own.trained or own.derive is not None for own in spec.lineage)
        return Piece(name, short[name], str(shard), level, spec.trained and not number, waits, str(mark))

    for spec in job.specs:
        level = sum(own.arm.name in names for own in spec.lineage[:-1])
        last = max(last, level)
        yield piece(spec, 0, level)
    for spec in job.specs:
        for number in range(1, of + 1):
            yield piece(spec, number, last + 1)
    mark = job.folder / seals.DONE
    yield Piece(TOGETHER, TOGETHER, f"all/{of}", last + 2, False, False, str(mark.relative_to(runs_dir)))


def freeze(programme: Programme) -> Path:
    """Write a programme where its jobs read it; return the file."""
    path = programme.folder / FILE
    pieces = [dataclasses.asdict(piece) for piece in programme.pieces]
    store.write_json(path, {"argv": programme.argv, "pieces": pieces, "run": dataclasses.asdict(programme.run)})
    return path


def thaw(path: Path) -> Programme:
    """Read a programme back. Raises UserError where its file is not what was written."""
    frozen = store.read_sealed(path, "delete its folder and type the command again: what is done stays done")
    pieces = [Piece(**piece) for piece in frozen["pieces"]]
    return Programme(path.parent, config.thawed(frozen["run"]), frozen["argv"], pieces)


def all_in(runs_dir: Path) -> list[Programme]:
    """Return the programmes of a runs folder; one whose file cannot be used is left out, which is said."""
    found = []
    for path in sorted((runs_dir / "launched").glob(f"*/{FILE}")):
        try:
            found.append(thaw(path))
        except UserError as error:
            say(f"left out: {error.what} ({error.why})")
    return found


def counted(programme: Programme, states: Mapping[str, str]) -> list[tuple[str, dict[str, int]]]:
    """Return for each arm, and for putting together, how many of its pieces are in which state."""
    found: dict[str, dict[str, int]] = {}
    for piece in programme.pieces:
        own = found.setdefault(piece.short, dict.fromkeys(STATES, 0))
        own[states[piece.key]] += 1
    return list(found.items())


def todo(programme: Programme, states: Mapping[str, str]) -> Sequence[Piece]:
    """Return the pieces that are neither done nor under way."""
    return [piece for piece in programme.pieces if states[piece.key] in (FAILED, MISSING)]
