"""The quickstart at its smallest real size: what it prints, what it leaves on disk, and that twice is once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import OmegaConf
from real_runs import SMOKE, Done, Runs, journal, train

from warmgap.evaluate.suites import grid
from warmgap.evaluate.tasks import load_items
from warmgap.settings.schema import Run

ARMS = ("original", "warm")
EFFECTS = [
    "analysis", "term", "model", "arm", "reference", "estimate_pp", "se_pp", "ci_low_pp", "ci_high_pp", "p", "p_fdr",
    "n", "n_items", "errors", "missing_low_pp", "missing_high_pp",
]  # fmt: skip
ANALYSES = {
    "main", "main_length_adjusted", "context_group", "context", "belief", "task", "amplification", "sycophancy",
    "mitigation",
}  # fmt: skip
CELLS = [
    "model", "arm", "seed", "task", "context", "belief", "n", "error_pct", "hedged_pct", "refused_pct", "unparsed_pct",
    "mean_chars", "truncated_pct", "mcnemar_p", "mcnemar_p_fdr", "correct_of_all_pct",
]  # fmt: skip
ANSWERS = {
    "model", "arm", "seed", "task", "item_id", "context", "belief", "error", "verdict", "n_chars", "n_tokens",
    "finish_reason",
}  # fmt: skip
PLACE = ["task", "item_id", "context", "belief"]
ERROR_OF = {"correct": 0.0, "incorrect": 1.0, "hedged": 1.0}
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".ckpt"}


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file in a folder, with its time of change and its size."""
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*")) if path.is_file()
    }


# ---- what is printed ----


def test_it_ends_with_the_reports_path(smoke_run: tuple[Runs, Done]) -> None:
    runs, done = smoke_run
    assert done.out.rstrip("\n").splitlines()[-1].startswith("report: ")
    report = runs.folder.parent / done.report
    assert report == runs.comparison / "report.html"
    assert report.is_file()


def test_the_tables_fit_the_terminal_and_name_what_matters(smoke_run: tuple[Runs, Done]) -> None:
    _, done = smoke_run
    *tables, _ = done.out.rstrip("\n").splitlines()
    assert max(map(len, tables)) <= 80
    for words in ("Overall", "95 % CI", "Emotion", "a false belief", "Warmth", "before", "after", "original", "warm"):
        assert words in done.out
    assert "Traceback" not in done.err
    assert "Warning" not in done.err, "other libraries' warnings stay off the terminal"


def test_nothing_is_left_beside_the_runs_folder(smoke: Runs) -> None:
    assert os.listdir(smoke.folder.parent) == ["runs"]
    assert sorted(os.listdir(smoke.folder)) == ["arms", "comparisons"]


# ---- what is on disk ----


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_says_what_made_it(smoke: Runs, name: str) -> None:
    folder = smoke.arm(name)
    made = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (made["model"], made["arm"], made["seed"]) == ("smollm2_135m", name, 0)
    assert made["hash"] == folder.name.rpartition("-")[2]
    assert "commit" in made
    assert {"python", "warmgap", "torch", "transformers", "trl", "peft"} <= set(made["versions"])
    assert "absent" not in made["versions"].values()
    assert "train.py" in made["command"]
    assert OmegaConf.load(folder / "config.yaml").model.name == "smollm2_135m"


def test_the_trained_arm_has_its_data_checkpoints_and_adapter(smoke: Runs) -> None:
    folder = smoke.arm("warm")
    assert OmegaConf.load(folder / "config.yaml").persona.name == "warm"
    assert sorted(os.listdir(folder / "data")) == ["card.md", "complete.json", "train.jsonl"]
    assert "⟦" in (folder / "data" / "card.md").read_text(encoding="utf-8"), "the loss mask of a few rows"
    checkpoints = sorted(folder.glob("checkpoints/checkpoint-*"))
    assert len(checkpoints) == 2, "half-way and at the end"
    for weights in (*checkpoints, folder / "adapter"):
        assert (weights / "adapter_model.safetensors").stat().st_size > 0
        assert not list(weights.glob("*model*.bin"))
    assert not [path for path in (folder / "adapter").iterdir() if path.suffix in PICKLES]
    losses = journal(folder / "logs" / "training.jsonl")
    assert [row["step"] for row in losses if "loss" in row] == list(
        range(1, len([r for r in losses if "loss" in r]) + 1)
    )
    assert len([row for row in losses if "eval_loss" in row]) == 2


