"""The whole job: original and arm, trained, asked, graded and compared. Every stage resumes where it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap import probing
from warmgap.arms import missing, recipes, record
from warmgap.arms.engines import Engines, check_engine, endpoint
from warmgap.arms.spec import ArmSpec
from warmgap.disk import manifest, seals, shards, store, tracking
from warmgap.disk.progress import say
from warmgap.errors import UserError
from warmgap.evaluate import judges
from warmgap.evaluate.suites import controls
from warmgap.hidden import without_user
from warmgap.jobs import Job, owed_by, prepare
from warmgap.settings import config
from warmgap.settings.identity import identity
from warmgap.settings.schema import Run
from warmgap.train import launch
from warmgap.words import ERROR, ORIGINAL

if TYPE_CHECKING:
    from warmgap.engines.base import Engine


def execute(run: Run) -> Path:
    """Run the whole job and return the comparison's folder; what is already on disk is not done again."""
    job = prepare(run)
    if job.shard is not None and not job.puts_together:
        why = "it is a part of the questions, or of the work before them"
        raise UserError(f"shard={run.shard} compares nothing", why, missing.command(str(job.shard)))
    if seals.finished(job.folder):
        say(f"already done: {job.folder} (delete the folder to compare again; the arms are kept)")
        return job.folder
    with _at_work(job) as bench:
        settings = tracking.redact(config.flat(run))
        arm = job.arms[-1]
        tracker = tracking.start(run.logger, settings, arm.name[-8:], arm.name, Path(run.runs_dir))
        measured = _measure(job, tracker, bench)
        with seals.at_work(job.folder):
            failed = _compare(job, measured, settings)
            _finish_tracking(job, tracker)
        finish(job, failed)  # after the tracker has everything
    return job.folder


def finish(job: Job, failed: int) -> None:
    """Seal the comparison of a job, and count what its arms have; say what is missing where something is.

    ``failed`` is how many answers a judge failed on: they, and answers that did not come, are asked for again.
    """
    for name, reasons in job.absent.items():
        say(f"{len(reasons)} answers of {name} did not come ({reasons[0]}); run again to ask for them once more")
    if failed:
        say(f"{failed} answers could not be graded (the judge failed); run again to ask for them once more")
    if failed or job.absent:
        return
    for spec in job.made:
        seals.count(spec.arm)
    seals.finish(job.folder)


def part(run: Run) -> None:
    """Do a shard of the work: make the arms and measure their warmth, or ask and judge a part of the questions.

    What is there is not done again. Raises UserError where the arms are not made yet, before anything is written, and
    where something of the shard did not come.
    """
    job = prepare(run)
    shard, unmade = job.shard, [spec for spec in job.specs if not missing.made(spec)]
    if shard is None:
        raise ValueError("the run is not cut")
    if shard.asks and unmade:
        names = ", ".join(missing.short(job.specs)[spec.arm.name] for spec in unmade)
        why = f"shard {shard} answers as arms that are there, and trains nothing"
        raise UserError(f"not made yet: {names}", why, missing.command(f"0/{shard.of}", run.only))
    failed = 0
    with _at_work(job) as bench:
        if shard.asks:
            failed = sum(row["verdict"] == ERROR for one in _ask(job, bench) for row in one) + job.unread
        else:
            _make(job)
    absent = {name: reasons[0] for name, reasons in job.absent.items()}
    if absent or failed:
        why = "; ".join(f"{name}: {reason}" for name, reason in absent.items()) or f"the judge failed on {failed}"
        raise UserError(f"shard {shard} is not whole", why, "run again: what is missing is asked for once more")
    for spec in job.specs:
        store.write_text(spec.arm.piece(job.folder.name[-8:], shard), f"{manifest.now()}\n")
    asked = f"{len(job.prompts):,} prompts of each of {len(job.specs)} arms" if shard.asks else "arms and warmth"
    say(f"shard {shard} is done: {asked}; to put all together: {missing.command(f'all/{shard.of}')}")


def measure(job: Job) -> list[Any]:
    """Make the arms of a job and measure them, without comparing them; what is on disk is not done again."""
    with _at_work(job) as bench:
        return _measure(job, tracking.Tracker(), bench)


@contextmanager
def _at_work(job: Job) -> Iterator[judges.Judges]:
    """Hold the arms of a job while they are worked on, with their settings on disk; yields who judges."""
    run = job.run
    store.check_writable(run.runs_dir)
    tracking.check(run.logger, Path(run.runs_dir))
    for spec in job.trained:
        if not spec.arm.adapter.is_dir():
            preferences = spec.run.method.dpo is not None
            launch.check(run.launcher, run.device, run.model.quantization, preferences=preferences)
    check_engine(run)
    bench = judges.Judges(run.judge, run.device, shards.cut(Path(run.runs_dir) / "batches.jsonl", job.shard))
    quiet()
    from warmgap.engines import models

    if models.device_of(run.device) == "cpu":
        models.keep_memory()
    with job.stage("model"):
        point = endpoint(run, run.model)
        where = (
            f"{models.resolve(run.model)} on {models.device_of(run.device)}"
            if point is None
            else without_user(point.base_url)
        )
        say(f"model: {where}")
        known = record.checked(run, job.made)
    asks = job.shard is not None and job.shard.asks
    with record.locked([spec.arm for spec in (job.specs if asks else job.made)], job.shard):
        for spec in job.made:
            seals.check_count(spec.arm, seals.NOT_MADE_AGAIN)
            record.freeze(spec, known[spec.arm.name])
        bench.remember(spec.arm.costs for spec in job.specs)
        yield bench


