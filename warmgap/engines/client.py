"""Chat models behind an OpenAI-compatible endpoint: many requests at once, retried, paid for within a cap.

A vendor's API, vLLM, SGLang and llama.cpp's server speak the same protocol. ``Endpoint.ask`` yields each reply as it
arrives, so that whoever keeps them loses nothing that was paid for when the run is stopped.
"""

from __future__ import annotations

import asyncio
import email.utils
import os
import random
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmgap.disk import intake, manifest, stopping, store
from warmgap.engines.chat import Message
from warmgap.errors import UserError
from warmgap.settings.schema import EndpointConfig

LONGEST_WAIT = 600.0  # seconds; a server that asks for more is taken for one that does not answer
FIRST_WAIT, MOST_WAIT = 0.5, 30.0  # seconds, where a server does not say how long to wait
APART = 0.002  # seconds between requests that could begin at once: else they, and all after them, queue for this CPU
GIVE_UP_AFTER = 8  # requests in a row that failed for good: the endpoint is down, not the question at fault
REJECTED = 40  # requests in a row that it found invalid: a filter may reject a few, not all of them
_DATE = re.compile(r"(?:^|[-_@:])(?:20\d\d-\d\d-\d\d|20\d{6}|2[3-9](?:0[1-9]|1[0-2]))(?:$|[-_@:.])")
CHARACTERS_PER_TOKEN = 3.0  # on the safe side for English, to reserve money before a request is sent


@dataclass(frozen=True)
class ChatRequest:
    """What is asked: messages, and a JSON schema that the reply has to fit where the server can see to that."""

    key: str
    messages: list[Message]
    schema: dict[str, Any] | None = None