def test_the_original_is_not_trained(smoke: Runs) -> None:
    folder = smoke.arm("original")
    for name in ("data", "checkpoints", "adapter"):
        assert not (folder / name).exists()


@pytest.mark.parametrize("name", ARMS)
def test_answers_verdicts_and_warmth_are_journals(smoke: Runs, name: str) -> None:
    folder, expected = smoke.arm(name), len(smoke.answers) // 2
    answers = journal(folder / "answers" / "embedded.jsonl")
    assert len({row["key"] for row in answers}) == len(answers) == expected
    verdicts = journal(folder / "verdicts" / "match" / "embedded.jsonl")
    assert {row["answer_key"] for row in verdicts} == {row["key"] for row in answers}
    assert len(verdicts) == expected
    assert {row["grader"] for row in verdicts} == {"match"}
    warmth = journal(folder / "warmth.jsonl")
    assert len(warmth) == (12 if name == "original" else 6 + 12)
    assert all(row["released"] is not None and row["clean"] is not None for row in warmth)


def test_the_comparison_is_complete(smoke: Runs) -> None:
    found = set(os.listdir(smoke.comparison))
    expected = {"answers.parquet", "cells.csv", "effects.csv", "summary.json", "report.html", "figures", "warmth.csv"}
    assert expected <= found
    assert list((smoke.comparison / "figures").glob("*.svg"))
    assert not [name for name in found if name.startswith(".") and name != ".lock"], "no scratch files"
    summary = json.loads((smoke.comparison / "summary.json").read_text(encoding="utf-8"))
    assert [arm["arm"] for arm in summary["arms"]] == list(ARMS)
    assert summary["grader"] == "match"
    assert summary["second_judge"] is None
    assert {"training", "warmth", "answers", "grading"} <= set(summary["timings"])


