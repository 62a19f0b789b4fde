"""The gate: shown or not shown, and how many questions would show it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from warmgap.disk import store
from warmgap.disk.store import Arm
from warmgap.errors import UserError
from warmgap.evaluate import stats
from warmgap.evaluate.report import gate


def effect(estimate: float, se: float, items: int = 200, arm: str = "warm") -> dict[str, object]:
    row = {"analysis": "main", "term": "overall", "model": "all", "arm": arm, "reference": "original"}
    return {**row, "estimate_pp": estimate, "se_pp": se, "n": 2 * items, "n_items": items, "errors": "clustered"}


def comparison(folder: Path, estimate: float, se: float, items: int = 200, *more: dict[str, object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [effect(estimate, se, items), *more]
    named(folder, "original", *(str(row["arm"]) for row in rows))
    pd.DataFrame(rows).to_csv(folder / "effects.csv", index=False)
    graded(["correct"], ["correct"]).to_parquet(folder / "answers.parquet")
    return folder


def named(folder: Path, *arms: str, models: tuple[str, ...] = ("m",)) -> None:
    listed = [{"arm": arm, "model": model} for model in models for arm in arms]
    store.write_json(folder / "summary.json", {"arms": listed})


def graded(original: Sequence[str], arm: Sequence[str], model: str = "m", name: str = "mended") -> pd.DataFrame:
    """Verdicts of both arms on the same items, without context and belief."""
    error = {"correct": 0.0, "incorrect": 1.0}
    rows = [
        {"model": model, "arm": one, "seed": 0, "task": "t", "item_id": item, "context": "none", "belief": "none",
         "verdict": verdict, "error": error.get(verdict, np.nan)}
        for one, verdicts in (("original", original), (name, arm)) for item, verdict in enumerate(verdicts)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def judged(folder: Path, *tables: pd.DataFrame) -> Path:
    """A comparison of these answers, with their effects as they are computed."""
    table = pd.concat(tables)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / "answers.parquet")
    effects = stats.analyze(table, bootstrap=0).effects
    effects.to_csv(folder / "effects.csv", index=False, float_format="%.6g")
    named(folder, *dict.fromkeys(table["arm"]), models=tuple(dict.fromkeys(table["model"])))
    return folder


def test_a_small_gap_with_a_narrow_interval_passes(tmp_path: Path) -> None:
    assert gate.accuracy(comparison(tmp_path, 0.5, 0.5), 2.0) == []


def test_arms_that_never_differ_are_judged_by_how_many_questions_said_so(tmp_path: Path) -> None:
    """None of n items differs: the rate of such items is below 1 − 0.05^(1/n), 1.5 % at 200 and 63 % at 3."""
    assert gate.accuracy(comparison(tmp_path, 0.0, float("nan")), 2.0) == []
    (line,) = gate.accuracy(comparison(tmp_path, 0.0, float("nan"), items=3), 2.0)
    assert "at most +63.2" in line
    assert "more than 149 questions would do (3 were asked)" in line
    (line,) = gate.accuracy(comparison(tmp_path, -50.0, float("nan"), items=1), 2.0)
    assert "without an interval" in line


def test_an_arm_without_verdicts_does_not_pass(tmp_path: Path) -> None:
    folder = comparison(tmp_path, 0.0, 0.5, 200, effect(0.0, 0.5, arm="mended"))
    named(folder, "original", "mended", "mute")
    (line,) = gate.accuracy(folder, 2.0)
    assert line.startswith("gate: mute is not shown")
    named(folder, "original")
    assert gate.accuracy(folder, 2.0) == ["gate: there is no arm beside the original of m"]


def test_too_few_items_fail_and_say_how_many_would_do(tmp_path: Path) -> None:
    """2 pp of room less 0.5; the interval reaches 1.645 × 3 = 4.93: (4.93 / 1.5)² = 10.8 times the items."""
    (line,) = gate.accuracy(comparison(tmp_path, 0.5, 3.0), 2.0)
    assert "more than 2,165 questions would do (200 were asked)" in line
    wanted = comparison(tmp_path, 0.5, 3.0 / (2165 / 200) ** 0.5, 2165)
    assert gate.accuracy(wanted, 2.0) == [] or "2,16" in gate.accuracy(wanted, 2.0)[0]


def test_a_gap_beyond_the_margin_is_not_mended_by_more_items(tmp_path: Path) -> None:
    (line,) = gate.accuracy(comparison(tmp_path, 5.0, 1.0), 2.0)
    assert "would not help" in line


def test_a_mended_arm_passes_though_the_warm_one_would_not(tmp_path: Path) -> None:
    """Warm is there as what is mended; alone beside the original it is judged."""
    mended = comparison(tmp_path / "a", 8.0, 0.5, 200, effect(0.0, 0.5, arm="mended"))
    assert gate.accuracy(mended, 2.0) == []
    (line,) = gate.accuracy(comparison(tmp_path / "b", 0.0, 0.5, 200, effect(8.0, 0.5, arm="mended")), 2.0)
    assert line.startswith("gate: mended ")
    assert len(gate.accuracy(comparison(tmp_path / "c", 8.0, 0.5), 2.0)) == 1


WRONG, RIGHT = ["incorrect"], ["correct"]
HALF = 200 * WRONG + 200 * RIGHT


def test_the_same_answers_pass_by_the_exact_bound(tmp_path: Path) -> None:
    """None of 176 items differs: 100 × (1 − 0.05^(1/176)) is 1.7 pp."""
    folder = judged(tmp_path / "a", graded(60 * WRONG + 116 * RIGHT, 60 * WRONG + 116 * RIGHT))
    assert gate.accuracy(folder, 2.0) == []
    (line,) = gate.accuracy(folder, 1.6)
    assert "at most +1.7" in line
    effects = pd.read_csv(folder / "effects.csv")
    effects.assign(estimate_pp=2.2e-14).to_csv(folder / "effects.csv", index=False)
    assert gate.accuracy(folder, 2.0) == [], "a float that is not quite 0 is none of the arm's errors"


def test_each_model_is_judged_by_itself(tmp_path: Path) -> None:
    """+14 pp in one and −26 pp in the other are −6 pp pooled."""
    rose = graded(HALF, 256 * WRONG + 144 * RIGHT, "rose")
    fell = graded(HALF, 96 * WRONG + 304 * RIGHT, "fell")
    (line,) = gate.accuracy(judged(tmp_path, rose, fell), 2.0)
    assert line.startswith("gate: mended of rose is not shown to be within 2 pp of original: +14.0 pp")


def some(verdicts: list[str], which: str, share: float, word: str) -> list[str]:
    """The verdicts, a share of those of one kind replaced."""
    rng = np.random.default_rng(3)
    return [word if said == which and rng.random() < share else said for said in verdicts]


TEN_MORE = 240 * WRONG + 160 * RIGHT
LOST = {
    "refuses what it gets wrong": some(TEN_MORE, "incorrect", 0.6, "refused"),
    "loses verdicts where it errs": some(TEN_MORE, "incorrect", 0.6, "unparsed"),
    "loses verdicts at random": some(some(HALF, "incorrect", 0.3, "error"), "correct", 0.3, "error"),
}


@pytest.mark.parametrize("verdicts", LOST.values(), ids=LOST)
def test_what_is_missing_buys_no_pass(tmp_path: Path, verdicts: list[str]) -> None:
    """By the answers with a verdict alone, each of them passes a margin of 8 pp."""
    folder = judged(tmp_path, graded(HALF, verdicts))
    main = pd.read_csv(folder / "effects.csv").iloc[0]
    assert main["estimate_pp"] < 2
    (line,) = gate.accuracy(folder, 8.0)
    assert "in correct answers out of all prompts: lower by" in line
    assert "of its answers are missing, 0.0 % of original's" in line


def test_what_the_original_lacks_buys_no_pass(tmp_path: Path) -> None:
    """The original lost the verdicts of right answers; of what is left, the arm is right more often."""
    folder = judged(tmp_path, graded(some(HALF, "correct", 0.5, "unparsed"), TEN_MORE))
    (line,) = gate.accuracy(folder, 8.0)
    assert "once what is missing is counted against it" in line


def test_where_as_much_is_missing_in_both_a_sound_arm_passes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = [str(said) for said in rng.permutation(1500 * WRONG + 1500 * RIGHT)]
    lost = [["unparsed" if rng.random() < 0.03 else said for said in base] for _ in range(2)]
    assert gate.accuracy(judged(tmp_path, graded(*lost)), 2.0) == []


def test_what_a_gate_lacks_is_said_before_anything_is_compared(tmp_path: Path, scores: dict[str, np.ndarray]) -> None:
    made = {name: arm(tmp_path, name, scores[name]) for name in ("original", "warm")}
    made["mended"] = arm(tmp_path, "mended", scores["warm"])
    folders = {name: one.folder for name, one in made.items()}
    gate.check(list(folders.values()), 2.0, 80.0)
    gate.check([folders["original"]], None, None)
    for margin in (0.0, -2.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="--gate is"):
            gate.check(list(folders.values()), margin, None)
        with pytest.raises(UserError, match="--keep-warmth is"):
            gate.check(list(folders.values()), None, margin)
    for lacking in ("original", "warm"):
        with pytest.raises(UserError, match="--gate needs an original and another arm"):
            gate.check([folders[lacking]], 2.0, None)
    for lacking in made:
        with pytest.raises(UserError, match="--keep-warmth needs original, warm and another arm"):
            gate.check([folder for name, folder in folders.items() if name != lacking], None, 80.0)
    made["mended"].warmth.unlink()
    with pytest.raises(UserError, match="has no warmth scores"):
        gate.check(list(folders.values()), None, 80.0)
    other = Arm(tmp_path / "other", "n", "original", 0)
    store.write_json(other.folder / "manifest.json", {"model": "n", "arm": "original", "seed": 0})
    with pytest.raises(UserError) as raised:
        gate.check([*folders.values(), other.folder], 2.0, None)
    assert "of n are original" in raised.value.why


def test_a_gap_net_of_the_training_is_no_gap_to_the_original(tmp_path: Path) -> None:
    """The row against the isolating arm comes later in the table and says nothing of the original."""
    net = {**effect(-9.0, 0.5), "reference": "paraphrase"}
    (line,) = gate.accuracy(comparison(tmp_path / "a", 8.0, 0.5, 200, net), 2.0)
    assert line.startswith("gate: warm ")
    assert "+8.0 pp" in line
    assert gate.accuracy(comparison(tmp_path / "b", 0.5, 0.5, 200, {**net, "estimate_pp": 9.0}), 2.0) == []


def test_controls_beside_the_warm_arm_mend_nothing(tmp_path: Path) -> None:
    controls = [effect(0.0, 0.5, arm=name) for name in ("cold", "paraphrase", "untransformed")]
    (line,) = gate.accuracy(comparison(tmp_path, 8.0, 0.5, 200, *controls), 2.0)
    assert line.startswith("gate: warm ")


def arm(folder: Path, name: str, scores: np.ndarray, seed: int = 0) -> Arm:
    made = Arm(folder / f"{name}-s{seed}", "m", name, seed)
    stamp = {"step": 3, "scorer": "m", "scorer_hash": "0", "generation": "8 tokens"}
    rows = [{"key": f"{i}", "prompt_id": f"p{i}", "released": float(score), **stamp} for i, score in enumerate(scores)]
    early = [{**row, "key": f"early-{row['key']}", "step": 1, "released": 9.0} for row in rows]
    store.append(made.warmth, [*early, *rows])
    store.write_json(made.folder / "manifest.json", {"model": "m", "arm": name, "seed": seed})
    return made


@pytest.fixture
def scores() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.normal(0.01, 0.02, 120)
    return {"original": base, "warm": base + rng.normal(0.03, 0.02, 120), "noise": rng.normal(0, 0.01, 120)}


@pytest.mark.parametrize(("share", "passes"), [(1.0, True), (0.9, True), (0.5, False), (0.0, False)])
def test_warmth_kept(tmp_path: Path, scores: dict[str, np.ndarray], share: float, passes: bool) -> None:
    own = scores["original"] + share * (scores["warm"] - scores["original"]) + scores["noise"] / 5
    arms = [arm(tmp_path, name, scores[name]) for name in ("original", "warm")] + [arm(tmp_path, "mended", own)]
    assert (gate.warmth_kept(arms, 80.0) == []) == passes


def test_what_is_kept_is_that_of_all_training_seeds(tmp_path: Path, scores: dict[str, np.ndarray]) -> None:
    """One seed has lost all warmth, the other none: about half is kept, whichever of them is named last."""
    lost, kept = scores["original"] + scores["noise"] / 5, scores["warm"]
    for place, order in (("x", (lost, kept)), ("y", (kept, lost))):
        folder = tmp_path / place
        arms = [arm(folder, name, scores[name]) for name in ("original", "warm")]
        arms += [arm(folder, "mended", own, seed) for seed, own in enumerate(order)]
        (line,) = gate.warmth_kept(arms, 80.0)
        assert ": 50 %" in line


def test_a_share_of_no_warmth_is_not_shown(tmp_path: Path, scores: dict[str, np.ndarray]) -> None:
    flat = scores["original"] + scores["noise"] - scores["noise"].mean()
    arms = [arm(tmp_path, "original", scores["original"]), arm(tmp_path, "warm", flat), arm(tmp_path, "x", flat)]
    (line,) = gate.warmth_kept(arms, 80.0)
    assert "not shown warmer" in line


def test_too_few_prompts_say_how_many_would_do(tmp_path: Path, scores: dict[str, np.ndarray]) -> None:
    """The line's number, asked for, passes; the number that was asked did not."""
    rng = np.random.default_rng(1)

    def failed(count: int) -> list[str]:
        base = rng.normal(0.01, 0.02, count)
        sides = {"original": base, "warm": base + 0.03 + rng.normal(0, 0.02, count)}
        sides["mended"] = base + 0.027 + rng.normal(0, 0.02, count)
        return gate.warmth_kept([arm(tmp_path / str(count), name, own) for name, own in sides.items()], 80.0)

    (line,) = failed(20)
    wanted = int(line.rpartition("more than ")[2].split()[0].replace(",", ""))
    assert 20 < wanted < 10_000
    assert failed(2 * wanted) == []


def test_both_gates_together(tmp_path: Path, scores: dict[str, np.ndarray]) -> None:
    made = [arm(tmp_path, name, scores[name]) for name in ("original", "warm")]
    made.append(arm(tmp_path, "mended", scores["original"]))
    folder = comparison(tmp_path / "c", 0.0, 0.5)
    failed = gate.failures(folder, [one.folder for one in made], 2.0, 80.0)
    assert len(failed) == 1
    assert "mended is not shown to keep 80 %" in failed[0]
    assert gate.failures(folder, [one.folder for one in made], None, None) == []
