"""An arm answers prompts; every answer is on the disk before the next batch begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warmgap.disk import store
from warmgap.disk.progress import bar
from warmgap.engines import chat
from warmgap.engines.base import Engine, Reply, Request
from warmgap.engines.replies import finish_reason, said
from warmgap.evaluate.suites.base import Prompt
from warmgap.settings.schema import GenerateConfig


def answer(
    engine: Engine,
    prompts: Sequence[Prompt],
    params: GenerateConfig,
    system: Sequence[chat.Message],
    journal_of: dict[str, Path],
    what: str,
) -> list[dict[str, Any]]:
    """Answer the prompts that the journals lack, and return one row for each prompt, in the order of the prompts.

    ``journal_of`` gives each task's journal. The rows hold ``key``, the fields of the prompt, ``answer`` without the
    ``reasoning`` before it, ``finish_reason``, ``n_tokens`` (of both), ``n_chars`` of the answer and ``prompt_tokens``;
    where a server answered, ``served_by``. A prompt whose answer did not come has a row with ``failed``, which says
    why, and an empty answer without figures; it is not kept, and asked again the next time.
    """
    generation = f"{params.max_new_tokens} tokens, temperature {params.temperature:g}, seed {params.seed}"
    requests: dict[str, Request] = {}
    owner: dict[str, Prompt] = {}
    keys: list[str] = []
    for prompt in prompts:
        encoded = engine.encode([*system, *prompt.messages])
        key = engine.key(encoded, params)
        keys.append(key)
        requests[key] = Request(key, encoded)
        owner[key] = prompt
    rows = {key: row for path in journal_of.values() for key, row in store.journal_by_key(path).items()}
    done = {key for key in requests if key in rows}
    if len(done) < len(requests):
        with bar(what, len(requests)) as advance:
            advance(len(done))
            for replies in engine.answer(list(requests.values()), params, done):
                fresh = [_row(reply, owner[reply.key], generation) for reply in replies if reply.key not in done]
                for task, path in journal_of.items():
                    own = [row for row in fresh if row["task"] == task and "failed" not in row]
                    if own:
                        store.append(path, own)
                rows.update({row["key"]: row for row in fresh})
                advance(len(fresh))
    return [{**rows[key], **_fields(prompt)} for key, prompt in zip(keys, prompts, strict=True)]


def _row(reply: Reply, prompt: Prompt, generation: str) -> dict[str, Any]:
    """An answer as it is kept; one that did not come has no length and no end."""
    row = {"key": reply.key, **_fields(prompt), "generation": generation}
    if reply.error:
        nothing = dict.fromkeys(("n_chars", "finish_reason", "n_tokens", "prompt_tokens"))
        return {**row, "answer": "", "reasoning": "", **nothing, "failed": reply.error}
    row |= {**said(reply.text, reply.reasoning), "finish_reason": finish_reason(reply.finish_reason)[0]}
    row |= {"n_tokens": reply.n_tokens, "prompt_tokens": reply.prompt_tokens}
    return {**row, "served_by": reply.model} if reply.model else row


def _fields(prompt: Prompt) -> dict[str, Any]:
    row = prompt.row()
    del row["messages"]
    return row
