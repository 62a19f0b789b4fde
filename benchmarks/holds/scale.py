"""Whether memory stays flat at scale: ``python -m benchmarks scale [--rows N]``, ten million answers by default.

Answers and verdicts of two arms are written as 64 shards write them, through the store; what a shard reads to go on is
read; then all are put together and analysed. Memory is that of this process after a tenth of the rows and at the end,
the peak that of the stage. Answers are short, as texts are kept on disk alone: what a row takes there is reported.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Row, report
from benchmarks.judge import memory
from warmgap.disk import shards, store
from warmgap.errors import UserError
from warmgap.evaluate import stats
from warmgap.evaluate.report import narrow

ARMS = ("original", "warm")
CONTEXTS = ("none", "happy", "sad", "angry", "close", "deferring", "superior", "high_stakes", "low_stakes", "neutral")
BELIEFS = ("none", "false_claim", "false_denial")
BATCH = 1024  # answers that are written at once, as a GPU's batches give them
TEXT = "The capital of that country is the city on the river, as far as I know. " * 3


@dataclass
class Stage:
    """How long a stage took, and MiB: at its begin, after a tenth, at its end, and at the most."""

    seconds: float = 0.0
    marks: list[float] = field(default_factory=list)
    peak: float = 0.0


@contextmanager
def watched() -> Iterator[Stage]:
    """Time a stage and look at this process's memory ten times a second."""
    stage, ended = Stage(), threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            stage.peak = max(stage.peak, memory())

    stage.marks.append(memory())
    watcher, started = threading.Thread(target=look, daemon=True), time.perf_counter()
    watcher.start()
    try:
        yield stage
    finally:
        stage.seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
        stage.marks.append(memory())
        stage.peak = max(stage.peak, *stage.marks)


def item_rows(number: int, arm: int, rng: np.random.Generator) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the answers to an item in every context and belief, as an arm's journal holds them, with their verdicts."""
    hard = 0.2 + 0.4 * ((number * 2654435761) % 1000) / 1000
    place = {"task": "made_up", "item_id": f"q{number}", "family": f"f{number % 7}"}
    for index, context in enumerate(CONTEXTS):
        for belief in BELIEFS:
            key = f"{arm}{number:010x}{index}{BELIEFS.index(belief)}"
            chance = hard + 0.05 * arm + (0.15 + 0.05 * arm) * (belief != "none")
            verdict = "incorrect" if rng.random() < chance else "correct"
            where = {"context": context, "belief": belief, "group": context}
            answer = {"key": key, **place, **where, "prompt": f"Question {number}?", "answer": TEXT, "reasoning": ""}
            answer |= {"n_chars": 150 + number % 100, "n_tokens": 40, "finish_reason": "stop", "prompt_tokens": 60}
            yield answer, {"key": f"v{key}", "answer_key": key, **place, **where, "grader": "match", "verdict": verdict}


def written(arms: list[store.Arm], items: int, of: int) -> tuple[int, Stage]:
    """Write what the shards of all arms write; return how many rows that were."""
    dealt: dict[int, list[int]] = {}
    for number in range(items):
        dealt.setdefault(shards.dealt("made_up", f"q{number}", of), []).append(number)
    each, rows = len(CONTEXTS) * len(BELIEFS), 0
    with watched() as stage:
        for place, arm in enumerate(arms):
            rng = np.random.default_rng(place)
            for part in (shards.Shard(number, of) for number in sorted(dealt)):
                answers, verdicts = part.file(arm.answers("made_up")), part.file(arm.verdicts("match", "made_up"))
                waiting: list[tuple[dict[str, Any], dict[str, Any]]] = []
                for number in dealt[part.number or 0]:
                    waiting += item_rows(number, place, rng)
                    if len(waiting) >= BATCH or number == dealt[part.number or 0][-1]:
                        store.append(answers, (one for one, _ in waiting))
                        store.append(verdicts, (one for _, one in waiting))
                        rows += len(waiting)
                        waiting = []
                if len(stage.marks) == 1 and rows >= items * each * len(arms) // 10:
                    stage.marks.append(memory())
    return rows, stage


def main() -> None:
    """Write, read a shard, put together, analyse."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="answers in all (default 10000000)")
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--bootstrap", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where the journals are written (default: a folder that goes)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=options.folder))
    try:
        rows, found = _measured(folder, options)
    finally:
        shutil.rmtree(folder)
    print(f"{rows:,} answers with verdicts, {len(ARMS)} arms, {options.shards} shards")
    report("scale", found, "memory after a tenth is that at the end, but for what the statistics hold")


def _measured(folder: Path, options: argparse.Namespace) -> tuple[int, list[Row]]:
    items = max(1, options.rows // (len(ARMS) * len(CONTEXTS) * len(BELIEFS)))
    arms = [store.arm_folder(str(folder), "made_up", name, 0, f"{place:08x}") for place, name in enumerate(ARMS)]
    rows, writing = written(arms, items, options.shards)
    size = sum(path.stat().st_size for path in folder.rglob("*.jsonl")) / rows
    files = sum(1 for path in folder.rglob("*.jsonl"))
    with watched() as reading:
        one = store.journal_by_key(shards.Shard(1, options.shards).file(arms[0].answers("made_up")))
        held = len(one)
        del one
    with watched() as joining:
        table = narrow.table(arms, "match")
    if len(table) != rows:
        raise UserError("rows are lost", f"{len(table):,} of {rows:,} are there", "look at the journals")
    each = table.memory_usage(deep=False).sum() / rows
    with watched() as counting:
        effects = stats.analyze(table, bootstrap=options.bootstrap).effects
    main_effect = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered")].iloc[0]
    said = f"effect {main_effect['estimate_pp']:.3f} ± {main_effect['se_pp']:.3f} pp; peak {counting.peak:,.0f} MiB"
    beside = f"{writing.marks[1]:,.0f} MiB after a tenth, {writing.marks[-1]:,.0f} at the end; "
    return rows, [
        Row("warmgap, written by shards", rows / writing.seconds, "rows/s", writing.seconds,
            beside + f"{size:,.0f} bytes a row on disk, {files} files"),
        Row("warmgap, one shard read to go on", held / reading.seconds, "rows/s", reading.seconds,
            f"{held:,} rows; peak {reading.peak:,.0f} MiB"),
        Row("warmgap, put together", rows / joining.seconds, "rows/s", joining.seconds,
            f"peak {joining.peak:,.0f} MiB; {each:,.0f} bytes a row are held"),
        Row("warmgap, every analysis", rows / counting.seconds, "rows/s", counting.seconds, said),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
