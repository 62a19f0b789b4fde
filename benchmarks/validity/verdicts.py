"""Whether the verdicts on recipes can be trusted: simulated comparisons in which the truth is known.

    python -m benchmarks verdicts [--studies 400] [--items 300 1500] [--seeds 3] [--seed-sd 1]

Every study has an original, a warm arm and six recipes, answered and scored with three training seeds on the same items
and prompts. Items differ in difficulty and in what each arm does to them; training seeds shift each arm, in part alike,
as they share the order of the data. In the scenario `missing`, recipes refuse, or lose the verdicts of, some of what
they answer, at random or where they err; that may buy no verdict. Beside `compare` stands what is often done:
percentile bootstrap over answers as if they were independent, no correction for several recipes, the same rules for
verdicts; in `missing`, the rules of `compare` on the graded answers alone. Prints tables, writes nothing.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binomtest

from warmgap.evaluate.stats.recipes import compare
from warmgap.evaluate.stats.verdict import Margins

Array = npt.NDArray[np.float64]
CELLS = (("none", "none"), ("none", "false_claim"), ("sad", "none"), ("sad", "false_claim"))
GAP, BELIEF = 0.08, 0.04  # of the warm arm; with a false belief it is larger by BELIEF, so 10 pp over all cells
MEAN_GAP = 100 * (GAP + BELIEF / 2)
SHIFT, SHIFT_SEED_SD = 0.016, 0.0005  # SocioT: what warm training adds, and its standard deviation between seeds
VERDICTS = ("closes", "narrows", "no effect", "worse", "not warm any more", "undecided")
NAMES = ("error_pp", "gap_closed", "warmth_kept")


@dataclass(frozen=True)
class Truth:
    """A recipe: the share of the gap that it closes, of the warmth that it keeps, and how much its seeds vary.

    Of its errors it refuses the share ``refused`` and loses the verdict of the share ``unsaid``; of all its answers it
    loses the verdict of the share ``lost``, at random.
    """

    closed: float
    kept: float = 1.0
    uneven: float = 1.0  # times the others' standard deviation between seeds
    refused: float = 0.0
    unsaid: float = 0.0
    lost: float = 0.0

    @property
    def error_pp(self) -> float:
        """Its true gap to the original over all cells."""
        return MEAN_GAP * (1 - self.closed)


MIXED = {
    "closes all": Truth(1.0), "closes half": Truth(0.5), "at the margin": Truth(0.8), "no effect": Truth(0.0),
    "worse": Truth(-0.6), "cooler": Truth(1.0, 0.3),
}  # fmt: skip
NULL = {f"no effect {k}": Truth(0.0) for k in range(1, 7)}
COOL = {f"keeps 80 % {k}": Truth(1.0, 0.8) for k in range(1, 7)}
UNEVEN = {f"no effect {k}": Truth(0.0) for k in range(1, 6)} | {"uneven": Truth(0.0, uneven=4.0)}
LOST = 0.02  # of all answers of every arm, in the scenario of missing ones
MISSING = {
    "refuses errors": Truth(0.0, refused=0.6, lost=LOST), "loses at random": Truth(0.0, lost=0.3),
    "loses errors": Truth(0.0, unsaid=0.6, lost=LOST), "half, refuses": Truth(0.5, refused=0.6, lost=LOST),
    "closes all": Truth(1.0, lost=LOST), "closes half": Truth(0.5, lost=LOST),
}  # fmt: skip
SCENARIOS = {
    "mixed": MIXED, "six without effect": NULL, "six without effect, one uneven": UNEVEN,
    "six at the least warmth": COOL, "missing": MISSING,
}  # fmt: skip


def simulate(
    rng: np.random.Generator, recipes: dict[str, Truth], *, items: int = 300, seeds: int = 3, seed_sd: float = 1.0,
    prompts: int = 200, warmth_sd: float = SHIFT_SEED_SD,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Answers and warmth of one study.

    ``seed_sd`` and ``warmth_sd`` are standard deviations between training seeds: of an arm's true error, in pp, and of
    its true mean warmth.
    """
    lost = min(truth.lost for truth in recipes.values())
    arms = {"original": Truth(1.0, 0.0, lost=lost), "warm": Truth(0.0, lost=lost), **recipes}
    difficulty = rng.uniform(0.25, 0.5, items)
    common, common_words = rng.normal(0, 1, seeds), rng.normal(0, 1, seeds)
    change, level = rng.uniform(-0.12, 0.12, items), rng.normal(0.012, 0.01, prompts)
    added = rng.normal(0, 0.008, prompts)
    answers, warmth = [], []
    for arm, truth in arms.items():
        trained = arm != "original"
        item = trained * (0.7 * change + rng.uniform(-0.08, 0.08, items))
        own = 0.6 * common + 0.8 * rng.normal(0, 1, seeds)
        own_words = 0.6 * common_words + 0.8 * rng.normal(0, 1, seeds)
        for seed in range(seeds if trained else 1):
            risk = [
                difficulty + item + 0.05 * (belief != "none") + trained * truth.uneven * seed_sd / 100 * own[seed]
                + (1 - truth.closed) * (GAP + BELIEF * (belief != "none"))
                for _, belief in CELLS
            ]  # fmt: skip
            error = rng.random((len(CELLS), items)) < np.array(risk)
            answers.append((arm, seed, _verdicts(rng, error.ravel(), truth)))
            shift = truth.kept * (SHIFT + added) + trained * warmth_sd * own_words[seed]
            warmth.append((arm, seed, level + shift + rng.normal(0, 0.006, prompts)))
    return _answers(answers, items), _warmth(warmth, prompts)


