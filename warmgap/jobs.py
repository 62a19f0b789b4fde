"""A job: a run with what follows from its settings, before anything is done."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmgap.arms import build, missing
from warmgap.arms.engines import endpoint
from warmgap.arms.spec import ArmSpec
from warmgap.disk import shards
from warmgap.disk.shards import Shard
from warmgap.disk.store import Arm
from warmgap.errors import UserError
from warmgap.evaluate import judges, suites
from warmgap.evaluate.suites import controls, judge_reader
from warmgap.evaluate.suites.base import Prompt, Suite
from warmgap.evaluate.suites.controls import ControlItem
from warmgap.evaluate.suites.probe import JUDGE, Probe
from warmgap.evaluate.tasks import load_items
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import plugins
from warmgap.settings.identity import digest, identity
from warmgap.settings.schema import Run
from warmgap.train import trl_compat


@dataclass
class Job:
    """A run with what follows from its settings: arms, items, prompts, and the folder of the comparison.

    ``probes`` are the suites with items of their own, ``asked`` their prompts by name. ``absent`` holds, by arm, why
    some of the answers did not come; ``unread`` counts checks that the judge failed on. A job that is a ``shard`` has
    the arms and questions of it alone.
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
    shard: Shard | None = None
    probes: dict[str, Probe] = field(default_factory=dict)
    asked: dict[str, list[Prompt]] = field(default_factory=dict)
    unread: int = 0

    @property
    def puts_together(self) -> bool:
        """Whether it only puts together what shards have made."""
        return self.shard is not None and self.shard.puts_together

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
    probes = suites.probes_of(run)
    asked = {name: probe.dialogues() for name, probe in probes.items()}
    _check_readers(run, probes)
    checks = {name: controls.load(name, control) for name, control in run.control.items()}
    made = build.build(run)
    hosted = [spec.arm.arm for spec in made if endpoint(run, spec.run.model)]
    for own in {own.arm.name: own for spec in made for own in spec.lineage if own.trained}.values():
        if not own.arm.adapter.is_dir():  # what was trained has been checked, and TRL takes seconds to import
            trl_compat.check_trainer(own.run.method)
    arms = [spec.arm for spec in made]
    hash8 = digest({"arms": [arm.name for arm in arms], **measured_by(run, items, asked)})
    name = "personas" if run.compare.personas else f"{arms[-1].arm}-s{run.seed}"
    name = "mitigations" if run.compare.recipes else name
    folder = Path(run.runs_dir) / "comparisons" / f"{run.model.name}-{name}-{hash8}"
    notes = [*loaded.notes, *judges.notes(run.judge, run.task), *_not_common(hosted)]
    return _cut(Job(run, made, items, notes, suite, prompts, folder, checks, probes=probes, asked=asked))


def _check_readers(run: Run, probes: dict[str, Probe]) -> None:
    """Raise UserError where a judge is to read a suite, and there is no rubric or no chat model."""
    for name, probe in probes.items():
        if probe.options.reader == JUDGE:
            judge_reader.question_of(probe)
            if run.judge.name not in judges.chat_models():
                why = f"judge={run.judge.name} is no chat model"
                fix = f"judge={' or judge='.join(judges.chat_models())}, or suite.{name}.reader=rules"
                raise UserError(f"suite.{name}.reader=judge needs a chat judge", why, fix)


def _cut(job: Job) -> Job:
    """Leave a job the arms and questions of its shard alone."""
    shard = shards.parse(job.run.shard)
    if shard is None or shard.number is None:
        return dataclasses.replace(job, shard=shard)
    specs = missing.chosen(job.specs, job.run.only)
    if not shard.asks:
        return dataclasses.replace(
            job, specs=specs, prompts=[], checks={}, asked={name: [] for name in job.asked}, shard=shard
        )
    prompts = [prompt for prompt in job.prompts if shard.holds(prompt.task, prompt.item_id)]
    checks = {
        name: [item for item in items if shard.holds(controls.PREFIX + name, item.item_id)]
        for name, items in job.checks.items()
    }
    asked = {name: [one for one in some if shard.holds(one.task, one.item_id)] for name, some in job.asked.items()}
    return dataclasses.replace(job, specs=specs, prompts=prompts, checks=checks, asked=asked, shard=shard)


def _not_common(hosted: Sequence[str]) -> list[str]:
    """What a reader has to know of arms behind an endpoint."""
    why = "its answers share no random numbers with the other arms', and the same question may be answered otherwise"
    return [f"Arm {name} was asked at an endpoint, which samples by itself: {why}." for name in hosted]


def measured_by(run: Run, items: Sequence[Any], asked: Mapping[str, Sequence[Prompt]] | None = None) -> dict[str, Any]:
    """Return what a measurement is made of: the settings of scope ``measure``, the questions with their answers, and
    what the suites with items of their own ask.
    """
    found = {**identity(run, "measure"), "items": [dataclasses.asdict(item) for item in items]}
    if asked:
        found["asked"] = {name: digest([prompt.row() for prompt in some], 16) for name, some in asked.items()}
    owed = owed_by(run)
    return {**found, "plugins": owed} if owed else found


def owed_by(run: Run) -> dict[str, Any]:
    """Return what a measurement takes from outside: its tasks and judges, with version and hash of their files."""
    found = plugins.owed("tasks", list(run.task)) | plugins.owed("judges", sorted(judges.names(run.judge)))
    return found | plugins.owed("suites", list(run.suite))
