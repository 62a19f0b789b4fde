"""A recipe's settings are searched: which close the most of the gap and keep the warmth, on questions kept for that.

Each trial is a run like any other, so its arms are kept and met again. What a trial suggests follows from the search's
seed, its number and what came before it: a search that is stopped goes on as if it had not been.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from warmgap.arms import build, chain, recipes
from warmgap.disk import locks, manifest, seals, store
from warmgap.disk.progress import say
from warmgap.errors import BadValue, UserError
from warmgap.evaluate.tasks import load_items
from warmgap.settings import config
from warmgap.settings.identity import digest
from warmgap.settings.schema import Run
from warmgap.version import train_command

VALIDATION = "validation"
FIX = "delete the line and those below it: these trials are made again, from the arms that are on disk"
FIRST = 5  # trials that are drawn at random before the sampler learns from them


def check(run: Run) -> None:
    """Raise UserError where the search has nothing to vary, or would look at the questions of the evaluation."""
    run = recipes.settled(run)
    if list(run.task) != [VALIDATION]:
        why = f"settings chosen on the questions of task={','.join(run.task)} would be judged on what they were fit to"
        raise UserError("a search needs questions of its own", why, f"use task={VALIDATION}")
    if not run.search.space:
        fix = "such as search.space=[mitigation.truth_mix.share:0.1..0.5]"
        raise UserError("search.space is empty", "there is nothing to search", fix)
    if not recipes.names(run) or run.compare.recipes:
        raise UserError("a search needs a recipe", "it varies the settings of mitigation=…", "mitigation=truth_mix")
    if run.search.trials < 1:
        raise UserError(f"search.trials={run.search.trials} makes no sense", "expected above 0", "search.trials=12")
    if not chain.plain(run):
        why = "a trial is judged by how much of the plain warm arm's gap it closes and of its warmth it keeps"
        raise UserError("a search needs the plain warm arm", why, "use +persona=warm persona.strength=1")
    for key, values, ranged in spaces(run):
        for value in values:
            config.changed(run, {key: value})
        if ranged and config.kind(run, key) not in (int, float):
            raise UserError(f"{key} has no range", "it is no number", f"search.space=[{key}:ONE|OTHER]")


def execute(run: Run) -> Path:
    """Run the trials that are missing; return the search's folder: ``trials.jsonl``, one a line, and ``best.json``."""
    from warmgap import jobs

    run = recipes.settled(run)
    check(run)
    first = config.changed(run, {key: values[0] for key, values, _ in spaces(run)})  # what is searched has no value yet
    made = jobs.measured_by(run, load_items(run.task).items)
    made["arms"] = [spec.arm.name for spec in build.build(first)]
    made["search"].pop("trials")  # more of them go on with the same search
    folder = Path(run.runs_dir) / "searches" / f"{run.model.name}-{'+'.join(recipes.names(run))}-{digest(made)}"
    store.check_writable(run.runs_dir)
    journal = folder / "trials.jsonl"
    with locks.alone(folder):
        _run_trials(run, journal)
        rows = list(store.read_journal(journal, FIX))
        store.write_json(folder / "best.json", {"best": best(rows, run.search.keep_warmth_pct), **manifest.record()})
    return folder


def _run_trials(run: Run, journal: Path) -> None:
    """Make the trials that the journal lacks."""
    for number in range(sum(1 for _ in store.read_journal(journal, FIX)), run.search.trials):
        trial = _study(run, journal, number).ask(_distributions(run))
        say(f"trial {number + 1} of {run.search.trials}: {_said(trial.params)}")
        row = {"number": number, "params": trial.params, **_outcome(run, trial.params)}
        store.append(journal, [row])


def _outcome(run: Run, params: dict[str, Any]) -> dict[str, Any]:
    """What came of a trial: pp of error less than the warm arm's, and percent of its warmth; or why nothing can.

    Raises UserError for what has nothing to do with the trial's settings: it is tried again when the search goes on.
    """
    import pandas as pd

    from warmgap import pipeline

    try:
        folder = pipeline.execute(config.changed(run, params))
    except BadValue as error:
        say(f"the trial failed: {error.what}")
        return {"failed": error.what, "why": error.why}
    if not seals.finished(folder):
        fix = "run again: they are asked for once more, and the search goes on from here"
        raise UserError("the trial has answers without a verdict", "the judge failed on them", fix)
    table = pd.read_csv(folder / "mitigations.csv").set_index("arm")
    warm, (arm,) = table.loc["warm"], table.index.drop("warm")
    kept = 100 * table.loc[arm, "warmth_shift"] / warm["warmth_shift"] if warm["warmth_shift"] > 0 else math.nan
    found = {"closed_pp": warm["error_pp"] - table.loc[arm, "error_pp"], "kept_pct": kept, "n": table.loc[arm, "n"]}
    numbers = {name: None if math.isnan(value) else round(float(value), 6) for name, value in found.items()}
    return {**numbers, "folder": str(folder)}


