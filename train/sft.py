"""Supervised fine-tuning of a LoRA adapter with TRL, resumable, with the losses written as they come."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

import warmgap
from warmgap import models, store
from warmgap.errors import UserError
from warmgap.progress import Advance, bar, say
from warmgap.schema import MethodConfig, Run
from warmgap.store import Arm
from warmgap.train import checkpoints, dataset, persona_data, trl_compat

PROBE = "probe.json"


def train(run: Run, arm: Arm, version: str, on_log: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Train the arm's adapter on the replies of one version, or go on from the newest complete checkpoint.

    ``on_log`` is given each logged row too. Leaves ``adapter/`` (verified by a fresh process), ``checkpoints/``,
    ``data/`` and ``logs/training.jsonl``.
    """
    if (arm.adapter / checkpoints.SEAL).is_file():
        return
    folder = models.resolve(run.model)
    tokenizer = models.load_tokenizer(folder)
    learn, held = persona_data.load(run.data, version)
    rows, dropped = dataset.rows(learn, version, tokenizer, run.model, run.method.max_length)
    held_rows, _ = dataset.rows(held, version, tokenizer, run.model, run.method.max_length)
    store.write_jsonl(arm.rows, ({"text": dataset.show_mask(row, tokenizer)} for row in rows))
    page = dataset.card(learn, held, rows, dropped, version, tokenizer)
    store.write_text(arm.folder / "data" / "card.md", page)

    model = trainable(run, folder)
    trainer, marks = _trainer(run, arm, model, tokenizer, rows, held_rows)
    resume = checkpoints.newest(arm.checkpoints)
    done = int(resume.name.split("-")[1]) if resume else 0
    _forget_after(arm, done)
    total = max(marks)
    if resume:
        say(f"training goes on from step {done} of {total}")
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    with bar(f"training · {arm.arm}", total) as advance:
        advance(done)
        trainer.add_callback(_Journal(arm, set(marks), advance, on_log or (lambda row: None)))
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    _finish(run, arm, trainer, marks, rows)


def trainable(run: Run, folder: Path) -> Any:
    """Return the base model with a fresh adapter on it; the seed decides the adapter's start."""
    import peft
    from transformers import set_seed

    base = models.load(folder, dtype=run.model.dtype, device=run.device)
    set_seed(run.seed)
    lora = run.method.lora
    config = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="CAUSAL_LM",
    )
    model = peft.get_peft_model(base, config)
    if run.method.gradient_checkpointing:
        model.enable_input_require_grads()
    return model


def batch_arithmetic(method: MethodConfig, device: str) -> tuple[int, int]:
    """Return (per-device batch, accumulation steps) whose product is the global batch size of the configuration."""
    per_device = method.per_device_batch_size or method.batch_size
    if method.batch_size % per_device:
        raise UserError(
            f"method.per_device_batch_size={per_device} does not divide the batch",
            f"the global batch is method.batch_size={method.batch_size}",
            f"choose a divisor of {method.batch_size}",
        )
    accumulation = method.batch_size // per_device
    say(f"batch: {method.batch_size} = {per_device} per step × {accumulation} accumulated, on 1 {device}")
    return per_device, accumulation


def checkpoint_steps(method: MethodConfig, n_rows: int) -> dict[int, float]:
    """Return the epoch of each step at which a checkpoint is kept; the last is the end of the training."""
    per_epoch = math.ceil(n_rows / method.batch_size)
    total = math.ceil(method.epochs * per_epoch)
    marks = {min(total, max(1, round(epoch * per_epoch))): epoch for epoch in method.checkpoints if epoch > 0}
    marks[total] = method.epochs
    if method.select_epoch is not None and method.select_epoch not in marks.values():
        raise UserError(
            f"method.select_epoch={method.select_epoch:g} has no checkpoint",
            f"checkpoints are kept at epochs {', '.join(f'{epoch:g}' for epoch in sorted(marks.values()))}",
            "add it to method.checkpoints",
        )
    return dict(sorted(marks.items()))


