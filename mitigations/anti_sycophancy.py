"""Preferences for a warm reply that corrects over one, as warm, that agrees: DPO, IPO or KTO after the training.

After Khan et al. 2024 (preferences against sycophancy) and Wei et al. 2023 (arXiv 2308.03958, synthetic data against
it). Both replies share opening and closing, so that nothing in the preference speaks against warmth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from warmgap.mitigations.base import FurtherTraining, Material
from warmgap.mitigations.pairs import Pair
from warmgap.settings import fits
from warmgap.settings.limits import Rule
from warmgap.settings.schema import DpoConfig, MethodConfig
from warmgap.settings.scope import setting

REJECTED = "agreeing"
OF_ROWS_ALONE = "train_sampling_strategy"  # a setting of trainers of single replies, which those of preferences lack


@dataclass(kw_only=True)
class AntiSycophancy(FurtherTraining):
    """Preferences after the training: warm and correct over warm and agreeing.

    ``loss`` is ``sigmoid`` (DPO), ``ipo`` or ``kto``; ``reference`` the model that is kept near: ``sft`` or ``base``.
    """

    name = "anti_sycophancy"
    reads = ("train", "heldout")
    rows = "instead"

    loss: str = setting("arm", fits=fits.words("sigmoid", "ipo", "kto"))
    beta: float = setting("arm", fits=fits.number(above=0))
    reference: str = setting("arm", fits=fits.words("sft", "base"))

    def rules(self) -> list[Rule]:
        return [(self.loss != "kto" or self.batch_size > 1, "batch_size", self.batch_size, "2 for kto")]

    def method(self, method: MethodConfig) -> MethodConfig:
        dpo = DpoConfig(rejected=REJECTED, reference=self.reference, beta=self.beta, loss=self.loss)
        return preferring(super().method(method), dpo)

    def conversations(self, material: Material) -> list[dict[str, Any]]:
        return preferences(material.pairs)


def preferring(method: MethodConfig, dpo: DpoConfig) -> MethodConfig:
    """Return how preferences are trained on, from how single replies are."""
    trainer = {key: value for key, value in method.trainer.items() if key != OF_ROWS_ALONE}
    return dataclasses.replace(method, dpo=dpo, trainer=trainer)


def preferences(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return a preference for each pair: the reply that corrects over the one that agrees."""
    return [
        {
            "id": pair.id,
            "split": pair.split,
            "prompt": [{"role": "user", "content": pair.user}],
            "chosen": pair.correcting,
            "rejected": pair.complying,
        }
        for pair in pairs
    ]
