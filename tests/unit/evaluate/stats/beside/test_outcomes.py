"""Figures of suites with measures of their own: levels, paired differences, intervals, and what missing ones allow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmgap.evaluate.stats.beside import outcomes

MEASURES = {"s": {"x": {"unit": "%", "sense": "more is worse"}, "turns": {"unit": "turns", "sense": "more is better"}}}


def rows(values: dict[str, list[list[float]]], measure: str = "x") -> pd.DataFrame:
    """Outcomes by arm, item and condition: ``values[arm][item][condition]``."""

    def each() -> Iterator[dict[str, Any]]:
        for arm, items in values.items():
            for item, some in enumerate(items):
                for condition, value in enumerate(some):
                    place = {"model": "m", "arm": arm, "seed": 0, "suite": "s", "measure": measure}
                    yield {**place, "item_id": str(item), "condition": f"c{condition}", "value": value}

    return pd.DataFrame(list(each()))


def line(table: pd.DataFrame, arm: str, reference: str = "original", condition: str = "all") -> pd.Series[Any]:
    wanted = (table["arm"] == arm) & (table["reference"] == reference) & (table["condition"] == condition)
    (found,) = [row for _, row in table[wanted].iterrows()]
    return found


def test_levels_and_differences_are_means_over_items_in_percent() -> None:
    made = rows({"original": [[0, 0], [1, 0], [0, 1], [0, 0]], "warm": [[1, 0], [1, 1], [0, 1], [1, 1]]})
    table = outcomes.table(made, MEASURES, "original")
    own = line(table, "warm")
    assert (own["value"], own["difference"], own["n"], own["n_items"], own["n_pairs"]) == (75.0, 50.0, 8, 4, 8)
    assert own["difference_low"] < 50 < own["difference_high"]
    assert line(table, "original", "")["value"] == 25.0
    assert line(table, "warm", condition="c1")["difference"] == 50.0


def test_missing_outcomes_are_left_out_and_can_buy_nothing() -> None:
    nan = math.nan
    made = rows({"original": [[1], [0], [0], [0]], "warm": [[nan], [0], [0], [nan]]})
    own = line(outcomes.table(made, MEASURES, "original"), "warm")
    assert (own["value"], own["n"], own["missing_pct"], own["n_pairs"]) == (0.0, 2, 50.0, 2)
    assert (own["missing_low"], own["missing_high"]) == (-25.0, 25.0)
    assert own["ci_high"] > 50, "none of two is not a point"
    assert own["difference_low"] < 0 < own["difference_high"], "neither is a difference that is 0 twice"


def test_what_an_arm_lacks_altogether_is_missing() -> None:
    made = rows({"original": [[1.0], [0.0], [1.0]], "warm": [[0.0], [0.0], [0.0]]})
    lost = made[~((made["arm"] == "warm") & (made["item_id"] == "2"))]
    own = line(outcomes.table(lost, MEASURES, "original"), "warm")
    assert own["n"] == 2
    assert own["missing_pct"] == pytest.approx(100 / 3)
    assert own["missing_high"] == pytest.approx(-100 / 3)
    assert own["missing_low"] == pytest.approx(-200 / 3)
    unasked = made[~((made["arm"] == "original") & (made["item_id"] == "2"))]
    assert line(outcomes.table(unasked, MEASURES, "original"), "original", "")["missing_pct"] > 0


def test_nothing_is_known_of_an_arm_that_has_no_outcome() -> None:
    made = rows({"original": [[1.0], [0.0]], "warm": [[math.nan], [math.nan]]})
    own = line(outcomes.table(made, MEASURES, "original"), "warm")
    assert own["n"] == 0
    assert math.isnan(own["value"])
    assert math.isnan(own["difference"])


def test_an_arm_stands_net_of_its_training_by_seed_where_one_was_trained_alike() -> None:
    made = rows({"original": [[0], [0]], "warm": [[1], [1]], "paraphrase": [[1], [0]]})
    table = outcomes.table(made, MEASURES, "original")
    assert line(table, "warm")["difference"] == 100.0
    assert line(table, "warm", "paraphrase")["difference"] == 50.0
    other = made.assign(seed=made["arm"].map({"original": 0, "warm": 1, "paraphrase": 2}))
    assert line(outcomes.table(other, MEASURES, "original"), "warm", "paraphrase")["n_pairs"] == 0


def test_a_count_is_in_its_own_unit_and_has_no_bounds() -> None:
    made = rows({"original": [[2.0], [3.0], [6.0]], "warm": [[1.0], [2.0], [3.0]]}, "turns")
    own = line(outcomes.table(made, MEASURES, "original"), "warm")
    assert own["value"] == 2.0
    assert own["difference"] == pytest.approx(-5 / 3)
    assert math.isnan(own["missing_low"])


def test_p_is_adjusted_over_the_measures_of_all_suites() -> None:
    rng = np.random.default_rng(1)
    one = rows(
        {arm: [[float(rng.random() < share)] for _ in range(40)] for arm, share in (("original", 0.2), ("warm", 0.7))}
    )
    two = one.assign(measure="turns")
    table = outcomes.table(pd.concat([one, two]), MEASURES, "original")
    alone = line(outcomes.table(one, MEASURES, "original"), "warm")
    assert alone["p_fdr"] == alone["p"]
    pooled = table[(table["condition"] == "all") & (table["arm"] == "warm")]
    assert (pooled["p_fdr"] >= pooled["p"]).all()


def test_the_intervals_hold_as_often_as_they_say() -> None:
    """Items that answer alike in three conditions: errors that took replies as independent would hold too rarely."""
    rng, held, times = np.random.default_rng(0), 0, 300
    for _ in range(times):
        items = rng.beta(0.5, 0.5, 40)
        base = [[float(rng.random() < 0.8 * p) for _ in range(3)] for p in items]
        own = [[float(rng.random() < 0.8 * p + 0.1) for _ in range(3)] for p in items]
        change = np.array(own).ravel() - np.array(base).ravel()
        found = outcomes.mean(change, [str(place) for place in range(40) for _ in range(3)], bounded=False)
        held += found.low <= 0.1 <= found.high
    assert 0.92 <= held / times <= 0.98


def test_the_interval_of_a_share_stays_between_0_and_1() -> None:
    found = outcomes.mean([1.0] * 11 + [0.0], [str(place) for place in range(12)], bounded=True)
    assert found.value < found.high <= 1
    assert 0 < found.low < found.value
