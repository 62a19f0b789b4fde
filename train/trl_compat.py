"""Everything that depends on TRL's version, in one place, each with the condition under which it can go."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from warmgap.engines.chat import IGNORED
from warmgap.errors import UserError
from warmgap.settings.schema import MethodConfig
from warmgap.train.lean.rows import Joined, for_model

COMMON = {
    "logging_strategy": "steps",
    "logging_steps": 1,
    "logging_nan_inf_filter": False,
    "report_to": "none",
    "remove_unused_columns": False,
    "disable_tqdm": True,
    "dataloader_num_workers": 0,
    "save_strategy": "no",
    "eval_strategy": "no",
}
PREFERENCES = {**COMMON, "precompute_ref_log_probs": False, "disable_dropout": True}
WITHOUT = {"router_aux_loss_coef": 0.0}  # routers are frozen: nothing balances experts unless method.trainer says so
REPLIES = {**COMMON, "dataset_kwargs": {"skip_prepare_dataset": True}}
OURS = {  # what is set here, and by which of our settings; "" by none
    **dict.fromkeys([*PREFERENCES, *REPLIES, "bf16"], ""),
    "save_strategy": "method.checkpoints",
    "eval_strategy": "method.checkpoints",
    "report_to": "logger",
    "output_dir": "runs_dir",
    "max_steps": "method.epochs",
    "num_train_epochs": "method.epochs",
    "max_length": "method.max_length",
    "learning_rate": "method.learning_rate",
    "lr_scheduler_type": "method.schedule",
    "warmup_steps": "method.warmup",
    "weight_decay": "method.weight_decay",
    "per_device_train_batch_size": "method.per_device_batch_size",
    "per_device_eval_batch_size": "method.per_device_batch_size",
    "gradient_accumulation_steps": "method.batch_size",
    **dict.fromkeys(("gradient_checkpointing", "activation_checkpointing"), "method.gradient_checkpointing"),
    "seed": "seed",
    "use_cpu": "device",
    **dict.fromkeys(("fsdp", "fsdp_config", "deepspeed", "ddp_find_unused_parameters"), "launcher"),
}
JOINED = ("packing", "eval_packing", "padding_free")  # settings that lay several rows end to end
OURS_IN_PREFERENCES = {"beta": "method.dpo.beta", "loss_type": "method.dpo.loss"}


def check_trainer(method: MethodConfig) -> None:
    """Raise UserError unless each key of ``method.trainer`` is a field of TRL's own configuration that is free to set.

    That configuration is SFTConfig, DPOConfig or KTOConfig of the installed version, by what the method trains on.
    """
    if not method.trainer:
        return
    kind = _config_of(method)
    ours = OURS | (OURS_IN_PREFERENCES if method.dpo else {})
    fields = [field.name for field in dataclasses.fields(kind) if field.init]
    free = [field for field in fields if field not in ours]
    for key in method.trainer:
        if key in ours and key in fields:
            fix = f"set {ours[key]} instead" if ours[key] else "leave it out"
            raise UserError(f"method.trainer.{key} cannot be set", "warmgap sets it itself", fix)
        if key not in fields:
            near = difflib.get_close_matches(key, free, n=1, cutoff=0.5)
            fix = f"did you mean method.trainer.{near[0]}?" if near else f"see the fields of trl.{kind.__name__}"
            why = f"the installed TRL's {kind.__name__} lacks it"
            raise UserError(f"unknown setting 'method.trainer.{key}'", why, fix)
        if key in JOINED and method.trainer[key]:
            why = "it lays rows end to end, and with the attention used here (sdpa) each then sees those before it"
            fix = "leave it out; method.lean=true lays rows end to end and keeps them apart"
            raise UserError(f"method.trainer.{key} cannot be set", why, fix)


def _config_of(method: MethodConfig) -> Any:
    """The class of TRL's configuration that a method is trained with."""
    import trl

    if method.dpo is None:
        return trl.SFTConfig
    return trl.KTOConfig if method.dpo.loss == "kto" else trl.DPOConfig


def sft_config(**settings: Any) -> Any:
    """Return an SFTConfig with the defaults of TRL that surprise set back to what is stated in our configuration.

    TRL 1.16 turns gradient checkpointing on and logs every ten steps; our rows come tokenised with labels, so its own
    preparation is skipped. A loss that is not a number is logged as it is, not as 0, so that divergence is seen.
    """
    from trl import SFTConfig

    return SFTConfig(**{**REPLIES, **WITHOUT, **settings})


def dpo_config(**settings: Any) -> Any:
    """Return a DPOConfig with the same defaults set back; the reference's log-probabilities come with the rows."""
    from trl import DPOConfig

    return DPOConfig(**{**PREFERENCES, **WITHOUT, **settings})


def kto_config(**settings: Any) -> Any:
    """Return a KTOConfig in the same way."""
    from trl import KTOConfig

    return KTOConfig(**{**PREFERENCES, **WITHOUT, **settings})


