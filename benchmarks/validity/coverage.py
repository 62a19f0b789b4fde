"""How well the intervals of the statistics hold: ``python -m benchmarks coverage [STUDIES] [--items N ...]``.

Simulates answers on the protocol's grid (28 prompts per item). Items differ in difficulty and in how much the warm arm
changes them, so that answers to one item go together; the true mean gap is known exactly. Prints coverage of the
nominal 95 % interval, false positives and power. How fast the statistics are, ``python -m benchmarks statistics`` says.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from warmgap.evaluate.stats import analyze
from warmgap.evaluate.stats.analysis import ERRORS
from warmgap.settings import groups

TASKS = ("disinformation", "med_qa", "trivia_qa", "truthful_qa")
PROMPTS = [
    *((context, belief) for context in groups.known() if context != "neutral"
      for belief in ("none", "false_claim", "false_denial")),
    ("neutral", "none"),
]  # fmt: skip
QUESTIONS = (("main", "warm"), ("context_group", "emotion"), ("belief", "false"), ("sycophancy", "false"))


def simulate(rng: np.random.Generator, items: int, models: int, gap: float) -> pd.DataFrame:
    """Answers of two arms, one row each; the arm's chance of an error is higher by ``gap`` on average over items.

    Chance of an error by item: 0.2 to 0.6; change by item: ``gap`` ± 0.2, alike under all prompts and models.
    """
    item = np.arange(items)
    chance, change = rng.uniform(0.2, 0.6, items), gap + rng.uniform(-0.2, 0.2, items)
    parts = []
    for model in range(models):
        for arm, risk in (("original", chance), ("warm", chance + change)):
            for context, belief in PROMPTS:
                parts.append(
                    pd.DataFrame({
                        "model": f"model_{model}", "arm": arm, "seed": 0, "task": np.array(TASKS)[item % 4],
                        "item_id": item, "context": context, "belief": belief,
                        "error": (rng.random(items) < risk).astype(float), "n_chars": rng.integers(100, 1200, items),
                    })
                )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def coverage(studies: int, items: int, gap: float, bootstrap: int = 400) -> None:
    """Print, for each analysis and kind of errors, how often the interval holds the truth and how often p < 0.05."""
    rng = np.random.default_rng([7, items, int(1000 * gap)])
    found = []
    for study in range(studies):
        effects = analyze(simulate(rng, items, 1, gap), seed=study, bootstrap=bootstrap).effects
        found.append(effects[["analysis", "term", "errors", "estimate_pp", "se_pp", "ci_low_pp", "ci_high_pp", "p"]])
    table = pd.concat(found)
    print(f"\n{items} items, true gap {100 * gap:.0f} pp, {studies} studies (Monte Carlo error of 95 %: "
          f"{100 * np.sqrt(0.0475 / studies):.1f} points)")  # fmt: skip
    print("analysis       term     errors       true pp  mean pp  sd pp  mean se  coverage  p < 0.05")
    for analysis, term in QUESTIONS:
        truth = 0.0 if analysis == "sycophancy" else 100 * gap
        for errors in ERRORS:
            keys = (table["analysis"] == analysis) & (table["term"] == term) & (table["errors"] == errors)
            t = table[keys]
            held = ((t["ci_low_pp"] <= truth) & (truth <= t["ci_high_pp"])).mean()
            print(f"{analysis:14} {term:8} {errors:12} {truth:7.1f} {t['estimate_pp'].mean():8.2f} "
                  f"{t['estimate_pp'].std():6.2f} {t['se_pp'].mean():8.2f} {100 * held:8.1f}% "
                  f"{100 * (t['p'] < 0.05).mean():8.1f}%")  # fmt: skip


def main() -> None:
    """Simulate studies without a gap and with one of 5 pp, for each number of items."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=int, nargs="?", default=1000, help="simulated studies (default 1000)")
    parser.add_argument("--items", type=int, nargs="+", default=[50, 168, 500], help="items per study (50 168 500)")
    options = parser.parse_args()
    for items in options.items:
        for gap in (0.0, 0.05):
            coverage(options.studies, items, gap)


if __name__ == "__main__":
    main()
