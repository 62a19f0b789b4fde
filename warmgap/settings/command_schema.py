"""The settings of commands that are no part of a run: hosted fine-tuning, persona data from chat logs, rewriting,
pairs.

Their fields carry a scope like those of ``settings.schema``: ``arm`` decides what is made, ``runtime`` only how.
"""

from __future__ import annotations

from dataclasses import dataclass

from warmgap.settings import fits
from warmgap.settings.schema import EndpointConfig, ModelConfig, TaskConfig, setting

LONGEST_SUFFIX = 64 - 9  # the vendor's limit, less what makes it ours


@dataclass(kw_only=True)
class HostedConfig(EndpointConfig):
    """Fine-tuning at an endpoint that does it for its customers; what it makes is asked at the same endpoint.

    ``learning_rate_multiplier`` null takes the one of ``multipliers`` under the persona's name, else the endpoint's
    own; so do ``epochs`` and ``batch_size``. ``price_train`` in US dollars per million tokens trained on. ``suffix``
    becomes part of the model's name. ``poll`` is the time between looks at a job, in seconds. ``job`` names a job of
    the endpoint to go on with, or is ``new`` where none is known to be there.
    """

    name: str = setting("arm", "hosted", fits=fits.NAME)
    model: str | None = setting("arm", None)
    revision: str | None = setting("arm", None)
    seed: int | None = setting("arm", 0, fits=fits.SEED)
    system_prompt: str | None = setting("arm", None)
    learning_rate_multiplier: float | None = setting("arm", None, fits=fits.number(0))
    multipliers: dict[str, float] = setting("arm", factory=dict, fits=fits.each(fits.number(0)))
    epochs: int | None = setting("arm", None, fits=fits.count())
    batch_size: int | None = setting("arm", None, fits=fits.count())
    suffix: str | None = setting("runtime", None, fits=fits.short(LONGEST_SUFFIX))
    price_train: float | None = setting("runtime", None, fits=fits.PRICE)
    poll: float = setting("runtime", 10.0, fits=fits.SECONDS)
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

    name: str = setting("arm", "study", fits=fits.NAME)
    id: str | None = setting("arm", None)
    revision: str | None = setting("arm", None)
    file: str | None = setting("arm", None)
    language: str = setting("arm", "en")
    max_turns: int = setting("arm", 20, fits=fits.count())
    toxicity: str = setting("arm", "auto", fits=fits.words("auto", "model", "words", "off"))
    toxicity_limit: float = setting("arm", 0.5, fits=fits.number(above=0, most=1))
    toxicity_model: str = setting("arm", "unitary/toxic-bert")
    toxicity_revision: str | None = setting("arm", None)
    conversations: int | None = setting("arm", 1617, fits=fits.count(2))
    replies: int | None = setting("arm", 3667, fits=fits.count(2))
    heldout: float = setting("arm", 0.1, fits=fits.number(above=0, below=1))
    seed: int = setting("arm", 0, fits=fits.SEED)
    device: str = setting("runtime", "auto", fits=fits.DEVICE)
    batch_size: int = setting("runtime", 64, fits=fits.count())


@dataclass(kw_only=True)
class RewriteConfig(EndpointConfig):
    """Who rewrites replies in a persona's voice, and what a rewrite may do to them.

    ``engine`` is ``openai`` (an endpoint) or ``local`` (the chat model ``local_model``). A reply is tried ``attempts``
    times. ``shortest`` and ``longest`` are its length over the plain reply's, ``similarity`` the least cosine of the
    two under the sentence model ``embedder``. The command fails where more than the share ``max_set_aside`` of the
    replies has no rewrite. ``shard`` is the part of the conversations that is done (see ``disk.shards``).
    """

    engine: str = setting("arm", "openai", fits=fits.words("openai", "local"))
    local_model: ModelConfig | None = setting("arm", None)
    attempts: int = setting("arm", 3, fits=fits.count(1, 1000))
    shortest: float = setting("arm", 0.5, fits=fits.number(above=0, below=1))
    longest: float = setting("arm", 2.0, fits=fits.number(above=1))
    similarity: float = setting("arm", 0.5, fits=fits.number(-1, below=1))
    embedder: ModelConfig | None = setting("arm", None)
    max_set_aside: float = setting("runtime", 0.1, fits=fits.SHARE)
    local_batch_size: int = setting("runtime", 32, fits=fits.count())
    device: str = setting("runtime", "auto", fits=fits.DEVICE)
    shard: str | None = setting("runtime", None)


@dataclass(kw_only=True)
class PairsConfig(RewriteConfig):
    """Who writes pairs of a correcting and an agreeing reply to a false belief, and what each pair must be.

    ``shortest`` and ``longest`` are the agreeing reply's length over the correcting one's, ``similarity`` the least
    cosine of the honest middle and the plain answer. Two questions ask the same fact from the cosine ``alike`` on, or
    from ``agreeing`` on where their answers agree. ``feelings`` are gone through in turn; ``heldout`` is the share kept
    from training; ``task`` names the questions that no pair may ask.
    """

    alike: float = setting("arm", 0.82, fits=fits.number(above=0, most=1))
    agreeing: float = setting("arm", 0.67, fits=fits.number(above=0, most=1))
    feelings: list[str] = setting("arm", factory=list, fits=fits.each(fits.TEXT, 1))
    heldout: float = setting("arm", 0.15, fits=fits.number(0, below=1))
    task: dict[str, TaskConfig] = setting("arm", factory=dict)