def quiet() -> None:
    """Keep other libraries' bars and warnings off the terminal: our own say what happens."""
    import warnings

    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl|peft")
    warnings.filterwarnings("ignore", message="The PEFT config's `base_model_name_or_path`")  # our note says it


def _measure(job: Job, tracker: tracking.Tracker, bench: judges.Judges) -> list[Any]:
    """Train the arms that are to be trained, then measure warmth, answers and verdicts of each.

    Where shards are put together nothing is made, and UserError says what is missing.
    """
    from warmgap.engines import models
    from warmgap.evaluate.report.write import Measured

    lacking = missing.Missing(job.shard, job.specs) if job.shard is not None and job.puts_together else None
    with Engines(job.run) as engines:
        warmth = _warmth(job, engines, tracker.loss, lacking)
        measured = []
        engines.remember(job.specs)
        for spec in job.specs:
            engine = engines.of(spec, spec.adapter)
            rows = _answers(job, spec, engine, bench, engines)
            losses = spec.arm.losses() if spec.trained else []
            outcomes = _controls(job, spec, engine, lacking)
            readings = probing.ask(job, spec, engine, bench, lacking)
            measured.append(Measured(spec.arm, rows, warmth.get(spec.arm.name, {}), losses, outcomes, readings))
            if lacking is not None:
                lacking.answers(spec, rows)
                lacking.verdicts(spec, rows)
            models.give_back()
    if lacking is not None:
        lacking.check()
    return measured


def _warmth(
    job: Job, engines: Engines, on_log: Callable[[dict[str, Any]], None] | None, lacking: missing.Missing | None
) -> dict[str, Any]:
    """Make the arms and return their warmth by name and step; what is only put together is not made, but noted."""
    from warmgap.arms import making, warming

    specs = [spec for spec in job.specs if lacking is None or not lacking.unmade(spec)]
    for spec in specs if lacking is None else []:
        with job.stage("training"):
            making.make(spec, engines, on_log if spec is job.specs[-1] else None)
    with job.stage("warmth"):
        warmth = warming.measure(job.run, specs, engines)
    for spec in specs:
        rows = [row for rows in warmth[spec.arm.name].values() for row in rows]
        job.note_absent(spec, rows)
        if lacking is not None:
            lacking.warmth(spec, rows)
    return warmth


def _make(job: Job) -> None:
    """Do what cannot be cut: the arms, and their warmth, which is measured on few prompts however many are asked."""
    with Engines(job.run) as engines:
        _warmth(job, engines, None, None)


def _ask(job: Job, bench: judges.Judges) -> Iterator[list[dict[str, Any]]]:
    """Ask and judge the questions of a shard; yield each arm's rows."""
    from warmgap.engines import models

    with Engines(job.run) as engines:
        for spec in job.specs:
            engine = engines.of(spec, spec.adapter)
            rows = _answers(job, spec, engine, bench, engines)
            _controls(job, spec, engine, None)
            probing.ask(job, spec, engine, bench, None)
            models.give_back()
            yield rows


def _answers(job: Job, spec: ArmSpec, engine: Engine, bench: judges.Judges, engines: Engines) -> list[dict[str, Any]]:
    """Return the arm's answers that are judged, with their verdicts."""
    from warmgap.evaluate.judges.grade import grade
    from warmgap.evaluate.report.write import with_verdicts
    from warmgap.evaluate.suites import dialogue

    run, tasks = job.run, list(job.run.task)
    arm, system = spec.arm, spec.system
    with job.stage("answers"):
        journals = {task: shards.cut(arm.answers(task), job.shard) for task in tasks}
        what = f"answers · {arm.arm}"
        asked, rows = dialogue.hold(job.suite, engine, job.prompts, run.generate, system, journals, what)
        job.note_absent(spec, rows)
    judged = [place for place, prompt in enumerate(asked) if job.suite.judged(prompt)]
    asked, rows = [asked[place] for place in judged], [rows[place] for place in judged]
    items = {(item.task, item.item_id): item for item in job.items}
    if "local" in judges.names(run.judge):
        engines.rest()  # it needs the memory
    graded: list[list[dict[str, Any]] | None] = []
    with job.stage("grading"):
        for name in (run.judge.name, run.judge.second):
            if name is None:
                graded.append(None)
                continue
            judge = missing.Silent(bench.build(name)) if job.puts_together else bench.build(name)
            journals = {task: shards.cut(arm.verdicts(judge.name, task), job.shard) for task in tasks}
            what = f"verdicts by {name} · {arm.arm}"
            with bench.costs(judge, shards.cut(arm.costs, job.shard)):
                graded.append(grade(judge, rows, asked, items, journals, what))
    return with_verdicts(rows, graded[0] or [], graded[1])


