"""The dose–response: points by hand, coverage on simulated sweeps, the verdict on the knee, figure and table."""

from __future__ import annotations

import io
import itertools
import json
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from rich.console import Console
from scipy.special import ndtri

from warmgap.errors import UserError
from warmgap.evaluate.report.figures.dose_figure import (
    Y_LABELS,
    caption,
    figure_of,
    read_dose,
    write_dose_figure,
)
from warmgap.evaluate.report.terminal.dose_table import print_dose
from warmgap.evaluate.stats import bootstrap
from warmgap.evaluate.stats.dose import CURVE, FITS, POINTS, Dose, dose, fits, points
from warmgap.evaluate.stats.dose import fit as dose_fit
from warmgap.evaluate.stats.dose.fit import Cloud, Fit, covariance

Vector = npt.NDArray[np.float64]
Truth = Callable[[Vector], Vector]
TOP = 0.016  # SocioT shift of the full arm
SETTINGS: dict[str, dict[object, float]] = {
    "strength": {0.2: 0.2, 0.4: 0.45, 0.6: 0.65, 0.8: 0.85, 1.0: 1.0},
    "epoch": {0.5: 0.35, 1: 0.7, 1.5: 0.9, 2: 1.0},
    "scale": {0.25: 0.3, 0.5: 0.55, 0.75: 0.8, 1.0: 1.0},
    "prompt": {"kind": 0.25, "warm": 0.6, "very warm": 0.95},
}


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """A warning is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def flat(x: Vector) -> Vector:
    return 0 * x


def line(x: Vector) -> Vector:
    """5 pp per 0.01 SocioT."""
    return 500 * x


def knee(x: Vector) -> Vector:
    """Nothing up to 0.008, then 18.75 pp per 0.01."""
    return 1875 * np.maximum(0, x - 0.008)


def errors_of(rng: np.random.Generator, effects: Vector, items: int) -> Vector:
    """Errors (0/1) of the original and of arms that err more by ``effects`` (pp), (items, 1 + arms)."""
    chance, ease = rng.uniform(0.1, 0.5, (items, 1)), rng.normal(0, 0.7, (items, 1))
    latent = ease + math.sqrt(0.51) * rng.normal(size=(items, 1 + len(effects)))
    threshold = ndtri(np.clip(chance + np.array([0.0, *effects]) / 100, 1e-4, 1 - 1e-4))
    return (latent < threshold).astype(np.float64)


def scores_of(rng: np.random.Generator, shifts: Vector, prompts: int) -> Vector:
    """SocioT of the original and of arms warmer by ``shifts``, (prompts, 1 + arms); prompts differ in how they move."""
    all_shifts = np.array([0.0, *shifts])
    own = rng.normal(1, 0.3, (prompts, 1))
    return rng.normal(0.012, 0.02, (prompts, 1)) + all_shifts * own + rng.normal(0, 0.008, (prompts, len(all_shifts)))


def sweep(
    truth: Truth = line, *, items: int = 300, prompts: int = 100, rng: int = 0, models: Sequence[str] = ("m",),
    seeds: int = 1, dials: Sequence[str] = tuple(SETTINGS), times: dict[str, float] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Answers, warmth and dials of a simulated sweep; full strength, last epoch and full scale are the arm ``warm``.

    ``times`` multiplies the cost of a dial's own arms.
    """
    random = np.random.default_rng([7, rng])
    rows, made = [], {}
    for dial in dials:
        for order, (setting, share) in enumerate(SETTINGS[dial].items()):
            arm = "warm" if share == 1 else f"{dial}_{setting}"
            rows.append((arm, dial, setting, order))
            made[arm] = (share * TOP, float(truth(np.array(share * TOP))) * (times or {}).get(dial, 1.0))
    shifts, effects = (np.array(values) for values in zip(*made.values(), strict=True))
    answers, warmth = [], []
    for model, seed in itertools.product(models, range(seeds)):
        error, score = errors_of(random, effects, items), scores_of(random, shifts, prompts)
        for place, arm in enumerate(("original", *made)):
            answers.append(
                pd.DataFrame({"model": model, "arm": arm, "seed": seed, "task": "t", "item_id": np.arange(items),
                              "context": "none", "belief": "none", "error": error[:, place]})
            )  # fmt: skip
            own = {"model": model, "arm": arm, "seed": seed, "prompt_id": np.arange(prompts)}
            warmth.append(pd.DataFrame({**own, "sociot": score[:, place]}))
    table = pd.DataFrame(rows, columns=["arm", "dial", "setting", "order"])
    return pd.concat(answers, ignore_index=True), pd.concat(warmth, ignore_index=True), table


