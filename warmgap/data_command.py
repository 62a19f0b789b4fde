"""The commands that make persona data: from chat logs to conversations, and from plain replies to a persona's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.errors import UserError
from warmgap.measure_commands import command


def _add_data(commands: Any) -> None:
    example = "warmgap data sharegpt.json --out persona conversations=600 replies=1200"
    what = "chat logs become the conversations of an arm: cleaned, filtered, labelled, drawn evenly"
    parser = command(commands, "data", _data, what, example)
    kinds = ".json, .jsonl, .jsonl.gz or .parquet of ShareGPT, messages, instructions or OpenAssistant trees"
    parser.add_argument(
        "settings", nargs="*", metavar="FILE | key=value", help=f"{kinds}; none takes the study's. And conf/prepare"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")


def _data(options: Any) -> int:
    from warmgap import config
    from warmgap.command_schema import PrepareConfig
    from warmgap.train import data_card, prepare, sources

    files = [Path(item) for item in options.settings if "=" not in item]
    given = [item for item in options.settings if "=" in item]
    settings = config.settings(PrepareConfig, "prepare", config.choice("prepare", "study"), given)
    prepare.check(settings)
    _need("py3langid", "profanity_check", "markdownify")
    made = prepare.prepare(files or [sources.fetch(settings)], settings, options.out)
    _table("persona data", ("step", "in", "out", "left out"), data_card.steps(made))
    logs = made["steps"][0]["logs"]
    for log in logs:
        if not log["out"]:
            print(f"nothing came of {log['file']}: {', '.join(log['left_out']) or 'it has no rows'}")
    _table("", ("kind", "there", "drawn", "replies", "held out"), data_card.kinds(made))
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
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="left" if name in (columns[0], "left out", "reason") else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _add_rewrite(commands: Any) -> None:
    example = "warmgap rewrite persona/conversations.jsonl --persona warm model=gpt-4o-2024-08-06"
    example += " price_in=2.5 price_out=10 max_cost=20"
    what = "write the replies in a persona's voice, check each, and say how many were set aside and why"
    parser = command(commands, "rewrite", _rewrite, what, example)
    parser.add_argument("file", type=Path, help="conversations, as `warmgap data` makes them; they are added to")
    parser.add_argument("--persona", required=True, help="warm, cold or paraphrase")
    parser.add_argument("--rewriter", default="openai", help="of conf/rewrite: openai (the default) or local")
    parser.add_argument("settings", nargs="*", help="key=value for conf/rewrite, such as base_url=http://HOST:PORT/v1")


def _rewrite(options: Any) -> int:
    from warmgap import config, pipeline
    from warmgap.command_schema import RewriteConfig
    from warmgap.train import rewrite

    base = config.choice("rewrite", options.rewriter)
    settings = config.settings(RewriteConfig, "rewrite", base, options.settings)
    _need("text_to_num")
    pipeline.quiet()
    made = rewrite.rewrite(options.file, options.persona, settings)
    rows = [["kept", f"{made['kept']:,}"], ["… at the first attempt", f"{made['first_attempt']:,}"]]
    rows += [["set aside", f"{made['set_aside']:,}"]]
    rows += [[f"… {reason}", f"{count:,}"] for reason, count in made["reasons"].items()]
    _table(f"{made['version']} rewrites of {made['replies']:,} replies by {made['model']}", ("", "replies"), rows)
    if made["spent"] is not None:
        print(f"cost so far: {made['spent']:.4f} US dollars")
    share = made["set_aside"] / made["replies"]
    if share > settings.max_set_aside:
        limit = 100 * settings.max_set_aside
        print(f"failed: {100 * share:.1f} % of the replies have no rewrite, at most {limit:g} % were to be")
        return 1
    print(f"conversations: {options.file}")
    return 0


ADD = (_add_data, _add_rewrite)
