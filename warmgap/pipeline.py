"""The whole job: original and arm, trained, asked, graded and compared. Every stage resumes where it was."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.arms import build, record
from warmgap.arms.engines import Engines, check_engine, endpoint
from warmgap.arms.spec import ArmSpec
from warmgap.disk import manifest, store, tracking
from warmgap.disk.progress import say
from warmgap.disk.store import Arm
from warmgap.errors import UserError
from warmgap.evaluate import judges, suites
from warmgap.evaluate.suites import controls
from warmgap.evaluate.suites.base import Prompt, Suite
from warmgap.evaluate.suites.controls import ControlItem
from warmgap.evaluate.tasks import load_items
from warmgap.evaluate.tasks.item import Item
from warmgap.hidden import without_user
from warmgap.settings import config, plugins
from warmgap.settings.schema import Run, digest, identity
from warmgap.train import launch, trl_compat
from warmgap.words import ORIGINAL

if TYPE_CHECKING:
    from warmgap.engines.base import Engine

DONE = "complete"  # written last, after the tracker has everything: without it, the comparison is made again


@dataclass
class Job:
    """A run with what follows from its settings: arms, items, prompts, and the folder of the comparison.

    ``absent`` holds, by arm, why some of the answers did not come.
    """

    run: Run
    specs: list[ArmSpec]
    items: list[Item]
    notes: list[str]
    suite: Suite
    prompts: list[Prompt]
    folder: Path
    checks: dict[str, list[ControlItem]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    absent: dict[str, list[str]] = field(default_factory=dict)

    @property
    def arms(self) -> list[Arm]:
        """The arms, the original first, the arm that the run is about last."""
        return [spec.arm for spec in self.specs]

    @property
    def made(self) -> list[ArmSpec]:
        """The arms, and those that they are made of."""
        found = {own.arm.name: own for spec in self.specs for own in spec.lineage}
        return list(found.values())

    @property
    def trained(self) -> list[ArmSpec]:
        """Those of them that are trained."""
        return [spec for spec in self.made if spec.trained]

    def note_absent(self, spec: ArmSpec, rows: Iterable[dict[str, Any]]) -> None:
        """Note the rows of answers that did not come, or of what was to be measured on them."""
        if reasons := [str(row["failed"]) for row in rows if row.get("failed")]:
            self.absent.setdefault(spec.arm.arm, []).extend(reasons)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        started = time.monotonic()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.monotonic() - started


def prepare(run: Run) -> Job:
    """Check everything that can be checked before anything is written, and name the folders."""
    plugins.use(run.plugins, run.config_dirs)
    persona = run.persona
    if persona is None:
        raise UserError("no persona given", "a run needs one", "+persona=warm")
    judges.check(run.judge, run.task)
    loaded = load_items(run.task)
    items = loaded.items
    suite = suites.make(run)
    prompts = suite.dialogues(items)
    checks = {name: controls.load(name, control) for name, control in run.control.items()}
    made = build.build(run)
    hosted = [spec.arm.arm for spec in made if endpoint(run, spec.run.model)]
    for own in {own.arm.name: own for spec in made for own in spec.lineage if own.trained}.values():
        trl_compat.check_trainer(own.run.method)
    arms = [spec.arm for spec in made]
    store.check_writable(run.runs_dir)
    tracking.check(run.logger, Path(run.runs_dir))
    hash8 = digest({"arms": [arm.name for arm in arms], **measured_by(run, items)})
    name = "personas" if run.compare.personas else f"{arms[-1].arm}-s{run.seed}"
    name = "mitigations" if run.compare.recipes else name
    folder = Path(run.runs_dir) / "comparisons" / f"{run.model.name}-{name}-{hash8}"
    notes = [*loaded.notes, *judges.notes(run.judge, run.task), *_not_common(hosted)]
    return Job(run, made, items, notes, suite, prompts, folder, checks)


def _not_common(hosted: Sequence[str]) -> list[str]:
    """What a reader has to know of arms behind an endpoint."""
    why = "its answers share no random numbers with the other arms', and the same question may be answered otherwise"
    return [f"Arm {name} was asked at an endpoint, which samples by itself: {why}." for name in hosted]


def measured_by(run: Run, items: Sequence[Any]) -> dict[str, Any]:
    """Return what a measurement is made of: the settings of scope ``measure`` and the questions with their answers."""
    found = {**identity(run, "measure"), "items": [dataclasses.asdict(item) for item in items]}
    owed = owed_by(run)
    return {**found, "plugins": owed} if owed else found


def owed_by(run: Run) -> dict[str, Any]:
    """Return what a measurement takes from outside: its tasks and judges, with version and hash of their files."""
    found = plugins.owed("tasks", list(run.task)) | plugins.owed("judges", sorted(judges.names(run.judge)))
    return found | plugins.owed("suites", [run.suite.name])


def execute(run: Run) -> Path:
    """Run the whole job and return the comparison's folder; what is already on disk is not done again."""
    job = prepare(run)
    if (job.folder / DONE).is_file() and (job.folder / "report.html").is_file():
        say(f"already done: {job.folder} (delete the folder to compare again; the arms are kept)")
        return job.folder
    with _at_work(job) as bench:
        settings = tracking.redact(config.flat(run))
        arm = job.arms[-1]
        tracker = tracking.start(run.logger, settings, arm.name[-8:], arm.name, Path(run.runs_dir))
        measured = _measure(job, tracker, bench)
        failed = _compare(job, measured, settings)
        _finish_tracking(job, tracker)
        for name, reasons in job.absent.items():
            say(f"{len(reasons)} answers of {name} did not come ({reasons[0]}); run again to ask for them once more")
        if failed:
            say(f"{failed} answers could not be graded (the judge failed); run again to ask for them once more")
        if not failed and not job.absent:
            store.write_text(job.folder / DONE, "")
    return job.folder