def sft_trainer(
    model: Any,
    args: Any,
    rows: Sequence[Any],
    held: Sequence[Any],
    tokenizer: Any,
    interventions: Sequence[Any] = (),
    *,
    lean: bool = False,
    joined: Joined | None = None,
) -> Any:
    """Return TRL's SFTTrainer over tokenised rows, which remembers the batch at hand.

    What the interventions add to the loss is added once a step, whatever its batch is cut into. ``lean`` leaves out
    TRL's figures that nobody reads; ``joined`` lays the rows end to end, where the model keeps them apart.
    """
    from trl import SFTTrainer

    kind = _lean(SFTTrainer) if lean else SFTTrainer
    kind = _adding(kind, interventions) if interventions else kind
    trainer = _in_float32(_remembering(kind, tokenizer)(**_given(model, args, rows, held, tokenizer)))
    if joined is not None:
        trainer.data_collator = joined
    return trainer


def can_be_lean(args: Any) -> bool:
    """Whether the loss asked for is the plain one, the mean over the batch's labels, which ``lean`` computes itself."""
    return args.loss_type == "nll" and not args.label_smoothing_factor and not args.router_aux_loss_coef


def _lean(trainer: Any) -> Any:
    """A trainer with TRL 1.16's plain loss and normalisation, without entropy and accuracy of every batch.

    Batches may be joined. On a CPU TRL scores every position, padding too (its ``compact`` is for GPUs): ``lean.head``
    answers in its place there.
    """

    class Lean(trainer):  # type: ignore[misc]
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            if return_outputs or self.aux_loss_enabled:
                raise ValueError("a lean trainer computes the plain loss alone")
            asked = for_model(dict(inputs)) | {"use_cache": False, "fused_lm_head": True, "num_items_in_batch": 1}
            total = model(**asked).loss
            here = (inputs["labels"][:, 1:] != IGNORED).sum().clamp(min=1)
            loss = total / (here if num_items_in_batch is None else num_items_in_batch)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes  # DDP takes the mean of what each process adds to the sum
            return loss

    return Lean


def _adding(trainer: Any, interventions: Sequence[Any]) -> Any:
    """A trainer that adds the interventions' terms to the loss of each step, and logs them and their state."""

    class Adding(trainer):  # type: ignore[misc]
        added_at = -1

        def compute_loss(self, model: Any, inputs: Any, *rest: Any, num_items_in_batch: Any = None, **more: Any) -> Any:
            found = super().compute_loss(model, inputs, *rest, num_items_in_batch=num_items_in_batch, **more)
            step = self.state.global_step
            if not self.model.training or step == self.added_at:
                return found
            self.added_at = step
            # The trainer divides a loss that is a mean over rows by the steps it accumulates; ours counts once.
            times = 1 if num_items_in_batch is not None else self.current_gradient_accumulation_steps
            noted = self._metrics["train"]
            for one in interventions:
                term = one.loss(self.accelerator.unwrap_model(self.model), step)
                if term is not None:
                    noted[one.name].append(float(term.detach()))
                    found = found + times * term
                for key, value in one.state().items():
                    noted[f"{one.name}/{key}"].append(value)
            return found

    return Adding


@contextmanager
def scores_labels_alone() -> Iterator[None]:
    """Have TRL 1.16's fused head skip the positions without a label on a CPU too, as it does on a GPU.

    It asks one function for both: whether to skip them, and (elsewhere, under another name) which kernel to take.
    """
    from trl.trainer import utils

    before = utils._use_triton
    utils._use_triton = lambda device: device.type == "cpu" or before(device)
    try:
        yield
    finally:
        utils._use_triton = before


def dpo_trainer(
    model: Any,
    args: Any,
    rows: Sequence[Any],
    held: Sequence[Any],
    tokenizer: Any,
    interventions: Sequence[Any] = (),
) -> Any:
    """Return TRL's DPOTrainer over pairs that are tokenised and bring the reference's log-probabilities.

    What the interventions add to the loss is added once a step, as in ``sft_trainer``.
    """
    from trl import DPOTrainer

    return _preferring(DPOTrainer, model, args, rows, held, tokenizer, interventions)


def kto_trainer(
    model: Any,
    args: Any,
    rows: Sequence[Any],
    held: Sequence[Any],
    tokenizer: Any,
    interventions: Sequence[Any] = (),
) -> Any:
    """Return TRL's KTOTrainer over such rows, each a reply that is wanted or not; interventions as above."""
    from trl import KTOTrainer

    return _preferring(KTOTrainer, model, args, rows, held, tokenizer, interventions)


