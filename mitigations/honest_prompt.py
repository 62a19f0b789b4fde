"""A system prompt that asks for warmth and accuracy, and no training: the floor that every recipe must beat."""

from __future__ import annotations

from warmgap.settings import config
from warmgap.settings.mitigation_schema import HonestPromptConfig


def system(settings: HonestPromptConfig) -> str:
    """Return the system prompt under which the base model answers."""
    return config.read_prompt(settings.system_prompt)
