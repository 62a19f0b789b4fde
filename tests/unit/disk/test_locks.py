"""Commands that write the same thing take turns; a lock goes with the process that holds it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from warmgap.disk import locks
from warmgap.errors import UserError

# Reads a number and writes the next one, so many times, in a way that loses some where two do so at once.
COUNTS = """
import sys, time
from pathlib import Path
from warmgap.disk import locks, store

path = Path("number.json")
for _ in range(20):
    with locks.alone(path):
        number = (store.read_json(path) or {"number": 0})["number"]
        time.sleep(0.001)
        store.write_json(path, {"number": number + 1})
"""
HOLDS = """
import sys, time
from pathlib import Path
from warmgap.disk import locks

with locks.alone(Path("held")):
    print("held", flush=True)
    time.sleep(600)
"""


def begun(code: str, place: Path) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], cwd=place, **pipes)  # type: ignore[call-overload,no-any-return]


def test_several_writers_of_one_file_lose_nothing(tmp_path: Path) -> None:
    processes = [begun(COUNTS, tmp_path) for _ in range(3)]
    ends = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], ends
    assert '"number": 60' in (tmp_path / "number.json").read_text(encoding="utf-8")


def test_a_lock_is_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    process = begun(HOLDS, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    waiting = begun(COUNTS.replace("number.json", "held"), tmp_path)
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == "another run is working on held; waiting for it\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0


def test_where_no_lock_can_be_made_the_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write") as refusal, locks.alone(tmp_path / "file" / "x"):
        pass
    assert str(tmp_path / "file") in refusal.value.why