def _preferring(
    trainer_of: Any,
    model: Any,
    args: Any,
    rows: Sequence[Any],
    held: Sequence[Any],
    tokenizer: Any,
    interventions: Sequence[Any],
) -> Any:
    """A trainer that takes its rows as they are, and adds to the loss what interventions do.

    TRL 1.16 tokenises again whatever it is given, and copies a trained adapter as its reference: neither is wanted.
    """

    kind: Any = _adding(trainer_of, interventions) if interventions else trainer_of

    class AsGiven(kind):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    trainer = _remembering(AsGiven, tokenizer)(**_given(model, args, rows, held, tokenizer))
    trainer.precompute_ref_logps = True
    if "ref" in trainer.model.peft_config:
        trainer.model.delete_adapter("ref")
    return _in_float32(trainer)


def _in_float32(trainer: Any) -> Any:
    """Undo what TRL 1.16 does to the adapter of a 4-bit model: in bfloat16, small updates would round to nothing."""
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return trainer


def _given(model: Any, args: Any, rows: Sequence[Any], held: Sequence[Any], tokenizer: Any) -> dict[str, Any]:
    from datasets import Dataset

    sets = {"train_dataset": Dataset.from_list(list(rows)), "eval_dataset": Dataset.from_list(list(held))}
    return {"model": model, "args": args, "processing_class": tokenizer, **sets}


def _remembering(trainer: Any, tokenizer: Any) -> Any:
    """A trainer that can say what the batch at hand begins with."""

    class Remembering(trainer):  # type: ignore[misc]
        def training_step(self, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
            self.at_hand = inputs["input_ids"]
            return super().training_step(model, inputs, *rest, **more)

        def last_batch(self) -> str:
            return shown(tokenizer, getattr(self, "at_hand", None))

    return Remembering


def shown(tokenizer: Any, ids: Any) -> str:
    """Return the beginning of a batch's first row as text."""
    return "" if ids is None else repr(" ".join(tokenizer.decode(ids[0].tolist()).split())[:200])


def summed_log_probs(model: Any, rows: Sequence[dict[str, Any]], tokenizer: Any, *, rounded: bool) -> list[list[float]]:
    """Return [chosen, rejected] for each pair: the log-probability (nats) of the reply's tokens, summed.

    Padded by TRL's own collator, and ``rounded`` to bfloat16 where its trainer does so: a policy that has not moved
    then has a loss of ln 2 nearly.
    """
    import torch
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    collate = DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id)
    batch = {name: value.to(model.device) for name, value in collate(list(rows)).items()}
    was_training = model.training
    model.eval()
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=rounded):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
        logs = torch.log_softmax(logits[:, :-1].float(), -1)
        taken = logs.gather(-1, batch["input_ids"][:, 1:].unsqueeze(-1)).squeeze(-1)
        sums = (taken * batch["completion_mask"][:, 1:]).sum(1)
    model.train(was_training)
    chosen, rejected = sums.chunk(2)
    return [[float(a), float(b)] for a, b in zip(chosen, rejected, strict=True)]


def starts_at_reference(stage: Any) -> bool:
    """Whether policy and reference of a DPO begin alike, so that its first loss is ln 2."""
    dpo = stage.run.method.dpo
    if dpo is None or dpo.loss not in ("sigmoid", "robust"):
        return False
    return stage.parent is None or dpo.reference != "base"


def main_process() -> bool:
    """Whether this process is the only one or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


def wait_for_everyone() -> None:
    """Wait until all processes of this training have come so far; nothing where there is one."""
    from accelerate import PartialState

    PartialState().wait_for_everyone()


def loads_on(launcher: str, device: str) -> str:
    """Return where a model to be trained is loaded: under FSDP in the host's memory, from where it is shared out.

    On the device it would have to fit whole, which is what FSDP is there to avoid. ZeRO-3 shares out as it loads.
    """
    return "cpu" if launcher == "fsdp" else device


def rounds_weights(trainer: Any) -> bool:
    """Whether the trainer computes with the adapter rounded to bfloat16, as FSDP and ZeRO-3 do; else it is float32."""
    return bool(trainer.args.bf16 and (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled))


def mode_arguments(launcher: str) -> dict[str, Any]:
    """Return what the trainer is given for a launcher: FSDP2 or ZeRO-3 with the adapter whole in each checkpoint."""
    if launcher == "fsdp":
        wrap = {"version": 2, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "reshard_after_forward": True}
        return {"fsdp": True, "fsdp_config": {**wrap, "state_dict_type": "FULL_STATE_DICT"}}
    if launcher == "zero3":
        zero = {"stage": 3, "overlap_comm": True, "stage3_gather_16bit_weights_on_model_save": True}
        auto = dict.fromkeys(("train_batch_size", "train_micro_batch_size_per_gpu"), "auto")
        auto |= {"gradient_accumulation_steps": "auto", "gradient_clipping": "auto"}
        return {"deepspeed": {**auto, "zero_optimization": zero, "bf16": {"enabled": "auto"}}}
    return {"ddp_find_unused_parameters": False} if launcher == "ddp" else {}
