"""A judge against people: tables by hand, intervals that hold where answers to one item go together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from warmgap.evaluate.judges import agreement


def labelled(pairs: list[tuple[str, str]], **columns: object) -> pd.DataFrame:
    """Pairs of the judge's and a person's verdict, each on an item of its own."""
    table = pd.DataFrame(pairs, columns=["verdict", "label"]).assign(arm="warm", task="t", belief="none")
    return table.assign(item_id=range(len(table))).assign(**columns)


def test_agreement_and_kappa_are_those_of_a_table_by_hand() -> None:
    """20 and 15 agree, 5 and 10 do not: observed 0.7, by chance 0.5; the judge finds 15 of 20 errors."""
    pairs = [("correct", "correct")] * 20 + [("correct", "incorrect")] * 5
    pairs += [("incorrect", "correct")] * 10 + [("incorrect", "incorrect")] * 15
    row = agreement.agreement(labelled(pairs)).iloc[0]
    assert (row["n"], row["agreement_pct"]) == (50, 70.0)
    assert row["kappa"] == pytest.approx(0.4)
    assert row["ci_low_pct"] == pytest.approx(56.25, abs=0.2), "Wilson"
    assert (row["n_errors"], row["sensitivity_pct"]) == (20, 75.0)
    assert (row["n_right"], row["specificity_pct"]) == (30, pytest.approx(200 / 3))
    assert row["sensitivity_low_pct"] < 75 < row["sensitivity_high_pct"]


def test_the_interval_of_kappa_is_that_of_statsmodels_where_answers_are_independent() -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    rng = np.random.default_rng(0)
    words = np.array(["correct", "incorrect", "hedged"])
    people = rng.integers(0, 3, 2000)
    judge = np.where(rng.random(2000) < 0.8, people, rng.integers(0, 3, 2000))
    row = agreement.agreement(labelled(list(zip(words[judge], words[people], strict=True)))).iloc[0]
    peer = cohens_kappa(pd.crosstab(judge, people).to_numpy())
    assert row["kappa"] == pytest.approx(peer.kappa)
    assert row["kappa_low"] == pytest.approx(peer.kappa_low, abs=2e-3)
    assert row["kappa_high"] == pytest.approx(peer.kappa_upp, abs=2e-3)


def test_answers_that_say_the_same_of_an_item_count_as_one() -> None:
    """Each label four times over: the same figures, the same intervals, not half as wide."""
    pairs = [("correct", "correct")] * 20 + [("correct", "incorrect")] * 5 + [("incorrect", "incorrect")] * 25
    once = labelled(pairs)
    fourfold = pd.concat([once] * 4, ignore_index=True)
    one, four = (agreement.agreement(table).iloc[0] for table in (once, fourfold))
    for name in ("agreement_pct", "kappa", "sensitivity_pct"):
        assert four[name] == pytest.approx(one[name])
    for low, high in (("ci_low_pct", "ci_high_pct"), ("kappa_low", "kappa_high")):
        assert four[high] - four[low] == pytest.approx(one[high] - one[low], rel=0.02)


def test_labels_of_one_kind_give_no_kappa_and_full_agreement_is_not_certain() -> None:
    row = agreement.agreement(labelled([("correct", "correct")] * 5)).iloc[0]
    assert np.isnan(row["kappa"])
    assert np.isnan(row["sensitivity_pct"])
    assert row["agreement_pct"] == 100.0
    assert row["ci_low_pct"] < 60
    row = agreement.agreement(labelled([("correct", "correct")] * 5 + [("incorrect", "incorrect")] * 5)).iloc[0]
    assert row["kappa"] == 1.0 == row["kappa_high"]
    assert row["kappa_low"] < 0.6


def test_a_judge_without_a_verdict_is_counted_and_is_never_wrong() -> None:
    row = agreement.agreement(
        labelled([("correct", "correct")] * 3 + [("unparsed", "incorrect"), ("error", "correct")])
    )
    assert row.iloc[0][["n", "n_no_verdict", "agreement_pct", "n_errors"]].tolist() == [3, 2, 100.0, 0]


def test_it_is_said_by_arm_task_and_belief() -> None:
    pairs = [("correct", "correct"), ("incorrect", "correct")] * 10
    cells = {"arm": ["original", "warm"] * 10, "belief": ["none"] * 10 + ["false_claim"] * 10}
    found = agreement.agreement(labelled(pairs, **cells)).set_index(["part", "value"])
    assert found.loc[("arm", "original"), "agreement_pct"] == 100.0
    assert found.loc[("arm", "warm"), "agreement_pct"] == 0.0
    assert found.loc[("belief", "false_claim"), "n"] == 10
    assert ("task", "t") in found.index


def test_a_judge_that_errs_more_in_one_arm_is_told_from_one_that_errs_alike() -> None:
    """The one calls a quarter of the warm arm's right answers errors, the other as many of both arms'."""
    people = ["correct"] * 80 + ["incorrect"] * 40
    lenient = list(zip(people, people, strict=True))
    harsh = [("incorrect" if place % 4 == 0 else word, word) for place, word in enumerate(people)]
    both = [labelled(lenient, arm="original"), labelled(harsh, arm="warm")]
    row = agreement.differences(pd.concat(both, ignore_index=True)).iloc[0]
    assert (row["part"], row["value"], row["reference"], row["n"]) == ("arm", "warm", "original", 120)
    assert row["mistakes_pp"] == row["bias_pp"] == pytest.approx(100 * 20 / 120)
    assert row["mistakes_low_pp"] > 5
    assert row["bias_low_pp"] > 5
    alike = [labelled(harsh, arm="original"), labelled(harsh, arm="warm")]
    row = agreement.differences(pd.concat(alike, ignore_index=True)).iloc[0]
    assert row["bias_pp"] == 0.0
    assert row["bias_low_pp"] < 0 < row["bias_high_pp"]


def test_as_many_mistakes_in_opposite_directions_show_as_bias() -> None:
    base = [("correct", "correct")] * 40
    up, down = [("incorrect", "correct")] * 10, [("correct", "incorrect")] * 10
    both = [labelled(base + down, belief="none"), labelled(base + up, belief="false_claim")]
    row = agreement.differences(pd.concat(both, ignore_index=True)).iloc[0]
    assert row["mistakes_pp"] == 0.0
    assert row["bias_pp"] == pytest.approx(40.0)
    assert row["bias_low_pp"] > 15


def test_no_mistake_seen_is_not_certainty() -> None:
    right = [("correct", "correct")] * 10 + [("incorrect", "incorrect")] * 10
    both = [labelled(right, arm="original"), labelled(right, arm="warm")]
    row = agreement.differences(pd.concat(both, ignore_index=True)).iloc[0]
    assert row["bias_pp"] == row["mistakes_pp"] == 0.0
    assert row["bias_low_pp"] < -10 < 10 < row["bias_high_pp"]


def test_the_interval_of_a_difference_holds_where_items_are_shared() -> None:
    """100 studies: 60 items, two answers by each arm, a judge that is wrong on 10 and 20 % of them."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        item = np.repeat(np.arange(60), 2)
        hard = rng.uniform(-0.08, 0.08, 60)[item]
        tables = []
        for arm, rate in (("original", 0.1), ("warm", 0.2)):
            wrong = rng.random(120) < rate + hard
            pairs = [("incorrect" if one else "correct", "correct") for one in wrong]
            tables.append(labelled(pairs, arm=arm, item_id=item))
        row = agreement.differences(pd.concat(tables, ignore_index=True)).iloc[0]
        held += row["mistakes_low_pp"] <= 10 <= row["mistakes_high_pp"]
    assert 88 <= held <= 99
