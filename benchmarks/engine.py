"""How fast the embedded model is answered, scored and trained with, each against the plain way in the same run.

    python benchmarks/engine.py

Prints tokens per second on this machine. Nothing is written.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from warmgap.engines import chat, models
from warmgap.engines.base import Request
from warmgap.engines.hf import HfEngine
from warmgap.evaluate.suites import grid
from warmgap.evaluate.tasks import load_items
from warmgap.pipeline import quiet
from warmgap.settings import config
from warmgap.settings.schema import Run
from warmgap.train import dataset, sft
from warmgap.train.persona import persona_data


def timed(work: Callable[[], int]) -> float:
    """Return units per second of work that returns how many units it did."""
    started = time.perf_counter()
    return work() / (time.perf_counter() - started)


def answering(run: Run, engine: HfEngine, prompts: list[list[int]]) -> None:
    """New tokens per second: our own sampler against plain ``generate`` on the same batches."""
    import torch

    requests = [Request(engine.key(ids, run.generate), ids) for ids in prompts]

    def ours() -> int:
        return sum(reply.n_tokens or 0 for batch in engine.answer(requests, run.generate) for reply in batch)

    def plain() -> int:
        done = 0
        for start in range(0, len(prompts), 8):
            batch = prompts[start : start + 8]
            width = max(map(len, batch))
            ids = torch.tensor([[2] * (width - len(row)) + row for row in batch]).to(engine.model.device)
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch]).to(engine.model.device)
            length = run.generate.max_new_tokens
            output = engine.model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=length, do_sample=True, temperature=0.8
            )
            done += int((output[:, width:] != 2).sum())
        return done

    ours()
    rates = (timed(ours), timed(plain))
    print("answering            {:7.0f} new tokens/s   plain generate, batch 8, as given {:7.0f}".format(*rates))


def scoring(engine: HfEngine, prompts: list[list[int]], pairs: list[list[str]]) -> None:
    """Prompts per second: likelihoods of both answers on one shared prompt cache against two full passes."""

    def ours() -> int:
        for start in range(0, len(prompts), 32):
            engine.score(prompts[start : start + 32], pairs[start : start + 32])
        return len(prompts)

    def twice() -> int:
        for side in (0, 1):
            for start in range(0, len(prompts), 32):
                some = [[pair[side]] for pair in pairs[start : start + 32]]
                engine.score(prompts[start : start + 32], some)
        return len(prompts)

    print(f"likelihoods          {timed(ours):7.1f} prompts/s      one pass for each answer        {timed(twice):7.1f}")


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
    """Run all three, the training in processes of their own, because memory once kept stays kept."""
    run = config.compose(["+persona=warm"])
    quiet()
    if len(sys.argv) > 1:
        print(f"{training(run, sys.argv[1] == 'keep'):.0f}")
        return
    engine = HfEngine(run.model, run.device)
    items = load_items(run.task).items[:64]
    by_id = {item.item_id: item for item in items}
    wanted = grid.build(items, run.context, run.belief, run.grid)[:256]
    prompts = [engine.encode(prompt.messages) for prompt in wanted]
    pairs = [[by_id[p.item_id].correct, by_id[p.item_id].incorrect] for p in wanted]
    answering(run, engine, prompts)
    scoring(engine, prompts, pairs)
    keep, plain = (
        subprocess.run([sys.executable, __file__, how], capture_output=True, text=True, check=True).stdout.strip()
        for how in ("keep", "plain")
    )
    print(f"training             {keep:>7} tokens/s       glibc's own memory settings     {plain:>7}")


if __name__ == "__main__":
    main()
