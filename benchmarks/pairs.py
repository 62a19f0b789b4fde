"""Are the two warm replies of a pair as warm as one another? `python benchmarks/pairs.py [--pairs FILE] [--limit N]`.

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

from warmgap import config, pipeline
from warmgap.evaluate.warmth import SocioT
from warmgap.mitigations import pairs
from warmgap.train import persona_data

MODES = ("released", "clean")


def scored(scorer: SocioT, texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return one row for each text, with its warmth in each mode."""
    found = np.full((len(texts), len(MODES)), np.nan)
    for index, warmth in scorer.score(texts):
        found[index] = [getattr(warmth, mode) for mode in MODES]
    return found


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
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=Path, help="a file of pairs instead of the embedded ones")
    parser.add_argument("--margin", type=float, default=0.005, help="nats per token; 0.005")
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
        warmth = scored(scorer, [*first, *second])
        report(name, warmth[: len(first)] - warmth[len(first) :], options.margin)


if __name__ == "__main__":
    main()
