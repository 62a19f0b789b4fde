"""The plain way: transformers' ``generate`` in fixed batches in the order given, the adapter attached by PEFT."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main() -> None:
    """Answer what the job says; print seconds, texts and new tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with open(sys.argv[1], encoding="utf-8") as file:
        job: dict[str, Any] = json.load(file)
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    model: Any = AutoModelForCausalLM.from_pretrained(job["folder"], dtype=getattr(torch, job["dtype"]))
    if job["adapter"]:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, job["adapter"])
    model = model.to(job["device"]).eval()
    pad = tokenizer.pad_token_id or 0

    def answer(batch: list[list[int]], most: int) -> Any:
        width = max(map(len, batch))
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in batch], device=job["device"])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch], device=job["device"])
        with torch.inference_mode():
            output = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False, temperature=None, top_p=None,
                top_k=None, pad_token_id=pad,
            )  # fmt: skip
        return output[:, width:]

    answer(job["ids"][:4], 4)
    started, texts, tokens = time.perf_counter(), [], 0
    for start in range(0, len(job["ids"]), job["batch"]):
        output = answer(job["ids"][start : start + job["batch"]], job["new_tokens"])
        tokens += int((output != pad).sum())
        texts += tokenizer.batch_decode(output, skip_special_tokens=True)
    print(json.dumps({"seconds": time.perf_counter() - started, "texts": texts, "tokens": tokens}))


main()
