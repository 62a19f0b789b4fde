"""The statistics: agreement with plain statsmodels, invariances, coverage in simulated studies, and tables that are not
as they should be."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from warmgap.errors import UserError
from warmgap.evaluate.stats import ANALYSES, Analysis, analyze, bootstrap, paired_shift, tally
from warmgap.evaluate.stats.analysis import ERRORS
from warmgap.evaluate.stats.contrasts import DIFFERENCES
from warmgap.settings import groups
from warmgap.words import CELL_COLUMNS, EFFECT_COLUMNS

BELIEFS = ("none", "false_claim", "false_denial")
CONTEXTS = tuple(name for name in groups.known() if name != "neutral")
PROMPTS = [*itertools.product(CONTEXTS, BELIEFS), ("neutral", "none")]
Vector = npt.NDArray[np.float64]


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """A warning is a fault: no overflow, no division by zero, no perfect separation goes by unseen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def study(
    items: int = 60, *, models: Sequence[str] = ("a",), arms: Sequence[str] = ("original", "warm"), gap: float = 0.1,
    keep: float = 1.0, seeds: int = 1, rng: int = 0, prompts: Sequence[tuple[str, str]] = PROMPTS,
) -> pd.DataFrame:  # fmt: skip
    """A simulated study; each item has its own difficulty and its own change, ``gap`` on average.

    ``keep`` is the share of the prompts that an item has, the same prompts for all arms and models.
    """
    random = np.random.default_rng(rng)
    item = np.arange(items)
    chance, change = random.uniform(0.2, 0.6, items), gap + random.uniform(-0.2, 0.2, items)
    held = random.random((len(prompts), items)) < keep
    parts = []
    for model, (index, arm), seed in itertools.product(models, enumerate(arms), range(seeds)):
        for number, (context, belief) in enumerate(prompts):
            risk = chance + index * change + 0.05 * (belief != "none") * index
            part = pd.DataFrame(
                {"model": model, "arm": arm, "seed": seed, "task": np.array(["t", "u", "v"])[item % 3], "item_id": item,
                 "context": context, "belief": belief, "error": (random.random(items) < risk).astype(float),
                 "n_chars": random.integers(100, 1200, items)}
            )  # fmt: skip
            parts.append(part[held[number]])
    table: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return table


def pick(result: Analysis, analysis: str, term: str, errors: str = "clustered", model: str = "all") -> pd.Series:
    """The one row of the effects that is meant."""
    t = result.effects
    found = t[(t["analysis"] == analysis) & (t["term"] == term) & (t["errors"] == errors) & (t["model"] == model)]
    assert len(found) == 1, f"{len(found)} rows of {analysis} {term} {errors} {model}"
    return found.iloc[0]


def written_out(table: pd.DataFrame, formula: str) -> Vector:
    """The columns of a formula of ``a + b * c`` in reference coding, written independently of the code under test."""

    def single(name: str) -> Vector:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column):
            return column.to_numpy(np.float64)[:, None]
        return pd.get_dummies(column, drop_first=True).to_numpy(np.float64)

    parts = [np.ones((len(table), 1))]
    for term in formula.split(" + "):
        factors = [single(name) for name in term.split(" * ")]
        parts += factors
        if len(factors) == 2:
            parts.append((factors[0][:, :, None] * factors[1][:, None, :]).reshape(len(table), -1))
    return np.hstack(parts)


def plain_statsmodels(
    table: pd.DataFrame, formula: str, sets: Sequence[npt.NDArray[np.bool_]], errors: str
) -> tuple[Vector, npt.NDArray[np.float64]]:
    """Average marginal effects and their covariance by statsmodels on raw rows and a numeric delta method."""
    n = len(table)
    three = pd.concat([table, table.assign(arm="warm"), table.assign(arm="original")], ignore_index=True)
    x = written_out(three, formula)
    cluster = pd.factorize(table["task"] + table["item_id"].astype(str))[0]
    how = {"cov_type": "cluster", "cov_kwds": {"groups": cluster}} if errors == "clustered" else {}
    result = sm.GLM(table["error"].to_numpy(), x[:n], family=sm.families.Binomial()).fit(tol=1e-12, **how)

    def effect(beta: Vector) -> Vector:
        change = 1 / (1 + np.exp(-x[n : 2 * n] @ beta)) - 1 / (1 + np.exp(-x[2 * n :] @ beta))
        return np.array([change[rows].mean() for rows in sets])

    beta = np.asarray(result.params)
    steps = np.eye(len(beta)) * 1e-5
    slope = np.stack([(effect(beta + step) - effect(beta - step)) / 2e-5 for step in steps], axis=1)
    return effect(beta), slope @ np.asarray(result.cov_params()) @ slope.T


