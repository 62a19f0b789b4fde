"""The commands of ``warmgap``, one function each; ``warmgap COMMAND --help`` shows an example."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from warmgap.errors import UserError

SETTINGS = "settings as for train.py, such as grid=full"


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are three lines like every other."""

    def error(self, message: str) -> NoReturn:
        raise UserError("the command cannot be read", message, f"{self.prog} --help")


def run(arguments: Sequence[str]) -> int:
    """Parse and run one command; return its exit status."""
    parser = _Parser(prog="warmgap", description="Measure what warmth costs: prompts, warmth, verdicts, statistics.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_plan, _add_prompts, _add_warmth, _add_grade, _add_analyze, _add_compare, _add_status, _add_card):
        add(commands)
    options = parser.parse_args(arguments)
    status: int = options.work(options)
    return status


def _command(commands: Any, name: str, work: Callable[[Any], int], what: str, example: str) -> Any:
    parser = commands.add_parser(
        name,
        help=what,
        description=what,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(work=work)
    return parser


def _add_plan(commands: Any) -> None:
    what = "counts of prompts and tokens, and one prompt of each kind, before anything runs"
    parser = _command(commands, "plan", _plan, what, "warmgap plan +persona=warm grid=full")
    parser.add_argument("settings", nargs="*", help=SETTINGS)


def _plan(options: Any) -> int:
    from rich.console import Console
    from rich.table import Table

    from warmgap import config, pipeline
    from warmgap.train import persona_data

    run_ = config.compose(_with_persona(options.settings))
    job = pipeline.prepare(run_)
    console = Console()
    table = Table(title="plan", title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    arms, prompts = len(job.arms), len(job.prompts)
    characters = sum(len(prompt.prompt) for prompt in job.prompts)
    rows = [("arms", ", ".join(arm.name for arm in job.arms)), ("items", f"{len(job.items):,}")]
    rows += [("prompts per arm", f"{prompts:,} ({prompts / len(job.items):.1f} of 28 per item)")]
    rows += [("answers", f"{arms * prompts:,}"), ("prompt tokens", f"about {arms * characters // 4:,}")]
    rows += [("new tokens, at most", f"{arms * prompts * run_.generate.max_new_tokens:,}")]
    if job.trained is not None and run_.persona is not None:
        learn, held = persona_data.load(run_.data, str(run_.persona.reply))
        replies = sum(len(item.turns) for item in learn)
        rows += [("training replies", f"{replies} in {len(learn)} conversations, {len(held)} held out")]
        rows += [("epochs, batch", f"{run_.method.epochs:g}, {run_.method.batch_size}")]
    rows += [("judge", f"{run_.judge.name}, second opinion {run_.judge.second}"), ("cost", "0: nothing is paid for")]
    rows += [("comparison", str(job.folder))]
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    seen: set[tuple[str, str]] = set()
    for prompt in job.prompts:
        if (prompt.context, prompt.belief) not in seen:
            seen.add((prompt.context, prompt.belief))
            console.print(f"\n{prompt.context} × {prompt.belief}", style="bold", highlight=False)
            console.print(prompt.prompt, markup=False, highlight=False)
    return 0


def _with_persona(settings: Sequence[str]) -> list[str]:
    named = any(item.lstrip("+").startswith("persona=") for item in settings)
    return [*settings] if named else [*settings, "+persona=none"]


def _add_prompts(commands: Any) -> None:
    example = "warmgap prompts --out prompts.jsonl grid=full"
    parser = _command(commands, "prompts", _prompts, "the rendered grid, one prompt a line", example)
    parser.add_argument("--out", required=True, type=Path, help="a .jsonl, .csv or .parquet file")
    parser.add_argument("settings", nargs="*", help=SETTINGS)


def _prompts(options: Any) -> int:
    from warmgap import config, tabular
    from warmgap.evaluate import grid
    from warmgap.evaluate.tasks import load_items

    run_ = config.compose(_with_persona(options.settings))
    rows = [prompt.row() for prompt in grid.build(load_items(run_.task).items, run_.context, run_.belief, run_.grid)]
    tabular.write(options.out, rows)
    print(f"{len(rows):,} prompts: {options.out}")
    return 0


def _add_warmth(commands: Any) -> None:
    example = "warmgap warmth replies.jsonl --field answer --mode released --out warmth.csv"
    parser = _command(commands, "warmth", _warmth, "SocioT warmth of any texts", example)
    parser.add_argument("file", type=Path, help="a .jsonl, .csv or .parquet file")
    parser.add_argument("--field", required=True, help="the column that holds the text")
    parser.add_argument("--mode", choices=["released", "clean"], required=True)
    parser.add_argument("--scorer", default="smollm2_135m", help="a model of conf/model (default: smollm2_135m)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", required=True, type=Path, help="a .jsonl, .csv or .parquet file")


def _warmth(options: Any) -> int:
    from warmgap import config, pipeline, tabular
    from warmgap.evaluate.warmth import SocioT
    from warmgap.progress import bar

    rows = tabular.read(options.file, [options.field])
    tabular.check_target(options.out)
    run_ = config.compose(["+persona=none", f"model@warmth.scorer={options.scorer}"])
    pipeline.quiet()
    scorer = SocioT(run_.warmth.scorer, options.dtype, options.device)
    texts = [str(row[options.field] or "") for row in rows]
    with bar(f"warmth · {options.mode}", len(texts)) as advance:
        for index, warmth in scorer.score(texts):
            value = getattr(warmth, options.mode)
            rows[index]["sociot"] = None if value != value else value
            advance(1)
    tabular.write(options.out, rows)
    known = [row["sociot"] for row in rows if row["sociot"] is not None]
    mean = sum(known) / len(known) if known else float("nan")
    print(f"SocioT ({options.mode}) {mean:+.4f} on average over {len(known)} texts: {options.out}")
    return 0


def _add_grade(commands: Any) -> None:
    example = "warmgap grade answers.jsonl --task embedded --judge match --out verdicts.csv"
    parser = _command(commands, "grade", _grade, "verdicts for any answers", example)
    parser.add_argument("file", type=Path, help="rows with item_id and answer; finish_reason, context, belief if known")
    parser.add_argument("--task", required=True)
    parser.add_argument("--judge", required=True)
    parser.add_argument("--out", required=True, type=Path, help="a .jsonl, .csv or .parquet file")


def _grade(options: Any) -> int:
    from warmgap import config, tabular
    from warmgap.evaluate.grid import Prompt
    from warmgap.evaluate.judge import Answer, MatchJudge
    from warmgap.evaluate.tasks import load_items

    if options.judge != "match":
        known = options.judge in config.choices("judge")
        why = "choice asks the arm for likelihoods, which a file of texts does not have" if known else "no such judge"
        raise UserError(f"--judge {options.judge} cannot grade a file", why, "use --judge match")
    rows = tabular.read(options.file, ["item_id", "answer"])
    tabular.check_target(options.out)
    run_ = config.compose(["+persona=none", f"task=[{options.task}]"])
    items = {item.item_id: item for item in load_items(run_.task).items}
    answers = []
    for number, row in enumerate(rows, 1):
        item = items.get(str(row["item_id"]))
        if item is None:
            why = f"{options.task} has no item {row['item_id']!r}"
            raise UserError(f"{options.file}: row {number} cannot be graded", why, "check item_id and --task")
        place = Prompt(item.task, item.item_id, item.family, str(row.get("context") or "none"), "", "none", "")
        finish = str(row.get("finish_reason") or "stop")
        answers.append(Answer(str(number), str(row["answer"] or ""), finish, place, item))
    verdicts = MatchJudge().grade(answers)
    for row, verdict in zip(rows, verdicts, strict=True):
        row.update(verdict=verdict.verdict, grader="match", reason=verdict.reason)
    tabular.write(options.out, rows)
    counts = {name: sum(v.verdict == name for v in verdicts) for name in dict.fromkeys(v.verdict for v in verdicts)}
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())) + f": {options.out}")
    return 0


