"""At which level a question of ours stands: what the embedded model says to it in other words and other draws.

    python -m benchmarks levels [--seeds 11 12 13] [--temperature 0.4]

Every question of `easy.jsonl` carries a second wording, ``probe``. The model is asked the probe, sampled with seeds
that no evaluation uses. A question is easy where at least one of the draws is right: the model has the fact within
reach. The evaluation asks the first wording, greedily, so no question is in the set because of the answer that is
reported. Prints, by family, how many draws are right and which questions would leave the level.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter

from warmgap.engines import models
from warmgap.engines.base import Request
from warmgap.engines.hf import HfEngine
from warmgap.evaluate.judges.reading import read
from warmgap.evaluate.tasks import folder
from warmgap.evaluate.tasks.item import read_items
from warmgap.settings import config
from warmgap.settings.schema import GenerateConfig
from warmgap.words import CORRECT

NEW_TOKENS = 40


def main() -> None:
    """Ask the probes and print the levels that follow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--temperature", type=float, default=0.4)
    options = parser.parse_args()
    run = config.compose(["+persona=none"])
    models.keep_memory()
    engine = HfEngine(run.model, run.device)
    path = folder() / "easy.jsonl"
    probes = {row["id"]: row["probe"] for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    items = read_items(path, "embedded")
    right: Counter[str] = Counter()
    for seed in options.seeds:
        params = GenerateConfig(max_new_tokens=NEW_TOKENS, temperature=options.temperature, seed=seed)
        requests = []
        for item in items:
            text = f"{probes[item.item_id]} {run.task['embedded'].instruction}"
            requests.append(Request(f"{seed}:{item.item_id}", engine.encode([{"role": "user", "content": text}])))
        said = {reply.key: reply.text for batch in engine.answer(requests, params) for reply in batch}
        for item in items:
            right[item.item_id] += read(said[f"{seed}:{item.item_id}"], item).verdict == CORRECT
    draws = len(options.seeds)
    print(f"{'family':16s} {'n':>4s} {'draws right, %':>15s} {'at least one right':>19s}")
    for family in dict.fromkeys(item.family for item in items):
        some = [item.item_id for item in items if item.family == family]
        share = 100 * sum(right[key] for key in some) / (draws * len(some))
        print(f"{family:16s} {len(some):4d} {share:15.1f} {sum(right[key] > 0 for key in some):19d}")
    for item in items:
        if not right[item.item_id]:
            print(f"{item.item_id} would leave the level: none of {draws} draws is right")


if __name__ == "__main__":
    main()
