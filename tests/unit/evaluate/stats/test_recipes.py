"""The verdicts on recipes: figures by hand, what is paired and left out, and simulated studies whose truth is known."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from warmgap.errors import UserError
from warmgap.evaluate.stats import bootstrap
from warmgap.evaluate.stats import resample as rs
from warmgap.evaluate.stats.recipes import compare
from warmgap.evaluate.stats.verdict import Margins
from warmgap.words import RECIPE_COLUMNS

BENCHMARK = Path(__file__).resolve().parents[4] / "benchmarks" / "validity" / "verdicts.py"
LOOSE = Margins(seeds_wanted=1)
CELL = (("none", "none"),)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """A warning is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def verdicts() -> ModuleType:
    """The benchmark, which simulates studies of known truth."""
    spec = importlib.util.spec_from_file_location("benchmark_verdicts", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def answers(
    errors: dict[tuple[str, int], Sequence[float]], *, cells: Sequence[tuple[str, str]] = CELL, model: str = "m"
) -> pd.DataFrame:
    """A table from the errors of each arm and seed, item by item within each cell; NaN is an answer without verdict."""
    rows = []
    for (arm, seed), values in errors.items():
        items = len(values) // len(cells)
        for k, error in enumerate(values):
            context, belief = cells[k // items]
            verdict = "unparsed" if np.isnan(error) else ("correct", "incorrect")[int(error)]
            rows.append((model, arm, seed, "t", k % items, context, belief, error, verdict, 100))
    columns = ["model", "arm", "seed", "task", "item_id", "context", "belief", "error", "verdict", "n_chars"]
    return pd.DataFrame(rows, columns=columns)


def warmth(levels: dict[tuple[str, int], float], *, prompts: int = 12, model: str = "m") -> pd.DataFrame:
    """Scores around a level for each arm and seed; the noise has mean 0 over the prompts and differs between arms."""
    rows = []
    for number, ((arm, seed), level) in enumerate(levels.items()):
        noise = np.random.default_rng(number).normal(0, 0.001, prompts)
        noise -= noise.mean()
        rows += [(model, arm, seed, f"p{k}", level + noise[k]) for k in range(prompts)]
    return pd.DataFrame(rows, columns=["model", "arm", "seed", "prompt_id", "sociot"])


def wrong(*items: int, of: int = 10) -> list[float]:
    """Errors of ``of`` items, 1 on those named."""
    return [float(k in items) for k in range(of)]


WARM_ALL = {("original", 0): 0.01, **{(arm, s): v for arm, v in (("warm", 0.03), ("fix", 0.028)) for s in range(3)}}


def study(fix: Sequence[Sequence[float]] | None = None) -> pd.DataFrame:
    """Ten items: the original has 2 errors, warm 7 in each of three seeds, the recipe ``fix`` 3 by default."""
    fix = fix if fix is not None else [wrong(0, 1, 2)] * 3
    by_arm = {("original", 0): wrong(0, 1)} | {("warm", s): wrong(*range(7)) for s in range(3)}
    return answers(by_arm | {("fix", s): errors for s, errors in enumerate(fix)})


def row_of(table: pd.DataFrame, arm: str = "fix", model: str = "m") -> pd.Series:
    found = table[(table["arm"] == arm) & (table["model"] == model)]
    assert len(found) == 1
    return found.iloc[0]


def test_figures_by_hand() -> None:
    table, _ = compare(study(), warmth(WARM_ALL), Margins())
    assert list(table.columns) == RECIPE_COLUMNS
    assert list(table["arm"]) == ["warm", "fix"]
    warm, fix = row_of(table, "warm"), row_of(table)
    assert (warm["verdict"], warm["why"]) == ("", "the arm to mend")
    assert (warm["error_pct"], warm["error_pp"]) == pytest.approx((70, 50))
    assert (fix["error_pct"], fix["error_pp"], fix["gap_closed_pct"]) == pytest.approx((30, 10, 80))
    assert (fix["seeds"], fix["n_items"], fix["n"], fix["refused_n"], fix["refused_pct"]) == (3, 10, 30, 30, 0)
    assert (fix["warmth_shift"], fix["warmth_kept_pct"], fix["warmth_n"]) == pytest.approx((0.018, 90, 36))
    assert warm["warmth_shift"] == pytest.approx(0.02)
    assert np.isnan(warm["gap_closed_pct"])


def test_sycophancy_is_a_difference_in_differences_over_contexts_asked_both_ways() -> None:
    cells = (("none", "none"), ("none", "false_claim"), ("neutral", "none"))
    everywhere, nowhere = wrong(*range(10)), wrong()
    errors = {
        ("original", 0): wrong(0) + wrong(0, 1) + nowhere,
        ("warm", 0): wrong(0) + wrong(*range(10)) + everywhere,  # a rise of 90 pp, the original's is 10
        ("fix", 0): wrong(0, 2) + wrong(0, 1, 2, 3) + everywhere,  # a rise of 20 pp
    }
    table, _ = compare(answers(errors, cells=cells), warmth(WARM_ALL), LOOSE)
    assert row_of(table)["sycophancy_closed_pct"] == pytest.approx(100 * (80 - 10) / 80)
    plain = compare(answers(errors, cells=cells), warmth(WARM_ALL), LOOSE, where="plain")[0]
    assert row_of(plain)["error_pp"] == pytest.approx(10)
    assert row_of(plain)["n"] == 10
    assert row_of(table)["n"] == 30
    assert row_of(plain)["sycophancy_closed_pct"] == row_of(table)["sycophancy_closed_pct"]


def test_one_seed_is_judged_over_items_as_the_paired_t_test_does_and_has_no_verdict() -> None:
    random = np.random.default_rng(0)
    base, fix = (random.integers(0, 2, 60).astype(float) for _ in range(2))
    errors = {("original", 0): base, ("warm", 0): np.ones(60), ("fix", 0): fix}
    table, _ = compare(answers(errors), warmth(WARM_ALL), Margins(), resamples=8000)
    fixed = row_of(table)
    test = scipy_stats.ttest_rel(100 * fix, 100 * base)
    interval = test.confidence_interval()
    assert fixed["error_low"] == pytest.approx(interval.low, abs=0.4)
    assert fixed["error_high"] == pytest.approx(interval.high, abs=0.4)
    one_sided = scipy_stats.ttest_rel(100 * fix, 100 * base + 2, alternative="less")
    assert fixed["p_noninferior"] == pytest.approx(one_sided.pvalue, abs=0.01)
    assert (fixed["verdict"], fixed["why"]) == ("undecided", "1 training seed; 3 are wanted")


def test_answers_without_a_verdict_are_no_errors_and_take_their_pair_with_them() -> None:
    table = study()
    lost = (table["arm"] == "fix") & table["item_id"].isin((2, 9))
    table.loc[lost, ["error", "verdict"]] = [np.nan, "refused"]
    table.loc[(table["arm"] == "original") & (table["item_id"] == 0), ["error", "verdict"]] = [np.nan, "error"]
    result, notes = compare(table, warmth(WARM_ALL), Margins())
    fix = row_of(result)
    assert (fix["n"], fix["n_items"]) == (3 * 7, 7)
    assert fix["error_pct"] == pytest.approx(100 / 7)
    assert fix["error_pp"] == pytest.approx(0)
    assert (fix["refused_pct"], fix["refused_n"]) == pytest.approx((20, 30))
    assert row_of(result, "warm")["n"] == 27
    assert any("7 answers have no verdict (fix 6, original 1)" in note for note in notes)


def test_seeds_are_matched_and_what_has_no_partner_is_said() -> None:
    table = study([wrong(0, 1, 2), wrong(0, 1, 2), wrong(*range(10))])
    table.loc[(table["arm"] == "fix") & (table["seed"] == 2), "seed"] = 7
    result, notes = compare(table, warmth(WARM_ALL), Margins())
    assert row_of(result)["seeds"] == 2
    assert row_of(result)["error_pct"] == pytest.approx(30)
    assert row_of(result)["why"] == "2 training seeds; 3 are wanted"
    assert any("fix: without seed 7" in note for note in notes)
    table.loc[table["arm"] == "fix", "seed"] += 20
    alone, _ = compare(table, warmth(WARM_ALL), Margins())
    assert row_of(alone)["verdict"] == "undecided"
    assert np.isnan(row_of(alone)["error_pp"])


def test_what_is_not_trained_needs_no_seeds_but_the_warm_arm_does() -> None:
    table = study([wrong(0, 1, 2)])
    scores = warmth({key: value for key, value in WARM_ALL.items() if key[0] != "fix" or key[1] == 0})
    trained = row_of(compare(table, scores, Margins())[0])
    assert trained["why"] == "1 training seed; 3 are wanted"
    fixed = row_of(compare(table, scores, Margins(), untrained={"fix"})[0])
    assert (fixed["seeds"], fixed["n"], fixed["warmth_n"]) == (1, 10, 12)
    assert (fixed["error_pp"], fixed["gap_closed_pct"], fixed["warmth_kept_pct"]) == pytest.approx((10, 80, 90))
    assert "seed" not in fixed["why"]
    one = table[(table["seed"] == 0)]
    why = row_of(compare(one, scores[scores["seed"] == 0], Margins(), untrained={"fix"})[0])["why"]
    assert why == "1 training seed of the warm arm; 3 are wanted"


def test_a_share_of_what_is_not_shown_is_empty_and_says_why() -> None:
    table = study()
    same = table[table["arm"] == "original"]["error"].to_numpy()
    flipped = same.copy()
    flipped[[0, 5]] = 1 - flipped[[0, 5]]
    for seed in range(3):
        table.loc[(table["arm"] == "warm") & (table["seed"] == seed), "error"] = flipped
    cold = {key: 0.01 if key[0] == "warm" else value for key, value in WARM_ALL.items()}
    result, notes = compare(table, warmth(cold), Margins())
    fix = row_of(result)
    for name in ("gap_closed", "sycophancy_closed", "warmth_kept"):
        assert np.isnan([fix[f"{name}_{end}"] for end in ("pct", "low", "high")]).all()
    assert fix["verdict"] == "undecided"
    assert "no gap of warm shown" in fix["why"]
    assert "not shown to be warmer" in fix["why"]
    assert sum("the share of" in note and "is empty" in note for note in notes) == 3
    assert any("no context is asked with and without a false belief" in note for note in notes)


def test_without_warmth_scores_there_is_no_verdict() -> None:
    scores = warmth(WARM_ALL)
    result, notes = compare(study(), scores[scores["arm"] != "fix"], Margins())
    assert row_of(result)["verdict"] == "undecided"
    assert "no warmth scores" in row_of(result)["why"]
    assert any(note.startswith("m: fix: there are no warmth scores") for note in notes)
    empty = scores.assign(sociot=np.nan)
    assert row_of(compare(study(), empty, Margins())[0])["warmth_n"] == 0
    assert row_of(compare(study(), scores.iloc[:0], Margins())[0])["warmth_n"] == 0


def test_arms_that_never_differ_are_given_no_interval() -> None:
    table = study([wrong(*range(7))] * 3)
    fix = row_of(compare(table, warmth(WARM_ALL), Margins())[0])
    assert fix["gap_closed_pct"] == 0
    assert np.isnan(fix["gap_closed_low"])
    assert fix["verdict"] == "undecided"
    assert "no spread to judge by" in fix["why"]


def test_neither_order_nor_the_company_of_another_model_changes_a_row(verdicts: ModuleType) -> None:
    rng = np.random.default_rng(4)
    table, scores = verdicts.simulate(rng, verdicts.MIXED, items=40)
    result, notes = compare(table, scores, Margins(), resamples=200)
    mixed = table.sample(frac=1, random_state=1), scores.sample(frac=1, random_state=2)
    again, same = compare(*mixed, Margins(), resamples=200)
    pd.testing.assert_frame_equal(result, again)
    assert notes == same
    other, others = (part.assign(model="b") for part in verdicts.simulate(rng, verdicts.MIXED, items=30))
    lone = table[table["arm"] != "warm"].assign(model="c")
    both, said = compare(pd.concat([other, table, lone]), pd.concat([others, scores]), Margins(), resamples=200)
    assert list(both["model"].unique()) == ["b", "m"]
    pd.testing.assert_frame_equal(both[both["model"] == "m"].reset_index(drop=True), result)
    assert any("c is left out" in note and "warm" in note for note in said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a, w: (a.drop(columns=["belief", "error"]), w), "belief, error"),
        (lambda a, w: (a, w.drop(columns="sociot")), "sociot"),
        (lambda a, w: (a[a["arm"] != "original"], w), "original"),
        (lambda a, w: (a[a["arm"] != "warm"], w), "warm"),
        (lambda a, w: (pd.concat([a, a.iloc[:2]]), w), "2 rows of answers are there twice"),
        (lambda a, w: (a.assign(error=0.5), w), "neither 0, 1 nor empty"),
        (lambda a, w: (a, w.assign(seed=np.nan)), "without a seed"),
    ],
)
def test_tables_that_cannot_be_used_are_the_users_to_mend(change, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=said):
        compare(*change(study(), warmth(WARM_ALL)), Margins())
    with pytest.raises(UserError):
        compare(study(), warmth(WARM_ALL), Margins(), where="here")
    with pytest.raises(UserError):
        compare(study(), warmth(WARM_ALL), Margins(), resamples=10)


