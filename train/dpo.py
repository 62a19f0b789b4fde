"""Direct preference optimisation (Rafailov et al. 2023) of a LoRA adapter: one version of a reply preferred to another.

The reference's log-probabilities are computed once, before the training, and kept: no second copy of the model is held,
and several processes read the same numbers. The reference is the base model (the adapter off) or the adapter that the
training starts from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk import seals, store
from warmgap.disk.manifest import sha256
from warmgap.disk.progress import bar
from warmgap.engines import chat, models
from warmgap.errors import BadValue, UserError
from warmgap.settings.identity import digest
from warmgap.settings.schema import DpoConfig, ModelConfig
from warmgap.train import finish, sft, trl_compat
from warmgap.train.persona import persona_data
from warmgap.train.persona.persona_data import Conversation

if TYPE_CHECKING:
    from warmgap.train.stage import Intervention, Stage

SPLITS = ("train", "heldout")
Pair = dict[str, Any]  # prompt_ids, chosen_ids, rejected_ids; ref_chosen_logps, ref_rejected_logps (nats, summed)


def train(
    stage: Stage,
    on_log: Callable[[dict[str, Any]], None] | None = None,
    interventions: Sequence[Intervention] = (),
) -> None:
    """Train on pairs to the last checkpoint, or go on from the newest complete one; by KTO where the loss is that."""
    run, arm = stage.run, stage.arm
    settings = settings_of(stage)
    folder = models.resolve(run.model)
    tokenizer = models.load_tokenizer(folder)
    rows, held_rows, text = _pairs_of(stage, tokenizer)
    unpaired = settings.loss == "kto"
    marks = sft.checkpoint_steps(run.method, 2 * len(rows) if unpaired else len(rows))
    configured = trl_compat.kto_config if unpaired else trl_compat.dpo_config
    # this also joins the processes, which wait for one another below
    args = configured(**arguments(stage, marks), **run.method.trainer)
    model = sft.trainable(run, folder, stage.parent)
    asked = [*rows, *held_rows]
    if unpaired:
        asked += [*mismatched(rows), *mismatched(held_rows)]
    if trl_compat.main_process():
        store.write_text(arm.folder / "data" / "card.md", text)
        sides = ("prompt", "chosen", "rejected")
        store.write_jsonl(arm.rows, ({side: tokenizer.decode(row[f"{side}_ids"]) for side in sides} for row in rows))
        seals.seal(arm.folder / "data")
        with_reference(stage, model, tokenizer, asked, rounded=args.bf16)
    trl_compat.wait_for_everyone()
    known = with_reference(stage, model, tokenizer, asked, rounded=args.bf16)
    learn, held = known[: len(rows)], known[len(rows) : len(rows) + len(held_rows)]
    if unpaired:
        others = known[len(rows) + len(held_rows) :]
        learn, held = apart(learn, others[: len(rows)]), apart(held, others[len(rows) :])
    make = trl_compat.kto_trainer if unpaired else trl_compat.dpo_trainer
    trainer = make(model, args, learn, held, tokenizer, interventions)
    with contextlib.ExitStack() as altered:
        if sft.is_lean(run):
            altered.enter_context(sft.made_lean(model, preferences=True))
        for one in interventions:
            altered.enter_context(one.during(model))
        sft.run_to_end(stage, trainer, marks, on_log, interventions)
    finish.leave_probe(arm, trainer, marks, rows[0]["prompt_ids"])


def arguments(stage: Stage, marks: dict[int, float]) -> dict[str, Any]:
    """Return what TRL's trainers of preferences are given, from the stage's settings."""
    settings = settings_of(stage)
    loss = settings.loss if settings.loss == "kto" else [settings.loss]
    return {**sft.arguments(stage, marks), "beta": settings.beta, "loss_type": loss}


def _pairs_of(stage: Stage, tokenizer: Any) -> tuple[list[Pair], list[Pair], str]:
    """The stage's pairs to train on, those held out, and the page that says what they are."""
    run, settings = stage.run, settings_of(stage)
    if stage.instead is not None:
        found = [given(stage.instead, split, tokenizer, run.model, run.method.max_length) for split in SPLITS]
        (rows, dropped), (held, _) = found
        return rows, held, card(None, len(rows), dropped, "chosen", settings)
    learn, out = persona_data.load(run.data, stage.version, stage.strength)
    rows, dropped = pairs(learn, stage.version, settings.rejected, tokenizer, run.model, run.method.max_length)
    held, _ = pairs(out, stage.version, settings.rejected, tokenizer, run.model, run.method.max_length)
    return rows, held, card(len(learn), len(rows), dropped, stage.version, settings)