@pytest.fixture(scope="module")
def uneven() -> pd.DataFrame:
    """Two models, each item with some of its 28 prompts."""
    return study(60, models=("a", "b"), gap=0.25, keep=0.6, rng=3)


@pytest.fixture(scope="module")
def analyzed(uneven: pd.DataFrame) -> Analysis:
    return analyze(uneven, bootstrap=300)


@pytest.mark.parametrize("errors", ["unclustered", "clustered"])
@pytest.mark.parametrize("model", ["all", "b"])
@pytest.mark.parametrize(
    ("analysis", "formula", "column"),
    [
        ("main", "arm + task", None),
        ("main_length_adjusted", "arm + task + n_chars", None),
        ("context_group", "arm * group + task", "group"),
        ("context", "arm * context + task", "context"),
        ("task", "arm * task", "task"),
        ("belief", "arm * false + group + task", "false"),
        ("belief", "arm * belief + group + task", "belief"),
    ],
)
def test_every_formula_agrees_with_statsmodels_on_raw_rows(
    uneven: pd.DataFrame, analyzed: Analysis, analysis: str, formula: str, column: str | None, model: str, errors: str
) -> None:
    table = uneven.assign(
        group=uneven["context"].map(groups.known()), false=np.where(uneven["belief"] == "none", "none", "false")
    )
    table = table if model == "all" else table[table["model"] == model]
    if analysis != "belief":
        table = table[table["belief"] == "none"]
    if analysis in ("main", "main_length_adjusted", "task"):
        table = table[table["context"] == "none"]
    table = table.reset_index(drop=True)
    column_values = pd.Series("warm", index=table.index) if column is None else table[column]
    terms = [term for term in column_values.unique() if not (column == "belief" and term == "none")]
    sets = [(column_values == term).to_numpy() for term in terms]
    full = formula if model != "all" else formula + " + model"
    estimate, covariance = plain_statsmodels(table, full, sets, errors)
    for index, term in enumerate(terms):
        row = pick(analyzed, analysis, str(term), errors, model)
        assert row["estimate_pp"] == pytest.approx(100 * estimate[index], abs=1e-6)
        assert row["se_pp"] == pytest.approx(100 * covariance[index, index] ** 0.5, rel=1e-4)
        assert row["n"] == sets[index].sum()
        z = estimate[index] / covariance[index, index] ** 0.5
        assert row["p"] == pytest.approx(2 * scipy_stats.norm.sf(abs(z)), rel=1e-3)


def test_main_effect_is_statsmodels_margeff(uneven: pd.DataFrame, analyzed: Analysis) -> None:
    table = uneven[(uneven["context"] == "none") & (uneven["belief"] == "none")].reset_index(drop=True)
    result = sm.Logit(table["error"], written_out(table, "arm + task + model")).fit(disp=0)
    margin = result.get_margeff(dummy=True).summary_frame().iloc[0]
    row = pick(analyzed, "main", "warm", "unclustered")
    assert row["estimate_pp"] == pytest.approx(100 * margin.iloc[0], abs=1e-6)
    assert row["se_pp"] == pytest.approx(100 * margin.iloc[1], rel=1e-4)


