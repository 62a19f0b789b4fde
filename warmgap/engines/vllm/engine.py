"""Answers from vLLM: the same prompts, random numbers and texts as ``HfEngine``, from a process of its own.

A base model and its adapters are served by one process, which is started when the first answer is asked for. What is
said of ``HfEngine`` holds here as well; only the sums are done in another order, so that now and then another token is
taken. Its keys are therefore others, and no journal mixes both.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from warmgap.disk.manifest import sha256
from warmgap.engines import adapters, chat, models
from warmgap.engines.base import Encoded, Reply, Request, Serving
from warmgap.engines.hf import HfEngine
from warmgap.engines.vllm import choice, proof
from warmgap.engines.vllm.server import Server, Servers
from warmgap.settings.identity import digest
from warmgap.settings.schema import GenerateConfig

MARK = "|vllm"  # at the end of a key; the random numbers go by what stands before it


class VllmEngine:
    """A base model, with an adapter or without, that answers by vLLM.

    Engines that share ``servers`` share a process. Likelihoods of given texts are ``HfEngine``'s, which loads the
    weights itself.
    """

    def __init__(self, serving: Serving) -> None:
        self.config, self._device, self._adapter = serving.model, serving.device, serving.adapter
        self._servers: Servers = serving.servers if serving.servers is not None else Servers()
        self._plain = HfEngine(serving.model, serving.device, serving.adapter)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._plain.name

    @property
    def made_by(self) -> Any:
        """The settings that make the model what it is."""
        return self._plain.made_by

    def encode(self, messages: Sequence[chat.Message]) -> Encoded:
        """Return the token ids of a prompt, the model's own system prompt included if it has one."""
        return self._plain.encode(messages)

    def key(self, prompt: Encoded, params: GenerateConfig) -> str:
        """Return the key of an answer: ``HfEngine``'s, with a mark that says that vLLM gave it."""
        return self._plain.key(prompt, params) + MARK

    def room(self, prompt: Encoded) -> int | None:
        """Return how many tokens of the model's window a prompt leaves; None for a model that names no window."""
        return self._plain.room(prompt)

    def answer(
        self, requests: Sequence[Request], params: GenerateConfig, done: set[str] | None = None
    ) -> Iterator[list[Reply]]:
        """Yield replies as they end, those of one step together.

        Raises UserError where the process cannot be started, dies, or does not answer as the adapter.
        """
        waiting = [request for request in requests if request.key not in (done or ())]
        if not waiting:
            return
        waiting.sort(key=lambda request: (list(request.prompt), request.key))  # what prompts share is read once
        server, adapter = self._server()
        work = {
            "requests": [[request.key.removesuffix(MARK), list(request.prompt)] for request in waiting],
            "adapter": adapter,
            "ends": self._ends,
            "tokens": params.max_new_tokens,
            "temperature": params.temperature,
            "seed": params.seed,
        }
        for rows in server.answer(work):
            yield [self._reply(waiting[place], ids) for place, ids, _ in rows]

    def score(self, prompts: Sequence[Encoded], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return the mean log-probability per token (nats) of each continuation, as ``HfEngine`` computes it."""
        self._servers.rest()  # there is no room for both
        return self._plain.score(prompts, continuations)

    def _server(self) -> tuple[Server, dict[str, str] | None]:
        """The process that answers, and the adapter as it is told of it, proved to be loaded."""
        folder, device = models.resolve(self.config), models.device_of(self._device)
        dtype = str(models.dtype_of(self.config.dtype, device)).removeprefix("torch.")
        if self._adapter is None:
            return self._servers.serving(folder, dtype, device, None), None
        adapters.check_seal(self._adapter)
        rank = choice.rank_for(int(adapters.read(self._adapter)["r"]))
        name = _content(self._adapter)
        known = self._servers.references
        if name not in known:
            known[name] = proof.reference(self.config, self._adapter)
        given = {"name": name, "path": str(self._adapter.resolve())}
        server = self._servers.serving(folder, dtype, device, rank)
        if name not in server.proved:
            proof.prove(server, known[name], self._adapter, given)
            server.proved.add(name)
        return server, given

    @functools.cached_property
    def _ends(self) -> list[int]:
        """The tokens that stop the model: those at which ``HfEngine`` stops, read from its folder."""
        return sorted(chat.end_ids(self._plain.tokenizer) | models.configured_ends(models.resolve(self.config)))

    @functools.cached_property
    def _header(self) -> list[int]:
        return chat.header_ids(self._plain.tokenizer, self.config.template_vars)

    @functools.cached_property
    def _last(self) -> set[int]:
        return chat.last_ids(self._plain.tokenizer, self._ends, self._header)

    def _reply(self, request: Request, ids: list[int]) -> Reply:
        spoken = chat.spoken(self._plain.tokenizer, ids, self._header, self._last)
        return Reply(request.key, *spoken, len(request.prompt))


def _content(adapter: Path) -> str:
    """A name for an adapter that no other one has: the hash of what is in it, wherever it lies."""
    return digest([sha256(adapter / adapters.CONFIG), sha256(adapter / adapters.WEIGHTS)], 16)
