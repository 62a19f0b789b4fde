"""Arms are made: parents first, what a recipe reads or adds is written beside the arm, then trained or derived.

The recipes (``mitigations/``) and the training (``train/``) know nothing of one another: what passes between them lies
in the arm's ``data/`` folder, or is an ``Intervention`` that the training calls.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap.arms import recipes, warming
from warmgap.arms.engines import Engines
from warmgap.arms.spec import ArmSpec
from warmgap.disk import seals, store
from warmgap.disk.progress import say
from warmgap.disk.store import Arm
from warmgap.engines import models
from warmgap.engines.chat import Message
from warmgap.engines.hf import weights
from warmgap.engines.replies import STOP
from warmgap.evaluate.answer import answer
from warmgap.evaluate.suites.base import Prompt
from warmgap.mitigations.base import Material, Mitigation, Said
from warmgap.mitigations.pairs import Pair
from warmgap.settings.identity import digest
from warmgap.settings.schema import GenerateConfig, Run
from warmgap.train import checkpoints, finish, training
from warmgap.train.stage import Intervention

OnLog = Callable[[dict[str, Any]], None]


def make(spec: ArmSpec, engines: Engines, on_log: OnLog | None = None) -> None:
    """Make the adapters of an arm and of those that it is made of; nothing to do where they are there.

    ``on_log`` is given the logged rows of this arm's own training.
    """
    for own in spec.lineage:
        if not (own.trained or own.derive) or _there(own):
            continue
        again = own.arm.adapter.is_dir()
        store.remove_folder(own.arm.adapter)  # not what was written; what making it took is noted already
        started = time.monotonic()
        if own.trained:
            write_data(own, engines)
            weights.release()  # the training loads what it changes
            chooser = warming.chooser(own.run, own, engines)
            log = on_log if own is spec else None
            training.train(own.stage, log, chooser, interventions(own.run, own.arm, str(own.version)))
        else:
            derive(own, engines)
        models.give_back()
        if not again:
            store.append(own.arm.made_in, [{"what": "training", "seconds": round(time.monotonic() - started, 1)}])


def _there(spec: ArmSpec) -> bool:
    """Whether an arm's adapter is made; a damaged one can be made again without loss (see ``record``)."""
    lost = seals.changed(spec.arm.adapter)
    if lost is None:
        return False
    if not lost and (not spec.trained or finish.readable(spec.arm)):
        return True
    how = "taken from its checkpoint" if spec.trained else "derived"
    say(f"{spec.arm.name}: {', '.join(lost) or 'its choice of checkpoint'} is damaged; the adapter is {how} again")
    return False


def write_data(spec: ArmSpec, engines: Engines) -> None:
    """Write what the recipes add to the arm's training, or put in its place, into its ``data`` folder."""
    rows: dict[Path, list[dict[str, Any]]] = {}
    stage = spec.stage
    for recipe in spec.recipes:
        known = _material(spec, recipe, engines)
        recipe.prepare(known)
        path = {"beside": stage.mixed, "instead": stage.instead}.get(recipe.rows)
        if path is not None:
            rows.setdefault(path, []).extend(recipe.conversations(known))
    for path, some in rows.items():
        store.write_jsonl(path, some)


def _material(spec: ArmSpec, recipe: Mitigation, engines: Engines) -> Material:
    """What a recipe may know of the training of an arm."""
    parent = spec.parent

    def ask(asked: Sequence[Pair], max_new_tokens: int) -> dict[str, str]:
        if parent is None:
            raise ValueError(f"{spec.arm.name} has nobody's answers to keep to")
        prompts = [Prompt(recipe.name, pair.id, pair.feeling, "none", "", "none", pair.question) for pair in asked]
        how: GenerateConfig = dataclasses.replace(spec.run.generate, max_new_tokens=max_new_tokens, temperature=0.0)
        engine = engines.of(parent, parent.adapter, part_of_an_arm=True)
        journal = {recipe.name: parent.arm.answers(recipe.name)}
        rows = answer(engine, prompts, how, [], journal, f"plain answers · {parent.arm.arm}")
        return {row["item_id"]: row["answer"] for row in rows}

    folder = parent.adapter if parent is not None else None
    own = _Own(spec, recipe.name, engines)
    return recipes.material(spec.run, recipe, str(spec.version), spec.data, parent=folder, ask=ask, own=own)


