"""An arm answers prompts; every answer is on the disk before the next batch begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warmgap.disk import store
from warmgap.disk.progress import bar
from warmgap.engines import chat
from warmgap.engines.hf import Engine, Request, answer_key
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
    ``reasoning`` before it, ``finish_reason``, ``n_tokens`` (of both), ``n_chars`` of the answer and ``prompt_tokens``.
    """
    generation = f"{params.max_new_tokens} tokens, temperature {params.temperature:g}, seed {params.seed}"
    requests: dict[str, Request] = {}
    owner: dict[str, Prompt] = {}
    keys: list[str] = []
    for prompt in prompts:
        ids = engine.encode([*system, *prompt.messages])
        key = answer_key(ids, params)
        keys.append(key)
        requests[key] = Request(key, ids)
        owner[key] = prompt
    rows = {key: row for path in journal_of.values() for key, row in store.journal_by_key(path).items()}
    done = {key for key in requests if key in rows}
    if len(done) < len(requests):
        with bar(what, len(requests)) as advance:
            advance(len(done))
            for replies in engine.answer(list(requests.values()), params, done):
                fresh = [
                    {
                        "key": reply.key,
                        **_fields(owner[reply.key]),
                        "generation": generation,
                        **said(reply.text),
                        "finish_reason": finish_reason(reply.finish_reason)[0],
                        "n_tokens": reply.n_tokens,
                        "prompt_tokens": len(requests[reply.key].ids),
                    }
                    for reply in replies
                    if reply.key not in done
                ]
                for task, path in journal_of.items():
                    own = [row for row in fresh if row["task"] == task]
                    if own:
                        store.append(path, own)
                rows.update({row["key"]: row for row in fresh})
                advance(len(fresh))
    return [{**rows[key], **_fields(prompt)} for key, prompt in zip(keys, prompts, strict=True)]


def _fields(prompt: Prompt) -> dict[str, Any]:
    row = prompt.row()
    del row["messages"]
    return row
