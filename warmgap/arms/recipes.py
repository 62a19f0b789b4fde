"""The recipes at work in a run: read from its settings, checked, and given what they may know of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from warmgap import mitigations
from warmgap.disk.once import hashed
from warmgap.errors import BadValue, UserError
from warmgap.mitigations import pairs
from warmgap.mitigations.base import Material, Mitigation, Own
from warmgap.settings import conf_files, config, explain, fits, plugins
from warmgap.settings.command_schema import RewriteConfig
from warmgap.settings.schema import Run
from warmgap.train.persona import persona_data, rewrite_checks

PAIRS = "pairs"  # beside the recipes in a run's settings: a file of honest pairs
SEPARATOR = "+"


def at_work(run: Run) -> list[Mitigation]:
    """Return the recipes of a run with their settings, in the order in which they act.

    Raises UserError for a recipe that there is not, and for settings that it has not or that are of another type.
    """
    return of(run.mitigation)


def of(settings: Mapping[str, Any]) -> list[Mitigation]:
    """Return the recipes that stand in the settings ``mitigation`` of a run; raises as ``at_work`` does."""
    known = mitigations.table()
    found: dict[str, Mitigation] = {}
    for name, given in settings.items():
        if name == PAIRS or given is None:
            continue
        if name not in known:
            raise explain.unknown_key_error(f"mitigation.{name}", sorted([*known, PAIRS]))
        is_made = isinstance(given, known[name])
        found[name] = given if is_made else config.made(known[name], given, f"mitigation.{name}")
    return sorted(found.values(), key=lambda recipe: list(known).index(recipe.name))


def names(run: Run) -> list[str]:
    """Return the names of the recipes at work, in the order in which they act."""
    return [recipe.name for recipe in at_work(run)]


def settled(run: Run) -> Run:
    """Return the run with its recipes made of their settings, so that these have the types that they are to have."""
    return only(run, at_work(run))


def worth_trying() -> dict[str, dict[str, str]]:
    """Return by kind of harm the recipe that may be tried without a training, and why; of several the first."""
    found: dict[str, dict[str, str]] = {}
    for name, recipe in mitigations.table().items():
        for harm, why in recipe.worth_trying.items():
            found.setdefault(harm, {"recipe": name, "why": why})
    return found


def only(run: Run, recipes: Iterable[Mitigation]) -> Run:
    """Return the run with these recipes alone."""
    kept: dict[str, Any] = {recipe.name: recipe for recipe in recipes}
    given = pairs_of(run)
    return dataclasses.replace(run, mitigation={**kept, PAIRS: given} if kept and given else kept)


def pairs_of(run: Run) -> str | None:
    """Return the file of honest pairs that is to be read instead of the embedded ones, if any."""
    given = run.mitigation.get(PAIRS)
    if not isinstance(given, str | None):
        raise UserError(f"mitigation.pairs={given} is no file", "expected the name of a file", "give it as a text")
    return given


def selected(run: Run, joined: str) -> list[Mitigation]:
    """Return the recipes that ``compare.recipes`` writes as ``a+b``.

    What the run selects of them by ``mitigation=[…]`` counts; the others are as in their files. Raises UserError for a
    name that is none.
    """
    known, given = mitigations.table(), {recipe.name: recipe for recipe in at_work(run)}
    found = []
    for name in joined.split(SEPARATOR):
        if name not in known:
            fix = f"the recipes are {', '.join(sorted(known))}; join several by {SEPARATOR}"
            raise UserError(f"compare.recipes names {name!r}", "there is no such recipe", fix)
        values = conf_files.choice("mitigation", name).get(name) if name not in given else None
        found.append(given.get(name) or config.made(known[name], values, f"mitigation.{name}"))
    return found


def check(run: Run) -> None:
    """Raise UserError for recipes that stand beside one another in vain, or whose values or data make no sense."""
    found = at_work(run)
    listed = [recipe.name for recipe in found]
    for recipe in found:
        if recipe.alone and len(found) > 1:
            raise _in_vain(listed, f"{recipe.name} stands alone; {recipe.alone}")
        for why in (why for other, why in recipe.apart.items() if other in listed):
            raise _in_vain(listed, why)
    for recipe in found:
        fits.check(recipe, f"mitigation.{recipe.name}")
        for holds, key, value, expected in recipe.rules():
            if not holds:
                what = f"mitigation.{recipe.name}.{key}={value} makes no sense"
                raise BadValue(what, f"expected {expected}", f"set mitigation.{recipe.name}.{key} to {expected}")


def _in_vain(listed: list[str], why: str) -> UserError:
    fix = "compare them as arms of their own: compare.recipes=[…]"
    return UserError(f"mitigation={said(listed)} makes no sense", why, fix)


def said(listed: list[str]) -> str:
    """Return recipes as they are named on the command line."""
    return f"[{','.join(listed)}]" if len(listed) > 1 else listed[0]


def check_data(run: Run, version: str) -> None:
    """Raise UserError where the honest pairs, or the persona's replies, lack what a recipe needs of them."""
    found = at_work(run)
    for split in sorted({split for recipe in found for split in recipe.reads}, reverse=True):
        pairs.load(pairs_of(run), split)
    for recipe in found:
        recipe.check(material(run, recipe, version, Path()))


