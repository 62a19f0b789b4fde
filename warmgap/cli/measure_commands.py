"""The commands that measure what lies in files: warmth, verdicts, human labels, statistics, comparisons."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from warmgap.errors import UserError

SETTINGS = "settings as for train.py, such as grid=full"
TABLE = "a .jsonl, .csv or .parquet file"
CHUNK = 256  # texts that are scored and kept together


def command(commands: Any, name: str, work: Callable[[Any], int], what: str, example: str) -> Any:
    """Add a command with its one-line description and an example of its use; return its parser."""
    parser = commands.add_parser(
        name,
        help=what,
        description=what,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(work=work)
    return parser


def with_persona(settings: Sequence[str]) -> list[str]:
    """Return settings that name a persona: none, where they name no other and are not about the warm one anyway."""
    about = (
        "persona=",
        "compare.recipes=",
        "compare.personas=",
        "dial=",
        "experiment=mitigation",
        "experiment=isolate",
    )
    named = any(item.lstrip("+").startswith(about) for item in settings)
    return [*settings] if named else [*settings, "+persona=none"]


def _add_warmth(commands: Any) -> None:
    example = "warmgap warmth replies.jsonl --field answer --mode released --out warmth.csv"
    parser = command(commands, "warmth", _warmth, "SocioT warmth of any texts", example)
    parser.add_argument("file", type=Path, help=TABLE)
    parser.add_argument("--field", required=True, help="the column that holds the text")
    parser.add_argument("--mode", choices=["released", "clean"], required=True)
    parser.add_argument("--scorer", default="smollm2_135m", help="a model of conf/model (default: smollm2_135m)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", required=True, type=Path, help=TABLE)


def _warmth(options: Any) -> int:
    from warmgap import pipeline
    from warmgap.disk import tabular
    from warmgap.settings import config

    rows = tabular.read(options.file, [options.field])
    tabular.check_target(options.out)
    run_ = config.compose(["+persona=none", f"model@warmth.scorer={options.scorer}"])
    pipeline.quiet()
    texts = [str(row[options.field] or "") for row in rows]
    journal = options.out.with_name(f".{options.out.name}.journal.jsonl")
    for row, value in zip(rows, _scores(texts, run_.warmth.scorer, options, journal), strict=True):
        row["sociot"] = value
    tabular.write(options.out, rows)
    journal.unlink(missing_ok=True)
    known = [row["sociot"] for row in rows if row["sociot"] is not None]
    mean = sum(known) / len(known) if known else float("nan")
    print(f"SocioT ({options.mode}) {mean:+.4f} on average over {len(known)} texts: {options.out}")
    return 0


def _scores(texts: Sequence[str], model: Any, options: Any, journal: Path) -> list[float | None]:
    """Score texts chunk by chunk; a chunk that the journal holds is not scored again, so a stopped run goes on."""
    from warmgap.disk import store
    from warmgap.disk.progress import bar
    from warmgap.engines import models
    from warmgap.evaluate.warmth import SocioT
    from warmgap.settings.schema import digest, identity

    made_by = [identity(model, "arm"), options.dtype, options.mode, models.CONVERSION]
    done = {key: row["values"] for key, row in store.journal_by_key(journal).items()}
    scorer: SocioT | None = None
    values: list[float | None] = []
    with bar(f"warmth · {options.mode}", len(texts)) as advance:
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            key = digest([made_by, chunk], 16)
            if key not in done:
                scorer = scorer or SocioT(model, options.dtype, options.device)
                found: list[float | None] = [None] * len(chunk)
                for index, warmth in scorer.score(chunk):
                    value = getattr(warmth, options.mode)
                    found[index] = None if value != value else value
                    advance(1)
                store.append(journal, [{"key": key, "values": found}])
                done[key] = found
            else:
                advance(len(chunk))
            values += done[key]
    return values


def _add_grade(commands: Any) -> None:
    example = "warmgap grade answers.jsonl --task embedded --judge match --out verdicts.csv"
    parser = command(commands, "grade", _grade, "verdicts for any answers", example)
    parser.add_argument(
        "file", type=Path, help="rows with item_id and answer; task, finish_reason, context, belief if known"
    )
    parser.add_argument("--task", required=True, help="one of conf/task; several, as a,b, where the rows name theirs")
    parser.add_argument("--judge", required=True)
    parser.add_argument("--out", required=True, type=Path, help=TABLE)
    parser.add_argument("settings", nargs="*", help=SETTINGS.replace("grid=full", "judge.model=…"))


def _grade(options: Any) -> int:
    from warmgap.disk import tabular
    from warmgap.engines import replies
    from warmgap.evaluate import judges
    from warmgap.evaluate.judges.grade import error_of, grade
    from warmgap.evaluate.tasks import load_items
    from warmgap.settings import config

    tasks = options.task.split(",")
    settings = [f"task=[{options.task}]", f"judge={options.judge}", "judge.second=null"]
    settings += ["task.embedded.level=all"] * ("embedded" in tasks)  # the rows name their questions
    settings += options.settings
    run_ = config.compose(with_persona(settings))
    judges.check(run_.judge, tasks)
    rows = tabular.read(options.file, ["item_id", "answer"])
    tabular.check_target(options.out)
    items = {(item.task, item.item_id): item for item in load_items(run_.task).items}
    answers: list[dict[str, Any]] = []
    prompts: list[Any] = []
    for number, row in enumerate(rows, 1):
        task = str(row.get("task") or tasks[0]) if len(tasks) > 1 else tasks[0]
        if (task, str(row["item_id"])) not in items:
            why = f"{task} has no item {row['item_id']!r}" if task in tasks else f"its task is {task}"
            raise UserError(f"{options.file}: row {number} cannot be graded", why, "check item_id, task and --task")
        answers.append(_answered(row, prompts, items[task, str(row["item_id"])]))
    hidden = f".{options.out.name}"
    bench = judges.Judges(run_.judge, run_.device, options.out.with_name(f"{hidden}.batches.jsonl"))
    judge = bench.build(run_.judge.name)
    journal = options.out.with_name(f"{hidden}.journal.jsonl")
    with bench.costs(judge, options.out.with_name(f"{hidden}.costs.jsonl")):
        journals = dict.fromkeys(tasks, journal)
        verdicts = grade(judge, answers, prompts, items, journals, f"verdicts by {judge.name}")
    for row, verdict in zip(rows, verdicts, strict=True):
        row.update(verdict=verdict["verdict"], grader=verdict["grader"], reason=verdict["reason"])
        row["error"] = error_of(verdict["verdict"], verdict["task"])
    tabular.write(options.out, rows)
    if not judge.paid:
        journal.unlink(missing_ok=True)  # what was paid for is kept: it serves the next file too
    for note in [*judges.notes(run_.judge, tasks), *replies.unknown_reasons(row["finish_reason"] for row in answers)]:
        print(f"note: {note}", file=sys.stderr)
    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[verdict["verdict"]] = counts.get(verdict["verdict"], 0) + 1
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())) + f": {options.out}")
    return 0


def _answered(row: dict[str, Any], prompts: list[Any], item: Any) -> dict[str, Any]:
    """Return a row as grading takes it, and add the place it has in the grid to ``prompts``."""
    from warmgap.engines.replies import finish_reason
    from warmgap.evaluate.suites.base import Prompt
    from warmgap.settings.schema import digest

    context, belief = str(row.get("context") or "none"), str(row.get("belief") or "none")
    text, finish = str(row["answer"] or ""), finish_reason(row.get("finish_reason"))[0]
    shown = str(row.get("prompt") or "")
    prompts.append(Prompt(item.task, item.item_id, item.family, context, "", belief, shown))
    key = digest([item.task, item.item_id, context, belief, text, finish], 16)
    return {"key": key, "answer": text, "finish_reason": finish, "reasoning": row.get("reasoning")}


def _add_tone(commands: Any) -> None:
    example = "warmgap tone runs/arms/…-original-… runs/arms/…-warm-… --out tone.csv judge=openai judge.model=…"
    what = "a chat model's opinion: which of two arms sounds warmer, and do their replies hang together"
    parser = command(commands, "tone", _tone, what, example)
    parser.add_argument("original", type=Path, help="the original's folder in runs/arms")
    parser.add_argument("arm", type=Path, help="the other arm's folder")
    parser.add_argument("--out", required=True, type=Path, help=TABLE)
    parser.add_argument("settings", nargs="*", help="judge=local (the default) or judge=openai with its settings")


def _tone(options: Any) -> int:
    from rich.console import Console
    from rich.table import Table

    from warmgap import pipeline
    from warmgap.disk import store, tabular
    from warmgap.evaluate import judges
    from warmgap.evaluate.judges import tone
    from warmgap.settings import config

    arms = [store.open_arm(folder) for folder in (options.original, options.arm)]
    tabular.check_target(options.out)
    run_ = config.compose(with_persona(["judge=local", "judge.second=null", *options.settings]))
    if run_.judge.name not in judges.ASKED:
        why = "tone is asked of a chat model"
        raise UserError(f"judge={run_.judge.name} has no ear for tone", why, "judge=local or judge=openai")
    hidden = f".{options.out.name}"
    bench = judges.Judges(run_.judge, run_.device, options.out.with_name(f"{hidden}.batches.jsonl"))
    pipeline.quiet()
    model = bench.model(run_.judge.name)
    with bench.costs(model, options.out.with_name(f"{hidden}.costs.jsonl"), "tone"):
        rows = tone.compare(model, arms[0], arms[1], options.out.with_name(f"{hidden}.journal.jsonl"))
    tabular.write(options.out, [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")])
    title = f"{arms[1].arm} against {arms[0].arm}, by {model.name}"
    table = Table("", "%", "95 % CI", "n", title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for row in tone.summary(rows):
        interval = f"{row['ci_low_pct']:.1f} to {row['ci_high_pct']:.1f}" if row["n"] else "–"
        table.add_row(row["what"], f"{row['pct']:.1f}" if row["n"] else "–", interval, str(row["n"]))
    Console().print(table)
    print(f"replies with what was said of them: {options.out}")
    return 0


def _add_analyze(commands: Any) -> None:
    example = "warmgap analyze answers.parquet --out results\n"
    example += "  warmgap analyze original=graded-0.jsonl warm=graded-1.jsonl --model gpt_4o --out results"
    parser = command(commands, "analyze", _analyze, "the statistics over any table of verdicts", example)
    what = "a .csv, .parquet or .jsonl file with the columns of answers.parquet; as ARM=FILE it is that arm's"
    parser.add_argument("files", nargs="+", metavar="[ARM=]FILE", help=what)
    parser.add_argument("--model", help="the base model of all files given as ARM=FILE (default: model)")
    parser.add_argument("--out", required=True, type=Path, help="a folder for effects.csv and cells.csv")
    parser.add_argument("--reference", default="original")
    parser.add_argument("--bootstrap", type=int, default=2000)


def _analyze(options: Any) -> int:
    from warmgap.disk import store
    from warmgap.engines import replies
    from warmgap.evaluate import stats

    table = _of_arms(options.files, options.model)
    strange: list[str] = []
    if "finish_reason" in table:
        strange = replies.unknown_reasons(table["finish_reason"])
        known = table["finish_reason"].notna()
        table.loc[known, "finish_reason"] = [replies.finish_reason(word)[0] for word in table["finish_reason"][known]]
    analysis = stats.analyze(table, reference=options.reference, bootstrap=options.bootstrap)
    store.check_writable(str(options.out))
    for name, result in (("effects", analysis.effects), ("cells", analysis.cells)):
        store.write_text(options.out / f"{name}.csv", result.to_csv(index=False, float_format="%.6g"))
    for note in [*strange, *analysis.notes]:
        print(f"note: {note}", file=sys.stderr)
    print(f"{len(analysis.effects)} effects, {len(analysis.cells)} cells: {options.out}")
    return 0


def _of_arms(files: Sequence[str], model: str | None) -> Any:
    """Read the files into one table. For ARM=FILE the columns model and arm are set, and seed where it lacks.

    So what two endpoints answered, whose names differ, are arms of one model.
    """
    import pandas as pd

    from warmgap.disk import tabular

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


def _add_compare(commands: Any) -> None:
    example = "warmgap compare runs/arms/…-original-… runs/arms/…-warm-… --gate 2"
    parser = command(commands, "compare", _compare, "a comparison of arms on disk", example)
    parser.add_argument("arms", nargs="+", type=Path, metavar="ARM", help="folders in runs/arms; one is the original")
    parser.add_argument("--gate", type=float, metavar="MARGIN", help="fail unless each arm is within MARGIN pp")
    parser.add_argument("--keep-warmth", type=float, metavar="PCT", help="fail unless so much of warm's warmth is kept")
    parser.add_argument("--against", choices=["study"], help="put the gaps beside the published ones")
    parser.add_argument("--grader", help="whose verdicts (default: of those that all arms have, the judge of the run)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))


def _compare(options: Any) -> int:
    from warmgap.evaluate.report import arms, gate, mitigation_verdicts
    from warmgap.settings.mitigation_schema import CompareConfig

    gate.check(options.arms, options.gate, options.keep_warmth)
    asked = CompareConfig()
    if options.gate is not None:
        asked.margin_pp = options.gate
    if options.keep_warmth is not None:
        asked.keep_warmth_pct = options.keep_warmth
    folder = arms.compare(
        options.arms,
        options.grader,
        options.runs_dir,
        lambda folder, measured: mitigation_verdicts.write(folder, measured, asked, resamples=2000),
    )
    from warmgap.cli.show import show

    if options.against:
        from warmgap.evaluate.report.terminal.tables import print_study

        print_study(folder)
    show(folder)
    failed = gate.failures(folder, options.arms, options.gate, options.keep_warmth)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


ADD = (_add_warmth, _add_tone, _add_grade, _add_analyze, _add_compare)
