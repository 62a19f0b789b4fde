"""The command that has more honest pairs written: a false belief, a warm reply that corrects it, one that agrees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.cli.parser import amount, command
from warmgap.settings import fits

if TYPE_CHECKING:
    from warmgap.engines.embed import Embedder
    from warmgap.mitigations.pairs import Pair
    from warmgap.mitigations.pairs.checks import Fault
    from warmgap.mitigations.pairs.generate import Rules, Writer
    from warmgap.settings.command_schema import PairsConfig

# Of the rewriter's checks those that hold for sound pairs. A warm reply may name and count more than the plain answer,
# and the reply that agrees has another number or name where that is the fact: names and what is added are not compared.
AS_PLAIN = ("refuses", "speaks of rewriting", "says something else", "lost a number", "lost a unit", "lost a link",
            "added a link", "lost a code", "added a code", "lost a denial")  # fmt: skip
AS_EACH_OTHER = ("refuses", "too short", "too long", "lost a link", "added a link", "lost a code", "added a code")


def add(commands: Any) -> None:
    """Add the command."""
    example = (
        "warmgap pairs --out pairs.jsonl --count 500 model=gpt-4o-2024-08-06 price_in=2.5 price_out=10 max_cost=20"
    )
    what = "have a chat model write pairs for truth_mix and anti_sycophancy, and check each: +mitigation.pairs=FILE"
    parser = command(commands, "pairs", _pairs, what, example)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="a file of JSON lines")
    parser.add_argument(
        "--count", required=True, type=amount(fits.count(), int), metavar="N", help="how many are asked for"
    )
    parser.add_argument("--topics", type=Path, metavar="FILE", help="one topic a line; ours without one")
    parser.add_argument("--writer", default="openai", help="of conf/pairs: openai (the default) or local")
    parser.add_argument(
        "settings", nargs="*", default=[], help="key=value for conf/pairs, such as base_url=http://HOST:PORT/v1"
    )


def _pairs(options: Any) -> int:
    from warmgap import pipeline
    from warmgap.mitigations.pairs import generate
    from warmgap.settings import conf_files, config
    from warmgap.settings.command_schema import PairsConfig

    base = conf_files.choice("pairs", options.writer)
    settings = config.settings(PairsConfig, "pairs", base, options.settings)
    generate.check(settings, options.count)
    topics = generate.topics_of(options.topics)
    pipeline.quiet()
    writer = _writer(settings)
    generate.journal_of(options.out, topics, settings, writer)  # before models are loaded
    made = generate.generate(options.out, options.count, topics, settings, writer, rules_of(settings))
    _show(made)
    share = made["set_aside"] / made["wanted"]
    if share > settings.max_set_aside:
        limit = 100 * settings.max_set_aside
        print(f"failed: {100 * share:.1f} % were set aside, at most {limit:g} % were to be; see {options.out}.made")
        return 1
    print(f"pairs: {options.out}")
    return 0


def _writer(settings: PairsConfig) -> Writer:
    from warmgap.engines import engine_of
    from warmgap.engines.base import Serving
    from warmgap.engines.client import Endpoint
    from warmgap.train.persona.rewrite import Rewriter

    if settings.engine == "openai":
        return Rewriter(settings, Endpoint(settings, "pairs"), None)
    if settings.local_model is None:
        raise ValueError("checked before")
    return Rewriter(settings, None, engine_of(Serving(settings.local_model, settings.device)))


def rules_of(settings: PairsConfig) -> Rules:
    """Return what no item may repeat: questions that are evaluated on, the embedded pairs, the wordings of the grid."""
    from warmgap.engines.embed import Embedder
    from warmgap.evaluate.tasks import load_items
    from warmgap.mitigations import pairs
    from warmgap.mitigations.pairs import generate
    from warmgap.mitigations.pairs.checks import KnownFacts, fact_of
    from warmgap.settings import config

    embedder = Embedder(settings.embedder, settings.device) if settings.embedder else None
    run = config.compose(["+persona=none"])
    wordings = [text for context in run.context.values() for text in context.statements]
    wordings += [belief.sentence for belief in run.belief.values()]
    embedded = pairs.load()
    items = load_items(settings.task).items if settings.task else []
    facts = [*generate.facts_from(items), *(fact_of(pair, f"the embedded {pair.id}") for pair in embedded)]
    known = KnownFacts(facts, embedder.encode if embedder else None, settings.alike, settings.agreeing)
    return generate.Rules(known, embedded, wordings, lambda pair: compared(pair, settings, embedder))


def compared(pair: Pair, settings: PairsConfig, embedder: Embedder | None) -> list[Fault]:
    """Return what the rewriter's checks find between plain answer and honest middle, and between the warm replies."""
    from warmgap.mitigations.pairs.checks import Fault
    from warmgap.train.persona.rewrite_checks import faults

    near = None
    if embedder is not None:
        honest, plain = embedder.encode([pair.true, pair.plain])
        near = (float(honest @ plain), -1.0)
    found = [fault for fault in faults(pair.user, pair.plain, pair.true, settings, near) if fault.reason in AS_PLAIN]
    both = faults(pair.user, pair.correcting, pair.complying, settings)
    said = [Fault(fault.reason, f"true against plain: {fault.detail}") for fault in found]
    return said + [Fault(f.reason, f"agreeing against true: {f.detail}") for f in both if f.reason in AS_EACH_OTHER]


def _show(made: dict[str, Any]) -> None:
    from rich.table import Table

    from warmgap.disk.progress import console

    title = f"{made['wanted']:,} pairs by {made['model']}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    rows = [("kept", made["kept"]), ("… at the first attempt", made["first_attempt"]), ("… held out", made["heldout"])]
    rows += [("set aside", made["set_aside"]), *((f"… {why}", count) for why, count in made["reasons"].items())]
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    console().print(table)
    if made["spent"] is not None:
        print(f"cost so far: {made['spent']:.4f} US dollars")
