"""How recipes against the gap are chained: what they change of the training, what follows it, what is made of it.

An arm with recipes is a chain of adapters, each an arm of its own on disk, so that what two chains share is made once.
The places of ``mitigations.base.Place`` are gone through in turn: what is at work while the persona is trained in makes
one arm together, each other recipe one of its own, from the arm before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from warmgap.arms import recipes, warming
from warmgap.errors import UserError
from warmgap.mitigations.base import Mitigation, Place
from warmgap.settings.schema import Run
from warmgap.train import finish

if TYPE_CHECKING:
    from warmgap.arms.spec import ArmSpec

Link = Callable[[Run, str, "ArmSpec | None", "Mitigation | None"], "ArmSpec"]  # settings, name, parent, what follows it


def check(run: Run) -> None:
    """Raise UserError for recipes that make no sense together, or beside the other settings and the data."""
    names = recipes.names(run)
    if not names:
        return
    persona, said = run.persona.name if run.persona else "none", recipes.said(names)
    if run.arm.adapter or run.arm.model or run.persona is None or not run.persona.reply:
        why = f"+persona={persona} trains nothing that a recipe could mend"
        raise UserError(f"mitigation={said} has no arm to mend", why, "use +persona=warm")
    if run.method.dpo is not None:
        why = f"recipes mend what supervised fine-tuning makes; method={run.method.name} trains on preferences"
        raise UserError(f"mitigation={said} beside method={run.method.name}", why, "use method=sft")
    recipes.check(run)
    for recipe in recipes.at_work(run):
        if (recipe.place, recipe.rows) == (Place.TRAINING, "instead") and run.persona.strength != 1:
            why = f"{recipe.name} trains on other replies instead of the persona's, and so on no share of them"
            what = f"persona.strength={run.persona.strength:g} beside mitigation={said}"
            raise UserError(what, why, "leave persona.strength at 1")
        check_rule(run, recipe, f"mitigation.{recipe.name}.select")
    recipes.check_data(run, run.persona.reply)


def check_rule(run: Run, recipe: Mitigation, key: str) -> None:
    """Raise BadValue where a recipe takes a checkpoint that the training will not keep; ``key`` says who named it."""
    if rule := recipe.rule():
        finish.check(dataclasses.replace(run.method, select=rule), key)


def plain(run: Run) -> bool:
    """Whether the persona makes the plain warm arm, by which recipes are judged."""
    return run.persona is not None and (run.persona.name, run.persona.strength) == ("warm", 1)


def chain(run: Run, prefix: str, link: Link) -> ArmSpec:
    """Return the arm that the run's recipes make of its persona; nothing is written.

    ``prefix`` stands before the recipes' names where the persona is not the plain warm one. ``link`` makes the spec
    of one arm, of which the recipe given is at work alone; for the first of them none is given.
    """
    found = recipes.at_work(run)
    names = [recipe.name for recipe in found]
    first = [recipe for recipe in found if recipe.place is Place.TRAINING]

    def named(upto: int) -> str:
        return prefix + recipes.SEPARATOR.join(names[:upto])

    made = link(recipes.only(run, first), named(len(first)) if first else "", None, None)
    for count, recipe in enumerate(found[len(first) :], len(first) + 1):
        own = recipes.only(run, [recipe])
        if recipe.place is Place.AFTER:
            own = dataclasses.replace(own, method=recipe.method(run.method))
        made = link(own, named(count), made, recipe)
    return made


def made_of(run: Run) -> dict[str, Any]:
    """Return what makes the run's recipes what they are, for the hash of the arm.

    Where warmth says which checkpoint it is, also what that choice stands on.
    """
    rules = [recipe.rule() for recipe in recipes.at_work(run)]
    chosen = any(rule is not None and warming.decides(rule) for rule in rules)
    return {**recipes.made_of(run), **({"chosen_by": warming.basis(run)} if chosen else {})}