def _controls(job: Job, spec: ArmSpec, engine: Engine, lacking: missing.Missing | None) -> list[dict[str, Any]]:
    """Return the outcomes of the standard checks, item by item; the arm keeps those of other runs as well.

    A shard leaves answers alone: outcomes are kept where all are there.
    """
    from warmgap.evaluate.answer import answer

    arm = spec.arm
    kept: dict[str, Any] = store.read_sealed(arm.capability, store.CHECKS) or {}
    found: list[dict[str, Any]] = []
    with job.stage("controls"):
        for name, items in job.checks.items():
            control = job.run.control[name]
            params = dataclasses.replace(
                job.run.generate, max_new_tokens=control.max_new_tokens, temperature=control.temperature
            )
            task = controls.PREFIX + name
            journal = {task: shards.cut(arm.answers(task), job.shard)}
            prompts = [item.as_prompt() for item in items]
            rows = answer(engine, prompts, params, spec.system, journal, f"{name} · {arm.arm}")
            job.note_absent(spec, rows)
            if lacking is not None:
                lacking.answers(spec, rows)
            outcomes = controls.scored(items, rows)
            kept[name] = {"settings": identity(control, "measure"), "outcomes": outcomes}
            found += outcomes
        if job.checks and (job.shard is None or job.puts_together):
            store.write_json(arm.capability, kept)
    return found


def _compare(job: Job, measured: list[Any], settings: dict[str, Any]) -> int:
    """Write the comparison's tables, figures and report; return how many answers that came the judge failed on."""
    from warmgap.evaluate.report import mitigation_verdicts
    from warmgap.evaluate.report.html.page import write_report
    from warmgap.evaluate.report.write import write_comparison

    run, others = job.run, [arm for arm in dict.fromkeys(arm.arm for arm in job.arms) if arm != ORIGINAL]
    title = f"{run.model.name}: {', '.join(others)} against original" if others else run.model.name
    with job.stage("comparison"):
        summary = {"title": title, "settings": settings, "notes": notes(job), **about(job)}
        write_comparison(
            job.folder, measured, summary, second=run.judge.second, bootstrap=run.bootstrap, analyze=job.suite.analyze
        )
        mitigation_verdicts.write(job.folder, measured, run.compare, run.bootstrap)
        write_report(job.folder)
    return failures(job, measured)


def notes(job: Job) -> list[str]:
    """Return what a comparison's notes say of what was asked, and of the answers that did not come."""
    found = [*job.suite.notes(job.items, job.prompts), *job.notes]
    found += [note for name, probe in job.probes.items() for note in probe.notes((), job.asked[name])]
    found += [
        f"{len(reasons)} answers of {name} did not come ({reasons[0]}): they are missing, not wrong."
        for name, reasons in job.absent.items()
    ]
    return found


def about(job: Job) -> dict[str, Any]:
    """Return what a comparison's ``summary.json`` says of the job that made it, whatever its arms and its title are."""
    return {
        "name": job.folder.name,
        "reference": ORIGINAL,
        "grader": job.run.judge.name,
        "timings": {key: round(value, 1) for key, value in job.timings.items()},
        "margins": {name: control.margin_pp for name, control in job.run.control.items()},
        "suites": {name: probing.about(probe) for name, probe in job.probes.items()},
        "worth_trying": recipes.worth_trying(),
        "plugins": owed_by(job.run),
        **manifest.record(),
    }


def failures(job: Job, measured: Sequence[Any]) -> int:
    """Return how many answers that came a judge failed on, those to the suites' checks too."""
    absent = sum(bool(row.get("failed")) for one in measured for row in one.answers)
    return int(store.read_json(job.folder / "summary.json")["failed"]) - absent + job.unread


def _finish_tracking(job: Job, tracker: tracking.Tracker) -> None:
    import pandas as pd

    tables = {name: pd.read_csv(job.folder / f"{name}.csv") for name in ("effects", "cells")}
    warmth = pd.read_csv(job.folder / "warmth.csv")
    own = warmth[warmth["arm"] == job.arms[-1].arm].astype(object)
    rows = [{str(key): value for key, value in row.items()} for row in own.where(own.notna(), None).to_dict("records")]
    if (mitigations := job.folder / "mitigations.csv").is_file():
        tables["mitigations"] = pd.read_csv(mitigations)
    artifacts = {"report": job.folder / "report.html"}
    if job.specs[-1].trained:
        artifacts = {"adapter": job.arms[-1].adapter, **artifacts}
    if said := tracker.finish(tables, rows, artifacts):
        say(said)
