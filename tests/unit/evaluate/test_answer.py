"""What is kept of an arm's replies: the answer apart from the reasoning, and why it ended in one word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from warmgap.disk import store
from warmgap.engines.base import Reply, Request
from warmgap.evaluate.answer import answer
from warmgap.evaluate.suites.base import Prompt
from warmgap.settings.schema import GenerateConfig

SAID = ["<think>Is it A?</think>\nB.", "<think>Is it A? Let me", "B."]
ENDED = ["stop", "length", "max_tokens"]


class Scripted:
    """Replies in the order in which it is asked."""

    def encode(self, messages: Sequence[dict[str, str]]) -> list[int]:
        return list(messages[-1]["content"].encode())

    def key(self, prompt: list[int], params: Any) -> str:
        return bytes(prompt).decode()

    def answer(self, requests: list[Request], params: Any, done: set[str]) -> Iterator[list[Reply]]:
        yield [
            Reply(one.key, text, 9, ended) for one, text, ended in zip(requests, SAID, ENDED, strict=True)
        ]  # fmt: skip


def test_reasoning_is_kept_beside_the_answer_and_counts_for_no_length(tmp_path: Path) -> None:
    prompts = [Prompt("t", str(number), "f", "none", "", "none", f"Question {number}?") for number in range(3)]
    journal = tmp_path / "t.jsonl"
    params = GenerateConfig(max_new_tokens=9, temperature=0.0)
    engine: Any = Scripted()
    rows = answer(engine, prompts, params, [], {"t": journal}, "answers")
    assert [row["answer"] for row in rows] == ["B.", "", "B."]
    assert [row["reasoning"] for row in rows] == ["<think>Is it A?</think>", "<think>Is it A? Let me", ""]
    assert [row["n_chars"] for row in rows] == [2, 0, 2]
    assert [row["finish_reason"] for row in rows] == ["stop", "length", "length"]
    assert [row["reasoning"] for row in store.read_journal(journal)] == [row["reasoning"] for row in rows]
