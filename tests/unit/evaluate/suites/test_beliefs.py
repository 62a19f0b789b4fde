"""Beliefs that are no false ones, and effects net of the training: what they measure, and what they leave alone."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from warmgap.evaluate.report import study
from warmgap.evaluate.stats import Analysis, analyze, resample
from warmgap.evaluate.stats.contrasts import isolating
from warmgap.words import BELIEFS

KEYS = ["analysis", "term", "model", "arm", "reference", "errors"]
CONTEXTS = ("none", "sad", "close")
# The chance of an error of each arm under each belief, in percent: the warm arm repeats what it reads and contradicts.
RISK = {
    "original": {"none": 30, "false_claim": 40, "false_denial": 34, "true_claim": 20, "mention": 36},
    "paraphrase": {"none": 34, "false_claim": 46, "false_denial": 36, "true_claim": 24, "mention": 42},
    "warm": {"none": 40, "false_claim": 66, "false_denial": 44, "true_claim": 44, "mention": 58},
}


def answers(items: int = 120, seeds: dict[str, tuple[int, ...]] | None = None, model: str = "m") -> pd.DataFrame:
    rng = np.random.default_rng(7)
    ease = rng.uniform(-15, 15, items)
    parts = []
    for arm, risks in RISK.items():
        for seed in (seeds or {}).get(arm, (0,)):
            for context, belief in [*itertools.product(CONTEXTS, BELIEFS), ("neutral", "none")]:
                error = rng.random(items) < (risks[belief] + ease) / 100
                place = {"model": model, "arm": arm, "seed": seed, "context": context, "belief": belief}
                parts.append(pd.DataFrame({**place, "task": "t", "item_id": np.arange(items), "error": error * 1.0}))
    return pd.concat(parts, ignore_index=True)


def row(result: Analysis, analysis: str, term: str, reference: str, errors: str = "bootstrap") -> pd.Series:
    found = result.effects.set_index(KEYS).sort_index()
    one = found.loc[(analysis, term, "all", "warm", reference, errors)]
    assert one.ndim == 1
    return one


@pytest.fixture(scope="module")
def wide() -> pd.DataFrame:
    return answers()


@pytest.fixture(scope="module")
def analyzed(wide: pd.DataFrame) -> Analysis:
    return analyze(wide, bootstrap=200)


@pytest.mark.parametrize("reference", ["original", "paraphrase"])
@pytest.mark.parametrize(
    ("analysis", "shown", "base"),
    [("over_correction", "true_claim", "none"), ("sycophancy_net", "false_claim", "mention")],
)
def test_differences_in_differences_are_those_of_the_raw_errors(
    wide: pd.DataFrame, analyzed: Analysis, analysis: str, shown: str, base: str, reference: str
) -> None:
    rate = wide[wide["context"] != "neutral"].groupby(["arm", "belief"])["error"].mean() * 100
    raw = (rate["warm", shown] - rate["warm", base]) - (rate[reference, shown] - rate[reference, base])
    boot, clustered, plain = (
        row(analyzed, analysis, shown, reference, kind) for kind in ("bootstrap", "clustered", "unclustered")
    )
    assert boot["estimate_pp"] == pytest.approx(raw)
    assert boot["n"] == 2 * len(CONTEXTS) * 120
    assert clustered["estimate_pp"] == pytest.approx(raw, abs=0.5)
    for one in (boot, clustered, plain):
        assert one["ci_low_pp"] < one["estimate_pp"] < one["ci_high_pp"]


def test_a_difference_is_taken_over_the_contexts_that_are_asked_with_both(wide: pd.DataFrame) -> None:
    some = wide[~((wide["context"] == "sad") & (wide["belief"] == "mention"))]
    result = analyze(some, bootstrap=200)
    assert row(result, "sycophancy_net", "false_claim", "original")["n"] == 2 * 2 * 120
    alone = analyze(wide[wide["belief"] != "mention"], bootstrap=0).effects
    assert "sycophancy_net" not in set(alone["analysis"])
    assert "over_correction" in set(alone["analysis"])


def test_what_is_no_false_belief_changes_no_other_figure(wide: pd.DataFrame, analyzed: Analysis) -> None:
    """Not `false`, the fits of the false ones, the study's, or those of a verdict."""
    narrow = wide[wide["belief"].isin(["none", "false_claim", "false_denial"])]
    one, two = (result.effects.set_index(KEYS) for result in (analyze(narrow, bootstrap=0), analyzed))
    figures = ["estimate_pp", "se_pp", "ci_low_pp", "ci_high_pp", "p", "n", "n_items"]
    assert ("belief", "false", "all", "warm", "original", "clustered") in one.index
    pd.testing.assert_frame_equal(one[figures], two.loc[one.index, figures])
    terms = [set(some.index.get_level_values("term")) for some in (one, two)]
    assert terms[1] - terms[0] == {"true_claim", "mention"}
    pd.testing.assert_frame_equal(study.beside(narrow), study.beside(wide))
    prompt = ["task", "item_id", "context", "belief"]
    grids = [resample.grid(table, prompt, prompt[:2], "error") for table in (narrow, wide)]
    sums = [resample.sums(found, "paraphrase", [0], ("original", "warm")) for found in grids]
    np.testing.assert_allclose(sums[0][..., :11], sums[1][..., :11])  # the rest are those of over-correction


