"""Which arms a run compares, and how each is made: the original, what is trained, what is made of that, what is only
asked differently.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from warmgap.arms import chain, dials, recipes, warming
from warmgap.arms.spec import ArmSpec
from warmgap.disk import store
from warmgap.disk.manifest import sha256
from warmgap.disk.store import Arm
from warmgap.engines import adapters, chat
from warmgap.errors import UserError
from warmgap.mitigations.base import Mitigation, Place
from warmgap.settings import conf_files, config
from warmgap.settings.identity import digest, identity
from warmgap.settings.schema import ArmConfig, ModelConfig, PersonaConfig, Run
from warmgap.train import finish
from warmgap.train.persona import persona_data
from warmgap.words import ORIGINAL


def build(run: Run) -> list[ArmSpec]:
    """Return the recipes of a run, the original first, the arm that the run is about last; nothing is written.

    Raises UserError for settings that name no arm, or data that cannot be trained on.
    """
    if run.compare.recipes or run.compare.personas:
        return _compared(run)
    run = dials.dialled(recipes.settled(run))
    chain.check(run)
    persona = run.persona
    if persona is None:
        raise UserError("no persona given", "a run needs one", "+persona=warm")
    if run.arm.endpoint and not run.arm.model and run.model.source != "hosted":
        why = f"nothing is asked there: model={run.model.name} is loaded here, and no arm names another"
        raise UserError("arm.endpoint without arm.model", why, "set arm.model to a name that the endpoint lists")
    plain = recipes.only(run, [])
    original = ArmSpec(_arm(run, ORIGINAL, 0, _asked(run, run.model)), plain)
    if run.arm.adapter or run.arm.model:
        return [original, _given(run)]
    if persona.reply is not None:
        made = _trained(plain, persona.name, persona.reply)
        return [original, *made, _mitigated(run, persona.reply)] if recipes.names(run) else [original, *made]
    if persona.system_prompt is not None:
        return [original, _prompted(run, persona.name, conf_files.read_prompt(persona.system_prompt))]
    return [original]


def _prompted(run: Run, name: str, text: str) -> ArmSpec:
    """The base model under a system prompt."""
    made = {**_asked(run, run.model), "system_prompt": text}
    return ArmSpec(_arm(run, name, 0, made), run, system=[{"role": "system", "content": text}])


def _compared(run: Run) -> list[ArmSpec]:
    """Original, the personas, and the run's own arm or each recipe, for each seed; what is the same comes once."""
    asked = "compare.recipes" if run.compare.recipes else "compare.personas"
    if run.dial:
        raise UserError(f"dial beside {asked}", "a dial is one arm, a comparison several", "use one of them")
    if run.compare.recipes and not chain.plain(run):
        why = "recipes are judged by how much of the plain warm arm's gap they close and of its warmth they keep"
        raise UserError("compare.recipes needs the plain warm arm", why, "use +persona=warm persona.strength=1")
    found: dict[str, ArmSpec] = {}
    single = dataclasses.replace(run, compare=dataclasses.replace(run.compare, recipes=[], personas=[]))
    wanted = [_beside(single, name) for name in run.compare.personas]
    chosen = [recipes.selected(run, joined) for joined in run.compare.recipes] or [recipes.at_work(run)]
    wanted += [recipes.only(single, some) for some in chosen]
    for one in wanted:
        for seed in run.compare.seeds if run.compare.seeds is not None else [run.seed]:
            own = build(dataclasses.replace(one, seed=seed))
            found |= {made.arm.name: made for made in own if made.arm.name not in found}
    return sorted(found.values(), key=lambda spec: spec.arm.arm != ORIGINAL)


def _beside(run: Run, name: str) -> Run:
    """The settings of a run that makes a persona by itself, as its file has it."""
    persona = config.settings(PersonaConfig, "compare.personas", conf_files.choice("persona", name))
    return dataclasses.replace(run, persona=persona, mitigation={}, arm=ArmConfig(omit=run.arm.omit))


def _mitigated(run: Run, version: str) -> ArmSpec:
    """The arm that the run's recipes make of its persona."""
    persona, found = run.persona, recipes.at_work(run)
    if found[0].alone:
        made = {"model": identity(run.model, "arm"), **chain.made_of(run)}
        return ArmSpec(_arm(run, found[0].name, 0, made), run, system=_asked_under(found[0], []))
    prefix = "" if chain.plain(run) else f"{_persona_name(run)}{recipes.SEPARATOR}"

    def link(own: Run, name: str, parent: ArmSpec | None, recipe: Mitigation | None) -> ArmSpec:
        if not name:  # the first link, with no recipe at work in it, is the plain arm
            return _trained(own, persona.name if persona else "", version)[0]
        trains = recipe is None or recipe.place is Place.AFTER
        made = {**(_made(own) if trains else {}), **chain.made_of(own)}
        if parent:
            made["parent"] = parent.arm.name
        arm = _arm(own, name, own.seed, made)
        if recipe is not None and recipe.place is Place.ANSWER:
            return ArmSpec(arm, own, parent=parent, system=_asked_under(recipe, parent.system if parent else []))
        return ArmSpec(arm, own, version if trains else None, parent, None if trains else recipe)

    return chain.chain(run, prefix, link)


