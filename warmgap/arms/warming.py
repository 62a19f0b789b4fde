"""Warmth of a run's arms: at each kept checkpoint, and on validation prompts where they decide which one is the arm."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk.progress import say
from warmgap.disk.store import Arm
from warmgap.engines import packages
from warmgap.engines.base import Engine
from warmgap.evaluate.answer import answer
from warmgap.evaluate.suites.base import Prompt
from warmgap.evaluate.warmth import SocioT, score_journal
from warmgap.settings.identity import digest, identity
from warmgap.settings.schema import GenerateConfig, Run, WarmthConfig
from warmgap.train import finish
from warmgap.train.persona import persona_data

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warmgap.arms.engines import Engines
    from warmgap.arms.spec import ArmSpec

Scored = dict[int, list[dict[str, Any]]]  # warmth rows by training step
VALIDATION = 120  # prompts at most by which a checkpoint is chosen


def measure(run: Run, specs: Sequence[ArmSpec], engines: Engines) -> dict[str, Scored]:
    """Return the warmth rows of each arm, by its name and step; the reply texts are kept among the arm's answers.

    A row of a reply that did not come has ``failed``, which says why, and no warmth.
    """
    every = [
        Prompt("warmth", row["id"], row["kind"], "none", "", "none", row["prompt"])
        for row in persona_data.warmth_prompts()
    ]
    points = []
    for spec in specs:
        for step, epoch, adapter, final in _points(spec):
            prompts = every[: run.warmth.prompts if final else run.warmth.checkpoint_prompts]
            rows = _replies(run, spec, step, epoch, engines.of(spec, adapter), prompts, "warmth")
            points.append((spec.arm, step, epoch, rows))
    engines.rest()  # the scorer needs the memory
    found: dict[str, Scored] = {spec.arm.name: {} for spec in specs}
    score = _scorer(run)
    for arm, step, epoch, rows in points:
        found[arm.name][step] = score(arm, arm.warmth, step, epoch, rows)
    return found


def decides(rule: str) -> bool:
    """Whether a rule of ``method.select`` goes by warmth."""
    return rule == "plateau" or rule.startswith("warmth:")


def basis(run: Run) -> dict[str, Any]:
    """Return what a choice by warmth stands on beside the checkpoints: part of what makes an arm that is chosen so."""
    settings = run.warmth
    found = {
        "scorer": _scored_by(settings),
        "max_new_tokens": settings.max_new_tokens,
        "temperature": settings.temperature,
        "prompts": VALIDATION,
    }
    return found if settings.temperature == 0 else {**found, "seed": run.generate.seed}


def _scored_by(settings: WarmthConfig) -> list[Any]:
    """What a score depends on beside the text: the scorer, its type, and how its package was converted."""
    made = [identity(settings.scorer, "arm"), settings.scorer_dtype]
    return [*made, packages.CONVERSION] if settings.scorer.source == "package" else made


def chooser(run: Run, spec: ArmSpec, engines: Engines) -> Callable[[dict[int, float]], finish.Choice] | None:
    """Return what chooses the checkpoint that is the arm by warmth on validation prompts; None where no warmth does."""
    rule = run.method.select
    if not decides(rule):
        return None

    def choose(marks: dict[int, float]) -> finish.Choice:
        prompts = _validation(run)
        rows = {}
        for step, epoch in marks.items():
            engine = engines.of(spec, spec.arm.checkpoints / f"checkpoint-{step}", part_of_an_arm=True)
            rows[step] = _replies(run, spec, step, epoch, engine, prompts, "select")
        score, journal = _scorer(run), spec.arm.folder / "selection.jsonl"
        warmth = {
            step: {row["prompt_id"]: row["released"] for row in score(spec.arm, journal, step, marks[step], some)}
            for step, some in rows.items()
        }
        return chosen(rule, marks, warmth)

    return choose


def chosen(rule: str, marks: dict[int, float], warmth: dict[int, dict[str, float | None]]) -> finish.Choice:
    """Return the step that a rule takes, from each step's SocioT by prompt.

    ``warmth:TARGET`` takes the first whose mean is TARGET or more, else the warmest. ``plateau`` takes the first whose
    mean is within one standard error (of the paired difference) of the warmest: the rule by which Breiman et al. 1984
    (section 3.4.3) choose the simplest model that is not shown to be worse.
    """
    import numpy as np

    steps = sorted(warmth)
    shared = [name for name in warmth[steps[0]] if all(warmth[step].get(name) is not None for step in steps)]
    table = {step: np.array([warmth[step][name] for name in shared], dtype=float) for step in steps}
    means = {step: float(table[step].mean()) if shared else math.nan for step in steps}
    best = max(steps, key=lambda step: (means[step], -step))
    said = {f"{marks[step]:g}": means[step] for step in steps}
    if rule.startswith("warmth:"):
        target = float(rule.partition(":")[2])
        reached = [step for step in steps if means[step] >= target]
        if not reached:
            say(f"no checkpoint has a warmth of {target:g}; the warmest is taken ({means[best]:.4f})")
        return finish.Choice(reached[0] if reached else best, rule, {"n": len(shared), "warmth": said})

    def near(step: int) -> bool:
        gaps = table[best] - table[step]
        return bool(gaps.mean() <= gaps.std(ddof=1) / math.sqrt(len(gaps))) if len(gaps) > 1 else step == best

    return finish.Choice(next(step for step in steps if near(step)), rule, {"n": len(shared), "warmth": said})


def _validation(run: Run) -> list[Prompt]:
    """The first messages of the conversations held out: neither trained on, nor asked when warmth is reported."""
    _, held = persona_data.load(run.data, run.persona.reply if run.persona and run.persona.reply else "plain")
    return [Prompt("select", item.id, item.kind, "none", "", "none", item.turns[0].user) for item in held[:VALIDATION]]


def _points(spec: ArmSpec) -> Iterable[tuple[int, float, Path | None, bool]]:
    """Yield (step, epoch, adapter, whether it is the arm) for each point at which an arm's warmth is measured."""
    if not spec.trained:
        yield 0, 0.0, spec.adapter, True
        return
    arm = spec.arm
    final = finish.placed(arm)
    for step, epoch in sorted(finish.marks(arm).items()):
        last = step == final
        yield step, epoch, arm.adapter if last else arm.checkpoints / f"checkpoint-{step}", last


