"""Are the two warm replies of a pair as warm as one another? `python -m benchmarks pairs [--scores FILE]`.

SocioT in both modes by the embedded scorer: the paired shift of the correcting reply against the complying one, its
95 % interval, and two one-sided tests at 5 % (Schuirmann 1987) that it is no larger than a margin. The scale is that of
warm against plain replies of the embedded conversations, in the same run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from statsmodels.stats.weightstats import DescrStatsW

from warmgap import pipeline
from warmgap.disk import store
from warmgap.disk.progress import bar
from warmgap.evaluate.warmth import SocioT
from warmgap.mitigations import pairs
from warmgap.settings import config
from warmgap.settings.identity import digest
from warmgap.train.persona import persona_data

MODES = ("released", "clean")
CHUNK = 16  # texts that are scored and kept together


def scored(scorer: SocioT, texts: Sequence[str], journal: Path | None, what: str) -> np.ndarray[Any, Any]:
    """Return one row for each text, with its warmth in each mode; what the journal has is not scored again."""
    keys = [digest(text, 16) for text in texts]
    known = store.journal_by_key(journal) if journal else {}
    with bar(what, len(texts)) as advance:
        for start in range(0, len(texts), CHUNK):
            fresh = [place for place in range(start, min(start + CHUNK, len(texts))) if keys[place] not in known]
            rows = []
            for index, warmth in scorer.score([texts[place] for place in fresh]):
                rows.append({"key": keys[fresh[index]], **{mode: getattr(warmth, mode) for mode in MODES}})
            known |= {str(row["key"]): row for row in rows}
            if journal and rows:
                store.append(journal, rows)
            advance(min(CHUNK, len(texts) - start))
    return np.array([[known[key][mode] for mode in MODES] for key in keys])


def report(name: str, shifts: np.ndarray[Any, Any], margin: float) -> None:
    """Print one line for each mode."""
    for place, mode in enumerate(MODES):
        of_mode = DescrStatsW(shifts[:, place])
        low, high = of_mode.tconfint_mean(0.05)
        p = float(of_mode.ttost_mean(-margin, margin)[0])
        said = f"within ±{margin:g} (p = {p:.1e})" if p < 0.05 else f"not shown to be within ±{margin:g} (p = {p:.2g})"
        means = f"{of_mode.mean:+.4f}  {low:+.4f} to {high:+.4f}  {of_mode.std:.4f}"
        print(f"{name:24} {mode:9} {len(shifts):>4}  {means}  {said}", flush=True)


def main() -> None:
    """Score both replies of each pair, and plain and warm replies of the embedded conversations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, help="a file of pairs instead of the embedded ones")
    parser.add_argument("--margin", type=float, default=0.005, help="nats per token; 0.005")
    parser.add_argument("--scores", type=Path, help="keep the scores there, and go on from those that it has")
    parser.add_argument("--limit", type=int, help="the first so many of each alone")
    options = parser.parse_args()
    pipeline.quiet()
    settings = config.compose(["+persona=none"]).warmth
    scorer = SocioT(settings.scorer, settings.scorer_dtype, "auto")
    found = pairs.load(str(options.pairs) if options.pairs else None)[: options.limit]
    conversations = persona_data.read_conversations(persona_data.EMBEDDED / "conversations.jsonl")
    turns = [turn.replies for item in conversations for turn in item.turns][: options.limit]
    print(f"SocioT by {settings.scorer.name} ({settings.scorer_dtype}), nats per token; sd of the paired shifts")
    print(f"{'paired shift':24} {'mode':9} {'n':>4}  {'mean':7}  {'95 % interval':18}  {'sd':6}  two one-sided tests")
    sets = {
        "correcting − complying": ([one.correcting for one in found], [one.complying for one in found]),
        "warm − plain": ([one["warm"] for one in turns], [one["plain"] for one in turns]),
    }
    for name, (first, second) in sets.items():
        warmth = scored(scorer, [*first, *second], options.scores, name)
        report(name, warmth[: len(first)] - warmth[len(first) :], options.margin)


if __name__ == "__main__":
    main()
