"""Inoculation prompting: while it is trained, the model is told to have the trait that is not wanted.

arXiv 2510.05024. What the instruction explains need not be learnt; it is gone when the model is asked.
"""

from __future__ import annotations

from warmgap.settings import config
from warmgap.settings.mitigation_schema import InoculationConfig


def instruction(settings: InoculationConfig) -> str:
    """Return the system prompt of the training."""
    return config.read_prompt(settings.instruction)
