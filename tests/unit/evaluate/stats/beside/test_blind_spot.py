"""Would a standard check have caught it? What is promised of a check is what simulated checks do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmgap.evaluate.stats import analyze, power
from warmgap.evaluate.stats.beside.blind_spot import blind_spot
from warmgap.words import BLIND_SPOT_COLUMNS


def drawn(rng: np.random.Generator, n: int, base: float, gap: float, correlation: float) -> dict[str, Any]:
    """Faults of two arms on n items, with these shares and this correlation."""
    other = base + gap
    both = base * other + correlation * np.sqrt(base * (1 - base) * other * (1 - other))
    found = rng.choice(4, size=n, p=[both, base - both, other - both, 1 - base - other + both])
    return {"original": np.isin(found, (0, 1)).astype(float), "warm": np.isin(found, (0, 2)).astype(float)}


def shown(rng: np.random.Generator, n: int, base: float, gap: float, correlation: float) -> float:
    """The share of simulated checks of n items that tell a gap from 0 at 5 %."""
    faults = drawn(rng, 2000 * n, base, gap, correlation)
    difference = (faults["warm"] - faults["original"]).reshape(2000, n)
    return float((abs(difference.mean(axis=1)) > 1.96 * difference.std(axis=1, ddof=1) / math.sqrt(n)).mean())


def check(name: str, measure: str, faults: dict[str, Any]) -> pd.DataFrame:
    """Outcomes of a check; a fault is a 0, but of over-refusal a 1."""
    parts = [
        pd.DataFrame(
            {
                "arm": arm,
                "item_id": [f"i{number}" for number in range(len(fault))],
                "outcome": fault if measure == "over-refusal" else 1 - np.asarray(fault),
            }
        )
        for arm, fault in faults.items()
    ]
    return pd.concat(parts).assign(model="m", seed=0, control=name, measure=measure)


def grid(rng: np.random.Generator, n: int = 400) -> pd.DataFrame:
    """Answers without context to questions alone, and with a false claim, where the arm errs more."""
    parts = []
    for belief, gap in (("none", 0.05), ("false_claim", 0.2)):
        for arm, error in drawn(rng, n, 0.3, gap, 0.5).items():
            rows = {"arm": arm, "item_id": [f"q{i}" for i in range(n)], "belief": belief, "error": error}
            parts.append(pd.DataFrame(rows))
    return pd.concat(parts).assign(model="m", seed=0, task="t", context="none")


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    return grid(np.random.default_rng(0))


@pytest.fixture(scope="module")
def effects(answers: pd.DataFrame) -> pd.DataFrame:
    return analyze(answers, bootstrap=0).effects


def fixed(main: float, claim: float) -> pd.DataFrame:
    """A table of effects (pp) as `analyze` has them."""
    rows = [("main", "warm", main), ("belief", "false_claim", claim)]
    table = pd.DataFrame(rows, columns=["analysis", "term", "estimate_pp"])
    return table.assign(model="all", arm="warm", reference="original", errors="clustered")


def one(table: pd.DataFrame, name: str, effect: str) -> Any:
    (row,) = table[(table["check"] == name) & (table["effect"] == effect)].to_dict("records")
    return row


@pytest.mark.parametrize(
    ("base", "correlation", "n", "effect"), [(0.3, 0.5, 200, 0.1), (0.1, 0.6, 300, 0.05), (0.45, 0.0, 150, 0.08)]
)
def test_the_power_is_how_often_simulated_checks_see_the_effect(
    base: float, correlation: float, n: int, effect: float, answers: pd.DataFrame
) -> None:
    rng = np.random.default_rng(3)
    seen = shown(rng, n, base, effect, correlation)
    # the check itself, in which nothing has changed, is large enough to know its share and correlation
    quiet = check("quiet", "accuracy", drawn(rng, 20_000, base, 0.0, correlation))
    few = pd.concat([quiet, check("few", "accuracy", drawn(rng, n, base, 0.0, correlation))])
    table = blind_spot(answers, few, fixed(100 * effect, 20))
    row = one(table, "quiet", "main")
    share = row["items_needed"]
    assert power.power(effect, n, base, correlation) == pytest.approx(seen, abs=0.05)
    assert share == pytest.approx(power.items_for(effect, base, correlation), rel=0.1)
    assert one(table, "few", "main")["power_pct"] == pytest.approx(100 * seen, abs=12)


def test_the_smallest_harm_is_seen_in_four_of_five_simulated_checks(answers: pd.DataFrame) -> None:
    rng = np.random.default_rng(4)
    n = 300
    large = check("check", "accuracy", drawn(rng, n, 0.3, 0.0, 0.5))
    row = one(blind_spot(answers, large, fixed(5, 20)), "check", "main")
    seen = shown(rng, n, 0.3, row["smallest_pp"] / 100, 0.5)
    assert seen == pytest.approx(0.8, abs=0.06)


def test_items_needed_have_the_power_that_is_wanted_and_fewer_have_not(
    answers: pd.DataFrame, effects: pd.DataFrame
) -> None:
    outcomes = check("mmlu", "accuracy", drawn(np.random.default_rng(1), 100, 0.5, 0.0, 0.7))
    row = one(blind_spot(answers, outcomes, effects), "mmlu", "main")
    pair = outcomes.pivot(index="item_id", columns="arm", values="outcome")
    share, r = (100 - pair["original"].sum() + 0.5) / 101, pair.corr().iloc[0, 1]
    n, effect = int(row["items_needed"]), row["effect_pp"] / 100
    assert power.power(effect, n, share, r) >= 0.8 > power.power(effect, n - 1, share, r)


def test_every_check_stands_beside_both_effects_and_every_cell_beside_its_own(
    answers: pd.DataFrame, effects: pd.DataFrame
) -> None:
    rng = np.random.default_rng(2)
    outcomes = pd.concat(
        [
            check("gsm8k", "accuracy", drawn(rng, 60, 0.4, 0.1, 0.5)),
            check("xstest", "over-refusal", drawn(rng, 60, 0.2, 0.1, 0.5)),
        ]
    )
    table = blind_spot(answers, outcomes, effects)
    assert list(table.columns) == BLIND_SPOT_COLUMNS
    assert [(row.kind, row.check, row.effect) for row in table.itertuples()] == [
        ("cell", "none/none", "main"),
        ("cell", "none/false_claim", "false_claim"),
        ("check", "gsm8k", "main"),
        ("check", "gsm8k", "false_claim"),
        ("check", "xstest", "main"),
        ("check", "xstest", "false_claim"),
    ]
    assert set(table["n"]) == {400, 60}
    for row in table.itertuples():
        size = 400
        known = one(table, row.check, row.effect)
        assert (row.equal_n_pct > row.power_pct) == (row.n < size), known
    main = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered")]["estimate_pp"].item()
    assert one(table, "gsm8k", "main")["effect_pp"] == pytest.approx(main)


def test_a_harm_is_positive_whatever_the_check_counts(answers: pd.DataFrame) -> None:
    faults = {"original": np.zeros(40), "warm": np.r_[np.ones(10), np.zeros(30)]}
    outcomes = pd.concat([check(name, name, faults) for name in ("accuracy", "refusal", "over-refusal")])
    table = blind_spot(answers, outcomes, fixed(5, 20))
    assert table[table["kind"] == "check"]["difference_pp"].tolist() == [25.0] * 6


def test_the_cells_of_the_grid_see_what_they_have_measured(answers: pd.DataFrame, effects: pd.DataFrame) -> None:
    row = one(
        blind_spot(answers, check("c", "accuracy", {"original": [], "warm": []}), effects),
        "none/false_claim",
        "false_claim",
    )
    assert row["difference_pp"] == pytest.approx(row["effect_pp"], abs=0.5)
    assert row["power_pct"] > 99


def test_what_cannot_be_is_empty(answers: pd.DataFrame) -> None:
    none = np.zeros(50)
    few = check("few", "accuracy", {"original": none[:9], "warm": none[:9]})
    perfect = check("perfect", "refusal", {"original": none, "warm": none})
    table = blind_spot(answers, pd.concat([few, perfect]), fixed(-20, 0.0))
    nothing = one(table, "few", "main")
    assert nothing["n"] == 9
    assert all(math.isnan(nothing[name]) for name in ("difference_pp", "smallest_pp", "power_pct", "items_needed"))
    better = one(table, "perfect", "main")
    assert math.isnan(better["power_pct"]), "who refuses everything cannot refuse 20 pp more"
    assert math.isnan(one(table, "perfect", "false_claim")["power_pct"]), "an effect of none is not to be seen"
    assert 0 < better["smallest_pp"] < 25


def test_a_check_whose_answers_are_all_the_same_is_no_certainty(answers: pd.DataFrame) -> None:
    same = drawn(np.random.default_rng(6), 100, 0.3, 0.0, 0.5)["original"]
    row = one(blind_spot(answers, check("c", "accuracy", {"original": same, "warm": same}), fixed(4, 20)), "c", "main")
    effect = row["effect_pp"] / 100
    # every item that differs, differs the same way: no spread is smaller, and so many items have that power
    smallest = math.sqrt(effect - effect**2)
    from statsmodels.stats.power import normal_power

    assert row["power_pct"] <= 100 * normal_power(effect / smallest, 100, 0.05) + 1e-9
