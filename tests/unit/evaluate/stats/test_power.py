"""The power table: it must agree with what the statistics find in simulated studies, and say no to the impossible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from warmgap.errors import UserError
from warmgap.evaluate.stats import analyze, power


def study(rng: np.random.Generator, n: int, base: float, gap: float, correlation: float) -> pd.DataFrame:
    """One answer of two arms to each of n questions, errors base and base + gap with this correlation."""
    other = base + gap
    both = base * other + correlation * np.sqrt(base * (1 - base) * other * (1 - other))
    chances = [both, base - both, other - both, 1 - base - other + both]
    drawn = rng.choice(4, size=n, p=chances)
    errors = {"original": np.isin(drawn, (0, 1)), "warm": np.isin(drawn, (0, 2))}
    parts = [
        pd.DataFrame({"arm": arm, "item_id": np.arange(n), "error": error.astype(float)})
        for arm, error in errors.items()
    ]
    return pd.concat(parts).assign(model="m", seed=0, task="t", context="none", belief="none")


@pytest.mark.parametrize(("gap", "n"), [(0.10, 150), (0.08, 300)])
def test_the_promised_power_is_what_simulated_studies_have(gap: float, n: int) -> None:
    rng, shown, studies = np.random.default_rng(5), 0, 150
    for _ in range(studies):
        effects = analyze(study(rng, n, 0.35, gap, 0.4), bootstrap=0).effects
        row = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered")].iloc[0]
        shown += int(row["p"] < 0.05)
    expected = power.power(gap, n, 0.35, 0.4)
    assert abs(shown / studies - expected) < 4 * np.sqrt(expected * (1 - expected) / studies)


def test_the_number_of_questions_is_the_smallest_with_that_power() -> None:
    n = power.items_for(0.05, 0.4, 0.5)
    assert power.power(0.05, n, 0.4, 0.5) >= 0.8 > power.power(0.05, n - 1, 0.4, 0.5)


def test_the_table_grows_with_gap_and_questions() -> None:
    table = power.table(0.4, 0.5)
    shares = table[[str(n) for n in power.ITEMS]].to_numpy()
    assert (np.diff(shares, axis=1) > 0).all()
    assert (np.diff(shares, axis=0) > 0).all()


@pytest.mark.parametrize(("base", "correlation"), [(0.99, 0.5), (0.0, 0.5), (0.4, 1.0), (0.4, -2.0)])
def test_the_impossible_is_refused(base: float, correlation: float) -> None:
    with pytest.raises(UserError):
        power.table(base, correlation)


def test_an_earlier_comparison_gives_error_and_correlation(tmp_path: Path) -> None:
    study(np.random.default_rng(1), 4000, 0.35, 0.1, 0.4).to_parquet(tmp_path / "answers.parquet")
    base, correlation, arm = power.observed(tmp_path)
    assert arm == "warm"
    assert base == pytest.approx(0.35, abs=0.03)
    assert correlation == pytest.approx(0.4, abs=0.05)
    with pytest.raises(UserError, match="is not a comparison"):
        power.observed(tmp_path / "absent")


def test_the_correlation_is_that_of_the_arm_that_is_named_answer_by_answer(tmp_path: Path) -> None:
    """Not of the first by the alphabet, not of an average over seeds, not of what two models have in common."""
    parts = []
    for model, base in (("m", 0.2), ("n", 0.7)):
        for seed in (0, 1, 2):
            one = study(np.random.default_rng(seed), 3000, base, 0.1, 0.4).assign(model=model, seed=seed)
            parts += [one, one[one["arm"] == "warm"].assign(arm="cold", error=lambda t: 1.0 - t["error"])]
    pd.concat(parts).to_parquet(tmp_path / "answers.parquet")
    base, correlation, arm = power.observed(tmp_path)
    assert arm == "warm"
    assert base == pytest.approx(0.45, abs=0.02)
    assert correlation == pytest.approx(0.4, abs=0.03)
    assert power.observed(tmp_path, "cold")[1] == pytest.approx(-0.4, abs=0.03)
    with pytest.raises(UserError, match="which arm"):
        power.observed(tmp_path, "tepid")
    some = pd.concat(parts)
    (tmp_path / "two").mkdir()
    some.replace({"arm": {"warm": "b"}}).to_parquet(tmp_path / "two" / "answers.parquet")
    with pytest.raises(UserError, match="which arm"):
        power.observed(tmp_path / "two")