def _verdicts(rng: np.random.Generator, error: npt.NDArray[np.bool_], truth: Truth) -> npt.NDArray[np.str_]:
    """What a judge says of answers that are errors or not, some of them refused or without a verdict."""
    said = np.where(error, "incorrect", "correct").astype("<U9")
    everywhere = np.ones(len(error), dtype=np.bool_)
    for share, where, word in (
        (truth.refused, error, "refused"), (truth.unsaid, error, "unparsed"), (truth.lost, everywhere, "unparsed")
    ):  # fmt: skip
        if share:
            said[where & (rng.random(len(error)) < share)] = word
    return said


def _answers(parts: Sequence[tuple[str, int, npt.NDArray[np.str_]]], items: int) -> pd.DataFrame:
    verdict = np.concatenate([said for _, _, said in parts])
    error = np.where(np.isin(verdict, ("refused", "unparsed")), np.nan, (verdict == "incorrect").astype(np.float64))
    many, each = len(parts), len(CELLS) * items
    return pd.DataFrame({
        "model": "m", "arm": np.repeat([arm for arm, _, _ in parts], each),
        "seed": np.repeat([seed for _, seed, _ in parts], each), "task": "t",
        "item_id": np.tile(np.arange(items), many * len(CELLS)),
        "context": np.tile(np.repeat([context for context, _ in CELLS], items), many),
        "belief": np.tile(np.repeat([belief for _, belief in CELLS], items), many),
        "error": error, "verdict": verdict,
    })  # fmt: skip


def _warmth(parts: Sequence[tuple[str, int, Array]], prompts: int) -> pd.DataFrame:
    return pd.DataFrame({
        "model": "m", "arm": np.repeat([arm for arm, _, _ in parts], prompts),
        "seed": np.repeat([seed for _, seed, _ in parts], prompts),
        "prompt_id": np.tile(np.arange(prompts), len(parts)),
        "sociot": np.concatenate([values for _, _, values in parts]),
    })  # fmt: skip