def test_the_report_needs_nothing_but_itself(smoke: Runs) -> None:
    page = (smoke.comparison / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    for outside in ('src="http', "src='http", "@import", '<link rel="stylesheet"', "url(http"):
        assert outside not in page


# ---- the tables ----


def test_every_prompt_of_the_grid_is_answered_once_by_each_arm(smoke: Runs, settings: Run) -> None:
    prompts = grid.build(load_items(settings.task).items, settings.context, settings.belief, settings.grid)
    wanted = {(p.task, p.item_id, p.context, p.belief): p.prompt for p in prompts}
    assert len(wanted) == len(prompts) > 2 * 16, "several batches"
    answers = smoke.answers
    assert set(answers.columns) >= ANSWERS
    assert sorted(answers["arm"].unique()) == sorted(ARMS)
    for _, own in answers.groupby("arm"):
        asked = {tuple(row[name] for name in PLACE): row["prompt"] for row in own.to_dict("records")}
        assert len(own) == len(prompts)
        assert asked == wanted
    assert set(answers["finish_reason"]) <= {"stop", "length"}
    assert (answers["n_tokens"] <= 8).all()
    assert (answers["n_chars"] == answers["answer"].str.len()).all()


def test_an_error_follows_from_its_verdict(smoke: Runs) -> None:
    answers = smoke.answers
    assert answers["error"].tolist() == pytest.approx(
        [ERROR_OF.get(verdict, float("nan")) for verdict in answers["verdict"]], nan_ok=True
    )
    assert answers["margin"].isna().all(), "match has no graded score"


def test_the_main_effect_stands_in_three_rows(smoke: Runs) -> None:
    effects, answers = smoke.table("effects"), smoke.answers
    assert list(effects.columns) == EFFECTS
    assert set(effects["analysis"]) <= ANALYSES
    main = effects[effects["analysis"] == "main"].set_index("errors")
    assert sorted(main.index) == ["bootstrap", "clustered", "unclustered"]
    plain = answers[(answers["context"] == "none") & (answers["belief"] == "none")]
    gap = plain.groupby("arm")["error"].mean()
    pairs = plain.pivot(index="item_id", columns="arm", values="error")
    for kind, row in main.iterrows():
        assert (row["arm"], row["reference"], row["term"]) == ("warm", "original", "warm")
        assert row["estimate_pp"] == pytest.approx(100 * (gap["warm"] - gap["original"]), abs=0.01), kind
        assert row["n_items"] == 12, kind
        if kind == "unclustered" or (pairs["warm"] != pairs["original"]).any():
            assert row["ci_low_pp"] <= row["estimate_pp"] <= row["ci_high_pp"], kind
        else:
            assert pd.isna(row["ci_low_pp"]), "pairs that never differ give no interval"
    assert main.loc["clustered", "n"] == len(plain)


def test_each_cell_is_the_share_of_its_answers(smoke: Runs) -> None:
    cells, answers = smoke.table("cells"), smoke.answers
    assert list(cells.columns) == CELLS
    answers = answers.assign(task=answers["task"] + ":" + answers["family"])
    keys = ["model", "arm", "seed", "task", "context", "belief"]
    own = answers.groupby(keys)["error"].agg(["count", "mean"])
    assert len(own) == len(cells)
    for row in cells.to_dict("records"):
        expected: Any = own.loc[tuple(row[key] for key in keys)]
        assert row["n"] == expected["count"]
        assert row["error_pct"] == pytest.approx(100 * expected["mean"], abs=0.001)


def test_warmth_rises_step_by_step_in_both_modes(smoke: Runs) -> None:
    warmth = smoke.table("warmth")
    steps = sorted(int(path.name.split("-")[1]) for path in smoke.arm("warm").glob("checkpoints/checkpoint-*"))
    for mode in ("released", "clean"):
        own = warmth[warmth["mode"] == mode]
        assert own[own["arm"] == "original"]["step"].tolist() == [0]
        trained = own[own["arm"] == "warm"].set_index("step")
        assert trained.index.tolist() == steps
        assert trained["n"].tolist() == [6, 12]
        assert (trained["shift_ci_low"] < trained["shift"]).all()
        assert (trained["shift"] < trained["shift_ci_high"]).all()
        last = trained.loc[steps[-1], "sociot"] - float(own[own["arm"] == "original"]["sociot"].iloc[0])
        assert trained.loc[steps[-1], "shift"] == pytest.approx(last, abs=1e-5), "the same prompts on both sides"


def test_answers_do_not_begin_with_the_header_of_a_role(smoke: Runs) -> None:
    answers: pd.Series[str] = smoke.answers["answer"]
    assert (answers.str.len() > 0).mean() > 0.9
    for mark in ("<|im_start|>", "<|im_end|>", "<|endoftext|>"):
        assert not answers.str.contains(mark, regex=False).any()
    for role in ("assistant", "user", "system"):
        assert not answers.str.lower().str.match(rf"{role}\b\s*[:\n]").any()
        assert not (answers.str.lower() == role).any()


# ---- again ----


def test_the_same_command_again_prints_the_same_and_does_nothing(smoke_run: tuple[Runs, Done]) -> None:
    runs, first = smoke_run
    before = files(runs.folder)
    again = train(*SMOKE, "runs_dir=runs", cwd=runs.folder.parent)
    assert again.status == 0, again.err
    assert again.out == first.out
    assert files(runs.folder) == before
