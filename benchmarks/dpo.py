"""How fast preferences are trained on, beside TRL's trainer with the defaults of ``trl dpo``, in one run.

    python -m benchmarks dpo [--steps N] [--rounds N]

The quickstart's pairs (warm replies preferred to plain ones), the same order, batch, LoRA and schedule on every way,
each in a process of its own, float32. Ours computes the reference's log-probabilities once, before the training, where
the peer does so in every step: what that took for the pairs of the timed steps is added to ours.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import tempfile
import time
from typing import Any

from benchmarks.harness import OURS, Row, report
from benchmarks.train import Clock, Enough, apart, best, measured

WAYS = {"ours": "", "trl": "TRL's DPOTrainer, defaults of `trl dpo`, float32"}
CONVERSATIONS = 24  # of the quickstart's, so that the reference of all of them does not take minutes
MARK = "faster than trl dpo, an equal loss curve"


def settings(steps: int) -> Any:
    """Return the quickstart's settings by preferences for so many steps, in the order that TRL takes by itself."""
    from warmgap.settings import config

    run = config.compose(["+persona=warm", "method=dpo", f"data.max_conversations={CONVERSATIONS}"])
    method = run.method
    method.trainer, method.checkpoints = {}, []
    method.epochs = (steps - 0.5) / math.ceil(len(rows_of(run)) / method.batch_size)
    return run


def rows_of(run: Any) -> list[Any]:
    """Return the tokenised pairs that are trained on."""
    from warmgap.engines import models
    from warmgap.train import dpo
    from warmgap.train.persona import persona_data

    tokenizer = models.load_tokenizer(models.resolve(run.model))
    learn, _ = persona_data.load(run.data, "warm")
    return dpo.pairs(learn, "warm", run.method.dpo.rejected, tokenizer, run.model, run.method.max_length)[0]


def ours(steps: int) -> dict[str, Any]:
    """Train with our own trainer; return the clock's readings, the losses, and what a pair's reference takes."""
    from warmgap.disk import store
    from warmgap.train import dpo
    from warmgap.train.stage import Stage

    run, clock, reference = settings(steps), Clock(steps), [0.0, 0.0]
    with_reference = dpo.with_reference

    def timed(stage: Any, model: Any, tokenizer: Any, rows: Any, **how: Any) -> Any:
        started = time.perf_counter()
        found = with_reference(stage, model, tokenizer, rows, **how)
        if not reference[1]:  # the second time they are read from the journal
            reference[:] = [time.perf_counter() - started, len(rows)]
        return found

    dpo.with_reference = timed
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough):
        dpo.train(Stage(run, store.arm_folder(folder, "m", "warm", 0, "0"), "warm"), clock.log)
    return {"at": clock.at, "losses": clock.losses, "reference": reference[0] / reference[1]}


def trl(steps: int) -> dict[str, Any]:
    """Train with TRL's trainer and the defaults of ``trl dpo``, given pairs that are tokenised."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer

    from warmgap.engines import models
    from warmgap.train import sft

    class AsGiven(DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    run, clock = settings(steps), Clock()
    method, folder = run.method, models.resolve(run.model)
    method.gradient_checkpointing = True

    class Readings(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            clock.log(logs)

    with tempfile.TemporaryDirectory() as out:
        args = DPOConfig(
            output_dir=out, max_steps=steps, per_device_train_batch_size=method.batch_size, seed=run.seed,
            learning_rate=method.learning_rate, lr_scheduler_type=method.schedule, weight_decay=method.weight_decay,
            warmup_steps=math.ceil(method.warmup * steps), max_length=method.max_length, logging_steps=1,
            beta=method.dpo.beta, use_cpu=True, report_to="none", save_strategy="no", bf16=False,
        )  # fmt: skip
        data, tokenizer = Dataset.from_list(rows_of(run)), models.load_tokenizer(folder)
        AsGiven(
            sft.trainable(run, folder), None, args, train_dataset=data, processing_class=tokenizer,
            callbacks=[Readings()],
        ).train()  # fmt: skip
    return {"at": clock.at, "losses": clock.losses, "reference": 0.0}


def child(way: str, steps: int) -> None:
    """Run one way and print what was read as the last line."""
    from warmgap.engines import models

    models.keep_memory()
    print(json.dumps((ours if way == "ours" else trl)(steps)))


def main() -> None:
    """Run both ways and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks dpo", description=__doc__)
    parser.add_argument("--steps", type=int, default=8, help="optimiser steps of each way; the first is not timed")
    parser.add_argument("--rounds", type=int, default=2, help="times that every way is run, in turn; the best counts")
    options = parser.parse_args()
    module = "benchmarks.dpo"
    found = best([{way: measured(way, options.steps, module) for way in WAYS} for _ in range(options.rounds)])
    peer, size = found["trl"]["losses"], settings(options.steps).method.batch_size
    rows = []
    for way, said in WAYS.items():
        run = found[way]
        pairs = size * (len(run["at"]) - 1)
        wall, cpu = (run["at"][-1][kind] - run["at"][0][kind] for kind in (0, 1))
        seconds = wall + pairs * run["reference"]
        note = f"{cpu:.0f} s of processor time in steps; losses within {apart(run['losses'], peer):.1e} of trl's"
        rows.append(Row(OURS if way == "ours" else said, pairs / seconds, "pairs/s", seconds, note))
    report(f"dpo: {options.steps} steps of {size} pairs", rows, MARK)


if __name__ == "__main__":
    from warmgap.engines import cores

    cores.share()
    if sys.argv[1:] and sys.argv[1] in WAYS:
        child(sys.argv[1], int(sys.argv[2]))
    else:
        main()
