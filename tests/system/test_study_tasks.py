"""The study's four tasks and the standard checks, from their real public files, asked of a tiny model."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from real_runs import TINY_MODEL, Done, Runs, train

DATA = Path(os.environ.get("WARMGAP_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not here")
TASKS = ("trivia_qa", "truthful_qa", "med_qa", "disinformation")
FILES = {
    "task.trivia_qa.path": next(iter(sorted((DATA / "triviaqa_pool_mit").glob("*.json*"))), ""),
    "task.truthful_qa.path": next(iter(sorted((DATA / "truthfulqa").glob("*.csv"))), ""),
    "task.med_qa.path": DATA / "medqa" / "US_4_options_test.jsonl",
    "control.mmlu.path": DATA / "mmlu" / "test",
    "control.gsm8k.path": DATA / "gsm8k" / "test.jsonl",
    "control.advbench.path": DATA / "advbench" / "harmful_behaviors.csv",
    "control.xstest.path": DATA / "xstest" / "xstest_prompts.csv",
}
SMALL = [f"task.{task}.sample=4" for task in TASKS]
CHECKS = ("mmlu", "gsm8k", "advbench", "xstest")
SMALL += [f"control.{name}.{key}" for name in CHECKS for key in ("sample=10", "max_new_tokens=12")]
REST = ("warmth.prompts=2", "warmth.max_new_tokens=8", "generate.max_new_tokens=12", "grid.contexts_per_item=1")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Done]:
    """Two arms that need no training, asked everything."""
    place = tmp_path_factory.mktemp("study")
    files = [f"{key}={path}" for key, path in FILES.items()]
    groups = (f"task=[{','.join(TASKS)}]", "control=[mmlu,gsm8k,advbench,xstest]", "judge=match", "judge.unfit=true")
    done = train(
        "+persona=warm_prompt", *TINY_MODEL, *groups, *files, *SMALL, *REST, "bootstrap=0", "runs_dir=runs", cwd=place
    )
    assert done.status == 0, done.err
    return Runs(place / "runs"), done


def test_all_four_tasks_are_asked_and_graded(asked: tuple[Runs, Done]) -> None:
    answers = asked[0].answers
    strata = answers["task"].str.split(":").str[0]
    assert set(strata) == set(TASKS)
    assert answers["verdict"].notna().all()
    assert set(answers.groupby([strata, "arm"])["item_id"].nunique()) == {4}


def test_all_four_checks_stand_beside_them(asked: tuple[Runs, Done]) -> None:
    rates = asked[0].table("controls")
    assert set(rates["control"]) == {"mmlu", "gsm8k", "advbench", "xstest"}
    assert set(asked[0].table("equivalence")["verdict"]) <= {"within the margin", "not shown", "beyond the margin"}
    assert "Controls:" in asked[1].out
    assert "Standard checks" in (asked[0].comparison / "report.html").read_text(encoding="utf-8")


def test_what_was_left_out_is_told(asked: tuple[Runs, Done]) -> None:
    summary = pd.read_json(asked[0].comparison / "summary.json", typ="series")
    notes = " ".join(summary["notes"])
    assert "med_qa" in notes
    assert "trivia_qa" in notes