def made_of(run: Run) -> dict[str, Any]:
    """Return what makes the run's recipes what they are: their settings, the texts and the pairs that they read.

    Of a recipe that somebody else has added, also where it comes from and the hash of its files.
    """
    found, whole = at_work(run), dict[str, Any]()
    for recipe in found:
        for key, value in recipe.made_of().items():
            whole[key] = {**whole[key], **value} if key in whole else value
    if any(recipe.reads for recipe in found):
        whole["pairs_sha256"] = hashed(pairs.path_of(pairs_of(run)))
    if owed := plugins.owed("mitigations", [recipe.name for recipe in found]):
        whole["owed"] = owed
    return whole


def material(
    run: Run,
    recipe: Mitigation,
    version: str,
    folder: Path,
    *,
    parent: Path | None = None,
    ask: Any = None,
    own: Own | None = None,
) -> Material:
    """Return what a recipe may know of the training of a run's arm; ``folder`` is where its data lie."""

    def replies() -> int:
        learn, _ = persona_data.load(run.data, version)
        return sum(len(item.turns) for item in learn)

    def persona() -> list[dict[str, Any]]:
        return [
            {"id": item.id, "split": item.split, "kind": item.kind, "turns": [_turn(turn) for turn in item.turns]}
            for some in persona_data.load(run.data, version)
            for item in some
        ]

    def nobody(*_: Any, **__: Any) -> Any:
        raise ValueError(f"{recipe.name} has nobody to ask")

    known = known_pairs(run) if recipe.reads else []
    return Material(
        model=run.model,
        device=run.device,
        version=version,
        seed=run.seed,
        max_length=run.method.max_length,
        folder=folder,
        pairs=known,
        replies=replies,
        ask=ask or nobody,
        parent=parent,
        persona=persona,
        own=own or nobody,
        faults=_faults,
    )


def _turn(turn: persona_data.Turn) -> dict[str, str]:
    return {"user": turn.user, **turn.replies}


def _faults(user: str, reply: str, other: str) -> list[str]:
    """The faults that ``warmgap rewrite`` would find in a rewrite, without a model that tells how alike they are."""
    return [fault.reason for fault in rewrite_checks.faults(user, reply, other, RewriteConfig())]


def changes_the_model(recipe: Mitigation) -> bool:
    """Return whether a recipe changes the model that answers."""
    return (type(recipe).at_answer, type(recipe).alter) != (Mitigation.at_answer, Mitigation.alter)


def alter(model: Any, steps: Iterable[tuple[Mitigation, Run, str]], folder: Path) -> None:
    """Change a model that was loaded to answer, by each recipe with its run and version in turn; ``folder`` is the data
    folder of the arm that answers.
    """
    for recipe, run, version in steps:
        if changes_the_model(recipe):
            recipe.alter(model, material(run, recipe, version, folder))


def known_pairs(run: Run) -> list[pairs.Pair]:
    """Return the run's honest pairs, of each split as many as ``data.max_conversations`` allows."""
    found = pairs.load(pairs_of(run))
    limit = run.data.max_conversations
    if limit is None:
        return found
    ordered = pairs.drawn(found, 0)
    return [pair for split in ("train", "heldout") for pair in [p for p in ordered if p.split == split][:limit]]
