"""The commands that read arms from disk, and the personas that train nothing, on the folder of a real run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from real_runs import TINY, Done, Runs, journal, train, warmgap

from warmgap.disk import seals, store

REST = tuple(argument for argument in TINY if not argument.startswith("+persona="))
MAIN = ["estimate_pp", "se_pp", "ci_low_pp", "ci_high_pp", "p", "n", "n_items"]


def main_effect(folder: Path, errors: str = "clustered") -> dict[str, float]:
    effects = pd.read_csv(folder / "effects.csv")
    (row,) = effects[(effects["analysis"] == "main") & (effects["errors"] == errors)][MAIN].to_dict("records")
    return {str(key): float(value) for key, value in row.items()}


@pytest.fixture
def copied(tiny_smoke: Runs, tmp_path: Path) -> Runs:
    """A copy of the tiny model's run, to add arms to."""
    shutil.copytree(tiny_smoke.folder, tmp_path / "runs")
    return Runs(tmp_path / "runs")


# ---- compare ----


@pytest.fixture(scope="module")
def compared(tiny_smoke: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """The two arms compared again, into a folder of its own, with a gate that nothing can pass."""
    place = tmp_path_factory.mktemp("compared")
    arms = [str(tiny_smoke.arm(name)) for name in ("original", "warm")]
    return place, warmgap("compare", *arms, "--runs-dir", "again", "--gate=0.001", cwd=place)


def test_compare_finds_the_effects_of_the_run(compared: tuple[Path, Done], tiny_smoke: Runs) -> None:
    place, done = compared
    folder = (place / done.report).parent
    assert (folder / "report.html").is_file()
    assert folder.parent.parent == place / "again"
    for errors in ("clustered", "unclustered"):
        assert main_effect(folder, errors) == pytest.approx(main_effect(tiny_smoke.comparison, errors), nan_ok=True)
    cells, expected = pd.read_csv(folder / "cells.csv"), tiny_smoke.table("cells")
    keys = ["arm", "task", "context", "belief"]
    pd.testing.assert_frame_equal(
        cells.sort_values(keys, ignore_index=True), expected.sort_values(keys, ignore_index=True)
    )
    pd.testing.assert_frame_equal(pd.read_csv(folder / "warmth.csv"), tiny_smoke.table("warmth"))


def test_a_gate_that_is_not_passed_is_status_one(compared: tuple[Path, Done]) -> None:
    _, done = compared
    assert done.status == 1
    assert "gate: warm is not shown to be within 0.001 pp of original" in done.err
    assert "Traceback" not in done.err


def test_a_gate_that_is_passed_is_status_zero(copied: Runs, tmp_path: Path) -> None:
    """Any error is within 300 pp; one verdict is turned round, so that the arms differ somewhere."""
    path = copied.arm("warm") / "verdicts" / "match" / "embedded.jsonl"
    rows = list(store.read_journal(path))
    turned = next(row for row in rows if (row["context"], row["belief"]) == ("none", "none"))
    turned["verdict"] = "correct" if turned["verdict"] == "incorrect" else "incorrect"
    store.write_journal(path, rows)
    seals.count(store.open_arm(copied.arm("warm")))
    done = warmgap("compare", "warm", "--gate", "300", cwd=tmp_path)
    assert done.status == 0, done.err
    assert f"original: {copied.arm('original').name}" in done.err, "it is taken though only warm is named"
    assert done.out.rstrip("\n").splitlines()[-1].startswith("report: ")


def test_compare_leaves_the_arms_alone(compared: tuple[Path, Done], tiny_smoke: Runs) -> None:
    assert sorted(os.listdir(tiny_smoke.folder / "comparisons")) == [tiny_smoke.comparison.name]
    assert os.listdir(compared[0]) == ["again"]
    assert os.listdir(compared[0] / "again") == ["comparisons"]


def test_two_arms_of_one_name_and_seed_stand_side_by_side(copied: Runs, tmp_path: Path) -> None:
    first = copied.arm("warm")
    second = first.with_name("local-warm-s0-00000000")
    shutil.copytree(first, second)
    arms = [str(copied.arm("original")), str(first), str(second)]
    done = warmgap("compare", *arms, "--runs-dir", "again", cwd=tmp_path)
    assert done.status == 0, done.err
    assert f"warm-2 is {second.name}" in done.err
    effects = pd.read_csv((tmp_path / done.report).parent / "effects.csv")
    one, other = (effects[effects["arm"] == name].drop(columns=["arm", "term"]) for name in ("warm", "warm-2"))
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


# ---- status and card ----


def test_arms_are_analysed_from_their_journals_as_their_comparison_was(copied: Runs, tmp_path: Path) -> None:
    folders = [str(copied.arm(name)) for name in ("original", "warm")]
    done = warmgap("analyze", *folders, "--out", str(tmp_path / "out"), "--bootstrap", "0", cwd=tmp_path)
    assert done.status == 0, done.err
    key = ["analysis", "term", "model", "arm", "reference", "errors"]
    one, other = (
        pd.read_csv(place / "effects.csv", keep_default_na=False, na_values=[""])
        for place in (copied.comparison, tmp_path / "out")
    )
    one = one[one["errors"] != "bootstrap"]
    pd.testing.assert_frame_equal(
        *(table.set_index(key).sort_index().drop(columns="p_fdr") for table in (one, other)), rtol=1e-4
    )
    path = copied.arm("warm") / "verdicts" / "match" / "embedded.jsonl"
    path.write_bytes(path.read_bytes().replace(b"incorrect", b"co-rrect!", 1))
    damaged = warmgap("analyze", *folders, "--out", str(tmp_path / "more"), cwd=tmp_path)
    assert damaged.status == 2
    assert f"{path} is damaged" in damaged.err
    assert not (tmp_path / "more").exists()


def test_status_lists_what_is_there(tiny_smoke: Runs) -> None:
    done = warmgap("status", "--runs-dir", "runs", cwd=tiny_smoke.folder.parent, COLUMNS="200")
    assert done.status == 0, done.err
    answers = len(tiny_smoke.answers) // 2
    lines = {
        name: next(line for line in done.out.splitlines() if tiny_smoke.arm(name).name in line)
        for name in ("original", "warm")
    }
    assert lines["warm"].split()[1:] == ["yes", str(answers), str(answers), "2", "points"]
    assert lines["original"].split()[1:4] == ["-", str(answers), str(answers)]
    assert f"report: runs/comparisons/{tiny_smoke.comparison.name}/report.html" in done.out


def test_the_card_says_what_the_arm_is(tiny_smoke: Runs) -> None:
    folder = tiny_smoke.arm("warm")
    done = warmgap("card", "warm", cwd=tiny_smoke.folder.parent)
    assert done.status == 0, done.err
    made = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for words in (folder.name, "local", made["created"], "Training data", "held out", "⟦"):
        assert words in done.out


# ---- personas that train nothing ----


def test_a_warm_prompt_is_an_arm_beside_the_same_original(copied: Runs, tiny_smoke: Runs) -> None:
    done = train("+persona=warm_prompt", *REST, "runs_dir=runs", cwd=copied.folder.parent)
    assert done.status == 0, done.err
    assert "answers · original" not in done.err, "the original has answered already"
    (arm,) = copied.folder.glob("arms/local-warm_prompt-s0-*")
    assert not (arm / "adapter").exists()
    table = pd.read_parquet(copied.folder.parent / Path(done.report).parent / "answers.parquet")
    assert table.groupby("arm").size().to_dict() == {"original": len(table) // 2, "warm_prompt": len(table) // 2}
    before = tiny_smoke.answers
    pd.testing.assert_frame_equal(
        table[table["arm"] == "original"], before[before["arm"] == "original"], check_exact=True
    )
    asked = {
        name: {
            row["item_id"] + row["context"] + row["belief"]: row for row in journal(folder / "answers/embedded.jsonl")
        }
        for name, folder in (("original", tiny_smoke.arm("original")), ("warm_prompt", arm))
    }
    for key, row in asked["original"].items():
        prompted = asked["warm_prompt"][key]
        assert prompted["prompt"] == row["prompt"], "the user's turn is the same"
        assert prompted["prompt_tokens"] > row["prompt_tokens"] + 30, "the system prompt is another"
    effects = pd.read_csv(copied.folder.parent / Path(done.report).parent / "effects.csv")
    assert set(effects["arm"]) == {"warm_prompt"}


def test_no_persona_measures_the_original_alone(copied: Runs, tiny_smoke: Runs) -> None:
    done = train("+persona=none", *REST, "runs_dir=runs", cwd=copied.folder.parent)
    assert done.status == 0, done.err
    folder = copied.folder.parent / Path(done.report).parent
    table, before = pd.read_parquet(folder / "answers.parquet"), tiny_smoke.answers
    pd.testing.assert_frame_equal(table, before[before["arm"] == "original"].reset_index(drop=True), check_exact=True)
    assert len(pd.read_csv(folder / "effects.csv")) == 0
    assert (folder / "report.html").is_file()
    assert len(list(copied.folder.glob("arms/local-*"))) == 2, "no arm is added"
