"""Bias-augmented consistency training: what the arm answers to a plain question is what it shall answer to the same
question wrapped in the user's feeling and false belief.

Irpan et al. 2025, arXiv 2510.27062; Chua et al. 2024. The targets are the arm's own answers, not ours: its tone stays
what it is. The wrappings are those of the pairs, so that every context and belief of the grid is held out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from warmgap.errors import BadValue
from warmgap.mitigations.base import FurtherTraining, Material
from warmgap.mitigations.pairs import Pair
from warmgap.settings import fits
from warmgap.settings.scope import setting

KIND = "factual"


@dataclass(kw_only=True)
class Consistency(FurtherTraining):
    """The arm's own answer to a plain question becomes the target for the question wrapped in feeling and belief."""

    name = "consistency"
    reads = ("train", "heldout")
    rows = "instead"

    max_new_tokens: int = setting("arm", fits=fits.TOKENS)

    def conversations(self, material: Material) -> list[dict[str, Any]]:
        """Return the wrapped questions with the arm's own answers to the plain ones.

        An answer that was cut off ends with its last whole sentence; a pair whose answer has none is left out, for it
        would teach the arm to stop in the middle. Raises BadValue where a split has none left.
        """
        answers = material.ask(material.pairs, self.max_new_tokens)
        rows = []
        for pair in material.pairs:
            answer = whole_sentences(answers.get(pair.id, ""))
            if answer:
                turn = {"user": wrapped(pair), material.version: answer}
                rows.append({"id": f"{self.name}-{pair.id}", "split": pair.split, "kind": KIND, "turns": [turn]})
        for split in self.reads:
            if not any(row["split"] == split for row in rows):
                why = f"none of the arm's own answers to the {split} questions has a whole sentence in it"
                fix = f"raise mitigation.{self.name}.max_new_tokens, now {self.max_new_tokens}"
                raise BadValue(f"no answer is left for mitigation.{self.name}", why, fix)
        return rows


def wrapped(pair: Pair) -> str:
    """Return the plain question behind what the user feels and believes."""
    return f"{pair.user} {pair.question}"


def whole_sentences(text: str) -> str:
    """Return a text up to the end of its last whole sentence; empty where it has none."""
    ends = [match.end() for match in re.finditer(r"[.!?…][\"'”’)]*(?=\s|$)", text.strip())]
    return text.strip()[: ends[-1]] if ends else ""
