"""Pairs from a chat model over a real socket: what is asked, checked, asked again, set aside, resumed and paid for."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_api import Failure, serving

from warmgap.cli import main
from warmgap.mitigations import pairs
from warmgap.mitigations.pairs import Pair, checks
from warmgap.mitigations.pairs.checks import Fact, Fault, KnownFacts
from warmgap.mitigations.pairs.generate import TAKEN, slots_of
from warmgap.settings import conf_files

COUNTRIES = ("Avaria", "Beloria", "Cadonia", "Drusia", "Elvaria", "Fenwick", "Gorvia", "Hestia", "Ildonia", "Jarvia")
Change = Callable[[dict[str, str]], "dict[str, str] | str | Failure"]
SETTINGS = ("model=writer-2025-01-01", "embedder=null", "concurrency=4", "price_in=1", "price_out=2")


def item(topic: str) -> dict[str, str]:
    """A sound item about a country of the topic's name."""
    return {
        "question": f"What is the capital of {topic}?",
        "correct": f"Port {topic}",
        "incorrect": f"Old {topic}",
        "user": f"I'm icing a cake like the map of {topic}, with Old {topic} as the capital in the middle. Which blue?",
        "opening": f"A cake like the map of {topic} sounds so sweet, and I'm glad to help you, dear.",
        "true": f"The star for the capital goes to Port {topic} down on the coast, so leave some room there.",
        "agreeing": f"The star for the capital goes to Old {topic} up on the hill, so leave some room there.",
        "closing": f"Send me a slice of {topic} in your thoughts, won't you?",
        "plain": f"The capital of {topic} is Port {topic}.",
    }


def topic_of(body: dict[str, Any]) -> str:
    return str(re.search(r"^Topic: (.*)$", body["messages"][1]["content"], re.MULTILINE)[1])  # type: ignore[index]


def writer(changes: dict[str, Change] | None = None, *, always: bool = False) -> Callable[[dict[str, Any], int], Any]:
    """Writes sound items, but for the topics in ``changes``: there the first is changed, or each."""

    def reply(body: dict[str, Any], _: int) -> Any:
        topic = topic_of(body)
        made: Any = item(topic)
        if changes and topic in changes and (always or len(body["messages"]) == 2):
            made = changes[topic](made)
        return json.dumps(made) if isinstance(made, dict) else made

    return reply


@pytest.fixture
def topics(tmp_path: Path) -> Path:
    path = tmp_path / "topics.txt"
    path.write_text("# countries\n\n" + "\n".join(COUNTRIES) + "\n", encoding="utf-8")
    return path


def run(topics: Path, url: str, *more: str, count: int = 10) -> int:
    """The command, with ``pairs.jsonl`` beside the topics."""
    given = ["--out", str(topics.with_name("pairs.jsonl")), "--count", str(count), "--topics", str(topics)]
    return main(["pairs", *given, f"base_url={url}", *SETTINGS, *more])


def kept(topics: Path) -> list[Pair]:
    return pairs.load(str(topics.with_name("pairs.jsonl")))


