"""The process in which vLLM runs, seen from outside: it is started, asked by lines of JSON, and ended.

One serves a base model and all of its adapters, one after another; while it lives, it holds the memory.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap.engines.hf import weights
from warmgap.engines.vllm import choice
from warmgap.errors import UserError

PACKAGE = Path(__file__).resolve().parents[2]
LAST = 6  # lines of what the process said that an error repeats


@dataclass(frozen=True)
class Served:
    """What a process serves: the base model's folder, its type, where it computes, and the largest rank (or none)."""

    folder: Path
    dtype: str
    device: str
    rank: int | None


class Server:
    """A process with vLLM in it. ``proved`` names the adapters that it is known to have loaded."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.proved: set[str] = set()
        self._scratch = Path(tempfile.mkdtemp(prefix="warmgap-vllm-"))
        (self._scratch / "warmgap").symlink_to(PACKAGE)  # ours alone, whichever environment the interpreter is of
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [choice.python(), "-m", "warmgap.engines.vllm.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(self._scratch, served.device),
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
        self.end = weakref.finalize(self, _end, self._process, self._scratch)
        cuda = served.device.startswith("cuda")
        start = {"do": "start", "model": str(served.folder), "dtype": served.dtype, "cuda": cuda, "rank": served.rank}
        self.version: str = self._ask(start, "ready")["version"]

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def answer(self, work: dict[str, Any]) -> Iterator[list[tuple[int, list[int], bool]]]:
        """Yield the replies that came together: the place of each request, the ids written, whether it was cut off.

        Who stops listening before the last one ends the process.
        """
        whole = False
        try:
            self._write({"do": "answer", **work})
            while "done" not in (said := self._read("replies", "done")):
                yield [(place, ids, cut) for place, ids, cut in said["replies"]]
            whole = True
        finally:
            if not whole:
                self.end()

    def logs(self, ids: list[int], adapter: dict[str, str] | None) -> list[float]:
        """Return the log-probability (nats) of every token as the one after some."""
        found: list[float] = self._ask({"do": "logs", "ids": ids, "adapter": adapter}, "logs")
        return found

    @property
    def _log(self) -> Path:
        return self._scratch / "said.txt"

    def _ask(self, work: dict[str, Any], wanted: str) -> Any:
        try:
            self._write(work)
            return self._read(wanted)[wanted]
        except BaseException:
            self.end()
            raise

    def _write(self, work: dict[str, Any]) -> None:
        pipe = self._process.stdin
        try:
            if pipe is None or pipe.closed:
                raise BrokenPipeError
            pipe.write(json.dumps(work) + "\n")
            pipe.flush()
        except BrokenPipeError as error:
            raise self._gone() from error

    def _read(self, *wanted: str) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise self._gone()
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if isinstance(said, dict) and "error" in said:
            raise _failed("could not do what it was asked", str(said["error"]))
        if not isinstance(said, dict) or not any(name in said for name in wanted):
            raise _failed("said what nobody understands", repr(line.strip()[:200]))
        return said

    def _gone(self) -> UserError:
        """The error of a process that has ended, with its last lines."""
        try:
            status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            return _failed("closed its end of the line", self._said())
        how = f"with status {status}"
        if status < 0:
            names = {int(one): one.name for one in signal.Signals}
            how = f"by {names.get(-status, f'signal {-status}')}"
            how += ", as where memory runs out" if -status == signal.SIGKILL else ""
        return _failed(f"ended {how}", self._said())

    def _said(self) -> str:
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "it said nothing"
        kept = [line.strip()[:200] for line in lines if line.strip()][-LAST:]
        return "it said last: " + " / ".join(kept) if kept else "it said nothing"


class Servers:
    """The process of one run: there is one at a time, and it is another one where something else is to be served.

    ``rank`` is that of the adapters to come, if any: a process that is started for the base model takes them as well.
    """

    def __init__(self, rank: int | None = None) -> None:
        self._rank = rank
        self._server: Server | None = None
        self.references: dict[str, Any] = {}  # what PEFT says of each adapter, by its hash

    def serving(self, folder: Path, dtype: str, device: str, rank: int | None) -> Server:
        """Return the process that serves a model, with adapters of a rank; one that serves another is ended first."""
        own, found = Served(folder, dtype, device, rank if rank is not None else self._rank), self._server
        if found is not None and found.alive and _fits(found.served, own, any_rank=rank is None):
            return found
        self.rest()
        weights.release()  # there is no room for both
        self._server = Server(own)
        return self._server

    def rest(self) -> None:
        """End the process, if there is one: its memory is another's, and whoever asks next starts it again."""
        if self._server is not None:
            self._server.end()
            self._server = None


def _fits(found: Served, wanted: Served, *, any_rank: bool) -> bool:
    same = (found.folder, found.dtype, found.device) == (wanted.folder, wanted.dtype, wanted.device)
    return same and (any_rank or found.rank == wanted.rank)


def _environment(scratch: Path, device: str) -> dict[str, str]:
    """The environment of the process: our package before what else is on its path, and the GPU that it may see."""
    path = os.pathsep.join(item for item in (str(scratch), os.environ.get("PYTHONPATH")) if item)
    found = {**os.environ, "PYTHONPATH": path}
    _, _, index = device.partition(":")
    if index:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        found["CUDA_VISIBLE_DEVICES"] = seen[int(index)] if int(index) < len(seen) and seen[0] else index
    return found


def _failed(what: str, why: str) -> UserError:
    fix = "see what it says; the same command goes on where it was, and engine=hf answers without vLLM"
    return UserError(f"the process in which vLLM runs {what}", why, fix)


def _end(process: subprocess.Popen[str], scratch: Path) -> None:
    """End a process and all that it has started, and remove what it left."""
    if process.poll() is None:  # else its number may be another's by now
        os.killpg(process.pid, signal.SIGKILL)  # it has nothing to save
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue
    shutil.rmtree(scratch, ignore_errors=True)