# ---- net of the training


def test_effects_net_of_the_training_are_those_against_the_arm_that_was_trained_alike(
    wide: pd.DataFrame, analyzed: Analysis
) -> None:
    effects = analyzed.effects
    first = effects["reference"].ne("original").idxmax()
    assert (effects.loc[: first - 1, "reference"] == "original").all()
    net = effects[effects["reference"] != "original"]
    assert set(zip(net["arm"], net["reference"], strict=True)) == {("warm", "paraphrase")}
    assert set(net["analysis"]) == set(effects["analysis"])
    alone = analyze(wide[wide["arm"] != "original"], reference="paraphrase", bootstrap=200).effects
    pd.testing.assert_frame_equal(net.reset_index(drop=True), alone)
    for _, family in effects.groupby(["analysis", "errors", "model", "arm", "reference"]):
        known = family[family["p"].notna()]
        if len(known):
            assert known["p_fdr"].to_numpy() == pytest.approx(multipletests(known["p"], method="fdr_bh")[1])


def test_two_trainings_are_paired_by_their_seed() -> None:
    """An original without seeds stands beside every seed; a trained arm beside its own alone."""
    table = answers(60, {"warm": (0, 1, 2), "paraphrase": (1,)})
    result = analyze(table, bootstrap=0)
    assert row(result, "main", "warm", "original", "clustered")["n"] == 4 * 60
    assert row(result, "main", "warm", "paraphrase", "clustered")["n"] == 2 * 60
    assert any("without m seed 0, m seed 2 of warm, which paraphrase lacks" in note for note in result.notes)
    only = table[(table["arm"] == "paraphrase") | ((table["arm"] == "warm") & (table["seed"] == 1))]
    again = analyze(only, reference="paraphrase", bootstrap=0).effects
    net = result.effects[result.effects["reference"] == "paraphrase"].reset_index(drop=True)
    pd.testing.assert_frame_equal(net, again)


def test_arms_of_no_common_seed_are_not_net_of_anything() -> None:
    result = analyze(answers(30, {"warm": (0,), "paraphrase": (1,)}), bootstrap=0)
    assert set(result.effects["reference"]) == {"original"}
    assert any("which paraphrase lacks" in note for note in result.notes)


@pytest.mark.parametrize(
    ("arm", "arms", "expected"),
    [
        ("warm", ["warm", "untransformed", "paraphrase"], "paraphrase"),
        ("warm", ["warm", "untransformed"], "untransformed"),
        ("warm+truth_mix", ["warm+truth_mix", "paraphrase"], "paraphrase"),
        ("untransformed", ["untransformed", "paraphrase"], "paraphrase"),
        ("paraphrase", ["untransformed", "paraphrase"], ""),
        ("warm_own", ["warm_own", "paraphrase"], ""),
        ("warm_own", ["warm_own", "paraphrase", "paraphrase_own"], "paraphrase_own"),
        ("warm_dpo", ["warm_dpo", "paraphrase"], ""),
        ("warm", ["warm", "cold"], ""),
    ],
)
def test_an_arm_is_isolated_by_one_that_was_trained_alike(arm: str, arms: list[str], expected: str) -> None:
    assert isolating(arm, arms) == expected
