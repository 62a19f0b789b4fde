"""The commands that make persona data: from chat logs to conversations, and from plain replies to a persona's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.cli.parser import command
from warmgap.errors import UserError


def add(commands: Any) -> None:
    """Add both commands."""
    _add_data(commands)
    _add_rewrite(commands)


def _add_data(commands: Any) -> None:
    example = "warmgap data sharegpt.json --out persona conversations=600 replies=1200"
    what = "chat logs become the conversations of an arm: cleaned, filtered, labelled, drawn evenly"
    parser = command(commands, "data", _data, what, example)
    kinds = ".json, .jsonl, .jsonl.gz or .parquet of ShareGPT, messages, instructions or OpenAssistant trees"
    parser.add_argument(
        "settings",
        nargs="*",
        default=[],
        metavar="FILE | key=value",
        help=f"{kinds}; none takes the study's. And conf/prepare",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")


def _data(options: Any) -> int:
    from warmgap.settings import conf_files, config
    from warmgap.settings.command_limits import check_prepare
    from warmgap.settings.command_schema import PrepareConfig
    from warmgap.train.persona import card, prepare, sources

    files = [Path(item) for item in options.settings if "=" not in item]
    given = [item for item in options.settings if "=" in item]
    settings = config.settings(PrepareConfig, "prepare", conf_files.choice("prepare", "study"), given)
    check_prepare(settings)
    _need("py3langid", "profanity_check", "markdownify")
    made = prepare.prepare(files or [sources.fetch(settings)], settings, options.out)
    _table("persona data", ("step", "in", "out", "left out"), card.steps(made))
    logs = made["steps"][0]["logs"]
    for log in logs:
        if not log["out"]:
            print(f"nothing came of {log['file']}: {', '.join(log['left_out']) or 'it has no rows'}")
    _table("", ("kind", "there", "drawn", "replies", "held out"), card.kinds(made))
    print(f"card: {options.out / 'card.md'}")
    print(f"conversations: {options.out / 'conversations.jsonl'}")
    return 0


def _need(*modules: str) -> None:
    """Raise UserError where a package of the extra ``data`` is missing."""
    from importlib.util import find_spec

    for module in modules:
        if find_spec(module) is None:
            raise UserError(f"the package {module} is missing", "it comes with an extra", "pip install 'warmgap[data]'")


def _table(title: str, columns: tuple[str, ...], rows: list[list[str]]) -> None:
    from rich.table import Table

    from warmgap.disk.progress import console

    table = Table(title=title or None, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="left" if name in (columns[0], "left out", "reason") else "right")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def _add_rewrite(commands: Any) -> None:
    example = "warmgap rewrite persona/conversations.jsonl --persona warm model=gpt-4o-2024-08-06"
    example += " price_in=2.5 price_out=10 max_cost=20\n"
    example += "  warmgap rewrite persona/conversations.jsonl --own --persona warm model=llama_8b"
    example += " rewrite.model=gpt-4o-2024-08-06"
    what = "write the replies in a persona's voice, check each, and say how many were set aside and why"
    parser = command(commands, "rewrite", _rewrite, what, example)
    parser.add_argument("file", type=Path, help="conversations, as `warmgap data` makes them; they are added to")
    parser.add_argument("--persona", help="warm, cold or paraphrase; with --own warm, paraphrase, or none")
    own = "the base model of conf/model, model=NAME, answers each message itself; what is rewritten are its own replies"
    parser.add_argument("--own", action="store_true", help=own)
    parser.add_argument("--rewriter", default="openai", help="of conf/rewrite: openai (the default) or local")
    more = (
        "key=value for conf/rewrite, such as base_url=http://HOST:PORT/v1; with --own, model=, model.KEY= and own.KEY= "
    )
    parser.add_argument(
        "settings", nargs="*", default=[], help=more + "are the base model's, rewrite.model= is the rewriter's"
    )


def _rewrite(options: Any) -> int:
    from warmgap import pipeline
    from warmgap.disk import shards
    from warmgap.settings import conf_files, config
    from warmgap.settings.command_schema import RewriteConfig
    from warmgap.train.persona import own_replies, rewrite

    if options.persona is None and not options.own:
        raise UserError("--persona is missing", "it says how the replies are to sound", "add --persona warm")
    first, given = _base_model(options.settings) if options.own else (None, options.settings)
    settings = config.settings(RewriteConfig, "rewrite", conf_files.choice("rewrite", options.rewriter), given)
    if options.own and settings.shard is not None:
        why = "own replies are written by one command"
        fix = "have them written by --own alone, then rewritten by --persona warm_own shard=…"
        raise UserError(f"--own cannot be cut by shard={settings.shard}", why, fix)
    version = f"{options.persona}_own" if options.own and options.persona else options.persona
    if version is not None:
        rewrite.check_version(version)
        rewrite.check(settings)
    pipeline.quiet()
    if first is not None:
        made = own_replies.write(options.file, *first, settings.device)
        if _failed(made, f"own replies to {made['replies']:,} messages by {made['model']}", settings.max_set_aside):
            return 1
    if version is not None:
        made = rewrite.rewrite(options.file, version, settings)
        title = f"{made['version']} rewrites of {made['replies']:,} replies by {made['model']}"
        if _failed(made, title, settings.max_set_aside):
            return 1
    part = shards.parse(settings.shard)
    cut = part is not None and part.asks
    print(f"conversations: {options.file}{' (as it was: shard=all/N writes it)' if cut else ''}")
    return 0


def _base_model(settings: list[str]) -> tuple[tuple[Any, Any], list[str]]:
    """Return the base model and how it answers, and the settings that are the rewriter's."""
    from warmgap.settings import conf_files, config
    from warmgap.settings.schema import GenerateConfig, ModelConfig

    name = next((item.removeprefix("model=") for item in settings if item.startswith("model=")), None)
    if name is None:
        why = "its own replies are what is rewritten, and what it alone is trained on"
        raise UserError(
            "--own needs the base model", why, f"add model=NAME (choices: {', '.join(conf_files.choices('model'))})"
        )
    if name not in conf_files.choices("model"):
        fix = "add a base model of conf/model as model=NAME; the rewriter's is written rewrite.model=…"
        known = ", ".join(conf_files.choices("model"))
        raise UserError(f"model={name} is no base model", f"conf/model has {known}", fix)
    parts: dict[str, list[str]] = {"model.": [], "own.": []}
    rest = []
    for item in settings:
        part = next((part for part in parts if item.startswith(part)), None)
        if part:
            parts[part].append(item)
        elif not item.startswith("model="):
            rest.append(item)
    model = config.settings(ModelConfig, "model", conf_files.choice("model", name), parts["model."])
    how = config.settings(GenerateConfig, "own", conf_files.choice("own", "study"), parts["own."])
    return (model, how), rest


def _failed(made: dict[str, Any], title: str, most: float) -> bool:
    """Say what came of the replies, and whether more than the share ``most`` of them was set aside."""
    rows = [["kept", f"{made['kept']:,}"], ["… at the first attempt", f"{made['first_attempt']:,}"]]
    rows += [["set aside", f"{made['set_aside']:,}"]]
    rows += [[f"… {reason}", f"{count:,}"] for reason, count in made["reasons"].items()]
    _table(title, ("", "replies"), rows)
    if made["spent"] is not None:
        print(f"cost so far: {made['spent']:.4f} US dollars")
    share = made["set_aside"] / made["replies"]
    if share > most:
        what = "no usable reply of the model's own" if made["version"] == "own" else "no rewrite"
        print(f"failed: {100 * share:.1f} % of the replies have {what}, at most {100 * most:g} % were to be")
    return bool(share > most)
