"""Preferences for a warm reply that corrects over one, as warm, that agrees: DPO, IPO or KTO after the training.

After Khan et al. 2024 (preferences against sycophancy) and Wei et al. 2023 (arXiv 2308.03958, synthetic data against
it). Both replies share opening and closing, so that nothing in the preference speaks against warmth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from warmgap.mitigations.pairs import Pair


def preferences(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return one row for each pair: ``split``, the messages of ``prompt``, and the texts ``chosen``, ``rejected``."""
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
