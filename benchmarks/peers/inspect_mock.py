"""inspect_ai with its mock model: ``inspect_mock.py JOB`` runs samples that cost the model nothing."""

from __future__ import annotations

import json
import sys
import tempfile
import time

import inspect_ai
from inspect_ai import Task
from inspect_ai import eval as run
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate


def output(text: str) -> ModelOutput:
    """A finished output with its usage: the mock would else count tokens by a vocabulary that it fetches."""
    made = ModelOutput.from_content("mockllm/model", text)
    made.usage = ModelUsage(input_tokens=80, output_tokens=60, total_tokens=140)
    return made


def main() -> None:
    """Print the CPU seconds and seconds of one evaluation, a small one beforehand left out."""
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)

    def evaluation(count: int) -> None:
        rows = [
            Sample(input=f"Which city is the capital of country {number}?", target="Paris") for number in range(count)
        ]
        outputs = (output(job["text"]) for _ in range(count + 1))
        model = get_model("mockllm/model", custom_outputs=outputs, memoize=False)
        task = Task(dataset=MemoryDataset(rows), solver=generate(), scorer=includes())
        with tempfile.TemporaryDirectory() as logs:
            (log,) = run(task, model=model, display="none", log_dir=logs)
        if log.status != "success":
            raise SystemExit(f"inspect_ai: {log.error}")

    evaluation(10)
    cpu, started = time.process_time(), time.perf_counter()
    evaluation(job["samples"])
    said = {"cpu": time.process_time() - cpu, "seconds": time.perf_counter() - started}
    print(json.dumps({**said, "version": inspect_ai.__version__}))


main()
