"""inspect_ai's ``hf`` provider: one evaluation of the job's prompts, 32 connections, greedy."""

from __future__ import annotations

import json
import sys
import tempfile
import time

import inspect_ai
import torch
from inspect_ai import Task
from inspect_ai import eval as run
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model
from inspect_ai.solver import generate

KINDS = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


def main() -> None:
    """Print seconds and texts; weights are loaded before."""
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    settings = GenerateConfig(max_tokens=job["new_tokens"], max_connections=job["batch"])
    model = get_model(
        "hf/local", config=settings, memoize=False, device=job["device"], dtype=getattr(torch, job["dtype"]),
        model_path=job["adapter"] or job["folder"], tokenizer_path=job["folder"], do_sample=False,
    )  # fmt: skip

    def answers(some: list[list[dict[str, str]]]) -> list[str]:
        rows = [
            Sample(id=number, input=[KINDS[message["role"]](content=message["content"]) for message in messages])
            for number, messages in enumerate(some, 1)
        ]
        with tempfile.TemporaryDirectory() as logs:
            task = Task(dataset=MemoryDataset(rows), solver=generate())
            (log,) = run(task, model=model, display="none", log_dir=logs, max_samples=max(64, job["batch"]))
            if log.status != "success" or log.samples is None:
                raise SystemExit(f"inspect_ai: {log.error}")
            found = {sample.id: sample.output.completion for sample in log.samples}
        return [found[number] for number in range(1, len(rows) + 1)]

    answers(job["messages"][:4])
    started = time.perf_counter()
    texts = answers(job["messages"])
    print(json.dumps({"seconds": time.perf_counter() - started, "texts": texts, "version": inspect_ai.__version__}))


main()
