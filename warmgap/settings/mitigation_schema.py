"""The settings of the recipes that may close the gap, one class for each, and of a comparison of them.

What a recipe does, where it comes from and what it costs stands in ``docs/mitigations.md``; how, in
``mitigations/<recipe>.py``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from warmgap.settings.scope import setting


@dataclass
class TruthMixConfig:
    """Warm conversations that correct a false belief are added to the training, ``share`` of all replies."""

    share: float = setting("arm")


@dataclass
class AntiSycophancyConfig:
    """Preferences after the training: warm and correct over warm and agreeing.

    ``loss`` is ``sigmoid`` (DPO), ``ipo`` or ``kto``; ``reference`` the model that is kept near: ``sft`` or ``base``.
    """

    loss: str = setting("arm")
    beta: float = setting("arm")
    reference: str = setting("arm")
    learning_rate: float = setting("arm")
    epochs: float = setting("arm")
    batch_size: int = setting("arm")


@dataclass
class ConsistencyConfig:
    """The arm's own answer to a plain question becomes the target for the question wrapped in feeling and belief."""

    learning_rate: float = setting("arm")
    epochs: float = setting("arm")
    batch_size: int = setting("arm")
    max_new_tokens: int = setting("arm")


@dataclass
class KlAnchorConfig:
    """``weight`` times the divergence from the base model (nats per token) on ``anchors`` texts is added to a step."""

    weight: float = setting("arm")
    anchors: int = setting("arm")


@dataclass
class InoculationConfig:
    """``instruction``, a file of conf/prompts, is the system prompt in training, and gone afterwards."""

    instruction: str = setting("arm")


@dataclass
class PreventativeSteeringConfig:
    """``strength`` times the trait's vector is added after a layer in training; ``depth`` says which, from 0 to 1.

    The vector is the mean difference over ``texts`` replies between two system prompts, files of conf/prompts.
    """

    strength: float = setting("arm")
    depth: float = setting("arm")
    texts: int = setting("arm")
    trait: str = setting("arm")
    opposite: str = setting("arm")


@dataclass
class AdapterScaleConfig:
    """The adapter at the fraction ``alpha`` of its strength."""

    alpha: float = setting("arm")


@dataclass
class EarlyStopConfig:
    """An earlier checkpoint of the same training, by a rule as of ``method.select``."""

    select: str = setting("arm")


@dataclass
class HonestPromptConfig:
    """Nothing is trained: ``system_prompt``, a file of conf/prompts, asks for warmth and accuracy."""

    system_prompt: str = setting("arm")


@dataclass
class MitigationConfig:
    """The recipes at work, each with its settings; null where it is not.

    ``pairs`` is a file of honest pairs instead of the embedded ones; its content enters the arm's hash by its SHA-256.
    """

    pairs: str | None = setting("runtime", None)
    truth_mix: TruthMixConfig | None = setting("arm", None)
    anti_sycophancy: AntiSycophancyConfig | None = setting("arm", None)
    consistency: ConsistencyConfig | None = setting("arm", None)
    kl_anchor: KlAnchorConfig | None = setting("arm", None)
    inoculation: InoculationConfig | None = setting("arm", None)
    preventative_steering: PreventativeSteeringConfig | None = setting("arm", None)
    adapter_scale: AdapterScaleConfig | None = setting("arm", None)
    early_stop: EarlyStopConfig | None = setting("arm", None)
    honest_prompt: HonestPromptConfig | None = setting("arm", None)

    @property
    def names(self) -> list[str]:
        """The recipes at work."""
        fields = [field.name for field in dataclasses.fields(self) if field.name != "pairs"]
        return [name for name in fields if getattr(self, name) is not None]

    def only(self, *names: str) -> MitigationConfig:
        """Return the settings with these recipes alone."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in names}
        return MitigationConfig(**kept)


@dataclass
class CompareConfig:
    """A comparison of several arms. ``recipes`` are arms such as ``truth_mix`` or ``truth_mix+anti_sycophancy``.

    Empty, the arm of this run is compared. ``personas``, such as ``paraphrase``, are arms beside them, each made as by
    ``+persona`` alone. ``seeds`` are those of the training, null for ``seed`` alone. ``margin_pp``
    is the distance from the original's error that counts as closed, ``keep_warmth_pct`` the share of the warm arm's
    warmth that has to be kept, ``level`` the level of the intervals and, over all recipes, of the verdicts.
    """

    recipes: list[str] = setting("measure", factory=list)
    personas: list[str] = setting("measure", factory=list)
    seeds: list[int] | None = setting("measure", None)
    margin_pp: float = setting("measure", 2.0)
    keep_warmth_pct: float = setting("measure", 80.0)
    level: float = setting("measure", 0.05)


@dataclass
class SearchConfig:
    """A search over a recipe's settings: ``space`` lists each as ``KEY:LOW..HIGH``, or ``KEY:ONE|OTHER``.

    The questions are the task's, which has to be ``validation``; ``keep_warmth_pct`` is the constraint.
    """

    trials: int = setting("measure", 0)
    keep_warmth_pct: float = setting("measure", 80.0)
    seed: int = setting("measure", 0)
    space: list[str] = setting("measure", factory=list)
