"""A command that is forked (tests/support/fork_server.py) is in nothing that it can see other than one begun afresh."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fork_server import Forked
from real_runs import Process, environment, finish, start

SEEN = """
import json, multiprocessing, os, signal, sys
print(json.dumps({
    "arguments": sys.argv, "original": sys.orig_argv[1:], "folder": os.getcwd(), "name": __name__,
    "file": globals().get("__file__"), "main": sys.modules["__main__"].__dict__ is globals(), "path": sys.path,
    "environment": {key: value for key, value in os.environ.items() if key != "_"},
    "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "child": str(signal.getsignal(signal.SIGCHLD)), "pipe": str(signal.getsignal(signal.SIGPIPE)),
    "leader": os.getpid() == os.getsid(0) == os.getpgid(0), "terminals": [os.isatty(fd) for fd in (0, 1, 2)],
    "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:3], "input": sys.stdin.read(),
    "spawned_from": multiprocessing.process.ORIGINAL_DIR,
}))
"""
NUMBERS = """
import random, tempfile, uuid, numpy, torch
print(random.random(), uuid.uuid4(), next(tempfile._get_candidate_names()), numpy.random.random(), torch.rand(1).item())
"""
SPAWNS = """
import multiprocessing
def twice(number): return 2 * number
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(twice, [21]))
"""
ENDS = {
    "done": ("print('said')", 0),
    "status": ("import sys; sys.exit(7)", 7),
    "text": ("import sys; sys.exit('what went wrong')", 1),
    "error": ("raise ValueError('what went wrong')", 1),
    "last words": ("import atexit, sys; atexit.register(print, 'last words'); sys.exit(3)", 3),
    "abrupt": ("import os; print('lost'); os._exit(5)", 5),
    "itself": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
}


def code(text: str, place: Path, *arguments: str, fresh: bool = False) -> Process:
    process = start([sys.executable, "-c", text, *arguments], place, fresh=fresh)
    assert isinstance(process, subprocess.Popen if fresh else Forked)
    return process


pytestmark = pytest.mark.skipif(sys.platform != "linux" or os.path.exists("/dev/nvidiactl"), reason="nothing is forked")


@pytest.mark.parametrize("way", ["code", "script"])
def test_it_sees_what_a_fresh_one_sees(way: str, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(SEEN, encoding="utf-8")
    begun = ["-c", SEEN] if way == "code" else [str(tmp_path / "job.py")]
    seen = []
    for fresh in (True, False):
        done = finish(start([sys.executable, *begun, "an argument", "b=1"], tmp_path, fresh=fresh, COLUMNS="99"))
        assert (done.status, done.err) == (0, "")
        seen.append(json.loads(done.out))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_as_a_fresh_one_ends(end: str, tmp_path: Path) -> None:
    text, status = ENDS[end]
    fresh, forked = (finish(code(text, tmp_path, fresh=way)) for way in (True, False))
    assert (fresh.status, forked.status) == (status, status)
    assert forked.out == fresh.out
    assert forked.err.splitlines()[-1:] == fresh.err.splitlines()[-1:]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_reaches_it_and_what_it_has_started(number: signal.Signals, tmp_path: Path) -> None:
    text = "import subprocess, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"
    process = code(f"import sys; sys.stdout = open('pid', 'w')\n{text}", tmp_path)
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text(encoding="utf-8"):
        assert process.poll() is None
        time.sleep(0.01)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.05)
    os.killpg(process.pid, number)
    assert finish(process, 60).status == -number
    assert process.poll() == process.wait() == -number


def test_what_is_random_differs_from_fork_to_fork(tmp_path: Path) -> None:
    one, other = (finish(code(NUMBERS, tmp_path)).out.split() for _ in range(2))
    assert len(one) == len(other) == 5
    assert not set(one) & set(other)


def test_what_it_spawns_finds_its_script(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(SPAWNS, encoding="utf-8")
    process = start([sys.executable, "job.py"], tmp_path)
    assert isinstance(process, Forked)
    done = finish(process)
    assert (done.status, done.out) == (0, "[42]\n"), done.err


def test_what_an_import_reads_is_begun_afresh(tmp_path: Path) -> None:
    text = "import os; print(os.environ['HF_HUB_OFFLINE'])"
    process = start([sys.executable, "-c", text], tmp_path, HF_HUB_OFFLINE="1")
    assert isinstance(process, subprocess.Popen)
    assert finish(process).out == "1\n"
    assert "HF_HUB_OFFLINE" not in environment()