def pick(found: Dose, dial: str, shape: str, parameter: str) -> pd.Series[Any]:
    """The one row of the fits that is meant."""
    f = found.fits
    some = f[(f["dial"] == dial) & (f["shape"] == shape) & (f["parameter"] == parameter)]
    assert len(some) == 1
    return some.iloc[0]


def simulated(truth: Truth, number: int, items: int = 400, prompts: int = 150, resamples: int = 300) -> Fit | None:
    """The fit of ten arms with ``truth``, without tables."""
    rng = np.random.default_rng([11, number])
    x = np.linspace(TOP / 10, TOP, 10)
    error, score = errors_of(rng, truth(x), items), scores_of(rng, x, prompts)
    y_items, x_prompts = 100 * (error[:, 1:] - error[:, :1]), 100 * (score[:, 1:] - score[:, :1])
    y_moves = bootstrap.means(y_items, np.ones_like(y_items), resamples, number) - y_items.mean(axis=0)
    x_moves = bootstrap.means(x_prompts, np.ones_like(x_prompts), resamples, number + 1) - x_prompts.mean(axis=0)
    x_cov, y_cov = covariance(x_moves, prompts, np.zeros(10)), covariance(y_moves, items, np.full(10, 100 / items))
    return dose_fit.fit(Cloud(x_prompts.mean(axis=0), y_items.mean(axis=0), x_moves, y_moves, x_cov, y_cov))


def covered(draws: Vector, truth: float) -> bool:
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return bool(low <= truth <= high)


@pytest.fixture(scope="module")
def swept() -> Dose:
    return dose(*sweep(rng=1), resamples=300)


@pytest.fixture(scope="module")
def bent() -> Dose:
    return dose(*sweep(knee, items=1500, prompts=300, rng=2), resamples=300)


# ---- points


