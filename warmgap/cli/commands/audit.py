"""``warmgap audit``: somebody's own model against its base, in one line, to one page, a card and an exit status."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warmgap.cli.commands import card
from warmgap.cli.guard import DONE, GATE_FAILED
from warmgap.cli.parser import SETTINGS, command, runs_dir
from warmgap.cli.show import tables
from warmgap.disk.progress import say
from warmgap.errors import UserError
from warmgap.hidden import without_secrets

CARD, REPORT, PAGE = "card.md", "report.html", "page.html"


def add(commands: Any) -> None:
    """Add the command."""
    example = "warmgap audit my-lora --base llama_8b --gate 2\n"
    example += "  warmgap audit org/name@COMMIT --base org/base@COMMIT --out audit judge=openai judge.model=NAME-DATE\n"
    example += "  warmgap audit https://HOST/v1 --model NAME-DATE --base qwen_32b"
    what = "your own model against its base: a report, a card, and an exit status"
    parser = command(commands, "audit", _audit, what, example)
    thing = (
        "a LoRA folder, a whole model's folder, a hub id with its commit (org/name@COMMIT), or an endpoint's address"
    )
    parser.add_argument("thing", metavar="THING", help=thing)
    base = "what it was made of: a model of conf/model, a folder, or a hub id with its commit"
    parser.add_argument("--base", metavar="MODEL", help=base)
    parser.add_argument("--model", metavar="NAME-DATE", help="which model, where THING is an endpoint's address")
    parser.add_argument("--gate", type=float, metavar="MARGIN", help="fail unless its error is within MARGIN pp")
    parser.add_argument("--suites", metavar="NAMES", help="suites beside the grid: all, or some as pressure,care")
    parser.add_argument("--out", type=Path, metavar="DIR", help="a folder for copies of report, card and tables")
    runs_dir(parser)
    parser.add_argument("settings", nargs="*", default=[], help=SETTINGS)


def _audit(options: Any) -> int:
    from warmgap import api
    from warmgap.arms import given
    from warmgap.disk import store

    _check_out(options.out)
    options.settings = [*_suites(options.suites), *options.settings]
    given.audited(options.thing, options.base, options.settings, options.model)  # says first what cannot be audited
    for note in (given.moving(options.thing), given.moving(options.base or "")):
        if note:
            say(f"note: {note}")
    more = {"model": options.model, "gate": options.gate, "runs_dir": options.runs_dir}
    audited = api.audit(options.thing, options.base, *options.settings, **more)
    folder, failed = audited.folder, audited.failed
    tables(folder)
    for line in failed:
        print(line, file=sys.stderr)
    said = _judged(options.gate, failed)
    if said and not failed:
        print(said)
    arm = store.open_arm(Path(audited.summary["arms"][-1]["path"]))
    what = without_secrets(f"`{options.thing}` against `{options.base}`")  # an address may hold a password
    measured = _measured(folder, arm.arm, what, said)
    store.write_text(folder / CARD, card.text(arm, measured))
    if options.out is not None:
        shutil.copytree(folder, options.out, dirs_exist_ok=True)
    shown = options.out or folder
    print(f"card: {shown / CARD}")
    if (shown / PAGE).is_file():
        print(f"in one page: {shown / PAGE}")
    print(f"report: {shown / REPORT}")
    return GATE_FAILED if failed else DONE


def _suites(named: str | None) -> list[str]:
    """The setting that asks suites beside the grid. Raises UserError for a name that none has."""
    if named is None:
        return []
    from warmgap.evaluate import suites

    known = suites.names_of_probes()
    chosen = known if named == "all" else [name.strip() for name in named.split(",")]
    if unknown := [name for name in chosen if name not in known]:
        why = f"the suites beside the grid are {', '.join(known)}"
        raise UserError(f"--suites has {unknown[0]!r}", why, "--suites all, or some of them: --suites pressure,care")
    return [f"suite=[{','.join(['grid', *chosen])}]"]


def _check_out(out: Path | None) -> None:
    """Raise UserError unless a folder can take the copies: a new or empty one, or one of an earlier audit."""
    if out is None or not out.exists():
        return
    if out.is_dir() and (not any(out.iterdir()) or all((out / name).is_file() for name in (CARD, REPORT))):
        return
    why = "it is a file" if not out.is_dir() else f"it holds other things than an audit: no {CARD} and {REPORT}"
    raise UserError(f"--out {out} cannot be used", why, "name a folder that is new or empty, or an earlier audit's")


def _judged(margin: float | None, failed: Sequence[str]) -> str:
    """The gate's verdict in a sentence; empty where no gate was asked for."""
    if margin is None:
        return ""
    return " ".join(failed) or f"gate: passed, its error is shown to be within {margin:g} pp of the original's"


def _measured(folder: Path, arm: str, what: str, verdict: str) -> list[str]:
    """The card's lines on what the audit found: gaps with their intervals and n, warmth, and the gate's verdict."""
    from warmgap.evaluate.report.comparison import effects_of, interval, load_comparison, number, warmth_rows, whole
    from warmgap.evaluate.report.findings import findings_of

    comparison = load_comparison(folder)
    lines = ["## Audit", "", f"{what}, graded by `{comparison.summary['grader']}`.", ""]
    lines += ["| error, its own minus the base's, pp | gap | 95 % CI | n | questions |", "|---|---|---|---|---|"]
    for finding in findings_of(effects_of(comparison), arm):
        ours = finding.ours
        gap = f"{number(ours.estimate, signed=True)} | {interval(ours.low, ours.high)}"
        lines.append(f"| {finding.label} | {gap} | {whole(ours.n)} | {whole(ours.n_items)} |")
    lines += ["", "| SocioT warmth | base | its own | difference | 95 % CI | n |", "|---|---|---|---|---|---|"]
    for row in warmth_rows(comparison):
        cells = [row.mode, number(row.before, 3), number(row.after, 3), number(row.shift, 3, signed=True)]
        lines.append(f"| {' | '.join([*cells, interval(row.low, row.high, 3), whole(row.n)])} |")
    return [*lines, "", *([f"**{verdict}**", ""] if verdict else [])]
