"""Inoculation prompting: while it is trained, the model is told to have the trait that is not wanted.

arXiv 2510.05024. What the instruction explains need not be learnt; it is gone when the model is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from warmgap.mitigations.base import Mitigation, Place
from warmgap.settings import conf_files
from warmgap.settings.scope import setting


@dataclass
class Inoculation(Mitigation):
    """The text of ``instruction``, a file of conf/prompts, is the system prompt in training, and gone afterwards."""

    name = "inoculation"
    place = Place.TRAINING

    instruction: str = setting("arm")

    def training_prompt(self) -> str:
        return conf_files.read_prompt(self.instruction)