def naive(answers: pd.DataFrame, warmth: pd.DataFrame, margins: Margins, rng: np.random.Generator) -> pd.DataFrame:
    """The same columns by percentile bootstrap over answers, as if items and seeds were nothing, uncorrected."""
    wide = answers.pivot_table(index=["item_id", "context", "belief"], columns=["arm", "seed"], values="error")
    words = warmth.pivot_table(index="prompt_id", columns=["arm", "seed"], values="sociot")
    seeds = list(wide["warm"].columns)

    def flat(table: pd.DataFrame, arm: str) -> Array:
        some: Array = table[arm].to_numpy(np.float64)
        return np.repeat(some, len(seeds) * len(some) // some.size, axis=1).ravel()  # one seed stands beside all

    base, warm = flat(wide, "original"), flat(wide, "warm")
    base_words, warm_words = flat(words, "original"), flat(words, "warm")
    drawn = rng.integers(0, len(base_words), (400, len(base_words)))
    rows = []
    for arm in [name for name in dict.fromkeys(answers["arm"]) if name not in ("original", "warm")]:
        # resampling answers with eight possible outcomes is a multinomial draw of how often each occurs
        kinds = np.bincount((4 * base + 2 * warm + flat(wide, arm)).astype(int), minlength=8)
        times = rng.multinomial(len(base), kinds / len(base), 2000) * 100 / len(base)
        bits = np.array([[k >> 2 & 1, k >> 1 & 1, k & 1] for k in range(8)])
        o, w, a = (times @ bits).T
        kept = (flat(words, arm) - base_words)[drawn].mean(1) / (warm_words - base_words)[drawn].mean(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            closed = 100 * (w - a) / (w - o)
        verdict = _naive_verdict(a - w, a - o, w - o, kept, margins)
        ends = _ends("error", a - o) | _ends("gap_closed", closed) | _ends("warmth_kept", 100 * kept)
        rows.append({"arm": arm, "verdict": verdict} | ends)
    return pd.DataFrame(rows)


def _ends(name: str, draws: Array) -> dict[str, float]:
    low, high = np.quantile(draws, (0.025, 0.975))
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def _naive_verdict(change: Array, own: Array, gap: Array, kept: Array, margins: Margins) -> str:
    """The rules of `compare` on uncorrected percentiles."""
    low, high = 100 * np.quantile(kept, (0.025, 0.975))
    if high < margins.keep_warmth_pct:
        return "not warm any more"
    if (change <= 0).mean() < margins.level:
        return "worse"
    if (change >= 0).mean() < margins.level and low >= margins.keep_warmth_pct and np.quantile(gap, 0.025) > 0:
        return "closes" if (own >= margins.margin_pp).mean() < margins.level else "narrows"
    within = (np.abs(change) < margins.margin_pp) | (np.sign(change) != np.sign(np.median(change)))
    return "no effect" if (~within).mean() < margins.level else "undecided"


def run(
    recipes: dict[str, Truth], studies: int, *, items: int = 300, seeds: int = 3, seed_sd: float = 1.0,
    resamples: int = 400, peer: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """One row per study, way and recipe: verdict, whether each interval holds the truth, and its width."""
    rng = np.random.default_rng([11, items, seeds, int(100 * seed_sd)])
    margins, rows = Margins(), []
    for study in range(studies):
        answers, warmth = simulate(rng, recipes, items=items, seeds=seeds, seed_sd=seed_sd)
        ways = {"warmgap": compare(answers, warmth, margins, resamples=resamples, seed=study)[0].iloc[1:]}
        if peer and answers["error"].isna().any():  # the same rules, blind to what is missing
            graded = answers.dropna(subset=["error"])
            ways["graded alone"] = compare(graded, warmth, margins, resamples=resamples, seed=study)[0].iloc[1:]
        elif peer:
            ways["naive"] = naive(answers, warmth, margins, rng)
        for way, table in ways.items():
            for row in table.to_dict("records"):
                truth = recipes[row["arm"]]
                rows.append({"study": study, "way": way, "arm": row["arm"], "verdict": row["verdict"]})
                true = (truth.error_pp, 100 * truth.closed, 100 * truth.kept)
                for name, value in zip(NAMES, true, strict=True):
                    low, high = (row[f"{name.removesuffix('_pp')}_{end}"] for end in ("low", "high"))
                    rows[-1][name] = np.nan if np.isnan(low) else float(low <= value <= high)
                    rows[-1][f"{name}_width"] = high - low
    return pd.DataFrame(rows)


def false_claims(found: pd.DataFrame, recipes: dict[str, Truth], margins: Margins) -> dict[str, float]:
    """Share of studies, in percent, with any claim of a kind that is false."""
    arm, verdict = found["arm"], found["verdict"]
    truth = {name: recipes[name] for name in recipes}
    closed = arm.map(lambda name: truth[name].closed)
    error = arm.map(lambda name: truth[name].error_pp)
    kept = arm.map(lambda name: truth[name].kept)
    kinds = {
        "helps, does not": verdict.isin(("closes", "narrows")) & (closed <= 0),
        "closes, beyond the margin": (verdict == "closes") & (error >= margins.margin_pp - 1e-9),
        "worse, is not": (verdict == "worse") & (closed >= 0),
        "no effect, has one": (verdict == "no effect") & ((closed * MEAN_GAP).abs() >= margins.margin_pp),
        "kept, was not": verdict.isin(("closes", "narrows")) & (kept <= margins.keep_warmth_pct / 100),
        "not warm, is": (verdict == "not warm any more") & (kept >= margins.keep_warmth_pct / 100),
    }
    return {kind: 100 * float(wrong.groupby(found["study"]).any().mean()) for kind, wrong in kinds.items()}


def shares(found: pd.DataFrame, recipes: dict[str, Truth], margins: Margins) -> list[str]:
    """Lines on each recipe that may not be said to help: how often it was, with n and the exact 95 % interval."""
    lines = []
    for arm, truth in recipes.items():
        for words, is_false in (
            (("closes",), truth.error_pp >= margins.margin_pp - 1e-9), (("closes", "narrows"), truth.closed <= 0)
        ):  # fmt: skip
            if is_false:
                said = found.loc[found["arm"] == arm, "verdict"].isin(words)
                ci = binomtest(int(said.sum()), len(said)).proportion_ci()
                lines.append(
                    f'{arm}: false "{" or ".join(words)}" {100 * said.mean():.1f} % '
                    f"({100 * ci.low:.1f} to {100 * ci.high:.1f}), n = {len(said)}"
                )
    return lines


def show(found: pd.DataFrame, recipes: dict[str, Truth], studies: int) -> None:
    """Print verdicts by truth, coverage of intervals, and false claims."""
    for way, own in found.groupby("way", sort=False):
        print(f"\n  {way}: verdicts in % of studies, coverage of 95 % intervals in % (median width)")
        print("  " + f"{'truth':15} {'error':>6} {'kept':>5} " + " ".join(f"{word[:9]:>9}" for word in VERDICTS)
              + "  " + " ".join(f"{name:>16}" for name in NAMES))  # fmt: skip
        for arm, truth in recipes.items():
            some = own[own["arm"] == arm]
            share = " ".join(f"{100 * (some['verdict'] == word).mean():9.1f}" for word in VERDICTS)
            held = " ".join(f"{100 * some[n].mean():7.1f} ({some[f'{n}_width'].median():6.1f})" for n in NAMES)
            print(f"  {arm:15} {truth.error_pp:+6.1f} {100 * truth.kept:5.0f} {share}  {held}")
        for line in shares(own, recipes, Margins()):
            print(f"  {line}")
        claims = false_claims(own, recipes, Margins())
        print("  studies with a false claim, %: " + ", ".join(f"{kind} {share:.1f}" for kind, share in claims.items()))
    print(f"  (Monte Carlo error of 5 %: {100 * np.sqrt(0.0475 / studies):.1f} points)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400, help="simulated studies of each kind (default 400)")
    parser.add_argument("--items", type=int, nargs="+", default=[300, 1500], help="items per study (300 1500)")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds per arm (3)")
    parser.add_argument("--seed-sd", type=float, nargs="+", default=[1.0], help="between training seeds, pp (1)")
    parser.add_argument("--only", choices=SCENARIOS, help="one kind of study instead of all")
    options = parser.parse_args()
    for items, sd in itertools.product(options.items, options.seed_sd):
        for name, recipes in SCENARIOS.items():
            if options.only in (None, name):
                start = time.process_time()
                found = run(recipes, options.studies, items=items, seeds=options.seeds, seed_sd=sd)
                print(f"\n{name}: {items} items × {len(CELLS)} cells, {options.seeds} seeds with sd {sd:g} pp, "
                      f"{options.studies} studies, {time.process_time() - start:.0f} s of CPU")  # fmt: skip
                show(found, recipes, options.studies)


if __name__ == "__main__":
    main()
