"""What a model's reply is made of: its reasoning and its answer; and why it ended, in one word for all servers."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, NamedTuple

STOP, LENGTH, FILTERED = "stop", "length", "content_filter"


class SplitReply(NamedTuple):
    """A reply's answer, and the reasoning before it as it was written, marks included; empty where there is none."""

    answer: str
    reasoning: str


# Marks between which families reason: DeepSeek, Qwen and others; Magistral; Sky-T1; Phi; Gemma 3 and 4; prompts.
_NAMES = r"think|thinking|thought|thoughts|reasoning|reason|reflection|scratchpad|analysis|seed:think|antthinking"
_OPENS = re.compile(
    rf"<(?:{_NAMES})>|\[THINK\]|<\|begin_of_thought\|>|<\|start_thinking\|>|<unused94>(?:thought\b)?|"
    r"<\|channel>(?:thought\b)?|◁think▷",
    re.IGNORECASE,
)
_CLOSES = re.compile(
    rf"</(?:{_NAMES})>|\[/THINK\]|<\|end_of_thought\|>|<\|end_thinking\|>|<unused95>|<channel\|>|◁/think▷",
    re.IGNORECASE,
)
# gpt-oss: <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…; without the special
# tokens, as servers decode it: "analysis…assistantfinal…".
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*(?:<\|message\|>)?")
_FINAL = re.compile(r"<\|channel\|>\s*final[^<]*<\|message\|>|\bassistantfinal", re.IGNORECASE)
_BARE = re.compile(r"\s*analysis(?=[A-Z\"'(])|\s*analysis\b(?=.*assistantfinal)", re.DOTALL)
_ENDS = re.compile(
    r"<\|(?:end|return|call|begin_of_solution|end_of_solution|start_response|end_response)\|>|</?answer>"
)


def split_reasoning(text: str) -> SplitReply:
    """Part a reply's answer from the reasoning before it, by the marks of any family; texts without marks stay whole.

    What stands behind the last closing mark is the answer, opened or not. Behind an opening mark that nothing closes
    there is no answer.
    """
    final = _last(_FINAL, text)
    if final and (_CHANNEL.search(text) or _BARE.match(text)):
        before = text[: final.end()].strip() if text[: final.start()].strip() else ""
        return SplitReply(_ENDS.sub("", text[final.end() :]).strip(), before)
    if (channel := _CHANNEL.search(text)) and channel[1].lower() != "final":
        return SplitReply(text[: channel.start()].removesuffix("<|start|>assistant").strip(), text[channel.start() :])
    closing = _last(_CLOSES, text)
    head, tail = ("", text) if closing is None else (text[: closing.end()], text[closing.end() :])
    before = ""
    if head and (first := _OPENS.search(head)):  # what was said before it began to reason is part of the answer
        before, head = head[: first.start()].strip(), head[first.start() :]
    if opening := _OPENS.search(tail):
        head, tail = head + tail[opening.start() :], tail[: opening.start()]
    if not head:
        return SplitReply(text, "")
    answer = "\n".join(part for part in (before, _ENDS.sub("", tail).strip()) if part)
    return SplitReply(answer, head.strip())


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next(iter(deque(pattern.finditer(text), maxlen=1)), None)


def said(text: str, told: str = "") -> dict[str, Any]:
    """Return what is kept of a reply's text: ``answer`` and ``reasoning`` apart, and ``n_chars`` of the answer.

    ``told`` is the reasoning that came beside the text.
    """
    answer, reasoning = split_reasoning(text)
    reasoning = "\n".join(part for part in (told, reasoning) if part)
    return {"answer": answer, "reasoning": reasoning, "n_chars": len(answer)}


_WORDS = {
    STOP: "stop end_turn eos eos_token stop_sequence stop_token completed complete finished end finish_reason_stop",
    LENGTH: "length max_tokens max_output_tokens model_length max_length incomplete max_new_tokens token_limit "
    "finish_reason_max_tokens model_context_window_exceeded context_length_exceeded context_length truncated",
    FILTERED: "content_filter content_filtered safety refusal recitation blocklist prohibited_content spii blocked "
    "guardrail_intervened error_toxic image_safety language",
}
_MEANS = {word: name for name, words in _WORDS.items() for word in words.split()}


def finish_reason(said: Any) -> tuple[str, bool]:
    """Return why a reply ended, in our word for it, and whether the server's word is known.

    ``stop`` (the model ended it), ``length`` (cut off) or ``content_filter``; a word that nobody knows stays as it is,
    an absent one is "".
    """
    plain = "" if said is None or said != said else str(said).strip()
    word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain).lower().replace("-", "_").rpartition(".")[2]
    return (_MEANS[word], True) if word in _MEANS else (plain, not plain)


def unknown_reasons(given: Iterable[Any]) -> list[str]:
    """Return a note for each word for how a reply ended that is none of ours, with its count."""
    counts = Counter(finish_reason(word)[0] for word in given if not finish_reason(word)[1])
    return [
        f"finish_reason {word!r} of {n:,} answers is not known: it counts as neither finished nor cut"
        for word, n in sorted(counts.items())
    ]