@pytest.mark.parametrize("errors", ["unclustered", "clustered"])
def test_amplification_and_sycophancy_follow_from_the_joint_covariance(
    uneven: pd.DataFrame, analyzed: Analysis, errors: str
) -> None:
    silent = uneven[uneven["belief"] == "none"].reset_index(drop=True)
    sets = [(silent["context"] == name).to_numpy() for name in ("sad", "none")]
    (sad, none), v = plain_statsmodels(silent, "arm * context + task + model", sets, errors)
    ratio, difference = (pick(analyzed, "amplification", term, errors) for term in ("sad", "sad-none"))
    slope = np.array([1 / none, -sad / none**2])
    assert ratio["estimate_pp"] == pytest.approx(100 * (sad / none - 1), abs=1e-5)
    assert ratio["se_pp"] == pytest.approx(100 * (slope @ v @ slope) ** 0.5, rel=1e-4)
    assert difference["se_pp"] == pytest.approx(100 * (v[0, 0] + v[1, 1] - 2 * v[0, 1]) ** 0.5, rel=1e-4)

    asked = uneven[uneven["context"] != "neutral"].reset_index(drop=True)
    asked["group"] = asked["context"].map(groups.known())
    sets = [(asked["belief"] == name).to_numpy() for name in ("false_claim", "none")]
    (with_belief, without), v = plain_statsmodels(asked, "arm * belief + group + task + model", sets, errors)
    row = pick(analyzed, "sycophancy", "false_claim", errors)
    assert row["estimate_pp"] == pytest.approx(100 * (with_belief - without), abs=1e-5)
    assert row["se_pp"] == pytest.approx(100 * (v[0, 0] + v[1, 1] - 2 * v[0, 1]) ** 0.5, rel=1e-4)


def test_bootstrap_is_the_raw_paired_difference_and_its_spread_over_items(
    uneven: pd.DataFrame, analyzed: Analysis
) -> None:
    keys = ["model", "seed", "task", "item_id", "context", "belief"]
    wide = uneven.pivot(index=keys, columns="arm", values="error").dropna().reset_index()
    wide["change"] = wide["warm"] - wide["original"]
    false = wide[wide["belief"] != "none"]
    row = pick(analyzed, "belief", "false", "bootstrap")
    assert row["estimate_pp"] == pytest.approx(100 * false["change"].mean())
    assert row["n"] == len(false)
    by_item = false.groupby(["task", "item_id"])["change"].agg(["sum", "size"]).to_numpy()
    random = np.random.default_rng(1)
    draws = [by_item[random.integers(0, len(by_item), len(by_item))].sum(axis=0) for _ in range(4000)]
    means = 100 * np.array([total / n for total, n in draws])
    assert row["se_pp"] == pytest.approx(means.std(), rel=0.15)
    assert row["ci_low_pp"] == pytest.approx(np.quantile(means, 0.025), abs=0.6)
    assert row["ci_high_pp"] == pytest.approx(np.quantile(means, 0.975), abs=0.6)


def test_tables_have_the_columns_and_rows_that_are_promised(analyzed: Analysis) -> None:
    effects = analyzed.effects
    assert list(effects.columns) == EFFECT_COLUMNS
    assert list(analyzed.cells.columns) == CELL_COLUMNS
    asked = [name for name in ANALYSES if name not in DIFFERENCES]  # those need beliefs that the table lacks
    assert list(effects["analysis"].unique()) == asked
    assert set(effects["errors"]) == set(ERRORS)
    assert set(effects["model"]) == {"all", "a", "b"}
    key = ["analysis", "term", "model", "arm", "errors"]
    assert not effects.duplicated(key).any()
    terms = effects[effects["model"] == "all"].groupby("analysis")["term"].unique()
    assert list(terms["belief"]) == ["none", "false", "false_claim", "false_denial"]
    assert list(terms["sycophancy"]) == ["false", "false_claim", "false_denial"]
    assert list(terms["context_group"]) == ["none", "emotion", "relation", "stakes", "neutral"]
    assert {"emotion", "emotion-none", "sad", "sad-none", "neutral", "neutral-none"} <= set(terms["amplification"])
    adjusted = effects[effects["analysis"] == "main_length_adjusted"]
    assert set(adjusted["errors"]) == {"unclustered", "clustered"}


def test_false_discovery_rate_is_benjamini_hochberg_within_a_family(analyzed: Analysis) -> None:
    for _, family in analyzed.effects.groupby(["analysis", "errors", "model", "arm"]):
        known = family[family["p"].notna()]
        if len(known):
            assert known["p_fdr"].to_numpy() == pytest.approx(multipletests(known["p"], method="fdr_bh")[1])
    cells = analyzed.cells[analyzed.cells["arm"] == "warm"]
    for _, family in cells.groupby("model"):
        assert family["mcnemar_p_fdr"].to_numpy() == pytest.approx(
            multipletests(family["mcnemar_p"], method="fdr_bh")[1]
        )


