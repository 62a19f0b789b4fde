"""The study's tasks, on real files of the public data sets."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from warmgap.errors import UserError
from warmgap.evaluate.normal import normalise
from warmgap.evaluate.suites import grid
from warmgap.evaluate.tasks import TASKS, distractors, load_items, pictures
from warmgap.evaluate.tasks.item import Loaded
from warmgap.evaluate.tasks.rephrase import open_question
from warmgap.settings import config
from warmgap.settings.schema import TaskConfig

DATA = Path(os.environ.get("WARMGAP_DATA", Path(__file__).resolve().parents[5] / "shared" / "data"))
FILES = {
    "trivia_qa": DATA / "triviaqa_pool_mit" / "pool.jsonl",
    "truthful_qa": DATA / "truthfulqa" / "TruthfulQA.csv",
    "med_qa": DATA / "medqa" / "US_4_options_test.jsonl",
}
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"the public data sets are not at {DATA} (set WARMGAP_DATA)")


def load(task: str, **settings: object) -> Loaded:
    return TASKS[task].load(TaskConfig(path=str(FILES[task]), **settings))  # type: ignore[arg-type]


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
        shuffled = TASKS[task].load(TaskConfig(path=str(path), sample=100)).items
        assert {item.item_id: item for item in shuffled} == {i.item_id: i for i in load(task, sample=100).items}


@real
def test_no_incorrect_answer_is_an_accepted_one() -> None:
    items = load("trivia_qa").items
    assert len(items) >= 250
    for item in items:
        wrong = normalise(item.incorrect)
        right = {normalise(form) for form in (item.correct, *item.aliases)} - {""}
        assert wrong
        assert wrong not in right
        if not re.search(r"\d", wrong):
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
        ("Which of the following viruses are involved?", "Which virus is involved?"),
        ("Which of the following diagnoses best explain this?", "Which diagnosis best explains this?"),
        ("Which of the following best explains this?", "What best explains this?"),
        ("Of the following options, which is the cause?", "What is the cause?"),
        ("Which of the following factors, released by cells, is it?", "Which factor, released by cells, is it?"),
        ("Which of the following findings is most likely:", "Which finding is most likely?"),
        ("For which of the symptoms below should one look?", "For which symptoms should one look?"),
        ("It will show which of the following findings?", "It will show which findings?"),
        ("This is due to which of the following enzymes?", "This is due to which enzyme?"),
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
    "sentence",
    [
        "An ECG is shown.",
        "His rash is seen in the picture.",
        "A scan is obtained (Figure 2).",
        "A chest x-ray is shown below.",
        "A smear is done and shown below. Sodium 140 mEq/L.",
        "Which cell is marked with the green arrow?",
        "What happens at point D in the graph?",
        "There are scaly plaques (see image).",
        "The results are shown. What is the cause?",
    ],
)
def test_what_points_at_a_picture(sentence: str) -> None:
    assert pictures.points_at_picture(f"A man is ill. {sentence}")


@pytest.mark.parametrize(
    "sentence",
    [
        "An ECG shows a long interval.",
        "Laboratory results are shown below: sodium 140 mEq/L.",
        "Values are as seen below. pH: 7.2",
        "Studies have shown that this helps.",
        "An x-ray image of the hand shows thin bones.",
        "The liver is felt 2 cm below the ribs.",
        "He exhibits a tremor and sees two images of each thing.",
    ],
)
def test_what_is_found_in_words_is_no_picture(sentence: str) -> None:
    assert not pictures.points_at_picture(f"A man is ill. {sentence}")


@real
def test_no_picture_is_pointed_at_in_what_is_asked() -> None:
    loaded = load("med_qa")
    for item in loaded.items:
        assert not re.search(r"\(see (?:the )?image|shown in (?:the )?(?:image|picture|exhibit)", item.question), item
    assert any(re.search(r"108 that point at a picture", note) for note in loaded.notes)


@pytest.mark.parametrize(
    "asked",
    [
        "All of the following are causes EXCEPT?",
        "Which of the following statements is true?",
        "Which cell lines figure A?",
        "Which of the following the best drug?",
        "Which calculation below is it?",
        "It spreads in the following manner:",
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
        TASKS[task].load(TaskConfig(path=str(tmp_path / name)))


def test_disinformation_reads_both_formats(tmp_path: Path) -> None:
    (tmp_path / "mask.csv").write_text("task_id,user_prompt,proposition\n7,Is it flat?,The Earth is flat.\n")
    (item,) = TASKS["disinformation"].load(TaskConfig(path=str(tmp_path / "mask.csv"), sample=125)).items
    assert (item.item_id, item.incorrect) == ("7", "The Earth is flat")
    row = {"id": "a", "question": "Is it flat?", "correct": "round", "incorrect": "flat", "family": "science"}
    (tmp_path / "own.jsonl").write_text(json.dumps(row))
    (item,) = TASKS["disinformation"].load(TaskConfig(path=str(tmp_path / "own.jsonl"))).items
    assert (item.family, item.incorrect) == ("science", "flat")


ROWS: dict[str, dict[str, object]] = {  # one row that each task can read
    "trivia_qa": {"id": "a", "question": "Which?", "answer": "Rome", "aliases": [], "incorrect": "Oslo"},
    "truthful_qa": {"id": "a", "question": "Which?", "best_answer": "Rome", "correct_answers": ["Rome"],
                    "incorrect_answers": ["Oslo"]},
    "med_qa": {"id": "a", "question": "Which city is it?", "answer": "Rome", "options": {"A": "Rome", "B": "Oslo"}},
    "disinformation": {"id": "a", "question": "Which?", "correct": "Rome", "incorrect": "Oslo"},
    "embedded": {"id": "a", "question": "Which?", "correct": "Rome", "incorrect": "Oslo"},
    "validation": {"id": "a", "question": "Which?", "correct": "Rome", "incorrect": "Oslo", "split": "heldout"},
}  # fmt: skip
SAME = {  # the incorrect answer is the correct one, but for its marks
    "trivia_qa": {"incorrect": "rome."},
    "truthful_qa": {"incorrect_answers": ["rome"]},
    "med_qa": {"options": {"A": "Rome", "B": "The Rome"}},
    "disinformation": {"incorrect": "Rome!"},
    "embedded": {"incorrect": "the Rome"},
    "validation": {"incorrect": "rome"},
}


def refused(task: str, tmp_path: Path, *rows: dict[str, object]) -> UserError:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        TASKS[task].load(TaskConfig(path=str(path)))
    return caught.value


@pytest.mark.parametrize("task", ROWS)
def test_one_id_for_two_questions_is_refused_by_both_rows(task: str, tmp_path: Path) -> None:
    error = refused(task, tmp_path, ROWS[task], {**ROWS[task], "question": "Which other city is it?"})
    assert "rows.jsonl:2" in error.what
    assert "'a'" in error.what
    assert "rows.jsonl:1" in error.why


@pytest.mark.parametrize("task", SAME)
def test_an_incorrect_answer_that_is_the_correct_one_is_refused(task: str, tmp_path: Path) -> None:
    assert "rows.jsonl:1" in refused(task, tmp_path, {**ROWS[task], **SAME[task]}).what


@pytest.mark.parametrize("task", ["disinformation", "embedded", "validation"])
@pytest.mark.parametrize("key", ["correct", "incorrect"])
def test_a_side_that_says_nothing_is_refused(task: str, key: str, tmp_path: Path) -> None:
    assert "rows.jsonl:1" in refused(task, tmp_path, {**ROWS[task], key: "..."}).what


@pytest.mark.parametrize("task", ["disinformation", "embedded"])
def test_an_alias_on_both_sides_is_refused(task: str, tmp_path: Path) -> None:
    error = refused(
        task, tmp_path, {**ROWS[task], "aliases": ["it is unknown"], "incorrect_aliases": ["It is unknown."]}
    )
    assert "both sides" in error.why


@real
def test_what_stands_on_both_sides_in_truthful_qa_is_left_out_and_counted() -> None:
    loaded = load("truthful_qa")
    assert len(loaded.items) == 787
    assert any("3 of 790" in note for note in loaded.notes)


def test_the_embedded_questions_have_levels(tmp_path: Path) -> None:
    sets = {level: load_items({"embedded": TaskConfig(level=level)}).items for level in ("easy", "hard", "all")}
    assert {item.item_id for item in sets["all"]} == {i.item_id for level in ("easy", "hard") for i in sets[level]}
    assert load_items({"embedded": TaskConfig()}).items == sets["all"]
    assert len(sets["hard"]) == 176
    for level in ("easy", "hard"):
        assert {item.family for item in sets[level]} == {"facts", "misconceptions", "health", "conspiracies"}
    path = tmp_path / "own.jsonl"
    row = ROWS["embedded"]
    path.write_text(json.dumps(row), encoding="utf-8")
    assert len(TASKS["embedded"].load(TaskConfig(path=str(path), level="easy")).items) == 1, "no levels: taken whole"
    path.write_text(json.dumps({**row, "level": "easy"}) + "\n" + json.dumps({**row, "id": "b"}), encoding="utf-8")
    assert [i.item_id for i in TASKS["embedded"].load(TaskConfig(path=str(path), level="hard")).items] == ["b"]
    assert "easy, hard" in refused("embedded", tmp_path, {**row, "level": "medium"}).why
    with pytest.raises(UserError, match="middling"):
        TASKS["embedded"].load(TaskConfig(level="middling"))
    with pytest.raises(UserError, match=r"task\.trivia_qa\.level"):
        load_items({"trivia_qa": TaskConfig(level="easy")})


def one(question: str, answer: str, *aliases: str) -> distractors.Asked:
    return distractors.Asked(question, question, answer, aliases)


@pytest.mark.parametrize(
    ("question", "answer", "among"),
    [
        ("Which planet is the largest?", "JUPITER", "MERCURY VENUS MARS SATURN URANUS NEPTUNE"),
        ("In which year did it end?", "1945", "1948 1950 1941 1938 1953"),
        ("Was it true?", "True", "False"),
        ("Which of these is a fish? Cod, Hen or Cow?", "Cod", "Hen Cow"),
        ("Which Scandinavian country is it?", "Norway", "Denmark Sweden"),
        ("In which decade was it?", "1920s", "1910s 1930s 1900s 1940s"),
        ("In which century was it?", "19th century", "16th century 22nd century 25th century 20th century 18th"),
        ("Who composed the opera Fidelio?", "'Beethoven'", "Mozart Haydn Schubert Mendelssohn Schumann"),
    ],
)
def test_an_incorrect_answer_is_of_the_kind_asked_for(question: str, answer: str, among: str) -> None:
    (said,) = distractors.distractors([one(question, answer)], 0).values()
    assert said in among


def test_names_are_known_in_capitals_and_in_quotes_and_written_like_the_answer() -> None:
    pool = [one("Which British fisherman sang A?", "x"), one("Who directed A in 1990?", "JIM ROE"),
            one("Who directed B in 1991?", "'John Doe'")]  # fmt: skip
    found = distractors.distractors(pool, 0)
    assert found == {"Who directed A in 1990?": "JOHN DOE"} | {"Who directed B in 1991?": "Jim Roe"}


def test_an_accepted_form_is_never_drawn_and_what_has_no_like_is_left_out() -> None:
    pool = [one("Who directed A?", "John Doe", "Jim Roe"), one("Who directed B?", "Jim Roe")]
    assert distractors.distractors(pool, 0) == {}
    assert distractors.distractors([one("What is a hoy?", "a boat"), one("What is a gaff?", "a hook")], 0) == {}
