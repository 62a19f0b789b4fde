"""Chat models behind an OpenAI-compatible endpoint: many requests at once, retried, paid for within a cap.

A vendor's API, vLLM, SGLang and llama.cpp's server speak the same protocol. ``Endpoint.ask`` yields each reply as it
arrives, so that whoever keeps them loses nothing that was paid for when the run is stopped. How one exchange goes, what
a body holds and what it costs is in ``calls``.
"""

from __future__ import annotations

import asyncio
import json
import queue
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmgap import hidden
from warmgap.disk.progress import say
from warmgap.engines.calls import completion, wire
from warmgap.engines.calls.background import Background
from warmgap.engines.calls.costs import CapReached, Meter, costs_noted
from warmgap.engines.calls.line import Line
from warmgap.engines.calls.wire import Broken, Failed, Malformed, Refused, error_text, retry_after
from warmgap.engines.chat import Message
from warmgap.errors import UserError
from warmgap.settings.schema import EndpointConfig

if TYPE_CHECKING:
    import aiohttp

__all__ = (
    "CapReached", "ChatReply", "ChatRequest", "Endpoint", "Malformed", "Meter",
    "check", "check_key", "costs_noted", "dated", "error_text", "key_of", "priced", "retry_after",
)  # fmt: skip

LONGEST_WAIT = 600.0  # seconds; a server that asks for more is taken for one that does not answer
FIRST_WAIT, MOST_WAIT = 0.5, 30.0  # seconds, where a server does not say how long to wait
GIVE_UP_AFTER = 8  # requests in a row that failed for good: the endpoint is down, not the question at fault
REJECTED = 40  # requests in a row that it found invalid: a filter may reject a few, not all of them
_DATE = re.compile(r"(?:^|[-_@:])(?:20\d\d-\d\d-\d\d|20\d{6}|2[3-9](?:0[1-9]|1[0-2]))(?:$|[-_@:.])")
_UNKNOWN = re.compile(
    r"unknown|unrecogni[sz]ed|unexpected|unsupported|not (?:be )?(?:supported|permitted|allowed|accepted|implemented)|"
    r"(?:does|do|did) ?n[o']t (?:support|accept|take|allow)|no support|extra|invalid (?:param|field|argument)|"
    r"cannot be (?:used|set)|only the default|use .{0,40}instead",
    re.I,
)
_FORM = re.compile(r"response_?format|json_?schema|grammar|guided|structured", re.I)
CHARACTERS_PER_TOKEN = 3.0  # on the safe side for English, to say beforehand what is to be paid
ADDED = 256, 16  # tokens that a server may add to a request, and to each message: its template, marks of roles


@dataclass(frozen=True)
class ChatRequest:
    """What is asked: messages, and a JSON schema that the reply has to fit where the server can see to that."""

    key: str
    messages: list[Message]
    schema: dict[str, Any] | None = None

    @property
    def most_tokens(self) -> int:
        """As many tokens as it can have at most: no text has more than bytes."""
        size = sum(len(message["content"].encode("utf-8", "replace")) + ADDED[1] for message in self.messages)
        return size + ADDED[0] + (len(json.dumps(self.schema)) if self.schema else 0)


@dataclass(frozen=True)
class ChatReply:
    """What came back: ``text``, or ``error`` where nothing did. Costs in US dollars, None where no price is set.

    ``reasoning`` is what a server tells of it beside the text. ``unsupported`` names a request field that the server
    does not know.
    """

    key: str
    text: str = ""
    finish_reason: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None
    model: str = ""
    error: str = ""
    unsupported: str = ""
    reasoning: str = ""


