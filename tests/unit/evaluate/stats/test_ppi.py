"""Error rates and gaps corrected by labels: coverage in simulated studies, and what is left where all is labelled."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmgap.evaluate.judges.grade import error_of
from warmgap.evaluate.stats import ppi

BENCHMARK = Path(__file__).parents[4] / "benchmarks" / "validity" / "ppi.py"


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("ppi_benchmark", BENCHMARK)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("judge", "share"), [("misses a third", 0.5), ("misses a third", 1.0), ("random", 0.25), ("perfect", 0.05)]
)
def test_the_intervals_of_rate_and_gap_hold(benchmark: Any, judge: str, share: float) -> None:
    """200 studies of 100 items; 95 % of 200 has a standard error of 1.5 points."""
    found = benchmark.cover(np.random.default_rng(5), judge, share, 100, 200)
    for name, tally in found.items():
        assert 0.905 <= np.mean(tally.held) <= 0.99, name
    if judge == "perfect" and share < 1:
        assert np.mean(found["rate"].width) < 0.8, "a good judge helps"


def test_where_everything_is_labelled_the_labels_alone_speak() -> None:
    rng = np.random.default_rng(0)
    item = np.repeat(np.arange(40), 3)
    label = (rng.random(120) < np.repeat(rng.uniform(0.1, 0.9, 40), 3)).astype(float)
    judge = np.where(rng.random(120) < 0.3, 1 - label, label)
    sums = np.array([(label[item == one] - label.mean()).sum() for one in range(40)])
    for made in (ppi.ppi(judge, label, item), ppi.ppi(label, label, item), ppi.ppi(np.zeros(120), label, item)):
        assert made.value == pytest.approx(label.mean())
        assert made.variance == pytest.approx((sums**2).sum() / 120**2 * 40 / 39)
        low, high = made.interval
        assert (high + low) / 2 == pytest.approx(label.mean())
        assert high - low == pytest.approx(2 * 2.02269 * made.variance**0.5, rel=1e-5), "Student's t, 39 degrees"


def test_a_judge_that_is_wrong_alike_moves_nothing() -> None:
    """The corrected figure follows the labels, whatever the judge is shifted by."""
    rng = np.random.default_rng(0)
    truth = (rng.random(400) < 0.3).astype(float)
    label = np.where(np.arange(400) % 4 == 0, truth, np.nan)
    item = np.arange(400)
    right, upside_down = ppi.ppi(truth, label, item), ppi.ppi(1 - truth, label, item)
    assert right.value == pytest.approx(truth.mean())
    assert upside_down.value == pytest.approx(truth[::4].mean()), "worse than chance: left aside"


def test_labels_on_one_item_say_nothing() -> None:
    label = np.array([1.0, 0.0, np.nan, np.nan])
    found = ppi.ppi(np.ones(4), label, np.array([1, 1, 2, 3]))
    assert math.isnan(found.value)
    assert all(math.isnan(end) for end in found.interval)


def table(verdicts: dict[str, list[str]], labels: dict[str, list[str | None]], task: str = "t") -> pd.DataFrame:
    parts = []
    for arm, words in verdicts.items():
        part = pd.DataFrame({"verdict": words, "label": labels[arm], "item_id": range(len(words))})
        parts.append(part.assign(arm=arm, model="m", task=task))
    found = pd.concat(parts, ignore_index=True)
    for name, source in (("error", "verdict"), ("label_error", "label")):
        errors = [error_of(word, task) if isinstance(word, str) else None for word in found[source]]
        found[name] = pd.Series(errors, dtype=float)
    return found


def test_rates_and_gaps_are_those_of_the_labels_where_all_is_labelled() -> None:
    """Refusals count for neither; verdicts that the judge did not give are made good by people."""
    verdicts = ["correct"] * 30 + ["unparsed"] * 10 + ["incorrect"] * 20
    people: list[str | None] = ["incorrect"] * 20 + ["correct"] * 30 + ["refused"] * 10
    found = ppi.corrected(table({"original": verdicts, "warm": verdicts}, {"original": people, "warm": people}))
    rate = found.iloc[0]
    assert (rate["figure"], rate["n_labels"], rate["n_answers"]) == ("error", 60, 60)
    assert rate["judge_pct"] == pytest.approx(40)
    assert rate["corrected_pct"] == pytest.approx(100 * 20 / 50)
    gap = found.set_index("figure").loc["gap to original"]
    assert gap["corrected_pct"] == pytest.approx(0)
    assert gap["ci_high_pct"] == pytest.approx(0), "the same outcomes on the same items"


def test_a_judge_that_is_silent_on_errors_does_not_hide_them() -> None:
    """Half the warm answers are errors on which the judge says nothing; a third of all answers are labelled."""
    warm, truth = ["correct"] * 300 + ["unparsed"] * 300, ["correct"] * 300 + ["incorrect"] * 300
    some = [word if place % 3 == 0 else None for place, word in enumerate(truth)]
    base = ["correct"] * 300 + ["incorrect"] * 300
    found = ppi.corrected(table({"original": base, "warm": warm}, {"original": some, "warm": some}))
    rows = found.set_index(["arm", "figure"])
    assert rows.loc[("warm", "error"), "judge_pct"] == 0.0
    assert rows.loc[("warm", "error"), "corrected_pct"] == pytest.approx(50, abs=3)
    gap = rows.loc[("warm", "gap to original")]
    assert gap["judge_pct"] == pytest.approx(-50)
    assert gap["ci_low_pct"] < 0 < gap["ci_high_pct"]


def test_too_few_labels_and_too_few_mistakes_are_said() -> None:
    words = ["correct", "incorrect"] * 30
    few: list[str | None] = [*words[:10], *[None] * 50]
    many: list[str | None] = [*words[:40], *[None] * 20]
    found = ppi.corrected(table({"original": words, "warm": words}, {"original": few, "warm": many}))
    notes = found["note"].tolist()
    assert notes[0] == "original: fewer than 20 labels"
    assert notes[1] == "warm: judge and people differ on 0 of 40, too few for a sound interval"
    assert notes[2] == f"{notes[1]}; {notes[0]}"


def test_an_arm_without_labels_has_no_corrected_figure() -> None:
    words = ["correct", "incorrect"] * 30
    nobody: list[str | None] = [None] * 60
    found = ppi.corrected(table({"original": words, "warm": words}, {"original": [*words], "warm": nobody}))
    assert found["corrected_pct"].isna().tolist() == [False, True, True]
    assert found["ci_low_pct"].isna().tolist() == [False, True, True]
