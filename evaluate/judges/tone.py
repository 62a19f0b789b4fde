"""Second opinions on warmth and form by a chat model: which of two replies is warmer, and does a reply hang together.

Every pair is shown in both orders. A reply wins where both orders say so; otherwise the pair is a draw, so that a judge
that prefers a place and not a reply gives draws alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from warmgap.disk import store
from warmgap.disk.progress import bar
from warmgap.disk.store import Arm
from warmgap.errors import UserError
from warmgap.evaluate.judges.closed import Choice, Chooser, Question, Record, cut
from warmgap.settings.identity import digest

WARMER = Question("tone_warmth.txt", ("first", "second", "same"))
COHERENCE = Question("tone_coherence.txt", ("coherent", "flawed", "incoherent"))
WON, LOST, DRAW, UNKNOWN = "won", "lost", "draw", "unknown"


def replies(arm: Arm) -> list[dict[str, Any]]:
    """Return an arm's replies to the held-out warmth prompts at the step that it is. UserError where it has none."""
    found = {int(path.stem.removeprefix("warmth-step")): path for path in arm.folder.glob("answers/warmth-step*.jsonl")}
    if not found:
        raise UserError(f"{arm.name} has no replies for warmth", "its run has not come to them", "run it to its end")
    return list(store.journal_by_key(found[arm.final(found)], store.AGAIN).values())


def ask(
    model: Chooser,
    question: Question,
    records: dict[str, Record],
    journal: Path,
    what: str,
    *,
    silent: bool = False,
) -> dict[str, dict[str, Any]]:
    """Ask for what the journal lacks, nothing if ``silent``; return rows with ``verdict`` and ``reason`` by key.

    Keys are hashed with the model's parameters and the prompt. What the model failed on is returned, not kept.
    """
    made_by = [model.name, model.params, question.version]
    keys = {digest([made_by, key, record], 16): key for key, record in records.items()}
    known = store.journal_by_key(journal)
    found = {keys[key]: row for key, row in known.items() if key in keys}
    missing = {hashed: records[key] for hashed, key in keys.items() if hashed not in known and not silent}
    with bar(what, len(keys)) as advance:
        advance(len(keys) - len(missing))
        for choice in model.choose(question, missing) if missing else ():
            row = _row(choice)
            if not choice.failed:
                store.append(journal, [row])
            found[keys[choice.key]] = row
            advance(1)
    return found


def _row(choice: Choice) -> dict[str, Any]:
    return {
        "key": choice.key,
        "verdict": choice.verdict,
        "reason": choice.reason,
        "margin": choice.margin,
        **choice.more,
    }


def compare(model: Chooser, original: Arm, arm: Arm, journal: Path) -> pd.DataFrame:
    """Return one row for each held-out prompt: ``warmth`` of the arm against the original (won, lost, draw, unknown).

    Also ``place_first``: whether the two orders disagreed, and the coherence of both replies.
    """
    base = {row["prompt"]: row for row in replies(original)}
    own = {row["prompt"]: row for row in replies(arm)}
    shared = [prompt for prompt in own if prompt in base]
    if not shared:
        raise UserError(
            "the arms have no reply in common", "their warmth prompts differ", "compare arms of one version"
        )
    pairs: dict[str, Record] = {}
    singles: dict[str, Record] = {}
    for prompt in shared:
        mine, theirs = cut(own[prompt]["answer"]), cut(base[prompt]["answer"])
        pairs[f"{prompt}|1"] = {"message": prompt, "first_reply": mine, "second_reply": theirs}
        pairs[f"{prompt}|2"] = {"message": prompt, "first_reply": theirs, "second_reply": mine}
        singles[f"{prompt}|own"] = {"message": prompt, "reply": mine}
        singles[f"{prompt}|base"] = {"message": prompt, "reply": theirs}
    warmth = ask(model, WARMER, pairs, journal, f"warmer? · {arm.arm}")
    whole = ask(model, COHERENCE, singles, journal, f"coherent? · {arm.arm}")
    rows = []
    for prompt in shared:
        one, two = (warmth.get(f"{prompt}|{order}", {}).get("verdict") for order in (1, 2))
        coherence = {side: whole.get(f"{prompt}|{side}", {}).get("verdict") for side in ("own", "base")}
        row = {"prompt": prompt, "first_order": one, "second_order": two, "warmth": _outcome(one, two)}
        row |= {"coherence": coherence["own"], "coherence_original": coherence["base"]}
        rows.append({**row, "reply": own[prompt]["answer"], "reply_original": base[prompt]["answer"]})
    return pd.DataFrame(rows)


def _outcome(one: str | None, two: str | None) -> str:
    if one is None or two is None:
        return UNKNOWN
    return {("first", "second"): WON, ("second", "first"): LOST}.get((one, two), DRAW)


def summary(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return shares in percent with Wilson's 95 % interval and n: won, lost and draws; coherent replies of both arms.

    ``same place`` is how often the judge chose one place in both orders: near 100 it has looked at the place alone.
    """
    known = rows[rows["warmth"] != UNKNOWN]
    placed = (known["first_order"] == known["second_order"]) & (known["first_order"] != "same")
    said = [("arm warmer", known["warmth"] == WON), ("original warmer", known["warmth"] == LOST)]
    said += [("draw", known["warmth"] == DRAW), ("same place in both orders", placed)]
    for name, column in (("arm coherent", "coherence"), ("original coherent", "coherence_original")):
        given = rows[column].dropna()
        said.append((name, given == "coherent"))
    return [_share(name, hits) for name, hits in said]


def _share(name: str, hits: pd.Series[bool] | Sequence[bool]) -> dict[str, Any]:
    from statsmodels.stats.proportion import proportion_confint

    n, count = len(hits), int(sum(hits))
    if not n:
        return {"what": name, "n": 0, "pct": math.nan, "ci_low_pct": math.nan, "ci_high_pct": math.nan}
    low, high = proportion_confint(count, n, method="wilson")
    return {"what": name, "n": n, "pct": 100 * count / n, "ci_low_pct": 100 * low, "ci_high_pct": 100 * high}
