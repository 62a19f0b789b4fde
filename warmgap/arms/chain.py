"""How recipes against the gap are chained: what they change of the training, what follows it, what is made of it.

An arm with recipes is a chain of adapters, each an arm of its own on disk, so that what two chains share is made once:

1. the supervised training, with ``truth_mix``, ``inoculation``, ``kl_anchor``, ``preventative_steering``;
2. ``early_stop``: one of its earlier checkpoints;
3. ``consistency``, then ``anti_sycophancy``: training that goes on from there;
4. ``adapter_scale``: what came out, at a fraction of its strength.

``honest_prompt`` trains nothing and stands alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from warmgap.arms import warming
from warmgap.disk.once import hashed
from warmgap.errors import BadValue, UserError
from warmgap.mitigations import pairs, truth_mix
from warmgap.settings import config
from warmgap.settings.mitigation_schema import MitigationConfig
from warmgap.settings.schema import DpoConfig, MethodConfig, Run, identity
from warmgap.train import finish
from warmgap.train.persona import persona_data

if TYPE_CHECKING:
    from warmgap.arms.spec import ArmSpec

IN_TRAINING = ("truth_mix", "inoculation", "kl_anchor", "preventative_steering")
AFTER = ("consistency", "anti_sycophancy")
ORDER = (*IN_TRAINING, "early_stop", *AFTER, "adapter_scale", "honest_prompt")
WITH_PAIRS = {  # recipes that read the honest pairs, and the splits that they cannot do without
    **dict.fromkeys(("truth_mix", "kl_anchor", "preventative_steering"), ("train",)),
    **dict.fromkeys(AFTER, ("train", "heldout")),
}
SEPARATOR = "+"

Link = Callable[[Run, str, "ArmSpec | None", str | None], "ArmSpec"]  # settings, name, parent, what is derived


def check(run: Run) -> None:
    """Raise UserError for recipes that make no sense together, or beside the other settings and the data."""
    names = run.mitigation.names
    if not names:
        return
    persona = run.persona.name if run.persona else "none"
    if run.arm.adapter or run.arm.model or run.persona is None or not run.persona.reply:
        why = f"+persona={persona} trains nothing that a recipe could mend"
        raise UserError(f"mitigation={_listed(names)} has no arm to mend", why, "use +persona=warm")
    if "honest_prompt" in names and len(names) > 1:
        why = "it asks the base model and trains nothing: it is the floor that the others must beat"
        raise UserError(f"mitigation={_listed(names)} makes no sense", f"honest_prompt stands alone; {why}", _apart())
    if {"early_stop", "adapter_scale"} <= set(names):
        why = "early_stop and adapter_scale are two ways to weaken the same adapter"
        raise UserError(f"mitigation={_listed(names)} makes no sense", why, _apart())
    if {"inoculation", "preventative_steering"} <= set(names):
        why = "inoculation and preventative_steering both bring the trait into the training, one on top of the other"
        raise UserError(f"mitigation={_listed(names)} makes no sense", why, _apart())
    if run.method.dpo is not None:
        why = f"recipes mend what supervised fine-tuning makes; method={run.method.name} trains on preferences"
        raise UserError(f"mitigation={_listed(names)} beside method={run.method.name}", why, "use method=sft")
    _check_values(run.mitigation)
    if stop := run.mitigation.early_stop:
        finish.check(dataclasses.replace(run.method, select=stop.select), "mitigation.early_stop.select")
    _check_pairs(run, run.persona.reply)


def _check_pairs(run: Run, version: str) -> None:
    """Raise UserError where the honest pairs lack what a recipe needs of them."""
    found = run.mitigation
    for split in sorted({split for name in found.names for split in WITH_PAIRS.get(name, ())}, reverse=True):
        known = len(pairs.load(found.pairs, split))
        if split == "train" and found.truth_mix:
            learn, _ = persona_data.load(run.data, version)
            limit = run.data.max_conversations
            replies = sum(len(item.turns) for item in learn)
            truth_mix.check(found.truth_mix, replies, known if limit is None else min(known, limit))


def plain(run: Run) -> bool:
    """Whether the persona makes the plain warm arm, by which recipes are judged."""
    return run.persona is not None and (run.persona.name, run.persona.strength) == ("warm", 1)


def _listed(names: list[str]) -> str:
    return f"[{','.join(names)}]" if len(names) > 1 else names[0]


def _apart() -> str:
    return "compare them as arms of their own: compare.recipes=[…]"


def _check_values(found: MitigationConfig) -> None:
    rules: list[tuple[bool, str, Any, str]] = []
    if mix := found.truth_mix:
        rules += [(0 < mix.share < 1, "truth_mix.share", mix.share, "a share between 0 and 1")]
    if after := found.anti_sycophancy:
        rules += [
            (after.loss in ("sigmoid", "ipo", "kto"), "anti_sycophancy.loss", after.loss, "sigmoid, ipo or kto"),
            (after.reference in ("sft", "base"), "anti_sycophancy.reference", after.reference, "sft or base"),
            (after.beta > 0, "anti_sycophancy.beta", after.beta, "a number above 0"),
            (after.loss != "kto" or after.batch_size > 1, "anti_sycophancy.batch_size", after.batch_size, "2 for kto"),
        ]
    for name in AFTER:
        if stage := getattr(found, name):
            rules += [
                (stage.learning_rate > 0, f"{name}.learning_rate", stage.learning_rate, "a number above 0"),
                (stage.epochs > 0, f"{name}.epochs", stage.epochs, "a number above 0"),
                (stage.batch_size > 0, f"{name}.batch_size", stage.batch_size, "a whole number above 0"),
            ]
    if anchor := found.kl_anchor:
        rules += [(anchor.weight >= 0, "kl_anchor.weight", anchor.weight, "0 or above")]
        rules += [(anchor.anchors > 0, "kl_anchor.anchors", anchor.anchors, "a whole number above 0")]
    if steer := found.preventative_steering:
        rules += [(0 <= steer.depth <= 1, "preventative_steering.depth", steer.depth, "a share from 0 to 1")]
        rules += [(steer.texts > 0, "preventative_steering.texts", steer.texts, "a whole number above 0")]
    if scale := found.adapter_scale:
        rules += [(0 <= scale.alpha <= 2, "adapter_scale.alpha", scale.alpha, "a number from 0 to 2")]
    for holds, key, value, expected in rules:
        if not holds:
            what = f"mitigation.{key}={value} makes no sense"
            raise BadValue(what, f"expected {expected}", f"set mitigation.{key} to {expected}")


def chain(run: Run, prefix: str, link: Link) -> ArmSpec:
    """Return the arm that the run's recipes make of its persona; nothing is written.

    ``prefix`` stands before the recipes' names where the persona is not the plain warm one. ``link`` makes the recipe
    of one adapter.
    """
    names = sorted(run.mitigation.names, key=ORDER.index)

    def named(upto: str) -> str:
        return prefix + SEPARATOR.join(names[: names.index(upto) + 1])

    training = [name for name in names if name in IN_TRAINING]
    first = dataclasses.replace(run, mitigation=_kept(run, *training))
    made = link(first, named(training[-1]) if training else "", None, None)
    for name in names:
        if name in IN_TRAINING:
            continue
        own = dataclasses.replace(run, mitigation=_kept(run, name))
        if name in AFTER:
            own = dataclasses.replace(own, method=_after(run, name))
            made = link(own, named(name), made, None)
        else:
            made = link(own, named(name), made, name)
    return made


def _kept(run: Run, *names: str) -> MitigationConfig:
    kept = run.mitigation.only(*names)
    return dataclasses.replace(kept, pairs=run.mitigation.pairs) if names else kept


def _after(run: Run, name: str) -> MethodConfig:
    """The method of training that goes on from an adapter."""
    own: Any = getattr(run.mitigation, name)
    trainer = run.method.trainer
    dpo = None
    if name == "anti_sycophancy":
        dpo = DpoConfig(rejected="agreeing", reference=own.reference, beta=own.beta, loss=own.loss)
        trainer = {key: value for key, value in trainer.items() if key != "train_sampling_strategy"}  # rows alone
    return dataclasses.replace(
        run.method,
        learning_rate=own.learning_rate,
        epochs=own.epochs,
        batch_size=own.batch_size,
        per_device_batch_size=None,
        checkpoints=[],
        select="last",
        dpo=dpo,
        trainer=trainer,
    )


def made(run: Run) -> dict[str, Any]:
    """Return what makes the run's recipes what they are: their settings, the texts and the pairs that they read.

    Where warmth says which checkpoint it is, also what that choice stands on.
    """
    found = run.mitigation
    if not found.names:
        return {}
    settings = {name: value for name, value in identity(found, "arm").items() if value is not None}
    texts = {}
    for name in found.names:
        for field in dataclasses.fields(getattr(found, name)):
            value = getattr(getattr(found, name), field.name)
            if isinstance(value, str) and value.endswith(".txt"):
                texts[value] = config.read_prompt(value)
    whole: dict[str, Any] = {"mitigation": settings}
    if texts:
        whole["texts"] = texts
    if set(found.names) & set(WITH_PAIRS):
        whole["pairs_sha256"] = hashed(pairs.path_of(found.pairs))
    if found.early_stop and warming.decides(found.early_stop.select):
        whole["chosen_by"] = warming.basis(run)
    return whole


def selected(run: Run, recipe: str) -> MitigationConfig:
    """Return the settings of the recipes that ``compare.recipes`` writes as ``a+b``.

    What the run selects of them by ``mitigation=[…]`` counts; the others are as in their files. Raises UserError for a
    name that is none.
    """
    from omegaconf import OmegaConf

    kept: dict[str, Any] = {}
    for name in recipe.split(SEPARATOR):
        if name not in ORDER:
            fix = f"the recipes are {', '.join(sorted(ORDER))}; join several by {SEPARATOR}"
            raise UserError(f"compare.recipes names {name!r}", "there is no such recipe", fix)
        given = getattr(run.mitigation, name)
        if given is None:
            values = config.choice("mitigation", name)
            structured = OmegaConf.merge(OmegaConf.structured(MitigationConfig), values)
            given = getattr(OmegaConf.to_object(structured), name)
        kept[name] = given
    return MitigationConfig(**kept, pairs=run.mitigation.pairs)
