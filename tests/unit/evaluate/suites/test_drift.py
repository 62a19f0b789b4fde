"""Drift from the assistant: its conversations, what is read off them, and where replies lie in a model's own space."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from warmgap.engines.hf import HfEngine, directions
from warmgap.evaluate.suites.base import Exchange, Prompt
from warmgap.evaluate.suites.probe import Dialogue, Outcome, Reader, items_of
from warmgap.evaluate.suites.probes import drift, drift_directions
from warmgap.evaluate.suites.probes.drift import Drift, Options, correlation, fact, wrong
from warmgap.evaluate.tasks.item import fault
from warmgap.settings import config
from warmgap.settings.schema import Run

REPLIES = Path(__file__).resolve().parents[3] / "replies" / "suites" / "drift.jsonl"
ROWS = items_of("drift")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("base"), num_hidden_layers=3)


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    own = ["model=local", f"model.path={base}", "model.dtype=float32", "device=cpu"]
    return config.compose(["+persona=warm", *own, f"runs_dir={tmp_path_factory.mktemp('runs')}"])


@pytest.fixture(scope="module")
def suite(run: Run) -> Drift:
    return Drift(run, Options())


def held(suite: Drift, item_id: str, replies: list[str], finish: str = "stop") -> Dialogue:
    """A conversation in which these replies came."""
    (prompt,) = (one for one in suite.dialogues() if one.item_id == item_id)
    so_far: list[Exchange] = []
    for reply in replies:
        so_far.append(Exchange(prompt, reply))
        following = suite.next_turn(so_far)
        if following is not None:
            said = [{"role": "assistant", "content": reply}, *()]
            before = (*prompt.messages, *said)
            prompt = dataclasses.replace(following, before=before)
    return Dialogue(tuple(so_far), (finish,) * len(so_far), len(so_far) == drift.TURNS)


# ---- the conversations ----


def test_there_are_eight_of_each_kind_with_four_questions_each() -> None:
    assert Counter(row["kind"] for row in ROWS) == {"emotional": 8, "meta": 8, "task": 8}
    assert len({row["id"] for row in ROWS}) == len({row["about"] for row in ROWS}) == 24
    for row in ROWS:
        asked = [place for place, turn in enumerate(row["turns"]) if "question" in turn]
        assert (len(row["turns"]), asked) == (6, [0, 2, 4, 5]), row["id"]
    said = [turn["say"] for row in ROWS for turn in row["turns"]]
    assert len(set(said)) == len(said)


def test_every_question_has_an_answer_that_can_be_read_as_itself() -> None:
    seen = set()
    for row in ROWS:
        for turn in range(6):
            item = fact(row["id"], turn)
            if item is None:
                continue
            assert fault(item) is None, item
            seen.add(item.question)
            for reply, label in ((item.correct, False), (item.incorrect, True)):
                one = Dialogue((Exchange(Prompt("t", row["id"], "", "", "", "", ""), reply),) * 6, ("stop",) * 6)
                assert wrong(one, turn)[0] is label, (row["id"], turn, reply)
    assert len(seen) == 96, "no question is asked twice"


def test_dialogues_are_the_same_each_time_and_a_part_of_them_is_balanced(suite: Drift, run: Run) -> None:
    assert suite.dialogues() == suite.dialogues()
    some = Drift(run, Options(items=6)).dialogues()
    assert Counter(prompt.family for prompt in some) == {"emotional": 2, "meta": 2, "task": 2}


def test_no_two_turns_of_a_conversation_have_one_place_and_all_end_after_six(suite: Drift) -> None:
    one = held(suite, "meta-6", list("abcdef"))
    assert len({(turn.prompt.context, turn.prompt.belief) for turn in one.exchanges}) == 6
    assert suite.next_turn(one.exchanges) is None
    assert suite.next_turn(one.exchanges[:3]) == suite.next_turn(one.exchanges[:3])
    assert suite.next_turn(one.exchanges[:1]) is not None
    assert one.exchanges[0].prompt.prompt.endswith("who gave the animals their names?")
    assert not suite.judged(one.first)


# ---- error ----


def read(suite: Drift, dialogue: Dialogue) -> dict[str, Outcome]:
    return {one.condition: one for one in suite.read([dialogue], Reader(suite))}


def test_error_is_the_share_of_wrong_answers_early_and_late(suite: Drift) -> None:
    right = ["Jason.", "I am here.", "The wolf.", "Yes.", "366 days.", "Evergreen."]
    assert {key: one.value for key, one in read(suite, held(suite, "emotional-1", right)).items()} == {
        "emotional early": 0.0,
        "emotional late": 0.0,
    }
    mixed = ["It was Odysseus.", "…", "The wolf.", "Yes.", "365 days.", "They are deciduous."]
    assert [one.value for one in read(suite, held(suite, "emotional-1", mixed)).values()] == [0.5, 1.0]


def test_what_cannot_be_told_is_no_error_and_counts_in_no_share(suite: Drift) -> None:
    cut = read(suite, held(suite, "emotional-1", ["You poor thing, and"] * 6, finish="length"))
    assert {one.value for one in cut.values()} == {None}
    assert all("cut off" in one.why for one in cut.values())
    empty = read(suite, held(suite, "emotional-1", ["Odysseus.", "", "", "", "", ""]))
    assert empty["emotional early"].value is None, "what is not told may not make the other answer the whole"
    assert empty["emotional early"].why.endswith("; empty reply")
    assert (empty["emotional late"].value, empty["emotional late"].why) == (None, "empty reply")
    short = read(suite, held(suite, "emotional-1", ["Jason."]))
    assert short["emotional late"].why == "the conversation did not come so far"
    half = read(suite, held(suite, "emotional-1", ["Jason.", "…", "The wolf.", "Yes.", "366 days."]))
    assert half["emotional late"].value is None, "nor may what did not come"
    refused = read(suite, held(suite, "emotional-6", ["I cannot help with that."] * 6))
    assert {one.value for one in refused.values()} == {None}


def test_the_rule_agrees_with_the_labels_as_the_page_says(suite: Drift) -> None:
    rows = [json.loads(line) for line in REPLIES.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 71
    agree = Counter[str]()
    for row in rows:
        turns = (Exchange(Prompt("t", row["item"], "", "", "", "", ""), row["reply"]),) * row["turn"]
        told, _ = wrong(Dialogue(turns, (row["finish"],) * row["turn"]), row["turn"] - 1)
        agree[row["split"]] += told == row["label"]
    assert agree == {"test": 35, "development": 36}, "all of them"


# ---- the model itself ----


@pytest.fixture(scope="module")
def engine(run: Run) -> HfEngine:
    return HfEngine(run.model, "cpu")


def test_replies_are_laid_along_directions_of_the_original(suite: Drift, engine: HfEngine, tmp_path: Path) -> None:
    texts = [f"A reply of number {number}." for number in range(6)]
    dialogue = held(suite, "meta-1", texts)
    outcomes = suite.look(engine, [dialogue], [], tmp_path / "looked.jsonl")
    found = {(one.measure, one.condition): one.value for one in outcomes}
    assert set(found) == {
        ("start", "meta"),
        *((name, f"meta {part}") for name in drift_directions.NAMES for part in ("early", "late")),
        ("drift_error_r", "meta"),
    }
    gauge = drift_directions.Gauge(suite.run, 0.5)
    kept = directions.read(gauge.path)
    assert kept is not None
    places = []
    for end in range(6):
        messages = [
            message
            for turn in dialogue.exchanges[: end + 1]
            for message in (turn.prompt.messages[-1], {"role": "assistant", "content": turn.reply})
        ]
        row = next(directions.rows(engine.tokenizer, engine.config, [messages]))
        states = directions.residual(engine.model, [0.5], row["input_ids"])[0]
        mean = directions.of_reply(states, row["labels"]).mean(0)
        places.append(float((mean @ kept["unit"][0] - kept["middle"][0]) / kept["sd"][0]))
    assert found["start", "meta"] == pytest.approx(places[0], abs=1e-3)
    assert found["assistant", "meta early"] == pytest.approx(sum(places[1:3]) / 2 - places[0], abs=1e-3)
    assert found["assistant", "meta late"] == pytest.approx(sum(places[3:]) / 3 - places[0], abs=1e-3)


def test_neutral_replies_have_mean_0_and_deviation_1(suite: Drift, engine: HfEngine) -> None:
    gauge = drift_directions.Gauge(suite.run, 0.5)
    plain, played = directions.assistant()
    own, others = ([gauge.places(engine, one)["assistant"][0] or 0 for one in side[:24]] for side in (plain, played))
    assert torch.tensor(own).mean() == pytest.approx(0, abs=1e-3)
    assert torch.tensor(own).std() == pytest.approx(1, abs=1e-3)
    assert torch.tensor(others).mean() < 0, "a reply in a role lies away from the assistant"


def test_what_was_looked_at_is_not_looked_at_again_and_directions_are_taken_once(
    suite: Drift, engine: HfEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialogue, journal = held(suite, "task-2", list("abcdef")), tmp_path / "looked.jsonl"
    first = suite.look(engine, [dialogue], [], journal)
    kept = journal.read_bytes()

    def never(*_: Any) -> Any:
        raise AssertionError("computed again")

    monkeypatch.setattr(drift_directions.Gauge, "_taken", never)
    monkeypatch.setattr(directions, "of_replies", never)
    assert suite.look(engine, [dialogue], [], journal) == first
    assert suite.look(object(), [dialogue], [], journal) == first, "not even the engine is needed"  # type: ignore[arg-type]
    assert journal.read_bytes() == kept
    with pytest.raises(AssertionError, match="computed again"):
        suite.look(engine, [dialogue], [{"role": "system", "content": "Be warm."}], journal)
    other = Drift(suite.run, Options(depth=0.0))
    assert drift_directions.Gauge(other.run, 0.0).name != drift_directions.Gauge(suite.run, 0.5).name


def test_an_engine_without_activations_gives_outcomes_that_say_so(suite: Drift, tmp_path: Path) -> None:
    outcomes = suite.look(object(), [held(suite, "task-1", list("abcdef"))], [], tmp_path / "none.jsonl")  # type: ignore[arg-type]
    assert len(outcomes) == 8
    assert {one.value for one in outcomes} == {None}
    assert all("engine=hf" in one.why for one in outcomes)


def test_a_model_of_another_width_is_not_laid_along_them(suite: Drift, tmp_path: Path) -> None:
    folder = tiny.model(tmp_path / "wide", hidden_size=64)
    other = HfEngine(dataclasses.replace(suite.run.model, path=str(folder)), "cpu")
    outcomes = suite.look(other, [held(suite, "task-1", list("abcdef"))], [], tmp_path / "none.jsonl")
    assert all("32 numbers wide, and this model 64" in one.why for one in outcomes)


def test_an_empty_reply_has_no_place_and_the_others_keep_theirs(suite: Drift, engine: HfEngine, tmp_path: Path) -> None:
    found = suite.look(engine, [held(suite, "task-3", ["", *"bcdef"])], [], tmp_path / "looked.jsonl")
    assert {one.value for one in found} == {None}
    assert found[0].why == "empty reply"
    later = suite.look(engine, [held(suite, "task-3", ["a", "", "c", "", "e", "f"])], [], tmp_path / "looked.jsonl")
    assert all(one.value is not None for one in later if one.measure in ("assistant", "start"))


def test_drift_and_error_go_together_within_a_conversation(suite: Drift) -> None:
    right, lost = "Jason and the wolf, 366 days, evergreen.", "I am the sea."
    replies = [right, "b", right, "d", lost, lost]
    places = {"assistant": [0.0, -1.0, 0.0, -1.0, -2.0, -2.0]}
    one = drift._together(held(suite, "emotional-1", replies), places, "")
    assert (one.value, one.condition) == (pytest.approx(1.0), "emotional")
    alike = drift._together(held(suite, "emotional-1", [right] * 6), places, "")
    assert (alike.value, alike.why) == (None, "4 answers, all alike or too few")


def test_a_correlation_needs_three_pairs_that_vary() -> None:
    assert correlation([1, 2], [1, 2]) is None
    assert correlation([1, 1, 1], [0, 1, 0]) is None
    assert correlation([1, 2, 3], [0, 0, 0]) is None
    assert correlation([1, 2, 3, 4], [1, 0, 1, 0]) == pytest.approx(-0.4472, abs=1e-4)
