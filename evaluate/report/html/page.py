"""The report of a comparison: one html file that opens from disk and needs nothing beside itself.

Whatever a user or a model wrote reaches the page in one of two ways: through the template, which escapes it, or as JSON
in a data block that the page's script turns into text nodes. The page forbids itself all loading (by its
Content-Security-Policy).
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from warmgap.evaluate.report.comparison import (
    Comparison,
    Effect,
    arm_rows,
    control_rows,
    effects_of,
    load_comparison,
    warmth_rows,
)
from warmgap.evaluate.report.figures import style, write_figures
from warmgap.evaluate.report.figures.dose_figure import read_dose, write_dose_figure
from warmgap.evaluate.report.findings import belief_rows, findings_of, isolation_line, net_lines, net_of
from warmgap.evaluate.report.headline import MINUS, headline
from warmgap.evaluate.report.html.answer_pairs import embedded_answers, safe_json
from warmgap.evaluate.report.html.mitigation_part import (
    mitigation_captions,
    mitigation_note,
    mitigation_sections,
    third_arm,
)
from warmgap.evaluate.report.html.rendering import environment
from warmgap.evaluate.report.html.single import colours, write_page
from warmgap.evaluate.report.mitigation_rows import main_arms
from warmgap.evaluate.report.seen import seen_rows
from warmgap.evaluate.report.suite_rows import parts_of
from warmgap.evaluate.report.terminal.tables import judge_sentence, missing_line, print_summary
from warmgap.evaluate.stats.contrasts import DIFFERENCES
from warmgap.words import BELIEF_LABELS, CONTEXT_LABELS, NONE, label

__all__ = ["headline", "print_summary", "write_figures", "write_report"]

ANALYSES = {
    "main": "Overall",
    "main_length_adjusted": "Overall, length-adjusted",
    "context_group": "By group of contexts",
    "context": "By context",
    "belief": "With and without a false belief",
    "sycophancy": "Added by a false belief (difference in differences)",
    "sycophancy_net": "Added by a false claim beyond a mention of the wrong answer",
    "over_correction": "Added by a claim of the right answer (over-correction)",
    "task": "By task",
    "amplification": "Amplification by a context",
    "mitigation": "Mitigation",
}


@dataclass(frozen=True)
class Plate:
    """A figure of the report: svg of the wide layout, and of the narrow one where there are two."""

    name: str
    title: str
    caption: str
    wide: Markup
    narrow: Markup | None = None
    full_width: bool = False


def write_report(folder: Path) -> Path:
    """Write figures/ and report.html of a comparison folder; returns the path of the report.

    Raises UserError where the folder is no comparison. Tables that are missing leave their section out.
    """
    comparison = load_comparison(folder)
    write_figures(folder)
    dose_caption = write_dose_figure(folder)
    effects, net = effects_of(comparison), effects_of(comparison, net=True)
    main = main_arms(comparison)
    data, sample = embedded_answers(comparison)
    data |= {"colours": colours(comparison), "third": third_arm(comparison)}
    templates = environment()
    script = templates.get_template("report.js.j2").render()
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    text = templates.get_template("report.html.j2").render(
        summary=comparison.summary,
        comparison=comparison,
        headline=[(arm, headline(comparison, effects, arm)) for arm in main.others],
        mitigations=mitigation_sections(comparison),
        mitigation_note=mitigation_note(comparison),
        mitigation_plates=_plates(comparison, mitigation_captions(comparison)),
        dose=_dose(comparison, dose_caption),
        main=main,
        missing_lines={arm: missing_line(findings_of(effects, arm), arm, MINUS) for arm in main.others},
        missing=any(effect.missing for effect in effects),
        findings=_findings(main, effects, net),
        isolation=isolation_line(comparison),
        beliefs=belief_rows(main),
        net_of={arm: net_of(net, arm) for arm in comparison.others},
        net_lines=net_lines(comparison, MINUS),
        arms=arm_rows(comparison),
        warmth=warmth_rows(main),
        more_warmth=warmth_rows(comparison)[len(warmth_rows(main)) :],
        controls=control_rows(comparison),
        seen=seen_rows(comparison),
        suites=parts_of(comparison),
        beside=_beside_study(comparison),
        colours=colours(comparison),
        plates=_plates(comparison, _captions(main)),
        effects=_effect_sections([*effects, *net]),
        cells=cell_rows(main),
        sample=sample,
        second=judge_sentence(comparison.summary["second_judge"], MINUS)
        if comparison.summary.get("second_judge")
        else "",
        data=Markup(safe_json(data)),
        script=Markup(script),
        script_hash=digest,
    )
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    if comparison.summary.get("suites"):
        write_page(comparison)
    return path


def _beside_study(comparison: Comparison) -> list[tuple[Any, list[dict[Any, Any]]]]:
    """The rows beside the study's figures, by model, the study's model and tasks."""
    by = comparison.study.groupby(["model", "study_model", "tasks"], sort=False)
    return [(key, some.to_dict("records")) for key, some in by]


def _findings(comparison: Comparison, effects: Sequence[Effect], net: Sequence[Effect]) -> dict[str, Any]:
    """The main table per arm, and the scale of its little interval plots: half its width in pp, a round number."""
    by_arm = {arm: rows for arm in comparison.others if (rows := findings_of(effects, arm, net))}
    ends = [
        abs(end) for rows in by_arm.values() for row in rows if row.ours.known for end in (row.ours.low, row.ours.high)
    ]
    reach = max(ends, default=1.0)
    half = next((step for step in (1, 2, 5, 10, 15, 20, 30, 40, 50, 75) if step >= reach), 100)
    return {"by_arm": by_arm, "half": half}


def _effect_sections(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """All effects, a section per analysis: one line per model, arm and term, with every kind of interval."""
    sections: dict[str, dict[tuple[str, str, str, str], dict[str, Any]]] = {}
    for effect in effects:
        lines = sections.setdefault(effect.analysis, {})
        line = lines.setdefault((effect.model, effect.arm, effect.reference, effect.term), {"kinds": {}})
        line["kinds"][effect.errors] = effect
    order = [*ANALYSES, *(name for name in sections if name not in ANALYSES)]
    return [
        {
            "title": ANALYSES.get(name, name.replace("_", " ")),
            "lines": [_effect_line(name, key, line["kinds"]) for key, line in sections[name].items()],
        }
        for name in order
        if name in sections
    ]


def _effect_line(analysis: str, key: tuple[str, str, str, str], kinds: dict[str, Effect]) -> dict[str, Any]:
    """One line of the full table of effects."""
    model, arm, reference, term = key
    labels = BELIEF_LABELS if analysis in ("belief", "sycophancy", *DIFFERENCES) else CONTEXT_LABELS
    title = "overall" if analysis.startswith("main") else label(term, labels)
    if analysis == "task":
        title = term.replace("_", " ")
    percent = analysis == "amplification" and not term.endswith(f"-{NONE}")
    if analysis == "amplification":
        base = label(term.removesuffix(f"-{NONE}"), CONTEXT_LABELS)
        title = f"{base}, relative to no context" if percent else f"{base} − no context"
    best = kinds.get("clustered") or kinds.get("bootstrap") or next(iter(kinds.values()))
    said = {"model": model, "arm": arm, "reference": reference, "label": title, "unit": "%" if percent else "pp"}
    return {**said, "best": best, "kinds": kinds}


def cell_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """cells.csv with each cell of an arm beside the reference's: error of both in percent, gap in pp."""
    cells = comparison.cells
    key = ["model", "seed", "task", "context", "belief"]
    wanted = [*key, "n", "error_pct", "hedged_pct", "refused_pct"]
    base = cells.loc[cells["arm"] == comparison.reference, wanted].drop_duplicates(key)
    rest = cells[cells["arm"] != comparison.reference]
    if rest.empty:
        rest = cells[cells["arm"] == comparison.reference]
    joined = rest.merge(base, on=key, how="left", suffixes=("", "_ref"))
    joined["gap"] = joined["error_pct"] - joined["error_pct_ref"] if comparison.others else math.nan
    return [{str(name): value for name, value in row.items()} for row in joined.to_dict("records")]


