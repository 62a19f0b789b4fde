"""What is missing of a recipe's answers can buy it nothing: shares of all prompts, and what the missing could change.

An answer is missing where its error is empty: without a verdict, or refused where declining is not the right answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from warmgap.evaluate.stats import resample as rs
from warmgap.evaluate.stats.resample import ARM, OVER, OWN, WARM, Contrast, Grid, Spread
from warmgap.words import REFUSED

COLUMNS = ("right", "wrong", "silent", "refused")  # of a table, 100 or 0: what became of each answer


@dataclass(frozen=True, eq=False)
class Missing:
    """One arm beside the reference and the warm arm on all prompts, in pp.

    ``right`` is the share of correct answers out of all prompts. ``silent`` and ``refused`` are the shares of answers
    that are missing, without a verdict or refused. ``most`` and ``least`` are the error with every missing answer of
    the arm counted as an error (for ``least``: as none) and every one of the other two arms the other way round.
    """

    right: Spread
    silent: Spread
    refused: Spread
    most: Spread
    least: Spread

    @property
    def more(self) -> Contrast:
        """Share of correct answers out of all prompts minus the warm arm's."""
        return self.right.contrast({ARM: 1.0, WARM: -1.0})

    def p_values(self, margin: float) -> dict[str, float]:
        """One-sided p values of what `verdict.verdicts` asks of all prompts, by claim."""
        change: dict[int, float] = {ARM: 1.0, WARM: -1.0}
        own = {OWN: 1.0}
        most, least = (side.contrast(change) for side in (self.most, self.least))
        return {
            "more": self.more.p_above(0.0),
            "enough": self.right.contrast(own).p_above(-margin),
            "alike": max(_alike(kind, change, margin) for kind in (self.silent, self.refused)),
            "alike_original": max(_alike(kind, own, margin) for kind in (self.silent, self.refused)),
            "sure_better": most.p_below(0.0),
            "sure_noninferior": self.most.contrast(own).p_below(margin),
            "sure_worse": least.p_above(0.0),
            "sure_within": float(np.fmax(least.p_above(-margin), most.p_below(margin))),
        }

    def p_true(self, margin: float) -> float:
        """P value of "over-correction below the margin" by the share of correct answers out of all prompts."""
        return self.right.contrast({OVER: -1.0}).p_below(margin)


def _alike(share: Spread, weights: dict[int, float], margin: float) -> float:
    """P value of "the shares lie within the margin of one another" (two one-sided tests).

    By the recipe's own seeds: how much others vary, of which some may lose most of their answers, says nothing of it.
    """
    difference = replace(share, others=share.others[:0]).contrast(weights)
    if not difference.se > 0:  # no spread: the very same answers are missing, or it cannot be told
        return rs.LEAST if difference.estimate == 0 else 1.0
    return max(difference.p_above(-margin), difference.p_below(margin))


def with_columns(answers: pd.DataFrame) -> pd.DataFrame:
    """The answers (``error`` in percent) with `COLUMNS`."""
    missing, refused = answers["error"].isna(), answers["verdict"] == REFUSED
    found = (answers["error"] == 0, answers["error"] > 0, missing & ~refused, missing & refused)
    return answers.assign(**{name: 100.0 * is_so for name, is_so in zip(COLUMNS, found, strict=True)})


def filled(right: Grid, wrong: Grid, as_error: Sequence[str]) -> Grid:
    """The error with every missing answer counted: as an error in the arms ``as_error``, as none in the others."""
    return replace(
        right,
        values={
            arm: {seed: 100 - values for seed, values in held.items()} if arm in as_error else wrong.values[arm]
            for arm, held in right.values.items()
        },
    )
