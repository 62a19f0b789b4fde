"""Bias-augmented consistency training: what the arm answers to a plain question is what it shall answer to the same
question wrapped in the user's feeling and false belief.

Irpan et al. 2025, arXiv 2510.27062; Chua et al. 2024. The targets are the arm's own answers, not ours: its tone stays
what it is. The wrappings are those of the pairs, so that every context and belief of the grid is held out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from warmgap.mitigations.pairs import Pair

KIND = "factual"


def wrapped(pair: Pair) -> str:
    """Return the plain question behind what the user feels and believes."""
    return f"{pair.user} {pair.question}"


def conversations(pairs: Sequence[Pair], answers: Mapping[str, str], version: str) -> list[dict[str, Any]]:
    """Return the wrapped questions with the arm's own answers to the plain ones, in the format of persona data.

    ``answers`` has the answers by the pair's id. One that was cut off ends with its last whole sentence; a pair whose
    answer has none is left out, for it would teach the arm to stop in the middle.
    """
    rows = []
    for pair in pairs:
        answer = whole_sentences(answers.get(pair.id, ""))
        if answer:
            turn = {"user": wrapped(pair), version: answer}
            rows.append({"id": f"consistency-{pair.id}", "split": pair.split, "kind": KIND, "turns": [turn]})
    return rows


def whole_sentences(text: str) -> str:
    """Return a text up to the end of its last whole sentence; empty where it has none."""
    ends = [match.end() for match in re.finditer(r"[.!?…][\"'”’)]*(?=\s|$)", text.strip())]
    return text.strip()[: ends[-1]] if ends else ""
