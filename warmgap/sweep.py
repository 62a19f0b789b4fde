"""A sweep over the strength of warmth: its points, made one by one, and what they show together.

Each point is an arm that a dial made (see ``dials.dialled``). They are put on one axis, measured warmth, so that the
question can be asked whether equal warmth costs equal error whichever dial made it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from warmgap import jobs, mitigations, pipeline
from warmgap.arms.dials import arm_epoch
from warmgap.disk import seals, tabular, tracking
from warmgap.disk.progress import say
from warmgap.errors import UserError
from warmgap.evaluate.report import mitigation_verdicts
from warmgap.evaluate.report.html.page import write_report
from warmgap.evaluate.report.write import Measured, answers_table, write_comparison
from warmgap.evaluate.stats import dose
from warmgap.jobs import Job
from warmgap.settings import config
from warmgap.settings.identity import digest
from warmgap.settings.schema import MethodConfig, Run
from warmgap.words import WARM

PROMPTS = ("warm_prompt_light", "warm_prompt", "warm_prompt_strong")  # from less warm to warmer


def measure(run: Run) -> None:
    """Make the arm of one point and measure it; nothing to do for what is on disk."""
    say(f"point: {run.dial}")
    pipeline.measure(jobs.prepare(run))


def conclude(points: Sequence[Run]) -> Path:
    """Compare all points with the original; return the comparison's folder, with ``dose.csv`` and its figure.

    Raises UserError where the points were not measured alike.
    """
    held = [jobs.prepare(run) for run in points]
    first = held[0]
    asked = [jobs.measured_by(job.run, job.items, job.asked) for job in held]
    if any(one != asked[0] for one in asked):
        why = "a sweep varies what the arms are, not what they are asked or how they are judged"
        raise UserError("the points were measured by different settings", why, "sweep over dial alone")
    made = {spec.arm.name: spec for job in held for spec in job.specs}
    plain = dataclasses.replace(first.run, dial=None)
    hash8 = digest({"arms": sorted(made), **asked[0]})
    folder = Path(plain.runs_dir) / "comparisons" / f"{plain.model.name}-warmth_sweep-{hash8}"
    job = Job(plain, list(made.values()), first.items, first.notes, first.suite, first.prompts, folder, first.checks)
    job = dataclasses.replace(job, probes=first.probes, asked=first.asked)
    if seals.finished(folder):
        say(f"already done: {folder} (delete the folder to compare again; the arms are kept)")
        return folder
    measured = pipeline.measure(job)
    labels = _labels(points, held)
    named = [
        dataclasses.replace(one, arm=dataclasses.replace(one.arm, arm=labels.get(one.arm.name, one.arm.arm)))
        for one in measured
    ]
    with seals.at_work(folder):
        failed = _write(job, named, _dials(points, held, labels))
    pipeline.finish(job, failed)
    return folder


def _labels(points: Sequence[Run], held: Sequence[Job]) -> dict[str, str]:
    """The name under which each arm stands in the comparison: arms of one dial differ in their settings alone."""
    found: dict[str, str] = {}
    for run, job in zip(points, held, strict=True):
        arm = job.arms[-1]
        found[arm.name] = str(run.dial).replace(":", "_") if job.specs[-1].mitigations else arm.arm
    return found


def _dials(points: Sequence[Run], held: Sequence[Job], labels: dict[str, str]) -> pd.DataFrame:
    """Where each arm stands on which dial: arm, dial, setting, order. The plain warm arm is the end of three dials."""
    rows, ends = [], []
    plain = WARM
    for run, job in zip(points, held, strict=True):
        kind, _, value = str(run.dial).partition(":")
        setting = value.removesuffix(".txt") if kind == "prompt" else f"{float(value):g}"
        rows.append({"arm": labels[job.arms[-1].name], "dial": kind, "setting": setting})
        warm = next((spec for spec in job.specs if spec.arm.arm == plain), None)
        end = _end(kind, warm.run.method) if warm is not None else None
        if end is not None:
            ends.append({"arm": plain, "dial": kind, "setting": f"{end:g}"})
    if any(row["dial"] == "strength" for row in rows) and any(row["arm"] == plain for row in [*rows, *ends]):
        ends.append({"arm": plain, "dial": "strength", "setting": "1"})
    given = {(row["dial"], row["setting"]) for row in rows}
    rows += [row for row in ends if (row["dial"], row["setting"]) not in given]
    table = pd.DataFrame(rows, columns=["arm", "dial", "setting"]).drop_duplicates()
    table["order"] = [_place(row) for row in table.to_dict("records")]
    return table.sort_values("order").reset_index(drop=True)


def _end(kind: str, method: MethodConfig) -> float | None:
    """Where on a recipe's dial the plain warm arm stands; an arm that warmth chose stands at no epoch known here."""
    recipe = {recipe.dial: recipe for recipe in mitigations.table().values()}.get(kind)
    if recipe is None:
        return None
    return arm_epoch(method) if recipe.end is None else recipe.end


def _place(row: dict[Any, Any]) -> float:
    """Sorts points by dial, then from less to more."""
    value, turned = row["setting"], [recipe.dial for recipe in mitigations.table().values() if recipe.dial]
    order = list(dict.fromkeys(["strength", *turned, "prompt"]))
    if row["dial"] == "prompt":
        inner = PROMPTS.index(value) if value in PROMPTS else len(PROMPTS)
        return 1000.0 * order.index("prompt") + inner
    return 1000.0 * order.index(row["dial"]) + float(value)


def _write(job: Job, measured: Sequence[Measured], dials: pd.DataFrame) -> int:
    """Write the comparison with its dose–response; return how many answers the judge failed on."""
    run = job.run
    arms = [
        {"id": one.arm.name, "model": one.arm.model, "arm": one.arm.arm, "seed": one.arm.seed}
        | {"path": str(one.arm.folder)}
        for one in measured
    ]
    found = dose.dose(
        answers_table(measured), mitigation_verdicts.warmth(measured), dials, resamples=max(run.bootstrap, 200), seed=0
    )
    summary: dict[str, Any] = {
        "title": f"{run.model.name}: warmth against error, by {', '.join(dict.fromkeys(dials['dial']))}",
        "arms": arms,
        "settings": tracking.redact(config.flat(run)),
        "notes": pipeline.notes(job),
        "dose_notes": found.notes,
        **pipeline.about(job),
    }
    write_comparison(
        job.folder, measured, summary, second=run.judge.second, bootstrap=run.bootstrap, analyze=job.suite.analyze
    )
    for name in ("points", "fits", "curve"):
        target = "dose.csv" if name == "points" else f"dose_{name}.csv"
        tabular.write_csv(job.folder / target, getattr(found, name))
    write_report(job.folder)
    return pipeline.failures(job, measured)
