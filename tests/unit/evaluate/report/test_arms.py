"""Arms on disk, compared: one setting of answers, verdicts and warmth, whatever else the arms were asked with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import warmgap
from warmgap.disk import store
from warmgap.disk.store import Arm
from warmgap.errors import UserError
from warmgap.evaluate.report import arms

SHORT, LONG = "48 tokens, temperature 0.8, seed 0", "1024 tokens, temperature 0.8, seed 0"


def arm(folder: Path, name: str, model: str = "m") -> Arm:
    made = store.arm_folder(str(folder), model, name, 0, "0123abcd")
    store.write_json(made.folder / "manifest.json", {"model": model, "arm": name, "seed": 0})
    return made


def ask(one: Arm, generation: str, wrong: int, *, items: int = 20, judge: str = "a", wording: str = "p") -> None:
    """Answers to some items, the first of them wrong, graded by a judge of one setting."""
    rows, verdicts = [], []
    for item in range(items):
        key = f"{item}-{generation}-{wording}"
        place = {"task": "embedded", "family": "facts", "item_id": f"i{item}", "context": "none", "belief": "none"}
        told = {"answer": "a", "finish_reason": "stop", "n_tokens": 3, "n_chars": 9, "prompt_tokens": 9}
        more = {"statement_id": "", "prompt": wording, "generation": generation}
        rows.append({"key": key, **place, **more, **told})
        verdict = {"verdict": "incorrect" if item < wrong else "correct", "reason": "", "grader": "match"}
        verdicts.append({"key": f"{key}-{judge}", "answer_key": key, "graded_by": judge, "margin": None, **verdict})
    store.append(one.answers("embedded"), rows)
    store.append(one.verdicts("match", "embedded"), verdicts)


def score(one: Arm, value: float, scorer: str, generation: str | None = SHORT) -> None:
    how = {"scorer": "m", "scorer_hash": scorer, **({"generation": generation} if generation else {})}
    rows = [
        {"key": f"{scorer}-{generation}-{i}", "prompt_id": f"p{i}", "step": 0, "epoch": 0.0, **how}
        | {"released": value + i / 1000, "clean": value}
        for i in range(12)
    ]
    store.append(one.warmth, rows)


def test_the_grader_is_the_judge_that_all_arms_have(tmp_path: Path, two: tuple[Arm, Arm]) -> None:
    for one in two:
        ask(one, SHORT, 5)
    store.append(two[0].verdicts("openai", "embedded"), [{"key": "x", "answer_key": "x"}])
    place = arms.compare([one.folder for one in two], None, tmp_path / "out")
    assert store.read_json(place / "summary.json")["grader"] == "match"


def compared(folder: Path, *some: Arm) -> tuple[Path, dict[str, Any]]:
    place = arms.compare([one.folder for one in some], "match", folder / "out")
    return place, store.read_json(place / "summary.json")


@pytest.fixture
def two(tmp_path: Path) -> tuple[Arm, Arm]:
    return arm(tmp_path, "original"), arm(tmp_path, "warm")


def test_of_two_settings_of_answers_the_one_with_more_prompts_is_compared(tmp_path: Path, two: tuple[Arm, Arm]) -> None:
    for one, wrong in zip(two, (5, 10), strict=True):
        ask(one, SHORT, wrong)
        ask(one, LONG, 0, items=8)
    place, summary = compared(tmp_path, *two)
    cells = pd.read_csv(place / "cells.csv").groupby("arm")["n"].max()
    assert cells.to_dict() == {"original": 20, "warm": 20}
    assert any(LONG in note and "left out" in note for note in summary["notes"])


def test_verdicts_of_another_judge_model_are_not_mixed_in(tmp_path: Path, two: tuple[Arm, Arm]) -> None:
    """The warm arm alone was graded again by a stricter model under the same name."""
    for one in two:
        ask(one, SHORT, 5)
    ask(two[1], SHORT, 20, judge="b")
    place, _ = compared(tmp_path, *two)
    effects = pd.read_csv(place / "effects.csv")
    assert effects.loc[effects["analysis"] == "main", "estimate_pp"].abs().max() == pytest.approx(0, abs=1e-6)


def test_one_wording_of_each_prompt_is_compared(tmp_path: Path, two: tuple[Arm, Arm]) -> None:
    for one in two:
        ask(one, SHORT, 5)
        ask(one, SHORT, 7, wording="q")
    _, summary = compared(tmp_path, *two)
    assert summary["counts"]["prompts per arm"] == 20
    assert any(note.startswith("20 further wordings") for note in summary["notes"])


@pytest.mark.parametrize("other", [("b", SHORT), ("a", LONG)])
def test_warmth_is_of_one_scorer_and_one_kind_of_reply(
    tmp_path: Path, two: tuple[Arm, Arm], other: tuple[str, str]
) -> None:
    for one, value in zip(two, (0.01, 0.03), strict=True):
        ask(one, SHORT, 5)
        score(one, value, "a")
    score(two[0], 10.0, *other)
    place, summary = compared(tmp_path, *two)
    table = pd.read_csv(place / "warmth.csv")
    shift = table.loc[(table["arm"] == "warm") & (table["mode"] == "released"), "shift"]
    assert shift.tolist() == [pytest.approx(0.02, abs=1e-6)]
    assert any(note.startswith("Warmth is that with scorer m a") for note in summary["notes"])


def test_arms_without_a_setting_in_common_are_refused(tmp_path: Path, two: tuple[Arm, Arm]) -> None:
    ask(two[0], SHORT, 5)
    ask(two[1], LONG, 5)
    with pytest.raises(UserError, match="no prompt in common"):
        compared(tmp_path, *two)
    assert not (tmp_path / "out").exists()


def test_a_notebook_compares_the_same_by_short_names(tmp_path: Path, two: tuple[Arm, Arm]) -> None:
    for one, wrong in zip(two, (5, 9), strict=True):
        ask(one, SHORT, wrong)
    result = warmgap.compare("original", "warm", runs_dir=tmp_path)
    assert result.report.is_file()
    main = result.effects.query("analysis == 'main' and errors == 'bootstrap'")
    assert main["estimate_pp"].tolist() == [pytest.approx(20)]
    with pytest.raises(UserError, match="no arm is named"):
        warmgap.compare(runs_dir=tmp_path)


def test_checks_and_suites_that_not_all_arms_have_alike_are_named(tmp_path: Path, two: tuple[Arm, Arm]) -> None:
    """They were left out without a word: a check with another margin was no more in the comparison."""
    for one, margin in zip(two, (3.0, 5.0), strict=True):
        ask(one, SHORT, 5)
        row = {"control": "mmlu", "item_id": "i", "measure": "accuracy", "outcome": 1.0, "reason": "", "n_chars": 1}
        row = {**row, "finish_reason": "stop"}
        alike = {"settings": {"margin_pp": 3.0}, "outcomes": [{**row, "control": "gsm8k"}]}
        store.write_json(
            one.capability, {"mmlu": {"settings": {"margin_pp": margin}, "outcomes": [row]}, "gsm8k": alike}
        )
    store.write_json(two[1].readings, {"pressure": {"made_of": "a", "about": {}, "outcomes": []}})
    _, summary = compared(tmp_path, *two)
    why = "are left out, for not every arm was asked them with the same settings"
    assert {f"Checks {why}: mmlu.", f"Suites {why}: pressure."} <= set(summary["notes"])
    assert list(summary["margins"]) == ["gsm8k"]