class Endpoint:
    """One endpoint with its key, prices and meter. ``group`` is the settings group that errors speak of.

    A ``meter`` that is given goes on counting, and what it has counted is part of what ``max_cost`` caps. A temperature
    or seed that the model does not take is left out, with a word on the terminal; where that would make other answers
    than were asked for, ``omit`` is what to type instead.
    """

    def __init__(self, config: EndpointConfig, group: str, meter: Meter | None = None, omit: str = "") -> None:
        check(config, group)
        check_key(config)
        self.config, self.group, self.meter = config, group, meter or Meter()
        if priced(config):
            self.meter.spent = self.meter.spent or 0.0
        self._omit, self._length_field = omit, "max_tokens"
        self._left_out: set[str] = set()
        self._said: set[str] = set()
        self._line: Line[ChatRequest] | None = None
        self._failures = 0

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """US dollars for so many tokens, or None where no price is set."""
        if not priced(self.config):
            return None
        price_in, price_out = self.config.price_in or 0.0, self.config.price_out or 0.0
        return (tokens_in * price_in + tokens_out * price_out) / 1e6

    def dearest(self, request: ChatRequest) -> float:
        """US dollars that a request can cost at most; 0 where no price is set."""
        return self.cost(request.most_tokens, self.config.max_tokens) or 0.0

    def ask(self, requests: Iterable[ChatRequest]) -> Iterator[ChatReply]:
        """Yield one reply for each request, in the order of arrival; at most ``concurrency`` are under way.

        They go on while the caller keeps what has come, up to as many replies as may be under way: a process that is
        killed has paid for 2 × ``concurrency`` + 1 that are not kept, at most. Raises UserError when the endpoint
        refuses the key or the model, or does not answer at all, and ``CapReached`` before a request that could go over
        ``max_cost``; replies under way by then are waited for and yielded first.
        """
        came: queue.SimpleQueue[ChatReply | BaseException | None] = queue.SimpleQueue()
        work = Background(lambda: self._replies(iter(requests), came), came)
        self.meter.under_way.append(work.stop)
        try:
            while (one := came.get()) is not None:
                if isinstance(one, BaseException):
                    raise one
                yield one
        finally:
            work.stop()
            self.meter.under_way.remove(work.stop)

    async def _replies(self, waiting: Iterator[ChatRequest], came: queue.SimpleQueue[Any]) -> None:
        """Put each reply where the caller takes it from."""
        limit = self.config.concurrency
        line = self._line = Line(waiting, limit, self.reserve, lambda: came.qsize() > limit)
        async with wire.session(self.config.timeout, self._headers()) as through:
            workers = [asyncio.create_task(self._work(through, line, came)) for _ in range(limit)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        if line.stopped is not None:
            raise line.stopped

    async def _work(
        self, through: aiohttp.ClientSession, line: Line[ChatRequest], came: queue.SimpleQueue[Any]
    ) -> None:
        """Send one request after another."""
        while (turn := await line.next()) is not None:
            wait = None
            try:
                reply = await self._one(through, turn.request, turn.attempt)
                if isinstance(reply, ChatReply):
                    came.put(reply)
                else:
                    wait = reply
            except Exception as error:
                if line.stopped is None or not isinstance(error, UserError):
                    line.stopped = error
            finally:
                line.done(turn, wait)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {key_of(self.config) or 'none'}", "Content-Type": "application/json"}

    def reserve(self, request: ChatRequest) -> float:
        """Set money aside for a request at its dearest; raise CapReached where there is not enough."""
        dearest = self.dearest(request)
        self.meter.reserve(dearest, self.group, self.config.max_cost)
        return dearest

    async def _one(self, through: aiohttp.ClientSession, request: ChatRequest, attempt: int) -> ChatReply | float:
        """Send a request, for which money is set aside; return the reply, or in how many seconds to send it again."""
        dearest, url = self.dearest(request), wire.under(self.config.base_url, "/chat/completions")
        try:
            while True:
                body = self.body(request)
                try:
                    said = await wire.exchange(through, "POST", url, json.dumps(body).encode())
                    reply = self.read(request.key, wire.understood(said), request)
                    self.count(reply)
                    return reply
                except Refused as error:
                    if not self._adapted(error, body):
                        return self._after(error, request, attempt)
                except (Broken, Malformed) as error:
                    if error.taken:
                        self.meter.presume(dearest)
                    return self._after(error, request, attempt)
        except asyncio.CancelledError:
            self.meter.presume(dearest)
            raise
        finally:
            self.meter.free(dearest)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """Return what is sent for a request."""
        config = self.config
        body: dict[str, Any] = {"model": config.model, "messages": request.messages}
        body[self._length_field] = config.max_tokens
        for name in ("temperature", "seed"):
            if getattr(config, name) is not None and name not in self._left_out:
                body[name] = getattr(config, name)
        if request.schema is not None:
            form = {"name": "reply", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body

    def read(self, key: str, answer: Any, request: ChatRequest | None, most: float | None = None) -> ChatReply:
        """Turn the body of a chat completion into a reply. Raises ``Malformed`` for another.

        A reply whose usage is not told, or cannot be, costs what was set aside for its request, or ``most``.
        """
        found = completion.read(answer)
        most_in = request.most_tokens if request is not None else 10**9
        said = bool(found.text or found.reasoning)
        tokens = completion.used(found.usage, most_in, self.config.max_tokens, said=said)
        if tokens is None:
            if found.usage is not None:
                self._say("usage", f"the usage that {self.config.model} tells of cannot be; what was set aside counts")
            cost = None if not priced(self.config) else self.dearest(request) if request is not None else most
        else:
            cost = self.cost(*tokens)
        counts = tokens or (0, 0)
        return ChatReply(key, found.text, found.finish_reason, *counts, cost, found.model, reasoning=found.reasoning)

    def count(self, reply: ChatReply) -> None:
        """Add a reply to the meter."""
        self._failures = 0
        self.meter.add((reply.tokens_in, reply.tokens_out), reply.cost, clear=reply.tokens_in > 0)

    def _say(self, what: str, text: str) -> None:
        """Say something once."""
        if what not in self._said:
            self._said.add(what)
            say(f"{self.group}: {text}")

    def _adapted(self, error: Refused, body: dict[str, Any]) -> bool:
        """Whether a request that was found invalid can be sent in another way: without what the server does not take.

        Each field is left out once for all requests, with a word on the terminal.
        """
        if error.status_code not in (400, 404, 405, 422, 501):
            return False
        param, text = error.param.rpartition(".")[2], error.text
        named = f"{param} {text}"
        if "max_tokens" in body and "max_completion_tokens" in named:
            self._length_field = "max_completion_tokens"
            self._say("max_tokens", f"{self.config.model} takes max_completion_tokens for max_tokens")
            return True
        for name in ("temperature", "seed"):
            unknown = _UNKNOWN.search(text) and re.search(rf"(?<!\w){name}(?!\w)", text)
            if name in body and (param == name or unknown):
                if self._omit:
                    fix = f"{self._omit.format(name=name)}, or choose another model"
                    raise UserError(f"{self.config.model} does not take {name}", text, fix) from error
                self._left_out.add(name)
                self._say(name, f"{self.config.model} does not take {name}; it answers without")
                return True
        return False

    def _after(self, error: Failed, request: ChatRequest, attempt: int) -> float | ChatReply:
        """Return what follows an error: seconds to wait before the next attempt, or a reply that says why none came."""
        status, text = error.status_code, error_text(error)
        self._stop_for(error, status, text)
        if status in (400, 405, 413, 422, 501):
            return self._rejected(error, text, request)
        again = isinstance(error, (Broken, Malformed)) or status in (408, 409, 425, 429) or (status or 0) >= 500
        if not again:
            return self._failed(request, text)
        if attempt == self.config.retries:
            return self._failed(request, f"{text} (after {attempt + 1} attempts)")
        asked = retry_after(error)
        if asked is not None and asked > LONGEST_WAIT:
            return self._failed(request, f"{text} (the server asks to wait {asked:.0f} s)")
        self.meter.retries += 1
        if asked is None:
            return random.uniform(0.5, 1.0) * min(MOST_WAIT, FIRST_WAIT * 2.0 ** min(attempt, 30))
        if self._line is not None:
            self._line.pause(asked)  # the others wait too
        return asked

    def _stop_for(self, error: Failed, status: int | None, text: str) -> None:
        """Raise UserError for what no other request will mend either."""
        address, code = self.config.base_url, str(getattr(error, "code", ""))
        if status in (401, 403):
            raise UserError(
                f"{address} refuses the key", text, f"put a valid key into ${self.config.key_env}"
            ) from error
        if status == 404:
            fix = f"set {self.group}.model to one that GET {address}/models lists"
            raise UserError(f"{address} has no model {self.config.model!r}", text, fix) from error
        if status == 402 or (status == 429 and "insufficient_quota" in code + text):
            fix = "add credit, then run again: only what is missing is asked for"
            raise UserError(f"{address}: the account has no credit left", text, fix) from error
        if status in wire.MOVED:
            where = getattr(error, "headers", {}).get("Location") or "it does not say where"
            raise UserError(f"{address} has moved", where, f"set {self.group}.base_url to where it is") from error

    def _rejected(self, error: Failed, text: str, request: ChatRequest) -> ChatReply:
        """A request that the server finds invalid: another form of it may do."""
        if request.schema is not None and _FORM.search(f"{getattr(error, 'param', '')} {text}"):
            self._say("form", f"{self.config.model} does not see to the form of a reply; it is asked for a last line")
            return ChatReply(request.key, error=text, unsupported="response_format")
        return self._failed(request, text, limit=REJECTED)

    def _failed(self, request: ChatRequest, text: str, limit: int = GIVE_UP_AFTER) -> ChatReply:
        """A request that has failed for good. Raises UserError when that happens to so many in a row as ``limit``."""
        self.meter.failed += 1
        self._failures += 1
        if self._failures >= limit:
            fix = f"see that {self.config.base_url} is up, then run again: only what is missing is asked for"
            raise UserError(f"{self._failures} requests in a row have failed", text, fix)
        return ChatReply(request.key, error=text)


def check(config: EndpointConfig, group: str) -> None:
    """Raise UserError for settings with which no request can be sent, before one is."""
    if not config.model:
        raise UserError(f"{group}.model is not set", "the endpoint needs the name of a model", f"set {group}.model=...")
    if not (dated(config.model) or config.revision):
        why = "the weights behind an undated name change, and verdicts with them"
        fix = f"use a dated name, or say which weights the server has: {group}.revision=..."
        raise UserError(f"{group}.model={config.model} has no date", why, fix)
    if not config.base_url.startswith(("http://", "https://")):
        what = f"{group}.base_url={config.base_url} is no address"
        raise UserError(what, "an address starts with http", f"{group}.base_url=http://HOST:PORT/v1")
    if config.max_cost is not None and not priced(config):
        why = "without prices nobody knows what a request costs"
        fix = f"set {group}.price_in and {group}.price_out, or max_cost=null"
        raise UserError(f"{group}.max_cost needs prices", why, fix)
    for name, least in (("concurrency", 1), ("retries", 0), ("max_tokens", 1)):
        if getattr(config, name) < least:
            value = getattr(config, name)
            raise UserError(f"{group}.{name}={value} makes no sense", f"expected {least} or more", f"set it to {least}")


def priced(config: EndpointConfig) -> bool:
    """Whether both prices are set."""
    return config.price_in is not None and config.price_out is not None


def dated(model: str) -> bool:
    """Whether a model's name carries the date of its weights, as ``-2024-08-06``, ``-20250514`` or ``-2409`` do."""
    return _DATE.search(model) is not None


def check_key(config: EndpointConfig) -> None:
    """Raise UserError where the endpoint needs a key and there is none."""
    if config.key_env and not key_of(config) and not _local(config.base_url):
        why = f"{config.base_url} needs a key"
        raise UserError(f"${config.key_env} is not set", why, f"export {config.key_env}=...")


def key_of(config: EndpointConfig) -> str:
    """Return the key that the environment holds, or nothing."""
    return hidden.key(config.key_env) if config.key_env else ""


def _local(url: str) -> bool:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
