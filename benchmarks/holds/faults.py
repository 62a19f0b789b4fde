"""A judge at an endpoint that fails: ``python -m benchmarks faults [--verdicts N] [--share S]``.

Of 30 % of the requests something goes wrong, by turns: 429 with Retry-After, 500, a line that breaks, a body that ends
early, drips, or is none. Every verdict is written and forced to the disk. The ideal is what nothing of ours is part of:
the time that all requests and drips take at so many under way, and that for which the server asks that nobody comes.
A request that drips takes all the time that it is given (``--timeout``). What was paid is compared with what the server
has billed.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from benchmarks.harness import Row, installed, report
from benchmarks.judge import answers, judge_of, memory, served
from warmgap.disk import store
from warmgap.engines.calls.costs import costs_noted, paid
from warmgap.errors import UserError
from warmgap.evaluate.judges import grade

MARK = 1.3
EACH = (400 * 2.0 + 24 * 8.0) / 1e6  # US dollars that a good reply of peers/server.py costs
MADE = {"stage": "grading", "judge": "openai", "model": "judge-2026-01-01"}


def main() -> None:
    """Judge with faults; print the share of the ideal, and whether all arrived once and the money agrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verdicts", type=int, default=5_000)
    parser.add_argument("--share", type=float, default=0.3, help="of the requests that go wrong (default 0.3)")
    parser.add_argument("--away", type=float, default=0.05, help="seconds to the server and back (default 0.05)")
    parser.add_argument("--timeout", type=float, default=0.5, help="seconds that a request is given (default 0.5)")
    parser.add_argument("--concurrency", type=int, default=16, help="requests under way (default 16, as the settings)")
    options = parser.parse_args()
    random.seed(1)
    count, held = options.verdicts, []
    _, rows, prompts, items = answers(count)
    with served(options.away, options.share) as url, tempfile.TemporaryDirectory() as scratch:
        journal, costs = Path(scratch) / "verdicts.jsonl", Path(scratch) / "costs.jsonl"
        own = {"retries": 20, "timeout": options.timeout, "price_in": 2.0, "price_out": 8.0}
        judge = judge_of(url, options.concurrency, Path(scratch), **own)
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.5):
                held.append(memory())

        threading.Thread(target=watch, daemon=True).start()
        started = time.perf_counter()
        with costs_noted(judge.model.endpoint.meter, costs, MADE):  # type: ignore[attr-defined]
            grade.grade(judge, rows, prompts, items, {"trivia": journal}, "verdicts")
        took = time.perf_counter() - started
        ended.set()
        with urllib.request.urlopen(url.removesuffix("/v1") + "/count") as answer:
            seen = json.load(answer)
        kept = list(store.read_journal(journal))
        (cost,) = paid(costs)
    if len(kept) != count or len({row["key"] for row in kept}) != count:
        raise UserError("verdicts are lost, or came twice", f"{len(kept)} rows for {count}", "look at the client")
    told = sum(row["judge_usd"] for row in kept)
    if round(told, 2) != round(seen["billed"] * EACH, 2) or abs(cost["spent"] - cost["unclear"] - told) > 1e-6:
        raise UserError("the money does not agree", f"{told:.4f} kept, {seen} at the server", "look at calls/costs.py")
    dripped = options.timeout - options.away
    ideal = (seen["asked"] * options.away + seen["drip"] * dripped) / options.concurrency + seen["busy"] * 0.05
    plain = count * options.away / options.concurrency
    note = f"{took / ideal:.2f} × the ideal; {seen['asked'] - seen['billed']:,} of {seen['asked']:,} requests failed"
    tenth = held[len(held) // 10] if held else 0.0
    note += f"; {tenth:,.0f} MiB after a tenth, {held[-1] if held else 0:,.0f} at the end"
    note += f"; {told:.2f} US dollars kept and billed, {cost['unclear']:.2f} set aside for replies that did not come"
    report(
        "faults",
        [
            Row("warmgap, each on the disk", count / took, "verdicts/s", took, note),
            Row(
                "ideal with these faults",
                count / ideal,
                "verdicts/s",
                ideal,
                "(requests + drips) / concurrency + pauses",
            ),
            Row("ideal without faults", count / plain, "verdicts/s", plain, f"{took / plain:.2f} × it"),
        ],
        f"<= {MARK} × the ideal with these faults; each verdict once; flat memory; the money agrees",
        installed(["aiohttp"]),
    )


if __name__ == "__main__":
    main()
