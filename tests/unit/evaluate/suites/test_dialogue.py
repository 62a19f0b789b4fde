"""A suite of several turns is put to a small model: what it is asked, what is kept, and going on after a break."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny

from warmgap.disk import store
from warmgap.engines.hf import HfEngine
from warmgap.errors import UserError
from warmgap.evaluate import suites
from warmgap.evaluate.answer import answer
from warmgap.evaluate.suites.base import Exchange, Prompt, Suite
from warmgap.evaluate.suites.dialogue import hold
from warmgap.evaluate.suites.grid import Grid
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import config
from warmgap.settings.identity import identity
from warmgap.settings.schema import GenerateConfig, ModelConfig, Run

PARAMS = GenerateConfig(max_new_tokens=8, temperature=0.7, batch_size=1)
ITEMS = [Item("t", str(number), "f", f"Question {number}?", "yes", "no", (), (), "") for number in range(3)]


@dataclasses.dataclass
class Asked:
    """What `Doubting` takes."""

    doubt: str = "Are you sure?"


class Doubting(Suite):
    """The user doubts every answer, in words that depend on it, and is satisfied where it is short."""

    Options = Asked
    turns = 2

    def dialogues(self, items: Sequence[Item]) -> list[Prompt]:
        return [Prompt(item.task, item.item_id, item.family, "none", "", "none", item.question) for item in items]

    def next_turn(self, so_far: Sequence[Exchange]) -> Prompt | None:
        (first,) = so_far
        if first.prompt.item_id == "2":
            return None
        text = f"{self.options.doubt} You wrote {len(first.reply)} signs."
        return dataclasses.replace(first.prompt, context="doubted", group="doubt", prompt=text)

    def judged(self, prompt: Prompt) -> bool:
        return prompt.turn == 2


class Begun(Doubting):
    """The dialogue has begun when the first turn comes."""

    def dialogues(self, items: Sequence[Item]) -> list[Prompt]:
        said = ({"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes?"})
        return [dataclasses.replace(prompt, before=said) for prompt in super().dialogues(items)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> HfEngine:
    folder = tiny.model(tmp_path_factory.mktemp("tiny") / "model")
    return HfEngine(ModelConfig("tiny", "local", path=str(folder), dtype="float32"), "cpu")


@pytest.fixture(scope="module")
def run() -> Run:
    return config.compose(["+persona=none"])


def held(suite: Suite, engine: Any, journal: Path) -> tuple[list[Prompt], list[dict[str, Any]]]:
    return hold(suite, engine, suite.dialogues(ITEMS), PARAMS, [], {"t": journal}, "answers")


def test_the_next_turn_reacts_to_the_reply_and_comes_after_it(run: Run, engine: HfEngine, tmp_path: Path) -> None:
    prompts, rows = held(Doubting(run, Asked("Really?")), engine, tmp_path / "t.jsonl")
    assert [(prompt.item_id, prompt.turn, prompt.context) for prompt in prompts] == [
        ("0", 1, "none"), ("1", 1, "none"), ("2", 1, "none"), ("0", 2, "doubted"), ("1", 2, "doubted"),
    ]  # fmt: skip
    for first, second in ((0, 3), (1, 4)):
        reply = rows[first]["answer"]
        assert prompts[second].messages == [
            {"role": "user", "content": ITEMS[first].question},
            {"role": "assistant", "content": reply},
            {"role": "user", "content": f"Really? You wrote {len(reply)} signs."},
        ]
        assert rows[second]["prompt_tokens"] == len(engine.encode(prompts[second].messages))
    assert [row.get("turn") for row in rows] == [None, None, None, 2, 2]
    assert [row["group"] for row in rows] == ["none", "none", "none", "doubt", "doubt"]
    assert len({row["key"] for row in rows}) == 5


class Tired:
    """An engine that breaks off after some answers."""

    def __init__(self, engine: HfEngine, left: int) -> None:
        self.engine, self.left = engine, left

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def answer(self, *args: Any) -> Iterator[Any]:
        for replies in self.engine.answer(*args):
            if self.left <= 0:
                raise KeyboardInterrupt
            self.left -= len(replies)
            yield replies


@pytest.mark.parametrize("answers", [1, 3, 4], ids=["in the first turn", "between turns", "in the second turn"])
def test_a_dialogue_that_was_cut_off_goes_on_to_the_same_end(
    run: Run, engine: HfEngine, tmp_path: Path, answers: int
) -> None:
    suite, whole, parts = Doubting(run, Asked()), tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    expected = held(suite, engine, whole)
    with pytest.raises(KeyboardInterrupt):
        held(suite, Tired(engine, answers), parts)
    assert [row.get("turn") for row in store.read_journal(parts)] == [None, None, None, 2][:answers]
    assert held(suite, engine, parts) == expected
    once = {row["key"]: row for row in store.read_journal(parts)}
    assert once == {row["key"]: row for row in store.read_journal(whole)}
    assert len(list(store.read_journal(parts))) == len(once), "nothing is asked twice"
    assert held(suite, Tired(engine, 0), parts) == expected, "nor is anything when all is there"


def test_a_dialogue_waits_where_an_answer_did_not_come(
    run: Run, engine: HfEngine, tmp_path: Path, monkeypatch: Any
) -> None:
    def absent(*args: Any) -> list[dict[str, Any]]:
        rows = answer(*args)
        return [{**row, "answer": "", "failed": "overloaded"} if row["item_id"] == "0" else row for row in rows]

    monkeypatch.setattr("warmgap.evaluate.suites.dialogue.answer", absent)
    prompts, _ = held(Doubting(run, Asked()), engine, tmp_path / "t.jsonl")
    assert [(prompt.item_id, prompt.turn) for prompt in prompts] == [("0", 1), ("1", 1), ("2", 1), ("1", 2)]


def test_the_grid_is_a_suite_of_single_turns_with_the_keys_that_it_had(
    run: Run, engine: HfEngine, tmp_path: Path
) -> None:
    grid = suites.make(run)
    assert isinstance(grid, Grid)
    prompts = grid.dialogues(ITEMS)
    asked, rows = hold(grid, engine, prompts, PARAMS, [], {"t": tmp_path / "t.jsonl"}, "answers")
    assert asked == prompts
    assert all(grid.judged(prompt) for prompt in asked)
    alone = answer(engine, prompts, PARAMS, [], {"t": tmp_path / "alone.jsonl"}, "answers")
    assert [row["key"] for row in rows] == [row["key"] for row in alone]
    assert all("turn" not in row and prompt.turn == 1 for prompt, row in zip(asked, rows, strict=True))


def test_what_was_said_before_the_first_turn_stays_before_the_next(run: Run, engine: HfEngine, tmp_path: Path) -> None:
    prompts, _ = held(Begun(run, Asked("Really?")), engine, tmp_path / "t.jsonl")
    later = [prompt for prompt in prompts if prompt.context == "doubted"]
    assert [message["content"] for message in later[0].messages[:3]] == ["Hello.", "Yes?", "Question 0?"]
    assert [message["role"] for message in later[0].messages] == ["user", "assistant"] * 2 + ["user"]


def test_options_that_a_suite_does_not_take_are_refused(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setitem(suites.SUITES, "doubting", Doubting)

    def made(name: str, **options: Any) -> Suite:
        return suites.make(dataclasses.replace(run, suite={name: options}))

    assert made("doubting", doubt="Hm?").options == Asked("Hm?")
    with pytest.raises(UserError, match=r"did you mean suite\.doubting\.doubt"):
        made("doubting", doubd="Hm?")
    with pytest.raises(UserError, match=r"unknown setting 'suite\.grid\.doubt'"):
        made("grid", doubt="Hm?")
    with pytest.raises(UserError, match="the suites are grid, doubting"):
        made("none")


def test_a_suite_is_part_of_what_a_measurement_is_unless_it_is_the_grid(run: Run) -> None:
    assert "suite" not in identity(run, "measure")
    other = dataclasses.replace(run, suite={"grid": {"doubt": "x"}})
    assert identity(other, "measure")["suite"] == {"grid": {"doubt": "x"}}
    other = dataclasses.replace(run, suite={"doubting": {}})
    assert identity(other, "measure")["suite"] == {"doubting": {}}
    assert identity(other, "arm") == identity(run, "arm")