@dataclass(frozen=True)
class _Own:
    """The base model, without an adapter or a recipe, as a recipe of an arm asks it (``mitigations.base.Own``)."""

    spec: ArmSpec
    name: str
    engines: Engines

    def __call__(
        self, asked: Mapping[str, Sequence[Message]], max_new_tokens: int, temperature: float = 0.0, draw: int = 0
    ) -> dict[str, Said]:
        """Answer what fits the model's window; the replies are kept among the arm's answers."""
        run, arm = self.spec.run, self.spec.arm
        engine = self.engines.of(ArmSpec(arm, recipes.only(run, [])), None, part_of_an_arm=True)
        seed = int(digest([run.seed, draw]), 16)
        how = dataclasses.replace(run.generate, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
        prompts = []
        for name, (*before, last) in asked.items():
            room = engine.room(engine.encode([*before, last]))
            if room is None or max_new_tokens <= room:
                place = (self.name, name, "own", "none", "", "none")
                prompts.append(Prompt(*place, last["content"], before=tuple(before)))
        what = f"own replies · {arm.arm} · {draw + 1}"
        rows = answer(engine, prompts, how, [], {self.name: arm.answers(self.name)}, what)
        return {row["item_id"]: Said(row["answer"], row["finish_reason"] == STOP) for row in rows}


def interventions(run: Run, arm: Arm, version: str) -> Sequence[Intervention]:
    """Return what the recipes do while the arm trains; in each of its processes the same."""
    folder = arm.rows.parent
    found = [recipe.intervention(recipes.material(run, recipe, version, folder)) for recipe in recipes.at_work(run)]
    return [one for one in found if one is not None]


@dataclass(frozen=True)
class _Parent:
    """The arm that an adapter is derived from, as a recipe sees it (``mitigations.base.Parent``)."""

    recipe: Mitigation
    parent: ArmSpec
    adapter: Path
    folder: Path
    engines: Engines

    def checkpoint(self, rule: str) -> Path:
        """Choose a checkpoint of the parent's training, keep the choice beside the derived arm, and say it."""
        method = dataclasses.replace(self.parent.run.method, select=rule)
        run, marks = dataclasses.replace(self.parent.run, method=method), finish.marks(self.parent.arm)
        choose = warming.chooser(run, self.parent, self.engines)
        choice = choose(marks) if choose is not None else finish.Choice(finish.selected(method, marks), rule)
        kept = {"step": choice.step, "rule": choice.rule, **choice.by}
        store.write_json(self.folder / finish.SELECTED, kept)
        say(f"{self.recipe.name.replace('_', ' ')}: epoch {marks[choice.step]:g} of {self.parent.run.method.epochs:g}")
        return self.parent.arm.checkpoints / f"checkpoint-{choice.step}"


def derive(spec: ArmSpec, engines: Engines) -> None:
    """Make an arm's adapter of its parent's, without training; it is put in its place whole."""
    parent = spec.parent
    if spec.derive is None or parent is None or parent.adapter is None:
        raise ValueError(f"{spec.arm.name} has no adapter to be made of")
    scratch = spec.arm.folder / ".adapter"
    store.remove_folder(scratch)
    scratch.mkdir(parents=True)
    derived = _Parent(spec.derive, parent, parent.adapter, spec.arm.folder, engines)
    spec.derive.derive(derived, scratch)
    checkpoints.seal(scratch)
    store.remove_folder(spec.arm.adapter)
    scratch.replace(spec.arm.adapter)
