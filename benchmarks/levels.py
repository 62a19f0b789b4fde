"""At which level a question of ours stands: what the embedded model says to it in other words and other draws.

    python benchmarks/levels.py [--seeds 11 12 13] [--temperature 0.4]

Every question of `easy.jsonl`, and those of `hard.jsonl` that have one, carries a second wording, ``probe``. The model
is asked the probe, sampled with seeds that no evaluation uses. A question is easy where at least one of the draws is
right: the model has the fact within reach. The evaluation then asks the first wording, greedily, so no question is in
the set because of the answer that is reported. Prints, by family, how many draws are right and which questions would
change their level.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter

from warmgap import config, models
from warmgap.evaluate.reading import read
from warmgap.evaluate.tasks import folder
from warmgap.evaluate.tasks.item import read_items
from warmgap.evaluate.verdict import CORRECT
from warmgap.generate import Engine, Request
from warmgap.schema import GenerateConfig

NEW_TOKENS = 40


def main() -> None:
    """Ask the probes and print the levels that follow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--temperature", type=float, default=0.4)
    options = parser.parse_args()
    run = config.compose(["+persona=none"])
    models.keep_memory()
    engine = Engine(run.model, run.device)
    asked = []
    for level in ("easy", "hard"):
        path = folder() / f"{level}.jsonl"
        probes = {row["id"]: row.get("probe") for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
        asked += [(level, item, probes[item.item_id]) for item in read_items(path, "embedded") if probes[item.item_id]]
    right: Counter[str] = Counter()
    for seed in options.seeds:
        params = GenerateConfig(max_new_tokens=NEW_TOKENS, temperature=options.temperature, seed=seed)
        requests = []
        for _, item, probe in asked:
            text = f"{probe} {run.task['embedded'].instruction}"
            requests.append(Request(f"{seed}:{item.item_id}", engine.encode([{"role": "user", "content": text}])))
        said = {reply.key: reply.text for batch in engine.answer(requests, params) for reply in batch}
        for _, item, _ in asked:
            right[item.item_id] += read(said[f"{seed}:{item.item_id}"], item).verdict == CORRECT
    draws = len(options.seeds)
    print(f"{'family':16s} {'level':6s} {'n':>4s} {'right %':>8s} {'easy by this rule':>18s}")
    for family in dict.fromkeys(item.family for _, item, _ in asked):
        for level in ("easy", "hard"):
            some = [item.item_id for known, item, _ in asked if item.family == family and known == level]
            if some:
                share = 100 * sum(right[key] for key in some) / (draws * len(some))
                print(f"{family:16s} {level:6s} {len(some):4d} {share:8.1f} {sum(right[key] > 0 for key in some):18d}")
    for known, item, _ in asked:
        found = "easy" if right[item.item_id] else "hard"
        if found != known:
            print(f"{item.item_id} stands as {known}, would be {found}: {right[item.item_id]} of {draws} right")


if __name__ == "__main__":
    main()
