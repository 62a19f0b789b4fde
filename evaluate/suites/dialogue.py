"""A suite is put to an arm: dialogues turn by turn, every answer on the disk before the next is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from warmgap.engines import chat
from warmgap.engines.base import Engine
from warmgap.evaluate.answer import answer
from warmgap.evaluate.suites.base import Exchange, Prompt, Suite
from warmgap.settings.schema import GenerateConfig


def hold(
    suite: Suite,
    engine: Engine,
    prompts: Sequence[Prompt],
    params: GenerateConfig,
    system: Sequence[chat.Message],
    journal_of: dict[str, Path],
    what: str,
) -> tuple[list[Prompt], list[dict[str, Any]]]:
    """Hold every dialogue to its end; return the turns and their answers, first all of the first turn, then the next.

    The arguments, and the rows of answers, are `answer`'s; so is what is kept (see `held`).
    """
    whole = held(suite, engine, prompts, params, system, journal_of, what)
    turns = [turns[number] for number in range(suite.turns) for turns in whole if number < len(turns)]
    return [prompt for prompt, _ in turns], [row for _, row in turns]


Turn = tuple[Prompt, dict[str, Any]]  # what was asked, and the row of its answer


def held(
    suite: Suite,
    engine: Engine,
    prompts: Sequence[Prompt],
    params: GenerateConfig,
    system: Sequence[chat.Message],
    journal_of: dict[str, Path],
    what: str,
) -> list[list[Turn]]:
    """Hold every dialogue to its end and return its turns, in the order of ``prompts``.

    All dialogues take a turn together. What the journals hold is not asked again, so a dialogue that was cut off goes
    on where it was. One whose answer did not come waits there.
    """
    whole: list[list[Turn]] = [[] for _ in prompts]
    going: list[tuple[int, Prompt]] = list(enumerate(prompts))
    for number in range(1, suite.turns + 1):
        turns = [prompt for _, prompt in going]
        answers = answer(engine, turns, params, system, journal_of, what if number == 1 else f"{what} · turn {number}")
        for (place, prompt), row in zip(going, answers, strict=True):
            whole[place].append((prompt, row))
        if number == suite.turns:
            break
        waiting, going = [place for place, _ in going if not whole[place][-1][1].get("failed")], []
        for place in waiting:
            so_far = [Exchange(prompt, row["answer"]) for prompt, row in whole[place]]
            if (turn := suite.next_turn(so_far)) is not None:
                going.append((place, _after(so_far, turn)))
        if not going:
            break
    return whole


def _after(so_far: Sequence[Exchange], turn: Prompt) -> Prompt:
    """The turn with the dialogue before it, and what was before that from the start."""
    said = [*so_far[0].prompt.before]
    said += [
        message
        for one in so_far
        for message in ({"role": "user", "content": one.prompt.prompt}, {"role": "assistant", "content": one.reply})
    ]
    return replace(turn, before=tuple(said))
