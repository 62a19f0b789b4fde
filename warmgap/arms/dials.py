"""What ``dial`` stands for: one point of a sweep over the strength of warmth."""

from __future__ import annotations

import dataclasses

from warmgap import mitigations
from warmgap.arms import chain, recipes, warming
from warmgap.errors import UserError
from warmgap.settings.schema import MethodConfig, Run
from warmgap.train import finish


def dialled(run: Run) -> Run:
    """Return the settings that ``dial`` stands for: one point of a sweep over the strength of warmth.

    ``strength:SHARE`` of the replies in the persona's voice, ``prompt:FILE`` instead of a training, and the dials of
    recipes: ``epoch:EPOCH`` of its training, ``scale:ALPHA`` of its adapter. A dial turned to its end is the persona's
    own arm.
    """
    if run.dial is None:
        return run
    if run.persona is None or run.persona.reply is None or recipes.names(run):
        fix = "use +persona=warm mitigation=none"
        raise UserError(f"dial={run.dial} has nothing to turn", "it changes a trained persona by itself", fix)
    kind, _, value = run.dial.partition(":")
    plain = dataclasses.replace(run, dial=None)
    if kind == "prompt":
        name = value.removesuffix(".txt")
        persona = dataclasses.replace(run.persona, name=name, reply=None, system_prompt=f"{name}.txt")
        return dataclasses.replace(plain, persona=persona)
    turned = {recipe.dial: recipe for recipe in mitigations.table().values() if recipe.dial}
    if kind != "strength" and kind not in turned:
        why = f"a dial is one of strength, {', '.join(turned)}, prompt"
        raise UserError(f"dial={run.dial} is not known", why, "such as dial=strength:0.5")
    if kind in turned and run.method.dpo is not None:
        why = f"it turns what supervised fine-tuning makes; method={run.method.name} trains on preferences"
        raise UserError(f"dial={run.dial} beside method={run.method.name}", why, "use method=sft")
    try:
        if kind == "strength":
            persona = dataclasses.replace(run.persona, strength=float(value))
            if not 0 <= persona.strength <= 1:
                raise ValueError(value)
            return dataclasses.replace(plain, persona=persona)
        recipe = turned[kind].turned(float(value), arm_epoch(run.method))
    except ValueError as error:
        fix = "such as strength:0.5, epoch:0.35, scale:0.5"
        raise UserError(f"dial={run.dial} makes no sense", f"{value!r} is no number in its range", fix) from error
    if recipe is None:
        return plain
    chain.check_rule(run, recipe, "dial")
    return recipes.only(plain, [recipe])


def arm_epoch(method: MethodConfig) -> float | None:
    """Return the epoch of the checkpoint that is the arm of a training; None where warmth is to say.

    Raises BadValue where ``method.select`` names none.
    """
    finish.check(method)
    if warming.decides(method.select):
        return None
    return float(method.select.partition(":")[2]) if method.select.startswith("epoch:") else method.epochs
