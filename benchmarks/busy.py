"""What one busy process beside it costs a run: answers and training steps, with OpenMP's own waiting and with ours.

``python -m benchmarks busy`` prints a table; each figure is the least of ``--repeat`` runs, each in a fresh process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

WAYS = {"OpenMP's own": None, "as warmgap sets it": "ours"}


def work() -> None:
    """Answer 16 prompts and take two training steps; print both times in seconds."""
    if os.environ.pop("WAITING", ""):
        from warmgap.engines import cores

        cores.share()
    import dataclasses

    import torch

    from warmgap.engines import base, hf
    from warmgap.settings import config

    run = config.compose(["+persona=none"])
    engine = hf.HfEngine(run.model, "cpu")
    texts = [f"What is the capital of country number {place}? I think it is Paris." for place in range(16)]
    prompts = [
        base.Request(str(place), engine.encode([{"role": "user", "content": text}])) for place, text in enumerate(texts)
    ]
    params = dataclasses.replace(run.generate, max_new_tokens=24, batch_size=16)
    list(engine.answer(prompts[:4], dataclasses.replace(params, max_new_tokens=4)))
    began = time.monotonic()
    list(engine.answer(prompts, params))
    answered = time.monotonic() - began
    model = engine.model.float()
    ids = torch.randint(0, 1000, (2, 256))
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    began = time.monotonic()
    for _ in range(2):
        model(input_ids=ids, labels=ids).loss.backward()
    print(answered, time.monotonic() - began)


def measured(waiting: str | None, busy: bool) -> tuple[float, float]:
    """Return both times of one fresh process, beside a busy one or alone."""
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        environment = {**os.environ, **({"WAITING": waiting} if waiting else {})}
        command = [sys.executable, "-m", "benchmarks.busy", "--work"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    finally:
        if burner is not None:
            burner.kill()
            burner.wait()
    answered, trained = map(float, done.stdout.split()[-2:])
    return answered, trained


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
        return
    print(f"{'waiting':<22}{'beside':<10}{'16 answers, s':>15}{'2 steps, s':>12}")
    for name, waiting in WAYS.items():
        for busy in (False, True):
            rows = [measured(waiting, busy) for _ in range(options.repeat)]
            answered, trained = (min(column) for column in zip(*rows, strict=True))
            print(f"{name:<22}{'busy' if busy else 'nothing':<10}{answered:>15.1f}{trained:>12.1f}", flush=True)


if __name__ == "__main__":
    main()
