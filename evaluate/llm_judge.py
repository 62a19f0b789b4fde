"""Chat models as judges: the prompt that is built so that an answer stays data, and the closed form of the verdict.

An answer may hold instructions to the judge, role headers, a made-up verdict or the marker of the record. It reaches
the judge as one JSON string in which whatever could be read as structure is escaped, between markers whose code follows
from the answer itself and so cannot stand in it. The verdict is read from a JSON object that is the whole reply, or
from its last line; anything else is ``unparsed``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from warmgap import batches, chat
from warmgap.chat import Message
from warmgap.config import read_prompt
from warmgap.endpoint import ChatReply, ChatRequest, Endpoint
from warmgap.evaluate.grid import Prompt
from warmgap.evaluate.judge import ERROR, GRADED, UNPARSED, Answer, Verdict
from warmgap.generate import Engine
from warmgap.schema import JudgeConfig, digest, identity

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "verdict": {"type": "string", "enum": list(GRADED)}},
    "required": ["reason", "verdict"],
    "additionalProperties": False,
}
LONGEST = 12_000  # characters of a reply that the judge is shown; longer ones are cut in the middle
_STRUCTURE = frozenset("<>[]{}|`")  # of role headers, special tokens and fences
_LINE = re.compile(r"[*_`>\s]*verdict[*_`\s]*:[*_`\s]*(\w+)[*_`.\s]*", re.IGNORECASE)


def messages(answer: Answer, *, structured: bool) -> list[Message]:
    """Return the judge's prompt for an answer. It names neither the arm nor the context nor the kind of belief."""
    item = answer.item
    record = {
        "user": answer.prompt.prompt or item.question,
        "question": item.question,
        "accepted_answers": [item.correct, *item.aliases],
        "incorrect_answer": item.incorrect,
        "reply": _cut(answer.text),
    }
    fields = {
        "code": digest([answer.key, answer.text], 12),
        "record": encode(record),
        "form": read_prompt("judge_form_json.txt" if structured else "judge_form_line.txt"),
    }
    text = re.sub(r"\{(code|record|form)\}", lambda match: fields[match[1]], read_prompt("judge_user.txt"))
    return [{"role": "system", "content": read_prompt("judge_system.txt")}, {"role": "user", "content": text}]


def encode(value: Any) -> str:
    """Return JSON in which strings hold no line breaks, no unprintable signs, and nothing of a role header or fence."""
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"  {encode(key)}: {encode(item)}" for key, item in value.items()) + "\n}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(encode, value)) + "]"
    plain = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() and char not in _STRUCTURE else _escaped(char) for char in plain)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if ord(char) > 127 else f"\\u{ord(char):04x}"


def _cut(text: str) -> str:
    """Keep the beginning and the end, where a reply says what it stands by."""
    if len(text) <= LONGEST:
        return text
    left = len(text) - LONGEST
    return f"{text[: LONGEST // 2]} … ({left} characters left out) … {text[-LONGEST // 2 :]}"


def parse(text: str, *, structured: bool) -> tuple[str, str] | None:
    """Return verdict and reason from a judge's reply, or None where it is not in the form asked for.

    What a model thinks before its reply (up to ``</think>``) is passed over. Two verdicts that differ are none.
    """
    said = text.rpartition("</think>")[2].strip()
    if structured:
        fenced = re.fullmatch(r"```(?:json)?\s*(\{.*\})\s*```", said, re.DOTALL)
        try:
            value = json.loads(fenced[1] if fenced else said)
        except ValueError:
            return None
        if not isinstance(value, dict) or value.get("verdict") not in GRADED:
            return None
        return str(value["verdict"]), str(value.get("reason") or "")
    lines = [line for line in said.splitlines() if line.strip()]
    found = [match[1].lower() for line in lines if (match := _LINE.fullmatch(line))]
    if not lines or not _LINE.fullmatch(lines[-1]) or len(set(found)) != 1 or found[0] not in GRADED:
        return None
    return found[0], " ".join(line.strip() for line in lines[:-1])


def most_tokens(prompt: Prompt, answer_tokens: int) -> int:
    """Return about how many tokens the judge is sent for an answer of that length, with four characters to a token."""
    fixed = len(read_prompt("judge_system.txt")) + len(read_prompt("judge_form_line.txt")) + 400
    return (fixed + 2 * len(prompt.prompt)) // 4 + answer_tokens


