"""What a training leaves as it runs: losses in the arm's log, the bar on the terminal, checkpoints that are sealed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from warmgap.disk import store
from warmgap.disk.progress import Advance
from warmgap.disk.store import Arm
from warmgap.errors import BadValue
from warmgap.train import checkpoints, trl_compat

if TYPE_CHECKING:
    from warmgap.train.stage import Intervention

KEPT = (
    "loss",
    "eval_loss",
    "learning_rate",
    "grad_norm",
    "rewards/margins",
    "eval_rewards/margins",
    "rewards/accuracies",
)
STATES = "interventions.json"  # beside a checkpoint: what the interventions go on with, by their names
LN2_TOLERANCE = 0.05  # nats; rounding of bfloat16 moves the first DPO loss by less


class NothingLeft(Exception):
    """The checkpoint that a training goes on from is its last: it is loaded, and there is no step to be taken."""


class Journal(TrainerCallback):
    """Writes losses to the arm's log, moves the bar on, asks for a checkpoint at the steps wanted and seals it.

    ``equal_start`` says that policy and reference begin alike: the first loss of a DPO is then near ln 2, or something
    is wrong. ``batch`` gives the text of the batch at hand, for the message of a training that diverges. What
    ``interventions`` add to the loss is kept beside it, and their state with each checkpoint.
    """

    def __init__(
        self,
        arm: Arm,
        marks: set[int],
        advance: Advance,
        on_log: Callable[[dict[str, Any]], None],
        *,
        equal_start: bool = False,
        batch: Callable[[], str] = str,
        interventions: Sequence[Intervention] = (),
    ) -> None:
        self.arm, self.marks, self.advance, self.on_log_row = arm, marks, advance, on_log
        self.equal_start, self.batch, self.interventions = equal_start, batch, interventions
        states = [f"{one.name}/{key}" for one in interventions for key in one.state()]
        self.kept = (*KEPT, *(one.name for one in interventions), *states)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop a training that is complete: transformers would take one more step where its epochs are not whole."""
        if state.global_step >= max(self.marks):
            raise NothingLeft

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in self.marks:
            control.should_evaluate = True
            control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        row: dict[str, Any] = {"step": state.global_step, "epoch": state.epoch}
        row |= {key: float(logs[key]) for key in self.kept if logs and key in logs}
        self._check(row)
        if len(row) > 2 and state.is_world_process_zero:
            store.append(self.arm.training_log, [row])
            self.on_log_row(row)
        if "loss" in row:
            self.advance(1, note=f"loss {row['loss']:.2f}")

    def _check(self, row: dict[str, Any]) -> None:
        wild = [key for key in ("loss", "eval_loss", "grad_norm") if not math.isfinite(row.get(key, 0.0))]
        if wild:
            raise BadValue(
                f"{wild[0]} is {row[wild[0]]} at step {row['step']}",
                f"the training has diverged on the batch that begins: {self.batch()}",
                "lower method.learning_rate, or look at the rows in data/train.jsonl",
            )
        if self.equal_start and row["step"] == 1 and "loss" in row and abs(row["loss"] - math.log(2)) > LN2_TOLERANCE:
            raise RuntimeError(
                f"the first DPO loss is {row['loss']:.4f}, not near ln 2: the reference is not the start"
            )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trl_compat.wait_for_everyone()  # each process writes a file of its own: none is sealed while half written
        if state.is_world_process_zero:
            folder = self.arm.checkpoints / f"checkpoint-{state.global_step}"
            store.write_journal(folder / store.LOSSES, store.read_journal(self.arm.training_log))
            if states := {one.name: state for one in self.interventions if (state := one.state())}:
                store.write_json(folder / STATES, states)
            checkpoints.seal(folder)


def restore(interventions: Sequence[Intervention], checkpoint: Path | None) -> None:
    """Give the interventions what a checkpoint keeps of them; where there is none, have them begin anew."""
    kept = (store.read_json(checkpoint / STATES) if checkpoint is not None else None) or {}
    for one in interventions:
        one.restore(kept.get(one.name, {}))


def forget_after(arm: Arm, step: int) -> None:
    """Drop logged losses beyond the step that the training goes on from: they will be written again."""
    store.write_journal(arm.training_log, [row for row in arm.losses() if row["step"] <= step])
