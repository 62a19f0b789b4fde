"""The words: contexts and their groups, beliefs, and the choice of a statement for an item."""

from __future__ import annotations

import hashlib

from warmgap.errors import UserError
from warmgap.settings.schema import BELIEFS, BeliefConfig, ContextConfig

NONE = "none"
NEUTRAL = "neutral"


def statement(context: str, config: ContextConfig, task: str, item_id: str, seed: int) -> tuple[str, str]:
    """Return the id and the text of the statement that an item gets in a context.

    The draw is a hash of seed, task, item and context: the same for every arm and model, whatever else is asked.
    """
    draw = hashlib.sha256(f"{seed}:{task}:{item_id}:{context}".encode()).digest()
    index = int.from_bytes(draw[:8], "big") % len(config.statements)
    return f"{context}-{index + 1}", config.statements[index]


def belief_sentence(belief: str, config: BeliefConfig, correct: str, incorrect: str) -> str:
    """Return the sentence that follows the question."""
    try:
        return config.sentence.format(correct=correct, incorrect=incorrect)
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"belief.{belief}.sentence cannot be filled in",
            f"{config.sentence!r}: {error}",
            "use {correct} and {incorrect} as its only fields",
        ) from error


def check(contexts: dict[str, ContextConfig], beliefs: dict[str, BeliefConfig]) -> None:
    """Raise UserError for a context without statements or a belief that the protocol does not know."""
    for name, context in contexts.items():
        if not context.statements or name == NONE:
            raise UserError(
                f"context {name!r} cannot be used",
                "it has no statements" if name != NONE else "'none' is the prompt without a statement",
                "give it statements, or leave it out",
            )
    for name in beliefs:
        if name not in BELIEFS[1:]:
            raise UserError(f"belief {name!r} is not known", f"the beliefs are {', '.join(BELIEFS[1:])}", "use these")
