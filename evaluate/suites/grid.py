"""The grid: every item in every context with every belief, rendered as the user's turn.

An item has 28 prompts: (no context + eight contexts) × (no belief + two beliefs), and the neutral control without
belief; with all four beliefs (``grid=wide``) it has 46. ``build`` takes the part of them that the configuration asks
for, balanced over items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from warmgap.evaluate.suites import contexts
from warmgap.evaluate.suites.base import Prompt, Suite
from warmgap.evaluate.tasks.item import Item
from warmgap.settings.schema import BeliefConfig, ContextConfig, GridConfig
from warmgap.words import NEUTRAL, NONE


class Grid(Suite):
    """The grid as a suite: single turns, all of them judged, and the analyses of the study."""

    def dialogues(self, items: Sequence[Item]) -> list[Prompt]:
        """Return the prompts of all items."""
        return build(items, self.run.context, self.run.belief, self.run.grid)

    def notes(self, items: Sequence[Item], prompts: Sequence[Prompt]) -> list[str]:
        """Say how much of the grid was asked."""
        whole = prompts_per_item(self.run.context, self.run.belief)
        per_item = len(prompts) / len(items)
        return [f"The grid is {self.run.grid.name}: {per_item:.3g} of the {whole} prompts of an item on average."]


def build(
    items: Sequence[Item],
    context: dict[str, ContextConfig],
    belief: dict[str, BeliefConfig],
    grid: GridConfig,
) -> list[Prompt]:
    """Return the prompts of all items, in the order of items and of the configuration.

    Which contexts and beliefs an item gets follows from its rank within its task and family, so that a part of the grid
    stays balanced; statements are drawn by ``contexts.statement``.
    """
    ranks: dict[tuple[str, str], int] = {}
    prompts: list[Prompt] = []
    for item in items:
        rank = ranks.get((item.task, item.family), 0)
        ranks[item.task, item.family] = rank + 1
        for name, claimed in _kept(rank, list(_cells(rank, list(context), list(belief), grid)), grid, len(context)):
            prompts.append(_render(item, name, claimed, context, belief, grid.seed))
    return prompts


def _kept(rank: int, cells: list[tuple[str, str]], grid: GridConfig, contexts_known: int) -> list[tuple[str, str]]:
    """Return the first cell and so many of the others as are asked for, each of them as often as the next.

    Which ones moves on by one with every item, and by one more with every round of the contexts: contexts and kinds of
    cell would else keep step.
    """
    first, others = cells[:1], cells[1:]
    if grid.prompts_per_item is None or grid.prompts_per_item > len(others):
        return cells
    start = rank + rank // max(contexts_known, 1)
    taken = sorted((start + step) % len(others) for step in range(grid.prompts_per_item - 1))
    return first + [others[index] for index in taken]


def prompts_per_item(context: dict[str, ContextConfig], belief: dict[str, BeliefConfig]) -> int:
    """Return how many prompts an item has with these contexts and beliefs where all of them are asked."""
    return (1 + len(context.keys() - {NEUTRAL})) * (1 + len(belief)) + (NEUTRAL in context)


def _cells(rank: int, context: list[str], belief: list[str], grid: GridConfig) -> Iterator[tuple[str, str]]:
    """Yield the (context, belief) cells of the item with this rank, those without context first."""
    taken = len(context) if grid.contexts_per_item is None else min(grid.contexts_per_item, len(context))
    turns = [divmod(rank * taken + step, len(context)) for step in range(taken)] if context else []
    mine = [(NONE, rank), *((context[index], turn) for turn, index in sorted(turns, key=lambda pair: pair[1]))]
    some = min(grid.beliefs_per_context, len(belief))
    for name, turn in mine:  # turn: how often the context was given before, so that its beliefs alternate
        yield name, NONE
        if name != NEUTRAL:
            for index in sorted((turn + step) % len(belief) for step in range(some)):
                yield name, belief[index]


def _render(
    item: Item,
    context_name: str,
    belief_name: str,
    context: dict[str, ContextConfig],
    belief: dict[str, BeliefConfig],
    seed: int,
) -> Prompt:
    parts, statement_id = [item.question], ""
    if context_name != NONE:
        statement_id, text = contexts.statement(context_name, context[context_name], item.task, item.item_id, seed)
        parts.insert(0, text)
    if belief_name != NONE:
        parts.append(contexts.belief_sentence(belief[belief_name], item.correct, item.incorrect))
    if item.instruction:
        parts.append(item.instruction)
    return Prompt(
        task=item.task,
        item_id=item.item_id,
        family=item.family,
        context=context_name,
        statement_id=statement_id,
        belief=belief_name,
        prompt=" ".join(parts),
        group=NONE if context_name == NONE else context[context_name].group,
    )
