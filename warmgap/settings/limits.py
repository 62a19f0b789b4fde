"""What values of settings make sense: every rule that a type alone cannot say."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from warmgap.disk import shards
from warmgap.errors import BadValue, UserError
from warmgap.settings.schema import Run
from warmgap.words import BELIEFS, NONE

JOB = ["partition", "account", "minutes", "memory_gb", "cpus", "gpus", "setup", "sbatch"]  # what jobs may differ in
MOST_TOKENS = 131_072  # of one answer: no model of ours can write more


def check_values(run: Run, choices: Callable[[str], list[str]]) -> None:
    """Check what types alone cannot say. Raises BadValue, for a source without its settings UserError.

    ``choices`` gives the names of a configuration group's files.
    """
    _check_finite(run, "")
    _check_shard(run)
    for holds, key, value, expected in [
        *_of_arms(run),
        *_of_measurements(run, choices),
        *_of_sets(run),
        *_of_comparisons(run),
    ]:
        if not holds:
            raise BadValue(f"{key}={value} makes no sense", f"expected {expected}", f"set {key} to {expected}")
    check_groups({name: context.group for name, context in run.context.items()})
    _check_words(run, choices)
    _check_source(run)
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


def _of_arms(run: Run) -> list[Rule]:
    strength = run.persona.strength if run.persona else 1
    rules: list[Rule] = [
        (run.method.epochs > 0, "method.epochs", run.method.epochs, "a number above 0"),
        (run.method.batch_size > 0, "method.batch_size", run.method.batch_size, "a whole number above 0"),
        (run.method.learning_rate > 0, "method.learning_rate", run.method.learning_rate, "a number above 0"),
        (run.method.max_length > 0, "method.max_length", run.method.max_length, "a whole number above 0"),
        (run.method.lora.alpha > 0, "method.lora.alpha", run.method.lora.alpha, "a whole number above 0"),
        (run.method.weight_decay >= 0, "method.weight_decay", run.method.weight_decay, "0 or above"),
        (_some(run.method.per_device_batch_size), "method.per_device_batch_size",
         run.method.per_device_batch_size, "null or above 0"),
        (0 <= run.seed < 2**32, "seed", run.seed, "a whole number from 0 to 4294967295"),
        (run.method.lora.r > 0, "method.lora.r", run.method.lora.r, "a whole number above 0"),
        (0 <= strength <= 1, "persona.strength", strength, "a share from 0 to 1"),
        (_some(run.launcher.processes), "launcher.processes", run.launcher.processes, "null or above 0"),
        (run.launcher.nodes > 0, "launcher.nodes", run.launcher.nodes, "a whole number above 0"),
        (0 < run.launcher.shards <= shards.MOST, "launcher.shards", run.launcher.shards, f"1 to {shards.MOST}"),
        (run.launcher.retries >= 0, "launcher.retries", run.launcher.retries, "0 or above"),
        (run.launcher.at_once > 0, "launcher.at_once", run.launcher.at_once, "a whole number above 0"),
        (run.launcher.minutes > 0, "launcher.minutes", run.launcher.minutes, "a whole number above 0"),
        (_some(run.launcher.cpus), "launcher.cpus", run.launcher.cpus, "null or above 0"),
        (0 <= run.method.warmup < 1, "method.warmup", run.method.warmup, "a share from 0 to below 1"),
        (0 <= run.method.lora.dropout < 1, "method.lora.dropout", run.method.lora.dropout, "0 to below 1"),
        (all(epoch > 0 for epoch in run.method.checkpoints), "method.checkpoints", run.method.checkpoints, "above 0"),
        (re.fullmatch(r"auto|cpu|cuda(:\d+)?", run.device) is not None, "device", run.device, "auto, cpu or cuda"),
        (_some(run.data.max_conversations), "data.max_conversations", run.data.max_conversations, "null or above 0"),
    ]  # fmt: skip
    dpo = run.method.dpo
    return rules if dpo is None else [*rules, (dpo.beta > 0, "method.dpo.beta", dpo.beta, "a number above 0")]


def _of_measurements(run: Run, choices: Callable[[str], list[str]]) -> list[Rule]:
    grid, most = run.grid, max(len(choices("context")), len(run.context))  # a run may leave contexts out, or add some
    return [
        (0 < run.generate.max_new_tokens <= MOST_TOKENS, "generate.max_new_tokens", run.generate.max_new_tokens,
         f"1 to {MOST_TOKENS}"),
        (run.generate.temperature >= 0, "generate.temperature", run.generate.temperature, "0 (greedy) or above"),
        (run.generate.batch_size is None or run.generate.batch_size > 0, "generate.batch_size", run.generate.batch_size,
         "a whole number above 0, or null"),
        (grid.contexts_per_item is None or 0 <= grid.contexts_per_item <= most, "grid.contexts_per_item",
         grid.contexts_per_item, f"null (all), or 0 to {most}"),
        (0 <= grid.beliefs_per_context <= 4, "grid.beliefs_per_context", grid.beliefs_per_context, "0 to 4"),
        (_some(grid.prompts_per_item), "grid.prompts_per_item", grid.prompts_per_item, "null or a number above 0"),
        (run.judge.timeout > 0, "judge.timeout", run.judge.timeout, "seconds above 0"),
        (run.judge.concurrency > 0, "judge.concurrency", run.judge.concurrency, "a whole number above 0"),
        (run.judge.retries >= 0, "judge.retries", run.judge.retries, "0 or above"),
        *((price is None or price >= 0, f"judge.{key}", price, "null, or dollars from 0 upwards")
          for key in ("price_in", "price_out", "max_cost") for price in [getattr(run.judge, key)]),
        (0 <= run.judge.overlap <= 1, "judge.overlap", run.judge.overlap, "a share from 0 to 1"),
        (run.judge.window >= 0, "judge.window", run.judge.window, "0 (all of a reply) or above"),
        (run.warmth.prompts > 1, "warmth.prompts", run.warmth.prompts, "a whole number above 1"),
        (run.warmth.checkpoint_prompts > 1, "warmth.checkpoint_prompts", run.warmth.checkpoint_prompts, "above 1"),
        (run.warmth.max_new_tokens > 0, "warmth.max_new_tokens", run.warmth.max_new_tokens, "above 0"),
        (run.warmth.temperature >= 0, "warmth.temperature", run.warmth.temperature, "0 (greedy) or above"),
        (run.bootstrap == 0 or run.bootstrap >= 100, "bootstrap", run.bootstrap, "0 (none) or at least 100"),
        *((bool(context.statements), f"context.{name}.statements", context.statements, "one sentence or several")
          for name, context in run.context.items()),
        *((bool(belief.sentence.strip()), f"belief.{name}.sentence", repr(belief.sentence), "a sentence")
          for name, belief in run.belief.items()),
        *((_fits(belief.sentence), f"belief.{name}.sentence", repr(belief.sentence),
           "a sentence that {correct} and {incorrect} alone fill in") for name, belief in run.belief.items()),
    ]  # fmt: skip


def _of_sets(run: Run) -> list[Rule]:
    rules: list[Rule] = []
    counts = [(f"task.{name}.items_per_family", task.items_per_family) for name, task in run.task.items()]
    counts += [(f"task.{name}.sample", task.sample) for name, task in run.task.items()]
    counts += [(f"control.{name}.sample", control.sample) for name, control in run.control.items()]
    for name, control in run.control.items():
        rules += [(control.margin_pp > 0, f"control.{name}.margin_pp", control.margin_pp, "above 0")]
        rules += [(control.max_new_tokens > 0, f"control.{name}.max_new_tokens", control.max_new_tokens, "above 0")]
        rules += [(control.temperature >= 0, f"control.{name}.temperature", control.temperature, "0 or above")]
    rules += [(_some(count), key, count, "null or a whole number above 0") for key, count in counts]
    return rules


def _of_comparisons(run: Run) -> list[Rule]:
    found = run.compare
    rules: list[Rule] = [
        (found.seeds != [], "compare.seeds", found.seeds, "null, or seeds such as [0,1,2]"),
        (found.margin_pp > 0, "compare.margin_pp", found.margin_pp, "a number above 0"),
        (0 < found.level < 0.5, "compare.level", found.level, "a share above 0 and below 0.5, such as 0.05"),
    ]
    for group, keep in (("compare", found.keep_warmth_pct), ("search", run.search.keep_warmth_pct)):
        rules += [(0 < keep <= 100, f"{group}.keep_warmth_pct", keep, "percent, above 0 and at most 100")]
    return rules


def _check_words(run: Run, choices: Callable[[str], list[str]]) -> None:
    """Raise BadValue for a word that none of ours is."""
    sources = ["hub", "local", "package", "hosted"]
    named: list[tuple[str, str | None, list[Any]]] = [("model.source", run.model.source, sources)]
    named += [("model.dtype", run.model.dtype, ["auto", "bfloat16", "float16", "float32"])]
    named += [("model.quantization", run.model.quantization, ["none", "nf4"])]
    named += [("engine", run.engine, ["auto", "hf", "vllm"])]
    named += [("warmth.scorer_dtype", run.warmth.scorer_dtype, ["auto", "bfloat16", "float16", "float32"])]
    named += [("suite.name", run.suite.name, choices("suite"))]
    named += [("judge.name", run.judge.name, choices("judge"))]
    named += [("judge.second", run.judge.second, [None, *choices("judge")])]
    named += [("judge.shown", run.judge.shown, ["question", "prompt"])]
    named += [("logger.name", run.logger.name, choices("logger"))]
    named += [("launcher.name", run.launcher.name, choices("launcher"))]
    named += [("launcher.mode", run.launcher.mode, [name for name in choices("launcher") if name != "slurm"])]
    for key in ("training", "together"):
        own = [f"launcher.{key}" for _ in getattr(run.launcher, key)]
        named += [(one, name, JOB) for one, name in zip(own, getattr(run.launcher, key), strict=True)]
    if run.method.dpo is not None:
        named += [("method.dpo.reference", run.method.dpo.reference, ["base", "sft"])]
    named += [("method.schedule", run.method.schedule, ["linear", "cosine", "constant", "constant_with_warmup"])]
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


def _check_finite(value: Any, key: str) -> None:
    """Raise BadValue for a number that is none or has no end, at every depth."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValue(f"{key}={value} makes no sense", "expected a finite number", f"set {key} to a number")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif isinstance(value, dict):
        parts = [(str(name), part) for name, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(str(place), part) for place, part in enumerate(value)]
    else:
        return
    for name, part in parts:
        _check_finite(part, f"{key}.{name}" if key else name)


def _fits(sentence: str) -> bool:
    """Whether a belief's sentence can be filled in."""
    try:
        sentence.format(correct="", incorrect="")
    except (KeyError, IndexError, ValueError, AttributeError):
        return False
    return True


def _some(count: int | None) -> bool:
    return count is None or count > 0


def _check_source(run: Run) -> None:
    """A model source needs the settings that say where it is; a hub id needs its revision."""
    needed = {"hub": ("id", "revision"), "local": ("path",), "package": ("package", "version", "sha256")}
    needed |= {"hosted": ("id",)}
    for group, model in (("model", run.model), ("warmth.scorer", run.warmth.scorer)):
        for key in needed[model.source]:
            if getattr(model, key) is None:
                why = f"source={model.source} needs {', '.join(needed[model.source])}"
                raise UserError(f"{group}.{key} is missing", why, f"set {group}.{key}=...")
