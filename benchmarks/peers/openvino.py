"""OpenVINO GenAI on the job's texts: its continuous batching with prefixes kept, products in float32, from a GGUF file.

An adapter is not attached: the names of PEFT's tensors find no place in a model that was read from such a file.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main() -> None:
    """Print seconds, texts and new tokens; the model is read and compiled before."""
    import openvino_genai as genai

    with open(sys.argv[1], encoding="utf-8") as file:
        job: dict[str, Any] = json.load(file)
    scheduler = genai.SchedulerConfig()
    scheduler.enable_prefix_caching, scheduler.max_num_batched_tokens, scheduler.cache_size = True, 512, 4
    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    if job["adapter"]:
        sys.exit("PEFT's tensors find no place in a model that was read from a GGUF file")
    model = genai.LLMPipeline(job["gguf"], "CPU", scheduler_config=scheduler, **exact)
    tokenizer = model.get_tokenizer()

    def answer(texts: list[str], most: int) -> Any:
        settings = genai.GenerationConfig(max_new_tokens=most, do_sample=False, apply_chat_template=False)
        return model.generate(texts, settings)

    answer(job["texts"][:4], 4)
    started = time.perf_counter()
    texts = answer(job["texts"], job["new_tokens"]).texts
    seconds = time.perf_counter() - started
    tokens = sum(tokenizer.encode(text).input_ids.get_size() for text in texts)
    print(json.dumps({"seconds": seconds, "texts": texts, "tokens": tokens, "version": genai.__version__}))


main()
