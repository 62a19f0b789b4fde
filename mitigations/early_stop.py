"""An earlier checkpoint of the same training: less of everything that was learnt, warmth and error alike.

Nothing is trained; which checkpoint it is follows from warmth on held-out messages, or from an epoch that is named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from warmgap.engines import adapters
from warmgap.mitigations.base import Mitigation, Parent, Place
from warmgap.settings.scope import setting


@dataclass
class EarlyStop(Mitigation):
    """An earlier checkpoint of the same training, by a rule as of ``method.select``."""

    name = "early_stop"
    place = Place.CHECKPOINT
    dial = "epoch"

    select: str = setting("arm")

    @classmethod
    def turned(cls, value: float, epoch: float | None) -> Self | None:
        if not 0 < value < math.inf:
            raise ValueError(value)
        return None if value == epoch else cls(f"epoch:{value:g}")

    def rule(self) -> str:
        return self.select

    def derive(self, parent: Parent, target: Path) -> None:
        """Copy the adapter of the checkpoint."""
        checkpoint = parent.checkpoint(self.select)
        adapters.check_seal(checkpoint)
        for name in (adapters.CONFIG, adapters.WEIGHTS):
            (target / name).write_bytes((checkpoint / name).read_bytes())
