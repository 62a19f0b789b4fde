"""How near a chat judge comes to what the endpoint allows: ``python -m benchmarks judge [--verdicts N]``.

Verdicts of a local server that answers each request after 50 ms, in a process of its own, through a real socket: by the
judge alone, and with every verdict written and forced to the disk as it comes. The ideal is n × latency / concurrency.
Memory is that of the judge alone, after a tenth of the verdicts and at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, installed, report
from warmgap.engines.client import Endpoint
from warmgap.errors import UserError
from warmgap.evaluate.judges import grade
from warmgap.evaluate.judges.base import Answer
from warmgap.evaluate.judges.chat_judge import RemoteJudge
from warmgap.evaluate.judges.closed import Remote
from warmgap.evaluate.suites.base import Prompt
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import config

MARK = 0.9


@contextmanager
def served(away: float, faults: float = 0.0) -> Iterator[str]:
    """The address of a server that is so many seconds away, and does not answer that share of requests."""
    script = Path(__file__).parent / "peers" / "server.py"
    server = subprocess.Popen(
        [sys.executable, "-P", str(script), str(away), str(faults)], stdout=subprocess.PIPE, text=True
    )
    try:
        port = server.stdout.readline().strip() if server.stdout else ""
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def memory() -> float:
    """MiB that this process holds now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    except OSError:
        return 0.0
    return pages * 4096 / 2**20


def judge_of(url: str, concurrency: int, folder: Path, **more: Any) -> RemoteJudge:
    """Return the judge that the settings name, at an address; ``more`` are other settings of it."""
    run = config.compose(["+persona=none", "judge=openai", "judge.model=judge-2026-01-01", "judge.key_env=''"])
    own = dataclasses.replace(run.judge, base_url=url, concurrency=concurrency, **more)
    return RemoteJudge(Remote(own, Endpoint(own, "judge"), folder / "batches.jsonl"))


def answers(count: int) -> tuple[list[Answer], list[dict[str, Any]], list[Prompt], dict[tuple[str, str], Item]]:
    """Return answers to be judged, and the same as rows with their prompts and items."""
    item = Item("trivia", "q1", "", "Which city is the capital of France?", "Paris", "Lyon", (), (), "")
    text = "The capital of France is Paris, a city on the Seine with two million people. " * 4
    prompts = [
        Prompt(item.task, item.item_id, "", "none", "", "none", f"{item.question} ({number})")
        for number in range(count)
    ]
    rows = [{"key": f"{number:016x}", "answer": text, "finish_reason": "stop"} for number in range(count)]
    given = [Answer(row["key"], row["answer"], "stop", prompt, item) for row, prompt in zip(rows, prompts, strict=True)]
    return given, rows, prompts, {(item.task, item.item_id): item}


def main() -> None:
    """Judge with and without a journal; print the share of the ideal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verdicts", type=int, default=20_000)
    parser.add_argument("--away", type=float, default=0.05, help="seconds to the server and back (default 0.05)")
    parser.add_argument("--concurrency", type=int, default=16, help="requests under way (default 16, as the settings)")
    options = parser.parse_args()
    count, held = options.verdicts, []
    ideal = count * options.away / options.concurrency
    given, rows, prompts, items = answers(count)
    with served(options.away) as url, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        judge = judge_of(url, options.concurrency, folder)
        started, cpu = time.perf_counter(), time.process_time()
        words = set()
        for number, verdict in enumerate(judge.grade(given), 1):
            words.add(verdict.verdict)
            if number in (count // 10, count):
                held.append(memory())
        alone, cpu = time.perf_counter() - started, time.process_time() - cpu
        if words != {"correct"}:
            raise UserError("the judge has said something else", f"it said {', '.join(words)}", "look at the client")
        started = time.perf_counter()
        kept = grade.grade(judge, rows, prompts, items, {"trivia": folder / "verdicts.jsonl"}, "verdicts")
        written = time.perf_counter() - started
        if any(row["verdict"] != "correct" for row in kept):
            raise UserError("verdicts are lost", "not every row has one", "look at the journal")
    note = f"{100 * ideal / alone:.0f} % of the ideal, {1000 * cpu / count:.2f} ms of CPU time each"
    if len(held) == 2:
        note += f"; {held[0]:,.0f} MiB after a tenth, {held[1]:,.0f} at the end"
    report(
        "judge",
        [
            Row("warmgap, judge alone", count / alone, "verdicts/s", alone, note),
            Row("ideal", count / ideal, "verdicts/s", ideal, "n × latency / concurrency"),
            Row("warmgap, each on the disk", count / written, "verdicts/s", written, f"{100 * ideal / written:.0f} %"),
        ],
        f">= {100 * MARK:.0f} % of the ideal at {options.concurrency} under way",
        installed(["aiohttp"]),
    )


if __name__ == "__main__":
    main()
