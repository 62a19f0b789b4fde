"""An OpenAI-compatible endpoint on an engine: what asks there is answered as the engine answers here.

The network is a thread's, the answering the caller's own: requests that are there together are answered together. A
prompt is rendered, and a reply drawn, as in a measurement; what this cannot do is refused by name, never passed over.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from warmgap.disk import bounds, intake
from warmgap.engines.base import Encoded, Engine, Reply, Request
from warmgap.engines.calls.background import Background
from warmgap.engines.chat import Message
from warmgap.engines.replies import LENGTH, STOP, finish_reason, said
from warmgap.errors import UserError, one_line
from warmgap.settings import fits
from warmgap.settings.schema import GenerateConfig

MOST = 2048  # tokens of a reply to a request that does not say; fewer where the model's window ends before
QUIET = 0.02  # seconds without a further request, after which those that are there are answered
READ = {"messages", "model", "max_tokens", "max_completion_tokens", "temperature", "seed", "stop", "stream"}
OF_NO_MATTER = {"user", "metadata", "store", "stream_options", "safety_identifier", "prompt_cache_key"}
ADMITTED: dict[str, tuple[Any, ...]] = {  # what has one meaning here, and may be said
    "n": (1,),
    "top_p": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "logit_bias": ({},),
}


class Refused(Exception):
    """What is asked cannot be done; ``status`` is that of HTTP."""

    def __init__(self, said: str, status: int = 400, code: str = "invalid_value") -> None:
        super().__init__(said)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Asked:
    """A request that has been read: its messages, how it is to be answered, and where its reply is put."""

    messages: list[Message]
    params: GenerateConfig
    stop: tuple[str, ...]
    reply: asyncio.Future[dict[str, Any]]
    loop: asyncio.AbstractEventLoop

    def give(self, found: dict[str, Any] | Exception) -> None:
        """Hand the reply, or what prevented it, to whoever waits, if anybody still does."""

        def put() -> None:
            if self.reply.done():
                return
            if isinstance(found, Exception):
                self.reply.set_exception(found)
            else:
                self.reply.set_result(found)

        self.loop.call_soon_threadsafe(put)


class Server:
    """The endpoint of one engine under a name. ``system`` stands before every prompt.

    What a request leaves out of ``temperature`` and ``seed`` is as in ``params``; without ``max_tokens`` a reply may
    have ``MOST``.
    """

    def __init__(self, engine: Engine, names: Sequence[str], system: Sequence[Message], params: GenerateConfig) -> None:
        self._engine, self._names, self._params = engine, tuple(names), params
        self._system = "\n\n".join(one["content"] for one in system)
        self._came: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._begun = int(time.time())

    def run(self, host: str, port: int, ready: Callable[[str], None]) -> None:
        """Answer until the caller is interrupted; ``ready`` is told the address, once it can be asked there.

        The weights are loaded first. Raises UserError where they cannot be, or nobody can listen at that address.
        """
        self._warm()
        background = Background(lambda: self._listen(host, port, ready), self._came)
        try:
            while True:
                batch = list(self._waiting())
                self._answer(batch)
        finally:
            background.stop()

    def _warm(self) -> None:
        params = dataclasses.replace(self._params, max_new_tokens=1)
        prompt = self._engine.encode(self._with_system([{"role": "user", "content": "Hello"}]))
        for _ in self._engine.answer([Request("hello", prompt)], params):
            pass

    def _waiting(self) -> Iterator[Asked]:
        """Wait for a request; yield it and those that come with it. Raises what has ended the network's thread."""
        came = self._came.get()
        while True:
            if isinstance(came, OSError):
                why = came.strerror or str(came)
                raise UserError("nobody can listen there", why, "name another --port or --host") from came
            if isinstance(came, BaseException):
                raise came
            if came is None:
                raise RuntimeError("the network's thread has ended")
            yield came
            try:
                came = self._came.get(timeout=QUIET)
            except queue.Empty:
                return

    def _answer(self, batch: Sequence[Asked]) -> None:
        """Answer requests, those with the same settings together; what fails is told to those that it concerns."""
        waiting: dict[str, list[Asked]] = {}
        alike: dict[tuple[Any, ...], tuple[GenerateConfig, dict[str, Request]]] = {}
        for one in batch:
            try:
                prompt = self._engine.encode(self._with_system(one.messages))
                params = self._cut(prompt, one.params)
            except Exception as error:  # of any kind: a template may stumble over messages in ways of its own
                one.give(_refused(error))
                continue
            key = self._engine.key(prompt, params)
            waiting.setdefault(key, []).append(one)
            place = params.max_new_tokens, params.temperature, params.seed
            alike.setdefault(place, (params, {}))[1][key] = Request(key, prompt)
        for params, requests in alike.values():
            try:
                for replies in self._engine.answer(list(requests.values()), params):
                    for reply in replies:
                        for one in waiting.pop(reply.key, ()):
                            one.give(_choice(reply, one.stop))
            except Exception as error:  # of any kind: the endpoint goes on with the next request
                for one in (one for key in requests for one in waiting.pop(key, ())):
                    one.give(_failed(error))

    def _cut(self, prompt: Encoded, params: GenerateConfig) -> GenerateConfig:
        """The settings with as many tokens to write as the model's window has room for. Raises Refused for no room."""
        room = self._engine.room(prompt)
        if room is None or room >= params.max_new_tokens:
            return params
        if room < 1:
            what = f"the prompt's {len(prompt)} tokens leave no room in the model's window of {len(prompt) + room}"
            raise Refused(what, code="context_length_exceeded")
        return dataclasses.replace(params, max_new_tokens=room)

    def _with_system(self, messages: list[Message]) -> list[Message]:
        """The messages with the arm's system prompt before them, in one message with their own."""
        own, rest = ([messages[0]["content"]], messages[1:]) if messages[0]["role"] == "system" else ([], messages)
        text = "\n\n".join(part for part in (self._system, *own) if part)
        return [{"role": "system", "content": text}, *rest] if text else rest

    async def _listen(self, host: str, port: int, ready: Callable[[str], None]) -> None:
        app = web.Application(client_max_size=bounds.LINE)
        app.add_routes([web.get("/v1/models", self._models), web.post("/v1/chat/completions", self._chat)])
        app.add_routes([web.get("/health", self._models)])
        runner = web.AppRunner(app, handle_signals=False, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, shutdown_timeout=1.0)
            await site.start()
            name = f"[{host}]" if ":" in host else host
            ready(f"http://{name}:{runner.addresses[0][1]}/v1")
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        one = {"id": self._names[0], "object": "model", "created": self._begun, "owned_by": "warmgap"}
        return web.json_response({"object": "list", "data": [one]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        try:
            body = _body(await request.read())
            if body.get("model") not in self._names:
                what = f"there is no model {body.get('model')!r} here, but {self._names[0]}"
                raise Refused(one_line(what), 404, "model_not_found")
            one = Asked(_messages(body), _params(body, self._params), _stop(body), loop.create_future(), loop)
            self._came.put(one)
            found = await one.reply
        except Refused as error:
            told = {"message": str(error), "type": "invalid_request_error", "param": None, "code": error.code}
            return web.json_response({"error": told}, status=error.status)
        head = {"id": f"chatcmpl-{found['key']}", "created": int(time.time()), "model": self._names[0]}
        if not body.get("stream"):
            choice = {"index": 0, "message": found["message"], "finish_reason": found["finish_reason"]}
            whole = {**head, "object": "chat.completion", "choices": [choice], "usage": found["usage"]}
            return web.json_response(whole)
        return await _streamed(request, head, found)


def _refused(error: Exception) -> Refused:
    """What is said of a request whose prompt cannot be rendered: that is its own fault, where it is known to be."""
    if isinstance(error, Refused):
        return error
    return Refused(f"{error.what}: {error.why}") if isinstance(error, UserError) else _failed(error)


def _failed(error: Exception) -> Refused:
    return Refused(one_line(f"{type(error).__name__}: {error}"), 500, "server_error")


def _body(data: bytes) -> dict[str, Any]:
    try:
        body = intake.parse(data)
    except intake.Unreadable as error:
        raise Refused(f"the request cannot be read: {error}") from error
    if not isinstance(body, dict):
        raise Refused("the request is no JSON object")
    if not isinstance(body.get("stream"), bool | None):
        raise Refused("stream has to be true or false")
    for name, value in body.items():
        if name in READ or name in OF_NO_MATTER or value is None or value in ADMITTED.get(name, ()):
            continue
        raise Refused(one_line(f"{name}={value} is not done here; leave it out"), code="unsupported_parameter")
    return body


def _messages(body: dict[str, Any]) -> list[Message]:
    """The messages of a request, each content as one text; a developer's are the system's."""
    given = body.get("messages")
    if not isinstance(given, list) or not given:
        raise Refused("messages is missing, or no list with a message in it")
    found = []
    for one in given:
        role = one.get("role") if isinstance(one, dict) else None
        if role not in ("system", "developer", "user", "assistant"):
            raise Refused(one_line(f"a message of role {role!r} cannot be answered"))
        content = one.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
        if not all(isinstance(text, str) for text in texts):
            raise Refused("a message's content has to be a text, or a list of parts of type text")
        found.append({"role": "system" if role == "developer" else role, "content": "".join(map(str, texts))})
    if all(one["role"] == "system" and not one["content"] for one in found):
        raise Refused("there is nothing in messages that could be answered")
    return found


def _params(body: dict[str, Any], own: GenerateConfig) -> GenerateConfig:
    most = body.get("max_completion_tokens")
    given = {"max_new_tokens": body.get("max_tokens") if most is None else most}
    given |= {name: body.get(name) for name in ("temperature", "seed")}
    told = {name: value for name, value in given.items() if value is not None}
    for name, value in told.items():
        rule = {"max_new_tokens": fits.TOKENS, "temperature": fits.TEMPERATURE, "seed": fits.SEED}[name]
        kinds = (int, float) if name == "temperature" else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds) or not rule.holds(value):
            raise Refused(one_line(f"{name}={value!r} makes no sense, expected {rule.expected}"))
    return dataclasses.replace(own, **{"max_new_tokens": MOST, **told})


def _stop(body: dict[str, Any]) -> tuple[str, ...]:
    given = body.get("stop")
    listed = [given] if isinstance(given, str) else given or []
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise Refused("stop has to be a text or a list of texts")
    return tuple(text for text in listed if text)


def _choice(reply: Reply, stop: Sequence[str]) -> dict[str, Any]:
    """A reply as the interface has it: cut before the first text at which it was to stop, reasoning apart."""
    parts = said(reply.text, reply.reasoning)
    text, why = parts["answer"], finish_reason(reply.finish_reason)[0]
    ends = [place for place in (text.find(mark) for mark in stop) if place >= 0]
    if ends:
        text, why = text[: min(ends)], STOP
    message = {"role": "assistant", "content": text, "refusal": None}
    if parts["reasoning"]:
        message["reasoning_content"] = parts["reasoning"]
    read, wrote = reply.prompt_tokens or 0, reply.n_tokens or 0
    usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
    found = {"key": reply.key, "message": message, "usage": usage}
    return {**found, "finish_reason": LENGTH if why == LENGTH else STOP}


async def _streamed(request: web.Request, head: dict[str, Any], found: dict[str, Any]) -> web.StreamResponse:
    """A reply as events: the whole text in one, as it is drawn with others and comes with them."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    ends: tuple[tuple[Any, Any], ...] = ((found["message"], None), ({}, found["finish_reason"]))
    for delta, why in ends:
        choice = {"index": 0, "delta": delta, "finish_reason": why}
        more = {"usage": found["usage"]} if why else {}
        event = {**head, "object": "chat.completion.chunk", "choices": [choice], **more}
        await response.write(f"data: {json.dumps(event)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response
