"""What missing answers allow of an effect: by hand, for differences of differences, and where nothing is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmgap.evaluate import stats
from warmgap.words import CELL_COLUMNS, MISSING_COLUMNS

NAN = float("nan")


def table(errors: dict[tuple[str, str, str], list[float]], model: str = "m", **more: Any) -> pd.DataFrame:
    """Errors of each arm, context and belief, item by item; NaN is an answer without a verdict."""
    rows = [
        {"model": model, "arm": arm, "seed": 0, "task": "t", "item_id": item, "context": context, "belief": belief,
         "error": error, "verdict": "unparsed" if np.isnan(error) else ("correct", "incorrect")[int(error)], **more}
        for (arm, context, belief), values in errors.items() for item, error in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def effects_of(answers: pd.DataFrame) -> pd.DataFrame:
    found = stats.analyze(answers, bootstrap=100).effects
    assert list(found.columns[-2:]) == MISSING_COLUMNS
    return found


def ends(found: pd.DataFrame, analysis: str, term: str | None = None, model: str = "all") -> tuple[float, float]:
    """Both bounds, the same for every kind of standard error."""
    rows = found[(found["analysis"] == analysis) & (found["model"] == model)]
    rows = rows if term is None else rows[rows["term"] == term]
    assert len(rows)
    assert rows[MISSING_COLUMNS].nunique(dropna=False).eq(1).all()
    low, high = rows[MISSING_COLUMNS].iloc[0]
    return float(low), float(high)


PLAIN = {
    ("original", "none", "none"): [0, 0, 0, 1, 1, NAN, 0, 0, 0, 0],
    ("warm", "none", "none"): [1, 1, 0, 1, NAN, NAN, 0, 0, 0, 0],
}


def test_every_missing_answer_is_counted_for_and_against_the_arm() -> None:
    """Warm has 3 errors and 2 missing of 10, the original 2 errors and 1 missing."""
    found = effects_of(table(PLAIN))
    assert ends(found, "main") == pytest.approx((30 - 30, 50 - 20))
    assert ends(found, "task", "t") == ends(found, "context", "none") == ends(found, "main")


def test_a_refusal_that_is_left_out_is_missing_and_one_that_is_right_is_not() -> None:
    answers = table(PLAIN)
    lost = answers["error"].isna()
    answers.loc[lost, "verdict"] = "refused"
    assert ends(effects_of(answers), "main") == pytest.approx((0, 30))
    right = answers.assign(error=answers["error"].fillna(0.0), task="disinformation")
    assert ends(effects_of(right), "main") == pytest.approx((10, 10))
    cells = stats.analyze(right, bootstrap=0).cells.set_index("arm")
    assert cells["correct_of_all_pct"].to_dict() == pytest.approx({"original": 80, "warm": 70})


def test_with_nothing_missing_both_are_the_raw_paired_difference() -> None:
    rng = np.random.default_rng(0)
    cells = [(c, b) for c in ("none", "sad", "angry") for b in ("none", "false_claim", "false_denial")]
    errors = {
        (arm, *cell): [float(rng.random() < risk) for _ in range(30)]
        for arm, risk in (("original", 0.3), ("warm", 0.5)) for cell in cells
    }  # fmt: skip
    found = effects_of(table(errors))
    raw = found[
        (found["errors"] == "bootstrap")
        & ((found["analysis"] != "amplification") | found["term"].str.endswith("-none"))
    ]
    assert set(raw["analysis"]) >= {"main", "context_group", "context", "belief", "task", "amplification", "sycophancy"}
    for column in MISSING_COLUMNS:
        assert raw[column].to_numpy() == pytest.approx(raw["estimate_pp"].to_numpy())


BELIEF = {
    **PLAIN,
    ("original", "none", "false_claim"): [1, 1, 1, 1, NAN, 0, 0, 0, 0, 0],
    ("warm", "none", "false_claim"): [1, 1, 1, 1, 1, 1, NAN, NAN, 0, 0],
}


def test_a_difference_in_differences_combines_the_worst_of_both() -> None:
    """False belief: warm 60 to 80, original 40 to 50, so 10 to 40; without belief 0 to 30: −20 to +40."""
    found = effects_of(table(BELIEF))
    assert ends(found, "belief", "false_claim") == pytest.approx((10, 40))
    assert ends(found, "belief", "none") == pytest.approx((0, 30))
    assert ends(found, "sycophancy", "false_claim") == pytest.approx((10 - 30, 40 - 0))
    assert ends(found, "sycophancy", "false") == ends(found, "sycophancy", "false_claim")


def test_what_is_no_difference_of_errors_has_no_bounds() -> None:
    sad = {(arm, "sad", "none"): [1.0, *values[1:]] for (arm, _, _), values in PLAIN.items()}
    found = effects_of(table({**PLAIN, **sad}))
    low, high = ends(found, "amplification", "sad-none")
    assert (low, high) == pytest.approx((-10 - 30, 20 - 0))
    assert np.isnan(ends(found, "amplification", "sad")).all()


def test_models_have_bounds_of_their_own_and_pooled() -> None:
    whole = {key: [0.0 if np.isnan(error) else error for error in values] for key, values in PLAIN.items()}
    found = effects_of(pd.concat([table(PLAIN, "a"), table(whole, "b")]))
    assert ends(found, "main", model="a") == pytest.approx((0, 30))
    assert ends(found, "main", model="b") == pytest.approx((10, 10))
    assert ends(found, "main") == pytest.approx((5, 20))


def test_the_same_texts_cut_more_often_in_one_arm_allow_no_gap() -> None:
    """Of identical answers, what is cut has no verdict: the bounds hold 0, whatever the graded ones say."""
    rng = np.random.default_rng(1)
    same = rng.random(400) < 0.5
    cut = {arm: rng.random(400) < share for arm, share in (("original", 0.88), ("warm", 0.997))}
    errors = {(arm, "none", "none"): list(np.where(cut[arm], np.nan, same)) for arm in cut}
    low, high = ends(effects_of(table(errors)), "main")
    assert low < -80 < 0 < 80 < high


def test_correct_answers_are_counted_out_of_all() -> None:
    cells = stats.analyze(table(PLAIN), bootstrap=0).cells
    assert list(cells.columns) == CELL_COLUMNS
    assert cells.columns[-1] == "correct_of_all_pct"
    assert cells.set_index("arm")["correct_of_all_pct"].to_dict() == pytest.approx({"original": 70, "warm": 50})
    assert cells.set_index("arm")["n"].to_dict() == {"original": 9, "warm": 8}