def _captions(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """Title and caption of the figures that every comparison has, by name."""
    ref = comparison.reference
    clustered = "Points are average marginal effects, lines 95 % intervals clustered by question."
    if effects_of(comparison, net=True):
        clustered += " Hollow: net of the training, against the arm of the same seed that was trained alike."
    ours = "the arm" if len(comparison.others) != 1 else comparison.others[0]
    return {
        "gap_by_context": (
            f"Gap in error between {ours} and {ref} by what the user says before the question",
            f"{clustered} Without a false belief. Bold rows pool a group. Dashed: the gap without context. "
            "n: answers of both arms.",
        ),
        "gap_by_task": (f"Gap in error between {ours} and {ref} by task", f"{clustered} n: answers of both arms."),
        "error_by_cell": (
            "Error by cell, all arms side by side",
            "Share of incorrect answers among those with a verdict, pooled over tasks, models and seeds, with Wilson's "
            f"95 % interval, which treats answers as independent. Hollow: {ref}.",
        ),
        "warmth": (
            "Warmth over training",
            f"Shift of SocioT against {ref} on the same held-out prompts, with 95 % intervals, by both "
            "ways of computing it; dotted from 0, which is the model before training.",
        ),
        "loss": (
            "Loss in training",
            "On the training batches and on held-out conversations. Single runs: no interval.",
        ),
    }


def _plates(comparison: Comparison, captions: dict[str, tuple[str, str]]) -> list[Plate]:
    """The figures that were drawn, with their captions, ready to stand in the page."""
    plates = []
    for name, (title, caption) in captions.items():
        wide = _inline_svg(comparison.folder, name, title)
        if wide:
            narrow = _inline_svg(comparison.folder, f"{name}_stacked", title) or None
            plates.append(Plate(name, title, caption, wide, narrow, full_width=narrow is not None))
    return plates


def _dose(comparison: Comparison, caption: str) -> dict[str, Any]:
    """A sweep's figure, points, fits and notes; empty where the comparison is none."""
    points, fits, _ = read_dose(comparison.folder)
    if points.empty:
        return {}
    points = points.rename(columns={"warmth_shift_low": "warmth_low", "warmth_shift_high": "warmth_high"})
    return {
        "plates": _plates(comparison, {"dose": ("Warmth against error, whichever dial made the model warm", caption)}),
        "points": points.to_dict("records"),
        "claimed": bool(points["over_correction_pp"].notna().any()),
        "fits": fits.to_dict("records"),
        "notes": comparison.summary.get("dose_notes") or [],
    }


def _inline_svg(folder: Path, name: str, title: str) -> Markup:
    """A figure as it stands in the page: no prolog, ids of its own, colours and font from the page's variables."""
    path = folder / "figures" / f"{name}.svg"
    if not path.is_file():
        return Markup("")
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(url\(#|href="#)', rf"\1{name}-", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    variables = {style.INK: "ink", style.MUTED: "muted", style.RULE: "rule", style.REFERENCE: "reference"}
    variables |= {colour: f"series-{place}" for place, colour in enumerate(style.SERIES)}
    variables["#ffffff"] = "paper"
    for colour, variable in variables.items():
        text = text.replace(f": {colour}", f": var(--{variable})")
    text = text.replace(style.FONTS, "var(--sans)")
    said = Markup.escape(f"{title}. The numbers are in the tables.")
    text = re.sub(r'<svg ([^>]*?)width="[^"]*pt"', rf'<svg role="img" aria-label="{said}" \1', text, count=1)
    text = re.sub(r'(<svg [^>]*?)height="[^"]*pt"', r"\1", text, count=1)
    return Markup(text)