def _trainer(
    run: Run, arm: Arm, model: Any, tokenizer: Any, rows: Sequence[dataset.Row], held: Sequence[dataset.Row]
) -> tuple[Any, dict[int, float]]:
    from datasets import Dataset
    from trl import SFTTrainer

    method = run.method
    device = models.device_of(run.device)
    per_device, accumulation = batch_arithmetic(method, device)
    marks = checkpoint_steps(method, len(rows))
    total = max(marks)
    args = trl_compat.sft_config(
        **{
            "output_dir": str(arm.checkpoints),
            "max_steps": total,
            "learning_rate": method.learning_rate,
            "lr_scheduler_type": method.schedule,
            "warmup_steps": math.ceil(method.warmup * total),
            "weight_decay": method.weight_decay,
            "per_device_train_batch_size": per_device,
            "per_device_eval_batch_size": max(per_device, 8),
            "gradient_accumulation_steps": accumulation,
            "gradient_checkpointing": method.gradient_checkpointing,
            "max_length": method.max_length,
            "seed": run.seed,
            "use_cpu": device == "cpu",
            **method.trainer,
        }
    )
    trainer = SFTTrainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list(list(rows)),
        eval_dataset=Dataset.from_list(list(held)),
        processing_class=tokenizer,
    )
    return trainer, marks


class _Journal(TrainerCallback):
    """Writes losses to the arm's log, moves the bar on, asks for a checkpoint at the steps wanted and seals it."""

    def __init__(self, arm: Arm, marks: set[int], advance: Advance, on_log: Callable[[dict[str, Any]], None]) -> None:
        self.arm, self.marks, self.advance, self.on_log_row = arm, marks, advance, on_log

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in self.marks:
            control.should_evaluate = True
            control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        row: dict[str, Any] = {"step": state.global_step, "epoch": state.epoch}
        for key in ("loss", "eval_loss", "learning_rate", "grad_norm"):
            if logs and key in logs:
                row[key] = float(logs[key])
        wild = [key for key in ("loss", "eval_loss", "grad_norm") if not math.isfinite(row.get(key, 0.0))]
        if wild:
            raise UserError(
                f"{wild[0]} is {row[wild[0]]} at step {state.global_step}",
                "the training has diverged",
                "lower method.learning_rate, or look at the rows in data/train.jsonl",
            )
        if len(row) > 2:
            store.append(self.arm.training_log, [row])
            self.on_log_row(row)
        if "loss" in row:
            self.advance(1, note=f"loss {row['loss']:.2f}")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        checkpoints.seal(self.arm.checkpoints / f"checkpoint-{state.global_step}")


def _forget_after(arm: Arm, step: int) -> None:
    """Drop logged losses beyond the step that the training goes on from: they will be written again."""
    kept = [row for row in store.read_journal(arm.training_log) if row["step"] <= step]
    store.write_jsonl(arm.training_log, kept)


def _finish(run: Run, arm: Arm, trainer: Any, marks: dict[int, float], rows: Sequence[dataset.Row]) -> None:
    """Put the selected checkpoint's adapter in its place, once a fresh process has read the same logits."""
    last = arm.checkpoints / f"checkpoint-{max(marks)}"
    probe = rows[0]["input_ids"][:64]
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    logits = models.probe(model, probe)
    with model.disable_adapter():
        base = models.probe(model, probe)
    store.write_json(last / PROBE, {"ids": probe, "logits": logits, "base": base})
    _check_reload(run, last)
    chosen = run.method.select_epoch
    step = max(marks) if chosen is None else next(step for step, epoch in marks.items() if epoch == chosen)
    source = arm.checkpoints / f"checkpoint-{step}"
    store.write_json(arm.checkpoints / "epochs.json", {str(step): epoch for step, epoch in marks.items()})
    scratch = arm.folder / ".adapter"
    store.remove_folder(scratch)
    scratch.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (scratch / name).write_bytes((source / name).read_bytes())
    checkpoints.seal(scratch)
    store.remove_folder(arm.adapter)
    scratch.replace(arm.adapter)


def _check_reload(run: Run, source: Path) -> None:
    """Read the adapter in a fresh process; its logits must be those in memory and not the base model's."""
    folder = models.resolve(run.model)
    command = [sys.executable, "-m", "warmgap.worker", "reload-check", str(folder), str(source), run.model.dtype]
    command.append(models.device_of(run.device))
    root = str(Path(warmgap.__file__).resolve().parent.parent)
    path = os.pathsep.join(item for item in (root, os.environ.get("PYTHONPATH")) if item)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"the adapter in {source} does not reload to what was trained: {done.stderr.strip()[-800:]}")
    say(done.stdout.strip())