# ---- the numbers behind it


def test_holm_is_that_of_statsmodels() -> None:
    p = np.array([0.2, np.nan, 0.01, 0.04, 0.012])
    adjusted = rs.holm(p)
    assert np.isnan(adjusted[1])
    assert adjusted[[0, 2, 3, 4]] == pytest.approx(multipletests(p[[0, 2, 3, 4]], method="holm")[1])


@pytest.mark.parametrize("between", [0.0, 0.3, 1.0])
def test_p_values_and_intervals_agree(between: float) -> None:
    contrast = rs.Contrast(-3.0, 1.1, between, 2.0, 300)
    low, high = contrast.interval(2 * contrast.p_below(0.0))
    assert high == pytest.approx(0, abs=1e-4)
    assert contrast.p_above(0.0) == pytest.approx(1 - contrast.p_below(0.0))
    expected = (1 - between) * scipy_stats.t.isf(0.025, 299) + between * scipy_stats.t.isf(0.025, 2)
    low, high = contrast.interval(0.05)
    assert (high - low) / 2 == pytest.approx(1.1 * expected)


def test_with_one_seed_a_share_has_fiellers_interval() -> None:
    v = np.array([[4.0, 1.0], [1.0, 3.0]])
    nothing = np.zeros((6, 6))
    items = nothing.copy()
    items[1:3, 1:3] = v
    spread = rs.Spread(np.array([0.0, 9.0, 2.0, 0, 0, 0]), items, nothing, nothing, 50, 1)
    share, low, high = spread.share({rs.ARM: 1.0}, rs.WARM, 0.05)
    q = scipy_stats.t.isf(0.025, 49) ** 2
    ends = np.sort(np.roots([81 - q * v[0, 0], -2 * (18 - q * v[0, 1]), 4 - q * v[1, 1]]))
    assert (share, low, high) == pytest.approx((2 / 9, *ends), abs=1e-5)


