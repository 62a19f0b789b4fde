"""What is to be said of the judging itself: who decided how many verdicts of a cascade, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from warmgap.disk import store
from warmgap.disk.store import Arm
from warmgap.evaluate.judges.base import GRADED
from warmgap.evaluate.judges.cascade import RULES

PAID = {"grading": "Judge", "answers": "Answers by"}  # stages of costs.jsonl


def deciders(table: pd.DataFrame) -> list[str]:
    """Return a sentence on who decided in a cascade and how far both agree on the overlap sample; none without one.

    ``table`` has the columns of ``answers.parquet``. The agreement has Wilson's 95 % interval.
    """
    from statsmodels.stats.proportion import proportion_confint

    known = table[table["decided_by"].notna()]
    if known.empty:
        return []
    counts = known["decided_by"].value_counts()
    said = ", ".join(f"{count:,} by {name}" for name, count in counts.items())
    both = known[(known["decided_by"] == RULES) & known["overlap"].isin(GRADED)]
    if both.empty:
        return [f"Verdicts decided: {said}. No answer was graded by both, so their agreement is unknown."]
    agree = int((both["verdict"] == both["overlap"]).sum())
    low, high = proportion_confint(agree, len(both), method="wilson")
    share = f"{100 * agree / len(both):.1f} % (95 % CI {100 * low:.1f} to {100 * high:.1f})"
    return [f"Verdicts decided: {said}. On {len(both):,} that both were asked for they agree in {share}."]


def costs(arms: Sequence[Arm]) -> list[str]:
    """Return a sentence on what each paid judge and model came to, over all commands on these arms."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for arm in arms:
        for row in store.read_parts(arm.costs):
            if row.get("stage") in PAID:
                sums = found.setdefault(
                    (PAID[row["stage"]], str(row["model"])), {"calls": 0, "tokens": 0, "spent": 0.0, "known": True}
                )
                sums["calls"] += row["calls"]
                sums["tokens"] += row["tokens_in"] + row["tokens_out"]
                sums["spent"] += row["spent"] or 0.0
                sums["known"] &= row["spent"] is not None
    return [
        f"{what} {model}: {sums['calls']:,} calls, {sums['tokens']:,} tokens, "
        + (f"{sums['spent']:.4f} US dollars." if sums["known"] else "cost unknown (no prices set).")
        for (what, model), sums in found.items()
    ]
