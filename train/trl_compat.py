"""Everything that depends on TRL's version, in one place, each with the condition under which it can go."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from warmgap.errors import UserError

OURS = ("output_dir", "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "seed", "bf16")


def check_trainer(trainer: dict[str, Any]) -> None:
    """Raise UserError unless each key of the ``trainer`` block is a field of the installed SFTConfig, free to set."""
    if not trainer:
        return
    from trl import SFTConfig

    fields = [field.name for field in dataclasses.fields(SFTConfig) if field.init]
    for key in trainer:
        if key in OURS:
            raise UserError(
                f"method.trainer.{key} cannot be set",
                "it follows from the settings of method, seed and device",
                "set method.learning_rate, method.epochs, method.batch_size, seed or device",
            )
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            fix = f"did you mean method.trainer.{near[0]}?" if near else "see the fields of trl.SFTConfig"
            raise UserError(f"unknown setting 'method.trainer.{key}'", "the installed TRL's SFTConfig lacks it", fix)


def sft_config(**settings: Any) -> Any:
    """Return an SFTConfig with the defaults of TRL that surprise set back to what is stated in our configuration.

    TRL 1.16 turns gradient checkpointing on and logs every ten steps; our rows come tokenised with labels, so its own
    preparation is skipped. A loss that is not a number is logged as it is, not as 0, so that divergence is seen.
    """
    from trl import SFTConfig

    defaults = {
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "save_strategy": "no",
        "eval_strategy": "no",
    }
    return SFTConfig(**{**defaults, **settings})