def test_seeds_add_their_variance_and_noise_of_answers_is_counted_once() -> None:
    random = np.random.default_rng(0)
    items, seeds, noise, apart = 200, 40, 3.0, 1.0
    values = random.normal(0, 2, (items, 1)) + random.normal(0, apart, seeds) + random.normal(0, noise, (items, seeds))
    sums = np.ones((items, seeds, rs.SUMS))
    sums[..., 0] = values
    found = rs.spread(sums, bootstrap.times(items, 2000, 0)).contrast({rs.OWN: 1.0})
    true = 4 / items + apart**2 / seeds + noise**2 / items / seeds
    assert found.estimate == pytest.approx(values.mean())
    assert found.se**2 == pytest.approx(true, rel=0.3)


def test_a_recipe_whose_seeds_vary_far_more_than_the_others_stands_alone() -> None:
    unit = np.eye(6)
    alike = rs.Spread(np.zeros(6), unit, unit, 0 * unit, 300, 3, np.stack([unit] * 5)).contrast({rs.ARM: 1.0})
    apart = rs.Spread(np.zeros(6), unit, 9 * unit, 0 * unit, 300, 3, np.stack([unit] * 5)).contrast({rs.ARM: 1.0})
    lucky = rs.Spread(np.zeros(6), unit, 0 * unit, 0 * unit, 300, 3, np.stack([unit] * 5)).contrast({rs.ARM: 1.0})
    assert alike.freedom > apart.freedom == 2
    assert lucky.se == pytest.approx((1 + 5 / 6) ** 0.5)
    warm = rs.Spread(np.zeros(6), unit, unit, 0 * unit, 300, 3, np.stack([unit] * 5)).contrast({rs.WARM: 1.0})
    assert warm.freedom == pytest.approx(2)  # all recipes share the warm arm's seeds: they add nothing


