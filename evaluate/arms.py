"""Arms that lie on disk, put side by side: what was answered and graded is read, nothing is made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from warmgap import manifest, store
from warmgap.errors import UserError
from warmgap.evaluate.compare import VERDICT_COLUMNS, Measured, write_comparison
from warmgap.evaluate.report import write_report
from warmgap.progress import say
from warmgap.schema import digest
from warmgap.store import Arm

ORIGINAL = "original"


def compare(
    folders: Sequence[Path],
    grader: str,
    runs_dir: Path,
    also: Callable[[Path, Sequence[Measured]], object] = lambda folder, measured: None,
) -> Path:
    """Write a comparison of the arms by one grader's verdicts and return its folder.

    Only prompts that every arm has answered with the same generation settings are compared; the rest is counted.
    Of two arms of one name and seed the second gets a name of its own (see ``store.open_arms``), which is printed.
    ``also`` adds what it has to say of the arms to the folder, before the report is written.
    """
    arms = store.open_arms(folders)
    for arm in arms:
        if arm.arm != store.open_arm(arm.folder).arm:
            say(f"{arm.arm} is {arm.name}")
    if not any(arm.arm == ORIGINAL for arm in arms):
        raise UserError("no original among the arms", "every arm is compared with it", "name the original's folder too")
    tables = {arm.name: _graded(arm, grader) for arm in arms}
    shared = set.intersection(*(set(rows) for rows in tables.values()))
    if not shared:
        raise UserError(
            "the arms have no prompt in common",
            f"none was answered by all of them with the same settings and graded by {grader}",
            "run them with the same task, grid and generate settings",
        )
    outcomes, margins = _controls(arms)
    left = {name: len(rows) - len(shared) for name, rows in tables.items()}
    why = "prompts that not every arm has answered"
    dropped = [{"what": name, "n": n, "why": why} for name, n in left.items() if n]
    measured = [
        Measured(arm, [tables[arm.name][key] for key in sorted(shared)], _warmth(arm), _losses(arm), outcomes[arm.name])
        for arm in arms
    ]
    names = [arm.name for arm in arms]
    folder = runs_dir / "comparisons" / f"compare-{digest([names, grader, sorted(shared)])}"
    summary: dict[str, Any] = {
        "title": " · ".join(arm.arm for arm in arms),
        "name": folder.name,
        "reference": ORIGINAL,
        "grader": grader,
        "settings": {"grader": grader},
        "dropped": dropped,
        "margins": margins,
        "timings": {},
        **manifest.record(),
    }
    write_comparison(folder, measured, summary, second=None, bootstrap=2000)
    also(folder, measured)
    write_report(folder)
    return folder


def _graded(arm: Arm, grader: str) -> dict[str, dict[str, Any]]:
    """Return the arm's answers with the grader's verdicts, by task, item, context, belief and generation settings."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(arm.folder.glob("answers/*.jsonl")):
        verdicts = {row["answer_key"]: row for row in store.read_journal(arm.verdicts(grader, path.stem))}
        for row in store.read_journal(path):
            verdict = verdicts.get(row["key"])
            if verdict is None:
                continue
            joined = {**row, **{key: verdict.get(key) for key in VERDICT_COLUMNS}}
            place = ("task", "item_id", "context", "belief", "prompt", "generation")
            found["|".join(str(row[key]) for key in place)] = joined
    return found


def _warmth(arm: Arm) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in store.read_journal(arm.warmth):
        found.setdefault(int(row["step"]), []).append(row)
    return found


def _controls(arms: Sequence[Arm]) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float]]:
    """Return the outcomes of the controls that every arm was asked with the same settings, and their margins."""
    kept: dict[str, dict[str, Any]] = {arm.name: store.read_json(arm.capability) or {} for arm in arms}
    first = kept[arms[0].name]
    shared = [
        name
        for name, entry in first.items()
        if all(name in other and other[name]["settings"] == entry["settings"] for other in kept.values())
    ]
    outcomes = {key: [row for name in shared for row in entries[name]["outcomes"]] for key, entries in kept.items()}
    return outcomes, {name: float(first[name]["settings"]["margin_pp"]) for name in shared}


def _losses(arm: Arm) -> list[dict[str, Any]]:
    return list(store.read_journal(arm.training_log))
