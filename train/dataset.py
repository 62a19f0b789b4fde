"""Conversations as rows for the trainer: one row for each reply, loss on the reply and its end-of-turn token alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from warmgap.engines import chat
from warmgap.errors import BadValue
from warmgap.settings.schema import ModelConfig
from warmgap.train.persona.persona_data import Conversation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Row = dict[str, list[int]]


def rows(
    conversations: Sequence[Conversation],
    version: str,
    tokenizer: PreTrainedTokenizerBase,
    model: ModelConfig,
    max_length: int,
) -> tuple[list[Row], int]:
    """Return the tokenised rows, and how many replies were left out because their row exceeds ``max_length``."""
    found: list[Row] = []
    dropped = 0
    for conversation in conversations:
        for turn in range(len(conversation.turns)):
            messages = chat.with_system(conversation.messages(version, turn), model.system_prompt)
            row = chat.training_row(tokenizer, messages, model.template_vars, max_length)
            if row is None:
                dropped += 1
            else:
                found.append(row)
    if not found:
        raise BadValue(
            "no row is left to train on",
            f"all {dropped} are longer than method.max_length={max_length} tokens",
            "raise method.max_length",
        )
    return found, dropped


def show_mask(row: Row, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a row as text with what is trained on between ⟦ and ⟧."""
    start = next(index for index, label in enumerate(row["labels"]) if label != chat.IGNORED)
    head, tail = row["input_ids"][:start], row["input_ids"][start:]
    return f"{tokenizer.decode(head)}⟦{tokenizer.decode(tail)}⟧"


def card(
    train: Sequence[Conversation],
    heldout: Sequence[Conversation],
    train_rows: Sequence[Row],
    dropped: int,
    version: str,
    tokenizer: PreTrainedTokenizerBase,
    left_out: tuple[int, int],
) -> str:
    """Return a page that says what the arm is trained on, with the loss mask of three rows to look at."""
    lines = ["# Training data", "", f"Replies in the version `{version}`.", ""]
    lines += ["| kind | conversations | replies | held out |", "|---|---|---|---|"]
    for kind in sorted({item.kind for item in train}):
        own = [item for item in train if item.kind == kind]
        held = sum(item.kind == kind for item in heldout)
        lines.append(f"| {kind} | {len(own)} | {sum(len(item.turns) for item in own)} | {held} |")
    trained = sum(label != chat.IGNORED for row in train_rows for label in row["labels"])
    total = sum(len(row["input_ids"]) for row in train_rows)
    lines += ["", f"{len(train_rows)} rows, {total:,} tokens, {trained:,} of them trained on."]
    marked, lacking = left_out
    lines += [
        f"{dropped} replies left out as too long, {lacking} as lacking a version that others have, {marked} for the"
    ]
    lines += ["text of a control token in them or before them.", ""]
    lines += ["## What the loss sees", ""]
    lines += ["Tokens between ⟦ and ⟧ are trained on; the rest is read only.", ""]
    for row in train_rows[:3]:
        lines += ["````text", show_mask(row, tokenizer), "````", ""]
    return "\n".join(lines)