def by_hand() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Four items, three prompts, one arm under two dials: two items turn wrong, one turns right."""
    error = {"original": (0, 0, 1, 0), "warm": (1, 1, 0, 0)}
    score = {"original": (0.01, 0.02, 0.03), "warm": (0.03, 0.03, 0.06)}
    answers = pd.DataFrame(
        [
            ("m", arm, 0, "t", item, "none", "none", wrong)
            for arm, all_ in error.items()
            for item, wrong in enumerate(all_)
        ],
        columns=["model", "arm", "seed", "task", "item_id", "context", "belief", "error"],
    )
    warmth = pd.DataFrame(
        [("m", arm, 0, prompt, value) for arm, all_ in score.items() for prompt, value in enumerate(all_)],
        columns=["model", "arm", "seed", "prompt_id", "sociot"],
    )
    dials = pd.DataFrame({"arm": "warm", "dial": ["strength", "epoch"], "setting": [1.0, "two"], "order": [0, 0]})
    return answers, warmth, dials


def test_points_are_paired_differences_and_an_arm_stands_under_each_of_its_dials() -> None:
    table = points(*by_hand(), resamples=100)
    assert list(table.columns) == POINTS
    assert list(table["dial"]) == ["strength", "epoch"]
    assert list(table["setting"]) == [1.0, "two"]
    for row in table.to_dict("records"):
        assert row["error_pp"] == pytest.approx(25)
        assert row["warmth_shift"] == pytest.approx(0.02)
        assert (row["n"], row["n_items"], row["warmth_n"], row["seeds"]) == (4, 4, 3, 1)
        assert row["error_low"] <= 25 <= row["error_high"]


def test_answers_without_a_verdict_and_prompts_without_a_score_are_left_out() -> None:
    answers, warmth, dials = by_hand()
    answers.loc[(answers["arm"] == "original") & (answers["item_id"] == 0), "error"] = np.nan
    warmth.loc[(warmth["arm"] == "warm") & (warmth["prompt_id"] == 2), "sociot"] = np.nan
    row = points(answers, warmth, dials, resamples=100).iloc[0]
    assert (row["n"], row["n_items"], row["warmth_n"]) == (3, 3, 2)
    assert row["error_pp"] == pytest.approx(0)
    assert row["warmth_shift"] == pytest.approx(0.015)


def test_seeds_weigh_the_same_whatever_their_number_of_answers() -> None:
    answers, warmth, dials = by_hand()
    warm = answers["arm"] == "warm"
    second = answers[warm].assign(seed=1, error=1.0).iloc[:2]
    more = warmth[warmth["arm"] == "warm"].assign(seed=1, sociot=lambda t: t["sociot"] + 0.02)
    row = points(pd.concat([answers, second]), pd.concat([warmth, more]), dials, resamples=100).iloc[0]
    assert row["seeds"] == 2
    assert row["error_pp"] == pytest.approx((25 + 100) / 2)
    assert row["warmth_shift"] == pytest.approx((0.02 + 0.04) / 2)
    assert (row["n"], row["n_items"], row["warmth_n"]) == (6, 4, 3)


def test_settings_stand_in_their_order_whatever_the_order_of_rows(swept: Dose) -> None:
    answers, warmth, dials = sweep(rng=1)
    shuffled = points(answers.sample(frac=1, random_state=1), warmth.sample(frac=1, random_state=2), dials[::-1],
                      resamples=300)  # fmt: skip
    for dial, some in shuffled.groupby("dial"):
        own = swept.points[swept.points["dial"] == dial].reset_index(drop=True)
        pd.testing.assert_frame_equal(some.reset_index(drop=True), own)


def test_the_original_under_a_dial_is_a_point_at_the_origin_and_no_point_of_a_fit() -> None:
    answers, warmth, dials = sweep(dials=["strength"])
    whole = dose(answers, warmth, dials, resamples=100)
    start = pd.DataFrame({"arm": ["original"], "dial": ["strength"], "setting": [0.0], "order": [-1]})
    with_origin = dose(answers, warmth, pd.concat([dials, start]), resamples=100)
    first = with_origin.points.iloc[0]
    assert (first["arm"], first["error_pp"], first["warmth_shift"]) == ("original", 0, 0)
    assert np.isnan(first["error_low"])
    pd.testing.assert_frame_equal(whole.fits, with_origin.fits)


# ---- fits


def test_points_exactly_on_a_line_give_its_slope() -> None:
    x, still = np.array([0.4, 0.8, 1.2, 1.6]), np.random.default_rng(0).normal(size=(200, 4))
    cloud = Cloud(x, 5 * x, 0.001 * still, 0.1 * still[::-1], 1e-6 * np.eye(4), 0.01 * np.eye(4))
    found = dose_fit.fit(cloud)
    assert found is not None
    assert found.line.slope == pytest.approx(5, rel=1e-4)
    assert found.misfit == pytest.approx(0, abs=1e-3)
    assert found.misfit_p > 0.9
    assert found.knee_p > 0.2


def test_points_exactly_on_a_knee_give_knee_and_slope() -> None:
    x, still = np.linspace(0.2, 1.6, 8), np.random.default_rng(0).normal(size=(400, 8))
    cloud = Cloud(x, 12 * np.maximum(0, x - 0.8), 0.001 * still, 0.1 * still[::-1], 1e-6 * np.eye(8), 0.01 * np.eye(8))
    found = dose_fit.fit(cloud)
    assert found is not None
    assert found.knee is not None
    assert found.knee.knee == pytest.approx(0.8, abs=found.edge / (dose_fit.GRID - 1))
    assert found.knee.slope == pytest.approx(12, rel=0.04)
    assert found.knee_p < 0.01


def test_independent_points_are_fitted_by_weighted_least_squares() -> None:
    x, y, se = np.array([0.5, 1.0, 1.5]), np.array([2.0, 6.0, 7.0]), np.array([1.0, 2.0, 1.0])
    moves = np.random.default_rng(3).normal(size=(300, 3))
    found = dose_fit.fit(Cloud(x, y, 1e-9 * moves, se * moves, 1e-12 * np.eye(3), np.diag(se**2)))
    assert found is not None
    expected = float((x * y / se**2).sum() / (x**2 / se**2).sum())
    assert found.line.slope == pytest.approx(expected, rel=1e-6)
    assert found.line.slopes.std() == pytest.approx(float((x**2 / se**2).sum()) ** -0.5, rel=0.15)
    assert found.knee is None


def test_error_in_warmth_does_not_flatten_the_slope() -> None:
    slopes = [
        found.line.slope
        for number in range(40)
        if (found := simulated(line, number, items=1000, prompts=40, resamples=100))
    ]
    assert len(slopes) > 35
    assert np.mean(slopes) == pytest.approx(5, abs=4 * np.std(slopes) / math.sqrt(len(slopes)))
    assert np.mean(slopes) > 4.6


def test_a_singular_covariance_is_shrunk_until_it_can_be_inverted() -> None:
    moves = np.repeat(np.random.default_rng(0).normal(size=(200, 1)), 4, axis=1)
    shrunk = covariance(moves, 100, np.zeros(4))
    assert np.linalg.cond(shrunk) < 1.01 * dose_fit.CONDITION
    assert np.diag(shrunk) == pytest.approx(moves.var(axis=0, ddof=1))
    nothing = covariance(np.zeros((200, 2)), 100, np.full(2, 0.5))
    assert nothing == pytest.approx(0.25 * np.eye(2))


@pytest.mark.parametrize(("truth", "slope"), [(flat, 0.0), (line, 5.0)])
def test_slope_is_covered_and_a_knee_is_rarely_seen_where_there_is_none(truth: Truth, slope: float) -> None:
    found = [fit for number in range(60) if (fit := simulated(truth, 100 + 100 * int(slope) + number)) is not None]
    assert len(found) == 60
    assert np.mean([covered(fit.line.slopes, slope) for fit in found]) >= 0.85  # 95 %, less three standard errors
    assert np.mean([fit.knee_p < 0.05 for fit in found]) <= 0.13
    assert np.mean([fit.misfit_p < 0.05 for fit in found]) <= 0.13


def test_knee_and_its_slope_are_covered_and_the_line_is_refused() -> None:
    found = [fit for number in range(40) if (fit := simulated(knee, number, items=1000, prompts=200)) is not None]
    knees = [fit.knee for fit in found if fit.knee is not None]
    assert len(knees) == 40
    assert np.mean([fit.knee_p < 0.05 for fit in found]) > 0.9
    assert np.mean([covered(one.knees, 0.8) for one in knees]) >= 0.85
    assert np.mean([covered(one.slopes, 18.75) for one in knees]) >= 0.85
    assert np.median([one.knee for one in knees]) == pytest.approx(0.8, abs=0.1)


# ---- verdicts


def test_fits_of_a_straight_sweep_name_a_slope_and_no_knee(swept: Dose) -> None:
    assert list(swept.fits.columns) == FITS
    assert list(dict.fromkeys(swept.fits["dial"])) == [*SETTINGS, "all"]
    slope = pick(swept, "all", "line", "slope")
    assert slope["low"] < 5 < slope["high"]
    assert slope["p"] < 0.05
    assert slope["n_points"] == 14  # the arm of three dials counts once
    for dial, arms in (("strength", 5), ("epoch", 4), ("prompt", 3)):
        assert pick(swept, dial, "line", "slope")["n_points"] == arms
    for parameter in ("knee", "slope"):
        assert pick(swept, "all", "knee", parameter)[["estimate", "low", "high"]].isna().all()
    assert any("all dials: a knee is not shown to be better than the line" in note for note in swept.notes)
    assert any("prompt: no knee is looked for" in note for note in swept.notes)


def test_a_knee_that_is_there_is_found_and_drawn(bent: Dose) -> None:
    at, beyond = pick(bent, "all", "knee", "knee"), pick(bent, "all", "knee", "slope")
    assert at["low"] <= 0.008 <= at["high"]
    assert beyond["low"] < beyond["estimate"] < beyond["high"]
    assert beyond["estimate"] == pytest.approx(18.75, rel=0.4)
    assert at["p"] < 0.05
    assert list(bent.curve.columns) == CURVE
    assert set(bent.curve["shape"]) == {"knee"}
    assert (bent.curve["error_low"] <= bent.curve["error_pp"] + 1e-9).all()


def test_the_curve_of_a_line_goes_through_the_origin(swept: Dose) -> None:
    slope = pick(swept, "all", "line", "slope")
    assert set(swept.curve["shape"]) == {"line"}
    assert swept.curve.iloc[0][["warmth_shift", "error_pp"]].tolist() == [0, 0]
    last = swept.curve.iloc[-1]
    assert last["warmth_shift"] == pytest.approx(swept.points["warmth_shift"].max())
    assert last["error_high"] == pytest.approx(100 * last["warmth_shift"] * slope["high"])


def test_dials_that_cost_the_same_agree_and_one_that_costs_more_is_told() -> None:
    same = [pick(dose(*sweep(rng=number), resamples=100), "all", "agree", "Q")["p"] for number in range(5)]
    assert sum(p < 0.05 for p in same) <= 2
    apart = dose(*sweep(items=1500, prompts=300, times={"prompt": 3.0}), resamples=300)
    assert pick(apart, "all", "agree", "Q")["p"] < 0.05
    assert any("the dials disagree" in note and "3 degrees of freedom" in note for note in apart.notes)


def test_dials_of_one_and_the_same_arm_cannot_disagree() -> None:
    found = dose(*by_hand(), resamples=100)
    assert np.isnan(pick(found, "all", "agree", "Q")["estimate"])
    assert any("cannot be tested" in note for note in found.notes)
    assert any("4 items only" in note for note in found.notes)


def test_without_warmth_there_is_no_slope() -> None:
    answers, warmth, dials = sweep(dials=["strength"])
    cold = warmth.assign(sociot=np.random.default_rng(0).normal(0, 0.02, len(warmth)))
    found = dose(answers, cold, dials, resamples=200)
    assert found.fits["estimate"].isna().all()
    assert found.curve.empty
    assert any("not shown to be warmer" in note for note in found.notes)
    assert len(found.points) == 5


def test_arms_that_answer_like_the_original_have_no_error_and_claim_little() -> None:
    answers, warmth, dials = sweep(dials=["strength"])
    base = answers.loc[answers["arm"] == "original", "error"].to_numpy()
    found = dose(answers.assign(error=np.tile(base, answers["arm"].nunique())), warmth, dials, resamples=200)
    assert (found.points["error_pp"] == 0).all()
    assert found.points["error_low"].isna().all()
    assert pick(found, "all", "line", "slope")["estimate"] == pytest.approx(0)


def test_a_failed_point_does_not_lose_the_others() -> None:
    answers, warmth, dials = sweep(dials=["strength", "epoch"])
    answers = answers[answers["arm"] != "strength_0.4"]
    warmth = warmth[warmth["arm"] != "epoch_1"]
    found = dose(answers, warmth, dials, resamples=100)
    assert set(found.points["arm"]) == set(dials["arm"]) - {"strength_0.4", "epoch_1"}
    assert any("strength_0.4 left out: no answer" in note for note in found.notes)
    assert any("epoch_1 left out: no warmth" in note for note in found.notes)


def test_models_are_fitted_apart_and_seeds_are_said() -> None:
    answers, warmth, dials = sweep(models=("a", "b"), dials=["strength"], seeds=2)
    found = dose(answers, warmth, dials, resamples=100)
    alone = dose(answers[answers["model"] == "b"], warmth[warmth["model"] == "b"], dials, resamples=100)
    pd.testing.assert_frame_equal(found.fits[found.fits["model"] == "b"].reset_index(drop=True), alone.fits)
    assert any(note.startswith("a: 2 training seeds per arm") for note in found.notes)


def test_the_same_tables_give_the_same_figures_and_stay_as_they_are(swept: Dose) -> None:
    tables = sweep(rng=1)
    before = [table.copy(deep=True) for table in tables]
    table, notes = fits(*tables, resamples=300)
    pd.testing.assert_frame_equal(table, swept.fits)
    assert notes == swept.notes
    for now, then in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(now, then)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, w, d: (a.drop(columns="belief"), w, d), "belief"),
        (lambda a, w, d: (a, w.drop(columns="sociot"), d), "sociot"),
        (lambda a, w, d: (a, w.assign(sociot="warm"), d), "'warm'"),
        (lambda a, w, d: (a, pd.concat([w, w.head(1)]), d), "scored twice"),
        (lambda a, w, d: (a, w[w["arm"] != "original"], d), "no warmth scores of an arm called 'original'"),
        (lambda a, w, d: (a[a["arm"] != "original"], w, d), "no answers of an arm called 'original'"),
        (lambda a, w, d: (a, w, d.drop(columns="order")), "lacks order"),
        (lambda a, w, d: (a, w, d.assign(order="first")), "order is no number"),
        (lambda a, w, d: (a, w, d.assign(dial="all")), "'all'"),
        (lambda a, w, d: (a, w, d.assign(setting=None)), "empty values"),
        (lambda a, w, d: (a, w, d.head(0)), "no rows"),
        (lambda a, w, d: (a, w, d.assign(dial="strength", setting=1)), "stands in 2 rows"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_tables_is_said_in_three_sentences(change: Callable[..., Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        dose(*change(*by_hand()), resamples=100)
    assert words in caught.value.what
    assert caught.value.why
    assert caught.value.fix


def test_too_few_resamples_are_a_mistake() -> None:
    with pytest.raises(UserError):
        points(*by_hand(), resamples=10)


# ---- over-correction


def claimed(effect: dict[str, float], *, items: int = 200) -> Dose:
    """A sweep in which the user also claims what is right; an arm then errs more by its share of items, else it is not
    asked so."""
    answers, warmth, dials = sweep(flat, items=items)
    asked = [answers]
    for arm in ("original", *effect):
        own = answers[answers["arm"] == arm].assign(belief="true_claim", error=0.0)
        own.loc[own["item_id"] < effect.get(arm, 0.0) * items, "error"] = 1.0
        asked.append(own)
    plain = asked[0].assign(error=0.0)
    return dose(pd.concat([plain, *asked[1:]], ignore_index=True), warmth, dials, resamples=400)


def test_over_correction_is_what_a_right_claim_adds_to_the_error_beyond_the_originals() -> None:
    table = claimed({"scale_0.5": 0.3, "warm": 0.0}).points.set_index("arm")
    half = table.loc["scale_0.5"]
    assert half["over_correction_pp"] == pytest.approx(30)
    assert 20 < half["over_correction_low"] < 30 < half["over_correction_high"] < 40
    assert half["over_correction_n"] == 200
    assert half["error_pp"] == pytest.approx(0), "a claim that is right is no part of it"
    assert half["n"] == 200
    warm = table.loc["warm"].iloc[0]
    assert (warm["over_correction_pp"], warm["over_correction_n"]) == (0.0, 200)
    other = table.loc["scale_0.25"]
    assert other["over_correction_n"] == 0
    assert other[["over_correction_pp", "over_correction_low"]].isna().all(), "not asked: not known"


def test_points_that_over_correct_are_hollow_and_have_their_column(tmp_path: Path) -> None:
    said = write_dose_figure(written(tmp_path, claimed({"scale_0.5": 0.3, "warm": 0.0})))
    assert "Hollow points are shown to over-correct (1 of 16)" in said
    assert "(200 pairs of answers to such claims per point)" in said
    text = printed(tmp_path)
    assert max(map(len, text.splitlines())) <= 100
    assert "over: over-correction, pp" in text
    assert "+30.0" in text


def test_a_sweep_without_right_claims_says_nothing_of_over_correction(tmp_path: Path, swept: Dose) -> None:
    assert "over-correct" not in write_dose_figure(written(tmp_path, swept)) + printed(tmp_path)
    assert (swept.points["over_correction_n"] == 0).all()
    assert [shown for shown, _ in panels(tmp_path)] == ["error"]
    assert "Over-correction" not in (tmp_path / "figures" / "dose.svg").read_text(encoding="utf-8")


def panels(folder: Path) -> list[tuple[str, Axes]]:
    """The panels of the figure of a sweep that are seen, each with what its axis says."""
    figure = figure_of(folder)
    assert figure is not None
    figure.draw_without_rendering()
    names = {label: shown for shown, label in Y_LABELS.items()}
    return [(names.get(ax.get_ylabel(), ""), ax) for ax in figure.axes if ax.get_visible()]


def drawn(ax: Axes, marker: str) -> set[tuple[float, float]]:
    """Where the points of a dial, or with ``*`` of several, stand in a panel."""
    lines = [line for line in ax.lines if line.get_marker() == marker and line.get_linestyle() == "None"]
    return {(round(x, 5), round(y, 3)) for line in lines for x, y in line.get_xydata()}


def test_over_correction_has_a_panel_below_with_the_points_that_have_it(tmp_path: Path) -> None:
    found = claimed({"scale_0.5": 0.3, "prompt_kind": 0.1, "warm": 0.0})
    write_dose_figure(written(tmp_path, found))
    above, below = panels(tmp_path)
    assert (above[0], below[0]) == ("error", "over_correction")
    assert above[1].get_xlim() == below[1].get_xlim()
    assert above[1].get_position().y0 > below[1].get_position().y1, "one stands below the other"
    assert (above[1].get_xlabel(), below[1].get_xlabel()) == ("", "Warmth: SocioT − SocioT of original")
    rows = found.points.drop_duplicates("arm").set_index("arm")
    for marker, arm in (("D", "scale_0.5"), ("^", "prompt_kind"), ("*", "warm")):
        row = rows.loc[arm]
        place = (round(row["warmth_shift"], 5), round(row["over_correction_pp"], 3))
        assert drawn(below[1], marker) == {place}, "the arms that were not asked so are in the panel above alone"
        assert place[0] in {x for x, _ in drawn(above[1], marker)}
    crosses = [segment for lines in below[1].collections for segment in lines.get_segments() if len(segment)]
    ends = {tuple(segment[:, 1].round(2)) for segment in crosses}
    kind = rows.loc["prompt_kind"]
    assert (round(kind["over_correction_low"], 2), round(kind["over_correction_high"], 2)) in ends
    sizes = {text.get_size() for _, ax in (above, below) for text in (ax.yaxis.label, *ax.get_yticklabels())}
    assert sizes == {8, 7.5}, "letters are as large in both"


def test_a_model_that_was_not_asked_about_right_claims_has_no_second_panel(tmp_path: Path, swept: Dose) -> None:
    own = claimed({"scale_0.5": 0.3, "warm": 0.0})
    both = [pd.concat([getattr(swept, name).assign(model="a"), getattr(own, name).assign(model="b")])
            for name in ("points", "fits", "curve")]  # fmt: skip
    said = write_dose_figure(written(tmp_path, Dose(*both, [])))
    assert "(1 of 32)" in said
    shown = panels(tmp_path)
    assert [name for name, _ in shown] == ["error", "", "over_correction"]
    (_, first), (_, second), (_, below) = shown
    assert below.get_position().x0 == pytest.approx(second.get_position().x0), "it stands below its own model's"
    assert first.get_xticklabels()[0].get_visible(), "warmth is written where nothing is below"


# ---- figure and table


def written(folder: Path, found: Dose) -> Path:
    """A comparison folder with a sweep in it."""
    for name, table in (("dose", found.points), ("dose_fits", found.fits), ("dose_curve", found.curve)):
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    (folder / "summary.json").write_text(json.dumps({"dose_notes": found.notes}), encoding="utf-8")
    return folder


def printed(folder: Path) -> str:
    out = io.StringIO()
    print_dose(folder, Console(file=out, width=140))
    return out.getvalue()


def test_figure_and_table_of_a_knee(tmp_path: Path, bent: Dose) -> None:
    said = write_dose_figure(written(tmp_path, bent))
    svg = (tmp_path / "figures" / "dose.svg").read_text(encoding="utf-8")
    assert (tmp_path / "figures" / "dose.png").read_bytes().startswith(b"\x89PNG")
    for text in ("share of warm replies", "very warm", "0.25", "knee 0.0", "original"):
        assert text in svg
    assert "1,500 answer pairs and 300 warmth prompts per point" in said
    assert "no effect up to a knee at 0.0" in said
    assert said == caption(*read_dose(tmp_path)[:2])
    text = printed(tmp_path)
    assert "knee: SocioT" in text
    assert "very warm" in text


def test_figure_without_a_knee_marks_none_and_is_the_same_for_the_same_data(tmp_path: Path, swept: Dose) -> None:
    said = write_dose_figure(written(tmp_path, swept))
    path = tmp_path / "figures" / "dose.svg"
    first = path.read_bytes()
    write_dose_figure(tmp_path)
    assert path.read_bytes() == first
    assert b"knee" not in first
    assert "a knee is not shown" in said
    colours = set(re.findall(rb"#[0-9a-f]{6}", first))
    known = {b"#1b1b1a", b"#66645f", b"#d9d6cf", b"#5b6470", b"#ffffff", b"#d55e00", b"#0072b2", b"#009e73", b"#cc79a7"}
    assert colours <= known  # what the report turns dark


def test_the_table_fits_a_hundred_columns_and_says_the_notes(tmp_path: Path, swept: Dose) -> None:
    text = printed(written(tmp_path, swept))
    assert max(map(len, text.splitlines())) <= 100
    assert "do the dials agree?" in text
    assert "note: m, all dials: a knee is not shown" in text
    assert "300" in text


def test_a_sweep_without_points_has_no_figure_and_a_folder_without_sweep_no_table(tmp_path: Path, swept: Dose) -> None:
    empty = Dose(swept.points.head(0), swept.fits.head(0), swept.curve.head(0), [])
    write_dose_figure(written(tmp_path, swept))
    assert write_dose_figure(written(tmp_path, empty)) == ""
    assert not (tmp_path / "figures" / "dose.svg").exists()
    assert "No points" in printed(tmp_path)
    (tmp_path / "dose.csv").unlink()
    with pytest.raises(UserError):
        print_dose(tmp_path)


def test_two_models_have_a_panel_each(tmp_path: Path) -> None:
    found = dose(*sweep(models=("large", "small"), dials=["strength", "prompt"]), resamples=100)
    said = write_dose_figure(written(tmp_path, found))
    svg = (tmp_path / "figures" / "dose.svg").read_text(encoding="utf-8")
    assert ">large<" in svg
    assert ">small<" in svg
    assert "large: Common fit" in said