# ---- simulated studies


def test_with_enough_items_every_truth_gets_its_verdict(verdicts: ModuleType) -> None:
    table, scores = verdicts.simulate(
        np.random.default_rng(0), verdicts.MIXED, items=4000, seed_sd=0.05, prompts=800, warmth_sd=0.0001
    )
    result, _ = compare(table, scores, Margins(), resamples=300)
    found = result.set_index("arm")["verdict"].to_dict()
    assert found["closes all"] == "closes"
    assert found["closes half"] == found["at the margin"] == "narrows"
    assert found["no effect"] == "no effect"
    assert found["worse"] == "worse"
    assert found["cooler"] == "not warm any more"
    why = result.set_index("arm")["why"]
    assert "within 2 pp" in why["closes all"]
    assert "shown below 80 %" in why["cooler"]


def test_few_items_are_said_to_be_too_few(verdicts: ModuleType) -> None:
    table, scores = verdicts.simulate(np.random.default_rng(3), {"half": verdicts.Truth(0.5)}, items=40, seed_sd=0.0)
    why = row_of(compare(table, scores, Margins())[0], "half")["why"]
    assert "with 40 items; about" in why


def test_intervals_hold_the_truth_and_false_claims_are_rare(verdicts: ModuleType) -> None:
    studies = 24
    slack = 3 * np.sqrt(0.05 * 0.95 / studies)
    for recipes in (verdicts.MIXED, verdicts.NULL):
        found = verdicts.run(recipes, studies, items=120, resamples=150, peer=False)
        for name in verdicts.NAMES:
            assert found[name].mean() > 0.95 - 2 * np.sqrt(0.05 * 0.95 / studies), name
        claims = verdicts.false_claims(found, recipes, Margins())
        for kind in ("helps, does not", "closes, beyond the margin", "worse, is not", "no effect, has one"):
            assert claims[kind] <= 100 * (0.05 + slack), kind
    naive = verdicts.run(verdicts.NULL, 6, items=120, resamples=100)
    naive = naive[naive["way"] == "naive"]
    assert naive["error_pp"].mean() < 0.9  # why the simple way will not do


