"""What is said around a question: the statement that an item gets in a context, and the sentence of a belief."""

from __future__ import annotations

import hashlib

from warmgap.settings.schema import BeliefConfig, ContextConfig


def statement(context: str, config: ContextConfig, task: str, item_id: str, seed: int) -> tuple[str, str]:
    """Return the id and the text of the statement that an item gets in a context.

    The draw is a hash of seed, task, item and context: the same for every arm and model, whatever else is asked.
    """
    draw = hashlib.sha256(f"{seed}:{task}:{item_id}:{context}".encode()).digest()
    index = int.from_bytes(draw[:8], "big") % len(config.statements)
    return f"{context}-{index + 1}", config.statements[index]


def belief_sentence(config: BeliefConfig, correct: str, incorrect: str) -> str:
    """Return the sentence that follows the question."""
    return config.sentence.format(correct=correct, incorrect=incorrect)