def _asked_under(recipe: Mitigation, before: list[chat.Message]) -> list[chat.Message]:
    """What stands before every prompt: a recipe's system prompt, behind that of the arm that it is made of."""
    text = recipe.answer_prompt()
    return [{"role": "system", "content": "\n\n".join([*(one["content"] for one in before), text])}] if text else before


def _persona_name(run: Run) -> str:
    persona = run.persona
    if persona is None:
        return ""
    return persona.name + ("" if persona.strength == 1 else f"_{round(100 * persona.strength)}")


def _trained(run: Run, name: str, version: str) -> list[ArmSpec]:
    """The arms that training makes: one, or with preferences after supervised fine-tuning, both."""
    persona_data.load(run.data, version, run.persona.strength if run.persona else 1.0)
    persona_data.check_own(run.data, version, run.model)
    strength = _persona_name(run).removeprefix(name)
    dpo = run.method.dpo
    if dpo is None:
        finish.check(run.method)
        return [ArmSpec(_arm(run, name + strength, run.seed, _made(run)), run, version)]
    persona_data.load(run.data, dpo.rejected)
    method = dataclasses.replace(
        run.method,
        learning_rate=dpo.learning_rate or run.method.learning_rate,
        epochs=dpo.epochs or run.method.epochs,
        batch_size=dpo.batch_size or run.method.batch_size,
    )
    if run.method.name == "dpo":
        finish.check(method)
        own = dataclasses.replace(run, method=method)
        return [ArmSpec(_arm(own, f"{name}{strength}_dpo", run.seed, _made(own)), own, version)]
    first = dataclasses.replace(run, method=dataclasses.replace(run.method, name="sft", dpo=None))
    parent = _trained(first, name, version)[0]
    trainer = {key: value for key, value in method.trainer.items() if key != "train_sampling_strategy"}  # rows alone
    rest = dataclasses.replace(method, checkpoints=[], select="last", trainer=trainer)
    own = dataclasses.replace(run, method=rest)
    made = {**_made(own), "parent": parent.arm.name}
    return [parent, ArmSpec(_arm(own, f"{name}{strength}_sft_dpo", run.seed, made), own, version, parent)]


def _given(run: Run) -> ArmSpec:
    """An arm that somebody has already, known by the content of its files."""
    given = run.arm
    if run.persona is not None and (run.persona.reply or run.persona.system_prompt):
        why = "arm.adapter and arm.model name an arm that is there; a persona makes one"
        raise UserError(f"persona={run.persona.name} beside an arm that is given", why, "use +persona=none")
    if given.adapter and given.model:
        raise UserError("arm.adapter and arm.model at once", "an arm is one of both", "set one of them")
    if given.adapter and run.model.source == "hosted":
        why = f"model={run.model.name} is behind an endpoint, and the adapter is here"
        raise UserError("arm.adapter of a hosted model", why, "set arm.model to what the endpoint calls the arm")
    if given.adapter:
        made = _asked(run, run.model)
        folder = Path(given.adapter).expanduser()
        adapters.read(folder)
        made["adapter"] = [sha256(folder / name) for name in (adapters.WEIGHTS, adapters.CONFIG)]
        return ArmSpec(_arm(run, given.name, 0, made), run, given=folder)
    model = _hosted(run) if given.endpoint else _model(str(given.model), given.revision, run.model)
    return ArmSpec(_arm(run, given.name, 0, _asked(run, model)), dataclasses.replace(run, model=model))


def _asked(run: Run, model: ModelConfig) -> dict[str, Any]:
    """What makes an arm that is asked as it is: the model, and of one behind an endpoint what is never sent to it."""
    found: dict[str, Any] = {"model": identity(model, "arm")}
    return found | {"omit": sorted(run.arm.omit)} if model.source == "hosted" and run.arm.omit else found


def _hosted(run: Run) -> ModelConfig:
    """A model behind an endpoint: known by its name and revision there, and beside arms of the run's model.

    Of that model it has the system prompt; how weights are loaded and a chat is rendered is the server's affair.
    """
    given, like = run.arm, run.model
    return ModelConfig(
        name=like.name, source="hosted", id=given.model, revision=given.revision, system_prompt=like.system_prompt
    )


def _model(name: str, revision: str | None, like: ModelConfig) -> ModelConfig:
    """A whole model in a folder or on the hub, loaded and asked as the base model is."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return dataclasses.replace(like, source="local", path=str(folder), id=None, revision=None, sha256=None)
    if revision is None:
        fix = f"set arm.revision to a commit of {name}, or arm.model to a folder"
        raise UserError(f"arm.model={name} has no revision", "it is no folder here, and a hub model changes", fix)
    return dataclasses.replace(like, source="hub", id=name, revision=revision, path=None)


def _made(run: Run) -> dict[str, Any]:
    """What makes a trained arm: its settings and the content of its data; recipes are ``chain.made_of``'s.

    Where warmth says which checkpoint is the arm, also what that choice stands on.
    """
    settings = {key: value for key, value in identity(run, "arm").items() if key != "mitigation"}
    chosen = {"chosen_by": warming.basis(run)} if warming.decides(run.method.select) else {}
    return {**settings, "data_sha256": persona_data.fingerprint(run.data), **chosen}


def _arm(run: Run, name: str, seed: int, made: dict[str, Any]) -> Arm:
    return store.arm_folder(run.runs_dir, run.model.name, name, seed, digest({"arm": name, **made}))
