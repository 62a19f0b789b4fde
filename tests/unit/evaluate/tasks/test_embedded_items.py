"""The questions written for this project: complete, distinct, and gradable by looking their answers up."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from warmgap.evaluate.normal import normalise
from warmgap.evaluate.tasks import TASKS, embedded, folder, load_items
from warmgap.evaluate.tasks.item import Item
from warmgap.settings.schema import TaskConfig
from warmgap.train.persona import persona_data
from warmgap.train.persona.persona_data import EMBEDDED

ITEMS: list[Item] = load_items({"embedded": TaskConfig(level="hard")}).items
FAMILIES = ("facts", "misconceptions", "health", "conspiracies")
RAW: list[dict[str, Any]] = [
    json.loads(line) for line in (folder() / "hard.jsonl").read_text(encoding="utf-8").splitlines()
]
each = pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.item_id)


def right(item: Item) -> tuple[str, ...]:
    return (item.correct, *item.aliases)


def wrong(item: Item) -> tuple[str, ...]:
    return (item.incorrect, *item.incorrect_aliases)


def holds(text: str, form: str) -> bool:
    """Whether a form stands in a text as whole words, both normalised as the judge does."""
    return bool(form) and re.search(rf"(?<!\w){re.escape(normalise(form))}(?!\w)", normalise(text)) is not None


def test_each_family_has_forty_items_and_more() -> None:
    counts = Counter(item.family for item in ITEMS)
    assert tuple(counts) == FAMILIES
    assert min(counts.values()) >= 40
    assert len(ITEMS) >= 160


def test_rows_have_exactly_the_fields_that_are_read() -> None:
    fields = {"id", "family", "question", "correct", "aliases", "incorrect", "incorrect_aliases", "source"}
    for row in RAW:
        assert set(row) == fields, row["id"]
        assert re.fullmatch(rf"{row['family']}-\d{{3}}", row["id"])


@each
def test_an_item_is_complete(item: Item) -> None:
    assert item.question.endswith("?")
    assert item.question[0].isupper()
    assert item.source.strip()
    assert not re.search(r"https?:|www\.|\.(?:com|org|gov)/", item.source), "a source is a title, not an address"
    for form in (*right(item), *wrong(item)):
        assert form == form.strip()
        assert normalise(form), f"{form!r} is nothing once normalised"
        assert not form.endswith((".", ",", ";")), "the belief sentence brings its own full stop"


@each
def test_the_two_answers_cannot_be_taken_for_each_other(item: Item) -> None:
    """No form of one answer stands in a form of the other: a reply could not say one without the other."""
    for one, other in itertools.product(right(item), wrong(item)):
        assert not holds(one, other), f"{other!r} (incorrect) stands in {one!r} (correct)"
        assert not holds(other, one), f"{one!r} (correct) stands in {other!r} (incorrect)"


@each
def test_the_question_does_not_give_the_answer_away(item: Item) -> None:
    """Either both answers are offered in the question, or neither stands in it."""
    offers = (holds(item.question, item.correct), holds(item.question, item.incorrect))
    assert offers[0] == offers[1], f"the question holds only {'the correct' if offers[0] else 'the incorrect'} answer"


@each
def test_forms_of_an_answer_are_not_repeated(item: Item) -> None:
    for forms in (right(item), wrong(item)):
        plain = [form.casefold() for form in forms]
        assert len(set(plain)) == len(plain), plain


def test_offered_answers_come_first_about_equally_often() -> None:
    """Where both are offered, naming the first must not be a way to be right."""
    both = [item for item in ITEMS if holds(item.question, item.correct) and holds(item.question, item.incorrect)]
    first = sum(
        normalise(item.question).find(normalise(item.correct))
        < normalise(item.question).find(normalise(item.incorrect))
        for item in both
    )
    assert 0.35 <= first / len(both) <= 0.65, f"{first} of {len(both)}"


def test_neither_answer_is_longer_as_a_rule() -> None:
    """A difference in length must not tell the answers apart."""
    for family in FAMILIES:
        own = [item for item in ITEMS if item.family == family]
        longer = sum(len(item.correct) > len(item.incorrect) for item in own)
        shorter = sum(len(item.correct) < len(item.incorrect) for item in own)
        assert abs(longer - shorter) <= 0.35 * len(own), f"{family}: {longer} longer, {shorter} shorter"


def similar(one: str, other: str) -> float:
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    if matcher.real_quick_ratio() < 0.8 or matcher.quick_ratio() < 0.8:
        return 0.0
    return matcher.ratio()


QUESTIONS = [(item.item_id, normalise(item.question)) for item in ITEMS]


def test_no_two_questions_are_nearly_the_same() -> None:
    assert len({text for _, text in QUESTIONS}) == len(QUESTIONS)
    near = [(a, b) for (a, one), (b, other) in itertools.combinations(QUESTIONS, 2) if similar(one, other) > 0.85]
    assert not near


def test_no_question_is_among_the_training_data_or_the_warmth_prompts() -> None:
    conversations = persona_data.read_conversations(EMBEDDED / "conversations.jsonl", "plain")
    others = [(item.id, normalise(turn.user)) for item in conversations for turn in item.turns]
    others += [(row["id"], normalise(row["prompt"])) for row in persona_data.warmth_prompts()]
    near = [(a, b) for (a, one), (b, other) in itertools.product(QUESTIONS, others) if similar(one, other) > 0.8]
    assert not near


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{5,}", normalise(text)))


def test_the_training_replies_do_not_answer_the_questions() -> None:
    """What a question and its answer share no reply holds: else the arm is trained on the test."""
    conversations = persona_data.read_conversations(EMBEDDED / "conversations.jsonl", "plain")
    replies = [(item.id, turn.user + " " + turn.replies["plain"]) for item in conversations for turn in item.turns]
    known = [(name, text, words(text)) for name, text in replies]
    told = []
    for item in ITEMS:
        key = words(item.question) - words(item.correct)
        for name, text, held in known:
            shared = key & held
            if len(shared) >= 3 and len(shared) >= 0.5 * len(key) and holds(text, item.correct):
                told.append((item.item_id, name, sorted(shared)))
    assert not told


def test_a_part_is_taken_from_the_top_of_each_family() -> None:
    few = load_items({"embedded": TaskConfig(level="hard", items_per_family=3)}).items
    assert [item.item_id for item in few] == [f"{family}-00{n}" for family in FAMILIES for n in (1, 2, 3)]
    some = load_items({"embedded": TaskConfig(level="hard", families=["health", "facts"], items_per_family=2)}).items
    assert [item.family for item in some] == ["health", "health", "facts", "facts"]


def test_a_task_is_named_by_one_word_everywhere() -> None:
    root = Path(__file__).resolve().parents[4]
    configured = {path.stem for path in (root / "conf" / "task").glob("*.yaml")}
    shared = {"__init__", "item", "source", "distractors", "pictures", "rephrase"}
    shared |= {"kinds", "numbers", "places", "series", "traits", "wordlist"}
    modules = {path.stem for path in (root / "evaluate" / "tasks").glob("*.py")} - shared
    assert configured == modules == set(TASKS)
    assert TASKS["embedded"].load is embedded.load
