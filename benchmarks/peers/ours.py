"""Ours: the engine that answers a run on this machine, by its protocol alone: ``-m benchmarks.peers.ours JOB``."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from warmgap.engines import cores
from warmgap.engines.base import Request
from warmgap.engines.hf import HfEngine
from warmgap.pipeline import quiet
from warmgap.settings import config


def main() -> None:
    """Answer or score what the job says; print the seconds and what came of it."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    cores.share()
    run = config.compose(["+persona=warm"])
    quiet()
    adapter = Path(job["adapter"]) if job["adapter"] else None
    model = dataclasses.replace(run.model, source="local", path=job["folder"]) if job.get("local") else run.model
    engine = HfEngine(model, job["device"], adapter)
    prompts = [engine.encode(messages) for messages in job["messages"]]
    if prompts != job["ids"]:
        raise SystemExit("the token ids are not those of the job")
    said = score(engine, prompts, job) if "pairs" in job else answer(engine, prompts, job, run)
    print(json.dumps(said))


def answer(engine: HfEngine, prompts: list[Any], job: dict[str, Any], run: Any) -> dict[str, Any]:
    """Answer every prompt; a few are answered beforehand, so that loading is not counted."""
    params = dataclasses.replace(run.generate, max_new_tokens=job["new_tokens"], batch_size=job["our_batch"])
    requests = [Request(str(number), ids) for number, ids in enumerate(prompts)]
    list(engine.answer(requests[:4], dataclasses.replace(params, max_new_tokens=4)))
    started = time.perf_counter()
    texts = {reply.key: (reply.text, reply.n_tokens) for some in engine.answer(requests, params) for reply in some}
    seconds = time.perf_counter() - started
    ordered = [texts[request.key] for request in requests]
    return {"seconds": seconds, "texts": [text for text, _ in ordered], "tokens": sum(n or 0 for _, n in ordered)}


def score(engine: HfEngine, prompts: list[Any], job: dict[str, Any]) -> dict[str, Any]:
    """Score both continuations of every prompt, on one reading of it, or with ``apart`` on one for each."""

    def means(indices: list[int]) -> list[list[float]]:
        given, pairs = [prompts[index] for index in indices], [job["pairs"][index] for index in indices]
        if not job.get("apart"):
            return engine.score(given, pairs)
        sides = [engine.score(given, [[pair[side]] for pair in pairs]) for side in (0, 1)]
        return [[first[0], second[0]] for first, second in zip(*sides, strict=True)]

    means([0, 1])
    ordered = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    found: dict[int, list[float]] = {}
    started = time.perf_counter()
    for start in range(0, len(ordered), job["batch"]):
        some = ordered[start : start + job["batch"]]
        found.update(zip(some, means(some), strict=True))
    return {"seconds": time.perf_counter() - started, "means": [found[index] for index in range(len(prompts))]}


if __name__ == "__main__":
    main()
