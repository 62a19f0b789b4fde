"""A suite with items and measures of its own: does a reply to a plain request keep to one sentence?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from warmgap.evaluate.suites.base import Prompt
from warmgap.evaluate.suites.probe import Check, Dialogue, Measure, Outcome, Probe, Teller
from warmgap.words import NONE

ASKED = {"delta": "What is a delta? One sentence.", "tide": "What is a tide? One sentence.", "ford": "What is a ford?"}


def one_sentence(dialogue: Dialogue, turn: int) -> tuple[bool | None, str]:
    ends = sum(dialogue.reply(turn).count(sign) for sign in ".!?")
    return ends <= 1, f"{ends} ends of sentences"


class Short(Probe):
    """One turn an item, one check, one measure."""

    name = "short"
    title = "Short replies"
    question = "Does a reply keep to one sentence?"
    source = "Our own."
    measures = (Measure("kept", "replies of one sentence", sense="more is better", by="wish"),)
    checks = (Check("one_sentence", "Is the reply one sentence at most?", one_sentence),)

    def dialogues(self, items: Sequence[Any] = ()) -> list[Prompt]:
        chosen = list(ASKED.items())[: self.options.items]
        wish = {True: "asked", False: "not_asked"}
        return [
            Prompt(self.task, key, "rivers", wish["One" in text], "", NONE, text, wish["One" in text])
            for key, text in chosen
        ]

    def read(self, dialogues: Sequence[Dialogue], told: Teller) -> list[Outcome]:
        (one,) = dialogues
        said = told("one_sentence", one, 0)
        value = None if said.yes is None else float(said.yes)
        return [Outcome("kept", one.item_id, one.condition, value, said.why)]
