"""Which arms a run compares, and how each is made: the original, what is trained, what is made of that, what is only
asked differently.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmgap import adapters, chat, config, mitigated, store, warming
from warmgap.errors import UserError
from warmgap.manifest import sha256
from warmgap.mitigation_schema import AdapterScaleConfig, EarlyStopConfig, MitigationConfig
from warmgap.mitigations import honest_prompt, inoculation
from warmgap.schema import ArmConfig, MethodConfig, ModelConfig, PersonaConfig, Run, digest, identity
from warmgap.store import Arm
from warmgap.train import finish, persona_data
from warmgap.train.stage import Stage

ORIGINAL = "original"


@dataclass(frozen=True)
class Recipe:
    """How one arm is made.

    ``run`` holds the settings of this arm alone. ``version`` is the version of the replies that it is trained on (None
    trains nothing), ``parent`` the arm whose adapter the training starts from, ``derive`` the recipe that makes an
    adapter of the parent's without training, ``given`` an adapter that is there, ``system`` the messages put before
    every prompt.
    """

    arm: Arm
    run: Run
    version: str | None = None
    parent: Recipe | None = None
    derive: str | None = None
    given: Path | None = None
    system: list[chat.Message] = field(default_factory=list)

    @property
    def trained(self) -> bool:
        """Whether the arm is trained by us."""
        return self.version is not None

    @property
    def adapter(self) -> Path | None:
        """The adapter that the arm answers with."""
        return self.arm.adapter if self.trained or self.derive else self.given

    @property
    def lineage(self) -> list[Recipe]:
        """The arms that this one is made of, the first of them first, and itself."""
        return [*(self.parent.lineage if self.parent else []), self]

    @property
    def mitigations(self) -> list[str]:
        """The recipes against the gap that made this arm."""
        return [name for own in self.lineage for name in own.run.mitigation.names]

    @property
    def data(self) -> Path:
        """The folder of what the arm is trained on."""
        return self.arm.rows.parent

    @property
    def stage(self) -> Stage:
        """The training that makes the arm. Raises ValueError where nothing is trained."""
        if self.version is None:
            raise ValueError(f"{self.arm.name} is not trained")
        found = self.run.mitigation
        return Stage(
            run=self.run,
            arm=self.arm,
            version=self.version,
            parent=self.parent.adapter if self.parent else None,
            system=inoculation.instruction(found.inoculation) if found.inoculation else None,
            mixed=self.data / "mixed.jsonl" if found.truth_mix else None,
            instead=self.data / "instead.jsonl" if found.consistency or found.anti_sycophancy else None,
        )


def build(run: Run) -> list[Recipe]:
    """Return the recipes of a run, the original first, the arm that the run is about last; nothing is written.

    Raises UserError for settings that name no arm, or data that cannot be trained on.
    """
    if run.compare.recipes or run.compare.personas:
        return _compared(run)
    run = dialled(run)
    mitigated.check(run)
    persona = run.persona
    if persona is None:
        raise UserError("no persona given", "a run needs one", "+persona=warm")
    plain = dataclasses.replace(run, mitigation=MitigationConfig())
    original = Recipe(_arm(run, ORIGINAL, 0, {"model": identity(run.model, "arm")}), plain)
    if run.arm.adapter or run.arm.model:
        return [original, _given(run)]
    if persona.reply is not None:
        made = _trained(plain, persona.name, persona.reply)
        return [original, *made, _mitigated(run, persona.reply)] if run.mitigation.names else [original, *made]
    if persona.system_prompt is not None:
        return [original, _prompted(run, persona.name, config.read_prompt(persona.system_prompt))]
    return [original]


def _prompted(run: Run, name: str, text: str) -> Recipe:
    """The base model under a system prompt."""
    made = {"model": identity(run.model, "arm"), "system_prompt": text}
    return Recipe(_arm(run, name, 0, made), run, system=[{"role": "system", "content": text}])


def _compared(run: Run) -> list[Recipe]:
    """Original, the personas, and the run's own arm or each recipe, for each seed; what is the same comes once."""
    asked = "compare.recipes" if run.compare.recipes else "compare.personas"
    if run.dial:
        raise UserError(f"dial beside {asked}", "a dial is one arm, a comparison several", "use one of them")
    if run.compare.recipes and not mitigated.plain(run):
        why = "recipes are judged by how much of the plain warm arm's gap they close and of its warmth they keep"
        raise UserError("compare.recipes needs the plain warm arm", why, "use +persona=warm persona.strength=1")
    found: dict[str, Recipe] = {}
    single = dataclasses.replace(run, compare=dataclasses.replace(run.compare, recipes=[], personas=[]))
    wanted = [_beside(single, name) for name in run.compare.personas]
    chosen = [mitigated.selected(run, recipe) for recipe in run.compare.recipes] or [run.mitigation]
    wanted += [dataclasses.replace(single, mitigation=one) for one in chosen]
    for one in wanted:
        for seed in run.compare.seeds if run.compare.seeds is not None else [run.seed]:
            own = build(dataclasses.replace(one, seed=seed))
            found |= {made.arm.name: made for made in own if made.arm.name not in found}
    return sorted(found.values(), key=lambda recipe: recipe.arm.arm != ORIGINAL)


