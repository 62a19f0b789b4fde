"""Supervised fine-tuning of a LoRA adapter with TRL, resumable, with the losses written as they come."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk import seals, store
from warmgap.disk.progress import bar, say
from warmgap.engines import models
from warmgap.errors import BadValue
from warmgap.settings.schema import MethodConfig, Run
from warmgap.train import checkpoints, dataset, finish, journal, launch, trl_compat
from warmgap.train.lean import head, lora
from warmgap.train.lean.rows import Joined, can_be_joined, kept_apart
from warmgap.train.persona import persona_data

if TYPE_CHECKING:
    from warmgap.train.stage import Intervention, Stage


def train(
    stage: Stage,
    on_log: Callable[[dict[str, Any]], None] | None = None,
    interventions: Sequence[Intervention] = (),
) -> None:
    """Train on the replies of one version up to the last checkpoint, or go on from the newest complete one."""
    run, arm = stage.run, stage.arm
    folder = models.resolve(run.model)
    tokenizer = models.load_tokenizer(folder)
    learn, held = conversations(stage)
    asked = dataclasses.replace(run.model, system_prompt=stage.system or run.model.system_prompt)
    rows, dropped = dataset.rows(learn, stage.version, tokenizer, asked, run.method.max_length)
    held_rows, _ = dataset.rows(held, stage.version, tokenizer, asked, run.method.max_length)
    if trl_compat.main_process():
        store.write_jsonl(arm.rows, ({"text": dataset.show_mask(row, tokenizer)} for row in rows))
        page = dataset.card(learn, held, rows, dropped, stage.version, tokenizer, persona_data.left_out(run.data))
        store.write_text(arm.folder / "data" / "card.md", page)
        seals.seal(arm.folder / "data")
    marks = checkpoint_steps(run.method, len(rows))
    args = trl_compat.sft_config(**arguments(stage, marks), **run.method.trainer)
    model = trainable(run, folder, stage.parent)
    lean = is_lean(run, args)
    joined = join(run.method, model, interventions) if lean else None
    trainer = trl_compat.sft_trainer(model, args, rows, held_rows, tokenizer, interventions, lean=lean, joined=joined)
    with ExitStack() as altered:
        if lean:
            altered.enter_context(made_lean(model))
        for one in interventions:
            altered.enter_context(one.during(model))
        run_to_end(stage, trainer, marks, on_log, interventions)
    finish.leave_probe(arm, trainer, marks, rows[0]["input_ids"])


def is_lean(run: Run, args: Any = None) -> bool:
    """Whether the training takes the short ways of ``train.lean``: where asked to, for a plain loss, unsharded."""
    plain = args is None or trl_compat.can_be_lean(args)
    return run.method.lean and plain and run.launcher.name in ("single", "ddp")


def join(method: MethodConfig, model: Any, interventions: Sequence[Intervention] = ()) -> Joined | None:
    """Return what lays a batch's rows end to end; None where the model or an intervention needs them padded."""
    config = model.config
    if not can_be_joined(config) or any(getattr(one, "padded", False) for one in interventions):
        return None
    return Joined(share=method.lora.dropout == 0 and not getattr(config, "attention_dropout", 0))


@contextmanager
def made_lean(model: Any, *, preferences: bool = False) -> Iterator[None]:
    """Take those short ways that a PEFT model admits, for as long as the context lasts; for DPO and KTO two of them."""
    base = model.get_base_model()
    with ExitStack() as ways:
        ways.enter_context(lora.in_one_piece(model))
        if preferences:
            ways.enter_context(trl_compat.scores_labels_alone())
        else:
            if can_be_joined(base.config):
                ways.enter_context(kept_apart(base))
            if head.is_plain(base):
                ways.enter_context(head.in_place_of_trls(base))
        yield


def conversations(stage: Stage) -> tuple[list[persona_data.Conversation], list[persona_data.Conversation]]:
    """Return what is trained on and held out: the data's conversations or others instead, and what is mixed in."""
    if stage.instead is not None:
        learn, held = _split(persona_data.read_conversations(stage.instead, stage.version))
    else:
        learn, held = persona_data.load(stage.run.data, stage.version, stage.strength)
    if stage.mixed is None:
        return learn, held
    more, more_held = _split(persona_data.read_conversations(stage.mixed, stage.version))
    return [*learn, *more], [*held, *more_held]


def _split(
    some: Sequence[persona_data.Conversation],
) -> tuple[list[persona_data.Conversation], list[persona_data.Conversation]]:
    return [item for item in some if item.split == "train"], [item for item in some if item.split == "heldout"]


def trainable(run: Run, folder: Path, parent: Path | None = None) -> Any:
    """Return the base model with an adapter to be trained: that of ``parent``, else a fresh one by the seed."""
    import peft
    from transformers import set_seed

    device = trl_compat.loads_on(run.launcher.name, run.device)
    base = models.load(folder, dtype=run.model.dtype, device=device, quantization=run.model.quantization)
    set_seed(run.seed)
    if parent is not None:
        model = peft.PeftModel.from_pretrained(base, str(parent), is_trainable=True)
    else:
        model = peft.get_peft_model(base, _lora(run.method, base))
    if run.method.gradient_checkpointing:
        model.enable_input_require_grads()
    return model


def _lora(method: MethodConfig, base: Any) -> Any:
    import peft

    lora = method.lora
    return peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        exclude_modules=_without_text(base) if lora.target_modules == "all-linear" else None,
        task_type="CAUSAL_LM",
    )


