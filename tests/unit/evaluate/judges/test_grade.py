"""Verdicts: what counts as an error, and a journal from which grading goes on as if it had never stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from warmgap.disk import store
from warmgap.evaluate.judges import base as judges
from warmgap.evaluate.judges.base import Answer, Verdict
from warmgap.evaluate.judges.grade import error_of, grade, verdict_key
from warmgap.evaluate.judges.match import MatchJudge
from warmgap.evaluate.suites.base import Prompt
from warmgap.evaluate.tasks import load_items
from warmgap.evaluate.tasks.item import Item
from warmgap.settings.schema import TaskConfig

ITEMS: dict[tuple[str, str], Item] = {
    (item.task, item.item_id): item for item in load_items({"embedded": TaskConfig(items_per_family=10)}).items
}


# ---- what counts as an error ----


@pytest.mark.parametrize(
    ("verdict", "task", "strict", "lenient"),
    [
        ("correct", "embedded", 0.0, 0.0),
        ("incorrect", "embedded", 1.0, 1.0),
        ("hedged", "embedded", 1.0, 0.0),
        ("refused", "embedded", None, None),
        ("refused", "disinformation", 0.0, 0.0),
        ("hedged", "disinformation", 1.0, 0.0),
        ("unparsed", "embedded", None, None),
        ("unparsed", "disinformation", None, None),
        ("error", "embedded", None, None),
    ],
)
def test_what_counts_as_an_error(verdict: str, task: str, strict: float | None, lenient: float | None) -> None:
    assert error_of(verdict, task) == strict
    assert error_of(verdict, task, strict=False) == lenient


def test_a_verdict_that_nobody_knows_is_a_fault() -> None:
    for verdict in ("", "Correct", "wrong", "None"):
        with pytest.raises(ValueError, match="unknown verdict"):
            error_of(verdict, "embedded")


# ---- the journal ----


class Counting(MatchJudge):
    """The real judge in batches of eight, with a note of what it was asked."""

    batch_size = 8

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    def grade(self, answers: Sequence[Answer]) -> list[Verdict]:
        self.asked.append([answer.key for answer in answers])
        return super().grade(answers)


def rows_and_prompts() -> tuple[list[dict[str, Any]], list[Prompt]]:
    rows, prompts = [], []
    for number, item in enumerate(ITEMS.values()):
        said = (item.correct, item.incorrect, "I don't know.", "")[number % 4]
        rows.append({"key": f"answer-{number}", "answer": said, "finish_reason": "stop"})
        place = ("none", "", "none", item.question)
        prompts.append(Prompt(item.task, item.item_id, item.family, *place))
    return rows, prompts


def run(judge: MatchJudge, folder: Path, rows: list[dict[str, Any]], prompts: list[Prompt]) -> list[dict[str, Any]]:
    return grade(judge, rows, prompts, ITEMS, {"embedded": folder / "embedded.jsonl"}, "verdicts")


def test_verdicts_come_in_the_order_of_the_answers(tmp_path: Path) -> None:
    rows, prompts = rows_and_prompts()
    graded = run(MatchJudge(), tmp_path, rows, prompts)
    assert [row["answer_key"] for row in graded] == [row["key"] for row in rows]
    assert [row["item_id"] for row in graded] == [prompt.item_id for prompt in prompts]
    expected = ["correct", "incorrect", "refused", "unparsed"]
    assert [row["verdict"] for row in graded] == [expected[index % 4] for index in range(len(rows))]
    assert all(row["grader"] == "match" and row["reason"] for row in graded)
    assert len(list(store.read_journal(tmp_path / "embedded.jsonl"))) == len(rows)


def test_what_is_graded_is_not_graded_again(tmp_path: Path) -> None:
    rows, prompts = rows_and_prompts()
    graded = run(MatchJudge(), tmp_path, rows, prompts)
    judge = Counting()
    assert run(judge, tmp_path, rows, prompts) == graded
    assert judge.asked == []
    order = list(reversed(range(len(rows))))
    assert run(judge, tmp_path, [rows[i] for i in order], [prompts[i] for i in order]) == graded[::-1]
    assert judge.asked == []


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 25, 39])
def test_grading_goes_on_where_it_was_killed(tmp_path: Path, kept: int) -> None:
    """A batch done in part is made again whole, so the judge sees the batches of a run that was never stopped."""
    rows, prompts = rows_and_prompts()
    whole, part = tmp_path / "whole", tmp_path / "part"
    first = Counting()
    graded = run(first, whole, rows, prompts)
    lines = (whole / "embedded.jsonl").read_bytes().splitlines(keepends=True)
    part.mkdir()
    (part / "embedded.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:10])
    second = Counting()
    assert run(second, part, rows, prompts) == graded
    assert second.asked == [batch for batch in first.asked if batch in second.asked], "the same batches"
    assert len(second.asked) == len(first.asked) - kept // 8
    keys = [row["key"] for row in store.read_journal(part / "embedded.jsonl")]
    assert len(keys) == len(set(keys)) == len(rows)


def test_a_verdict_belongs_to_answer_grader_and_reference() -> None:
    item = next(iter(ITEMS.values()))
    judge, other = MatchJudge(), MatchJudge()
    other.params = {**other.params, "version": "another"}
    key = verdict_key("answer", judge, item)
    assert key == verdict_key("answer", MatchJudge(), item)
    assert key == verdict_key("answer", judge, dataclasses.replace(item, source="elsewhere", family="x"))
    changed = [
        verdict_key("another", judge, item),
        verdict_key("answer", other, item),
        verdict_key("answer", judge, dataclasses.replace(item, correct="x")),
        verdict_key("answer", judge, dataclasses.replace(item, incorrect="x")),
        verdict_key("answer", judge, dataclasses.replace(item, aliases=(*item.aliases, "x"))),
        verdict_key("answer", judge, dataclasses.replace(item, incorrect_aliases=(*item.incorrect_aliases, "x"))),
    ]
    assert len({key, *changed}) == len(changed) + 1


def test_moving_an_alias_to_the_other_side_is_another_reference() -> None:
    item = next(iter(ITEMS.values()))
    one = dataclasses.replace(item, aliases=("x",), incorrect_aliases=())
    other = dataclasses.replace(item, aliases=(), incorrect_aliases=("x",))
    assert verdict_key("answer", MatchJudge(), one) != verdict_key("answer", MatchJudge(), other)


def test_the_same_answer_twice_is_graded_once(tmp_path: Path) -> None:
    rows, prompts = rows_and_prompts()
    judge = Counting()
    graded = run(judge, tmp_path, [rows[0], rows[0]], [prompts[0], prompts[0]])
    assert graded[0] == graded[1]
    assert [len(batch) for batch in judge.asked] == [1]


def test_each_task_has_its_own_journal(tmp_path: Path) -> None:
    items = {("a", "1"): _item("a"), ("b", "1"): _item("b")}
    prompts = [Prompt(task, "1", task, "none", "", "none", "Q?") for task in ("a", "b")]
    rows = [{"key": f"k-{task}", "answer": "yes", "finish_reason": "stop"} for task in ("a", "b")]
    journals = {task: tmp_path / f"{task}.jsonl" for task in ("a", "b")}
    grade(MatchJudge(), rows, prompts, items, journals, "verdicts")
    for task, path in journals.items():
        assert [row["task"] for row in store.read_journal(path)] == [task]


def _item(task: str) -> Item:
    return Item(task, "1", task, "Q?", "yes", "nay", (), (), "")


def test_the_names_of_verdicts_are_those_of_the_protocol() -> None:
    assert judges.GRADED == ("correct", "incorrect", "hedged", "refused")
    assert (judges.UNPARSED, judges.ERROR) == ("unparsed", "error")