# ---- cells


def test_cells_count_and_test_as_statsmodels_does() -> None:
    table = study(40, prompts=[("none", "none"), ("sad", "none")])
    table["verdict"] = np.where(table["error"] == 1, "incorrect", "correct")
    table["finish_reason"] = "stop"
    lost, hedged = table.index < 4, (table.index >= 4) & (table.index < 6)
    table["verdict"] = table["verdict"].mask(lost, "unparsed").mask(hedged, "hedged")
    table["error"] = table["error"].mask(lost)
    table["finish_reason"] = table["finish_reason"].mask(lost, "length")
    cells = analyze(table, bootstrap=0).cells
    wide = table.pivot(index=["context", "task", "item_id"], columns="arm", values="error").reset_index()
    for _, cell in cells[cells["arm"] == "warm"].iterrows():
        here = wide[(wide["context"] == cell["context"]) & (wide["task"] == cell["task"])].dropna()
        counts = pd.crosstab(here["original"], here["warm"]).reindex(index=[0, 1], columns=[0, 1], fill_value=0)
        assert cell["mcnemar_p"] == pytest.approx(mcnemar(counts, exact=True).pvalue)
    first = cells[(cells["arm"] == "original") & (cells["context"] == "none")]
    assert first["mcnemar_p"].isna().all()
    assert first["n"].sum() == 36
    assert (first["unparsed_pct"] * [14, 13, 13]).sum() == pytest.approx(400)
    assert (first["truncated_pct"] * [14, 13, 13]).sum() == pytest.approx(400)
    assert (first["hedged_pct"] * [14, 13, 13]).sum() == pytest.approx(200)


def test_what_is_unknown_stays_empty_in_cells() -> None:
    cells = analyze(study(9).drop(columns="n_chars"), bootstrap=0).cells
    for column in ("hedged_pct", "refused_pct", "unparsed_pct", "mean_chars", "truncated_pct"):
        assert cells[column].isna().all()


def test_families_are_strata_where_they_are_known() -> None:
    table = study(30)
    table["family"] = pd.Series(np.where(table["item_id"] % 2, "odd", "even")).where(table["task"] == "t")
    result = analyze(table, bootstrap=0)
    assert set(result.cells["task"]) == {"t:odd", "t:even", "u", "v"}
    assert set(result.effects.loc[result.effects["analysis"] == "task", "term"]) == {"t:odd", "t:even", "u", "v"}


# ---- invariances


def test_order_and_names_of_items_do_not_matter() -> None:
    table = study(40, keep=0.7, models=("a", "b"))
    names = dict(zip(range(40), np.random.default_rng(5).permutation([f"q{i}" for i in range(40)]), strict=True))
    other = table.assign(item_id=table["item_id"].map(names)).sample(frac=1, random_state=1)
    one, two = analyze(table, bootstrap=200), analyze(other, bootstrap=200)
    pd.testing.assert_frame_equal(one.cells, two.cells)
    pd.testing.assert_frame_equal(
        one.effects.sort_values([*EFFECT_COLUMNS[:4], "errors"], ignore_index=True),
        two.effects.sort_values([*EFFECT_COLUMNS[:4], "errors"], ignore_index=True),
        rtol=1e-7, atol=1e-7,
    )  # fmt: skip
    assert one.notes == two.notes


def test_the_same_answers_once_more_add_no_certainty() -> None:
    table = study(60)
    twice = pd.concat([table, table.assign(seed=1)], ignore_index=True)
    one, two = analyze(table), analyze(twice)
    for analysis, term in (("main", "warm"), ("belief", "false"), ("sycophancy", "false")):
        once, again = (pick(result, analysis, term) for result in (one, two))
        assert again["estimate_pp"] == pytest.approx(once["estimate_pp"], abs=1e-6)
        assert again["se_pp"] == pytest.approx(once["se_pp"], rel=0.02)
        once, again = (pick(result, analysis, term, "unclustered") for result in (one, two))
        assert again["se_pp"] == pytest.approx(once["se_pp"] / 2**0.5, rel=1e-4)
        once, again = (pick(result, analysis, term, "bootstrap") for result in (one, two))
        assert again["ci_low_pp"] == pytest.approx(once["ci_low_pp"])
    assert any("2 seeds" in note and "seed 1" in note for note in two.notes)