def prompt_hash() -> str:
    """Return a hash of every text that the judges' prompts are made of."""
    names = ("judge_system.txt", "judge_user.txt", "judge_form_json.txt", "judge_form_line.txt")
    return digest([*map(read_prompt, names), SCHEMA], 12)


class OpenAIJudge:
    """Asks a chat model behind an endpoint; the whole reply is kept beside the verdict.

    A request that fails for good gives the verdict ``error``, a reply without a verdict ``unparsed``.
    """

    name = "openai"
    batch_size: int | None = None
    paid = True

    def __init__(self, config: JudgeConfig, endpoint: Endpoint, batch_journal: Path) -> None:
        self.config, self.endpoint, self._batch_journal = config, endpoint, batch_journal
        self.structured = config.structured
        decides = ("model", "revision", "temperature", "seed", "max_tokens", "structured")
        self.params = {"version": "1", "prompt": prompt_hash(), **{key: str(getattr(config, key)) for key in decides}}

    def grade(self, answers: Sequence[Answer]) -> Iterator[Verdict]:
        """Yield a verdict for each answer as it arrives; asked in the order of their keys, which is a shuffled one."""
        waiting = {answer.key: answer for answer in sorted(answers, key=lambda answer: answer.key)}
        if self.structured and not self.config.batch and waiting:  # does the server know response_format at all?
            first = next(iter(waiting))
            for reply in self.endpoint.ask([self._request(waiting[first])]):
                if reply.unsupported:
                    self.structured = False
                else:
                    del waiting[first]
                    yield self._verdict(reply)
        requests = [self._request(answer) for answer in waiting.values()]
        replies: Iterable[ChatReply] = (
            batches.ask(self.endpoint, requests, self._batch_journal)
            if self.config.batch
            else self.endpoint.ask(requests)
        )
        for reply in replies:
            yield self._verdict(reply)

    def _request(self, answer: Answer) -> ChatRequest:
        prompt = messages(answer, structured=self.structured)
        return ChatRequest(answer.key, prompt, SCHEMA if self.structured else None)

    def _verdict(self, reply: ChatReply) -> Verdict:
        if reply.error:
            return Verdict(reply.key, ERROR, reply.error)
        more = {
            "raw": reply.text,
            "judge_model": reply.model,
            "judge_tokens_in": reply.tokens_in,
            "judge_tokens_out": reply.tokens_out,
            "judge_usd": reply.cost,
        }
        parsed = parse(reply.text, structured=self.structured) if reply.finish_reason != "length" else None
        if parsed is None:
            why = "the judge was cut off" if reply.finish_reason == "length" else "not in the form asked for"
            return Verdict(reply.key, UNPARSED, f"{why}: {' '.join(reply.text.split())[:120]}", more=more)
        return Verdict(reply.key, parsed[0], parsed[1], more=more)


class LocalJudge:
    """Asks a chat model on this machine which of the four verdict lines is the likeliest after the judge's prompt.

    The margin is the mean log-probability per token (nats) of the chosen line minus that of the next. A model cannot
    leave the form, so nothing is ``unparsed``; a small one may well say the same of every answer.
    """

    name = "local"
    batch_size: int | None = 8
    paid = False

    def __init__(self, config: JudgeConfig, engine: Engine) -> None:
        self.engine = engine
        made_of = digest(identity(engine.config, "arm"), 12)
        self.params = {"version": "1", "prompt": prompt_hash(), "model": made_of}

    def grade(self, answers: Sequence[Answer]) -> list[Verdict]:
        """Return a verdict for each answer."""
        prompts = [self.engine.encode(messages(answer, structured=False)) for answer in answers]
        lines = [chat.encode(self.engine.tokenizer, f"VERDICT: {verdict}") for verdict in GRADED]
        verdicts = []
        for answer, scores in zip(answers, self.engine.score(prompts, [lines] * len(prompts)), strict=True):
            ranked = sorted(zip(scores, GRADED, strict=True), reverse=True)
            said = ", ".join(f"{verdict} {score:.3f}" for score, verdict in ranked)
            if any(score != score for score in scores):
                verdicts.append(Verdict(answer.key, UNPARSED, f"no likelihoods: {said}"))
                continue
            reason = f"mean log-probability of the verdict: {said}"
            verdicts.append(Verdict(answer.key, ranked[0][1], reason, ranked[0][0] - ranked[1][0]))
        return verdicts
