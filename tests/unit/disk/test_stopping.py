"""A command is stopped by SIGTERM and SIGHUP as by Ctrl-C; no signal, not even a second one, tears what is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_api import serving

from warmgap.disk import stopping, store
from warmgap.engines.calls.costs import paid

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
# Adds rows to a journal for ever, each after it was said on stdout how many are on the disk.
WRITER = """
import signal, sys
from pathlib import Path
from warmgap.cli import guard
from warmgap.disk import store

signal.signal(signal.SIGINT, signal.default_int_handler)
def work():
    number = 0
    while True:
        store.append(Path("rows.jsonl"), [{"key": str(number), "text": "x" * 200_000}])
        store.write_json(Path("state.json"), {"number": number, "text": ["y"] * 20_000})
        number += 1
        print(number, flush=True)
sys.exit(guard.guarded(work, Path("runs"), "the same command"))
"""
# Asks a judge, so slowly that it is always under way, and notes what that cost.
ASKER = """
import signal, sys
from pathlib import Path
from warmgap.cli import guard
from warmgap.disk import store
from warmgap.engines import client
from warmgap.settings import conf_files, config
from warmgap.settings.schema import JudgeConfig

signal.signal(signal.SIGINT, signal.default_int_handler)
chosen = {"model": "judge-2025-01-01", "base_url": sys.argv[1], "concurrency": 3, "price_in": 1.0, "price_out": 2.0}
chosen = {**conf_files.choice("judge", "openai"), **chosen}
point = client.Endpoint(config.settings(JudgeConfig, "judge", chosen), "judge")
def work():
    asked = [client.ChatRequest(str(n), [{"role": "user", "content": str(n)}]) for n in range(10_000)]
    with client.costs_noted(point.meter, Path("costs.jsonl"), {"stage": "grading"}):
        for reply in point.ask(asked):
            store.append(Path("rows.jsonl"), [{"key": reply.key}])
            print(reply.key, flush=True)
    return 0
sys.exit(guard.guarded(work, Path("runs"), "the same command"))
"""


def begun(code: str, place: Path, *arguments: str) -> subprocess.Popen[str]:
    """A process that has said something."""
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline(), process.communicate()[1]
    return process


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_ends_a_command_between_two_writes(name: str, twice: bool, tmp_path: Path) -> None:
    process = begun(WRITER, tmp_path)
    process.send_signal(signal.Signals[name])
    if twice:
        process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "Traceback" not in err
    said = 3 + len(out.splitlines())
    data = (tmp_path / "rows.jsonl").read_bytes()
    assert data.endswith(b"}\n"), "no line is torn"
    assert said <= len(list(store.read_journal(tmp_path / "rows.jsonl"))) <= said + 1
    assert store.read_sealed(tmp_path / "state.json")["number"] >= said - 1
    assert not list(tmp_path.glob(".state.json.*")), "no scratch file is left"
    if not twice:
        assert "kept. To go on: the same command" in err


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("name", SIGNALS)
def test_what_was_paid_for_is_kept_with_its_cost(name: str, twice: bool, tmp_path: Path) -> None:
    with serving(lambda body, count: "yes", delay=0.02) as api:
        process = begun(ASKER, tmp_path, api.url)
        process.send_signal(signal.Signals[name])
        if twice:
            time.sleep(0.002)
            process.send_signal(signal.Signals[name])
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "Traceback" not in err
    (cost,) = paid(tmp_path / "costs.jsonl")
    rows = list(store.read_journal(tmp_path / "rows.jsonl"))
    assert 3 <= len(rows) <= cost["calls"] <= len(api.bodies)
    assert cost["calls"] - len(rows) <= 3, "at most what was under way"
    assert cost["spent"] - cost["unclear"] == pytest.approx(cost["calls"] * (100 * 1.0 + 10 * 2.0) / 1e6)


def test_a_signal_waits_for_the_end_of_a_write_and_no_longer() -> None:
    done = []

    def write() -> None:
        with stopping.whole():
            with stopping.whole():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("inner")
            done.append("outer")

    with stopping.heeded():
        with pytest.raises(stopping.Stopped, match="SIGTERM"):
            write()
        os.kill(os.getpid(), signal.SIGHUP)  # so soon after the first it is the same wish
    with stopping.heeded(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGHUP)
    assert done == ["inner", "outer"]


def test_what_was_ignored_stays_ignored_and_all_is_put_back() -> None:
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with stopping.heeded():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) not in (before[signal.SIGTERM], signal.SIG_DFL)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before[signal.SIGHUP])
    assert {number: signal.getsignal(number) for number in stopping.SIGNALS} == before
