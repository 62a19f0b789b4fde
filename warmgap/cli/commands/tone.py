"""``warmgap tone``: a chat model's opinion of which of two arms sounds warmer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.cli.parser import ARM, TABLE, command, runs_dir
from warmgap.errors import UserError


def add(commands: Any) -> None:
    """Add the command."""
    example = "warmgap tone original warm --out tone.csv judge=openai judge.model=…"
    what = "a chat model's opinion: which of two arms sounds warmer, and do their replies hang together"
    parser = command(commands, "tone", _tone, what, example)
    parser.add_argument("original", metavar="ORIGINAL", help=ARM)
    parser.add_argument("arm", metavar="ARM", help="the other arm, named alike")
    parser.add_argument("--out", required=True, type=Path, help=TABLE)
    runs_dir(parser)
    parser.add_argument(
        "settings", nargs="*", default=[], help="judge=local (the default) or judge=openai with its settings"
    )


def _tone(options: Any) -> int:
    from rich.table import Table

    from warmgap import pipeline
    from warmgap.disk import locks, store, tabular
    from warmgap.disk.arm_names import find_arm
    from warmgap.disk.progress import console
    from warmgap.evaluate import judges
    from warmgap.evaluate.judges import tone
    from warmgap.settings import config

    names = (options.original, options.arm)
    arms = [store.open_arm(find_arm(options.runs_dir, name)) for name in names]
    tabular.check_target(options.out)
    run_ = config.compose(config.with_persona(["judge=local", "++judge.second=null", *options.settings]))
    if not judges.of(run_.judge.name).chat:
        why = "tone is asked of a chat model"
        raise UserError(f"judge={run_.judge.name} has no ear for tone", why, "judge=local or judge=openai")
    hidden = f".{options.out.name}"
    bench = judges.Judges(run_.judge, run_.device, options.out.with_name(f"{hidden}.batches.jsonl"))
    pipeline.quiet()
    model = bench.model(run_.judge.name)
    with locks.alone(options.out):
        with bench.costs(model, options.out.with_name(f"{hidden}.costs.jsonl"), "tone"):
            rows = tone.compare(model, arms[0], arms[1], options.out.with_name(f"{hidden}.journal.jsonl"))
        tabular.write(options.out, [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")])
        title = f"{arms[1].arm} against {arms[0].arm}, by {model.name}"
    table = Table("", "%", "95 % CI", "n", title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for row in tone.summary(rows):
        interval = f"{row['ci_low_pct']:.1f} to {row['ci_high_pct']:.1f}" if row["n"] else "–"
        table.add_row(row["what"], f"{row['pct']:.1f}" if row["n"] else "–", interval, str(row["n"]))
    console().print(table)
    print(f"replies with what was said of them: {options.out}")
    return 0