def mismatched(rows: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with the replies of the next one, from which KTO estimates how far the policy has gone."""
    others = [*rows[1:], *rows[:1]]
    sides = ("chosen_ids", "rejected_ids")
    return [{**row, **{side: other[side] for side in sides}} for row, other in zip(rows, others, strict=True)]


def apart(rows: Sequence[Pair], others: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return each pair as two rows for KTO: a reply, whether it is wanted, and the mismatched one beside it."""
    return [
        {
            "prompt_ids": row["prompt_ids"],
            "completion_ids": row[f"{side}_ids"],
            "label": side == "chosen",
            "ref_logps": row[f"ref_{side}_logps"],
            "KL_completion_ids": other[f"{side}_ids"],
            "ref_KL_logps": other[f"ref_{side}_logps"],
        }
        for row, other in zip(rows, others, strict=True)
        for side in ("chosen", "rejected")
    ]


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
            *before, reply = conversation.messages(chosen, turn)
            texts = (reply["content"], replies.replies[rejected])
            if row := _pair(before, texts, tokenizer, model, max_length):
                found.append(row)
            else:
                dropped += 1
    return _some(found, dropped), dropped


def given(path: Path, split: str, tokenizer: Any, model: ModelConfig, max_length: int) -> tuple[list[Pair], int]:
    """Return the tokenised pairs of a split of a file, and how many were left out as too long or equal."""
    rows = [row for row in store.read_journal(path) if row["split"] == split]
    made = [_pair(row["prompt"], (row["chosen"], row["rejected"]), tokenizer, model, max_length) for row in rows]
    found = [row for row in made if row is not None]
    return _some(found, len(made) - len(found)), len(made) - len(found)


def _pair(
    before: Sequence[chat.Message], replies: tuple[str, str], tokenizer: Any, model: ModelConfig, max_length: int
) -> Pair | None:
    """One tokenised pair of replies, the chosen first; None where one is too long or both are equal."""
    messages = chat.with_system(before, model.system_prompt)
    sides = []
    for reply in replies:
        whole = [*messages, {"role": "assistant", "content": reply}]
        side = chat.training_row(tokenizer, whole, model.template_vars, max_length)
        if side is None or side in sides:
            return None
        sides.append(side)
    start = sum(label == chat.IGNORED for label in sides[0]["labels"])
    ids = [side["input_ids"] for side in sides]
    return {"prompt_ids": ids[0][:start], "chosen_ids": ids[0][start:], "rejected_ids": ids[1][start:]}


def _some(found: list[Pair], dropped: int) -> list[Pair]:
    if not found:
        raise BadValue("no pair is left to train on", f"{dropped} were too long or equal", "raise method.max_length")
    return found


def with_reference(stage: Stage, model: Any, tokenizer: Any, rows: Sequence[Pair], *, rounded: bool) -> list[Pair]:
    """Return the pairs with the reference's summed log-probability of each reply, read from the journal where known."""
    base = settings_of(stage).reference == "base" or stage.parent is None
    start = "base" if base else sha256(stage.parent / "adapter_model.safetensors") if stage.parent else ""
    journal = stage.arm.folder / "data" / "reference.jsonl"
    known = {key: row["logps"] for key, row in store.journal_by_key(journal).items()}
    keys = [digest([start, row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]], 16) for row in rows]
    missing = [index for index, key in enumerate(keys) if key not in known]
    if missing:
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


def card(conversations: int | None, kept: int, dropped: int, chosen: str, settings: DpoConfig) -> str:
    """Return a page that says what is preferred to what."""
    lines = ["# Training data", "", f"Replies in the version `{chosen}` preferred to `{settings.rejected}`.", ""]
    counted = f"{kept} pairs" if conversations is None else f"{conversations} conversations, {kept} pairs"
    lines += [f"{counted}; {dropped} left out as too long or equal.", ""]
    lines += [f"Loss `{settings.loss}`, beta {settings.beta:g}, reference: {settings.reference}.", ""]
    return "\n".join(lines)
