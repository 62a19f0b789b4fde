"""What glibc's memory settings cost a training step: freed memory kept, as warmgap sets it, or given back.

``python -m benchmarks allocator`` prints training tokens per second of the embedded model both ways, each in a process
of its own, because memory once kept stays kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from benchmarks.harness import Row, report
from warmgap.engines import chat, models
from warmgap.settings import config
from warmgap.settings.schema import Run
from warmgap.train import dataset, sft
from warmgap.train.persona import persona_data


def training(run: Run, keep: bool) -> float:
    """Return training tokens per second over six steps; ``keep`` is whether freed memory is kept."""
    import torch

    folder = models.resolve(run.model)
    tokenizer = models.load_tokenizer(folder)
    learn, _ = persona_data.load(run.data, "warm")
    rows, _ = dataset.rows(learn, "warm", tokenizer, run.model, run.method.max_length)
    if keep:
        models.keep_memory()
    model = sft.trainable(run, folder)
    model.train()
    done, started = 0, 0.0
    for step in range(7):
        if step == 1:
            done, started = 0, time.perf_counter()
        batch = rows[step * 4 : step * 4 + 4]
        width = max(len(row["input_ids"]) for row in batch)
        pad = [width - len(row["input_ids"]) for row in batch]
        ids = torch.tensor([row["input_ids"] + [2] * n for row, n in zip(batch, pad, strict=True)])
        labels = torch.tensor([row["labels"] + [chat.IGNORED] * n for row, n in zip(batch, pad, strict=True)])
        mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * n for row, n in zip(batch, pad, strict=True)])
        ids, labels, mask = (part.to(model.device) for part in (ids, labels, mask))
        out = model(input_ids=ids, labels=labels, attention_mask=mask)
        out.loss.backward()
        model.zero_grad()
        done += sum(len(row["input_ids"]) for row in batch)
    return done / (time.perf_counter() - started)


def main() -> None:
    """Measure both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=("keep", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(f"{training(config.compose(['+persona=warm']), options.work == 'keep'):.1f}")
        return
    rows = []
    for how, who in (("keep", "warmgap, freed memory kept"), ("plain", "glibc's own settings")):
        command = [sys.executable, "-m", "benchmarks.allocator", "--work", how]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(Row(who, float(done.stdout.split()[-1]), "tokens/s"))
    report("allocator", rows)


if __name__ == "__main__":
    main()
