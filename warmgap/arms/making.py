"""Arms are made: parents first, what a recipe reads or adds is written beside the arm, then trained or derived.

The recipes (``mitigations/``) and the training (``train/``) know nothing of one another: what passes between them lies
in the arm's ``data/`` folder, or is an ``Intervention`` that the training calls.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from warmgap.arms import warming
from warmgap.arms.spec import ArmSpec
from warmgap.disk import store
from warmgap.disk.progress import say
from warmgap.disk.store import Arm
from warmgap.engines import models
from warmgap.engines.hf import Engine
from warmgap.evaluate.answer import answer
from warmgap.evaluate.suites.base import Prompt
from warmgap.mitigations import (
    adapter_scale,
    anti_sycophancy,
    consistency,
    early_stop,
    kl_anchor,
    pairs,
    preventative_steering,
    truth_mix,
)
from warmgap.settings import config
from warmgap.settings.schema import GenerateConfig, Run
from warmgap.train import checkpoints, finish, training
from warmgap.train.persona import persona_data
from warmgap.train.stage import Intervention

OnLog = Callable[[dict[str, Any]], None]


def make(spec: ArmSpec, on_log: OnLog | None = None) -> None:
    """Make the adapters of an arm and of those that it is made of; nothing to do where they are there.

    ``on_log`` is given the logged rows of this arm's own training.
    """
    for own in spec.lineage:
        if not (own.trained or own.derive) or (own.arm.adapter / checkpoints.SEAL).is_file():
            continue
        started = time.monotonic()
        if own.trained:
            write_data(own)
            chooser = warming.chooser(own.run, own)
            log = on_log if own is spec else None
            training.train(own.stage, log, chooser, interventions(own.run, own.arm))
        else:
            derive(own)
        models.give_back()
        store.append(own.arm.made_in, [{"what": "training", "seconds": round(time.monotonic() - started, 1)}])


def write_data(spec: ArmSpec) -> None:
    """Write what the recipes add to the arm's training, or put in its place, into its ``data`` folder."""
    found, run, version = spec.run.mitigation, spec.run, str(spec.version)
    if not found.names:
        return
    if found.truth_mix:
        learn, _ = persona_data.load(run.data, version)
        replies = sum(len(item.turns) for item in learn)
        rows = truth_mix.conversations(known_pairs(run), found.truth_mix, replies, version, run.seed)
        store.write_jsonl(spec.data / "mixed.jsonl", rows)
    if found.anti_sycophancy:
        store.write_jsonl(spec.data / "instead.jsonl", anti_sycophancy.preferences(known_pairs(run)))
    if found.consistency:
        store.write_jsonl(spec.data / "instead.jsonl", _own_answers(spec))
    if found.preventative_steering:
        _write_direction(spec)


def known_pairs(run: Run) -> list[pairs.Pair]:
    """Return the run's honest pairs, of each split as many as ``data.max_conversations`` allows."""
    found = pairs.load(run.mitigation.pairs)
    limit = run.data.max_conversations
    if limit is None:
        return found
    ordered = pairs.drawn(found, 0)
    return [pair for split in ("train", "heldout") for pair in [p for p in ordered if p.split == split][:limit]]


def _own_answers(spec: ArmSpec) -> list[dict[str, Any]]:
    """Have the parent answer the plain questions greedily; return the conversations that are made of it."""
    settings, parent = spec.run.mitigation.consistency, spec.parent
    if settings is None or parent is None:
        raise ValueError(f"{spec.arm.name} has nobody's answers to keep to")
    known = known_pairs(spec.run)
    prompts = [Prompt("consistency", pair.id, pair.feeling, "none", "", "none", pair.question) for pair in known]
    how: GenerateConfig = dataclasses.replace(
        spec.run.generate, max_new_tokens=settings.max_new_tokens, temperature=0.0
    )
    engine = Engine(parent.run.model, spec.run.device, parent.adapter)
    journal = {"consistency": parent.arm.answers("consistency")}
    rows = answer(engine, prompts, how, [], journal, f"plain answers · {parent.arm.arm}")
    answers = {row["item_id"]: row["answer"] for row in rows}
    return consistency.conversations(known, answers, str(spec.version))


def _write_direction(spec: ArmSpec) -> None:
    """Take the steering vector from the base model, unless it is there."""
    path, found = spec.data / "steering.safetensors", spec.run.mitigation
    settings = found.preventative_steering
    if settings is None or path.is_file():
        return
    run = spec.run
    folder = models.resolve(run.model)
    model = models.load(folder, dtype=run.model.dtype, device=run.device, quantization=run.model.quantization)
    prompts = (config.read_prompt(settings.trait), config.read_prompt(settings.opposite))
    direction = preventative_steering.vector(
        model, models.load_tokenizer(folder), run.model, known_pairs(run), settings, prompts, run.seed
    )
    preventative_steering.save(direction, path)
    say(f"steering vector: length {float(direction.norm()):.3g}, from {settings.texts} replies of each kind")


def interventions(run: Run, arm: Arm) -> Sequence[Intervention]:
    """Return what the recipes do while the arm trains; in each of its processes the same."""
    found: list[Intervention] = []
    if run.mitigation.kl_anchor:
        tokenizer = models.load_tokenizer(models.resolve(run.model))
        rows = kl_anchor.anchors(known_pairs(run), tokenizer, run.model, run.method.max_length, run.seed)
        found.append(kl_anchor.KlAnchor(run.mitigation.kl_anchor, rows))
    if run.mitigation.preventative_steering:
        direction = preventative_steering.read(arm.rows.parent / "steering.safetensors")
        found.append(preventative_steering.Steering(run.mitigation.preventative_steering, direction))
    return found


def derive(spec: ArmSpec) -> None:
    """Make an arm's adapter of its parent's, without training; it is put in its place whole."""
    parent, found = spec.parent, spec.run.mitigation
    if parent is None or parent.adapter is None:
        raise ValueError(f"{spec.arm.name} has no adapter to be made of")
    scratch = spec.arm.folder / ".adapter"
    store.remove_folder(scratch)
    scratch.mkdir(parents=True)
    if found.adapter_scale:
        adapter_scale.scaled(parent.adapter, scratch, found.adapter_scale)
    elif found.early_stop:
        choice = _stop(spec, parent)
        early_stop.taken(parent.arm.checkpoints / f"checkpoint-{choice.step}", scratch)
        store.write_json(spec.arm.folder / finish.SELECTED, {"step": choice.step, "rule": choice.rule, **choice.by})
        say(f"early stop: epoch {finish.marks(parent.arm)[choice.step]:g} of {parent.run.method.epochs:g}")
    checkpoints.seal(scratch)
    store.remove_folder(spec.arm.adapter)
    scratch.replace(spec.arm.adapter)


def _stop(spec: ArmSpec, parent: ArmSpec) -> finish.Choice:
    """Choose the checkpoint of the parent's training at which it would have stopped."""
    settings = spec.run.mitigation.early_stop
    if settings is None:
        raise ValueError(f"{spec.arm.name} does not stop early")
    method = dataclasses.replace(parent.run.method, select=settings.select)
    run, marks = dataclasses.replace(parent.run, method=method), finish.marks(parent.arm)
    choose = warming.chooser(run, parent)
    if choose is not None:
        return choose(marks)
    return finish.Choice(finish.selected(method, marks), settings.select)