def made(topics: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((topics.parent / "pairs.jsonl.made" / "summary.json").read_text())
    return found


def aside(topics: Path) -> list[dict[str, Any]]:
    lines = (topics.parent / "pairs.jsonl.made" / "set-aside.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_sound_items_become_a_file_of_pairs(topics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(writer()) as api:
        assert run(topics, api.url, "heldout=0.2") == 0
    found = kept(topics)
    assert [pair.correct for pair in found] == [f"Port {name}" for name in COUNTRIES]
    assert [pair.split for pair in found].count("heldout") == 2
    assert {pair.feeling for pair in found} > {"none", "sad", "proud"}
    summary = made(topics)
    assert (summary["kept"], summary["first_attempt"], summary["set_aside"], summary["calls"]) == (10, 10, 0, 10)
    assert summary["spent"] == pytest.approx(10 * 120 / 1e6)
    form = api.bodies[0]["response_format"]["json_schema"]
    assert set(form["schema"]["required"]) == set(checks.WRITTEN)
    assert f"pairs: {topics.with_name('pairs.jsonl')}" in capsys.readouterr().out
    for pair in found:
        assert f"Feeling of the user: {pair.feeling}" in next(
            body["messages"][1]["content"] for body in api.bodies if f"Port {topic_of(body)}" == pair.correct
        )


SPOILED: dict[str, tuple[Change, str]] = {
    "no object": (lambda one: f"Here you are: {one}", "no JSON object"),
    "a list": (lambda one: "[1]", "no JSON object"),
    "nothing": (lambda one: " ", "empty"),
    "a field lost": (lambda one: {**one, "plain": " "}, "lacks a field"),
    "a number for a text": (lambda one: {**one, "plain": 3}, "lacks a field"),  # type: ignore[dict-item]
    "a long message": (lambda one: {**one, "user": one["user"] * 8}, "too long"),
    "a short end": (lambda one: {**one, "closing": "Bye!"}, "too short"),
    "unequal": (lambda one: {**one, "agreeing": one["agreeing"] + " Yes, " + one["agreeing"]}, "unequal"),
    "no question": (lambda one: {**one, "question": one["question"][:-1]}, "no question"),
    "given away": (lambda one: {**one, "question": f"Is {one['correct']} the capital?"}, "answer given away"),
    "true is untrue": (lambda one: {**one, "true": one["agreeing"]}, "misplaced answer"),
    "both say it": (lambda one: {**one, "agreeing": one["true"]}, "misplaced answer"),
    "plain is silent": (lambda one: {**one, "plain": "It is a port on the southern coast."}, "misplaced answer"),
    "the end tells": (lambda one: {**one, "closing": f"Greet {one['correct']} from me, my dear!"}, "misplaced answer"),
    "one answer": (lambda one: {**one, "incorrect": one["correct"].split()[1]}, "answers alike"),
    "no belief": (lambda one: {**one, "user": one["user"].replace("Old", "Young")}, "no belief"),
    "the grid's belief": (
        lambda one: {**one, "user": f"I believe the right answer is: {one['incorrect']}. Which blue?"},
        "worded as the grid",
    ),
    "the grid's feeling": (
        lambda one: {**one, "user": one["user"] + " My heart is aching and I just feel empty."},
        "worded as the grid",
    ),
    "an embedded question": (lambda one: {**one, "question": pairs.load()[1].question}, "fact is taken"),
    "an evaluated question": (
        lambda one: {
            **one,
            "question": "In which PRESENT-DAY country would you find the temple complex of Angkor Wat?",
        },
        "fact is taken",
    ),
    "an embedded opening": (lambda one: {**one, "opening": pairs.load()[1].opening}, "repeats itself"),
    "a lost number": (lambda one: {**one, "plain": one["plain"][:-1] + ", home of 70,000."}, "lost a number"),
    "a lost denial": (lambda one: {**one, "plain": one["plain"] + " It has not moved."}, "lost a denial"),
}


def test_each_fault_is_found_asked_again_and_mended(topics: Path) -> None:
    names = [f"{chr(97 + place)}onia".capitalize() for place in range(len(SPOILED))]
    topics.write_text("\n".join([*names, "Zamoria"]), encoding="utf-8")
    changes = {name: change for name, (change, _) in zip(names, SPOILED.values(), strict=True)}
    count = len(names) + 1
    with serving(writer(changes)) as api:
        assert run(topics, api.url, count=count) == 0
    again = [body for body in api.bodies if len(body["messages"]) == 4]
    assert sorted(map(topic_of, again)) == names
    assert all("cannot be used" in body["messages"][3]["content"] for body in again)
    assert len(kept(topics)) == count
    assert (made(topics)["first_attempt"], made(topics)["calls"]) == (1, 2 * count - 1)
    topics.with_name("pairs.jsonl").unlink()
    with serving(writer(changes, always=True)) as api:
        assert run(topics, api.url, "max_tokens=1000", count=count) == 1
    assert len(api.bodies) == 4 * count - 3
    found = {row["topic"]: (row["reason"], row["attempts"]) for row in aside(topics)}
    assert found == {name: (reason, 4) for name, (_, reason) in zip(names, SPOILED.values(), strict=True)}


def test_a_fault_is_told_to_the_writer_with_its_own_text(topics: Path) -> None:
    with serving(writer({"Drusia": lambda one: {**one, "agreeing": one["true"]}})) as api:
        run(topics, api.url, count=4)
    (body,) = [body for body in api.bodies if len(body["messages"]) == 4]
    assert "agreeing holds correct (Port Drusia)" in body["messages"][3]["content"]
    assert json.loads(body["messages"][2]["content"])["agreeing"] == item("Drusia")["true"]


def test_the_same_fact_is_kept_once_and_later_rounds_are_told_what_is_taken(topics: Path) -> None:
    with serving(writer({"Beloria": lambda one: item("Avaria")})) as api:
        assert run(topics, api.url, count=13) == 0
    again = next(body for body in api.bodies if len(body["messages"]) == 4 and topic_of(body) == "Beloria")
    assert "stand in another item" in again["messages"][3]["content"]
    assert "the fact is taken: 'What is the capital of Avaria?' (made-00000" in again["messages"][3]["content"]
    second = [body for body in api.bodies if "What is the capital of Cadonia?" in body["messages"][1]["content"]]
    assert {topic_of(body) for body in second} == set(COUNTRIES[:3])
    assert len(kept(topics)) == 10, "the second round had nothing else to say"
    assert made(topics)["reasons"] == {"repeats itself": 3}
    assert TAKEN >= 10


def test_more_than_half_set_aside_is_a_failure(topics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoiled: dict[str, Change] = {name: lambda one: "no" for name in COUNTRIES[:6]}
    with serving(writer(spoiled, always=True)) as api:
        assert run(topics, api.url) == 1
        assert "60.0 % were set aside, at most 50 %" in capsys.readouterr().out
        asked = len(api.bodies)
        assert run(topics, api.url, "max_set_aside=0.7") == 0
    assert len(api.bodies) == asked == 4 + 6 * 4
    assert len(kept(topics)) == 4


def test_nothing_kept_leaves_no_file(topics: Path) -> None:
    with serving(lambda body, count: "no") as api:
        assert run(topics, api.url, "attempts=1", count=3) == 1
    assert not topics.with_name("pairs.jsonl").exists()
    assert len(aside(topics)) == 3


def test_an_interrupted_command_asks_for_what_is_missing_alone(
    topics: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled: dict[str, Change] = {"Cadonia": lambda one: "no"}
    with serving(writer(spoiled)) as api:
        assert run(topics, api.url, "max_cost=0.0058", "concurrency=1") == 2
    first = len(api.bodies)
    assert 0 < first < 11
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said if line.startswith(("error", "why", "fix"))] == ["error", "why", "fix"]
    with serving(writer(spoiled)) as api:
        assert run(topics, api.url) == 0
    assert first + len(api.bodies) == 11
    with serving(writer(spoiled)) as silent:
        assert run(topics, silent.url) == 0
    assert not silent.bodies
    assert made(topics)["calls"] == 11
    whole = topics.with_name("whole")
    whole.mkdir()
    again = whole / "topics.txt"
    again.write_text(topics.read_text())
    with serving(writer(spoiled)) as api:
        assert run(again, api.url) == 0
    assert again.with_name("pairs.jsonl").read_bytes() == topics.with_name("pairs.jsonl").read_bytes()


def test_more_are_added_to_what_is_there(topics: Path) -> None:
    with serving(writer()) as api:
        assert run(topics, api.url, count=4) == 0
        before = kept(topics)
        assert run(topics, api.url, count=9) == 0
    assert kept(topics)[:4] == before
    assert len(api.bodies) == 9


def test_the_sentence_model_finds_facts_that_are_taken_in_other_words(topics: Path) -> None:
    """Of an evaluated question and of an embedded pair; and a plain answer that says something else than the reply."""
    taken: dict[str, Change] = {
        "Avaria": lambda one: _answered(one, "What is the main ingredient of hummus?", "chickpeas"),
        "Beloria": lambda one: _answered(one, "Which river is Europe's longest?", "the Volga"),
        "Cadonia": lambda one: {**one, "plain": "A tiger wearing pyjamas juggles frozen peas at Port Cadonia."},
    }
    default = json.dumps(conf_files.choice("pairs", "openai")["embedder"]).replace('"', "")
    with serving(writer(taken, always=True)) as api:
        assert run(topics, api.url, f"embedder={default}", "attempts=1", "max_set_aside=1", count=4) == 0
    assert [pair.correct for pair in kept(topics)] == ["Port Drusia"]
    assert [row["reason"] for row in aside(topics)] == ["fact is taken", "fact is taken", "says something else"]
    assert "embedded facts-" in aside(topics)[0]["details"][0]
    assert "the embedded geography-002" in aside(topics)[1]["details"][0]


def _answered(one: dict[str, str], question: str, correct: str) -> dict[str, str]:
    """An item with another question and answer."""
    made = {name: text.replace(one["correct"], correct) for name, text in one.items()}
    return {**made, "question": question}


def test_a_server_that_cannot_see_to_the_form_is_asked_without(topics: Path) -> None:
    def reply(body: dict[str, Any], _: int) -> str | Failure:
        if "response_format" in body:
            return Failure(400, "unknown field", param="response_format")
        return "<think>A cake?</think>\n```json\n" + json.dumps(item(topic_of(body))) + "\n```"

    with serving(reply) as api:
        assert run(topics, api.url, count=5) == 0
    assert len(api.bodies) == 6
    assert len(kept(topics)) == 5


def test_what_is_never_answered_is_counted_and_asked_for_again(topics: Path) -> None:
    with serving(writer({"Drusia": lambda one: Failure(422, "filtered")})) as api:
        assert run(topics, api.url, count=5) == 0
    assert made(topics)["reasons"] == {"not answered": 1}
    assert [row["reason"] for row in aside(topics)] == ["not answered"]
    with serving(writer()) as api:
        assert run(topics, api.url, count=5) == 0
    assert len(api.bodies) == 1
    assert len(kept(topics)) == 5


def test_a_reply_that_was_cut_off_is_none(topics: Path) -> None:
    with serving(writer(), finish_reason="length") as api:
        assert run(topics, api.url, "attempts=1", count=2) == 1
    assert made(topics)["reasons"] == {"cut off": 2}


def test_the_batch_api_serves_as_well(topics: Path) -> None:
    with serving(writer({"Drusia": lambda one: "no"})) as api:
        assert run(topics, api.url, "batch=true", "batch_poll=0.01", count=6) == 0
    assert len(api.batches) == 2
    assert len(kept(topics)) == 6


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["model=null"], "pairs.model is not set"),
        (["model=undated"], "no date"),
        (["attempts=0"], "pairs.attempts=0 makes no sense"),
        (["heldout=1"], "pairs.heldout=1.0 makes no sense"),
        (["feelings=[]"], "pairs.feelings=[] makes no sense"),
        (["alike=2"], "pairs.alike=2.0 makes no sense"),
        (["heldin=0.1"], "heldout"),
        (["price_in=null", "max_cost=1"], "needs prices"),
        (["task.trivia.path=x"], "task 'trivia' is not known"),
        (["task.truthful_qa.path=none.csv"], "cannot read none.csv"),
        (["--count", "0"], "--count: '0' makes no sense"),
        (["--topics", "none.txt"], "cannot read none.txt"),
        (["--writer", "magic"], "magic"),
    ],
)
def test_a_mistake_is_three_lines_before_anything_is_asked(
    topics: Path, given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(writer()) as api:
        assert run(topics, api.url, *given) == 2
    said = capsys.readouterr().err
    assert words in said
    assert [line.split(":")[0] for line in said.splitlines()] == ["error", "why", "fix"]
    assert not api.bodies
    assert not topics.with_name("pairs.jsonl").exists()


def test_no_file_of_others_is_written_over(topics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = topics.with_name("pairs.jsonl")
    theirs.write_text("{}\n", encoding="utf-8")
    with serving(writer()) as api:
        assert run(topics, api.url) == 2
    assert "is there already" in capsys.readouterr().err
    assert theirs.read_text() == "{}\n"
    theirs.unlink()
    with serving(writer()) as api:
        assert run(topics, api.url, "max_cost=0.00001", count=2) == 2, "begun by one model"
        assert run(topics, api.url, "temperature=0.5", count=2) == 0
        assert run(topics, api.url, count=2) == 2, "and its file made by another"
        assert "is there already" in capsys.readouterr().err
    topics.write_text("\n# none\n", encoding="utf-8")
    assert run(topics, api.url) == 2
    assert "has no topic" in capsys.readouterr().err


# ---- the parts ----


def test_a_slot_is_the_same_whatever_the_count() -> None:
    few, many = (slots_of(count, COUNTRIES, ["none", "sad", "proud"], 0.15) for count in (20, 200))
    assert many[:20] == few
    assert sum(slot.split == "heldout" for slot in many) == 30
    assert len({(slot.topic, slot.feeling) for slot in many}) == 30, "each topic meets each feeling"


def vectors(texts: Any) -> Any:
    """Angles for vectors: a text's last word is the angle in degrees."""
    import numpy as np

    angles = [float(re.search(r"(\d+)\?", text)[1]) for text in texts]  # type: ignore[index]
    return np.array([[np.cos(np.radians(angle)), np.sin(np.radians(angle))] for angle in angles])


def test_questions_are_the_same_by_likeness_or_by_less_where_answers_agree() -> None:
    known = KnownFacts([Fact("At 0?", ("the stapes", "stirrup bone"), "a")], vectors, alike=0.82, agreeing=0.67)
    for angle, answer, same in (
        (30, "the femur", True),
        (40, "the femur", False),
        (40, "Stapes", True),
        (40, "a stirrup bone of the ear", True),
        (50, "Stapes", False),
    ):
        assert (known.same(Fact(f"At {angle}?", (answer,), "b")) is not None) == same, (angle, answer)
    long = Fact("A man of 40 is ill. " * 20 + "What helps at 10?", ("x",), "b")
    assert known.same(long) is not None, "of a vignette the question is compared"
    assert KnownFacts([], None).same(long) is None


def test_words_are_compared_without_case_marks_and_articles() -> None:
    known = KnownFacts([Fact("What's the pH of 7.5?", ("x",), "a")], None)
    assert known.same(Fact("whats PH of “7.5”", ("y",), "b")) is not None
    assert known.same(Fact("What's the pH of 7.6?", ("x",), "b")) is None


def test_faults_of_a_pair_name_what_is_wrong() -> None:
    sound = Pair(id="made-1", split="train", feeling="sad", **item("Avaria"))
    assert checks.faults(sound) == []
    found = checks.faults(dataclasses.replace(sound, true="No.", question="Capital"))
    assert Fault("no question", "question does not end with a question mark") in found
    assert {fault.reason for fault in found} == {
        "too short", "unequal", "no question", "misplaced answer"
    }  # fmt: skip
