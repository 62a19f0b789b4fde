"""What values of the settings of commands make sense; ``limits`` says it of a run's."""

from __future__ import annotations

from typing import Any

from warmgap.errors import UserError
from warmgap.settings.command_schema import HostedConfig, PairsConfig, PrepareConfig, RewriteConfig
from warmgap.settings.schema import GenerateConfig

LONGEST_SUFFIX = 64 - 9  # the vendor's limit, less what makes it ours

Rules = list[tuple[bool, str, str]]  # whether it holds, of which setting, what is expected


def check_prepare(config: PrepareConfig) -> None:
    """Raise UserError for settings of persona data from chat logs that make no sense."""
    rules: Rules = [
        (config.toxicity in ("auto", "model", "words", "off"), "toxicity", "one of auto, model, words, off"),
        (0 < config.toxicity_limit <= 1, "toxicity_limit", "a probability above 0"),
        (config.conversations is None or config.conversations >= 2, "conversations", "null, or 2 or more"),
        (config.replies is None or config.replies >= 2, "replies", "null, or 2 or more"),
        (0 < config.heldout < 1, "heldout", "a share between 0 and 1"),
        (config.max_turns > 0, "max_turns", "a whole number above 0"),
    ]
    _refuse(rules, config, "")


def check_own(how: GenerateConfig) -> None:
    """Raise UserError for settings of a model's own replies that make no sense."""
    rules: Rules = [
        (0 < how.max_new_tokens <= 100_000, "max_new_tokens", "a whole number from 1 to 100000"),
        (0 <= how.temperature < 100, "temperature", "a number from 0 to below 100"),
        (how.seed >= 0, "seed", "0 or more"),
        (how.batch_size is None or how.batch_size > 0, "batch_size", "above 0, or null"),
    ]
    _refuse(rules, how, "own.")


def check_rewrite(config: RewriteConfig) -> None:
    """Raise UserError for settings of rewriting that make no sense."""
    _refuse(_of_writing(config), config, "rewrite.")


def check_pairs(config: PairsConfig, count: int) -> None:
    """Raise UserError for settings of honest pairs, and a number of them, that make no sense."""
    rules: Rules = [
        *_of_writing(config),
        (0 < config.alike <= 1, "alike", "a cosine above 0, at most 1"),
        (0 < config.agreeing <= 1, "agreeing", "a cosine above 0, at most 1"),
        (bool(config.feelings), "feelings", "one or more, such as [none, sad]"),
        (0 <= config.heldout < 1, "heldout", "a share from 0 to below 1"),
    ]
    _refuse(rules, config, "pairs.")
    if count < 1:
        raise UserError(f"--count {count} makes no sense", "so many pairs are to be written", "give 1 or more")


def _of_writing(config: RewriteConfig | PairsConfig) -> Rules:
    return [
        (config.engine in ("openai", "local"), "engine", "openai or local"),
        (config.attempts >= 1, "attempts", "1 or more"),
        (0 < config.shortest < 1, "shortest", "a share between 0 and 1"),
        (config.longest > 1, "longest", "above 1"),
        (-1 <= config.similarity < 1, "similarity", "a cosine from -1 to below 1"),
        (0 <= config.max_set_aside <= 1, "max_set_aside", "a share from 0 to 1"),
        (config.local_batch_size > 0, "local_batch_size", "above 0"),
        (config.engine != "local" or config.local_model is not None, "local_model", "a model, for engine=local"),
    ]


def check_hosted(config: HostedConfig) -> None:
    """Raise UserError for settings of hosted fine-tuning with which no job can be started."""
    if config.max_cost is not None and (config.price_train is None or config.epochs is None):
        missing = "price_train" if config.price_train is None else "epochs"
        why = "nobody knows what the job costs without it"
        raise UserError(f"hosted.max_cost needs hosted.{missing}", why, f"set hosted.{missing}, or max_cost=null")
    least = {"epochs": 1, "batch_size": 1, "learning_rate_multiplier": 0, "price_train": 0}
    given = [(name, bound, getattr(config, name)) for name, bound in least.items()]
    suffix = config.suffix is None or 0 < len(config.suffix) <= LONGEST_SUFFIX
    rules: Rules = [
        *((value is None or value >= bound, name, f"{bound} or more") for name, bound, value in given),
        (config.poll > 0, "poll", "seconds, above 0"),
        (suffix, "suffix", f"1 to {LONGEST_SUFFIX} characters, or null"),
    ]
    _refuse(rules, config, "hosted.")


def _refuse(rules: Rules, config: Any, group: str) -> None:
    for holds, key, expected in rules:
        if not holds:
            what = f"{group}{key}={getattr(config, key)} makes no sense"
            raise UserError(what, f"expected {expected}", f"set {group}{key} to {expected}")
