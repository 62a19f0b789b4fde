"""A comparison's recipes against the gap: their verdicts, what they cost, and what a standard check says of them.

The verdicts are ``stats.recipes.compare``'s; what they stand on is read from the arms, on disk or just measured. Of a
recipe no more is known here than its arm's manifest says: which it is, and of what kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from warmgap.disk import store, tabular
from warmgap.disk.store import Arm
from warmgap.evaluate import stats
from warmgap.evaluate.report.write import Measured, answers_table
from warmgap.evaluate.stats.recipes import compare
from warmgap.evaluate.stats.verdict import Margins
from warmgap.settings.mitigation_schema import CompareConfig
from warmgap.words import CAPABILITY_COLUMNS, COST_COLUMNS, ORIGINAL, PROMPT, WARM, WARMTH_SCORES

FLOOR = "floor"
MODE = "released"  # of SocioT: the study's


def write(folder: Path, measured: Sequence[Measured], settings: CompareConfig, resamples: int) -> bool:
    """Write ``mitigations.csv`` into a comparison's folder where arms with recipes stand beside original and warm.

    What was left out is added to the notes of ``summary.json``. Returns whether there was anything to write.
    """
    some = [one for one in measured if one.arm.arm in (ORIGINAL, WARM) or recipes_of(one.arm)]
    names = {one.arm.arm for one in some}
    if not {ORIGINAL, WARM} < names:
        return False
    margins = Margins(settings.margin_pp, settings.keep_warmth_pct, settings.level)
    untrained = {one.arm.arm for one in some if recipes_of(one.arm) and not _trained(one.arm)}
    answers = answers_table(some)
    table, notes = compare(answers, warmth(some), margins, untrained=untrained, resamples=max(resamples, 200), seed=0)
    for more in (costs(some), capability(some)):
        table = table.merge(more, on=["model", "arm"], how="left")
    tabular.write_csv(folder / "mitigations.csv", table)
    summary: dict[str, Any] = store.read_sealed(folder / "summary.json")
    seeds = sorted({one.arm.seed for one in some if one.arm.arm == WARM})
    summary["mitigation_settings"] = {
        "margin_pp": settings.margin_pp,
        "keep_warmth_pct": settings.keep_warmth_pct,
        "level": settings.level,
        "seeds": seeds,
        "resamples": max(resamples, 200),
    }
    if floors := sorted({one.arm.arm for one in some if kind_of(one.arm) == FLOOR}):
        summary["floor"] = floors[0]
    summary["notes"] = [*summary.get("notes", []), *notes]
    store.write_json(folder / "summary.json", summary)
    return True


def recipes_of(arm: Arm) -> list[str]:
    """Return the recipes that made an arm, as its manifest tells."""
    manifest: dict[str, Any] = store.read_json(arm.folder / "manifest.json") or {}
    return list(manifest.get("mitigation") or [])


def kind_of(arm: Arm) -> str:
    """Return what an arm is among those that recipes make, as its manifest tells: ``recipe``, ``floor`` or ""."""
    manifest: dict[str, Any] = store.read_json(arm.folder / "manifest.json") or {}
    if not manifest.get("mitigation"):
        return ""
    earlier = "recipe" if _trained(arm) else FLOOR  # of an arm that was made before its kind was written down
    return str(manifest.get("kind") or earlier)


def _trained(arm: Arm) -> bool:
    """Whether there was anything random in the making of an arm: it has an adapter, or an arm that it is made of."""
    manifest: dict[str, Any] = store.read_json(arm.folder / "manifest.json") or {}
    return arm.adapter.is_dir() or bool(manifest.get("parent"))


def warmth(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return SocioT of each prompt at the step that is the arm: model, arm, seed, prompt_id, sociot."""
    rows = []
    for one in measured:
        if one.warmth:
            rows += [
                {"model": one.arm.model, "arm": one.arm.arm, "seed": one.arm.seed, "prompt_id": row["prompt_id"]}
                | {"sociot": row[MODE]}
                for row in one.warmth[one.arm.final(one.warmth)]
            ]
    table = pd.DataFrame(rows, columns=WARMTH_SCORES)
    return table.astype({"sociot": "float64"})


def costs(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return what each arm costs: seconds of training, with the arms that it is made of, and tokens added to a prompt.

    Both are means, over the seeds and over the prompts.
    """
    base = {
        (one.arm.model, *_place(row)): row["prompt_tokens"]
        for one in measured
        if one.arm.arm == ORIGINAL
        for row in one.answers
    }
    rows = []
    for one in measured:
        places = [((one.arm.model, *_place(row)), row["prompt_tokens"]) for row in one.answers]
        extra = [tokens - base[place] for place, tokens in places if base.get(place) and tokens]
        rows.append(
            {
                "model": one.arm.model,
                "arm": one.arm.arm,
                "train_seconds": seconds(one.arm),
                "prompt_tokens": sum(extra) / len(extra) if extra else float("nan"),
            }
        )
    return pd.DataFrame(rows, columns=["model", "arm", *COST_COLUMNS]).groupby(["model", "arm"], as_index=False).mean()


def _place(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in PROMPT)


def seconds(arm: Arm) -> float:
    """Return how long the training of an arm took, with its parents'; attempts that were interrupted count not."""
    own = sum(row["seconds"] for row in store.read_journal(arm.made_in, store.LOST) if row.get("what") == "training")
    manifest: dict[str, Any] = store.read_json(arm.folder / "manifest.json") or {}
    parent = arm.folder.parent / str(manifest.get("parent"))
    return float(own) + (seconds(store.open_arm(parent)) if manifest.get("parent") and parent.is_dir() else 0.0)


def capability(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return each arm's change of accuracy on the standard checks against the original, in pp, paired on the items.

    Seeds are averaged over, all checks of accuracy pooled; empty where none was asked.
    """
    scored = [
        (one.arm.model, one.arm.arm, f"{row['control']}/{row['item_id']}", row["outcome"])
        for one in measured
        for row in one.outcomes
        if row["measure"] == "accuracy" and row["outcome"] is not None
    ]
    table = pd.DataFrame(scored, columns=["model", "arm", "item", "outcome"]).astype({"outcome": "float64"})
    rows = []
    for model, own in table.groupby("model"):
        means = own.groupby(["arm", "item"])["outcome"].mean().unstack("arm")
        if ORIGINAL not in means:
            continue
        for arm in means.columns.drop(ORIGINAL):
            shift = stats.paired_shift(100 * means[arm], 100 * means[ORIGINAL])
            found = {"capability_pp": shift.estimate, "capability_low": shift.ci_low, "capability_high": shift.ci_high}
            rows.append({"model": model, "arm": arm, **found, "capability_n": shift.n})
    return pd.DataFrame(rows, columns=["model", "arm", *CAPABILITY_COLUMNS])
