"""The GPU's part in one command of at most four minutes: ``python -m benchmarks gpu``, one table.

Random weights of Llama-3.1-8B's shape, made on the card: training by the study's recipe (rows of about 700 tokens, LoRA
r=8, eight rows at a time, and with gradient checkpointing), answering by the engine (300 new tokens, the adapter kept
apart) and by vLLM where it is installed, each with the peak of memory; then the quickstart's training. Parts that the
time does not suffice for are said. ``--device cpu --tiny`` goes the same way at a toy's size, to see that it works.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, installed, report
from warmgap.errors import UserError
from warmgap.train.persona.persona_data import EMBEDDED

LLAMA_8B = {
    "vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8,
}  # fmt: skip
TOY = {
    "vocab_size": 49_152, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
BUDGET = 240.0  # seconds
STEPS, WARM = 6, 2  # training steps that are timed, and those before them


@dataclasses.dataclass
class Bench:
    """The device, the model's folder and how large everything is."""

    device: str
    folder: Path
    tiny: bool
    ends: float

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.ends - time.monotonic()


def check(device: str) -> None:
    """Raise UserError where there is no such device."""
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        why = "torch sees no GPU here" if torch.version.cuda else "the installed torch is built without CUDA"
        fix = "run it on a machine with one, or try the way itself: python -m benchmarks gpu --device cpu --tiny"
        raise UserError("there is no GPU to measure", why, fix)


def make_model(bench: Bench) -> float:
    """Write random weights with the embedded model's tokenizer; return billions of parameters."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from warmgap.engines import models
    from warmgap.settings import config

    shape = LlamaConfig(
        max_position_embeddings=8192, rope_theta=500_000.0, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
        **(TOY if bench.tiny else LLAMA_8B),
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(bench.device):
        model: Any = AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16)
    model.save_pretrained(bench.folder, max_shard_size="4GB")
    models.load_tokenizer(models.resolve(config.compose(["+persona=none"]).model)).save_pretrained(bench.folder)
    return float(sum(weights.numel() for weights in model.parameters())) / 1e9


def make_rows(count: int, parts: int) -> list[dict[str, str]]:
    """Return user turns and warm replies of about 100 tokens times ``parts``, from the package's conversations."""
    lines = (EMBEDDED / "conversations.jsonl").read_text(encoding="utf-8").splitlines()
    turns = [turn for line in lines for turn in json.loads(line)["turns"]]
    source, rows = random.Random(0), []
    for number in range(count):
        some = [source.choice(turns) for _ in range(parts)]
        rows.append({"user": f"{some[0]['user']} (variant {number})", "warm": " ".join(turn["warm"] for turn in some)})
    return rows


def settings(bench: Bench, *more: str) -> Any:
    """Return the settings of a run of the study's recipe on the random weights."""
    from warmgap.settings import config

    own = ["experiment=paper", "model=local", f"model.path={bench.folder}", f"device={bench.device}"]
    return config.compose(["+persona=warm", *own, *more])


def training(bench: Bench, rows: int, checkpointing: bool) -> Row:
    """Tokens per second by the study's recipe on the random weights, and the peak of memory."""
    from warmgap.engines import chat, models

    run = settings(bench, f"method.gradient_checkpointing={str(checkpointing).lower()}")
    tokenizer = models.load_tokenizer(bench.folder)
    made = []
    for turn in make_rows(rows * (STEPS + WARM), 1 if bench.tiny else 7):
        said = [{"role": "user", "content": turn["user"]}, {"role": "assistant", "content": turn["warm"]}]
        ids = chat.prompt_ids(tokenizer, said, {})[: run.method.max_length]
        made.append({"input_ids": ids, "labels": ids})
    row = trained(bench, run, bench.folder, made, rows)
    return dataclasses.replace(row, note=row.note + (", checkpointing" if checkpointing else ""))


def quickstart(bench: Bench) -> Row:
    """Tokens per second of the quickstart's training: its model, rows and batch."""
    from warmgap.engines import models
    from warmgap.settings import config
    from warmgap.train import dataset
    from warmgap.train.persona import persona_data

    run = config.compose(["+persona=warm", f"device={bench.device}"])
    folder = models.resolve(run.model)
    learn, _ = persona_data.load(run.data, "warm")
    made, _ = dataset.rows(learn, "warm", models.load_tokenizer(folder), run.model, run.method.max_length)
    rows = run.method.batch_size
    return dataclasses.replace(
        trained(bench, run, folder, made[: rows * (STEPS + WARM)], rows), who="warmgap, quickstart's training"
    )


