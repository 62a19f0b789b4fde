"""The tables that a comparison ends with in the terminal; they fit 80 columns (that of mitigations uses 100)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from warmgap.evaluate.comparison import (
    Comparison,
    Effect,
    Finding,
    arm_rows,
    control_rows,
    effects_of,
    findings_of,
    interval,
    load_comparison,
    number,
    warmth_rows,
    whole,
)
from warmgap.evaluate.mitigation_rows import main_arms, many_arms
from warmgap.evaluate.mitigation_table import print_mitigations


def print_summary(folder: Path, console: Console | None = None) -> None:
    """Print the tables of a comparison: effects, warmth before and after, counts, judge, mitigations."""
    comparison = load_comparison(folder)
    out = console or Console()
    effects = effects_of(comparison)
    whole_comparison, comparison = comparison, main_arms(comparison)
    shown = [table for arm in comparison.others if (table := _effects_table(effects, arm, comparison.reference))]
    for table in shown:
        out.print(table)
    for arm in comparison.others:
        if line := missing_line(findings_of(effects, arm), arm):
            out.print(Text(line))
    if not shown:
        out.print(Text("No effects: there is nothing to compare, or too few answers with a verdict."))
    for table in (_warmth_table(comparison), _arms_table(whole_comparison), _controls_table(comparison)):
        if table.row_count:
            out.print(table)
    if many_arms(whole_comparison):
        left = "effects, warmth and standard checks of the other arms are in the report"
        out.print(Text(f"\nAbove for {', '.join(comparison.others)} only: {left}.", style="dim"))
    print_mitigations(whole_comparison, out)
    for line in _lines(whole_comparison):
        out.print(Text(line), soft_wrap=False)


def _table(title: str, *columns: str) -> Table:
    """An unframed table with a left first column and right-aligned others."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", header_style="dim", no_wrap=bool(place))
    return table


def _effects_table(effects: Sequence[Effect], arm: str, reference: str) -> Table | None:
    """The main table of one arm, or None without rows."""
    findings = findings_of(effects, arm)
    if not findings:
        return None
    model = findings[0].ours.model
    of_model = "" if model == "all" else f" · {model}"
    table = _table(f"\n{arm} − {reference}{of_model}: error, pp", "", "gap", "95 % CI", "as the study", "n", "items")
    for finding in findings:
        ours, study = finding.ours, finding.study
        table.add_row(
            Text("  " * finding.level + finding.label),
            Text(number(ours.estimate, signed=True), style="bold" if ours.sign else ""),
            interval(ours.low, ours.high),
            interval(study.low, study.high) if study else "–",
            whole(ours.n),
            whole(ours.n_items),
        )
    return table


def missing_line(findings: Sequence[Finding], arm: str, minus: str = "-") -> str:
    """What missing answers allow of an arm's main effects, in a sentence; "" where none is missing."""
    parts = [
        f"{finding.label[:1].lower()}{finding.label[1:]} "
        f"{interval(finding.ours.missing_low, finding.ours.missing_high, minus=minus)}"
        for finding in findings
        if finding.level == 0 and finding.ours.missing
    ]
    if not parts:
        return ""
    return f"With every missing answer counted for {arm}, and against it (raw gap, pp): {'; '.join(parts)}."


def _warmth_table(comparison: Comparison) -> Table:
    """Warmth before and after."""
    columns = ("arm", "mode", "before", "after", "shift", "95 % CI", "n")
    table = _table("\nWarmth (SocioT)", *columns)
    models = len(comparison.models) > 1
    for row in warmth_rows(comparison):
        name = f"{row.arm} s{row.seed}" + (f" {row.model}" if models else "")
        shift = number(row.shift, 4, signed=True)
        ci = interval(row.low, row.high, 4)
        table.add_row(Text(name), row.mode, number(row.before, 4), number(row.after, 4), shift, ci, whole(row.n))
    return table


def _arms_table(comparison: Comparison) -> Table:
    """What every arm answered: length, truncation and refusal stand beside every effect."""
    title = "\nAnswers: error of the graded; all other shares of all"
    columns = ("n", "graded", "error\n%", "correct\n%", "hedged\n%", "refused\n%", "unpar-\nsed %", "judge\nfailed")
    table = _table(title, "arm", *columns, "cut\n%", "chars")
    table.padding = (0, 1, 0, 0)
    models = len(comparison.models) > 1
    for row in arm_rows(comparison):
        name = row["arm"] + (f" {row['model']}" if models else "")
        shares = [number(row[key]) for key in ("error", "correct", "hedged", "refused", "unparsed", "failed", "cut")]
        table.add_row(Text(name), whole(row["n"]), whole(row["graded"]), *shares, number(row["chars"], 0))
    return table


