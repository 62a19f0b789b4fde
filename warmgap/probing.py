"""Probes are put to an arm: their dialogues are held, their checks answered, and what they come to is kept."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from warmgap.arms.missing import Missing
from warmgap.arms.spec import ArmSpec
from warmgap.disk import shards, store
from warmgap.engines.base import Engine
from warmgap.evaluate import judges
from warmgap.evaluate.suites import dialogue as dialogues
from warmgap.evaluate.suites.base import Exchange, Prompt
from warmgap.evaluate.suites.judge_reader import JudgeReader, question_of
from warmgap.evaluate.suites.probe import JUDGE, Dialogue, Outcome, Probe, Reader, Teller
from warmgap.jobs import Job
from warmgap.settings.identity import digest, identity
from warmgap.settings.schema import GenerateConfig, Run
from warmgap.words import ERROR


def ask(job: Job, spec: ArmSpec, engine: Engine, bench: judges.Judges, lacking: Missing | None) -> list[dict[str, Any]]:
    """Return the outcomes of the job's probes for an arm, a row each; the arm keeps those of other runs as well.

    A shard leaves answers and what the model was looked at for: outcomes are kept where all are there.
    """
    kept: dict[str, Any] = store.read_sealed(spec.arm.readings, store.READINGS) or {}
    found: list[dict[str, Any]] = []
    for name, probe in job.probes.items():
        with job.stage(f"suite {name}"):
            rows = _put(job, spec, probe, engine, bench, lacking)
        kept[name] = {"made_of": made_of(probe, job.asked[name], job.run), "about": about(probe), "outcomes": rows}
        found += rows
    if job.probes and (job.shard is None or job.puts_together):
        store.write_json(spec.arm.readings, kept)
    return found


def _put(
    job: Job, spec: ArmSpec, probe: Probe, engine: Engine, bench: judges.Judges, lacking: Missing | None
) -> list[dict[str, Any]]:
    """Put one probe to an arm."""
    arm, run = spec.arm, job.run
    params = _params(probe, run)
    journal = {probe.task: shards.cut(arm.answers(probe.task), job.shard)}
    what = f"{probe.name} · {arm.arm}"
    turns = dialogues.held(probe, engine, job.asked[probe.name], params, spec.system, journal, what)
    rows = [row for one in turns for _, row in one]
    job.note_absent(spec, rows)
    if lacking is not None:
        lacking.answers(spec, rows)
    held = [made for one in turns if (made := dialogue_of(one)) is not None]
    told: Teller = Reader(probe)
    if probe.options.reader == JUDGE:
        model = bench.model(run.judge.name)
        verdicts = shards.cut(arm.verdicts(run.judge.name, probe.task), job.shard)
        what = f"{probe.name} by {run.judge.name} · {arm.arm}"
        with bench.costs(model, shards.cut(arm.costs, job.shard)):
            told = JudgeReader(probe, model, held, verdicts, what, silent=job.puts_together)
        job.unread += len(told.failed)
        if lacking is not None:
            lacking.verdicts(spec, [{"task": probe.task, "item_id": item, "verdict": ERROR} for item in told.failed])
    looked = shards.cut(arm.answers(f"{probe.task}-model"), job.shard)
    return [*_read(probe, held, turns, told), *_rows(probe, probe.look(engine, held, spec.system, looked))]


def _params(probe: Probe, run: Run) -> GenerateConfig:
    """How an arm answers a probe: as the grid, with replies as long as the probe needs them."""
    return dataclasses.replace(run.generate, max_new_tokens=probe.reply_tokens)


def dialogue_of(turns: Sequence[tuple[Prompt, dict[str, Any]]]) -> Dialogue | None:
    """Return a dialogue as it was held; None where not even its first reply came."""
    came = [(prompt, row) for prompt, row in turns if not row.get("failed")]
    if not came:
        return None
    exchanges = tuple(Exchange(prompt, row["answer"]) for prompt, row in came)
    return Dialogue(exchanges, tuple(str(row["finish_reason"]) for _, row in came), len(came) == len(turns))


def _read(
    probe: Probe, held: Sequence[Dialogue], turns: Sequence[Sequence[tuple[Prompt, Any]]], told: Teller
) -> list[dict[str, Any]]:
    """Read the measures item by item, in the order in which the items were asked."""
    by_item: dict[str, list[Dialogue]] = defaultdict(list)
    for dialogue in held:
        by_item[dialogue.item_id].append(dialogue)
    items = dict.fromkeys(one[0][0].item_id for one in turns)
    outcomes = [outcome for item in items if item in by_item for outcome in probe.read(by_item[item], told)]
    return _rows(probe, outcomes)


def _rows(probe: Probe, outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    known = {measure.name for measure in probe.measures}
    found = []
    for outcome in outcomes:
        if outcome.measure not in known:
            raise ValueError(f"suite {probe.name} has no measure {outcome.measure!r}")
        found.append({"suite": probe.name, **dataclasses.asdict(outcome)})
    return found


def about(probe: Probe) -> dict[str, Any]:
    """Return what a report says of a probe."""
    measures = {
        one.name: {"title": one.title, "unit": one.unit, "sense": one.sense, "by": one.by} for one in probe.measures
    }
    said = {"title": probe.title, "question": probe.question, "source": probe.source, "harm": probe.harm}
    return {**said, "reader": probe.options.reader, "measures": measures}


def made_of(probe: Probe, prompts: Sequence[Prompt], run: Run) -> str:
    """Return a hash of what a probe asks, how it is answered and who reads it: others' outcomes are not put beside."""
    how = [dataclasses.asdict(probe.options), identity(_params(probe, run), "measure")]
    judge = [identity(run.judge, "measure"), question_of(probe).version] if probe.options.reader == JUDGE else None
    return digest([*how, judge, [prompt.row() for prompt in prompts]], 12)
