"""lm-evaluation-harness' HFLM: ``generate_until`` on the job's prompts, or ``loglikelihood`` of pairs, in batches."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM


def main() -> None:
    """Print seconds and what came of it; weights are loaded before."""
    with open(sys.argv[1], encoding="utf-8") as file:
        job: dict[str, Any] = json.load(file)
    model: Any = HFLM(
        pretrained=job["folder"], peft=job["adapter"], dtype=job["dtype"], device=job["device"],
        batch_size=job["batch"], add_bos_token=False,
    )  # fmt: skip
    said = likelihoods(model, job) if "pairs" in job else answers(model, job)
    print(json.dumps({**said, "version": version("lm_eval")}))


def answers(model: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Greedy answers to the texts of the prompts."""

    def asked(texts: list[str], most: int) -> list[Instance]:
        settings = {"until": [job["end"]], "max_gen_toks": most, "do_sample": False}
        return [Instance("generate_until", {}, (text, settings), index) for index, text in enumerate(texts)]

    model.generate_until(asked(job["texts"][:4], 4), disable_tqdm=True)
    started = time.perf_counter()
    texts = model.generate_until(asked(job["texts"], job["new_tokens"]), disable_tqdm=True)
    same = sum(model.tok_encode(text) == ids for text, ids in zip(job["texts"], job["ids"], strict=True))
    return {"seconds": time.perf_counter() - started, "texts": texts, "same_ids": same}


def likelihoods(model: Any, job: dict[str, Any]) -> dict[str, Any]:
    """The sums of log-probabilities of both continuations, by prompt."""

    def asked(count: int) -> list[Instance]:
        pairs = [(job["texts"][index], side) for index in range(count) for side in job["pairs"][index]]
        return [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]

    model.loglikelihood(asked(2), disable_tqdm=True)
    wanted = asked(len(job["texts"]))
    started = time.perf_counter()
    sums = [value for value, _ in model.loglikelihood(wanted, disable_tqdm=True)]
    return {"seconds": time.perf_counter() - started, "sums": [sums[at : at + 2] for at in range(0, len(sums), 2)]}


main()
