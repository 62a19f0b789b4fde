"""Text and tokens: the one place that knows chat templates.

A prompt and a reply are tokenised apart and joined as ids, in training as in evaluation, so that the ids of a prompt
are the same in both and no second beginning-of-text token slips in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from warmgap.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = dict[str, str]  # role, content
IGNORED = -100  # label of a token that is not trained on
_CONTROL = re.compile(
    r"<\|[^\s|<>]{1,40}\|>|<\uff5c[^\s<>]{1,40}\uff5c>|"  # ChatML, Llama 3, Phi, Cohere, gpt-oss, GLM; DeepSeek
    r"</?s>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|IMG|THINK)\]|<</?SYS>>|"
    r"<(?:start|end)_of_(?:turn|image|role|text)>|<(?:bos|eos|pad|unk)>|<unused\d+>|<extra_id_\d+>|"  # Gemma, T5
    r"</?(?:think|tool_call|tool_response)>|"
    r"\[(?:gMASK|BOS|EOS|PAD|UNK)\]"
)


def with_system(messages: Sequence[Message], system_prompt: str | None) -> list[Message]:
    """Return the messages with a system message before them, if there is a system prompt."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, *messages]


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], template_vars: dict[str, str]) -> str:
    """Render messages up to the point at which the assistant begins to speak."""
    return _render(tokenizer, messages, template_vars, add_generation_prompt=True)


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Turn rendered text into token ids; special tokens come from the text alone."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], template_vars: dict[str, str]
) -> list[int]:
    """Return the token ids of a prompt, the header of the assistant's turn included."""
    return encode(tokenizer, prompt_text(tokenizer, messages, template_vars))


def training_row(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], template_vars: dict[str, str], max_length: int
) -> dict[str, list[int]] | None:
    """Return ``input_ids`` and ``labels`` of one prompt and its reply, the last message.

    Labels cover the reply and its end-of-turn token alone. What precedes them is the prompt of evaluation; the reply is
    rendered without a system prompt, for Mistral's template writes that into the last message alone and drops it once a
    reply follows. None if the row is longer than ``max_length``: a row cut off would teach the model to stop in the
    middle, or nothing at all.
    """
    spoken = [message for message in messages if message["role"] != "system"]
    before = _render(tokenizer, spoken[:-1], template_vars, add_generation_prompt=True)
    whole = _render(tokenizer, spoken, template_vars, add_generation_prompt=False)
    if not whole.startswith(before):
        raise UserError(
            "the chat template cannot be trained on",
            "with the reply, it does not begin with the prompt that it renders without the reply",
            "use a model whose template renders turns one after another",
        )
    head, tail = prompt_ids(tokenizer, messages[:-1], template_vars), encode(tokenizer, whole[len(before) :])
    ends = end_ids(tokenizer)
    last = max((index for index, token in enumerate(tail) if token in ends), default=None)
    if last is None:
        raise UserError(
            "the chat template cannot be trained on",
            f"it ends a reply with none of the tokens {sorted(ends)} at which generation stops",
            "use an instruction-tuned model, whose template ends each turn with its end-of-turn token",
        )
    tail = tail[: last + 1]
    if len(head) + len(tail) > max_length:
        return None
    return {"input_ids": head + tail, "labels": [IGNORED] * len(head) + tail}


def end_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the ids at which an answer ends: the end-of-text token and the family's end-of-turn token."""
    turn_ends = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>")
    vocabulary = tokenizer.get_vocab()
    found = {vocabulary[token] for token in turn_ends if token in vocabulary}
    if tokenizer.eos_token_id is not None:
        found.add(int(tokenizer.eos_token_id))
    return found


def header_ids(tokenizer: PreTrainedTokenizerBase, template_vars: dict[str, str]) -> list[int]:
    """Return the ids with which the template opens the assistant's turn; none where it opens it with nothing."""
    messages = [{"role": "user", "content": "?"}]
    opened = _render(tokenizer, messages, template_vars, add_generation_prompt=True)
    closed = _render(tokenizer, messages, template_vars, add_generation_prompt=False)
    return encode(tokenizer, opened[len(closed) :]) if opened.startswith(closed) else []


def without_header(ids: list[int], header: Sequence[int]) -> list[int]:
    """Return the ids of an answer without the header of a turn that a model has written before it once more."""
    while header and ids[: len(header)] == list(header):
        ids = ids[len(header) :]
    return ids


def _render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    template_vars: dict[str, str],
    *,
    add_generation_prompt: bool,
) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            f"{tokenizer.name_or_path} has no chat template",
            "it is not a chat model, so there is no way to put questions to it",
            "choose an instruction-tuned model",
        )
    settings: dict[str, Any] = {**template_vars, "tokenize": False, "add_generation_prompt": add_generation_prompt}
    return str(tokenizer.apply_chat_template(list(messages), **settings))


def control_token(text: str) -> str | None:
    """Return the first control token of any family whose text stands in a text, or None.

    A tokenizer reads such a text as the token itself: a reply that only speaks of the end of a turn would be trained to
    end it.
    """
    found = _CONTROL.search(text)
    return found[0] if found else None