def best(rows: list[dict[str, Any]], keep: float) -> dict[str, Any] | None:
    """Return the trial that closes the most of the gap among those that keep enough warmth, or None."""
    fit = [row for row in rows if row.get("closed_pp") is not None and (row.get("kept_pct") or -math.inf) >= keep]
    return max(fit, key=lambda row: row["closed_pp"], default=None)


def _study(run: Run, journal: Path, number: int) -> Any:
    """The study as the journal tells it, about to ask for a trial: nothing else decides what that will be."""
    try:
        import optuna
    except ImportError as error:
        raise UserError("optuna is missing", "it proposes the settings", "pip install 'warmgap[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=_sampler(run, number))
    for row in store.read_journal(journal, FIX):
        study.add_trial(_frozen(run, row))
    return study


def _sampler(run: Run, number: int) -> Any:
    import warnings

    import optuna

    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna.samplers.TPESampler(
        seed=run.search.seed * 100_003 + number,
        n_startup_trials=FIRST,
        constraints_func=lambda trial: trial.user_attrs["lacks"],
    )


def _frozen(run: Run, row: dict[str, Any]) -> Any:
    """A trial of the journal as the sampler knows it; ``lacks`` is how much warmth is missing, above 0 if any."""
    import optuna

    done = row.get("closed_pp") is not None
    kept = row.get("kept_pct")
    lacks = run.search.keep_warmth_pct - kept if kept is not None else 100.0
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE if done else optuna.trial.TrialState.FAIL,
        params=row["params"],
        distributions=_distributions(run),
        value=row["closed_pp"] if done else None,
        user_attrs={"lacks": (lacks,)},
        system_attrs={"constraints": (lacks,)},
    )


def spaces(run: Run) -> list[tuple[str, list[Any], bool]]:
    """Return each setting that is searched: its key, its values, and whether these are the ends of a range.

    Raises UserError for what cannot be read as ``KEY:LOW..HIGH`` or ``KEY:ONE|OTHER``.
    """
    found = []
    for item in run.search.space:
        key, _, text = item.partition(":")
        ranged = ".." in text
        values = [_number(part) for part in text.split(".." if ranged else "|")]
        numbers = all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
        if len(values) < 2 or (ranged and not (numbers and len(values) == 2 and values[0] < values[1])):
            fix = "write KEY:LOW..HIGH, or KEY:ONE|OTHER"
            raise UserError(f"search.space={item} is no space", "it needs a range of numbers, or two values", fix)
        found.append((key, values, ranged))
    return found


def _number(text: Any) -> Any:
    """A text as the number that it spells, if any."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _distributions(run: Run) -> dict[str, Any]:
    import optuna

    found: dict[str, Any] = {}
    for key, values, ranged in spaces(run):
        if not ranged:
            found[key] = optuna.distributions.CategoricalDistribution(values)
        elif config.kind(run, key) is int:
            found[key] = optuna.distributions.IntDistribution(*values)
        else:
            found[key] = optuna.distributions.FloatDistribution(*map(float, values))
    return found


def _said(params: dict[str, Any]) -> str:
    return ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()
    )


def show(run: Run, folder: Path) -> None:
    """Print the trials, the best of them, and the command that judges it on the questions of the evaluation."""
    from rich.table import Table

    from warmgap.disk.progress import console

    rows = list(store.read_journal(folder / "trials.jsonl", FIX))
    counted = "1 trial" if len(rows) == 1 else f"{len(rows)} trials"
    title = f"search over {', '.join(recipes.names(run))}: {counted}, on validation questions"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("trial", "settings", "pp closed", "warmth kept %", "n"):
        table.add_column(name, justify="left" if name == "settings" else "right", overflow="fold")
    chosen = best(rows, run.search.keep_warmth_pct)
    for row in rows:
        mark = "*" if chosen is not None and row["number"] == chosen["number"] else ""
        numbers = [row.get("closed_pp"), row.get("kept_pct"), row.get("n")]
        shown = [
            f"{value:{form}}" if value is not None else "–"
            for value, form in zip(numbers, ("+.1f", ".0f", ",.0f"), strict=True)
        ]
        table.add_row(f"{row['number'] + 1}{mark}", row.get("failed") or _said(row["params"]), *shown)
    console().print(table)
    if chosen is None:
        print(f"no trial kept {run.search.keep_warmth_pct:g} % of the warmth")
    else:
        print("* point estimates on few questions, one seed; to judge it on the evaluation's own:")
        given = " ".join(f"{key}={value}" for key, value in chosen["params"].items())
        recipe = "+".join(recipes.names(run))
        print(f"  {train_command()} experiment=mitigation_gap compare.recipes=[{recipe}] {given}")
    print(f"trials: {folder / 'trials.jsonl'}")
