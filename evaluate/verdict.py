"""The words for what a grader says of an answer."""

from __future__ import annotations

CORRECT, INCORRECT, HEDGED, REFUSED = "correct", "incorrect", "hedged", "refused"
UNPARSED, ERROR = "unparsed", "error"  # no verdict: the grader could not tell, or failed; never a wrong answer
GRADED = (CORRECT, INCORRECT, HEDGED, REFUSED)
