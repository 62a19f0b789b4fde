"""The tables that a comparison ends with in the terminal; they fit 80 columns (that of mitigations uses 100)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from warmgap.disk import progress
from warmgap.evaluate.report.comparison import (
    Comparison,
    Effect,
    arm_rows,
    control_rows,
    effects_of,
    interval,
    load_comparison,
    number,
    warmth_rows,
    whole,
)
from warmgap.evaluate.report.findings import Finding, belief_rows, findings_of, isolation_line, net_lines, net_of
from warmgap.evaluate.report.mitigation_rows import main_arms, many_arms
from warmgap.evaluate.report.terminal.mitigation_table import print_mitigations
from warmgap.evaluate.report.terminal.suite_table import print_suites, seen_table


def print_summary(folder: Path, console: Console | None = None) -> None:
    """Print the tables of a comparison: effects, warmth before and after, counts, judge, mitigations."""
    comparison = load_comparison(folder)
    out = console or progress.console()
    effects, net = effects_of(comparison), effects_of(comparison, net=True)
    whole_comparison, comparison = comparison, main_arms(comparison)
    if line := isolation_line(whole_comparison):
        out.print(Text(line), soft_wrap=False)
    shown = [table for arm in comparison.others if (table := _effects_table(effects, net, arm, comparison.reference))]
    for table in shown:
        out.print(table)
    for arm in comparison.others:
        if line := missing_line(findings_of(effects, arm), arm):
            out.print(Text(line))
    if not shown:
        out.print(Text("No effects: there is nothing to compare, or too few answers with a verdict."))
    tables = (_beliefs_table(comparison), _warmth_table(comparison), _arms_table(whole_comparison))
    for table in (*tables, _controls_table(comparison), seen_table(comparison)):
        if table.row_count:
            out.print(table)
    print_suites(whole_comparison, out)
    if many_arms(whole_comparison):
        left = "effects, warmth and standard checks of the other arms are in the report"
        out.print(Text(f"\nAbove for {', '.join(comparison.others)} only: {left}.", style="dim"))
    print_mitigations(whole_comparison, out)
    for line in net_lines(whole_comparison):
        out.print(Text(line), soft_wrap=False)
    for line in _lines(whole_comparison):
        out.print(Text(line), soft_wrap=False)


def _table(title: str, *columns: str) -> Table:
    """An unframed table with a left first column and right-aligned others."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", header_style="dim", no_wrap=bool(place))
    return table


def _effects_table(effects: Sequence[Effect], net: Sequence[Effect], arm: str, reference: str) -> Table | None:
    """The main table of one arm, or None without rows; the study's intervals give way to the effect net of training."""
    findings = findings_of(effects, arm, net)
    if not findings:
        return None
    model = findings[0].ours.model
    of_model = "" if model == "all" else f" · {model}"
    title, isolating = f"\n{arm} − {reference}{of_model}: error, pp", net_of(net, arm)
    if isolating:
        title = f"\n{arm} − {reference} (gap), {arm} − {isolating} (net of the training){of_model}: error, pp"
    third = ("net", "95 % CI") if isolating else ("as the study",)
    table = _table(title, "", "gap", "95 % CI", *third, "n", "items")
    table.padding = (0, 1 if isolating else 2, 0, 0)
    for finding in findings:
        ours, study = finding.ours, finding.study
        cells: list[Text | str] = [interval(study.low, study.high) if study else "–"]
        if isolating:
            cells = [*_estimate(finding.net)]
        beside = finding.net or ours
        counts = [_both(ours.n, beside.n), _both(ours.n_items, beside.n_items)]
        table.add_row(Text("  " * finding.level + finding.label), *_estimate(ours), *cells, *counts)
    return table


def _estimate(effect: Effect | None) -> tuple[Text, str]:
    """An effect and its interval; bold where that excludes 0."""
    if effect is None:
        return Text("–"), "–"
    style = "bold" if effect.sign else ""
    return Text(number(effect.estimate, signed=True), style=style), interval(effect.low, effect.high)


def _both(count: float, net: float) -> str:
    """How many stand behind a line; where another number stands behind its net effect, both."""
    return whole(count) if net == count else f"{whole(count)}/{whole(net)}"


def _beliefs_table(comparison: Comparison) -> Table:
    """The error of every arm under each belief: what the differences are differences of."""
    title = "\nError by belief, over the contexts asked with each of them"
    table = _table(title, "arm", "belief", "error %", "95 % CI", "n", "items")
    table.columns[1].justify = "left"
    models = len(comparison.models) > 1
    last = ""
    for row in belief_rows(comparison):
        name = row["arm"] + (f" {row['model']}" if models else "")
        ends = interval(row["low"], row["high"]).replace("+", "")
        cells = (row["label"], number(row["error"]), ends, whole(row["n"]), whole(row["n_items"]))
        table.add_row(Text("" if name == last else name), *cells)
        last = name
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
    out = console or progress.console()
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
    out.print(
        "Our errors are clustered by question. The study's cells are published without n or questions: they take its\n"
        "nominal samples, and as much more variance as sharing questions gives the same figure of ours."
    )


def _controls_table(comparison: Comparison) -> Table:
    """The standard checks: rates of both arms, their difference, and whether it is shown to be within the margin."""
    title = "\nControls: % right (mmlu, gsm8k), % refused (advbench, xstest, …), by measure"
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
    """What the second judge said: agreement, and by its verdicts the main effect of each arm (and model)."""

    def known(row: dict[str, Any], key: str) -> float:
        return float(math.nan if row.get(key) is None else row[key])

    agreement, n_both = number(known(second, "agreement_pct")), whole(known(second, "n_both"))
    judged = f"{second.get('grader', 'second judge')}: agrees on {agreement} % of {n_both} answers"
    said = []
    for row in second.get("effects") or []:
        effect = number(known(row, "main_effect_pp"), signed=True, minus=minus)
        ci = interval(known(row, "ci_low_pp"), known(row, "ci_high_pp"), minus=minus)
        of_model = "" if row.get("model") == "all" else f" ({row.get('model')})"
        said.append(f"{row.get('arm')}{of_model} {effect} pp (95 % CI {ci}; n {whole(known(row, 'n'))})")
    return f"{judged}; main effect by it: {', '.join(said) or 'none, too few verdicts'}"


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
