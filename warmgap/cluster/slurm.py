"""Pieces as SLURM's jobs, handed in through submitit: arrays that wait for what they need, found again in the queue.

A job is known by its comment: the programme and the label of its array, under which a file says which piece each of its
elements is. The file is there before the array is handed in, so that no job is unknown, whenever a command is stopped.
A job that fails asks to be queued again itself, so that it keeps its number and what waits for it goes on waiting.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap.cluster import programme as programmes
from warmgap.cluster.programme import RUNNING, WAITING, Piece, Programme
from warmgap.cluster.work import Work
from warmgap.disk import store
from warmgap.disk.progress import say
from warmgap.errors import UserError
from warmgap.settings.schema import LauncherConfig
from warmgap.version import ROOT

MARK = "warmgap"  # what our jobs' comments begin with
MOST = 1000  # jobs of an array: what SLURM allows unless it is told otherwise
# An element of an array is requeued by its own name: one of them has the number of the whole array as its job id.
ENDING = """status=$?
note={failed}/{label}.${{SLURM_ARRAY_TASK_ID:-0}}
if [ $status -eq 0 ]; then rm -f $note; exit 0; fi
tries=${{SLURM_RESTART_COUNT:-0}}
job=${{SLURM_ARRAY_JOB_ID:+${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID}}
if [ $status -ne 2 ] && [ $tries -lt {retries} ]; then scontrol requeue ${{job:-$SLURM_JOB_ID}} && sleep 60; fi
mkdir -p {failed}
echo "status $status in try $((tries + 1))" > $note
exit $status"""


@dataclass(frozen=True)
class Queued:
    """A job in the queue: its id, its state and why it waits, in SLURM's words."""

    job: str
    state: str
    reason: str


@dataclass(frozen=True)
class Array:
    """An array that was handed in: the piece of each of its elements, and their jobs where these are known."""

    label: str
    pieces: list[str]
    jobs: list[str]


def check() -> None:
    """Raise UserError where no jobs can be handed in from here."""
    from importlib.util import find_spec

    what = "launcher=slurm cannot be used"
    if find_spec("submitit") is None:
        raise UserError(what, "submitit is missing: it hands the jobs in", "pip install 'warmgap[slurm]'")
    if shutil.which("sbatch") is None:
        raise UserError(what, "there is no sbatch here", "run it where jobs are handed in, or use launcher=single")


def queue() -> dict[tuple[str, str, int], Queued]:
    """Return our jobs in the queue by programme, label and element; none where there is no SLURM.

    Raises UserError where there is one and it does not answer.
    """
    if shutil.which("squeue") is None:
        return {}
    asked = ["squeue", "--me", "--array", "--noheader", "--format=%i|%T|%r|%k"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        why = " ".join(done.stderr.split())[:300]
        raise UserError("SLURM does not say what is under way", why, "try again when squeue answers")
    found = {}
    for line in done.stdout.splitlines():
        job, state, reason, comment = line.split("|", 3)
        mark, _, rest = comment.partition(":")
        name, _, label = rest.rpartition(":")
        if mark == MARK and name:
            index = job.partition("_")[2]
            found[name, label, int(index or 0)] = Queued(job, state, reason)
    return found


def arrays(programme: Programme) -> list[Array]:
    """Return what has been handed in for a programme."""
    files = sorted((programme.folder / "arrays").glob("*.json"))
    return [Array(path.stem, **kept) for path in files if (kept := store.read_json(path))]


def under_way(programme: Programme, queued: Mapping[tuple[str, str, int], Queued]) -> dict[str, Queued]:
    """Return the jobs of a programme that are in the queue, by the key of their piece."""
    found = {}
    for array in arrays(programme):
        for index, key in enumerate(array.pieces):
            if job := queued.get((programme.name, array.label, index)):
                found[key] = job
    return found


def failed(programme: Programme) -> dict[str, str]:
    """Return what the last job of a piece has said of its failure, by the piece's key."""
    found = {}
    for array in arrays(programme):
        for path in (programme.folder / "failed").glob(f"{array.label}.*"):
            index = int(path.suffix[1:])
            if index < len(array.pieces):
                said = path.read_text(encoding="utf-8").strip()
                job = array.jobs[index] if index < len(array.jobs) else "*"
                found[array.pieces[index]] = f"{said}: {_last_words(programme.folder / 'jobs', job)}"
    return found


def _last_words(folder: Path, job: str) -> str:
    """What a job has said went wrong, and where the rest is."""
    log = folder / f"{job}_0_log.err"
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return str(log)
    said = next((line for line in reversed(lines) if line.startswith(("error: ", "failed: "))), "see")
    return f"{said.partition(': ')[2] or said} ({log})"


def ended(programme: Programme, keys: Iterable[str]) -> dict[str, str]:
    """Return how the jobs of pieces have ended in the words of SLURM's accounting; nothing where it keeps none."""
    jobs = {job: key for array in arrays(programme) for key, job in zip(array.pieces, array.jobs, strict=False)}
    wanted = set(keys)
    asked = [job for job, key in jobs.items() if key in wanted]
    if not asked or shutil.which("sacct") is None:
        return {}
    command = ["sacct", "-n", "-P", "-X", "-o", "JobID,State", "-j", ",".join(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = (line.split("|", 1) for line in done.stdout.splitlines() if "|" in line)
    return {jobs[job]: state for job, state in rows if job in jobs} if not done.returncode else {}


def states(programme: Programme) -> tuple[dict[str, str], dict[str, str]]:
    """Return the state of each piece of a programme, and what is known of those that failed."""
    jobs = under_way(programme, queue())
    known = failed(programme)
    running = {
        key: WAITING if job.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD") else RUNNING for key, job in jobs.items()
    }
    found = programme.states(running, known)
    gone = {key for key, state in found.items() if state in (programmes.FAILED, programmes.MISSING)}
    lost = {key: state for key, state in ended(programme, gone - set(known)).items() if state != "COMPLETED"}
    found |= dict.fromkeys(lost, programmes.FAILED)
    return found, {key: known.get(key) or lost[key] for key in gone if key in known or key in lost}


def hand_in(programme: Programme) -> int:
    """Hand in what is neither done nor under way; return how many jobs that were.

    Jobs that are under way are left alone, but for the last one, which waits for all: it is handed in anew. Raises
    UserError where SLURM takes none.
    """
    found, _ = states(programme)
    jobs = {key: job.job for key, job in under_way(programme, queue()).items()}
    wanted = list(programmes.todo(programme, found))
    if not wanted:
        return 0
    last = programme.pieces[-1]
    if last not in wanted and found[last.key] == WAITING:
        subprocess.run(["scancel", jobs.pop(last.key)], capture_output=True, check=False)
        wanted.append(last)
    path = programmes.freeze(programme)
    for _, group in itertools.groupby(sorted(wanted, key=_together_in), key=_together_in):
        some = list(group)
        for start in range(0, len(some), MOST):
            part = some[start : start + MOST]
            jobs |= zip(
                (piece.key for piece in part), _array(programme, path, part, _needs(programme, part, jobs)), strict=True
            )
    return len(wanted)


def _together_in(piece: Piece) -> tuple[int, bool, str]:
    """Pieces that are alike in this are one array: of a level, trained or not, and of one arm where it is asked."""
    return piece.level, piece.trains, "" if piece.makes else piece.arm


def _needs(programme: Programme, some: Sequence[Piece], jobs: Mapping[str, str]) -> list[str]:
    """The jobs under way that pieces of one array have to wait for."""
    first = some[0]
    if first.arm == programmes.TOGETHER:
        needed = [piece for piece in programme.pieces if piece != first]
    elif first.makes:
        needed = [piece for piece in programme.pieces if piece.level < first.level]
    else:
        needed = [piece for piece in programme.pieces if piece.arm == first.arm and piece.makes and first.waits]
    waiting = {jobs[piece.key] for piece in needed if piece.key in jobs}
    whole = {job.partition("_")[0] for job in waiting} if first.arm == programmes.TOGETHER else waiting
    return sorted(whole)


def _array(programme: Programme, path: Path, some: Sequence[Piece], needs: Sequence[str]) -> list[str]:
    """Hand in pieces as one array; return their jobs."""
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    label = secrets.token_hex(4)
    keys = [piece.key for piece in some]
    kept = programme.folder / "arrays" / f"{label}.json"
    store.write_json(kept, {"pieces": keys, "jobs": []})
    executor = submitit.SlurmExecutor(
        programme.folder.absolute() / "jobs", max_num_timeout=programme.run.launcher.retries
    )
    executor.update_parameters(**_parameters(programme, some[0], label, needs))
    heard = io.StringIO()  # submitit prints what sbatch says where it refuses
    try:
        with contextlib.redirect_stderr(heard):
            jobs = executor.submit_array([Work(path.absolute(), key) for key in keys])
    except (FailedJobError, FailedSubmissionError) as error:
        kept.unlink()
        why = _of_sbatch(heard.getvalue() or str(error))
        raise UserError("SLURM has not taken the jobs", why, "mend launcher.…, and type the same again") from error
    if heard.getvalue():
        say(_of_sbatch(heard.getvalue()))
    ids = [str(job.job_id) for job in jobs]
    store.write_json(kept, {"pieces": keys, "jobs": ids})
    said = f"{some[0].short} {some[0].shard}" + (f" and {len(some) - 1} more" if len(some) > 1 else "")
    say(
        f"job {ids[0].partition('_')[0]}: {said}"
        + (f", after {', '.join(needs[:4])}{' …' * (len(needs) > 4)}" if needs else "")
    )
    return ids


def _of_sbatch(text: str) -> str:
    """All that sbatch says, in one line."""
    lines = [re.sub(r"^sbatch: (?:error: )?", "", line.strip()) for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines)))[:600] or "sbatch gives no reason"


def _parameters(programme: Programme, piece: Piece, label: str, needs: Sequence[str]) -> dict[str, Any]:
    """What a job asks for, in submitit's words."""
    launcher = programme.run.launcher
    own = _own(launcher, piece)
    failures = shlex.quote(str(programme.folder.absolute() / "failed"))
    ending = ENDING.format(failed=failures, label=label, retries=launcher.retries)
    more = {"requeue": True, "kill-on-invalid-dep": "yes", **own["sbatch"]}
    found: dict[str, Any] = {
        "job_name": f"{MARK}-{programme.name[-8:]}",
        "comment": f"{MARK}:{programme.name}:{label}",
        "time": own["minutes"],
        "nodes": launcher.nodes if piece.trains else 1,
        "ntasks_per_node": 1,
        "partition": own["partition"],
        "account": own["account"],
        "cpus_per_task": own["cpus"],
        "gpus_per_node": own["gpus"] or None,
        "mem": None if own["memory_gb"] is None else f"{round(1024 * own['memory_gb'])}M",
        "array_parallelism": launcher.at_once,
        "dependency": f"afterok:{':'.join(needs)}" if needs else None,
        "additional_parameters": more,
        "setup": [f"export PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}", *own["setup"]],
        "teardown": ending.split("\n"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _own(launcher: LauncherConfig, piece: Piece) -> dict[str, Any]:
    """The settings of a piece's job."""
    names = ("partition", "account", "minutes", "memory_gb", "cpus", "gpus", "setup", "sbatch")
    common = {name: getattr(launcher, name) for name in names}
    if piece.arm == programmes.TOGETHER:
        return {**common, **launcher.together}
    return {**common, **(launcher.training if piece.trains else {})}