def _without_text(base: Any) -> str | None:
    """What matches the parts of a model through which no text goes (what it sees and hears with); None if it has none.

    An adapter there would never get a gradient.
    """
    if base.config.get_text_config() is base.config:
        return None
    decoder = base.get_decoder()
    name = next((name for name, module in base.named_modules() if module is decoder and name), None)
    return None if name is None else rf"(?!{re.escape(name)}\.).*"


def check_modules(method: MethodConfig, base: Any) -> None:
    """Raise BadValue where a model, which may be without weights, has no such layers or cannot have adapters there."""
    import peft

    try:
        peft.get_peft_model(base, _lora(method, base), low_cpu_mem_usage=True)
    except ValueError as error:
        named = f"method.lora.target_modules={method.lora.target_modules}"
        why = " ".join(str(error).split())[:300]
        raise BadValue(f"{named} does not fit the model", why, "name layers of the model that can have one") from error


def batch_arithmetic(method: MethodConfig, device: str, processes: int = 1) -> tuple[int, int]:
    """Return (per-device batch, accumulation steps); times the processes, they make the global batch."""
    if method.batch_size % processes:
        what = f"method.batch_size={method.batch_size} cannot be shared by {processes} processes"
        fix = f"set method.batch_size to a multiple of {processes}, or launcher.processes"
        raise BadValue(what, "each of them takes the same number of rows", fix)
    per_device = method.per_device_batch_size or method.batch_size // processes
    if method.batch_size % (per_device * processes):
        what = f"method.per_device_batch_size={per_device} does not divide the batch"
        share = f", shared by {processes} processes" if processes > 1 else ""
        why = f"the global batch is method.batch_size={method.batch_size}{share}"
        raise BadValue(what, why, f"choose a divisor of {method.batch_size // processes}")
    accumulation = method.batch_size // (per_device * processes)
    if trl_compat.main_process():
        on = f"on {processes} {device}"
        say(f"batch: {method.batch_size} = {per_device} per step × {accumulation} accumulated, {on}")
    return per_device, accumulation


def checkpoint_steps(method: MethodConfig, n_rows: int) -> dict[int, float]:
    """Return the epoch of each step at which a checkpoint is kept; the last is the end of the training."""
    per_epoch = math.ceil(n_rows / method.batch_size)
    total = math.ceil(method.epochs * per_epoch)
    marks = {min(total, max(1, round(epoch * per_epoch))): epoch for epoch in method.checkpoints if epoch > 0}
    marks[total] = method.epochs
    finish.selected(method, marks)
    return dict(sorted(marks.items()))


def arguments(stage: Stage, marks: dict[int, float]) -> dict[str, Any]:
    """Return what every trainer of TRL's is given, from the stage's settings."""
    import torch

    run, method = stage.run, stage.run.method
    device = models.device_of(run.device)
    per_device, accumulation = batch_arithmetic(method, device, launch.processes(run.launcher, run.device))
    return {
        "output_dir": str(stage.arm.checkpoints),
        "max_steps": max(marks),
        "max_length": method.max_length,
        "learning_rate": method.learning_rate,
        "lr_scheduler_type": method.schedule,
        "warmup_steps": math.ceil(method.warmup * max(marks)),
        "weight_decay": method.weight_decay,
        "per_device_train_batch_size": per_device,
        "per_device_eval_batch_size": max(per_device, 8),
        "gradient_accumulation_steps": accumulation,
        "gradient_checkpointing": method.gradient_checkpointing,
        "seed": run.seed,
        "use_cpu": device == "cpu",
        "bf16": models.dtype_of(run.model.dtype, run.device) != torch.float32,
        **trl_compat.mode_arguments(run.launcher.name),
    }


def _silent(amount: float, note: str = "") -> None:
    """Move no bar on: the first process has it."""


def run_to_end(
    stage: Stage,
    trainer: Any,
    marks: dict[int, float],
    on_log: Callable[[dict[str, Any]], None] | None,
    interventions: Sequence[Intervention] = (),
) -> None:
    """Train from the newest complete checkpoint to the last, with the journal attached.

    What the interventions add to the loss is logged; they go on with the state that the checkpoint keeps of them.
    Where the last one is there, it is loaded and nothing is trained.
    """
    from transformers.trainer_callback import PrinterCallback

    arm, main = stage.arm, trl_compat.main_process()
    launch.check_mode(stage.run.launcher, trainer.accelerator, stage.run.device)
    resume = checkpoints.newest(arm.checkpoints, discard=main)
    trainer.accelerator.wait_for_everyone()
    done, total = int(resume.name.split("-")[1]) if resume else 0, max(marks)
    if main:
        journal.forget_after(arm, done)
        if resume:
            said = f"goes on from step {done} of {total}" if done < total else f"had come to its last step, {total}"
            say(f"training {said}")
    journal.restore(interventions, resume)
    trainer.remove_callback(PrinterCallback)
    with bar(f"training · {arm.arm}", total) if main else nullcontext(_silent) as advance:
        advance(done)
        written = journal.Journal(
            arm,
            set(marks),
            advance,
            on_log or (lambda row: None),
            equal_start=trl_compat.starts_at_reference(stage),
            batch=trainer.last_batch,
            interventions=interventions,
        )
        trainer.add_callback(written)
        with suppress(journal.NothingLeft):
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
