"""How fast the statistics are, and how well their intervals hold.

    python benchmarks/stats.py                    rows per second, against plain statsmodels on the same answers
    python benchmarks/stats.py --coverage 1000    coverage, false positives and power in that many simulated studies

Both simulate answers on the protocol's grid (28 prompts per item). Items differ in difficulty and in how much the warm
arm changes them, so that answers to one item go together; the true mean gap is known exactly.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf

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


def timed(what: Callable[[], object]) -> float:
    """Seconds that ``what`` takes, once."""
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def plain_statsmodels(answers: pd.DataFrame) -> None:
    """The pooled analyses on raw rows with a formula, GLM and clustered errors: coefficients only, no effects."""
    table = answers.assign(
        group=answers["context"].map(groups.known()), present=answers["belief"] != "none",
        cluster=pd.factorize(answers["item_id"])[0],
    )  # fmt: skip
    silent = table["belief"] == "none"
    plain = silent & (table["context"] == "none")
    for formula, rows in (
        ("error ~ arm + task + model", plain),
        ("error ~ arm + task + model + n_chars", plain),
        ("error ~ arm * group + task + model", silent),
        ("error ~ arm * context + task + model", silent),
        ("error ~ arm * task + model", plain),
        ("error ~ arm * present + group + task + model", silent | ~silent),
        ("error ~ arm * belief + group + task + model", silent | ~silent),
    ):
        chosen = table[rows]
        smf.glm(formula, chosen, family=sm.families.Binomial()).fit(
            cov_type="cluster", cov_kwds={"groups": chosen["cluster"].to_numpy()}
        )


def speed(rows: int) -> None:
    """Print rows per second of `analyze` and of plain statsmodels on the same answers."""
    models = 5
    answers = simulate(np.random.default_rng(0), max(4, rows // (len(PROMPTS) * 2 * models)), models, 0.07)
    ours = timed(lambda: analyze(answers))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    theirs = timed(lambda: plain_statsmodels(answers))
    n = len(answers)
    print(f"{n:,} answers, 2 arms, {models} models")
    print(f"warmgap      {ours:7.1f} s {n / ours:10,.0f} rows/s  all analyses, pooled and by model, effects, cells,")
    print(f"                                          2,000 bootstrap resamples; peak memory {peak:,.0f} MiB")
    print(f"statsmodels  {theirs:7.1f} s {n / theirs:10,.0f} rows/s  the seven pooled fits alone, coefficients only")


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=440_000, help="answers to simulate for the speed (default 440000)")
    parser.add_argument("--coverage", type=int, metavar="N", help="simulate N studies instead")
    parser.add_argument("--items", type=int, nargs="+", default=[50, 168, 500], help="items per study (50 168 500)")
    options = parser.parse_args()
    if options.coverage is None:
        speed(options.rows)
        return
    for items in options.items:
        for gap in (0.0, 0.05):
            coverage(options.coverage, items, gap)


if __name__ == "__main__":
    main()
