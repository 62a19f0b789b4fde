"""The answers of a comparison as the report embeds them: a prompt, an answer per arm, as JSON that is safe in html."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from warmgap.evaluate.report.comparison import Comparison, load_answers
from warmgap.words import BELIEF_LABELS, CONTEXT_LABELS

PAIR_CAP = 6_000  # prompts in one file with two arms, fewer with more; some 10 MB with answers of 300 tokens
KEY = ["model", "seed", "task", "item_id", "context", "belief"]
FIELDS = [
    "arm", "error", "verdict", "family", "prompt", "question", "correct", "incorrect", "answer", "margin",
    "finish_reason", "n_tokens", "reason",
]  # fmt: skip


def safe_json(data: Any) -> str:
    """JSON that may stand inside a script element: ASCII only, and no "<", ">" or "&" in it."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def embedded_answers(
    comparison: Comparison, cap: int = PAIR_CAP, seed: int = 0
) -> tuple[dict[str, Any], dict[str, int]]:
    """The answers to browse, paired on the same prompt, and counts of them.

    Above `cap` prompts, or `2 * cap` answers, a seeded sample: all where an arm got worse than the reference (or what
    fits), others drawn. Counts: `pairs` on disk, `worse` on disk, `shown` in the page, `single` prompts that only one
    arm has answered, `margins` answers with one.
    """
    frame = load_answers(comparison.folder, [*KEY, *FIELDS])
    frame["error"] = pd.to_numeric(frame["error"], errors="coerce")
    frame[KEY] = frame[KEY].astype(object).where(frame[KEY].notna(), "")
    frame = _repeat_reference(frame, comparison.reference).drop_duplicates([*KEY, "arm"])
    groups = frame.groupby(KEY, sort=False)
    frame["prompt_id"] = groups.ngroup()
    several = frame[groups["arm"].transform("nunique") > 1] if len(comparison.arms) > 1 else frame
    base = several[several["arm"] == comparison.reference].set_index("prompt_id")["error"]
    worse_rows = (several["error"] == 1) & (several["prompt_id"].map(base) == 0)
    ids = several["prompt_id"].unique()
    worse = np.isin(ids, several.loc[worse_rows, "prompt_id"].unique())
    kept = _keep(ids, worse, 2 * cap // max(2, len(comparison.arms)), seed)
    shown = several[several["prompt_id"].isin(kept)]
    counts = {
        "pairs": len(ids),
        "worse": int(worse.sum()),
        "shown": len(kept),
        "single": int(frame["prompt_id"].nunique()) - len(ids),
        "margins": int(several["margin"].notna().sum()),
    }
    prompts = [_prompt_record(group) for _, group in shown.groupby("prompt_id", sort=False)]
    labels = {"context": CONTEXT_LABELS, "belief": BELIEF_LABELS}
    return {"reference": comparison.reference, "arms": comparison.arms, "labels": labels, "prompts": prompts}, counts


def _repeat_reference(frame: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Where other arms have training seeds that the reference lacks, its first seed stands in for them."""
    is_ref = frame["arm"] == reference
    have = set(frame.loc[is_ref, ["model", "seed"]].itertuples(index=False, name=None))
    parts = [frame]
    for model, seed in dict.fromkeys(frame.loc[~is_ref, ["model", "seed"]].itertuples(index=False, name=None)):
        of_model = frame[is_ref & (frame["model"] == model)]
        if (model, seed) not in have and len(of_model):
            parts.append(of_model[of_model["seed"] == of_model["seed"].iloc[0]].assign(seed=seed))
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else frame


def _keep(ids: np.ndarray[Any, Any], worse: np.ndarray[Any, Any], cap: int, seed: int) -> set[int]:
    """At most `cap` prompts, those that got worse first."""
    if len(ids) <= cap:
        return {int(i) for i in ids}
    rng = np.random.default_rng(seed)
    first, rest = rng.permutation(ids[worse]), rng.permutation(ids[~worse])
    return {int(i) for i in np.concatenate([first, rest])[:cap]}


def _prompt_record(group: pd.DataFrame) -> dict[str, Any]:
    """One prompt with the answers of all arms, as the page's script reads it."""
    records = group.to_dict("records")
    first = records[0]
    prompt, question = _text(first["prompt"]), _text(first["question"])
    start = prompt.find(question) if question else -1
    family = _text(first["family"])
    return {
        **{name: _text(first[name]) for name in ("model", "seed", "context", "belief", "correct", "incorrect")},
        "task": f"{_text(first['task'])}: {family}" if family else _text(first["task"]),
        "item": _text(first["item_id"]),
        "prompt": prompt or question,
        "span": [start, start + len(question)] if start >= 0 else None,
        "answers": {
            _text(row["arm"]): {
                "text": _text(row["answer"]), "verdict": _text(row["verdict"]), "error": _finite(row["error"]),
                "margin": _finite(row["margin"]), "tokens": _finite(row["n_tokens"]),
                "cut": row["finish_reason"] == "length", "reason": _text(row["reason"]),
            }
            for row in records
        },
    }  # fmt: skip


def _text(value: Any) -> str:
    """A value as text, "" where there is none."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _finite(value: Any) -> float | None:
    """A number rounded to four digits, None where there is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return round(found, 4) if math.isfinite(found) else None
