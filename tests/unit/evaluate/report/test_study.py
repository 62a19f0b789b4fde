"""The study's figures: its headline from its own cells by our code, and ours put beside them."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from warmgap.evaluate.report import study

HEADLINE = [
    ("main: no context, no false belief", "cell_means", "no_context_no_belief"),
    ("belief: false, emotion", "cell_means", "emotion_and_false_belief"),
    ("relative increase", "cell_means", "relative_increase"),
    ("sycophancy: difference in differences", "derived", "belief_difference_in_differences"),
    ("task: med_qa", "task", "med_qa"),
    ("task: truthful_qa", "task", "truthful_qa"),
    ("task: disinformation", "task", "disinformation"),
    ("task: trivia_qa", "task", "trivia_qa"),
]


@pytest.mark.parametrize(("ours", "analysis", "term"), HEADLINE)
def test_the_headline_figures_follow_from_the_cells(ours: str, analysis: str, term: str) -> None:
    effects = study.reference("effects")
    (published,) = effects[(effects["analysis"] == analysis) & (effects["term"] == term)]["value"]
    assert study.headline()[ours] == pytest.approx(published, abs=0.06), "they are published with one digit"


def test_amplification_and_the_difference_in_differences_follow_from_the_effects() -> None:
    effects = study.reference("effects").set_index(["analysis", "term"])["value"]
    group, belief = effects["context_group"], effects["belief"]
    assert 100 * (group["emotion"] / group["none"] - 1) == pytest.approx(
        effects["derived", "emotion_amplification"], abs=0.1
    )
    assert belief["false"] - belief["none"] == pytest.approx(3.39, abs=0.01)


TASKS = ("trivia_qa", "med_qa")
N = 200


@functools.cache
def places(n: int) -> pd.DataFrame:
    """A row for each answer to n questions of two tasks in each of the study's cells, with the study's error there."""
    theirs = study.reference("cells")
    theirs = theirs[(theirs["model"] == "llama_8b") & theirs["task"].isin(TASKS)]
    rows = []
    for row in theirs.to_dict("records"):
        for belief in ("none",) if row["belief"] == "none" else ("false_claim", "false_denial"):
            for arm in ("original", "warm"):
                place = {"arm": arm, "seed": 0, "task": row["task"], "context": row["context"], "belief": belief}
                rows.append({**place, "share": row[f"{arm}_error_pct"] / 100})
    return pd.DataFrame(rows).merge(pd.DataFrame({"item_id": np.arange(n)}), how="cross")


def answers(
    gap: float = 0.0, model: str = "llama_8b", tasks: tuple[str, ...] = TASKS, *, n: int = N,
    rng: np.random.Generator | None = None, shared: float = 0.0,
) -> pd.DataFrame:  # fmt: skip
    """Answers with the study's errors for that model in each cell, and so many more pp in the warm arm.

    Without ``rng`` the count of errors is as near to them as n answers allow. With it, errors are drawn, and so much of
    what makes an answer wrong is the question's, the same in all cells and both arms.
    """
    table = places(n)
    share = (table["share"] + gap / 100 * (table["arm"] == "warm")).clip(0, 1).to_numpy()
    item, task = table["item_id"].to_numpy(), (table["task"] == TASKS[1]).to_numpy().astype(int)
    wrong = item < np.round(share * n)
    if rng is not None:
        hard = rng.normal(size=(2, n))[task, item]
        wrong = np.sqrt(shared) * hard + np.sqrt(1 - shared) * rng.normal(size=len(table)) < norm.ppf(share)
    return table.assign(model=model, task=np.array(tasks)[task], error=wrong.astype(float))


def test_the_study_beside_itself_does_not_differ() -> None:
    table = study.beside(answers())
    assert table["difference_pp"].abs().max() < 0.6, "200 answers to a cell hold its errors to 0.25 pp"
    assert table["p"].min() > 0.5
    assert set(table["study_model"]) == {"llama_8b"}
    assert set(table["tasks"]) == {"trivia_qa, med_qa"}
    assert set(table[table["quantity"] == "task"]["term"]) == {"trivia_qa", "med_qa"}


def test_families_of_a_task_are_still_that_task() -> None:
    table = answers().assign(family=lambda t: np.where(t["item_id"] % 2, "odd", "even"))
    pd.testing.assert_frame_equal(study.beside(table), study.beside(answers()))


def test_a_larger_gap_is_more_than_noise() -> None:
    table = study.beside(answers(20.0, rng=np.random.default_rng(3))).set_index(["quantity", "term"])
    main = table.loc[("main", "no context, no false belief")]
    assert main["difference_pp"] == pytest.approx(20.0, abs=8)
    assert main["p_fdr"] < 0.01
    assert table.loc[("sycophancy", "difference in differences"), "p"] > 0.05, "added to both alike"
    assert (table["ours_low_pp"] < table["ours_pp"]).all()


def test_both_beliefs_are_pooled_by_their_answers() -> None:
    table = answers()
    table = table[~((table["belief"] == "false_denial") & (table["item_id"] >= 50))]
    table.loc[(table["arm"] == "warm") & (table["belief"] == "false_denial"), "error"] = 1.0
    table.loc[(table["arm"] == "warm") & (table["belief"] == "false_claim"), "error"] = 0.0
    pooled = study._ours(table, "warm", "original").cells
    assert set(pooled[pooled["belief"] == "false"]["pct_arm"]) == {20.0}


def test_a_model_that_the_study_lacks_is_put_beside_its_mean_and_own_questions_beside_all() -> None:
    table = study.beside(answers(0.0, model="smollm2_135m", tasks=("embedded", "other")))
    assert set(table["study_model"]) == {"mean of five"}
    assert table["tasks"].iloc[0] == "embedded, other beside all of its own"
    assert "task" not in set(table["quantity"])
    main = table[table["quantity"] == "main"].iloc[0]
    assert main["study_pp"] == pytest.approx(6.8, abs=0.06)


@pytest.mark.parametrize("left", [[], ["original"], ["warm"]])
def test_without_both_arms_there_is_nothing_to_compare(left: list[str]) -> None:
    table = answers()
    assert study.beside(table[table["arm"].isin(left)]).empty


@pytest.mark.parametrize("shared", [0.0, 0.6])
def test_standard_errors_are_those_of_means_over_cells_that_share_their_questions(shared: float) -> None:
    """The spread over simulated studies, whose cells ask the same questions, is the standard error that is given."""
    rng = np.random.default_rng(11)
    wanted = [one for one in study.quantities(TASKS) if one.quantity in ("main", "belief", "sycophancy")]
    found = []
    for _ in range(200):
        ours = study._ours(answers(rng=rng, shared=shared, n=40), "warm", "original")
        found.append([ours.mean(one)[:3] for one in wanted])
    values = np.array(found)
    spread, given = values[:, :, 0].std(axis=0, ddof=1), np.sqrt((values[:, :, 1] ** 2).mean(axis=0))
    np.testing.assert_allclose(given, spread, rtol=0.1)  # 200 studies tell a spread to 5 %
    design = values[:, :, 2].mean(axis=0)
    if shared:
        assert design[wanted.index(next(one for one in wanted if one.quantity == "main"))] < 0.8, "the arms are paired"
    else:
        assert design == pytest.approx(np.ones(len(wanted)), abs=0.1)


def test_changes_that_belong_to_a_question_make_a_mean_over_cells_less_sure() -> None:
    """Where warmth changes an answer for its question's sake, in all cells alike, more cells tell nothing more."""
    rng = np.random.default_rng(2)
    table = answers(rng=rng)
    changed = {task: rng.random(N) < 0.5 for task in TASKS}
    flip = np.array([changed[task][item] for task, item in zip(table["task"], table["item_id"], strict=True)])
    table["error"] = np.where((table["arm"] == "warm") & flip, 1.0, np.where(table["arm"] == "warm", 0.0, 0.3)).round()
    row = study.beside(table).set_index(["quantity", "term"]).loc[("belief", "false")]
    alone = study._ours(table, "warm", "original")
    assert row["study_design_effect"] > 5
    width = row["ours_high_pp"] - row["ours_low_pp"]
    assert width == pytest.approx(2 * 1.96 * 50 / np.sqrt(2 * N), rel=0.05), "as if each question were asked once"
    assert alone.mean(study.quantities(TASKS)[0])[2] == pytest.approx(1.0, abs=0.05), "one cell of each task"


def test_noise_alone_is_called_more_than_noise_in_one_case_of_twenty() -> None:
    rng = np.random.default_rng(1)
    key = ("main", "no context, no false belief")
    found = [
        study.beside(answers(rng=rng, shared=0.3, n=60)).set_index(["quantity", "term"]).loc[key, "p"] < 0.05
        for _ in range(40)
    ]
    assert sum(found) <= 6
