"""How fast the statistics are: ``python -m benchmarks statistics [--rows N]``, against statsmodels on the same answers.

Ours is ``analyze``: every analysis, pooled and by model, marginal effects with unclustered and clustered errors, cells,
and 2,000 bootstrap resamples. The peer fits the same seven logit models, pooled and by model, with errors clustered by
item, and takes their average marginal effects, no more. The effect of the arm and its error have to agree.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

from benchmarks.harness import Row, installed, report
from benchmarks.validity.coverage import PROMPTS, simulate
from warmgap.errors import UserError
from warmgap.evaluate.stats import analyze
from warmgap.settings import groups

MODELS = 5
FORMULAS = {  # of the pooled analyses, and the rows that each takes
    "error ~ arm + task + model": "plain",
    "error ~ arm + task + model + n_chars": "plain",
    "error ~ arm * group + task + model": "silent",
    "error ~ arm * context + task + model": "silent",
    "error ~ arm * task + model": "plain",
    "error ~ arm * present + group + task + model": "all",
    "error ~ arm * belief + group + task + model": "all",
}


def peer(answers: pd.DataFrame) -> tuple[float, float]:
    """Fit the seven, pooled and by model, with marginal effects; return the arm's pooled effect and error in pp."""
    table = answers.assign(
        group=answers["context"].map(groups.known()), present=(answers["belief"] != "none").astype(float),
        cluster=pd.factorize(answers["item_id"])[0],
    )  # fmt: skip
    silent = table["belief"] == "none"
    rows = {"plain": silent & (table["context"] == "none"), "silent": silent, "all": silent | ~silent}
    found: list[tuple[float, float]] = []
    for model in (None, *sorted(table["model"].unique())):
        for formula, name in FORMULAS.items():
            chosen = table[rows[name] if model is None else rows[name] & (table["model"] == model)]
            kept = {"groups": chosen["cluster"].to_numpy()}
            own = formula if model is None else formula.removesuffix(" + model")
            fitted = smf.logit(own, chosen).fit(disp=0, cov_type="cluster", cov_kwds=kept)
            arm = fitted.get_margeff(at="overall", dummy=True).summary_frame().loc["arm[T.warm]"]
            found.append((100 * float(arm["dy/dx"]), 100 * float(arm["Std. Err."])))
    return found[0]


def main() -> None:
    """Time both on the same answers and see that they agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=440_000, help="answers to simulate (default 440000)")
    options = parser.parse_args()
    items = max(8, options.rows // (len(PROMPTS) * 2 * MODELS))
    answers = simulate(np.random.default_rng(0), items, MODELS, 0.07)
    n = len(answers)
    started = time.perf_counter()
    effects = analyze(answers).effects
    ours = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    estimate, error = peer(answers)
    theirs = time.perf_counter() - started
    wanted = (effects["analysis"] == "main") & (effects["term"] == "warm") & (effects["errors"] == "clustered")
    own = effects[wanted & (effects["model"] == "all")].iloc[0]
    said = f"effect {own['estimate_pp']:.4f} ± {own['se_pp']:.4f} pp"
    if abs(own["estimate_pp"] - estimate) > 1e-3 or abs(own["se_pp"] / error - 1) > 0.01:
        raise UserError(
            "the figures differ", f"{said} against {estimate:.4f} ± {error:.4f} pp", "find out which is right"
        )
    rows = [
        Row(
            "warmgap", n / ours, "rows/s", ours, f"all analyses, pooled and by model, 2,000 resamples; {peak:,.0f} MiB"
        ),
        Row(
            "statsmodels",
            n / theirs,
            "rows/s",
            theirs,
            f"the same fits, no resamples; effect {estimate:.4f} ± {error:.4f} pp",
        ),
    ]
    print(f"{n:,} answers, 2 arms, {MODELS} models; {said}")
    report("statistics", rows, ">= 20 × statsmodels", installed(["statsmodels"]))


if __name__ == "__main__":
    main()
