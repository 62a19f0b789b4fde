"""From the rows of several arms to a comparison folder: answers, cells, effects, warmth, losses, summary.

Everything in the folder follows from the arms on disk and can be made again at any time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from warmgap.disk import store, tabular
from warmgap.disk.store import Arm
from warmgap.engines import facts
from warmgap.evaluate import stats
from warmgap.evaluate.judges import judged
from warmgap.evaluate.judges.grade import error_of
from warmgap.evaluate.report import study
from warmgap.evaluate.stats.beside import equivalence
from warmgap.evaluate.stats.beside import outcomes as outcomes_of
from warmgap.evaluate.stats.beside.blind_spot import blind_spot
from warmgap.words import (
    ANSWER_COLUMNS,
    ERROR,
    GRADED,
    OUTCOME_COLUMNS,
    READING_COLUMNS,
    REFUSED,
    TRAINING_COLUMNS,
    UNPARSED,
    WARMTH_COLUMNS,
)

VERDICT_COLUMNS = (
    "verdict", "reason", "margin", "grader", "question", "correct", "incorrect", "decided_by", "overlap",
)  # fmt: skip
MODES = ("released", "clean")
Analyze = Callable[..., stats.Analysis]


@dataclass
class Measured:
    """What was measured of one arm: answers, warmth by step (with the epoch), logged losses, outcomes of controls, and
    ``readings``: what its replies to suites with measures of their own come to.
    """

    arm: Arm
    answers: list[dict[str, Any]]
    warmth: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    losses: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)


def answers_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return one row for each answer, with the columns of ``answers.parquet`` in a fixed order."""
    rows = []
    for one in measured:
        for row in one.answers:
            verdict, task = str(row["verdict"]), str(row["task"])
            rows.append(
                {
                    **row,
                    "model": one.arm.model,
                    "arm": one.arm.arm,
                    "seed": one.arm.seed,
                    "error": error_of(verdict, task),
                    "error_lenient": error_of(verdict, task, strict=False),
                }
            )
    table = pd.DataFrame(rows, columns=ANSWER_COLUMNS)
    for column in ("error", "error_lenient", "margin"):
        table[column] = table[column].astype("float64")
    return table


def warmth_table(measured: Sequence[Measured], reference: str) -> pd.DataFrame:
    """Return mean SocioT per arm, step and mode, and its paired shift from the reference on the same prompts."""
    base = {one.arm.model: one.warmth.get(0, []) for one in measured if one.arm.arm == reference}
    rows = []
    for one in measured:
        for step, scores in sorted(one.warmth.items()):
            for mode in MODES:
                own = {row["prompt_id"]: row[mode] for row in scores if row[mode] is not None}
                if not own:
                    continue
                level = stats.paired_shift(list(own.values()), [0.0] * len(own))
                row = {"model": one.arm.model, "arm": one.arm.arm, "seed": one.arm.seed, "step": step}
                row |= {"epoch": scores[0]["epoch"], "mode": mode, "n": len(own)}
                row |= {"sociot": level.estimate, "sociot_se": level.se}
                if one.arm.arm != reference:
                    row |= _shift(own, {r["prompt_id"]: r[mode] for r in base.get(one.arm.model, [])})
                rows.append(row)
    return pd.DataFrame(rows, columns=WARMTH_COLUMNS)


def _shift(own: dict[str, float], base: dict[str, float | None]) -> dict[str, float]:
    pairs = [(value, base[key]) for key, value in own.items() if base.get(key) is not None]
    if len(pairs) < 2:
        return {}
    shift = stats.paired_shift([a for a, _ in pairs], [float(b or 0.0) for _, b in pairs])
    return {
        "n": len(pairs),
        "shift": shift.estimate,
        "shift_se": shift.se,
        "shift_ci_low": shift.ci_low,
        "shift_ci_high": shift.ci_high,
        "shift_p": shift.p,
    }


def losses_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return the logged losses of the arms that were trained."""
    rows = [
        {"model": one.arm.model, "arm": one.arm.arm, "seed": one.arm.seed, **row}
        for one in measured
        for row in one.losses
    ]
    return pd.DataFrame(rows, columns=TRAINING_COLUMNS)


def outcomes_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return one row for each item of a control that an arm was asked."""
    rows = [
        {"model": one.arm.model, "arm": one.arm.arm, "seed": one.arm.seed, **row}
        for one in measured
        for row in one.outcomes
    ]
    return pd.DataFrame(rows, columns=OUTCOME_COLUMNS)


def readings_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return one row for each outcome of a suite with measures of its own."""
    rows = [
        {"model": one.arm.model, "arm": one.arm.arm, "seed": one.arm.seed, **row}
        for one in measured
        for row in one.readings
    ]
    table = pd.DataFrame(rows, columns=READING_COLUMNS)
    table["value"] = table["value"].astype("float64")
    return table


def dropped(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what does not enter the error rates, arm by arm, and why."""
    why = {
        REFUSED: "declining is neither a right nor a wrong answer (as in the study)",
        UNPARSED: "the grader could not tell; never counted as a wrong answer",
        ERROR: "no answer came, or the grader failed; never counted as a wrong answer",
    }
    found = []
    for (arm, verdict), some in table.groupby(["arm", "verdict"], sort=True):
        if verdict in why and some["error"].isna().any():
            found.append({"what": f"{arm}: {verdict}", "n": int(some["error"].isna().sum()), "why": why[str(verdict)]})
    return found


