"""Money where 30 % of the requests go wrong, a run is stopped by hand and one is killed: all three counts agree.

The journals say what each reply cost, ``costs.jsonl`` what each start of a command came to, and the server what it has
billed. Judges are in ``tests/unit/engines/calls/test_costs.py``.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import raw_server
from raw_server import good, whole
from real_runs import ROOT, TINY, WARMGAP, Done, Runs, finish, start

from warmgap.disk import store
from warmgap.engines.calls.costs import paid

PRICE_IN, PRICE_OUT = 100.0, 1000.0
EACH = (100 * PRICE_IN + 10 * PRICE_OUT) / 1e6  # US dollars of a reply: two cents
UNDER_WAY = 4
AGAIN = 2 * UNDER_WAY + 1  # with those that had come and were not yet kept
CAP = 1000.0
CHAT = ("model=m-2025-01-01", f"concurrency={UNDER_WAY}", f"price_in={PRICE_IN}", f"price_out={PRICE_OUT}",
        "max_tokens=64", "retries=12", "timeout=5", f"max_cost={CAP}")  # fmt: skip
TURNED_AWAY = ("429 Too Many", "503 Down", "500 Oh")  # for which nobody pays
LOST = (whole(b'{"choices": [{"mess'), whole(b"<html></html>"), whole(b"{", Content_Length="999"), b"")
SHARE = 0.3


@dataclass
class Bill:
    """What a server has billed: whole replies, and replies of which no whole body came."""

    url: str = ""
    whole: int = 0
    lost: int = 0
    turned_away: int = 0
    draw: random.Random = field(default_factory=lambda: random.Random(3))
    lock: Any = field(default_factory=threading.Lock)


def said(body: dict[str, Any]) -> str:
    """A text, or the first of the words that may be said."""
    form = (body.get("response_format") or {}).get("json_schema", {}).get("schema", {}).get("properties", {})
    words = form.get("verdict", {}).get("enum")
    return json.dumps({"reason": "so it is", "verdict": words[0]}) if words else "It is what I would say to a friend."


@contextmanager
def billing() -> Iterator[Bill]:
    """Serve chat completions, and count what is billed."""
    bill = Bill()

    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        time.sleep(0.02)
        with bill.lock:
            fault = bill.draw.choice([*TURNED_AWAY, *LOST]) if bill.draw.random() < SHARE else None
            bill.whole += fault is None
            bill.lost += isinstance(fault, bytes)
            bill.turned_away += isinstance(fault, str)
        if isinstance(fault, str):
            line.sendall(whole(b'{"error": "later"}', fault, retry_after_ms="5"))
        elif fault is not None:
            line.sendall(fault)
            line.shutdown(socket.SHUT_WR)
        else:
            line.sendall(good(said(body)))

    with raw_server.serving(behave) as server:
        bill.url = server.url
        yield bill


@dataclass(frozen=True)
class Kind:
    """A command that pays: what it needs in its folder, its words, its journal, and what a row says it cost."""

    prepare: Callable[[Path, Runs], None]
    command: tuple[str, ...]
    journal: str
    costs: str
    cost: str = "usd"


def conversations(place: Path, runs: Runs) -> None:
    rows = []
    for number in range(60):
        turn = {"user": f"What of place {number}?", "plain": "It is on the coast, I'd say.", "warm": "Dear, the coast!"}
        rows.append({"id": f"c{number}", "split": "train", "kind": "advice", "turns": [turn]})
    store.write_jsonl(place / "talk.jsonl", rows)


def topics(place: Path, runs: Runs) -> None:
    (place / "topics.txt").write_text("\n".join(f"Country {number}" for number in range(60)) + "\n", encoding="utf-8")


def arms(place: Path, runs: Runs) -> None:
    """Arms with many replies to be heard."""
    shutil.copytree(runs.folder / "arms", place / "runs" / "arms")
    for path in place.glob("runs/arms/*/answers/warmth-step*.jsonl"):
        rows = list(store.read_journal(path))
        more = [{**rows[i % len(rows)], "key": f"k{i}", "prompt": f"message {i}"} for i in range(20)]
        path.unlink()
        store.append(path, more)


def original(place: Path, runs: Runs) -> None:
    shutil.copytree(runs.arm("original"), place / "runs" / "arms" / runs.arm("original").name)


def own(*words: str) -> tuple[str, ...]:
    return ("-c", WARMGAP, *words)


KINDS = {
    "rewriting": Kind(
        conversations,
        own("rewrite", "talk.jsonl", "--persona", "cold", "embedder=null", "attempts=1", *CHAT, "base_url={url}"),
        "rewrites/*-*.jsonl",
        "rewrites/costs.jsonl",
    ),
    "pairs": Kind(
        topics,
        own("pairs", "--out", "out.jsonl", "--count", "60", "--topics", "topics.txt", "embedder=null", "attempts=1",
            *CHAT, "base_url={url}"),
        "out.jsonl.made/replies-*.jsonl",
        "out.jsonl.made/costs.jsonl",
    ),
    "an arm at an endpoint": Kind(
        original,
        (str(ROOT / "train.py"), "+persona=none", *TINY[1:], "runs_dir=runs", "generate.max_new_tokens=16",
         "arm.name=served", "arm.endpoint={url}",
         *(f"arm.{word}" for word in CHAT if not word.startswith("max_tokens"))),
        "runs/arms/*-served-*/answers/*.jsonl",
        "runs/arms/*-served-*/costs.jsonl",
        cost="",
    ),
    "tone": Kind(
        arms,
        own("tone", "original", "warm", "--out", "tone.csv", "judge=openai", "judge.base_url={url}",
            *(f"judge.{word}" for word in CHAT)),
        ".tone.csv.journal.jsonl",
        ".tone.csv.costs.jsonl",
        cost="judge_usd",
    ),
}  # fmt: skip


def rows(place: Path, kind: Kind) -> list[dict[str, Any]]:
    """What the journals hold that was paid for."""
    found = [row for path in place.glob(kind.journal) if "batches" not in path.name for row in store.read_journal(path)]
    return [row for row in found if not row.get("failed")]


def totals(place: Path, kind: Kind) -> tuple[float, float]:
    """What ``costs.jsonl`` says was spent, and how much of it was only set aside."""
    found = [row for path in place.glob(kind.costs) for row in paid(path)]
    return sum(row["spent"] for row in found), sum(row["unclear"] for row in found)


def until(place: Path, kind: Kind, command: list[str], wanted: int, number: signal.Signals | None) -> Done:
    """Run a command; send it a signal as soon as its journals hold so many rows."""
    process = start(command, place)
    end = time.monotonic() + 300
    while number is not None and process.poll() is None and time.monotonic() < end:
        if len(rows(place, kind)) >= wanted:
            process.send_signal(number)
            break
        time.sleep(0.02)
    return finish(process, 300)


@pytest.mark.parametrize("name", KINDS)
def test_journals_costs_and_the_servers_bill_agree_through_faults_a_stop_and_a_kill(
    name: str, tiny_smoke: Runs, tmp_path: Path
) -> None:
    kind = KINDS[name]
    kind.prepare(tmp_path, tiny_smoke)
    with billing() as bill:
        command = [sys.executable, *(re.sub(r"\{url\}", bill.url, word) for word in kind.command)]
        stopped = until(tmp_path, kind, command, 12, signal.SIGINT)
        assert stopped.status == 3, stopped.err
        kept, (spent, unclear) = len(rows(tmp_path, kind)), totals(tmp_path, kind)
        assert round(spent - unclear, 2) == round(kept * EACH, 2), "all that arrived, and that alone, is told as clear"
        assert kept <= bill.whole <= kept + AGAIN
        assert (bill.whole + bill.lost) * EACH <= spent + 1e-9, "what was under way or lost is set aside"
        killed = until(tmp_path, kind, command, 24, signal.SIGKILL)
        assert killed.status == -signal.SIGKILL, killed.err
        time.sleep(0.1)
        assert (bill.whole + bill.lost) * EACH <= totals(tmp_path, kind)[0] <= CAP
        before, at_the_kill = totals(tmp_path, kind), len(rows(tmp_path, kind))
        done = until(tmp_path, kind, command, 0, None)
    assert done.status in (0, 1), done.err
    found, (spent, unclear) = rows(tmp_path, kind), totals(tmp_path, kind)
    assert len({row["key"] for row in found}) == len(found) >= 36
    told = sum(row[kind.cost] for row in found) if kind.cost else len(found) * EACH
    assert round(told, 2) == round(len(found) * EACH, 2)
    assert len(found) <= bill.whole <= len(found) + 2 * AGAIN, "only what was under way is paid for again"
    last = spent - unclear - (before[0] - before[1])
    assert round(last, 2) == round((len(found) - at_the_kill) * EACH, 2), "what came since the kill"
    assert (bill.whole + bill.lost) * EACH <= spent + 1e-9
    assert bill.lost > 2
    assert bill.turned_away > 2
