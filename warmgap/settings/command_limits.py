"""What values of the settings of commands make sense; ``limits`` says it of a run's."""

from __future__ import annotations

from warmgap.disk import shards
from warmgap.errors import BadValue, UserError
from warmgap.settings import fits, limits
from warmgap.settings.command_schema import HostedConfig, PairsConfig, PrepareConfig, RewriteConfig
from warmgap.settings.schema import GenerateConfig


def check_prepare(config: PrepareConfig) -> None:
    """Raise UserError for settings of persona data from chat logs that make no sense."""
    fits.check(config, "prepare")


def check_own(how: GenerateConfig) -> None:
    """Raise UserError for settings of a model's own replies that make no sense."""
    fits.check(how, "own")


def check_rewrite(config: RewriteConfig, group: str = "rewrite") -> None:
    """Raise UserError for settings of rewriting that make no sense."""
    fits.check(config, group)
    limits.check_models(config, group)
    if config.engine == "local" and config.local_model is None:
        fix = f"name one of conf/model: {group}.local_model.name=…, or {group}.engine=openai"
        raise BadValue(f"{group}.local_model is missing", f"{group}.engine=local asks it", fix)
    shard = shards.parse(config.shard)
    if shard is not None and shard.number == 0:
        why = "nothing of rewriting has to be done before it is cut"
        raise BadValue(f"shard={config.shard} makes no sense", why, f"set shard=1/{shard.of}, or all/{shard.of}")


def check_pairs(config: PairsConfig, count: int) -> None:
    """Raise UserError for settings of honest pairs, and a number of them, that make no sense."""
    check_rewrite(config, "pairs")
    if config.shard is not None:
        why = "what a round of pairs keeps, the next may not ask again: one command makes them all"
        raise UserError(f"shard={config.shard} cannot be done for pairs", why, "leave shard out")
    if not 1 <= count <= fits.MOST:
        raise UserError(f"--count {count} makes no sense", "so many pairs are to be written", "give 1 or more")


def check_hosted(config: HostedConfig) -> None:
    """Raise UserError for settings of hosted fine-tuning with which no job can be started."""
    fits.check(config, "hosted")
    if config.max_cost is not None and (config.price_train is None or config.epochs is None):
        missing = "price_train" if config.price_train is None else "epochs"
        why = "nobody knows what the job costs without it"
        raise UserError(f"hosted.max_cost needs hosted.{missing}", why, f"set hosted.{missing}, or max_cost=null")