def second_opinion(
    table: pd.DataFrame, second: str | None, reference: str, analyze: Analyze = stats.analyze
) -> dict[str, Any] | None:
    """Return how far a second grader agrees on the same answers, and each arm's main effect by its verdicts alone.

    ``effects`` has a row for each arm (and for each model beside the pooled ``all``, where there are several).
    """
    if second is None:
        return None
    both = table[table["verdict"].isin(GRADED) & table["second_verdict"].isin(GRADED)]
    agree = float((both["verdict"] == both["second_verdict"]).mean()) if len(both) else math.nan
    found: dict[str, Any] = {"grader": second, "n_both": len(both), "agreement_pct": 100 * agree}
    errors = [error_of(v, t) for v, t in zip(table["second_verdict"], table["task"], strict=True)]
    other = table.assign(error=pd.Series(errors, index=table.index, dtype="float64"), verdict=table["second_verdict"])
    found["effects"] = []
    if other["error"].notna().any():
        effects = analyze(other, reference=reference, bootstrap=0).effects
        main = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered")]
        main = main[main["reference"] == reference].rename(columns={"estimate_pp": "main_effect_pp"})
        columns = ["arm", "model", "main_effect_pp", "ci_low_pp", "ci_high_pp", "n"]
        found["effects"] = [_without_nan(row) for row in main[columns].to_dict("records")]
    return _without_nan(found)


def _without_nan(row: dict[Any, Any]) -> dict[str, Any]:
    """Values as JSON can hold them: what is not known is null."""
    return {str(k): None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


def write_comparison(
    folder: Path,
    measured: Sequence[Measured],
    summary: dict[str, Any],
    *,
    second: str | None,
    bootstrap: int,
    analyze: Analyze = stats.analyze,
) -> None:
    """Write every table of the comparison, ``summary.json`` last: where it stands, the folder is complete.

    ``summary`` brings what the tables cannot tell (title, settings, versions …) and names the reference arm; the arms
    are added to it, each with the training step that it is. ``analyze`` is the suite's, with the arguments of
    `stats.analyze`.
    """
    reference = str(summary["reference"])
    table = answers_table(measured)
    analysis = analyze(table, reference=reference, bootstrap=bootstrap)
    warmth, losses = warmth_table(measured, reference), losses_table(measured)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / "answers.parquet", index=False)
    _csv(folder / "effects.csv", analysis.effects)
    _csv(folder / "cells.csv", analysis.cells)
    _csv(folder / "warmth.csv", warmth)
    _csv(folder / "training.csv", losses)
    replication = study.beside(table, original=reference)
    if len(replication):
        _csv(folder / "study.csv", replication)
    outcomes = outcomes_table(measured)
    if len(outcomes):
        _csv(folder / "controls.csv", equivalence.rates(outcomes))
        _csv(folder / "equivalence.csv", equivalence.equivalence(outcomes, reference, summary.get("margins") or {}))
        _csv(folder / "blind_spot.csv", blind_spot(table, outcomes, analysis.effects, reference))
    readings = readings_table(measured)
    if len(readings):
        readings.to_parquet(folder / "suites.parquet", index=False)
        of = {name: about["measures"] for name, about in summary["suites"].items()}
        _csv(folder / "suites.csv", outcomes_of.table(readings, of, reference))
    judging = [*judged.deciders(table), *judged.costs([one.arm for one in measured])]
    counts = {"items": int(table[["task", "item_id"]].drop_duplicates().shape[0])}
    counts |= {"prompts per arm": len(table) // max(1, len(measured)), "arms": len(measured), "answers": len(table)}
    counts |= {"answers with a verdict": int(table["error"].notna().sum())}
    store.write_json(
        folder / "summary.json",
        {
            **summary,
            "arms": [_listed(one) for one in measured],
            "counts": counts,
            "dropped": [*summary.get("dropped", []), *dropped(table)],
            "notes": [*judging, *summary.get("notes", []), *analysis.notes],
            "second_judge": second_opinion(table, second, reference, analyze),
            "failed": int((table["verdict"] == ERROR).sum()),
        },
    )


def _listed(one: Measured) -> dict[str, Any]:
    arm = one.arm
    found = {"id": arm.name, "model": arm.model, "arm": arm.arm, "seed": arm.seed, "path": str(arm.folder)}
    found["facts"] = facts.said(arm.folder)
    return {**found, "step": arm.final(one.warmth)} if one.warmth else found


def _csv(path: Path, table: pd.DataFrame) -> None:
    tabular.write_csv(path, table)


def with_verdicts(
    answers: Iterable[dict[str, Any]], verdicts: Iterable[dict[str, Any]], second: Iterable[dict[str, Any]] | None
) -> list[dict[str, Any]]:
    """Join answers with the verdicts of the main grader and, beside them, those of the second one."""
    rows = []
    others = [row["verdict"] for row in second] if second is not None else None
    for index, (answer, verdict) in enumerate(zip(answers, verdicts, strict=True)):
        row = {key: answer[key] for key in answer if key != "key"}
        row |= {key: verdict.get(key) for key in VERDICT_COLUMNS}
        row["second_verdict"] = others[index] if others is not None else None
        rows.append(row)
    return rows
