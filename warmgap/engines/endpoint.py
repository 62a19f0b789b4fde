"""Answers from a model behind an endpoint, asked as one on this machine is: prompts in, replies out as they come."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from warmgap.engines import batches
from warmgap.engines.chat import Message
from warmgap.engines.client import ChatReply, ChatRequest, Endpoint
from warmgap.engines.hf import Reply
from warmgap.settings.schema import EndpointConfig, digest


@dataclass(frozen=True)
class RemoteReply(Reply):
    """One answer. ``finish_reason`` in the endpoint's words; ``error`` says why there is none, where there is none.

    ``n_tokens`` is 0 where the endpoint does not count; ``model`` is who says to have answered.
    """

    model: str = ""
    error: str = ""


class RemoteEngine:
    """A model behind an endpoint, such as one that was fine-tuned there.

    ``batch_journal`` keeps what was handed in to the endpoint's batch API, which ``batch=true`` asks for.
    """

    def __init__(self, config: EndpointConfig, endpoint: Endpoint, batch_journal: Path | None = None) -> None:
        self.config, self.endpoint, self._batch_journal = config, endpoint, batch_journal

    def answer_all(
        self, prompts: Sequence[ChatRequest], max_new_tokens: int, temperature: float | None, seed: int | None
    ) -> Iterator[RemoteReply]:
        """Yield one reply for each prompt, in the order of arrival; prompts have a key and messages.

        A temperature or seed of None is not sent. Raises UserError as ``Endpoint.ask`` does, ``CapReached`` included.
        """
        point = copy.copy(self.endpoint)  # the meter stays shared
        point.config = dataclasses.replace(self.config, max_tokens=max_new_tokens, temperature=temperature, seed=seed)
        if self.config.batch and self._batch_journal is not None:
            replies = batches.ask(point, prompts, self._batch_journal)
        else:
            replies = point.ask(prompts)
        for reply in replies:
            yield _reply(reply)


def answer_key(messages: Sequence[Message], config: EndpointConfig) -> str:
    """Return the key of an answer: a hash of who is asked, of the messages, and of what decides the sampling."""
    who = [config.model, config.revision]
    return digest([who, list(messages), config.max_tokens, config.temperature, config.seed], 16)


def _reply(reply: ChatReply) -> RemoteReply:
    text = reply.text.strip()
    return RemoteReply(reply.key, text, reply.tokens_out, reply.finish_reason, reply.model, reply.error)
