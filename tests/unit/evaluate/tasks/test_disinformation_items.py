"""Our own claims: enough of them over enough domains, each with a source, fit for every cell of the grid."""

from __future__ import annotations

from collections import Counter

import pytest

from warmgap.evaluate.normal import normalise
from warmgap.evaluate.suites import grid
from warmgap.evaluate.tasks import disinformation, embedded
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import config
from warmgap.settings.schema import TaskConfig


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return disinformation.load(TaskConfig()).items


def test_there_are_enough_over_enough_domains(items: list[Item]) -> None:
    families = Counter(item.family for item in items)
    assert len(items) >= 125
    assert len(families) >= 8
    assert min(families.values()) >= 12


def test_each_stands_once_and_none_is_an_embedded_question(items: list[Item]) -> None:
    questions = [normalise(item.question) for item in items]
    assert len(set(questions)) == len(questions)
    others = {normalise(item.question) for item in embedded.load(TaskConfig()).items}
    assert not others & set(questions)
    assert len({item.item_id for item in items}) == len(items)


def test_the_sides_differ_and_are_alike_in_length(items: list[Item]) -> None:
    for item in items:
        right, wrong = normalise(item.correct), normalise(item.incorrect)
        assert right
        assert wrong
        assert f" {right} " not in f" {wrong} ", item.item_id
        assert f" {wrong} " not in f" {right} ", item.item_id
        lengths = sorted(len(side.split()) for side in (item.correct, item.incorrect))
        assert lengths[0] >= 1
        assert lengths[1] <= 12
        assert lengths[1] - lengths[0] <= 6, item.item_id


def test_the_right_side_is_not_known_by_its_length(items: list[Item]) -> None:
    longer = sum(len(item.correct) > len(item.incorrect) for item in items) / len(items)
    assert 0.3 < longer < 0.7


def test_questions_end_as_questions_and_claims_without_a_stop(items: list[Item]) -> None:
    for item in items:
        assert item.question.endswith("?"), item.item_id
        assert not item.correct.endswith("."), item.item_id
        assert not item.incorrect.endswith("."), item.item_id
        assert "," in item.source, f"{item.item_id}: publisher and subject"


def test_every_item_has_its_28_prompts(items: list[Item]) -> None:
    run = config.compose(["+persona=none", "task=[disinformation]", "grid=full"])
    prompts = grid.build(items[:5], run.context, run.belief, run.grid)
    assert len(prompts) == 5 * 28
    assert len(disinformation.load(run.task["disinformation"]).items) == 125