def _add_analyze(commands: Any) -> None:
    example = "warmgap analyze answers.parquet --out results"
    parser = _command(commands, "analyze", _analyze, "the statistics over any table of verdicts", example)
    parser.add_argument("file", type=Path, help="a .csv, .parquet or .jsonl file with the columns of answers.parquet")
    parser.add_argument("--out", required=True, type=Path, help="a folder for effects.csv and cells.csv")
    parser.add_argument("--reference", default="original")
    parser.add_argument("--bootstrap", type=int, default=2000)


def _analyze(options: Any) -> int:
    from warmgap import store, tabular
    from warmgap.evaluate import stats

    table = tabular.read_table(options.file)
    analysis = stats.analyze(table, reference=options.reference, bootstrap=options.bootstrap)
    store.check_writable(str(options.out))
    for name, result in (("effects", analysis.effects), ("cells", analysis.cells)):
        store.write_text(options.out / f"{name}.csv", result.to_csv(index=False, float_format="%.6g"))
    for note in analysis.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{len(analysis.effects)} effects, {len(analysis.cells)} cells: {options.out}")
    return 0


def _add_compare(commands: Any) -> None:
    example = "warmgap compare runs/arms/…-original-… runs/arms/…-warm-… --gate 2"
    parser = _command(commands, "compare", _compare, "a comparison of arms on disk", example)
    parser.add_argument("arms", nargs="+", type=Path, metavar="ARM", help="folders in runs/arms; one is the original")
    parser.add_argument("--gate", type=float, metavar="MARGIN", help="fail unless each arm is within MARGIN pp")
    parser.add_argument("--grader", default="choice", help="whose verdicts (default: choice)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))


def _compare(options: Any) -> int:
    from warmgap.evaluate import arms

    folder = arms.compare(options.arms, options.grader, options.runs_dir)
    from warmgap.cli import show

    show(folder)
    if options.gate is None:
        return 0
    failed = arms.gate(folder, options.gate)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def _add_status(commands: Any) -> None:
    parser = _command(commands, "status", _status, "what is on disk", "warmgap status")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))


