"""How fast prompts are answered: ``python -m benchmarks answer [--prompts N] [--peers a,b] [--with vllm,openvino]``.

Prompts of the quickstart's grid, greedy, 48 new tokens, by the original and by a LoRA adapter (random, rank 8 on all
linear layers: it costs what a trained one does). Each contestant runs in a process of its own; loading and a first few
answers are not counted. Ours goes through ``engine.answer``. Peers: ``plain`` is transformers' ``generate`` in batches
of 32 in the order given with PEFT's adapter attached, ``inspect_hf`` inspect_ai's provider, ``lm_eval_hf``
lm-evaluation-harness; ``--with`` adds ``vllm`` (make test-vllm makes its environment) and ``openvino`` (OpenVINO GenAI,
the original alone). Their texts have to be ours in 99 % of the prompts at least.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.harness import Row, report
from benchmarks.peers.gguf_file import half
from warmgap.disk.contents import cache_dir
from warmgap.engines import models
from warmgap.engines.hf import HfEngine
from warmgap.errors import UserError
from warmgap.evaluate.suites import grid
from warmgap.evaluate.tasks import load_items
from warmgap.pipeline import quiet
from warmgap.settings import config
from warmgap.settings.schema import Run

BATCH = 32  # of the peers
PEERS = ("plain", "inspect_hf", "lm_eval_hf")
MORE = ("vllm", "openvino")
LEAST = 0.99  # of the texts, that have to be equal


def job_of(run: Run, prompts: int) -> dict[str, Any]:
    """Return what every contestant is given: the model, the prompts as messages, text and token ids, the settings."""
    engine = HfEngine(run.model, "cpu")
    asked = grid.build(load_items(run.task).items, run.context, run.belief, run.grid)
    some = [asked[place % len(asked)] for place in range(prompts)]
    messages = [prompt.messages for prompt in some]
    ids = [list(engine.encode(one)) for one in messages]
    return {
        "folder": str(models.resolve(run.model)), "adapter": None, "device": models.device_of(run.device),
        "dtype": str(models.dtype_of(run.model.dtype, run.device)).removeprefix("torch."), "messages": messages,
        "ids": ids, "texts": [engine.tokenizer.decode(row) for row in ids], "end": engine.tokenizer.eos_token,
        "new_tokens": run.generate.max_new_tokens, "batch": BATCH, "our_batch": run.generate.batch_size,
    }  # fmt: skip


def adapter(run: Run) -> Path:
    """Return a folder with a random LoRA adapter of the quickstart's model, made once: rank 8, all linear layers."""
    folder = cache_dir() / "peers" / f"adapter-{run.model.name}-r8"
    if (folder / "adapter_model.safetensors").exists():
        return folder
    import peft
    import torch

    torch.manual_seed(0)
    base = models.load(models.resolve(run.model), dtype="float32", device="cpu")
    lora = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    made: Any = peft.get_peft_model(base, lora)
    made.base_model.peft_config["default"].base_model_name_or_path = str(models.resolve(run.model))
    for name, weights in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.002)
    made.save_pretrained(folder)
    return folder


def row_of(name: str, job: dict[str, Any], wanted: list[str] | None) -> tuple[Row, list[str], str]:
    """Let a contestant answer; return its row, its texts, and its version."""
    said = peers.run(name, job)
    texts, count = [text.strip() for text in said["texts"]], len(job["ids"])
    note = f"{said['tokens'] / said['seconds']:,.0f} new tokens/s" if said.get("tokens") else ""
    if wanted is not None:
        share = sum(own == text for own, text in zip(wanted, texts, strict=True)) / count
        below = "" if share >= LEAST else f", BELOW {100 * LEAST:.0f} %"
        note = f"{100 * share:.1f} % of the texts are ours{below}; {note}".strip("; ")
    who = "warmgap" if name == "ours" else name
    which = "adapter" if job["adapter"] else "original"
    return (
        Row(f"{who}, {which}", count / said["seconds"], "answers/s", said["seconds"], note),
        texts,
        said.get("version", ""),
    )


def main() -> None:
    """Let every contestant answer, original and adapter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {', '.join(PEERS)} (default: all)")
    parser.add_argument("--with", dest="more", default="", help=f"of {', '.join(MORE)}, where they can be had")
    parser.add_argument("--only", choices=("original", "adapter"), help="one of both")
    options = parser.parse_args()
    names = [name for name in f"{options.peers},{options.more}".split(",") if name]
    if unknown := [name for name in names if name not in (*PEERS, *MORE)]:
        raise UserError(
            f"no peer is called {unknown[0]}", f"known are {', '.join((*PEERS, *MORE))}", "name one of these"
        )
    run = config.compose(["+persona=warm", f"generate.max_new_tokens={options.new_tokens}"])
    quiet()
    job, rows, versions = job_of(run, options.prompts), [], {}
    if "openvino" in names:
        job["gguf"] = str(half(run.model))
    for which in ("original", "adapter"):
        if options.only in (None, which):
            job["adapter"] = None if which == "original" else str(adapter(run))
            row, ours, _ = row_of("ours", job, None)
            rows.append(row)
            for name in names:
                if (name, which) == ("openvino", "adapter"):  # it reads none with this kind of file
                    continue
                try:
                    row, _, version = row_of(name, job, ours)
                except UserError as error:
                    print(error, flush=True)
                    continue
                rows.append(row)
                versions |= {name: version} if version else {}
    mark = f"the fastest, with >= {100 * LEAST:.0f} % of the texts equal"
    report(f"answer: {options.prompts} prompts, {options.new_tokens} new tokens, {job['dtype']}", rows, mark, versions)


if __name__ == "__main__":
    main()
