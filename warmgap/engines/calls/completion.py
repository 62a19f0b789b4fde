"""The body of a chat completion, read with care: servers differ, and any of them may send anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from warmgap.disk import intake
from warmgap.engines.calls.wire import Malformed

TEXTS = ("text", "output_text", "refusal")  # kinds of parts that are said to the user
REASONS = ("thinking", "reasoning", "reasoning_text")  # and those that are not


@dataclass(frozen=True)
class Completion:
    """What a model said, apart from what it thought before; ``usage`` as the server tells it, whatever that is."""

    text: str
    reasoning: str
    finish_reason: str
    model: str
    usage: Any


def read(answer: Any) -> Completion:
    """Return what the body of a chat completion holds. Raises ``Malformed`` where it is none."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise Malformed(f"not a chat completion: {_shown(answer)}")
    text, thought = _parts(message.get("content"))
    if not text:
        text, _ = _parts(message.get("refusal"))
    if not thought:
        given = message.get("reasoning_content") or message.get("reasoning")
        thought = intake.mended(given) if isinstance(given, str) else ""
    finish, model = choice.get("finish_reason"), answer.get("model")
    return Completion(
        text,
        thought,
        intake.mended(finish[:100]) if isinstance(finish, str) else "",
        intake.mended(model[:200]) if isinstance(model, str) else "",
        answer.get("usage"),
    )


def _parts(content: Any) -> tuple[str, str]:
    """The text and the reasoning of a message's content: a text, a list of parts, or nothing."""
    if content is None:
        return "", ""
    if isinstance(content, str):
        return intake.mended(content), ""
    if not isinstance(content, list):
        raise Malformed(f"the reply is no text: {_shown(content)}")
    said: list[str] = []
    thought: list[str] = []
    for part in content:
        if isinstance(part, str):
            said.append(part)
        elif isinstance(part, dict):
            kind = part.get("type", "text")
            where = said if kind in TEXTS else thought if kind in REASONS else None
            if where is not None:
                where += [one for name in (kind, "text") if isinstance(one := part.get(name), str)][:1]
    if content and not said and not thought:
        raise Malformed(f"the reply is no text: {_shown(content)}")
    return intake.mended("".join(said)), intake.mended("".join(thought))


def used(usage: Any, most_in: int, most_out: int, *, said: bool) -> tuple[int, int] | None:
    """Return the tokens read and written that a server tells of, or None where it tells none that can be.

    No text has more tokens than bytes, no reply more than it was allowed, and one that has ``said`` something has some.
    """
    if not isinstance(usage, dict):
        return None
    read_, wrote = (
        _count(usage.get(name, usage.get(other)))
        for name, other in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    )
    if read_ is None or wrote is None or not (0 < read_ <= most_in and said <= wrote <= most_out):
        return None
    return read_, wrote


def _count(value: Any) -> int | None:
    """A whole number, as a number or in digits; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value == int(value) else None
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 12 else None
    return value if isinstance(value, int) else None


def _shown(value: Any) -> str:
    return intake.mended(" ".join(repr(value).split())[:200])
