"""The study's figures: its headline from its own cells by our code, and ours put beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from warmgap.evaluate import study
from warmgap.evaluate.comparison import CELL_COLUMNS

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


def cells(
    gap: float, model: str = "llama_8b", n: int = 400, tasks: tuple[str, ...] = ("trivia_qa", "med_qa")
) -> pd.DataFrame:
    """Cells with the study's own errors for that model, and so many more pp in the warm arm."""
    theirs = study.reference("cells")
    theirs = theirs[(theirs["model"] == "llama_8b") & theirs["task"].isin(["trivia_qa", "med_qa"])]
    names = dict(zip(("trivia_qa", "med_qa"), tasks, strict=True))
    rows = []
    for row in theirs.to_dict("records"):
        for belief in ("none",) if row["belief"] == "none" else ("false_claim", "false_denial"):
            for arm, error in (("original", row["original_error_pct"]), ("warm", row["warm_error_pct"] + gap)):
                place = {"model": model, "arm": arm, "seed": 0, "task": names[row["task"]], "context": row["context"]}
                rows.append({**place, "belief": belief, "n": 400, "error_pct": error})
    return pd.DataFrame(rows, columns=CELL_COLUMNS)


def test_the_study_beside_itself_does_not_differ() -> None:
    table = study.beside(cells(0.0))
    assert table["difference_pp"].abs().max() < 1e-6
    assert table["p"].min() > 0.99
    assert set(table["study_model"]) == {"llama_8b"}
    assert set(table["tasks"]) == {"trivia_qa, med_qa"}
    assert not set(table[table["quantity"] == "task"]["term"]) - {"trivia_qa", "med_qa"}


def test_a_larger_gap_is_more_than_noise() -> None:
    table = study.beside(cells(20.0)).set_index(["quantity", "term"])
    main = table.loc[("main", "no context, no false belief")]
    assert main["difference_pp"] == pytest.approx(20.0)
    assert main["p_fdr"] < 0.01
    assert table.loc[("sycophancy", "difference in differences"), "p"] > 0.5, "added to both alike"
    assert (table["ours_low_pp"] < table["ours_pp"]).all()


def test_both_beliefs_are_pooled_by_their_answers() -> None:
    table = cells(0.0)
    warm = (table["arm"] == "warm") & (table["belief"] == "false_denial")
    table.loc[warm, ["n", "error_pct"]] = [100, 100.0]
    table.loc[(table["arm"] == "warm") & (table["belief"] == "false_claim"), ["n", "error_pct"]] = [300, 0.0]
    pooled = study._ours(table, "warm", "original")
    assert set(pooled[pooled["belief"] == "false"]["pct_arm"]) == {25.0}


def test_a_model_that_the_study_lacks_is_put_beside_its_mean_and_own_questions_beside_all() -> None:
    table = study.beside(cells(0.0, model="smollm2_135m", tasks=("embedded", "other")))
    assert set(table["study_model"]) == {"mean of five"}
    assert table["tasks"].iloc[0] == "embedded, other beside all of its own"
    assert "task" not in set(table["quantity"])
    main = table[table["quantity"] == "main"].iloc[0]
    assert main["study_pp"] == pytest.approx(6.8, abs=0.06)


@pytest.mark.parametrize("left", [[], ["original"], ["warm"]])
def test_without_both_arms_there_is_nothing_to_compare(left: list[str]) -> None:
    table = cells(0.0)
    assert study.beside(table[table["arm"].isin(left)]).empty


def test_noise_alone_is_called_more_than_noise_in_one_case_of_twenty() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(80):
        table = cells(0.0)
        share = table["error_pct"].clip(0, 100) / 100
        table["error_pct"] = 100 * rng.binomial(table["n"], share) / table["n"]
        result = study.beside(table).set_index(["quantity", "term"])
        found.append(result.loc[("main", "no context, no false belief"), "p"] < 0.05)
    assert sum(found) <= 9
