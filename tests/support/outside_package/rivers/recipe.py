"""A recipe: while the persona is trained in, a system prompt asks for facts first."""

from dataclasses import dataclass

from warmgap.mitigations.base import Mitigation, Place
from warmgap.settings import conf_files
from warmgap.settings.schema import setting


@dataclass
class FactsFirst(Mitigation):
    """Trains under a system prompt that is gone when the arm is asked."""

    name = "facts_first"
    place = Place.TRAINING

    instruction: str = setting("arm")

    def training_prompt(self) -> str:
        return conf_files.read_prompt(self.instruction)
