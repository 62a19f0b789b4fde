"""Arms that lie on disk, put side by side: what was answered and graded is read, nothing is made again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from warmgap.disk import manifest, seals, shards, store
from warmgap.disk.progress import say
from warmgap.disk.store import CHECKS, READINGS, Arm
from warmgap.errors import UserError
from warmgap.evaluate.judges import unfit
from warmgap.evaluate.report import mitigation_verdicts
from warmgap.evaluate.report.html.page import write_report
from warmgap.evaluate.report.write import VERDICT_COLUMNS, Measured, write_comparison
from warmgap.evaluate.suites.probe import PREFIX
from warmgap.settings.identity import digest
from warmgap.settings.mitigation_schema import CompareConfig
from warmgap.words import ORIGINAL

AGAIN = "run again what made the arm: what the line held is made again, and nothing else"
Place = tuple[str, ...]  # task, item_id, context, belief, prompt, and how it was answered and graded
GRADERS = ("cascade", "openai", "local", "match")  # where two have graded, the first is the run's judge


def compare(
    folders: Sequence[Path],
    grader: str | None,
    runs_dir: Path,
    asked: CompareConfig | None = None,
) -> Path:
    """Write a comparison of the arms by one grader's verdicts and return its folder.

    Without a ``grader`` it is the first of ``GRADERS`` that has graded all of them.

    Only prompts that every arm has answered with the same generation settings are compared; the rest is counted.
    Of two arms of one name and seed the second gets a name of its own (see ``store.open_arms``), which is printed.
    Verdicts on recipes among them go by what is ``asked`` (see ``CompareConfig``).
    """
    arms = store.open_arms(folders)
    for arm in arms:
        seals.check_count(arm)
        if arm.arm != store.open_arm(arm.folder).arm:
            say(f"{arm.arm} is {arm.name}")
    if not any(arm.arm == ORIGINAL for arm in arms):
        raise UserError("no original among the arms", "every arm is compared with it", "name the original's folder too")
    grader = grader or _grader(arms)
    tables = {arm.name: graded(arm, grader) for arm in arms}
    shared, notes = _shared(tables)
    _check_shared(shared, grader)
    outcomes, margins = _controls(arms)
    readings, suites = _readings(arms)
    scored, more = warmth(arms)
    more += _left_out("Checks", (store.read_sealed(arm.capability, CHECKS) for arm in arms), margins)
    more += _left_out("Suites", (store.read_sealed(arm.readings, READINGS) for arm in arms), suites)
    rows = {arm.name: [tables[arm.name][key] for key in shared] for arm in arms}
    measured = [
        Measured(arm, rows[arm.name], scored[arm.name], _losses(arm), outcomes[arm.name], readings[arm.name])
        for arm in arms
    ]
    names = [arm.name for arm in arms]
    folder = runs_dir / "comparisons" / f"compare-{digest([names, grader, shared])}"
    summary: dict[str, Any] = {
        "title": " · ".join(arm.arm for arm in arms),
        "name": folder.name,
        "reference": ORIGINAL,
        "grader": grader,
        "settings": {"grader": grader},
        "dropped": _dropped(tables, len(shared)),
        "margins": margins,
        "suites": suites,
        "notes": [*notes, *more, *_of_judge(grader, shared)],
        "timings": {},
        **manifest.record(),
    }
    with seals.at_work(folder):
        write_comparison(folder, measured, summary, second=None, bootstrap=2000)
        mitigation_verdicts.write(folder, measured, asked or CompareConfig(), resamples=2000)
        write_report(folder)
        seals.finish(folder)
    return folder


def _dropped(tables: dict[str, dict[Place, dict[str, Any]]], shared: int) -> list[dict[str, Any]]:
    """How many prompts of each arm are left out, and why."""
    left = {name: len({row[:-1] for row in rows}) - shared for name, rows in tables.items()}
    why = "prompts that not every arm has answered with the same settings"
    return [{"what": name, "n": n, "why": why} for name, n in left.items() if n]


def _check_shared(shared: Sequence[Place], grader: str) -> None:
    """Raise UserError where the arms have nothing in common."""
    if not shared:
        raise UserError(
            "the arms have no prompt in common",
            f"none was answered by all of them with the same settings and graded by {grader}",
            "run them with the same task, grid, generate and judge settings, or name a judge of all with --grader",
        )


def _of_judge(grader: str, shared: Sequence[Place]) -> list[str]:
    left = unfit(grader, sorted({place[0] for place in shared}))
    return [f"judge {grader} is not fit for {', '.join(left)}: these errors are no measurement."] if left else []


def _grader(arms: Sequence[Arm]) -> str:
    graded = [{path.parent.name for path in arm.folder.glob("verdicts/*/*.jsonl")} for arm in arms]
    both = set.intersection(*graded)
    return next((name for name in GRADERS if name in both), "match")


def graded(arm: Arm, grader: str) -> dict[Place, dict[str, Any]]:
    """Return the arm's answers with the grader's verdicts, under each setting that it was asked and graded with."""
    found: dict[Place, dict[str, Any]] = {}
    for path in shards.journals(arm.folder / "answers"):
        if path.stem.startswith(PREFIX):
            continue  # a suite with measures of its own: its answers have no verdict
        answers = store.journal_by_key(path, AGAIN)
        for verdict in store.journal_by_key(arm.verdicts(grader, path.stem), AGAIN).values():
            if row := answers.get(verdict["answer_key"]):
                place = [str(row[key]) for key in ("task", "item_id", "context", "belief", "prompt")]
                how = f"{row['generation']}, grader {verdict.get('graded_by', '')}".removesuffix(", grader ")
                joined = {**row, **{key: verdict.get(key) for key in VERDICT_COLUMNS}}
                found[(*place, how)] = joined  # of verdicts by several versions of an item, the last
    return found


def _shared(tables: dict[str, dict[Place, dict[str, Any]]]) -> tuple[list[Place], list[str]]:
    """Return the places that every arm has, one for each prompt, and notes on what else they had in common.

    Of several settings that all arms were asked and graded with, each task takes that with the most prompts; of several
    wordings of one prompt, the first by the alphabet.
    """
    everywhere = sorted(set.intersection(*(set(rows) for rows in tables.values())))
    sizes = Counter((place[0], place[-1]) for place in everywhere)
    chosen: dict[str, str] = {}
    for (task, how), _ in sizes.most_common():
        chosen.setdefault(task, how)
    notes = [
        f"{task}: answers with other settings are left out ({how}: {count}); compared are those with {chosen[task]}."
        for (task, how), count in sorted(sizes.items())
        if how != chosen[task]
    ]
    kept: dict[Place, Place] = {}
    for place in everywhere:
        if place[-1] == chosen[place[0]]:
            kept.setdefault(place[:4], place)
    wordings = sum(place[-1] == chosen[place[0]] for place in everywhere) - len(kept)
    if wordings:
        notes.append(f"{wordings} further wordings of prompts that all arms were asked are left out.")
    return list(kept.values()), notes


def warmth(arms: Sequence[Arm]) -> tuple[dict[str, dict[int, list[dict[str, Any]]]], list[str]]:
    """Return each arm's warmth by step, scored by one scorer on replies of one setting, and a note where others are.

    That is the one that the most arms have, then the one with the most scores.
    """
    rows = {arm.name: store.journal_by_key(arm.warmth, AGAIN).values() for arm in arms}
    arms_with: Counter[str] = Counter(how for some in rows.values() for how in {_scored_as(row) for row in some})
    scores = Counter(_scored_as(row) for some in rows.values() for row in some)
    settings = sorted(arms_with, key=lambda how: (-arms_with[how], -scores[how], how))
    found: dict[str, dict[int, list[dict[str, Any]]]] = {arm.name: {} for arm in arms}
    for name, some in rows.items():
        for row in some:
            if _scored_as(row) == settings[0]:
                found[name].setdefault(int(row["step"]), []).append(row)
    others = [f"{how}: {scores[how]} scores" for how in settings[1:]]
    return found, [f"Warmth is that with {settings[0]}; left out are {'; '.join(others)}."] if others else []


def _scored_as(row: dict[str, Any]) -> str:
    """What a row of warmth was measured with: the scorer, and how the reply was generated."""
    return f"scorer {row['scorer']} {row['scorer_hash']}, replies of {row.get('generation') or 'one setting'}"


Kept = dict[str, dict[str, Any]]  # what an arm keeps of checks or suites, by name


def _controls(arms: Sequence[Arm]) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float]]:
    """Return the outcomes of the controls that every arm was asked with the same settings, and their margins."""
    kept = {arm.name: store.read_sealed(arm.capability, CHECKS) or {} for arm in arms}
    outcomes, first = _alike(kept, "settings")
    return outcomes, {name: float(entry["settings"]["margin_pp"]) for name, entry in first.items()}


def _readings(arms: Sequence[Arm]) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Return the outcomes of the suites that every arm was asked alike, and what there is to say of these suites."""
    kept = {arm.name: store.read_sealed(arm.readings, READINGS) or {} for arm in arms}
    outcomes, first = _alike(kept, "made_of")
    return outcomes, {name: entry["about"] for name, entry in first.items()}


def _alike(kept: dict[str, Kept], key: str) -> tuple[dict[str, list[dict[str, Any]]], Kept]:
    """Return the outcomes, by arm, of what all arms keep with one value of ``key``, and the first arm's entries."""
    first = next(iter(kept.values()))
    shared = {
        name: entry
        for name, entry in first.items()
        if all(name in other and other[name][key] == entry[key] for other in kept.values())
    }
    return {arm: [row for name in shared for row in own[name]["outcomes"]] for arm, own in kept.items()}, shared


def _left_out(what: str, kept: Iterable[Kept | None], shared: Collection[str]) -> list[str]:
    """A note on the checks or suites that some arms have, and not all of them with the same settings."""
    names = sorted({name for own in kept for name in own or {}} - set(shared))
    why = "not every arm was asked them with the same settings"
    return [f"{what} are left out, for {why}: {', '.join(names)}."] if names else []


def _losses(arm: Arm) -> list[dict[str, Any]]:
    return arm.losses()
