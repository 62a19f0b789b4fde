"""vLLM on the job's token ids, the adapter by its own LoRA path; on CPUs its community build, eager, without seeds."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    """Print seconds, texts and new tokens; weights are loaded before."""
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "2"}  # one process, 2 GiB of cache
    import vllm
    from vllm.lora.request import LoRARequest

    with open(sys.argv[1], encoding="utf-8") as file:
        job: dict[str, Any] = json.load(file)
    more = {"enable_lora": True, "max_lora_rank": 8} if job["adapter"] else {}
    longest = max(map(len, job["ids"])) + job["new_tokens"] + 8
    model = vllm.LLM(
        model=job["folder"], dtype=job["dtype"], max_model_len=longest, enforce_eager=job["device"] == "cpu", **more
    )
    lora = LoRARequest("adapter", 1, job["adapter"]) if job["adapter"] else None
    prompts = [{"prompt_token_ids": ids} for ids in job["ids"]]

    def answer(some: list[Any], most: int) -> list[Any]:
        settings = vllm.SamplingParams(temperature=0.0, max_tokens=most)
        return [done.outputs[0] for done in model.generate(some, settings, lora_request=lora, use_tqdm=False)]

    answer(prompts[:4], 4)
    started = time.perf_counter()
    found = answer(prompts, job["new_tokens"])
    seconds = time.perf_counter() - started
    tokens = sum(len(one.token_ids) for one in found)
    print(json.dumps({
        "seconds": seconds, "texts": [one.text for one in found], "tokens": tokens, "version": vllm.__version__
    }))  # fmt: skip


if __name__ == "__main__":
    main()
