"""A process that has imported what the commands import, and forks them: a command then begins in milliseconds.

``python train.py …`` spends 5 to 15 seconds on imports. Here they are done once for each process that runs tests, and
every command is a fork of that one: a process of its own with its own session, folder, environment, arguments and
streams, which ends as any other Python does. ``can_fork`` says what cannot be begun so: what is not Python's own, an
environment that libraries read while they are imported, and anything at all where there is a GPU.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
import types
import warnings
from functools import cache
from multiprocessing import process
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Read when a command runs, never by an import: the only variables in which a fork may differ from its parent.
FREE = {"COLUMNS", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PYTEST_CURRENT_TEST", "WARMGAP_CACHE"}
LIBRARIES = (
    "accelerate", "datasets", "hydra._internal.utils", "jinja2", "krippendorff", "matplotlib.backends.backend_svg",
    "matplotlib.figure", "openai", "pandas", "peft", "pyarrow.parquet", "rich.console", "rich.progress", "rich.table",
    "scipy.stats", "statsmodels.api", "torch.distributed.launcher.api", "transformers.generation.utils",
    "transformers.modeling_gguf_pytorch_utils", "transformers.models.llama.modeling_llama",
    "transformers.models.llama.tokenization_llama", "trl.trainer.dpo_trainer", "trl.trainer.sft_trainer",
)  # fmt: skip


class Forked:
    """A forked command; behaves as a ``subprocess.Popen`` with ``text=True`` and both streams piped."""

    def __init__(self, args: list[str], cwd: Path, environment: dict[str, str]) -> None:
        self.args = args
        self.returncode: int | None = None
        (out, theirs), (err, their_err), (self._status, their_status) = os.pipe(), os.pipe(), os.pipe()
        request = json.dumps({"args": args, "cwd": str(cwd), "environment": environment}).encode()
        socket.send_fds(_server(), [request], [theirs, their_err, their_status])
        for descriptor in (theirs, their_err, their_status):
            os.close(descriptor)
        self._read: dict[int, list[bytes]] = {out: [], err: []}
        self._open = {out, err}
        self.pid = self._number()

    def _number(self) -> int:
        """What comes next by the pipe of its status: first the process id, in the end the status."""
        line = b""
        while not line.endswith(b"\n"):
            part = os.read(self._status, 1)
            if not part:
                raise RuntimeError("the process that forks commands has ended")
            line += part
        return int(line)

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None while the process runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.returncode = self._number()
            os.close(self._status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process to end; return its status. Raises ``subprocess.TimeoutExpired``."""
        if self.returncode is None:
            select.select([self._status], [], [], timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode or 0

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read both streams to their ends, then wait; after ``subprocess.TimeoutExpired`` it may be called again."""
        until = None if timeout is None else time.monotonic() + timeout
        while self._open:
            ready = select.select(list(self._open), [], [], _left(until))[0]
            if not ready:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            for descriptor in ready:
                part = os.read(descriptor, 1 << 16)
                self._read[descriptor].append(part)
                if not part:
                    self._open.remove(descriptor)
                    os.close(descriptor)
        self.wait(_left(until))
        out, err = (b"".join(parts).decode() for parts in self._read.values())
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process."""
        self.send_signal(signal.SIGKILL)


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - time.monotonic())


_started_with: dict[str, str] = {}  # the environment of the parent, and of every fork but for what is free


def can_fork(args: list[str], environment: dict[str, str], usual: dict[str, str]) -> bool:
    """Whether a command that is forked is the same as one that is begun afresh; ``usual`` is the usual environment."""
    if sys.platform != "linux" or Path("/dev/nvidiactl").exists():
        return False  # a process that has asked CUDA for its devices may not fork
    if not _started_with:
        _started_with.update(_fixed(usual))
    python = args[0] == sys.executable and (args[1] == "-c" or args[1].endswith(".py"))
    return python and _fixed(environment) == _started_with