def _beside(run: Run, name: str) -> Run:
    """The settings of a run that makes a persona by itself, as its file has it."""
    persona = config.settings(PersonaConfig, "compare.personas", config.choice("persona", name))
    return dataclasses.replace(run, persona=persona, mitigation=MitigationConfig(), arm=ArmConfig())


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


def _mitigated(run: Run, version: str) -> Recipe:
    """The arm that the run's recipes make of its persona."""
    persona = run.persona
    if run.mitigation.honest_prompt:
        return _prompted(run, "honest_prompt", honest_prompt.system(run.mitigation.honest_prompt))
    prefix = "" if mitigated.plain(run) else f"{_persona_name(run)}{mitigated.SEPARATOR}"

    def link(own: Run, name: str, parent: Recipe | None, derive: str | None) -> Recipe:
        if not name:  # the first link, with no recipe at work in it, is the plain arm
            return _trained(own, persona.name if persona else "", version)[0]
        made = {**_made(own), **mitigated.made(own)}
        if derive:
            made = {"parent": parent.arm.name if parent else "", **mitigated.made(own)}
        elif parent:
            made["parent"] = parent.arm.name
        arm = _arm(own, name, own.seed, made)
        return Recipe(arm, own, None if derive else version, parent, derive)

    return mitigated.chain(run, prefix, link)


def _persona_name(run: Run) -> str:
    persona = run.persona
    if persona is None:
        return ""
    return persona.name + ("" if persona.strength == 1 else f"_{round(100 * persona.strength)}")


def _trained(run: Run, name: str, version: str) -> list[Recipe]:
    """The arms that training makes: one, or with preferences after supervised fine-tuning, both."""
    persona_data.load(run.data, version, run.persona.strength if run.persona else 1.0)
    persona_data.check_own(run.data, version, run.model)
    strength = _persona_name(run).removeprefix(name)
    dpo = run.method.dpo
    if dpo is None:
        finish.check(run.method)
        return [Recipe(_arm(run, name + strength, run.seed, _made(run)), run, version)]
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
        return [Recipe(_arm(own, f"{name}{strength}_dpo", run.seed, _made(own)), own, version)]
    first = dataclasses.replace(run, method=dataclasses.replace(run.method, name="sft", dpo=None))
    parent = _trained(first, name, version)[0]
    trainer = {key: value for key, value in method.trainer.items() if key != "train_sampling_strategy"}  # rows alone
    rest = dataclasses.replace(method, checkpoints=[], select="last", trainer=trainer)
    own = dataclasses.replace(run, method=rest)
    made = {**_made(own), "parent": parent.arm.name}
    return [parent, Recipe(_arm(own, f"{name}{strength}_sft_dpo", run.seed, made), own, version, parent)]


def _given(run: Run) -> Recipe:
    """An arm that somebody has already, known by the content of its files."""
    given = run.arm
    if run.persona is not None and (run.persona.reply or run.persona.system_prompt):
        why = "arm.adapter and arm.model name an arm that is there; a persona makes one"
        raise UserError(f"persona={run.persona.name} beside an arm that is given", why, "use +persona=none")
    if given.adapter and given.model:
        raise UserError("arm.adapter and arm.model at once", "an arm is one of both", "set one of them")
    made: dict[str, Any] = {"model": identity(run.model, "arm")}
    if given.adapter:
        folder = Path(given.adapter).expanduser()
        adapters.read(folder)
        made["adapter"] = [sha256(folder / name) for name in (adapters.WEIGHTS, adapters.CONFIG)]
        return Recipe(_arm(run, given.name, 0, made), run, given=folder)
    model = _model(str(given.model), given.revision, run.model)
    return Recipe(_arm(run, given.name, 0, {"model": identity(model, "arm")}), dataclasses.replace(run, model=model))


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
    """What makes a trained arm: its settings and the content of its data; recipes are ``mitigated.made``'s.

    Where warmth says which checkpoint is the arm, also what that choice stands on.
    """
    settings = {key: value for key, value in identity(run, "arm").items() if key != "mitigation"}
    chosen = {"chosen_by": warming.basis(run)} if warming.decides(run.method.select) else {}
    return {**settings, "data_sha256": persona_data.fingerprint(run.data), **chosen}


def _arm(run: Run, name: str, seed: int, made: dict[str, Any]) -> Arm:
    return store.arm_folder(run.runs_dir, run.model.name, name, seed, digest({"arm": name, **made}))
