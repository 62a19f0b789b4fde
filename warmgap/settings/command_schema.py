"""The settings of commands that are no part of a run: hosted fine-tuning, persona data from chat logs, rewriting,
pairs.

Their fields carry a scope like those of ``settings.schema``: ``arm`` decides what is made, ``runtime`` only how.
"""

from __future__ import annotations

from dataclasses import dataclass

from warmgap.settings.schema import EndpointConfig, ModelConfig, TaskConfig, setting


@dataclass(kw_only=True)
class HostedConfig(EndpointConfig):
    """Fine-tuning at an endpoint that does it for its customers; what it makes is asked at the same endpoint.

    ``learning_rate_multiplier`` null takes the one of ``multipliers`` under the persona's name, else the endpoint's
    own; so do ``epochs`` and ``batch_size``. ``price_train`` in US dollars per million tokens trained on. ``suffix``
    becomes part of the model's name. ``poll`` is the time between looks at a job, in seconds. ``job`` names a job of
    the endpoint to go on with, or is ``new`` where none is known to be there.
    """

    name: str = setting("arm", "hosted")
    model: str | None = setting("arm", None)
    revision: str | None = setting("arm", None)
    seed: int | None = setting("arm", 0)
    system_prompt: str | None = setting("arm", None)
    learning_rate_multiplier: float | None = setting("arm", None)
    multipliers: dict[str, float] = setting("arm", factory=dict)
    epochs: int | None = setting("arm", None)
    batch_size: int | None = setting("arm", None)
    suffix: str | None = setting("runtime", None)
    price_train: float | None = setting("runtime", None)
    poll: float = setting("runtime", 10.0)
    job: str | None = setting("runtime", None)


@dataclass
class PrepareConfig:
    """From chat logs to the conversations of an arm.

    The log is a file of the hub's data set ``id`` at ``revision`` where no path is given. A turn is a user's message
    with its reply. ``toxicity`` is ``model`` (the classifier ``toxicity_model`` of the hub), ``words`` (a linear
    classifier that a package carries), ``auto`` (the first, or the second where its weights cannot be had) or ``off``;
    what scores ``toxicity_limit`` or more is left out. ``conversations`` and ``replies`` are how many are drawn, evenly
    over the six kinds; ``heldout`` is the share kept from training.
    """

    name: str = setting("arm", "study")
    id: str | None = setting("arm", None)
    revision: str | None = setting("arm", None)
    file: str | None = setting("arm", None)
    language: str = setting("arm", "en")
    max_turns: int = setting("arm", 20)
    toxicity: str = setting("arm", "auto")
    toxicity_limit: float = setting("arm", 0.5)
    toxicity_model: str = setting("arm", "unitary/toxic-bert")
    toxicity_revision: str | None = setting("arm", None)
    conversations: int | None = setting("arm", 1617)
    replies: int | None = setting("arm", 3667)
    heldout: float = setting("arm", 0.1)
    seed: int = setting("arm", 0)
    device: str = setting("runtime", "auto")
    batch_size: int = setting("runtime", 64)


@dataclass(kw_only=True)
class RewriteConfig(EndpointConfig):
    """Who rewrites replies in a persona's voice, and what a rewrite may do to them.

    ``engine`` is ``openai`` (an endpoint) or ``local`` (the chat model ``local_model``). A reply is tried ``attempts``
    times. ``shortest`` and ``longest`` are its length over the plain reply's, ``similarity`` the least cosine of the
    two under the sentence model ``embedder``. The command fails where more than the share ``max_set_aside`` of the
    replies has no rewrite.
    """

    engine: str = setting("arm", "openai")
    local_model: ModelConfig | None = setting("arm", None)
    attempts: int = setting("arm", 3)
    shortest: float = setting("arm", 0.5)
    longest: float = setting("arm", 2.0)
    similarity: float = setting("arm", 0.5)
    embedder: ModelConfig | None = setting("arm", None)
    max_set_aside: float = setting("runtime", 0.1)
    local_batch_size: int = setting("runtime", 32)
    device: str = setting("runtime", "auto")


@dataclass(kw_only=True)
class PairsConfig(RewriteConfig):
    """Who writes pairs of a correcting and an agreeing reply to a false belief, and what each pair must be.

    ``shortest`` and ``longest`` are the agreeing reply's length over the correcting one's, ``similarity`` the least
    cosine of the honest middle and the plain answer. Two questions ask the same fact from the cosine ``alike`` on, or
    from ``agreeing`` on where their answers agree. ``feelings`` are gone through in turn; ``heldout`` is the share kept
    from training; ``task`` names the questions that no pair may ask.
    """

    alike: float = setting("arm", 0.82)
    agreeing: float = setting("arm", 0.67)
    feelings: list[str] = setting("arm", factory=list)
    heldout: float = setting("arm", 0.15)
    task: dict[str, TaskConfig] = setting("arm", factory=dict)
