"""One bootstrap: the same draws for the same seed, however many are held at once, and means that follow from them."""

from __future__ import annotations

import numpy as np
import pytest

from warmgap.evaluate.stats import bootstrap


@pytest.mark.parametrize("at_once", [1, 50, 10_000])
def test_draws_do_not_depend_on_how_many_are_held_at_once(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = np.random.default_rng(7).integers(0, 9, size=(40, 9))
    monkeypatch.setattr(bootstrap, "AT_ONCE", at_once)
    np.testing.assert_array_equal(np.concatenate(list(bootstrap.drawn(9, 40, 7))), expected)


def test_all_but_one_are_drawn_where_the_spread_is_to_be_unbiased() -> None:
    times = bootstrap.times(6, 200, 3)
    assert times.shape == (200, 6)
    assert set(times.sum(axis=1)) == {5.0}
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(times[0], np.bincount(rng.integers(0, 6, 5), minlength=6))
    assert bootstrap.times(0, 4, 0).shape == (4, 0)


def test_means_are_of_the_pairs_of_the_items_drawn() -> None:
    sums, counts = np.array([[1.0, 0.0], [4.0, 2.0], [2.0, 0.0]]), np.array([[1.0, 0.0], [2.0, 1.0], [2.0, 0.0]])
    found = bootstrap.means(sums, counts, 300, 1)
    order = np.lexsort(np.hstack([sums, counts]).T)
    for drawn, (first, second) in zip(next(bootstrap.drawn(3, 300, 1)), found, strict=True):
        some = order[drawn]
        assert first == pytest.approx(sums[some, 0].sum() / counts[some, 0].sum())
        known = counts[some, 1].sum()
        assert second == pytest.approx(sums[some, 1].sum() / known if known else np.nan, nan_ok=True)
    assert np.isnan(found[:, 1]).any(), "a draw without the only item of a set has no mean of it"
    np.testing.assert_array_equal(found, bootstrap.means(sums[::-1], counts[::-1], 300, 1))