def _fixed(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in FREE}


@cache
def _server() -> socket.socket:
    """Start the parent of all forks; it ends when our end of the socket is closed, so at the latest as we end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())],
        env=_started_with,
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    theirs.close()
    return ours


# ---- the parent ----


def import_everything() -> None:
    """Import libraries and every module of ours, but for those of vLLM's process and of an extra that may be absent."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for folder, _, names in os.walk(ROOT / "warmgap", followlinks=True):
        for name in names:
            if name.endswith(".py") and not name.startswith("_"):
                module = ".".join((Path(folder) / name).relative_to(ROOT).with_suffix("").parts)
                try:
                    importlib.import_module(module)
                except ModuleNotFoundError as error:
                    if error.name not in ("vllm", "inspect_ai"):
                        raise


def threads() -> list[str]:
    """The names of this process's threads but for the first, and for that of Arrow's jemalloc, which forks with it."""
    names = [Path("/proc/self/task", thread, "comm").read_text().strip() for thread in os.listdir("/proc/self/task")]
    return sorted(name for name in names if name != "jemalloc_bg_thd")[1:]


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork a command for each request. In the fork return the request, in the parent None when nobody asks any more."""
    running: dict[int, tuple[int, int]] = {}  # by the descriptor of a fork: its process id, and the pipe of its status
    with selectors.DefaultSelector() as waiting, control:
        waiting.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fd in running:
                    waiting.unregister(key.fd)
                    _ended(key.fd, *running.pop(key.fd))
                    continue
                data, streams, *_ = socket.recv_fds(control, 1 << 20, 3)
                if not data:
                    return None
                if threads():
                    raise RuntimeError(f"imports have started {threads()}: a fork would have their locks without them")
                with warnings.catch_warnings(action="ignore"):  # newer Pythons count jemalloc's thread, too
                    pid = os.fork()
                if pid == 0:
                    for handle, (_, status) in running.items():
                        os.close(handle)
                        os.close(status)
                    _take(*streams)
                    return dict(json.loads(data))
                os.close(streams[0])
                os.close(streams[1])
                handle = os.pidfd_open(pid)
                running[handle] = (pid, streams[2])
                waiting.register(handle, selectors.EVENT_READ)


def _ended(handle: int, pid: int, status: int) -> None:
    """Tell of a fork that has ended."""
    os.close(handle)
    os.write(status, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os.close(status)


def _take(out: int, err: int, status: int) -> None:
    """In a fork: a session of its own, its streams, Ctrl-C as in a terminal; then say which process it is."""
    os.setsid()
    os.dup2(out, 1)
    os.dup2(err, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.write(status, b"%d\n" % os.getpid())
    for descriptor in (out, err, status):
        os.close(descriptor)


def become(args: list[str], cwd: str, environment: dict[str, str]) -> None:
    """Run a script, or the code after ``-c``, as the main module of this process."""
    import numpy as np
    import torch

    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    process.ORIGINAL_DIR = cwd  # type: ignore[attr-defined]  # from where multiprocessing looks for the script
    np.random.seed(None)  # the generators of these two would go on from the parent's; that of random begins anew
    torch.seed()  # type: ignore[no-untyped-call]
    script = Path(args[1])
    main_module = types.ModuleType("__main__")
    if args[1] == "-c":
        source, place, sys.argv, sys.path[0] = args[2], "<string>", ["-c", *args[3:]], ""
    else:
        source, place, sys.argv, sys.path[0] = script.read_text("utf-8"), args[1], args[1:], str(script.parent)
        main_module.__file__ = args[1]
    sys.orig_argv = args
    sys.modules["__main__"] = main_module
    exec(compile(source, place, "exec"), main_module.__dict__)


if __name__ == "__main__":
    import_everything()
    gc.collect()
    gc.freeze()  # what is there now is neither looked at nor copied by a fork's collections
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        become(**request)
