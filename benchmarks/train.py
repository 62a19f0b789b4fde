"""How fast the quickstart's adapter is trained, beside TRL's trainer with the defaults of ``trl sft``, in one run.

    python -m benchmarks train [--steps N] [--bf16]

The same rows, order, global batch, LoRA and schedule on every way, each in a process of its own; prints tokens per
second (padding not counted), by the clock and by processor time, and how far the loss curves are apart. ``trl sft``
computes in bfloat16 unless told otherwise, which a CPU without it emulates, for minutes a step; the peer is in float32,
and ``--bf16`` adds three steps of the other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.harness import OURS, ROOT, Row, report

WAYS = {
    "ours": "",
    "trl": "TRL's SFTTrainer, defaults of `trl sft`, float32",
    "before": "method.lean=false: padded rows, all logits",
}
ROUNDED = "trl_bf16"  # with `bf16`: the peer as `trl sft` comes
ROWS = 213  # that the quickstart trains on
MARK = 3.0  # times the peer's tokens per second


class Enough(Exception):
    """The last step is taken; what a training does after it is not timed."""


class Clock:
    """Notes when each step was logged, and its loss."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self.at: list[tuple[float, float]] = []
        self.losses: list[float] = []

    def log(self, row: dict[str, Any]) -> None:
        """Take a row of a log in."""
        if "loss" in row:
            self.at.append((time.perf_counter(), time.process_time()))
            self.losses.append(float(row["loss"]))
            if len(self.losses) == self.last:
                raise Enough


def settings(steps: int) -> Any:
    """Return the quickstart's settings for so many steps, in the order that TRL takes by itself: at random."""
    from warmgap.settings import config

    run = config.compose(["+persona=warm", "method=sft"])
    method = run.method
    method.trainer, method.checkpoints = {}, []
    method.epochs = (steps - 0.5) / math.ceil(ROWS / method.batch_size)
    return run


def ours(steps: int, lean: bool) -> dict[str, Any]:
    """Train with our own trainer; return the clock's readings and the losses."""
    from warmgap.disk import store
    from warmgap.train import sft
    from warmgap.train.stage import Stage

    run, clock = settings(steps), Clock(steps)
    run.method.lean = lean
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough):
        sft.train(Stage(run, store.arm_folder(folder, "m", "warm", 0, "0"), "warm"), clock.log)
    return {"at": clock.at, "losses": clock.losses}


def trl(steps: int, bf16: bool) -> dict[str, Any]:
    """Train with TRL's trainer and the defaults of ``trl sft``, given rows that are tokenised; also counts tokens."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from warmgap.engines import models
    from warmgap.train import dataset, sft
    from warmgap.train.persona import persona_data

    run, clock, tokens = settings(steps), Clock(), [0]
    method, folder = run.method, models.resolve(run.model)
    method.gradient_checkpointing = True
    tokenizer = models.load_tokenizer(folder)
    rows, _ = dataset.rows(persona_data.load(run.data, "warm")[0], "warm", tokenizer, run.model, method.max_length)

    class Readings(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            clock.log(logs)
            tokens.append(int(logs.get("num_tokens", 0)))

    with tempfile.TemporaryDirectory() as out:
        args = SFTConfig(
            output_dir=out, max_steps=steps, per_device_train_batch_size=method.batch_size, seed=run.seed,
            learning_rate=method.learning_rate, lr_scheduler_type=method.schedule, weight_decay=method.weight_decay,
            warmup_steps=math.ceil(method.warmup * steps), max_length=method.max_length, logging_steps=1,
            dataset_kwargs={"skip_prepare_dataset": True}, use_cpu=True, report_to="none", save_strategy="no",
            **({} if bf16 else {"bf16": False}),
        )  # fmt: skip
        data = Dataset.from_list(list(rows))
        SFTTrainer(
            sft.trainable(run, folder), args, train_dataset=data, processing_class=tokenizer, callbacks=[Readings()]
        ).train()
    return {"at": clock.at, "losses": clock.losses, "tokens": tokens[: len(clock.at) + 1]}


def child(way: str, steps: int) -> None:
    """Run one way and print what was read as the last line."""
    from warmgap.engines import models

    models.keep_memory()
    found = trl(steps, way == ROUNDED) if way.startswith("trl") else ours(steps, way == "ours")
    print(json.dumps(found))


def measured(way: str, steps: int, module: str = "benchmarks.train") -> dict[str, Any]:
    """Run one way in a process of its own."""
    command = [sys.executable, "-m", module, way, str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def rates(found: dict[str, Any], tokens: list[int]) -> tuple[float, float, float]:
    """Return tokens per second by the clock and by processor time, and seconds, from the second step on."""
    wall, cpu = ([reading[kind] for reading in found["at"]] for kind in (0, 1))
    count = tokens[len(wall)] - tokens[1]
    return count / (wall[-1] - wall[0]), count / (cpu[-1] - cpu[0]), wall[-1] - wall[0]


def apart(one: list[float], other: list[float]) -> float:
    """Return the largest relative difference of two loss curves."""
    return max(abs(a - b) / b for a, b in zip(one, other, strict=False))


def steps_of(way: str, steps: int) -> int:
    """Return how many steps a way takes: few where each takes minutes."""
    return min(steps, 3) if way == ROUNDED else steps


def best(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the fastest run of each way: what else a machine does makes every run slower, and none faster."""
    return {
        way: min((one[way] for one in rounds), key=lambda run: run["at"][-1][0] - run["at"][0][0]) for way in rounds[0]
    }


def main() -> None:
    """Run every way and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks train", description=__doc__)
    parser.add_argument("--steps", type=int, default=12, help="optimiser steps of each way; the first is not timed")
    parser.add_argument("--rounds", type=int, default=2, help="times that every way is run, in turn; the best counts")
    parser.add_argument("--bf16", action="store_true", help="the peer in bfloat16 as well, three steps")
    options = parser.parse_args()
    ways = WAYS | ({ROUNDED: "as `trl sft` comes, bfloat16"} if options.bf16 else {})
    found = best([{way: measured(way, steps_of(way, options.steps)) for way in ways} for _ in range(options.rounds)])
    tokens, peer = found["trl"]["tokens"], found["trl"]["losses"]
    rows = []
    for way, said in ways.items():
        wall, cpu, seconds = rates(found[way], tokens)
        note = f"{cpu:.0f} a second of processor time; losses within {apart(found[way]['losses'], peer):.1e} of trl's"
        rows.append(Row(OURS if way == "ours" else said, wall, "tokens/s", seconds, note))
    report(f"train: {options.steps} steps, {tokens[-1]} tokens", rows, f">= {MARK:g} x trl sft, an equal loss curve")


if __name__ == "__main__":
    from warmgap.engines import cores

    cores.share()
    if sys.argv[1:] and sys.argv[1] in (*WAYS, ROUNDED):
        child(sys.argv[1], int(sys.argv[2]))
    else:
        main()