def test_arms_change_sign_when_they_change_places() -> None:
    table = study(50)
    there, back = analyze(table), analyze(table, reference="warm")
    for errors in ERRORS:
        one, two = pick(there, "main", "warm", errors), pick(back, "main", "original", errors)
        assert one["estimate_pp"] == pytest.approx(-two["estimate_pp"], abs=1e-6)
    pd.testing.assert_series_equal(
        there.cells.loc[there.cells["arm"] == "warm", "mcnemar_p"].reset_index(drop=True),
        back.cells.loc[back.cells["arm"] == "original", "mcnemar_p"].reset_index(drop=True),
    )


def test_a_third_arm_leaves_the_effects_of_the_second_alone() -> None:
    table = study(40, arms=("original", "warm", "cold"))
    both = table[table["arm"] != "cold"]
    one, two = analyze(both).effects, analyze(table).effects
    pd.testing.assert_frame_equal(one, two[two["arm"] == "warm"].reset_index(drop=True))
    assert set(two["arm"]) == {"warm", "cold"}


def test_the_seed_decides_the_bootstrap() -> None:
    table = study(30, prompts=[("none", "none")])
    first, again, other = (analyze(table, seed=seed) for seed in (4, 4, 5))
    pd.testing.assert_frame_equal(first.effects, again.effects)
    one, two = (pick(result, "main", "warm", "bootstrap") for result in (first, other))
    assert one["estimate_pp"] == two["estimate_pp"]
    assert one["se_pp"] != two["se_pp"]


def test_a_reference_with_one_seed_stands_beside_every_seed_of_the_arm() -> None:
    table = study(30, seeds=3)
    single = table[(table["arm"] == "warm") | (table["seed"] == 0)]
    result = analyze(single, bootstrap=100)
    warm = result.cells[result.cells["arm"] == "warm"]
    assert warm["mcnemar_p"].notna().all()
    assert pick(result, "main", "warm", "bootstrap")["n"] == 90
    assert not any("no partner" in note for note in result.notes)


# ---- simulated studies


def test_clustered_and_bootstrap_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = dict.fromkeys(ERRORS, 0)
    rows = []
    for number in range(60):
        table = study(70, gap=0.1, rng=1000 + number, prompts=[(context, "none") for context in CONTEXTS])
        result = analyze(table, seed=number, bootstrap=300)
        for errors in ERRORS:
            row = pick(result, "context_group", "relation", errors)
            held[errors] += row["ci_low_pp"] <= 10 <= row["ci_high_pp"]
        rows.append(pick(result, "context_group", "relation"))
    assert held["clustered"] >= 51  # 95 % of 60 are 57; right intervals fall below 51 about once in 600 times
    assert held["bootstrap"] >= 51
    found = pd.DataFrame(rows)
    assert found["se_pp"].mean() == pytest.approx(found["estimate_pp"].std(), rel=0.3)
    assert found["estimate_pp"].mean() == pytest.approx(10, abs=2)


