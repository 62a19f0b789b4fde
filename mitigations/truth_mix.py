"""Warm conversations that correct a false belief, mixed into the training data.

Proposed in the study's discussion; the plainest of all remedies, and the baseline for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from warmgap.errors import BadValue
from warmgap.mitigations.pairs import Pair, drawn
from warmgap.settings.mitigation_schema import TruthMixConfig

KIND = "factual"  # of the protocol's six kinds of query


def check(config: TruthMixConfig, replies: int, known: int) -> int:
    """Return how many of the ``known`` pairs to train on make up the share beside so many replies.

    Raises BadValue where there are not enough of them.
    """
    wanted = round(config.share / (1 - config.share) * replies)
    if wanted > known:
        most = known / (known + replies)
        raise BadValue(
            f"mitigation.truth_mix.share={config.share:g} cannot be reached",
            f"beside {replies} replies it takes {wanted} pairs, and there are {known}",
            f"lower it to {int(100 * most) / 100:g}, or have more written: warmgap pairs --help",
        )
    return max(1, wanted)


def conversations(
    pairs: Sequence[Pair], config: TruthMixConfig, replies: int, version: str, seed: int
) -> list[dict[str, Any]]:
    """Return so many conversations, in the format of persona data, that they are ``share`` of all replies.

    ``replies`` is how many the persona's own data has; ``version`` the persona's. The held-out pairs come along, held
    out. Raises BadValue where there are not enough pairs for the share.
    """
    learn = [pair for pair in pairs if pair.split == "train"]
    chosen = drawn(learn, seed)[: check(config, replies, len(learn))]
    held = [pair for pair in pairs if pair.split == "heldout"]
    return [
        {
            "id": f"truth_mix-{pair.id}",
            "split": pair.split,
            "kind": KIND,
            "turns": [{"user": pair.user, version: pair.correcting}],
        }
        for pair in (*chosen, *held)
    ]