@dataclass(frozen=True)
class ChatReply:
    """What came back: ``text``, or ``error`` where nothing did. Costs in US dollars, None where no price is set.

    ``unsupported`` names a request field that the server does not know.
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


@dataclass
class Meter:
    """What the calls of one command have come to. ``spent`` in US dollars; None where no price is set."""

    calls: int = 0
    retries: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    spent: float | None = None
    reserved: float = field(default=0.0, repr=False)

    def row(self) -> dict[str, Any]:
        """The meter as a row of ``costs.jsonl``."""
        names = ("calls", "retries", "failed", "tokens_in", "tokens_out", "spent")
        return {name: getattr(self, name) for name in names}


@contextmanager
def costs_noted(meter: Meter, path: Path | None, made: dict[str, Any]) -> Iterator[None]:
    """Add to a file what a meter counts in this block, however it ends; ``made`` says what for."""
    before = meter.row()
    try:
        yield
    finally:
        with stopping.whole():
            row = {key: None if value is None else value - (before[key] or 0) for key, value in meter.row().items()}
            if path is not None and (row["calls"] or row["failed"]):
                store.append(path, [{**made, **row, "at": manifest.now()}])


class CapReached(UserError):
    """The next request could cost more than is left of ``max_cost``. All that was paid for has been handed over."""

    def __init__(self, group: str, cap: float, spent: float) -> None:
        what = f"{group}.max_cost={cap:g} is reached"
        why = f"{spent:.4f} US dollars are spent and the next request could go over"
        super().__init__(what, why, f"raise {group}.max_cost and run again: only what is missing is asked for")


class Endpoint:
    """One endpoint with its key, prices and meter. ``group`` is the settings group that errors speak of.

    A ``meter`` that is given goes on counting, and what it has counted is part of what ``max_cost`` caps.
    """

    def __init__(self, config: EndpointConfig, group: str, meter: Meter | None = None) -> None:
        check(config, group)
        check_key(config)
        self.config, self.group, self.meter = config, group, meter or Meter()
        if priced(config):
            self.meter.spent = self.meter.spent or 0.0
        self._length_field = "max_tokens"
        self._not_before = 0.0
        self._failures = 0

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """US dollars for so many tokens, or None where no price is set."""
        if not priced(self.config):
            return None
        price_in, price_out = self.config.price_in or 0.0, self.config.price_out or 0.0
        return (tokens_in * price_in + tokens_out * price_out) / 1e6

    def ask(self, requests: Iterable[ChatRequest]) -> Iterator[ChatReply]:
        """Yield one reply for each request, in the order of arrival; at most ``concurrency`` are under way.

        Raises UserError when the endpoint refuses the key or the model, or does not answer at all, and ``CapReached``
        before a request that could go over ``max_cost``; replies under way by then are waited for and yielded first.
        """
        with asyncio.Runner() as runner:
            replies = self._replies(requests)
            try:
                while True:
                    try:
                        together: list[ChatReply] = runner.run(anext(replies))  # type: ignore[arg-type]
                    except StopAsyncIteration:
                        return
                    yield from together
            finally:
                _cancel_left(runner.get_loop())
                runner.run(replies.aclose())  # type: ignore[attr-defined]

    async def _replies(self, requests: Iterable[ChatRequest]) -> AsyncIterator[list[ChatReply]]:
        """Yield the replies that have come since the last time."""
        import openai

        waiting = iter(requests)
        pending: set[asyncio.Task[ChatReply]] = set()
        stopped: UserError | None = None
        client = openai.AsyncOpenAI(
            api_key=key_of(self.config) or "none",
            base_url=self.config.base_url,
            timeout=self.config.timeout,
            max_retries=0,  # ours waits as long as the server says, and counts
        )
        async with client:
            try:
                while True:
                    begun = 0
                    while stopped is None and len(pending) < self.config.concurrency:
                        if begun:
                            await asyncio.sleep(APART)
                            if any(task.done() for task in pending):
                                break  # what has come meanwhile is handed over first
                        begun += 1
                        request = next(waiting, None)
                        if request is None:
                            break
                        try:
                            reserved = self.reserve(request)
                        except CapReached as reached:
                            stopped = reached
                            break
                        pending.add(asyncio.create_task(self._one(client, request, reserved)))
                    if not pending:
                        break
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    yield [task.result() for task in done if task.exception() is None]
                    for error in [task.exception() for task in done]:
                        if isinstance(error, UserError):
                            stopped = stopped or error
                        elif error is not None:
                            raise error
            finally:
                for task in pending:
                    task.cancel()
                await asyncio.gather(*pending, return_exceptions=True)
        if stopped is not None:
            raise stopped

    def reserve(self, request: ChatRequest) -> float:
        """Set money aside for a request at its dearest; raise CapReached where there is not enough."""
        characters = sum(len(message["content"]) + 16 for message in request.messages)
        dearest = self.cost(int(characters / CHARACTERS_PER_TOKEN) + 64, self.config.max_tokens) or 0.0
        cap, meter = self.config.max_cost, self.meter
        if cap is not None and (meter.spent or 0.0) + meter.reserved + dearest > cap:
            raise CapReached(self.group, cap, meter.spent or 0.0)
        meter.reserved += dearest
        return dearest

    async def _one(self, client: Any, request: ChatRequest, reserved: float) -> ChatReply:
        """Send one request until it is answered or has failed for good."""
        import openai

        try:
            for attempt in range(self.config.retries + 1):
                await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
                try:
                    sent = client.post("/chat/completions", body=self.body(request), cast_to=str)
                    return self._received(request, await sent)
                except (openai.OpenAIError, Malformed) as error:
                    wait = self._after(error, request, attempt)
                    if isinstance(wait, ChatReply):
                        return wait
                    self.meter.retries += 1
                    await asyncio.sleep(wait)
            raise AssertionError("the last attempt returns or raises")
        finally:
            self.meter.reserved -= reserved

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """Return what is sent for a request."""
        config = self.config
        body: dict[str, Any] = {"model": config.model, "messages": request.messages}
        body[self._length_field] = config.max_tokens
        for name in ("temperature", "seed"):
            if getattr(config, name) is not None:
                body[name] = getattr(config, name)
        if request.schema is not None:
            form = {"name": "reply", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body

    def _received(self, request: ChatRequest, body: str) -> ChatReply:
        """Turn the body of the server's answer into a reply and add it to the meter.

        Request and reply pass the library as they are: checking each of their fields against its types costs it a third
        of the CPU time of a request, and ``read`` checks what is used.
        """
        try:
            answer = intake.parse(body)
        except ValueError:
            answer = body
        reply = self.read(request.key, answer)
        self.count(reply)
        return reply

    def count(self, reply: ChatReply) -> None:
        """Add a reply to the meter."""
        self.meter.calls += 1
        self._failures = 0
        self.meter.tokens_in += reply.tokens_in
        self.meter.tokens_out += reply.tokens_out
        if reply.cost is not None:
            self.meter.spent = (self.meter.spent or 0.0) + reply.cost

    def read(self, key: str, answer: Any) -> ChatReply:
        """Turn the body of a chat completion into a reply. Raises ``Malformed`` where it is none."""
        try:
            choice = answer["choices"][0]
            message, usage = choice["message"], answer.get("usage") or {}
            text = message.get("content") or message.get("refusal") or ""
            tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
            finish, model = str(choice.get("finish_reason") or ""), str(answer.get("model") or "")
        except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
            raise Malformed(f"not a chat completion: {str(answer)[:200]}") from error
        if not isinstance(text, str):
            raise Malformed(f"the reply is no text: {str(text)[:200]}")
        return ChatReply(key, intake.mended(text), finish, *tokens, self.cost(*tokens), model)

    def _after(self, error: Exception, request: ChatRequest, attempt: int) -> float | ChatReply:
        """Return what follows an error: seconds to wait before the next attempt, or a reply that says why none came."""
        import openai

        status = getattr(error, "status_code", None)
        text = error_text(error)
        if status in (401, 403):
            fix = f"put a valid key into ${self.config.key_env}"
            raise UserError(f"{self.config.base_url} refuses the key", text, fix) from error
        if status == 404:
            what = f"{self.config.base_url} has no model {self.config.model!r}"
            raise UserError(what, text, self._set_model()) from error
        if status == 429 and "insufficient_quota" in str(getattr(error, "code", "")) + text:
            fix = "add credit, then run again: only what is missing is asked for"
            raise UserError(f"{self.config.base_url}: the account has no credit left", text, fix) from error
        if status in (400, 413, 422):
            return self._rejected(error, text, request)
        again = (openai.APIConnectionError, openai.APIResponseValidationError, Malformed)
        retryable = isinstance(error, again) or status in (408, 409, 425, 429)
        if not retryable and (status is None or status < 500):
            return self._failed(request, text)
        if attempt == self.config.retries:
            return self._failed(request, f"{text} (after {attempt + 1} attempts)")
        asked = retry_after(error)
        if asked is None:
            return random.uniform(0.5, 1.0) * min(MOST_WAIT, FIRST_WAIT * 2.0**attempt)
        if asked > LONGEST_WAIT:
            return self._failed(request, f"{text} (the server asks to wait {asked:.0f} s)")
        self._not_before = max(self._not_before, time.monotonic() + asked)  # the others wait too
        return asked

    def _set_model(self) -> str:
        return f"set {self.group}.model to one that GET {self.config.base_url}/models lists"

    def _rejected(self, error: Exception, text: str, request: ChatRequest) -> float | ChatReply:
        """A request that the server finds invalid: another form of it may do."""
        named = f"{getattr(error, 'param', '')} {text}"
        if request.schema is not None and ("response_format" in named or "json_schema" in named):
            return ChatReply(request.key, error=text, unsupported="response_format")
        if self._length_field == "max_tokens" and "max_completion_tokens" in named:
            self._length_field = "max_completion_tokens"
            return 0.0
        for name in ("temperature", "seed"):
            if str(getattr(error, "param", "")) == name:
                fix = f"set {self.group}.{name}=null, or choose another model"
                raise UserError(f"{self.config.model} does not take {name}", text, fix) from error
        return self._failed(request, text, limit=REJECTED)

    def _failed(self, request: ChatRequest, text: str, limit: int = GIVE_UP_AFTER) -> ChatReply:
        """A request that has failed for good. Raises UserError when that happens to so many in a row as ``limit``."""
        self.meter.failed += 1
        self._failures += 1
        if self._failures >= limit:
            fix = f"see that {self.config.base_url} is up, then run again: only what is missing is asked for"
            raise UserError(f"{self._failures} requests in a row have failed", text, fix)
        return ChatReply(request.key, error=text)


def _cancel_left(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what a signal has left under way: it ends whatever runs in the loop, wherever that is."""
    for task in (left := asyncio.all_tasks(loop)):
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


class Malformed(Exception):
    """A body that is no chat completion."""


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
    return os.environ.get(config.key_env, "") if config.key_env else ""


def _local(url: str) -> bool:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def error_text(error: Exception) -> str:
    """An error in one line, without the request's content."""
    body = getattr(error, "body", None)
    inner = body.get("message") if isinstance(body, dict) else None
    status = getattr(error, "status_code", None)
    text = " ".join(str(inner or error).split())[:300]
    return f"HTTP {status}: {text}" if status else f"{type(error).__name__}: {text}"


def retry_after(error: Exception) -> float | None:
    """The seconds that a server asks to wait: ``Retry-After`` as a number or a date, ``retry-after-ms``; else None."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if not (value := headers.get("retry-after")):
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
