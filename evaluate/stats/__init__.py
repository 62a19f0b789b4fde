"""The statistics of a comparison: tables in, tables out, nothing written.

`analyze` gives effects and cells of a table of verdicts; `paired_shift` compares two scores of the same prompts (warmth
before and after).
"""

from __future__ import annotations

from warmgap.evaluate.stats.analysis import ANALYSES, Analysis, analyze
from warmgap.evaluate.stats.shift import Shift, paired_shift

__all__ = ["ANALYSES", "Analysis", "Shift", "analyze", "paired_shift"]