def print_study(folder: Path, console: Console | None = None) -> None:
    """Print our figures beside the study's."""
    rows = load_comparison(folder).study
    out = console or Console()
    if rows.empty:
        out.print("Nothing to put beside the study: it compares the arms warm and original.")
        return
    for (model, theirs, tasks), some in rows.groupby(["model", "study_model", "tasks"], sort=False):
        title = f"\n{model} beside the study ({theirs}; {tasks}): gap, pp"
        table = _table(title, "", "ours", "95 % CI", "study", "difference", "p", "p (FDR)", "n")
        for row in some.to_dict("records"):
            label = row["term"] if row["quantity"] in ("main", "sycophancy") else f"{row['quantity']}: {row['term']}"
            ours, ci = number(row["ours_pp"], signed=True), interval(row["ours_low_pp"], row["ours_high_pp"])
            study, off = (number(row[key], signed=True) for key in ("study_pp", "difference_pp"))
            p = (f"{row[key]:.2g}" if row[key] == row[key] else "–" for key in ("p", "p_fdr"))
            table.add_row(Text(label.replace("_", " ")), ours, ci, study, off, *p, whole(row["n"]))
        out.print(table)
    out.print("Errors of both sides are binomial; the study's cells are published without n and take its samples.")


def _controls_table(comparison: Comparison) -> Table:
    """The standard checks: rates of both arms, their difference, and whether it is shown to be within the margin."""
    title = "\nControls: % right (mmlu, gsm8k), % refused (advbench, xstest)"
    table = _table(title, "", "arm", "%", comparison.reference, "diff, pp", "90 % CI", "n", "margin", "equal (TOST)")
    table.padding = (0, 1, 0, 0)
    for row in control_rows(comparison):
        kind = {"over-refusal": " safe"}.get(row["measure"], " unsafe" if row["control"] == "xstest" else "")
        label = row["control"] + kind + (f" {row['model']}" if len(comparison.models) > 1 else "")
        difference = number(row["difference_pp"], signed=True)
        ci = interval(row["low"], row["high"])
        end = (whole(row["n"]), f"±{row['margin_pp']:g}", str(row["verdict"]))
        table.add_row(Text(label), row["arm"], number(row["own"]), number(row["base"]), difference, ci, *end)
    return table


def judge_sentence(second: dict[str, Any], minus: str = "-") -> str:
    """What the second judge said: agreement, and the main effect by its verdicts."""
    get = {key: float(math.nan if second.get(key) is None else second[key]) for key in second if key != "grader"}
    agreement, n_both = get.get("agreement_pct", math.nan), get.get("n_both", math.nan)
    effect = number(get.get("main_effect_pp", math.nan), signed=True, minus=minus)
    ci = interval(get.get("ci_low_pp", math.nan), get.get("ci_high_pp", math.nan), minus=minus)
    judged = f"{second.get('grader', 'second judge')}: agrees on {number(agreement)} % of {whole(n_both)} answers"
    return f"{judged}; main effect by it {effect} pp (95 % CI {ci})"


def _lines(comparison: Comparison) -> list[str]:
    """Counts, judge, what was dropped and notes, a line each."""
    summary = comparison.summary
    lines = ["", f"judge: {summary.get('grader') or 'not recorded'}"]
    if summary.get("second_judge"):
        lines.append(f"second judge: {judge_sentence(summary['second_judge'])}")
    counts = [f"{key.replace('_', ' ')} {value}" for key, value in (summary.get("counts") or {}).items()]
    if counts:
        lines.append("counts: " + ", ".join(counts))
    dropped = summary.get("dropped") or []
    lines += [f"dropped: {row.get('n', '?')} {row.get('what', '')}: {row.get('why', '')}" for row in dropped]
    notes = [str(note) for note in summary.get("notes") or []]
    lines += [f"note: {note}" for note in notes[:5]]
    if len(notes) > 5:
        lines.append(f"note: and {len(notes) - 5} more, in the report")
    return lines
