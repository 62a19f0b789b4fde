"""What ``dial`` stands for: one point of a sweep over the strength of warmth."""

from __future__ import annotations

import dataclasses
import math

from warmgap.arms import warming
from warmgap.errors import UserError
from warmgap.settings.mitigation_schema import AdapterScaleConfig, EarlyStopConfig, MitigationConfig
from warmgap.settings.schema import MethodConfig, Run
from warmgap.train import finish


def dialled(run: Run) -> Run:
    """Return the settings that ``dial`` stands for: one point of a sweep over the strength of warmth.

    ``strength:SHARE`` of the replies in the persona's voice, ``epoch:EPOCH`` of its training, ``scale:ALPHA`` of its
    adapter, ``prompt:FILE`` instead of a training. A dial turned to its end is the persona's own arm.
    """
    if run.dial is None:
        return run
    if run.persona is None or run.persona.reply is None or run.mitigation.names:
        fix = "use +persona=warm mitigation=none"
        raise UserError(f"dial={run.dial} has nothing to turn", "it changes a trained persona by itself", fix)
    kind, _, value = run.dial.partition(":")
    plain = dataclasses.replace(run, dial=None)
    try:
        if kind == "strength":
            persona = dataclasses.replace(run.persona, strength=float(value))
            if not 0 <= persona.strength <= 1:
                raise ValueError(value)
            return dataclasses.replace(plain, persona=persona)
        whole = {"epoch": arm_epoch(run.method), "scale": 1.0}
        if kind in whole and float(value) == whole[kind] and run.method.dpo is None:
            return plain
        if kind == "epoch":
            if not 0 < float(value) < math.inf:
                raise ValueError(value)
            rule = f"epoch:{float(value):g}"
            finish.check(dataclasses.replace(run.method, select=rule), "dial")
            return dataclasses.replace(plain, mitigation=MitigationConfig(early_stop=EarlyStopConfig(rule)))
        if kind == "scale":
            scaled = MitigationConfig(adapter_scale=AdapterScaleConfig(float(value)))
            return dataclasses.replace(plain, mitigation=scaled)
    except ValueError as error:
        fix = "such as strength:0.5, epoch:0.35, scale:0.5"
        raise UserError(f"dial={run.dial} makes no sense", f"{value!r} is no number in its range", fix) from error
    if kind == "prompt":
        name = value.removesuffix(".txt")
        persona = dataclasses.replace(run.persona, name=name, reply=None, system_prompt=f"{name}.txt")
        return dataclasses.replace(plain, persona=persona)
    why = "a dial is one of strength, epoch, scale, prompt"
    raise UserError(f"dial={run.dial} is not known", why, "such as dial=strength:0.5")


def arm_epoch(method: MethodConfig) -> float | None:
    """Return the epoch of the checkpoint that is the arm of a training; None where warmth is to say.

    Raises BadValue where ``method.select`` names none.
    """
    finish.check(method)
    if warming.decides(method.select):
        return None
    return float(method.select.partition(":")[2]) if method.select.startswith("epoch:") else method.epochs
