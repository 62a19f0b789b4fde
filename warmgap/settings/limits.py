"""What values of settings make sense where that depends on other settings, or on the files that there are."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from warmgap.disk import shards
from warmgap.errors import BadValue, UserError
from warmgap.settings import fits
from warmgap.settings.schema import ModelConfig, Run
from warmgap.words import BELIEFS, NONE

NEEDED = {  # what says where a model is, by its source
    "hub": ("id", "revision"),
    "local": ("path",),
    "package": ("package", "version", "sha256"),
    "hosted": ("id",),
}
JOB = ["partition", "account", "minutes", "memory_gb", "cpus", "gpus", "setup", "sbatch"]  # what jobs may differ in


def check_values(run: Run, choices: Callable[[str], list[str]]) -> None:
    """Check what types alone cannot say. Raises BadValue, for a source without its settings UserError.

    ``choices`` gives the names of a configuration group's files. What a setting says of its own values comes first,
    then what depends on others.
    """
    fits.check(run)
    _check_shard(run)
    _check_words(run, choices)
    most = max(len(choices("context")), len(run.context))  # a run may leave contexts out, or add some
    if run.grid.contexts_per_item is not None and run.grid.contexts_per_item > most:
        raise fits.refused("grid.contexts_per_item", run.grid.contexts_per_item, f"null (all), or 0 to {most}")
    for name, belief in run.belief.items():
        if not _can_be_filled(belief.sentence):
            expected = "a sentence that {correct} and {incorrect} alone fill in"
            raise fits.refused(f"belief.{name}.sentence", repr(belief.sentence), expected)
    check_groups({name: context.group for name, context in run.context.items()})
    check_models(run, "")
    _check_engine(run)


def check_groups(groups: Mapping[str, str]) -> None:
    """Raise BadValue where contexts, given with the group of each, could not be told from their groups.

    A group may be called like a context that is alone in it, but not like one of several, or of another group; ``none``
    is what is asked without a context.
    """
    for context, group in groups.items():
        fix = f"call the group of {context} otherwise: context.{context}.group=..."
        if NONE in (context, group) and context != group:
            why = f"{NONE!r} is the prompt without a context, and a group by itself"
            raise BadValue(f"context.{context}.group={group} makes no sense", why, fix)
        if group in groups and (groups[group] != group or list(groups.values()).count(group) > 1):
            why = f"a context is called {group!r} as well, and is not alone in a group of this name"
            raise BadValue(f"context.{context}.group={group} makes no sense", why, fix)


Rule = tuple[bool, str, Any, str]  # whether it holds, key, value, what is expected


def _check_words(run: Run, choices: Callable[[str], list[str]]) -> None:
    """Raise BadValue for a word that none of ours is."""
    named: list[tuple[str, str | None, list[Any]]] = [("suite", name, choices("suite")) for name in run.suite]
    named += [("judge.name", run.judge.name, choices("judge"))]
    named += [("judge.second", run.judge.second, [None, *choices("judge")])]
    named += [("judge.rest", run.judge.rest, [None, *choices("judge")])]
    named += [("logger.name", run.logger.name, choices("logger"))]
    named += [("launcher.name", run.launcher.name, choices("launcher"))]
    named += [("launcher.mode", run.launcher.mode, [name for name in choices("launcher") if name != "slurm"])]
    for key in ("training", "together"):
        own = [f"launcher.{key}" for _ in getattr(run.launcher, key)]
        named += [(one, name, JOB) for one, name in zip(own, getattr(run.launcher, key), strict=True)]
    named += [("belief", name, list(BELIEFS[1:])) for name in run.belief]
    for key, value, allowed in named:
        if value not in allowed:
            listed = ", ".join("null" if item is None else item for item in allowed)
            raise BadValue(f"{key}={value} is not known", f"the choices are {listed}", f"set {key} to one of them")


def _check_engine(run: Run) -> None:
    """Raise BadValue where vLLM is asked for by name and cannot answer as the model."""
    if run.engine != "vllm" or run.model.quantization == "none":
        return
    what = f"engine=vllm does not go with model.quantization={run.model.quantization}"
    why = "training holds these weights in 4 bits by bitsandbytes, and vLLM would answer by others"
    raise BadValue(what, why, "engine=hf, or engine=auto, which takes hf for them")


def _check_shard(run: Run) -> None:
    """Raise BadValue for a part of the work that is none."""
    shard = shards.parse(run.shard)
    if run.launcher.name == "slurm" and (shard is not None or run.dial or run.search.trials):
        why = "it cuts the work itself, and hands in that of one comparison"
        raise BadValue("launcher=slurm beside shard, dial or search", why, "leave these out, or launcher=single")
    if run.launcher.nodes > 1 and run.launcher.mode == "single" and run.launcher.name in ("single", "slurm"):
        why = "one process trains on one machine"
        raise BadValue(f"launcher.nodes={run.launcher.nodes} with one process", why, "launcher.mode=ddp, or fsdp")
    if run.only and (shard is None or shard.number is None):
        why = "a comparison is of all arms; a shard may be for some of them"
        raise BadValue(
            f"only=[{','.join(run.only)}] without a shard", why, "add shard=0/4, shard=1/4 …, or leave it out"
        )
    if shard is not None and run.search.trials:
        why = "each trial follows from those before it"
        raise BadValue(f"shard={run.shard} beside a search", why, "cut the command that the search suggests in the end")


def _models(value: Any, key: str) -> Iterator[tuple[str, ModelConfig]]:
    """Every model that settings name, at whatever depth, by its dotted key."""
    if isinstance(value, ModelConfig):
        yield key, value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _models(getattr(value, field.name), f"{key}.{field.name}".lstrip("."))


def _can_be_filled(sentence: str) -> bool:
    """Whether a belief's sentence can be filled in, and by nothing but the two answers."""
    try:
        parts = list(string.Formatter().parse(sentence))
    except ValueError:
        return False
    return all(name in (None, "correct", "incorrect") and not spec and not how for _, name, spec, how in parts)


def check_source(key: str, model: ModelConfig) -> None:
    """Raise UserError for a model's source without the settings that say where it is; a hub id needs its revision."""
    for name in NEEDED[model.source]:
        if getattr(model, name) is None:
            if name == "revision":
                raise _unpinned(key, str(model.id))
            why = f"source={model.source} needs {', '.join(NEEDED[model.source])}"
            raise UserError(f"{key}.{name} is missing", why, f"set {key}.{name}=...")


def _unpinned(key: str, id_: str) -> UserError:
    """What is said of a model of the hub without a commit."""
    why = f"what {id_} names on the hub may change from one day to the next; a commit (40 hexadecimal digits) does not"
    where = f"the hub's page of {id_} (Files, History) and `git ls-remote` of its address name it"
    fix = f"set {key}.revision=COMMIT, the newest or the one that you have; {where}"
    return UserError(f"{key}.revision is missing: no commit of {id_} is pinned", why, fix)


def check_models(value: Any, key: str) -> None:
    """Raise UserError, as ``check_source`` does, for the first of the models that settings name."""
    for place, model in _models(value, key):
        check_source(place, model)
