"""Warm conversations that correct a false belief, mixed into the training data.

Proposed in the study's discussion; the plainest of all remedies, and the baseline for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warmgap.errors import BadValue
from warmgap.mitigations.base import Material, Mitigation, Place
from warmgap.mitigations.pairs import drawn
from warmgap.settings import fits
from warmgap.settings.scope import setting

KIND = "factual"  # of the protocol's six kinds of query


@dataclass
class TruthMix(Mitigation):
    """Warm conversations that correct a false belief are added to the training, ``share`` of all replies."""

    name = "truth_mix"
    place = Place.TRAINING
    reads = ("train",)
    rows = "beside"

    share: float = setting("arm", fits=fits.number(above=0, below=1))

    def check(self, material: Material) -> None:
        self.wanted(material.replies(), sum(pair.split == "train" for pair in material.pairs))

    def wanted(self, replies: int, known: int) -> int:
        """Return how many of the ``known`` pairs to train on make up the share beside so many replies.

        Raises BadValue where there are not enough of them.
        """
        wanted = round(self.share / (1 - self.share) * replies)
        if wanted > known:
            most = known / (known + replies)
            raise BadValue(
                f"mitigation.{self.name}.share={self.share:g} cannot be reached",
                f"beside {replies} replies it takes {wanted} pairs, and there are {known}",
                f"lower it to {int(100 * most) / 100:g}, or have more written: warmgap pairs --help",
            )
        return max(1, wanted)

    def conversations(self, material: Material) -> list[dict[str, Any]]:
        """Return so many of the pairs that they are ``share`` of all replies; those held out come along, held out."""
        learn = [pair for pair in material.pairs if pair.split == "train"]
        chosen = drawn(learn, material.seed)[: self.wanted(material.replies(), len(learn))]
        held = [pair for pair in material.pairs if pair.split == "heldout"]
        return [
            {
                "id": f"{self.name}-{pair.id}",
                "split": pair.split,
                "kind": KIND,
                "turns": [{"user": pair.user, material.version: pair.correcting}],
            }
            for pair in (*chosen, *held)
        ]