def _status(options: Any) -> int:
    from rich.console import Console
    from rich.table import Table

    from warmgap import store

    table = Table("arm", "trained", "answers", "verdicts", "warmth", title=str(options.runs_dir), box=None)
    for path in sorted((options.runs_dir / "arms").glob("*/manifest.json")):
        arm = store.open_arm(path.parent)
        answers = [p for p in arm.folder.glob("answers/*.jsonl") if not p.name.startswith("warmth-step")]
        verdicts = list(arm.folder.glob("verdicts/*/*.jsonl"))
        counts = [sum(1 for p in files for _ in store.read_journal(p)) for files in (answers, verdicts)]
        steps = {row["step"] for row in store.read_journal(arm.warmth)}
        trained = "yes" if arm.adapter.is_dir() else "begun" if arm.rows.exists() else "-"
        table.add_row(arm.name, trained, str(counts[0]), str(counts[1]), f"{len(steps)} points")
    if not table.row_count:
        print(f"no arms in {options.runs_dir}; make one: python train.py +persona=warm")
        return 0
    console = Console()
    console.print(table)
    for path in sorted((options.runs_dir / "comparisons").glob("*/report.html")):
        console.print(f"report: {path}", highlight=False, soft_wrap=True)
    return 0


def _add_card(commands: Any) -> None:
    parser = _command(commands, "card", _card, "a model card of an arm", "warmgap card runs/arms/…-warm-…")
    parser.add_argument("arm", type=Path, metavar="ARM")


def _card(options: Any) -> int:
    from warmgap import store

    arm = store.open_arm(options.arm)
    manifest: dict[str, Any] = store.read_json(arm.folder / "manifest.json")
    data = arm.folder / "data" / "card.md"
    lines = [f"# {arm.name}", "", f"Base model `{arm.model}`, arm `{arm.arm}`, seed {arm.seed}.", ""]
    lines += ["Made for research on what a warm tone costs in reliability; not meant for use with people.", ""]
    lines += [f"- made: {manifest['created']} by `{manifest['command']}`, commit {manifest['commit'] or 'unknown'}"]
    lines += [f"- {json.dumps(manifest['versions'])}", ""]
    if data.is_file():
        lines += [data.read_text(encoding="utf-8").replace("# Training data", "## Training data", 1)]
    print("\n".join(lines))
    return 0