def measure(job: Job) -> list[Any]:
    """Make the arms of a job and measure them, without comparing them; what is on disk is not done again."""
    with _at_work(job) as bench:
        return _measure(job, tracking.Tracker(), bench)


@contextmanager
def _at_work(job: Job) -> Iterator[judges.Judges]:
    """Hold the arms of a job while they are worked on, with their settings on disk; yields who judges."""
    run = job.run
    for spec in job.trained:
        if not spec.arm.adapter.is_dir():
            preferences = spec.run.method.dpo is not None
            launch.check(run.launcher, run.device, run.model.quantization, preferences=preferences)
    check_engine(run)
    bench = judges.Judges(run.judge, run.device, Path(run.runs_dir) / "batches.jsonl")
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
    with record.locked(spec.arm for spec in job.made):
        for spec in job.made:
            record.freeze(spec, known[spec.arm.name])
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
    """Train the arms that are to be trained, then measure warmth, answers and verdicts of each."""
    from warmgap.arms import making, warming
    from warmgap.engines import models
    from warmgap.evaluate.report.write import Measured

    with Engines(job.run) as engines:
        for spec in job.specs:
            last = spec is job.specs[-1]
            with job.stage("training"):
                making.make(spec, engines, tracker.loss if last else None)
        with job.stage("warmth"):
            warmth = warming.measure(job.run, job.specs, engines)
            for spec in job.specs:
                job.note_absent(spec, (row for rows in warmth[spec.arm.name].values() for row in rows))
        measured = []
        for spec in job.specs:
            engine = engines.of(spec, spec.adapter)
            rows = _answers(job, spec, engine, bench, engines)
            losses = list(store.read_journal(spec.arm.training_log)) if spec.trained else []
            outcomes = _controls(job, spec, engine)
            measured.append(Measured(spec.arm, rows, warmth[spec.arm.name], losses, outcomes))
            models.give_back()
    return measured


def _answers(job: Job, spec: ArmSpec, engine: Engine, bench: judges.Judges, engines: Engines) -> list[dict[str, Any]]:
    """Return the arm's answers that are judged, with their verdicts."""
    from warmgap.evaluate.judges.grade import grade
    from warmgap.evaluate.report.write import with_verdicts
    from warmgap.evaluate.suites import dialogue

    run, tasks = job.run, list(job.run.task)
    arm, system = spec.arm, spec.system
    with job.stage("answers"):
        journals = {task: arm.answers(task) for task in tasks}
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
            judge = bench.build(name)
            journals = {task: arm.verdicts(judge.name, task) for task in tasks}
            what = f"verdicts by {name} · {arm.arm}"
            with bench.costs(judge, arm.costs):
                graded.append(grade(judge, rows, asked, items, journals, what))
    return with_verdicts(rows, graded[0] or [], graded[1])


def _controls(job: Job, spec: ArmSpec, engine: Engine) -> list[dict[str, Any]]:
    """Return the outcomes of the standard checks, item by item; the arm keeps those of other runs as well."""
    from warmgap.evaluate.answer import answer

    arm = spec.arm
    kept: dict[str, Any] = store.read_json(arm.capability) or {}
    found: list[dict[str, Any]] = []
    with job.stage("controls"):
        for name, items in job.checks.items():
            control = job.run.control[name]
            params = dataclasses.replace(
                job.run.generate, max_new_tokens=control.max_new_tokens, temperature=control.temperature
            )
            task = controls.PREFIX + name
            journal = {task: arm.answers(task)}
            prompts = [item.as_prompt() for item in items]
            rows = answer(engine, prompts, params, spec.system, journal, f"{name} · {arm.arm}")
            job.note_absent(spec, rows)
            outcomes = controls.scored(items, rows)
            kept[name] = {"settings": identity(control, "measure"), "outcomes": outcomes}
            found += outcomes
        if job.checks:
            store.write_json(arm.capability, kept)
    return found


def _compare(job: Job, measured: list[Any], settings: dict[str, Any]) -> int:
    """Write the comparison's tables, figures and report; return how many answers that came the judge failed on."""
    from warmgap.evaluate.report import mitigation_verdicts
    from warmgap.evaluate.report.html.page import write_report
    from warmgap.evaluate.report.write import write_comparison

    run, others = job.run, [arm for arm in dict.fromkeys(arm.arm for arm in job.arms) if arm != ORIGINAL]
    notes = [*job.suite.notes(job.items, job.prompts), *job.notes]
    notes += [
        f"{len(reasons)} answers of {name} did not come ({reasons[0]}): they are missing, not wrong."
        for name, reasons in job.absent.items()
    ]
    with job.stage("comparison"):
        summary = {
            "title": f"{run.model.name}: {', '.join(others)} against original" if others else run.model.name,
            "name": job.folder.name,
            "reference": ORIGINAL,
            "grader": run.judge.name,
            "settings": settings,
            "notes": notes,
            "timings": {key: round(value, 1) for key, value in job.timings.items()},
            "plugins": owed_by(run),
            **manifest.record(),
        }
        summary["margins"] = {name: control.margin_pp for name, control in run.control.items()}
        analyze = job.suite.analyze
        write_comparison(
            job.folder, measured, summary, second=run.judge.second, bootstrap=run.bootstrap, analyze=analyze
        )
        mitigation_verdicts.write(job.folder, measured, run.compare, run.bootstrap)
        write_report(job.folder)
    absent = sum(bool(row.get("failed")) for one in measured for row in one.answers)
    return int(store.read_json(job.folder / "summary.json")["failed"]) - absent


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
