"""Closed questions to a chat model about a text: the prompt in which the text stays data, and the form of the reply.

A text may hold instructions to the judge, role headers, a made-up verdict or the marker of the record. It reaches the
judge as one JSON string in which whatever could be read as structure is escaped, between markers whose code follows
from the text itself and so cannot stand in it. The choice is read from a JSON object that is the whole reply, or from
its last line; anything else is no choice.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from warmgap.disk import intake
from warmgap.disk.progress import say
from warmgap.engines import batches
from warmgap.engines.base import Engine
from warmgap.engines.chat import Message
from warmgap.engines.client import ChatReply, ChatRequest, Endpoint
from warmgap.engines.replies import LENGTH, finish_reason, split_reasoning
from warmgap.settings.conf_files import read_prompt
from warmgap.settings.identity import digest
from warmgap.settings.schema import EndpointConfig

LONGEST = 12_000  # characters of a text that the judge is shown; longer ones are cut in the middle
FORMS = ("judge_form_json.txt", "judge_form_line.txt")
_STRUCTURE = frozenset("<>[]{}|`")  # of role headers, special tokens and fences
_FENCED = re.compile(r"(?:(?!```).)*```(?:json)?\s*(\{(?:(?!```).)*\})\s*```", re.DOTALL)  # one block, at the end
_LINE = re.compile(r"[*_`>\s]*verdict[*_`\s]*:[*_`\s]*(\w+)[*_`.\s]*", re.IGNORECASE)

Record = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """What is asked of a record: ``system`` names the prompt in ``conf/prompts``, ``choices`` are the verdicts."""

    system: str
    choices: tuple[str, ...]

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a reply."""
        verdict = {"type": "string", "enum": list(self.choices)}
        properties = {"reason": {"type": "string"}, "verdict": verdict}
        return {
            "type": "object",
            "properties": properties,
            "required": ["reason", "verdict"],
            "additionalProperties": False,
        }

    @property
    def version(self) -> str:
        """A hash of every text that its prompt is made of."""
        texts = [read_prompt(name) for name in (self.system, "judge_user.txt", *FORMS)]
        return digest([*texts, list(self.choices)], 12)

    def messages(self, key: str, record: Record, *, structured: bool) -> list[Message]:
        """Return the prompt for a record; ``key`` keeps apart records that are equal."""
        listed = ", ".join(self.choices[:-1]) + f" or {self.choices[-1]}"
        form = read_prompt(FORMS[0]).replace("{choices}", listed)
        if not structured:
            form = read_prompt(FORMS[1]).replace("{lines}", "\n".join(f"VERDICT: {choice}" for choice in self.choices))
        fields = {"code": digest([key, record], 12), "record": encode(record), "form": form}
        text = re.sub(r"\{(code|record|form)\}", lambda match: fields[match[1]], read_prompt("judge_user.txt"))
        return [{"role": "system", "content": read_prompt(self.system)}, {"role": "user", "content": text}]


@dataclass(frozen=True)
class Choice:
    """What a model chose: ``verdict``, or None with the reason why there is none; ``failed`` where it was not heard.

    ``margin`` is a graded score where there is one. ``more`` holds the raw reply and what it cost.
    """

    key: str
    verdict: str | None
    reason: str
    failed: bool = False
    margin: float | None = None
    more: dict[str, Any] = field(default_factory=dict)


class Chooser(Protocol):
    """A chat model that answers closed questions. ``params`` is all that decides its choices besides the question."""

    name: str
    params: dict[str, str]
    batch_size: int | None
    paid: bool

    def choose(self, question: Question, records: Mapping[str, Record]) -> Iterable[Choice]:
        """Give one choice for each record, by its key, as they become known."""
        ...


def encode(value: Any) -> str:
    """Return JSON in which strings hold no line breaks, no unprintable signs, and nothing of a role header or fence."""
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"  {encode(key)}: {encode(item)}" for key, item in value.items()) + "\n}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(encode, value)) + "]"
    plain = json.dumps(value, ensure_ascii=False)
    bad = [char for char in set(plain) if char in _STRUCTURE or not char.isprintable()]
    return plain.translate({ord(char): _escaped(char) for char in bad}) if bad else plain


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if ord(char) > 127 else f"\\u{ord(char):04x}"


def cut(text: str) -> str:
    """Keep the beginning and the end of a very long text: there it says what it stands by."""
    if len(text) <= LONGEST:
        return text
    left = len(text) - LONGEST
    return f"{text[: LONGEST // 2]} … ({left} characters left out) … {text[-LONGEST // 2 :]}"


def parse(text: str, choices: tuple[str, ...], *, structured: bool) -> tuple[str, str] | None:
    """Return verdict and reason from a model's reply, or None where it is not in the form asked for.

    What a model thinks before its reply is passed over. Two verdicts that differ are none.
    """
    said = split_reasoning(text).answer.strip()
    if structured:
        fenced = _FENCED.fullmatch(said)
        try:
            value = intake.parse(fenced[1] if fenced else said)
        except ValueError:
            return None
        if not isinstance(value, dict) or value.get("verdict") not in choices:
            return None
        return str(value["verdict"]), str(value.get("reason") or "")
    lines = [line for line in said.splitlines() if line.strip()]
    found = [match[1].lower() for line in lines if (match := _LINE.fullmatch(line))]
    if not lines or not _LINE.fullmatch(lines[-1]) or len(set(found)) != 1 or found[0] not in choices:
        return None
    return found[0], " ".join(line.strip() for line in lines[:-1])