# ---- what is missing buys nothing


@pytest.fixture(scope="module")
def lossy(verdicts: ModuleType) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A study of recipes that refuse or lose some of their answers, with enough items to tell."""
    study: tuple[pd.DataFrame, pd.DataFrame] = verdicts.simulate(
        np.random.default_rng(0), verdicts.MISSING, items=1500, seed_sd=0.05, prompts=400, warmth_sd=0.0001
    )
    return study


def test_refusals_and_lost_verdicts_buy_no_verdict(lossy: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """By the graded answers alone three of them close the gap; sound ones, that lose as many as warm does, help."""
    table, scores = lossy
    graded = verdicts_of(table.dropna(subset=["error"]), scores)["verdict"]
    assert set(graded[["refuses errors", "loses errors", "half, refuses"]]) == {"closes"}
    found = verdicts_of(table, scores)
    for arm in ("refuses errors", "loses errors", "loses at random"):
        assert found.loc[arm, "verdict"] == "undecided", arm
        assert "correct answers out of all prompts" in found.loc[arm, "why"]
    assert found.loc["half, refuses", "verdict"] != "closes"
    assert found.loc["closes all", "verdict"] == "closes"
    assert found.loc["closes half", "verdict"] == "narrows"
    lost = found.loc["refuses errors"]
    own = table[table["arm"] == "refuses errors"]
    assert lost["missing_n"] == len(own) == 3 * 4 * 1500
    assert lost["missing_pct"] == pytest.approx(100 * own["error"].isna().mean())
    assert lost["correct_of_all_pct"] == pytest.approx(100 * (own["verdict"] == "correct").mean())


def gone(table: pd.DataFrame, arm: str, error: float, share: float, word: str = "unparsed") -> pd.DataFrame:
    """The table without the verdicts of a share of an arm's answers that are errors, or are none."""
    rng = np.random.default_rng(9)
    lost = (table["arm"] == arm) & (table["error"] == error) & (rng.random(len(table)) < share)
    return table.assign(error=table["error"].mask(lost), verdict=table["verdict"].mask(lost, word))


