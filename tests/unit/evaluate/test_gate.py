"""The gate: shown or not shown, and how many questions would show it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from warmgap import store
from warmgap.errors import UserError
from warmgap.evaluate import gate
from warmgap.store import Arm


def effect(estimate: float, se: float, items: int = 200, arm: str = "warm") -> dict[str, object]:
    row = {"analysis": "main", "term": "overall", "model": "all", "arm": arm, "reference": "original"}
    return {**row, "estimate_pp": estimate, "se_pp": se, "n": 2 * items, "n_items": items, "errors": "clustered"}


def comparison(folder: Path, estimate: float, se: float, items: int = 200, *more: dict[str, object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [effect(estimate, se, items), *more]
    arms = [{"arm": "original"}, *({"arm": row["arm"]} for row in rows)]
    store.write_json(folder / "summary.json", {"arms": arms})
    pd.DataFrame(rows).to_csv(folder / "effects.csv", index=False)
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
    store.write_json(folder / "summary.json", {"arms": [{"arm": name} for name in ("original", "mended", "mute")]})
    (line,) = gate.accuracy(folder, 2.0)
    assert line.startswith("gate: mute is not shown")
    store.write_json(folder / "summary.json", {"arms": [{"arm": "original"}]})
    assert gate.accuracy(folder, 2.0) == ["gate: there is no arm beside the original"]


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


def test_without_a_warm_arm_nothing_can_be_kept(tmp_path: Path, scores: dict[str, np.ndarray]) -> None:
    """Nor is there a share to judge where warm itself is the only other arm."""
    alone = [arm(tmp_path, "original", scores["original"])]
    for arms in (alone, [*alone, arm(tmp_path, "warm", scores["warm"])], [*alone, arm(tmp_path, "x", scores["warm"])]):
        with pytest.raises(UserError, match="needs original, warm and another arm"):
            gate.warmth_kept(arms, 80.0)


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
