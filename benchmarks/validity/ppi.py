"""Do the intervals corrected by labels hold? `python -m benchmarks ppi [--studies 2000]`.

Simulated studies with known truth: two arms answer the same items, four answers each; items differ in difficulty, and
in how prone the judge is to a mistake on them. People label a share of each arm's answers. Coverage of the nominal 95 %
interval for the warm arm's error rate and for its gap, with Wilson's interval, and the interval's width over that of
the labels alone. The peer, in the same studies, is the formula that takes labelled and other answers as two samples and
arms as independent (what this package printed before).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from warmgap.evaluate.stats import ppi

SHARES = (0.05, 0.25, 0.5, 0.9, 1.0)
RATES = {"original": 0.3, "warm": 0.4}
ANSWERS = 4  # to each item by each arm


def judged(rng: np.random.Generator, truth: np.ndarray, judge: str, prone: np.ndarray) -> np.ndarray:
    """The verdicts of a judge on answers that are right (0) or wrong (1)."""
    if judge == "perfect":
        return truth
    if judge == "random":
        return (rng.random(len(truth)) < 0.5).astype(float)
    if judge == "misses a third":
        return np.where(rng.random(len(truth)) < np.clip(1 / 3 + prone, 0, 1), 0.0, truth)
    if judge == "wrong on 5 %":
        return np.where(rng.random(len(truth)) < 0.05, 1 - truth, truth)
    raise ValueError(judge)


JUDGES = ("misses a third", "random", "perfect", "wrong on 5 %")


Columns = tuple[np.ndarray, np.ndarray, np.ndarray]  # of an arm's answers: the judge's error, people's, the item


def study(rng: np.random.Generator, judge: str, share: float, items: int) -> dict[str, Columns]:
    """The answers of one study: both arms to the same items, a share of each arm's labelled."""
    item = np.repeat(np.arange(items), ANSWERS)
    hard, prone = rng.uniform(-0.25, 0.25, items)[item], rng.uniform(-0.3, 0.3, items)[item]
    arms = {}
    for arm, rate in RATES.items():
        truth = (rng.random(len(item)) < rate + hard).astype(float)
        seen = rng.permutation(len(item)) < round(share * len(item))
        arms[arm] = (judged(rng, truth, judge, prone), np.where(seen, truth, np.nan), item)
    return arms


def two_samples(judge: np.ndarray, label: np.ndarray, item: np.ndarray) -> tuple[float, float]:
    """The peer: the mean and its variance as if labelled answers were not among all answers."""
    seen = ~np.isnan(label)
    f, y = judge[seen], label[seen]
    spread, covariance = float(np.var(judge)), float(np.mean((f - f.mean()) * (y - y.mean())))
    tuning = min(1.0, max(0.0, covariance / ((1 + len(f) / len(judge)) * spread))) if spread > 0 else 0.0
    value = tuning * float(judge.mean()) + float(np.mean(y - tuning * f))
    return value, tuning**2 * clustered(judge, item) + clustered(y - tuning * f, item[seen])


def clustered(values: np.ndarray, item: np.ndarray) -> float:
    """The variance of a mean whose values repeat within items."""
    groups = int((np.bincount(item) > 0).sum())
    sums = np.bincount(item, values - values.mean())
    return float(sums @ sums) / len(values) ** 2 * groups / (groups - 1)


@dataclass
class Tally:
    """How often an interval held, and how wide it was over that of the labels alone."""

    held: list[bool] = field(default_factory=list)
    peer: list[bool] = field(default_factory=list)
    width: list[float] = field(default_factory=list)


def cover(rng: np.random.Generator, judge: str, share: float, items: int, studies: int) -> dict[str, Tally]:
    """Coverage of rate and gap in so many studies."""
    tallies = {"rate": Tally(), "gap": Tally()}
    for _ in range(studies):
        arms = study(rng, judge, share, items)
        found = {arm: ppi.ppi(*values) for arm, values in arms.items()}
        peer = {arm: two_samples(*values) for arm, values in arms.items()}
        alone = {arm: ppi.mean(y[~np.isnan(y)], item[~np.isnan(y)]) for arm, (_, y, item) in arms.items()}
        gap, truth = RATES["warm"] - RATES["original"], RATES["warm"]
        (value, variance), (base, more) = peer["warm"], peer["original"]
        by_peer = {"rate": (value, variance), "gap": (value - base, variance + more)}
        for name, one, own, true in (
            ("rate", found["warm"], alone["warm"], truth),
            ("gap", found["warm"] - found["original"], alone["warm"] - alone["original"], gap),
        ):
            low, high = one.interval
            value, variance = by_peer[name]
            tallies[name].held.append(low <= true <= high)
            tallies[name].peer.append(abs(value - true) <= 1.959964 * variance**0.5)
            tallies[name].width.append((high - low) / (own.interval[1] - own.interval[0]))
    return tallies


def main() -> None:
    """Print a line for each judge, share of labels and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--items", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judge", choices=JUDGES, help="one of the judges alone")
    options = parser.parse_args()
    print(f"{options.items} items, {ANSWERS} answers each by two arms, {options.studies} studies a line")
    print(f"{'judge':15} {'labelled':>8} {'figure':6} {'covered %':>10}  {'Wilson':13} {'peer %':>7} {'width':>6}")
    for judge in [options.judge] if options.judge else JUDGES:
        for share in SHARES:
            rng = np.random.default_rng([options.seed, JUDGES.index(judge), round(100 * share)])
            for name, tally in cover(rng, judge, share, options.items, options.studies).items():
                low, high = proportion_confint(sum(tally.held), len(tally.held), method="wilson")
                line = f"{judge:15} {share:>8.2f} {name:6} {100 * np.mean(tally.held):>10.1f}  "
                line += f"{100 * low:.1f} to {100 * high:.1f}  {100 * np.mean(tally.peer):>6.1f}"
                print(f"{line} {np.mean(tally.width):>6.2f}", flush=True)


if __name__ == "__main__":
    main()
