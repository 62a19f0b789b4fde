"""What is done around an answer: ``python -m benchmarks overhead [--long]``, CPU time by prompt with a free engine.

The engine answers at once, so all that is measured is encoding, keys, rows, the journal and its way to the disk, for a
thousand to a hundred thousand prompts (a million with ``--long``): the time by prompt has to stay what it is. The peer
is inspect_ai with its mock model, one prompt and one empty scorer a sample, in an environment of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.grid import items
from benchmarks.harness import Row, report
from benchmarks.judge import memory
from warmgap.engines.base import Encoded, Reply, Request
from warmgap.errors import UserError
from warmgap.evaluate.answer import answer
from warmgap.evaluate.suites import grid
from warmgap.settings import config
from warmgap.settings.identity import digest
from warmgap.settings.schema import GenerateConfig

TEXT = "The capital of France is Paris, a city on the Seine with two million people. " * 4
PEERS_SAMPLES = 1000


class Free:
    """An engine that answers at once, and nothing more."""

    name, made_by = "free", "free"

    def encode(self, messages: Sequence[Any]) -> Encoded:
        """Return the messages."""
        return list(messages)

    def key(self, prompt: Encoded, params: GenerateConfig) -> str:
        """Return a hash of what is asked."""
        return digest([list(prompt), params.max_new_tokens, params.temperature, params.seed], 16)

    def room(self, prompt: Encoded) -> int | None:
        """Return None: it has no window."""
        return None

    def answer(
        self, requests: Sequence[Request], params: GenerateConfig, done: set[str] | None = None
    ) -> Iterator[list[Reply]]:
        """Yield the replies in batches."""
        for start in range(0, len(requests), params.batch_size):
            batch = requests[start : start + params.batch_size]
            yield [Reply(request.key, TEXT, 60, "stop", 80) for request in batch]

    def score(self, prompts: Sequence[Encoded], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return nothing."""
        return []


def ours(count: int) -> tuple[float, float, float]:
    """Return CPU seconds, seconds and MiB for so many prompts, the rendering left out."""
    run = config.compose(["+persona=none", "grid=full"])
    made = grid.build(list(items(-(-count // 28))), run.context, run.belief, run.grid)[:count]
    params = dataclasses.replace(run.generate, batch_size=128)
    with tempfile.TemporaryDirectory() as scratch:
        before, started, cpu = memory(), time.perf_counter(), time.process_time()
        rows = answer(Free(), made, params, [], {"made_up": Path(scratch) / "answers.jsonl"}, "answers")
        took = time.process_time() - cpu, time.perf_counter() - started, memory() - before
        if len(rows) != count or any(row["answer"].strip() != TEXT.strip() for row in rows):
            raise UserError("answers are lost", f"{len(rows):,} rows of {count:,}", "look at evaluate/answer.py")
    return took


def main() -> None:
    """Measure ours at each size, then the peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="a million prompts as well")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--no-peer", action="store_true", help="ours alone")
    options = parser.parse_args()
    rows, versions = [], {}
    ours(100)
    for count in [*options.sizes, *([1_000_000] if options.long else [])]:
        cpu, took, held = ours(count)
        note = f"{held * 2**20 / count:,.0f} bytes of memory each" if count >= 10_000 else ""
        rows.append(Row(f"warmgap, {count:,} prompts", 1e6 * cpu / count, "µs CPU each", took, note))
    if not options.no_peer:
        said = peers.run("inspect_mock", {"samples": PEERS_SAMPLES, "text": TEXT})
        each, versions = 1e6 * said["cpu"] / PEERS_SAMPLES, {"inspect_ai": said["version"]}
        rows.append(Row(f"inspect_ai, {PEERS_SAMPLES:,} samples", each, "µs CPU each", said["seconds"]))
    report("overhead", rows, ">= 50 × less than inspect_ai, the same at every size", versions)


if __name__ == "__main__":
    main()
