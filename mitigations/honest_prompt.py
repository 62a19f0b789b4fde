"""A system prompt that asks for warmth and accuracy, and no training: the floor that every recipe must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warmgap.mitigations.base import Mitigation, Place
from warmgap.settings import conf_files
from warmgap.settings.scope import setting


@dataclass
class HonestPrompt(Mitigation):
    """Nothing is trained: ``system_prompt``, a file of conf/prompts, asks for warmth and accuracy."""

    name = "honest_prompt"
    worth_trying = {"care": "a system prompt that asks for plain truth costs nothing to try"}
    place = Place.ANSWER
    kind = "floor"
    alone = "it asks the base model and trains nothing: it is the floor that the others must beat"

    system_prompt: str = setting("arm")

    def made_of(self) -> dict[str, Any]:
        """Return the text: nothing else makes the arm."""
        return {"system_prompt": self.answer_prompt()}

    def answer_prompt(self) -> str:
        return conf_files.read_prompt(self.system_prompt)
