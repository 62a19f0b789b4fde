"""``warmgap analyze``: the statistics over any table of verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warmgap.cli.parser import amount, command
from warmgap.disk.progress import say
from warmgap.errors import UserError
from warmgap.settings import fits


def add(commands: Any) -> None:
    """Add the command."""
    example = "warmgap analyze answers.parquet --out results\n"
    example += "  warmgap analyze original=graded-0.jsonl warm=graded-1.jsonl --model gpt_4o --out results\n"
    example += "  warmgap analyze runs/arms/MODEL-original-s0-… runs/arms/MODEL-warm-s0-… --out results"
    parser = command(commands, "analyze", _analyze, "the statistics over any table of verdicts", example)
    what = "a .csv, .parquet or .jsonl file with the columns of answers.parquet; as ARM=FILE it is that arm's; "
    what += "or the folder of an arm, whose journals are read without their texts, however many answers they hold"
    parser.add_argument("files", nargs="+", metavar="[ARM=]FILE", help=what)
    parser.add_argument("--judge", default="match", help="whose verdicts on the answers of arms (default: match)")
    parser.add_argument("--model", help="the base model of all files given as ARM=FILE (default: model)")
    parser.add_argument("--out", required=True, type=Path, help="a folder for effects.csv and cells.csv")
    parser.add_argument("--reference", default="original")
    parser.add_argument("--bootstrap", type=amount(fits.RESAMPLES, int), default=2000)


def _analyze(options: Any) -> int:
    from warmgap.disk import store, tabular
    from warmgap.engines import replies
    from warmgap.evaluate import stats

    table = _of_arms(options.files, options.model, options.judge)
    strange: list[str] = []
    if "finish_reason" in table and not Path(options.files[0]).is_dir():  # journals of ours have our words
        strange = replies.unknown_reasons(table["finish_reason"])
        said = {word: replies.finish_reason(word)[0] for word in table["finish_reason"].dropna().unique()}
        table["finish_reason"] = table["finish_reason"].map(said)
    analysis = stats.analyze(table, reference=options.reference, bootstrap=options.bootstrap)
    store.check_writable(str(options.out))
    for name, result in (("effects", analysis.effects), ("cells", analysis.cells)):
        tabular.write_csv(options.out / f"{name}.csv", result)
    for note in [*strange, *analysis.notes]:
        say(f"note: {note}")
    print(f"{len(analysis.effects)} effects, {len(analysis.cells)} cells: {options.out}")
    return 0


def _of_arms(files: Sequence[str], model: str | None, judge: str) -> Any:
    """Read the files into one table. For ARM=FILE the columns model and arm are set, and seed where it lacks.

    So what two endpoints answered, whose names differ, are arms of one model. Folders are arms of ours.
    """
    import pandas as pd

    from warmgap.disk import store, tabular
    from warmgap.evaluate.report import narrow

    folders = [Path(given) for given in files if Path(given).is_dir()]
    if len(folders) == len(files):
        return narrow.table(store.open_arms(folders), judge)
    if folders:
        raise UserError(f"{folders[0]} beside files", "an arm's journals are read with other arms'", "name arms alone")
    tables = []
    for given in files:
        arm, named, path = given.partition("=")
        if not named or Path(given).exists():
            tables.append(tabular.read_table(Path(given)))
            continue
        table = tabular.read_table(Path(path))
        table["model"], table["arm"] = model or "model", arm
        tables.append(table if "seed" in table else table.assign(seed=0))
    return pd.concat(tables, ignore_index=True)
