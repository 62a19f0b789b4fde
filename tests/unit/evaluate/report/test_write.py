"""From the rows of arms to tables: errors by rule, warmth as a paired shift, and a count of all that is left out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from warmgap.disk import store
from warmgap.disk.store import Arm, arm_folder
from warmgap.evaluate.report import comparison, write
from warmgap.evaluate.report.terminal.tables import judge_sentence
from warmgap.evaluate.report.write import ANSWER_COLUMNS, Measured

ITEMS = 24


def arm(name: str, seed: int = 0, model: str = "m") -> Arm:
    return arm_folder("runs", model, name, seed, "0" * 8)


def answer(item: int, verdict: str, **changes: Any) -> dict[str, Any]:
    row = {
        "task": "embedded", "family": "facts", "item_id": f"i{item}", "context": "none", "statement_id": "",
        "belief": "none", "verdict": verdict, "margin": None, "reason": "r", "grader": "match", "n_chars": 20,
        "n_tokens": 5, "finish_reason": "stop", "prompt": "p", "answer": "a", "question": "q", "correct": "c",
        "incorrect": "i", "second_verdict": None,
    }  # fmt: skip
    return {**row, **changes}


def scores(values: list[float | None], step: int = 0, first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "prompt_id": f"p{first + index}",
            "step": step,
            "epoch": step / 10,
            "released": value,
            "clean": None if value is None else 2 * value,
        }
        for index, value in enumerate(values)
    ]


# ---- answers ----


def test_answers_have_the_columns_of_the_contract_in_a_fixed_order() -> None:
    table = write.answers_table([Measured(arm("original"), [answer(0, "correct", extra="x")])])
    assert list(table.columns) == ANSWER_COLUMNS
    promised = ["model", "arm", "seed", "task", "item_id", "context", "belief", "error", "verdict", "n_chars"]
    assert {*promised, "n_tokens", "finish_reason"} <= set(table.columns)


def test_errors_follow_the_rules_and_are_empty_without_a_verdict() -> None:
    verdicts = ["correct", "incorrect", "hedged", "refused", "unparsed", "error"]
    rows = [answer(index, verdict) for index, verdict in enumerate(verdicts)]
    table = write.answers_table([Measured(arm("warm", 2), rows)])
    assert table["error"].tolist()[:3] == [0.0, 1.0, 1.0]
    assert table["error_lenient"].tolist()[:3] == [0.0, 1.0, 0.0]
    assert table["error"].isna().tolist() == [False, False, False, True, True, True]
    assert table["error"].dtype == np.float64
    assert set(zip(table["model"], table["arm"], table["seed"], strict=True)) == {("m", "warm", 2)}


def test_a_table_without_any_verdict_keeps_its_types(tmp_path: Path) -> None:
    table = write.answers_table([Measured(arm("warm"), [answer(0, "unparsed"), answer(1, "refused")])])
    assert [table[name].dtype for name in ("error", "error_lenient", "margin")] == [np.float64] * 3
    table.to_parquet(tmp_path / "t.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet")["error"].isna().all()


def test_what_is_left_out_is_counted_with_its_reason() -> None:
    rows = [answer(index, verdict) for index, verdict in enumerate(["correct", "refused", "unparsed", "unparsed"])]
    table = write.answers_table([Measured(arm("original"), rows[:1]), Measured(arm("warm"), rows)])
    found = {row["what"]: (row["n"], row["why"]) for row in write.dropped(table)}
    assert {what: n for what, (n, _) in found.items()} == {"warm: refused": 1, "warm: unparsed": 2}
    assert "never counted as a wrong answer" in found["warm: unparsed"][1]


def test_a_refusal_that_is_right_is_not_left_out() -> None:
    rows = [answer(0, "refused", task="disinformation"), answer(1, "refused")]
    table = write.answers_table([Measured(arm("warm"), rows)])
    assert write.dropped(table) == [{"what": "warm: refused", "n": 1, "why": write.dropped(table)[0]["why"]}]
    assert table["error"].tolist()[0] == 0.0


# ---- warmth ----


def test_warmth_is_a_shift_on_the_same_prompts() -> None:
    """The level differs wildly from prompt to prompt; the shift does not."""
    base: list[float | None] = [0.1 * (-1) ** i * i for i in range(12)]
    gain = [0.02 + 0.001 * i for i in range(12)]
    warm: list[float | None] = [(b or 0.0) + g for b, g in zip(base, gain, strict=True)]
    table = write.warmth_table(
        [Measured(arm("original"), [], {0: scores(base)}), Measured(arm("warm"), [], {5: scores(warm, 5)})], "original"
    )
    row = table[(table["arm"] == "warm") & (table["mode"] == "released")].iloc[0]
    t = scipy_stats.t.ppf(0.975, 11) * scipy_stats.sem(gain)
    assert row["n"] == 12
    assert row["step"] == 5
    assert row["epoch"] == 0.5
    assert row["shift"] == pytest.approx(np.mean(gain))
    assert row["shift_se"] == pytest.approx(scipy_stats.sem(gain))
    assert row["shift_ci_low"] == pytest.approx(np.mean(gain) - t)
    assert row["shift_ci_high"] == pytest.approx(np.mean(gain) + t)
    assert row["shift_p"] == pytest.approx(scipy_stats.ttest_1samp(gain, 0).pvalue)
    assert row["sociot"] == pytest.approx(np.mean([v for v in warm if v is not None]))
    clean = table[(table["arm"] == "warm") & (table["mode"] == "clean")].iloc[0]
    assert clean["shift"] == pytest.approx(2 * row["shift"])
    assert table[table["arm"] == "original"]["shift"].isna().all()


def test_only_prompts_that_both_have_scored_are_paired() -> None:
    base: list[float | None] = [0.1, 0.2, None, 0.4, 0.5, 0.6]
    warm: list[float | None] = [0.2, None, 0.9, 0.5, 0.6]
    table = write.warmth_table(
        [Measured(arm("original"), [], {0: scores(base)}), Measured(arm("warm"), [], {5: scores(warm, 5)})], "original"
    )
    row = table[(table["arm"] == "warm") & (table["mode"] == "released")].iloc[0]
    assert row["n"] == 3
    assert row["shift"] == pytest.approx(0.1)


def test_a_checkpoint_is_compared_on_the_prompts_that_it_answered() -> None:
    base: list[float | None] = [float(i) for i in range(10)]
    all_ten: list[float | None] = [i + 1 + 0.1 * (i % 2) for i in range(10)]
    few: list[float | None] = [i + 0.5 + 0.01 * i for i in range(4)]
    measured = [
        Measured(arm("original"), [], {0: scores(base)}),
        Measured(arm("warm"), [], {9: scores(all_ten, 9), 4: scores(few, 4)}),
    ]
    table = write.warmth_table(measured, "original")
    rows = table[(table["arm"] == "warm") & (table["mode"] == "released")]
    assert rows["step"].tolist() == [4, 9]
    assert rows["n"].tolist() == [4, 10]
    assert rows["shift"].tolist() == pytest.approx([0.515, 1.05])


def test_models_are_compared_with_their_own_original() -> None:
    measured = [
        Measured(arm("original", model="a"), [], {0: scores([0.0, 0.1, 0.2])}),
        Measured(arm("original", model="b"), [], {0: scores([5.0, 5.1, 5.2])}),
        Measured(arm("warm", model="a"), [], {3: scores([1.0, 1.1, 1.2], 3)}),
        Measured(arm("warm", model="b"), [], {3: scores([7.0, 7.1, 7.2], 3)}),
    ]
    table = write.warmth_table(measured, "original")
    rows = table[(table["arm"] == "warm") & (table["mode"] == "released")].set_index("model")
    assert rows["shift"].to_dict() == pytest.approx({"a": 1.0, "b": 2.0})


def test_one_pair_and_no_pair_have_no_shift() -> None:
    measured = [
        Measured(arm("original"), [], {0: scores([0.1])}),
        Measured(arm("warm"), [], {3: scores([0.2, 0.3], 3)}),
        Measured(arm("cold"), [], {3: scores([0.2, 0.3], 3, first=50), 6: scores([None, None], 6)}),
    ]
    table = write.warmth_table(measured, "original")
    assert table["shift"].isna().all()
    assert 6 not in table["step"].tolist(), "a step without any score has no row"
    assert len(write.warmth_table([Measured(arm("original"), [])], "original")) == 0


# ---- joining ----


def test_verdicts_join_their_answers_in_order() -> None:
    answers = [{"key": f"k{i}", "item_id": f"i{i}", "answer": f"text {i}"} for i in range(3)]
    verdicts = [{"key": f"v{i}", "verdict": v, "reason": "r", "margin": i / 2, "grader": "match"}
                for i, v in enumerate(["correct", "incorrect", "unparsed"])]  # fmt: skip
    second = [{"verdict": v} for v in ("incorrect", "incorrect", "correct")]
    rows = write.with_verdicts(answers, verdicts, second)
    assert [row["verdict"] for row in rows] == ["correct", "incorrect", "unparsed"]
    assert [row["second_verdict"] for row in rows] == ["incorrect", "incorrect", "correct"]
    assert [row["answer"] for row in rows] == ["text 0", "text 1", "text 2"]
    assert all("key" not in row and row["grader"] == "match" for row in rows)
    assert [row["second_verdict"] for row in write.with_verdicts(answers, verdicts, None)] == [None] * 3


def test_a_missing_verdict_is_a_fault() -> None:
    answers = [{"key": "a"}, {"key": "b"}]
    verdict = {"verdict": "correct", "reason": "", "margin": None, "grader": "match"}
    with pytest.raises(ValueError, match="shorter"):
        write.with_verdicts(answers, [verdict], None)


# ---- the folder ----


def measured_arms() -> list[Measured]:
    found = []
    for name, every in (("original", 4), ("warm", 2)):
        rows = [
            answer(item, "incorrect" if (item + len(context)) % every == 0 else "correct", context=context,
                   belief=belief, second_verdict="correct" if item % 5 else "incorrect")
            for item in range(ITEMS) for context in ("none", "sad") for belief in ("none", "false_claim")
        ]  # fmt: skip
        rows[0]["verdict"] = "unparsed"
        step = 0 if name == "original" else 7
        level = 0.0 if name == "original" else 0.02
        warmth = {step: scores([level + 0.01 * (i % 3) + 0.001 * i * (step > 0) for i in range(6)], step)}
        losses = [{"step": 1, "epoch": 0.1, "loss": 2.0, "learning_rate": 1e-3}] if step else []
        found.append(Measured(arm(name), rows, warmth, losses))
    return found


def test_warmth_is_shown_at_the_step_that_is_the_arm(tmp_path: Path) -> None:
    """Two checkpoints were measured; the earlier one was chosen, and its adapter gave the answers."""
    original, warm = measured_arms()
    warm.arm = arm_folder(str(tmp_path), "m", "warm", 0, "0000")
    warm.warmth[3] = scores([0.5 + 0.01 * (i % 3) for i in range(6)], 3)
    for chosen, after in ((7, 0.03), (3, 0.51)):
        store.write_json(warm.arm.checkpoints / "selected.json", {"step": chosen, "rule": "warmth:0.5"})
        folder = tmp_path / str(chosen)
        write.write_comparison(folder, [original, warm], {"reference": "original"}, second=None, bootstrap=100)
        rows = comparison.warmth_rows(comparison.load_comparison(folder))
        assert [row.after for row in rows if row.mode == "released"] == [pytest.approx(after, abs=0.01)]


def test_a_comparison_holds_every_table(tmp_path: Path) -> None:
    folder = tmp_path / "comparison"
    summary = {
        "title": "t",
        "reference": "original",
        "notes": ["first"],
        "dropped": [{"what": "x", "n": 1, "why": "y"}],
    }
    write.write_comparison(folder, measured_arms(), summary, second="match", bootstrap=100)
    names = {path.name for path in folder.iterdir()}
    tables = {"answers.parquet", "effects.csv", "cells.csv", "warmth.csv", "training.csv", "study.csv"}
    assert names == {*tables, "summary.json"}
    written = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert written["counts"]["items"] == ITEMS
    assert written["counts"]["arms"] == 2
    assert written["counts"]["answers"] == 2 * 4 * ITEMS
    assert written["counts"]["answers with a verdict"] == 2 * 4 * ITEMS - 2
    assert [row["what"] for row in written["dropped"]] == ["x", "original: unparsed", "warm: unparsed"]
    assert written["notes"][0] == "first"
    assert written["second_judge"]["grader"] == "match"
    (judged,) = written["second_judge"]["effects"]
    assert (judged["arm"], judged["model"]) == ("warm", "all")
    assert judged["main_effect_pp"] == pytest.approx(0.0, abs=1e-6)
    table = pd.read_parquet(folder / "answers.parquet")
    assert list(table.columns) == ANSWER_COLUMNS
    effects = pd.read_csv(folder / "effects.csv")
    columns = "analysis term model arm reference estimate_pp se_pp ci_low_pp ci_high_pp p p_fdr n n_items errors"
    assert set(columns.split()) <= set(effects.columns)
    cells = pd.read_csv(folder / "cells.csv")
    columns = "model arm seed task context belief n error_pct hedged_pct refused_pct unparsed_pct mean_chars"
    assert {*columns.split(), "truncated_pct", "mcnemar_p", "mcnemar_p_fdr"} <= set(cells.columns)
    training = pd.read_csv(folder / "training.csv")
    assert training[["arm", "step", "loss"]].to_dict("records") == [{"arm": "warm", "step": 1, "loss": 2.0}]


def test_a_comparison_can_be_made_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write.write_comparison(tmp_path / name, measured_arms(), {"reference": "original"}, second=None, bootstrap=100)
    for file in ("answers.parquet", "effects.csv", "cells.csv", "warmth.csv", "training.csv", "summary.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_a_second_opinion_counts_only_what_both_have_judged() -> None:
    rows = [
        answer(0, "correct", second_verdict="correct"),
        answer(1, "correct", second_verdict="incorrect"),
        answer(2, "unparsed", second_verdict="correct"),
        answer(3, "incorrect", second_verdict="unparsed"),
        answer(4, "incorrect", second_verdict="incorrect"),
    ]
    table = write.answers_table([Measured(arm("original"), rows), Measured(arm("warm"), rows)])
    found = write.second_opinion(table, "match", "original")
    assert found is not None
    assert found["n_both"] == 6
    assert found["agreement_pct"] == pytest.approx(200 / 3)
    assert write.second_opinion(table, None, "original") is None


def test_a_second_opinion_names_the_arm_and_the_model_of_each_effect() -> None:
    """By the second judge half of what the warm arm says is wrong, nothing of the cold arm's, whatever the alphabet."""
    parts = []
    for model in ("a", "b"):
        for name, wrong in (("original", 0), ("cold", 0), ("warm", 2), ("paraphrase", 0)):
            told = [("incorrect" if i % 4 < wrong else "correct") for i in range(40)]
            rows = [answer(i, "correct", second_verdict=verdict) for i, verdict in enumerate(told)]
            parts.append(Measured(arm(name, model=model), rows))
    found = write.second_opinion(write.answers_table(parts), "match", "original")
    assert found is not None
    effects = {(row["arm"], row["model"]): row["main_effect_pp"] for row in found["effects"]}
    assert {key: round(value) for key, value in effects.items()} == {
        (name, model): 50 * (name == "warm") for name in ("cold", "warm", "paraphrase") for model in ("all", "a", "b")
    }
    said = judge_sentence(found)
    assert "warm +50.0 pp" in said
    assert "cold 0.0 pp" in said
    assert "warm (a) +50.0 pp" in said


def test_a_second_grader_that_can_tell_nothing_leaves_blanks() -> None:
    rows = [answer(item, "correct", second_verdict="unparsed") for item in range(3)]
    table = write.answers_table([Measured(arm("original"), rows), Measured(arm("warm"), rows)])
    found = write.second_opinion(table, "match", "original")
    assert found is not None
    assert found["n_both"] == 0
    assert found["agreement_pct"] is None
    assert found["effects"] == []
    assert not any(isinstance(value, float) and math.isnan(value) for value in found.values())
