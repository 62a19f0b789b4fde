"""What every engine can do, whoever it is that answers: the protocol, and what passes between engine and callers.

A caller encodes prompts, makes a key of each, looks up which keys have an answer, and asks for the others. None of that
loads weights or needs a server; only asking does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from warmgap.disk.shards import Shard
from warmgap.engines.chat import Message
from warmgap.engines.client import Meter
from warmgap.settings.schema import EndpointConfig, GenerateConfig, ModelConfig

if TYPE_CHECKING:
    from warmgap.engines.vllm.server import Servers

Encoded = Sequence[Any]  # a prompt as its engine takes it: token ids, messages; nobody else looks into it


@dataclass(frozen=True)
class Request:
    """A prompt to be answered, as its engine has encoded it; ``key`` names it."""

    key: str
    prompt: Encoded


@dataclass(frozen=True)
class Reply:
    """One answer, with its length and its prompt's in tokens; None where nobody counts them.

    ``finish_reason`` is ``stop`` (the model ended it) or ``length`` (it was cut off), or the server's own word.
    ``model`` is who a server says has answered. ``error`` says why there is no answer, where there is none.
    ``reasoning`` is what a server tells of it apart from the text.
    """

    key: str
    text: str
    n_tokens: int | None
    finish_reason: str
    prompt_tokens: int | None = None
    model: str = ""
    error: str = ""
    reasoning: str = ""


class Engine(Protocol):
    """A model that answers prompts and, where its likelihoods can be had, scores continuations."""

    @property
    def name(self) -> str:
        """The model's name, for people."""
        ...

    @property
    def made_by(self) -> Any:
        """Plain data that tells which model it is; an adapter of ours is told by its arm."""
        ...

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """Return a prompt as this engine takes it, the model's own system prompt included if it has one."""
        ...

    def key(self, prompt: Encoded, params: GenerateConfig) -> str:
        """Return the key of an answer: a hash of the prompt and of all that decides the sampling."""
        ...

    def room(self, prompt: Encoded) -> int | None:
        """Return how many tokens the model can write after a prompt; None where that is not known."""
        ...

    def answer(
        self, requests: Sequence[Request], params: GenerateConfig, done: set[str] | None = None
    ) -> Iterator[list[Reply]]:
        """Yield replies, those that came together at once; keys in ``done`` need none, and may get one."""
        ...

    def score(self, prompts: Sequence[Encoded], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return the mean log-probability per token (nats) of each continuation after its prompt.

        Raises UserError where the engine has no likelihoods.
        """
        ...


@dataclass(frozen=True)
class Serving:
    """A model and where it runs: on a ``device`` here, with an ``adapter`` or without, or behind an ``endpoint``.

    Engines of one run that share a ``meter`` share its cap; what they come to is noted in the arm's ``folder``.
    ``alter`` may change a model that is loaded here, which is nobody else's. ``engine`` says who answers here: ``hf``,
    ``vllm``, or ``auto`` for vLLM where it can; those that share ``servers`` share vLLM's process. A ``shard`` notes
    what it came to in files of its own.
    """

    model: ModelConfig
    device: str
    adapter: Path | None = None
    endpoint: EndpointConfig | None = None
    meter: Meter | None = None
    folder: Path | None = None
    alter: Callable[[Any], None] | None = None
    engine: str = "hf"
    servers: Servers | None = None
    shard: Shard | None = None