def trained(bench: Bench, run: Any, folder: Path, made: list[Any], rows: int) -> Row:
    """Take STEPS steps of TRL's trainer with our adapter and arguments, after WARM that are not counted."""
    import torch
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback

    from warmgap.engines import models
    from warmgap.train import sft, trl_compat

    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if bench.device != "cpu":
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as scratch:
        args = trl_compat.sft_config(
            output_dir=scratch, max_steps=STEPS + WARM, per_device_train_batch_size=rows, max_length=None,
            gradient_checkpointing=run.method.gradient_checkpointing, learning_rate=run.method.learning_rate,
            use_cpu=bench.device == "cpu", bf16=models.dtype_of(run.model.dtype, bench.device) != torch.float32,
        )  # fmt: skip
        forget(bench)
        tokenizer = models.load_tokenizer(folder)
        trainer = trl_compat.sft_trainer(sft.trainable(run, folder), args, made, made[:1], tokenizer)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Clock())
        trainer.train()
    seconds = ends[-1] - ends[WARM - 1]
    tokens = sum(len(row["input_ids"]) for row in made) / (STEPS + WARM) * STEPS
    note = f"{rows} rows of {tokens / STEPS / rows:.0f} tokens; {peak(bench)}".strip("; ")
    return Row("warmgap, training", tokens / seconds, "tokens/s", seconds, note)


def answering(bench: Bench, by: str) -> Row:
    """New tokens per second of an engine with an adapter; ``by`` is hf or vllm."""
    from benchmarks import peers

    if by == "vllm" and not installed(["vllm"]):
        raise UserError("vllm is not installed", "this environment has none", "pip install 'warmgap[vllm]'")
    count, new = (8, 8) if bench.tiny else (128, 300)
    messages = [[{"role": "user", "content": turn["user"]}] for turn in make_rows(count, 1)]
    from warmgap.engines import chat, models

    tokenizer = models.load_tokenizer(bench.folder)
    job = {
        "folder": str(bench.folder), "local": True, "adapter": None, "device": bench.device, "dtype": "bfloat16",
        "messages": messages, "ids": [chat.prompt_ids(tokenizer, one, {}) for one in messages], "new_tokens": new,
        "our_batch": count, "batch": count,
    }  # fmt: skip
    said = peers.run("ours" if by == "hf" else "vllm", job, limit=max(30.0, bench.left))
    who = "warmgap, answering by generate" if by == "hf" else "vllm, answering"
    note = f"{count} prompts, {said['tokens'] / count:.0f} new tokens each"
    return Row(who, said["tokens"] / said["seconds"], "new tokens/s", said["seconds"], note)


def forget(bench: Bench) -> None:
    """Free what is unused and count the peak anew."""
    import gc

    import torch

    gc.collect()
    if bench.device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(bench: Bench) -> str:
    """The most that was held at once on the card."""
    import torch

    return "" if bench.device == "cpu" else f"peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"


def main() -> None:
    """Measure part after part while there is time."""
    from warmgap.pipeline import quiet

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="a toy's size, to see that it works")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds in which a part may begin (default 240)")
    options = parser.parse_args()
    check(options.device)
    quiet()
    if options.device == "cpu" and not options.tiny:
        raise UserError("8 billion weights on a CPU", "a step would take minutes", "add --tiny")
    place = Path("/dev/shm") if options.device != "cpu" and Path("/dev/shm").is_dir() else None
    rows = []
    with tempfile.TemporaryDirectory(dir=place) as folder:
        bench = Bench(options.device, Path(folder), options.tiny, time.monotonic() + options.budget)
        print(f"{make_model(bench):.2f} billion random weights", flush=True)
        at_once = 2 if options.tiny else 8
        parts = {
            "training": (35.0, lambda: training(bench, at_once, False)),
            "training, checkpointing": (35.0, lambda: training(bench, at_once, True)),
            "answering, hf": (70.0, lambda: answering(bench, "hf")),
            "answering, vllm": (60.0, lambda: answering(bench, "vllm")),
            "quickstart": (30.0, lambda: quickstart(bench)),
        }
        for name, (takes, part) in parts.items():
            if bench.left < takes:
                print(f"{name}: no time left ({bench.left:.0f} s)", flush=True)
                continue
            try:
                forget(bench)
                rows.append(part())
            except (UserError, RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"{name}: {' '.join(str(error).split())[:300]}", flush=True)
    report(
        f"gpu: {'a toy' if options.tiny else '8B, random weights'} on {options.device}", rows, "", installed(["vllm"])
    )


if __name__ == "__main__":
    main()
