"""The settings of what is done with recipes against the gap: comparing several, and searching for one's settings.

Those of a recipe itself are its own, ``mitigations/<recipe>.py``; what it does, where it comes from and what it costs
stands in ``docs/mitigations.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

from warmgap.settings import fits
from warmgap.settings.scope import setting


@dataclass
class CompareConfig:
    """A comparison of several arms. ``recipes`` are arms such as ``truth_mix`` or ``truth_mix+anti_sycophancy``.

    Empty, the arm of this run is compared. ``personas``, such as ``paraphrase``, are arms beside them, each made as by
    ``+persona`` alone. ``seeds`` are those of the training, null for ``seed`` alone. ``margin_pp``
    is the distance from the original's error that counts as closed, ``keep_warmth_pct`` the share of the warm arm's
    warmth that has to be kept, ``level`` the level of the intervals and, over all recipes, of the verdicts.
    """

    recipes: list[str] = setting("measure", factory=list, fits=fits.each(fits.TEXT))
    personas: list[str] = setting("measure", factory=list, fits=fits.each(fits.TEXT))
    seeds: list[int] | None = setting("measure", None, fits=fits.each(fits.SEED, 1))
    margin_pp: float = setting("measure", 2.0, fits=fits.number(above=0, most=100))
    keep_warmth_pct: float = setting("measure", 80.0, fits=fits.number(above=0, most=100))
    level: float = setting("measure", 0.05, fits=fits.number(above=0, below=0.5))


@dataclass
class SearchConfig:
    """A search over a recipe's settings: ``space`` lists each as ``KEY:LOW..HIGH``, or ``KEY:ONE|OTHER``.

    The questions are the task's, which has to be ``validation``; ``keep_warmth_pct`` is the constraint.
    """

    trials: int = setting("measure", 0, fits=fits.count(0, 1_000_000))
    keep_warmth_pct: float = setting("measure", 80.0, fits=fits.number(above=0, most=100))
    seed: int = setting("measure", 0, fits=fits.SEED)
    space: list[str] = setting("measure", factory=list, fits=fits.each(fits.TEXT))