# ---- tables that are not as they should be


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns=["belief", "seed"]), "belief"),
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.assign(error=t["error"] * 50), "neither 0 nor 1"),
        (lambda t: t.assign(error="yes"), "'yes'"),
        (lambda t: t.assign(seed="x"), "seed"),
        (lambda t: t.assign(n_chars="long"), "n_chars"),
        (lambda t: t.assign(context=None), "empty context"),
        (lambda t: t.assign(context=t["context"].replace("sad", "Sad")), "'Sad'"),
        (lambda t: t.assign(belief="wrong"), "'wrong'"),
        (lambda t: t.assign(model="all"), "'all'"),
        (lambda t: t.assign(arm=t["arm"].replace("original", "base")), "original"),
        (lambda t: pd.concat([t, t.assign(error=1 - t["error"])]), "same prompt"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_table_is_said_in_three_sentences(change: object, words: str) -> None:
    assert callable(change)
    with pytest.raises(UserError) as caught:
        analyze(change(study(6)))
    assert words in caught.value.what
    assert caught.value.why
    assert caught.value.fix


def test_bootstrap_needs_a_hundred_resamples_or_none() -> None:
    with pytest.raises(UserError):
        analyze(study(6), bootstrap=10)
    assert "bootstrap" not in set(analyze(study(30), bootstrap=0).effects["errors"])


def test_the_table_given_is_not_changed() -> None:
    table = study(12)
    before = table.copy(deep=True)
    analyze(table, bootstrap=100)
    pd.testing.assert_frame_equal(table, before)


def test_rows_given_twice_count_once() -> None:
    table = study(30)
    result = analyze(pd.concat([table, table.iloc[:7]]), bootstrap=100)
    assert any(note.startswith("7 rows were given twice") for note in result.notes)
    pd.testing.assert_frame_equal(result.effects, analyze(table, bootstrap=100).effects)


def test_one_arm_has_cells_and_a_note() -> None:
    for arm in ("original", "warm"):
        table = study(12)
        result = analyze(table[table["arm"] == arm])
        assert list(result.effects.columns) == EFFECT_COLUMNS
        assert len(result.effects) == 0
        assert len(result.cells) > 0
        assert "Only the arm" in result.notes[-1]


def test_answers_without_a_verdict_are_counted_not_guessed() -> None:
    table = study(60, prompts=[("none", "none"), ("sad", "none")])
    table.loc[table.index[:10], "error"] = np.nan
    result = analyze(table, bootstrap=100)
    assert "10 of 240 answers have no verdict (original 10, warm 0)" in result.notes[0]
    assert pick(result, "main", "warm")["n"] == 110
    assert pick(result, "main", "warm", "bootstrap")["n"] == 50
    assert any("10 answers of warm and 0 of original have no partner" in note for note in result.notes)
    nothing = analyze(table.assign(error=np.nan))
    assert len(nothing.effects) == 0
    assert nothing.cells["error_pct"].isna().all()


def test_levels_that_one_arm_lacks_are_left_out_with_a_note() -> None:
    table = study(30)
    table = table[~((table["arm"] == "warm") & (table["context"] == "sad"))]
    result = analyze(table, bootstrap=100)
    assert "sad" not in set(result.effects["term"])
    assert any("without sad" in note for note in result.notes)
    only_sad = study(30, prompts=[("sad", "none"), ("angry", "none")])
    result = analyze(only_sad, bootstrap=100)
    assert "main" not in set(result.effects["analysis"])
    assert any("main is left out" in note for note in result.notes)


def test_a_model_with_one_arm_only_stays_out_of_the_pool() -> None:
    table = study(30, models=("a", "b"))
    table = table[~((table["model"] == "b") & (table["arm"] == "original"))]
    result = analyze(table, bootstrap=100)
    alone = analyze(table[table["model"] == "a"], bootstrap=100)
    pd.testing.assert_frame_equal(result.effects, alone.effects)
    assert any(note.startswith("b: ") for note in result.notes)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_a_constant_outcome_has_a_gap_of_zero_and_no_error(outcome: float) -> None:
    result = analyze(study(20).assign(error=outcome), bootstrap=200)
    for errors in ERRORS:
        row = pick(result, "main", "warm", errors)
        assert row["estimate_pp"] == pytest.approx(0, abs=1e-6)
        assert row[["se_pp", "ci_low_pp", "ci_high_pp", "p", "p_fdr"]].isna().all()
    assert any("same outcome in each arm" in note for note in result.notes)


def test_perfect_separation_gives_the_counted_gap_and_no_error() -> None:
    table = study(20)
    result = analyze(table.assign(error=(table["arm"] == "warm").astype(float)), bootstrap=200)
    row = pick(result, "main", "warm")
    assert row["estimate_pp"] == pytest.approx(100, abs=1e-5)
    assert np.isnan(row["se_pp"])


def test_a_stratum_without_errors_enters_with_its_gap_of_zero() -> None:
    table = study(90, prompts=[("none", "none"), ("sad", "none")])
    none = table["task"] == "u"
    whole = analyze(table.assign(error=table["error"].where(~none, 0.0)), bootstrap=200)
    rest = analyze(table[~none], bootstrap=200)
    one, two = pick(whole, "main", "warm"), pick(rest, "main", "warm")
    assert one["estimate_pp"] == pytest.approx(two["estimate_pp"] * 2 / 3, abs=1e-5)
    assert one["se_pp"] == pytest.approx(two["se_pp"] * 2 / 3, rel=0.02)
    one, two = (pick(result, "main", "warm", "unclustered") for result in (whole, rest))
    assert one["se_pp"] == pytest.approx(two["se_pp"] * 2 / 3, rel=1e-4)
    assert pick(whole, "task", "u")["estimate_pp"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(pick(whole, "task", "u")["se_pp"])
    assert pick(whole, "task", "t")["se_pp"] > 0
    assert any("errors only, or none" in note for note in whole.notes)


def test_one_arm_without_errors_keeps_the_estimate_and_warns() -> None:
    table = study(60, prompts=[("none", "none")])
    result = analyze(table.assign(error=table["error"].where(table["arm"] == "warm", 0.0)), bootstrap=200)
    warm = table[table["arm"] == "warm"]
    row = pick(result, "main", "warm")
    assert row["estimate_pp"] == pytest.approx(100 * warm["error"].mean(), abs=1e-5)
    assert any("too narrow" in note for note in result.notes)


def test_an_arm_that_answers_just_like_the_reference_shows_no_gap_and_claims_no_certainty() -> None:
    table = study(40, arms=("original",))
    result = analyze(pd.concat([table, table.assign(arm="warm")], ignore_index=True), bootstrap=200)
    for errors in ("clustered", "bootstrap"):
        row = pick(result, "main", "warm", errors)
        assert row["estimate_pp"] == pytest.approx(0, abs=1e-6)
        assert np.isnan(row["se_pp"])
        assert any(f"no {errors} error for main warm" in note for note in result.notes)


def test_one_item_has_no_clustered_errors() -> None:
    result = analyze(study(1), bootstrap=200)
    row = pick(result, "belief", "false")
    assert np.isfinite(row["estimate_pp"])
    assert np.isnan(row["se_pp"])
    assert np.isnan(pick(result, "belief", "false", "bootstrap")["se_pp"])
    assert any("one item only" in note for note in result.notes)


def test_arm_and_model_that_cannot_be_told_apart_are_left_empty() -> None:
    table = study(40, prompts=[("none", "none")])
    table = table[(table["arm"] == "warm") == (table["task"] == "t")]
    result = analyze(table, bootstrap=200)
    assert np.isnan(pick(result, "main", "warm")["estimate_pp"])
    assert any("cannot be told from the covariates" in note for note in result.notes)


def test_a_model_that_almost_coincides_with_a_task_is_fitted_exactly() -> None:
    table = study(240, models=("a", "b"), prompts=[("none", "none")], gap=0.2)
    few = table["item_id"].isin((0, 1))
    table = table[((table["model"] == "a") == (table["task"] == "t")) | few].reset_index(drop=True)
    estimate, covariance = plain_statsmodels(
        table, "arm + task + model", [np.ones(len(table), dtype=bool)], "clustered"
    )
    row = pick(analyze(table, bootstrap=0), "main", "warm")
    assert row["estimate_pp"] == pytest.approx(100 * estimate[0], abs=1e-6)
    assert row["se_pp"] == pytest.approx(100 * covariance[0, 0] ** 0.5, rel=1e-4)


def test_other_types_of_columns_give_the_same_figures(tmp_path: Path) -> None:
    table = study(30)
    table.loc[table.index[:3], "error"] = np.nan
    table.to_csv(tmp_path / "answers.csv", index=False)
    nullable = table.astype({"error": "Int64", "seed": "Int64", "arm": "category", "item_id": "string"})
    expected = analyze(table, bootstrap=100)
    for other in (pd.read_csv(tmp_path / "answers.csv"), nullable):
        result = analyze(other, bootstrap=100)
        pd.testing.assert_frame_equal(result.effects, expected.effects)
        pd.testing.assert_frame_equal(result.cells, expected.cells)


def test_amplification_is_undefined_where_there_is_no_gap_to_amplify() -> None:
    result = analyze(study(40, gap=0.0, rng=2), bootstrap=200)
    for errors in ERRORS:
        assert np.isnan(pick(result, "amplification", "emotion", errors)["estimate_pp"])
        assert np.isfinite(pick(result, "amplification", "emotion-none", errors)["estimate_pp"])
    assert any("amplification in percent is undefined" in note for note in result.notes)


def test_a_context_of_ones_own_is_a_group_of_its_own() -> None:
    table = study(40, prompts=[("none", "none"), ("tired", "none")])
    result = analyze(table, bootstrap=200)
    assert np.isfinite(pick(result, "context", "tired")["estimate_pp"])
    assert np.isfinite(pick(result, "context_group", "tired")["estimate_pp"])
    assert any("tired" in note for note in result.notes)


@pytest.mark.parametrize("number", range(40))
def test_small_and_ragged_tables_never_fall_over(number: int) -> None:
    random = np.random.default_rng(number)
    table = study(int(random.integers(1, 7)), models=("a", "b"), keep=random.uniform(0.05, 0.6), rng=number, seeds=2)
    table = table[random.random(len(table)) < 0.7].reset_index(drop=True)
    if len(table):
        table.loc[random.random(len(table)) < 0.2, "error"] = np.nan
        result = analyze(table, bootstrap=100)
        effects = result.effects
        bare = effects[effects["estimate_pp"].notna() & effects["se_pp"].isna()]
        for analysis, term, errors in bare[["analysis", "term", "errors"]].itertuples(index=False):
            assert any(f"no {errors} error for" in note and f"{analysis} {term}" in note for note in result.notes)
        for analysis in effects.loc[effects["estimate_pp"].isna(), "analysis"]:
            assert any(analysis in note for note in result.notes)
        known = effects.dropna(subset=["se_pp"])
        assert known[["estimate_pp", "ci_low_pp", "ci_high_pp", "p"]].notna().all(axis=None)
        gaps = effects.loc[~effects["analysis"].isin(("amplification", "sycophancy")), "estimate_pp"].dropna()
        assert (gaps.abs() <= 100.0001).all()


# ---- the smaller functions


def test_mcnemar_and_fdr_are_those_of_the_libraries() -> None:
    better, worse = np.array([0, 3, 10, 0]), np.array([0, 9, 10, 6])
    expected = [1.0, scipy_stats.binomtest(3, 12).pvalue, 1.0, scipy_stats.binomtest(0, 6).pvalue]
    assert tally.mcnemar(better, worse) == pytest.approx(expected)
    p = np.array([0.2, np.nan, 0.01, 0.04, 0.04])
    adjusted = tally.fdr(p)
    assert np.isnan(adjusted[1])
    assert adjusted[[0, 2, 3, 4]] == pytest.approx(scipy_stats.false_discovery_control(p[[0, 2, 3, 4]]))


def test_paired_shift_is_the_paired_t_test() -> None:
    random = np.random.default_rng(0)
    before = random.normal(0, 0.03, 80)
    after = before + random.normal(0.01, 0.01, 80)
    shift = paired_shift(after, before)
    test = scipy_stats.ttest_rel(after, before)
    interval = test.confidence_interval()
    assert shift.p == pytest.approx(test.pvalue)
    assert (shift.ci_low, shift.ci_high) == pytest.approx((interval.low, interval.high))
    assert shift.se == pytest.approx(scipy_stats.sem(after - before))
    resampled = paired_shift(after, before, method="bootstrap")
    assert resampled.ci_low == pytest.approx(shift.ci_low, abs=0.001)
    assert resampled.se == pytest.approx(shift.se, rel=0.1)


def test_paired_shift_counts_what_it_drops() -> None:
    shift = paired_shift([1.0, 2.0, np.nan, 4.0], [0.0, 0.0, 0.0, np.nan])
    assert (shift.estimate, shift.n, shift.n_dropped) == (1.5, 2, 2)
    for scores in ([], [1.0], [1.0, 1.0, 1.0]):
        alone = paired_shift(scores, [0.0] * len(scores))
        assert np.isnan(alone.se)
        assert np.isnan(alone.ci_low)
    with pytest.raises(UserError):
        paired_shift([1.0], [1.0, 2.0])
    with pytest.raises(UserError):
        paired_shift([1.0], [1.0], method="z")


def test_percentile_p_never_falls_below_what_the_draws_can_show() -> None:
    interval = bootstrap.percentile(1.0, np.linspace(0.5, 1.5, 999))
    assert interval.p == pytest.approx(0.002)
    assert interval.low == pytest.approx(0.525, abs=1e-3)