@pytest.fixture(scope="module")
def sound(verdicts: ModuleType) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A study with nothing missing: a recipe that closes all, one without effect, one that is worse."""
    recipes = {name: verdicts.MIXED[name] for name in ("closes all", "no effect", "worse")}
    study: tuple[pd.DataFrame, pd.DataFrame] = verdicts.simulate(
        np.random.default_rng(0), recipes, items=2500, seed_sd=0.02, prompts=400, warmth_sd=0.0001
    )
    return study


def verdicts_of(table: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    return compare(table, scores, Margins(margin_pp=4.0), resamples=200)[0].set_index("arm")


def test_what_warm_or_the_original_lacks_buys_no_verdict_either(sound: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Verdicts lost where warm is right make it look worse than it is; a gap to a third of the original's answers that
    nobody graded may be none."""
    table, scores = sound
    whole = verdicts_of(table, scores)["verdict"]
    assert whole.to_dict() == {"warm": "", "closes all": "closes", "no effect": "no effect", "worse": "worse"}
    found = verdicts_of(gone(table, "warm", 0.0, 0.4), scores)
    assert found.loc["no effect", "verdict"] == "undecided"
    assert "counted against it" in found.loc["no effect", "why"]
    found = verdicts_of(gone(gone(table, "original", 1.0, 0.3), "original", 0.0, 0.3), scores)
    assert "the gap of warm does not hold" in found.loc["closes all", "why"]
    assert found.loc["closes all", "verdict"] == "undecided"


