"""Direct preference optimisation (Rafailov et al. 2023) of a LoRA adapter: one version of a reply preferred to another.

The reference's log-probabilities are computed once, before the training, and kept: no second copy of the model is held,
and several processes read the same numbers. The reference is the base model (the adapter off) or the adapter that the
training starts from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from warmgap import chat, models, store
from warmgap.errors import UserError
from warmgap.manifest import sha256
from warmgap.progress import bar
from warmgap.schema import DpoConfig, ModelConfig, digest
from warmgap.train import finish, persona_data, sft, trl_compat
from warmgap.train.persona_data import Conversation

if TYPE_CHECKING:
    from warmgap.train.stage import Stage

Pair = dict[str, Any]  # prompt_ids, chosen_ids, rejected_ids; ref_chosen_logps, ref_rejected_logps (nats, summed)


def train(stage: Stage, on_log: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Train on pairs up to the last checkpoint, or go on from the newest complete one."""
    run, arm = stage.run, stage.arm
    settings = settings_of(stage)
    folder = models.resolve(run.model)
    tokenizer = models.load_tokenizer(folder)
    learn, held = persona_data.load(run.data, stage.version, stage.strength)
    rows, dropped = pairs(learn, stage.version, settings.rejected, tokenizer, run.model, run.method.max_length)
    held_rows, _ = pairs(held, stage.version, settings.rejected, tokenizer, run.model, run.method.max_length)
    marks = sft.checkpoint_steps(run.method, len(rows))
    args = trl_compat.dpo_config(  # this also joins the processes, which wait for one another below
        **sft.arguments(stage, marks),
        max_length=run.method.max_length,
        beta=settings.beta,
        loss_type=[settings.loss],
        **run.method.trainer,
    )
    model = sft.trainable(run, folder, stage.parent)
    if trl_compat.main_process():
        text = card(len(learn), len(rows), dropped, stage.version, settings)
        store.write_text(arm.folder / "data" / "card.md", text)
        sides = ("prompt", "chosen", "rejected")
        store.write_jsonl(arm.rows, ({side: tokenizer.decode(row[f"{side}_ids"]) for side in sides} for row in rows))
        with_reference(stage, model, tokenizer, [*rows, *held_rows], rounded=args.bf16)
    trl_compat.wait_for_everyone()
    known = with_reference(stage, model, tokenizer, [*rows, *held_rows], rounded=args.bf16)
    trainer = trl_compat.dpo_trainer(model, args, known[: len(rows)], known[len(rows) :], tokenizer)
    sft.run_to_end(stage, trainer, marks, on_log)
    finish.leave_probe(arm, trainer, marks, rows[0]["prompt_ids"])


def settings_of(stage: Stage) -> DpoConfig:
    """Return the stage's DPO settings. Raises ValueError for a stage that has none."""
    if stage.run.method.dpo is None:
        raise ValueError("the stage trains on no preferences")
    return stage.run.method.dpo


def pairs(
    conversations: Sequence[Conversation],
    chosen: str,
    rejected: str,
    tokenizer: Any,
    model: ModelConfig,
    max_length: int,
) -> tuple[list[Pair], int]:
    """Return tokenised pairs of replies to the same prompt, and how many were left out as too long or equal.

    The conversation before the reply is in the chosen version on both sides: what is preferred is the reply alone.
    """
    found: list[Pair] = []
    dropped = 0
    for conversation in conversations:
        for turn, replies in enumerate(conversation.turns):
            if rejected not in replies.replies:
                why = f"conversation {conversation.id} has no reply in the version {rejected!r}"
                raise UserError(
                    "no pairs of replies", why, f"add {rejected!r} to each turn, or set method.dpo.rejected"
                )
            messages = chat.with_system(conversation.messages(chosen, turn), model.system_prompt)
            other = [*messages[:-1], {"role": "assistant", "content": replies.replies[rejected]}]
            sides = [chat.training_row(tokenizer, side, model.template_vars, max_length) for side in (messages, other)]
            if sides[0] is None or sides[1] is None or sides[0] == sides[1]:
                dropped += 1
                continue
            start = sum(label == chat.IGNORED for label in sides[0]["labels"])
            ids = [side["input_ids"] for side in sides if side is not None]
            found.append({"prompt_ids": ids[0][:start], "chosen_ids": ids[0][start:], "rejected_ids": ids[1][start:]})
    if not found:
        raise UserError("no pair is left to train on", f"{dropped} were too long or equal", "raise method.max_length")
    return found, dropped


def with_reference(stage: Stage, model: Any, tokenizer: Any, rows: Sequence[Pair], *, rounded: bool) -> list[Pair]:
    """Return the pairs with the reference's summed log-probability of each reply, read from the journal where known."""
    base = settings_of(stage).reference == "base" or stage.parent is None
    start = "base" if base else sha256(stage.parent / "adapter_model.safetensors") if stage.parent else ""
    journal = stage.arm.folder / "data" / "reference.jsonl"
    known = {key: row["logps"] for key, row in store.journal_by_key(journal).items()}
    keys = [digest([start, row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]], 16) for row in rows]
    missing = [index for index, key in enumerate(keys) if key not in known]
    if missing:
        import contextlib

        with bar("reference log-probabilities", len(missing)) as advance:
            for begin in range(0, len(missing), 8):
                some = missing[begin : begin + 8]
                with model.disable_adapter() if base else contextlib.nullcontext():
                    values = trl_compat.summed_log_probs(
                        model, [rows[index] for index in some], tokenizer, rounded=rounded
                    )
                fresh = {keys[index]: value for index, value in zip(some, values, strict=True)}
                store.append(journal, [{"key": key, "logps": value} for key, value in fresh.items()])
                known.update(fresh)
                advance(len(some))
    return [
        {**row, "ref_chosen_logps": known[key][0], "ref_rejected_logps": known[key][1]}
        for row, key in zip(rows, keys, strict=True)
    ]


def card(conversations: int, kept: int, dropped: int, chosen: str, settings: DpoConfig) -> str:
    """Return a page that says what is preferred to what."""
    lines = ["# Training data", "", f"Replies in the version `{chosen}` preferred to `{settings.rejected}`.", ""]
    lines += [f"{conversations} conversations, {kept} pairs; {dropped} left out as too long or equal.", ""]
    lines += [f"Loss `{settings.loss}`, beta {settings.beta:g}, reference: {settings.reference}.", ""]
    return "\n".join(lines)