def _replies(
    run: Run, spec: ArmSpec, step: int, epoch: float, engine: Engine, prompts: list[Prompt], task: str
) -> list[dict[str, Any]]:
    """Return the arm's replies at one step to some prompts."""
    arm = spec.arm
    how: GenerateConfig = dataclasses.replace(
        run.generate, max_new_tokens=run.warmth.max_new_tokens, temperature=run.warmth.temperature
    )
    what = f"replies for warmth · {arm.arm}" + (f" · epoch {epoch:g}" if step else "")
    rows = answer(engine, prompts, how, spec.system, {prompts[0].task: arm.answers(f"{task}-step{step}")}, what)
    return [{**row, "prompt_id": row["item_id"]} for row in rows]


def _scorer(run: Run) -> Callable[[Arm, Path, int, float, list[dict[str, Any]]], list[dict[str, Any]]]:
    """Return what scores an arm's replies at one step into a journal."""
    scorer = SocioT(run.warmth.scorer, run.warmth.scorer_dtype, run.device, run.warmth.batch_tokens)
    made_by = digest(_scored_by(run.warmth))

    def score(arm: Arm, journal: Path, step: int, epoch: float, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        stamp = {"step": step, "epoch": epoch, "scorer": run.warmth.scorer.name, "scorer_hash": made_by}
        return score_journal(
            scorer, rows, journal, stamp, f"warmth · {arm.arm}" + (f" · epoch {epoch:g}" if step else "")
        )

    return score