class Remote:
    """A model behind an endpoint; its whole reply is kept beside the choice."""

    name = "openai"
    batch_size: int | None = None
    paid = True

    def __init__(self, config: EndpointConfig, endpoint: Endpoint, batch_journal: Path) -> None:
        self.config, self.endpoint, self._batch_journal = config, endpoint, batch_journal
        self.structured = config.structured
        decides = ("model", "revision", "temperature", "seed", "max_tokens", "structured")
        self.params = {key: str(getattr(config, key)) for key in decides}

    def choose(self, question: Question, records: Mapping[str, Record]) -> Iterator[Choice]:
        """Yield choices as they arrive; asked in the order of the keys: shuffled, where keys are hashes."""
        waiting = dict(sorted(records.items()))
        if self.structured and not self.config.batch and waiting:  # does the server know response_format at all?
            first = next(iter(waiting))
            for reply in self.endpoint.ask([self._request(question, first, waiting[first])]):
                if reply.unsupported:
                    self.structured = False
                else:
                    yield self._first(question, reply, waiting.pop(first))
        requests = (self._request(question, key, record) for key, record in waiting.items())  # made while others wait
        replies: Iterable[ChatReply] = (
            batches.ask(self.endpoint, list(requests), self._batch_journal)
            if self.config.batch
            else self.endpoint.ask(requests)
        )
        for reply in replies:
            yield self._choice(question, reply)

    def _first(self, question: Question, reply: ChatReply, record: Record) -> Choice:
        """Return the first choice. A server that passes over the form is asked for a last line, if that comes."""
        choice = self._choice(question, reply)
        if choice.failed or choice.verdict is not None or finish_reason(reply.finish_reason)[0] == LENGTH:
            return choice
        self.structured = False
        for other in self.endpoint.ask([self._request(question, reply.key, record)]):
            paid = None if reply.cost is None else reply.cost + (other.cost or 0.0)
            into, out = reply.tokens_in + other.tokens_in, reply.tokens_out + other.tokens_out
            both = dataclasses.replace(other, cost=paid, tokens_in=into, tokens_out=out)
            if (found := self._choice(question, both)).verdict is not None:
                say(f"{self.config.model} passes over the form of a reply; it is asked for a last line")
                return found
            self.structured = True
            choice = self._choice(question, dataclasses.replace(reply, cost=paid, tokens_in=into, tokens_out=out))
        self.structured = True
        return choice

    def _request(self, question: Question, key: str, record: Record) -> ChatRequest:
        prompt = question.messages(key, record, structured=self.structured)
        return ChatRequest(key, prompt, question.schema if self.structured else None)

    def _choice(self, question: Question, reply: ChatReply) -> Choice:
        if reply.error:
            return Choice(reply.key, None, reply.error, failed=True)
        more = {
            "raw": reply.text,
            "judge_model": reply.model,
            "judge_tokens_in": reply.tokens_in,
            "judge_tokens_out": reply.tokens_out,
            "judge_usd": reply.cost,
        }
        whole = finish_reason(reply.finish_reason)[0] != LENGTH
        parsed = parse(reply.text, question.choices, structured=self.structured) if whole else None
        if parsed is None:
            why = "not in the form asked for" if whole else "the judge was cut off"
            return Choice(reply.key, None, f"{why}: {' '.join(reply.text.split())[:120]}", more=more)
        return Choice(reply.key, *parsed, more=more)


class Local:
    """A chat model on this machine: the likeliest of the verdict lines after the same prompt.

    The margin is the mean log-probability per token (nats) of the chosen line minus that of the next. A model cannot
    leave the form so; a small one may well say the same of everything.
    """

    name = "local"
    batch_size: int | None = 8
    paid = False

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.params = {"model": digest(engine.made_by, 12)}

    def choose(self, question: Question, records: Mapping[str, Record]) -> Iterator[Choice]:
        """Yield a choice for each record, so many of them scored at once."""
        lines = [f"VERDICT: {choice}" for choice in question.choices]
        keys, size = list(records), self.batch_size or 8
        for start in range(0, len(keys), size):
            some = keys[start : start + size]
            prompts = [self.engine.encode(question.messages(key, records[key], structured=False)) for key in some]
            for key, scores in zip(some, self.engine.score(prompts, [lines] * len(prompts)), strict=True):
                yield _likeliest(key, scores, question.choices)


def _likeliest(key: str, scores: list[float], choices: tuple[str, ...]) -> Choice:
    ranked = sorted(zip(scores, choices, strict=True), reverse=True)
    said = ", ".join(f"{choice} {score:.3f}" for score, choice in ranked)
    if any(score != score for score in scores):
        return Choice(key, None, f"no likelihoods: {said}")
    reason = f"mean log-probability of the verdict: {said}"
    return Choice(key, ranked[0][1], reason, margin=ranked[0][0] - ranked[1][0])
