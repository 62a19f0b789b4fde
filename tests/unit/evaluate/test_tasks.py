"""The study's tasks, on real files of the public data sets."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from warmgap import config
from warmgap.errors import UserError
from warmgap.evaluate import grid
from warmgap.evaluate.normal import normalise
from warmgap.evaluate.tasks import LOADERS, load_items
from warmgap.evaluate.tasks.item import Loaded
from warmgap.evaluate.tasks.rephrase import open_question
from warmgap.schema import TaskConfig

DATA = Path(os.environ.get("WARMGAP_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
FILES = {
    "trivia_qa": DATA / "triviaqa_pool_mit" / "pool.jsonl",
    "truthful_qa": DATA / "truthfulqa" / "TruthfulQA.csv",
    "med_qa": DATA / "medqa" / "US_4_options_test.jsonl",
}
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"the public data sets are not at {DATA} (set WARMGAP_DATA)")


def load(task: str, **settings: object) -> Loaded:
    return LOADERS[task](TaskConfig(path=str(FILES[task]), **settings))  # type: ignore[arg-type]


@real
@pytest.mark.parametrize("task", FILES)
def test_a_sample_keeps_the_shares_of_the_families(task: str) -> None:
    every, some = load(task), load(task, sample=200)
    assert len(some.items) == 200
    assert len({item.item_id for item in every.items}) == len(every.items)
    shares = Counter(item.family for item in every.items)
    for family, n in Counter(item.family for item in some.items).items():
        assert abs(n - 200 * shares[family] / len(every.items)) <= 1
    other = load(task, sample=200, seed=1)
    assert {item.item_id for item in other.items} != {item.item_id for item in some.items}


@real
def test_a_sample_does_not_depend_on_the_order_of_the_file(tmp_path: Path) -> None:
    for task in ("trivia_qa", "med_qa"):
        lines = FILES[task].read_text(encoding="utf-8").splitlines()
        random.Random(3).shuffle(lines)
        path = tmp_path / f"{task}.jsonl"
        path.write_text("\n".join(lines), encoding="utf-8")
        shuffled = LOADERS[task](TaskConfig(path=str(path), sample=100)).items
        assert {item.item_id: item for item in shuffled} == {i.item_id: i for i in load(task, sample=100).items}


@real
def test_no_incorrect_answer_is_an_accepted_one() -> None:
    items = load("trivia_qa").items
    assert len(items) >= 450
    for item in items:
        wrong = normalise(item.incorrect)
        right = {normalise(form) for form in (item.correct, *item.aliases)} - {""}
        assert wrong
        assert wrong not in right
        if not wrong.replace(".", "").isdigit():
            assert not any(f" {wrong} " in f" {form} " or f" {form} " in f" {wrong} " for form in right), item


@real
def test_questions_are_asked_without_their_options() -> None:
    loaded = load("med_qa")
    assert len(loaded.items) > 1100
    for item in loaded.items:
        assert not re.search(r"\b(?:which|what|one) of the following\b", item.question, re.I)
        assert item.correct != item.incorrect
    assert sum("rephrased" in note or "left out" in note for note in loaded.notes) == 2


@pytest.mark.parametrize(
    ("asked", "open_form"),
    [
        ("Which of the following is the best next step?", "What is the best next step?"),
        ("Which of the following drugs is the cause?", "Which drug is the cause?"),
        ("Which of the following complications would develop?", "Which complication would develop?"),
        ("It is lined by which of the following?", "It is lined by what?"),
        ("What is the diagnosis?", "What is the diagnosis?"),
    ],
)
def test_rephrasing(asked: str, open_form: str) -> None:
    assert open_question(asked, ["a", "b"]) == (open_form, "")


@pytest.mark.parametrize(
    "asked",
    [
        "All of the following are causes EXCEPT?",
        "Which of the following statements is true?",
        "Which cell lines figure A?",
    ],
)
def test_what_cannot_be_asked_openly_is_left_out(asked: str) -> None:
    question, why = open_question(asked, ["a", "b"])
    assert question is None
    assert why


@real
def test_the_whole_grid_over_the_tasks() -> None:
    settings = [f"task.{task}.path={path}" for task, path in FILES.items()]
    run = config.compose(["+persona=none", f"task=[{','.join(FILES)}]", "grid=full", *settings])
    items = load_items(run.task).items
    assert Counter(item.task for item in items)["med_qa"] == 500
    prompts = grid.build(items, run.context, run.belief, run.grid)
    assert len(prompts) == 28 * len(items)
    plain = {(p.task, p.item_id, p.context): p.prompt for p in prompts if p.belief == "none"}
    beliefs = {(item.task, item.item_id): item for item in items}
    for prompt in prompts:
        if prompt.belief != "none":
            item = beliefs[prompt.task, prompt.item_id]
            said = item.incorrect if prompt.belief == "false_claim" else item.correct
            sentence = run.belief[prompt.belief].sentence.format(correct=said, incorrect=said)
            assert prompt.prompt == f"{plain[prompt.task, prompt.item_id, prompt.context]} {sentence}"


@pytest.mark.parametrize("task", ["trivia_qa", "truthful_qa", "med_qa"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.jsonl", "{"), ("a.jsonl", ""), ("a.jsonl", "[1]"), ("a.csv", "x,y\n1,2\n"), ("a.txt", "x"), ("b.jsonl", None)],
)
def test_files_that_cannot_be_used(task: str, name: str, text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError):
        LOADERS[task](TaskConfig(path=str(tmp_path / name)))


def test_disinformation_reads_both_formats(tmp_path: Path) -> None:
    (tmp_path / "mask.csv").write_text("task_id,user_prompt,proposition\n7,Is it flat?,The Earth is flat.\n")
    (item,) = LOADERS["disinformation"](TaskConfig(path=str(tmp_path / "mask.csv"), sample=125)).items
    assert (item.item_id, item.incorrect) == ("7", "The Earth is flat")
    row = {"id": "a", "question": "Is it flat?", "correct": "round", "incorrect": "flat", "family": "science"}
    (tmp_path / "own.jsonl").write_text(json.dumps(row))
    (item,) = LOADERS["disinformation"](TaskConfig(path=str(tmp_path / "own.jsonl"))).items
    assert (item.family, item.incorrect) == ("science", "flat")