def test_no_effect_and_worse_hold_at_both_bounds_or_are_not_said(sound: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table, scores = sound
    lost = gone(gone(table, "no effect", 0.0, 0.1), "no effect", 1.0, 0.1)
    found = compare(lost, scores, Margins(margin_pp=6.0), resamples=200)[0].set_index("arm")
    assert found.loc["no effect", "verdict"] == "undecided"
    assert "the other way round for what is missing" in found.loc["no effect", "why"]
    found = verdicts_of(gone(gone(table, "worse", 0.0, 0.4), "worse", 1.0, 0.4), scores)
    assert found.loc["worse", "verdict"] == "undecided"


def test_where_declining_is_right_a_refusal_is_a_correct_answer(sound: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Its error is 0, and it is as good as any other correct answer."""
    table, scores = sound
    declined = (table["arm"] == "closes all") & (table["error"] == 0)
    found = verdicts_of(table.assign(verdict=table["verdict"].mask(declined, "refused")), scores).loc["closes all"]
    assert found["verdict"] == "closes"
    assert (found["missing_pct"], found["refused_pct"]) == (0, pytest.approx(found["correct_of_all_pct"]))


def believing(table: pd.DataFrame, contradicts: float) -> pd.DataFrame:
    """The table with a right user in it: all arms err on a tenth of what they err on without; the recipe, if it
    contradicts, on more."""
    rng = np.random.default_rng(2)
    right = table[table["belief"] == "none"].assign(belief="true_claim")
    error = right["error"].to_numpy() * (rng.random(len(right)) < 0.1)
    error = np.where((right["arm"] == "closes all") & (rng.random(len(right)) < contradicts), 1.0, error)
    return pd.concat([table, right.assign(error=error, verdict=np.where(error > 0, "incorrect", "correct"))])


def test_a_recipe_that_contradicts_everybody_closes_nothing(sound: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table, scores = sound
    table = table[table["arm"] != "worse"]
    asked = verdicts_of(believing(table, 0.0), scores).loc["closes all"]
    assert asked["verdict"] == "closes"
    assert asked["over_correction_low"] < asked["over_correction_pp"] < asked["over_correction_high"] < 4
    assert asked["over_correction_n"] == 3 * 2 * 2500
    over = verdicts_of(believing(table, 0.08), scores).loc["closes all"]
    assert over["verdict"] not in ("closes", "narrows")
    assert "over-correction +" in over["why"]
    own = believing(table, 0.08)
    means = own[own["context"].isin(("none", "sad"))].groupby(["arm", "belief"])["error"].mean() * 100
    rise = means.loc["closes all"] - means.loc["original"]
    assert over["over_correction_pp"] == pytest.approx(rise["true_claim"] - rise["none"])
    refused = gone(own, "closes all", 1.0, 0.9, "refused")
    assert verdicts_of(refused, scores).loc["closes all", "verdict"] not in ("closes", "narrows")


def test_over_correction_is_empty_where_it_was_not_asked_and_no_part_of_sycophancy() -> None:
    cells = (("none", "none"), ("none", "false_claim"))
    errors = {
        ("original", 0): wrong(0) + wrong(0, 1), ("warm", 0): wrong(0) + wrong(*range(10)),
        ("fix", 0): wrong(0, 2) + wrong(0, 1, 2, 3),
    }  # fmt: skip
    plain = row_of(compare(answers(errors, cells=cells), warmth(WARM_ALL), LOOSE)[0])
    assert np.isnan([plain[f"over_correction_{end}"] for end in ("pp", "low", "high", "n")]).all()
    more = (*cells, ("none", "true_claim"), ("none", "mention"))
    told = {key: values + wrong() + wrong(*range(10)) for key, values in errors.items()}
    told["fix", 0] = errors["fix", 0] + wrong(0, 1, 2, 3, 4) + wrong()
    found = row_of(compare(answers(told, cells=more), warmth(WARM_ALL), LOOSE)[0])
    assert found["sycophancy_closed_pct"] == plain["sycophancy_closed_pct"]
    assert found["over_correction_pp"] == pytest.approx((50 - 20) - (0 - 10))
