"""Answers from a model behind an endpoint, asked as one on this machine is: prompts in, replies out as they come."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from warmgap.disk import shards
from warmgap.engines import batches, chat, client
from warmgap.engines.base import Encoded, Reply, Request, Serving
from warmgap.engines.client import ChatReply, ChatRequest, Endpoint, Meter
from warmgap.errors import UserError
from warmgap.settings.identity import digest
from warmgap.settings.schema import EndpointConfig, GenerateConfig


class EndpointEngine:
    """A model behind an endpoint, such as one that was fine-tuned there; no connection is made before it is asked.

    ``group`` is the settings group that errors speak of. A temperature or seed of null in ``config`` is never sent;
    else those of the call are. ``costs`` is the file to which each call adds what it came to, ``batch_journal`` keeps
    what was handed in to the endpoint's batch API, which ``batch=true`` asks for.
    """

    def __init__(
        self,
        config: EndpointConfig,
        group: str,
        *,
        system_prompt: str | None = None,
        meter: Meter | None = None,
        costs: Path | None = None,
        batch_journal: Path | None = None,
    ) -> None:
        self.config, self.group, self.meter = config, group, meter or Meter()
        self._system_prompt, self._costs, self._batch_journal = system_prompt, costs, batch_journal

    @classmethod
    def serving(cls, serving: Serving) -> EndpointEngine:
        """Return the engine of an arm. Raises ValueError where no endpoint is named."""
        if serving.endpoint is None:
            raise ValueError(f"{serving.model.name} is behind no endpoint")
        costs, journal = None, None
        if serving.folder is not None:
            costs, journal = (
                shards.cut(serving.folder / name, serving.shard) for name in ("costs.jsonl", "batches.jsonl")
            )
        return cls(
            serving.endpoint,
            "arm",
            system_prompt=serving.model.system_prompt,
            meter=serving.meter,
            costs=costs,
            batch_journal=journal,
        )

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.config.model)

    @property
    def made_by(self) -> Any:
        """The model's name and revision."""
        return [self.config.model, self.config.revision]

    def encode(self, messages: Sequence[chat.Message]) -> Encoded:
        """Return the messages of a prompt, the model's own system prompt included if it has one."""
        return list(messages if messages[0]["role"] == "system" else chat.with_system(messages, self._system_prompt))

    def key(self, prompt: Encoded, params: GenerateConfig) -> str:
        """Return the key of an answer: a hash of who is asked, of the messages, and of what decides the sampling."""
        sent = self._sent(params)
        return digest([self.made_by, list(prompt), sent.max_tokens, sent.temperature, sent.seed], 16)

    def room(self, prompt: Encoded) -> int | None:
        """Return None: a server does not tell how much its model can read."""
        return None

    def answer(
        self, requests: Sequence[Request], params: GenerateConfig, done: set[str] | None = None
    ) -> Iterator[list[Reply]]:
        """Yield one reply after another, in the order of arrival, to the requests that are not in ``done``.

        Raises UserError as ``Endpoint.ask`` does, ``CapReached`` included.
        """
        waiting = [ChatRequest(one.key, list(one.prompt)) for one in requests if one.key not in (done or ())]
        if not waiting:
            return
        omit = "arm.omit=[{name}]" if self.group == "arm" else f"{self.group}.{{name}}=null"
        point = Endpoint(self._sent(params), self.group, self.meter, omit)
        replies: Iterable[ChatReply]
        if self.config.batch and self._batch_journal is not None:
            replies = batches.ask(point, waiting, self._batch_journal)
        else:
            replies = point.ask(waiting)
        with client.costs_noted(self.meter, self._costs, self._made):
            for reply in replies:
                yield [_reply(reply)]

    @property
    def _made(self) -> dict[str, Any]:
        return {"stage": "answers", "model": self.config.model}

    def remember(self) -> None:
        """Let what earlier commands have spent on these answers count in the cap."""
        self.meter.remember(self._costs, self._made)

    def score(self, prompts: Sequence[Encoded], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Raise UserError: a chat endpoint gives no likelihoods of texts that it has not written itself."""
        what = f"{self.name} cannot score texts"
        why = f"it is behind an endpoint ({self.config.base_url}), which does not say how likely a given text is"
        raise UserError(what, why, "use a model whose weights are here: source hub, local or package")

    def _sent(self, params: GenerateConfig) -> EndpointConfig:
        """The settings with those of one call; what the model does not take is left out of both key and request."""
        own = self.config
        return dataclasses.replace(
            own,
            max_tokens=params.max_new_tokens,
            temperature=None if own.temperature is None else params.temperature,
            seed=None if own.seed is None else params.seed,
        )


def _reply(reply: ChatReply) -> Reply:
    counts = reply.tokens_out or None, reply.tokens_in or None  # a server that does not count says 0
    text, thought = reply.text.strip(), reply.reasoning.strip()
    return Reply(reply.key, text, counts[0], reply.finish_reason, counts[1], reply.model, reply.error, thought)
