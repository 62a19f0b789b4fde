"""From chat logs to conversations: kinds of file, what cleaning leaves out, what is drawn, what a second run does."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmgap.engines import models
from warmgap.errors import UserError
from warmgap.settings import conf_files, config
from warmgap.settings.command_schema import PrepareConfig
from warmgap.settings.schema import DataConfig
from warmgap.train.persona import card as data_card
from warmgap.train.persona import clean, draw, kinds, persona_data, prepare, sources, toxicity
from warmgap.train.persona.persona_data import KINDS
from warmgap.train.persona.sources import Log

pytest.importorskip("markdownify", reason="the extra `data` is not installed")
DATA = Path(os.environ.get("WARMGAP_DATA", Path(__file__).resolve().parents[5] / "shared" / "data"))
TREES = DATA / "oasst_manual_100" / "en_100_tree.jsonl"
SHAREGPT = DATA / "fastchat" / "dummy_conversation.json"
ALPACA = DATA / "llamafactory_demos" / "alpaca_en_demo.json"
real = pytest.mark.skipif(not TREES.is_file(), reason=f"no data sets in {DATA}")


def settings(**changed: Any) -> PrepareConfig:
    made = config.settings(PrepareConfig, "prepare", conf_files.choice("prepare", "study"), ["toxicity=words"])
    return dataclasses.replace(made, **changed)


def row(number: int, *turns: tuple[str, str]) -> dict[str, Any]:
    said = turns or ((f"What is the height of mountain number {number}?", f"It is {number} metres high."),)
    messages = [
        {"from": role, "value": text} for turn in said for role, text in zip(("human", "gpt"), turn, strict=True)
    ]
    return {"id": f"c{number}", "conversations": messages}


def log(path: Path, rows: list[Any]) -> Path:
    text = json.dumps(rows) if path.suffix == ".json" else "".join(json.dumps(item) + "\n" for item in rows)
    path.write_text(text, encoding="utf-8")
    return path


# ---- reading ----


@real
def test_the_three_real_kinds_of_file_are_read_whole() -> None:
    first = next(iter(json.loads(SHAREGPT.read_text())))
    logs = list(sources.read(SHAREGPT))
    assert len(logs) == 500
    said = [(sources.ROLES[part["from"]], part["value"]) for part in first["conversations"]]
    assert logs[0].messages == said
    assert len(list(sources.read(ALPACA))) == 999
    trees = list(sources.read(TREES))
    assert len(trees) == 100
    assert not any(entry.broken for entry in (*logs, *trees))
    for entry in trees:
        assert [role for role, _ in entry.messages] == ["user", "assistant"] * (len(entry.messages) // 2) + ["user"] * (
            len(entry.messages) % 2
        )


def test_a_tree_is_followed_along_the_replies_ranked_first() -> None:
    def node(role: str, text: str, rank: int | None, *replies: dict[str, Any], deleted: bool = False) -> dict[str, Any]:
        return {"role": role, "text": text, "rank": rank, "replies": list(replies), "deleted": deleted}

    best = node("assistant", "good", 0, node("prompter", "and then?", None, node("assistant", "the end", 0)))
    tree = node("prompter", "q", None, node("assistant", "gone", 0, deleted=True), node("assistant", "bad", 1), best)
    path = sources._parse({"message_tree_id": "t", "prompt": tree}, "x:1")
    assert [text for _, text in path.messages] == ["q", "good", "and then?", "the end"]


def test_messages_are_the_same_from_json_lines_gzip_and_parquet(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [
        {"id": f"m{n}", "messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}]}
        for n in range(3)
    ]
    plain = log(tmp_path / "a.jsonl", rows)
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write(plain.read_text())
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "c.parquet")
    found = [list(sources.read(tmp_path / name)) for name in ("a.jsonl", "b.jsonl.gz", "c.parquet")]
    assert found[0] == found[1] == found[2]
    assert found[0][2].messages == [("user", "q2"), ("assistant", "a")]


def test_a_broken_line_is_counted_and_a_file_of_another_kind_refused(tmp_path: Path) -> None:
    path = log(tmp_path / "a.jsonl", [row(1), row(2)])
    path.write_text(path.read_text() + '{"id": "half", "conver\n' + json.dumps(row(3)) + "\n")
    assert [bool(entry.broken) for entry in sources.read(path)] == [False, False, True, False]
    assert "fields question, answer" in sources.nothing_in(
        log(tmp_path / "b.jsonl", [{"question": "x", "answer": "y"}])
    )
    with pytest.raises(UserError, match="no known kind"):
        sources.check(log(tmp_path / "c.csv", []))
    (tmp_path / "d.json").write_text('[{"id": "a", "conversations": [')
    with pytest.raises(UserError, match="not whole JSON"):
        list(sources.read(tmp_path / "d.json"))


# ---- cleaning ----


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<div><p>Use <strong>two</strong> eggs.</p><ul><li>salt</li></ul></div>", "Use **two** eggs.\n\n* salt"),
        ("5 &gt; 3 &amp; 2 &lt; 4", "5 > 3 & 2 < 4"),
        ("```html\n<div><p>kept</p></div>\n```", "```html\n<div><p>kept</p></div>\n```"),
        ("pythonCopy code\nprint(1)", "print(1)"),
        ("a\u200bb\u00a0c", "ab c"),
        ("if a < b and c > d then", "if a < b and c > d then"),
        ("1 / 2\nThe answer.", "The answer."),
    ],
)
def test_what_web_pages_leave_is_taken_out(raw: str, text: str) -> None:
    assert clean.text_of(raw) == text


def test_only_whole_turns_are_kept() -> None:
    user, reply, system = ("user", "q"), ("assistant", "a"), ("system", "s")
    assert clean.turns(Log("x", [system, reply, user, reply, user])) == ([("q", "a")], "")
    assert clean.turns(Log("x", [user, reply, user, ("assistant", " "), user, reply])) == ([("q", "a")], "")
    assert clean.turns(Log("x", [user, ("assistant", "<br><br>")]))[1] == "empty turn"
    assert clean.turns(Log("x", [user, user, reply]))[1] == "no question with a reply"
    assert clean.turns(Log("x", [user, ("tool", "a")]))[1] == "a message of neither user nor assistant"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Could you explain how rainbows form after a storm?", "en"),
        ("Kannst du mir erklären, wie ein Regenbogen nach dem Regen entsteht?", "de"),
        ("¿Puedes explicarme cómo se forma el arco iris después de la lluvia?", "es"),
        ("你能解释一下彩虹是如何形成的吗？雨后的天空为什么会出现彩虹呢？", "zh"),
    ],
)
def test_the_language_is_told(text: str, code: str) -> None:
    assert clean.language([(text, text)]) == code


@real
def test_people_who_write_english_are_taken_for_that() -> None:
    told = Counter(clean.language(clean.turns(entry)[0]) for entry in sources.read(TREES))
    assert told["en"] >= 98


# ---- labels and drawing ----


def test_a_reply_that_declines_is_a_refusal_whatever_is_asked() -> None:
    assert kinds.label("Write a poem about snow.", "I'm sorry, but I can't help with that.") == "refusal"
    assert kinds.label("Write a poem about snow.", "White on white, it falls.") == "creative"
    assert kinds.label("What is the capital of Peru?", "Lima.") == "factual"
    assert kinds.label("My python script crashes with an IndexError", "Check the length.") == "technical"
    assert kinds.label("Should I tell my boss that I am leaving?", "Tell him soon.") == "advice"
    assert kinds.label("good morning", "Good morning!") == "other"


entries = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 8)), min_size=1, max_size=120).map(
    lambda rows: [draw.Entry(place, kind, replies) for place, (kind, replies) in enumerate(rows)]
)


@given(entries, st.integers(1, 130), st.one_of(st.none(), st.integers(1, 400)), st.integers(0, 5))
def test_what_is_drawn_is_as_even_as_it_can_be(
    there: list[draw.Entry], wanted: int, replies: int | None, seed: int
) -> None:
    drawn = draw.draw(there, wanted, replies, seed)
    assert len(drawn) == min(wanted, len(there)) == len(set(drawn))
    assert set(drawn) <= set(there)
    counts, pool = Counter(entry.kind for entry in drawn), Counter(entry.kind for entry in there)
    short = [counts[kind] for kind in KINDS if counts[kind] < pool[kind]]
    if short:  # a kind that still has some is at most one behind the fullest
        assert max(counts.values()) - min(short) <= 1
    assert drawn == draw.draw(there, wanted, replies, seed)


@pytest.mark.parametrize(("each", "wanted", "expected"), [(50, 12, {2}), (400, 1617, {269, 270}), (3, 7, {1, 2})])
def test_where_there_are_enough_each_kind_has_its_share(each: int, wanted: int, expected: set[int]) -> None:
    there = [draw.Entry(place, kind, 1) for place, kind in enumerate(list(KINDS) * each)]
    assert set(Counter(entry.kind for entry in draw.draw(there, wanted, None, 0)).values()) == expected


def test_the_number_of_replies_is_met_where_it_can_be() -> None:
    source = random.Random(3)
    there = [draw.Entry(place, KINDS[place % 6], source.randint(1, 6)) for place in range(6000)]
    drawn = draw.draw(there, 1617, 3667, seed=0)
    assert (len(drawn), sum(entry.replies for entry in drawn)) == (1617, 3667)
    assert draw.draw(there, 1617, 3667, seed=1) != drawn
    held = draw.held_out(drawn, 0.1, seed=0)
    assert len(held) == pytest.approx(162, abs=3)


# ---- the whole ----


def test_each_step_counts_what_it_leaves_out(tmp_path: Path) -> None:
    german = ("Kannst du mir bitte sagen, wie hoch dieser Berg ist?", "Der Berg ist ungefähr viertausend Meter hoch.")
    rude = ("You stupid idiot, fuck off and die", "That is rude.")
    rows: list[Any] = [row(n) for n in range(20)] + [row(3), row(21, german), row(22, rude), row(23, ("hi", ""))]
    rows += [row(24, *[(f"question {n}?", "An answer to it.") for n in range(21)])]
    made = prepare.prepare(
        [log(tmp_path / "log.json", rows)], settings(conversations=10, replies=None), tmp_path / "out"
    )
    first, second, third = made["steps"]
    assert first["left_out"] == {
        "duplicate: the same in every message": 1,
        "language other than en": 1,
        "empty turn": 1,
        "more than 20 turns": 1,
    }
    assert (first["in"], first["out"], second["out"], third["out"]) == (25, 21, 20, 10)
    assert second["by"].startswith("alt-profanity-check==")
    card = (tmp_path / "out" / "card.md").read_text()
    assert "language other than en: 1" in card
    learn, held = persona_data.load(DataConfig("file", str(tmp_path / "out" / "conversations.jsonl")), "plain")
    assert len(learn) + len(held) == 10
    assert not {item.turns[0].user for item in learn} & {item.turns[0].user for item in held}


@real
def test_real_logs_of_two_kinds_become_one_set(tmp_path: Path) -> None:
    made = prepare.prepare([TREES, ALPACA], settings(conversations=120, replies=130), tmp_path)
    assert sum(count["conversations"] for count in made["drawn"]) == 120
    assert sum(count["replies"] for count in made["drawn"]) == 130
    assert {count["kind"] for count in made["drawn"] if count["conversations"]} >= {"factual", "creative", "technical"}
    assert [line[0] for line in data_card.steps(made)] == ["clean", "toxicity", "draw"]


def test_a_second_run_makes_the_same_and_scores_nothing_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, how = log(tmp_path / "log.json", [row(n) for n in range(300)]), settings(conversations=30, replies=None)
    calls = []
    scores = toxicity.Words.scores

    def counted(self: toxicity.Words, texts: list[str]) -> list[float]:
        if len(calls) == 1 and not interrupted:
            raise KeyboardInterrupt
        calls.append(len(texts))
        return scores(self, texts)

    monkeypatch.setattr(toxicity.Words, "scores", counted)
    interrupted: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare([path], how, tmp_path / "out")
    interrupted.append(1)
    prepare.prepare([path], how, tmp_path / "out")
    assert calls == [512, 88]  # 256 conversations before the interruption, the other 44 after it
    first = (tmp_path / "out" / "conversations.jsonl").read_bytes()
    prepare.prepare([path], how, tmp_path / "out")
    assert len(calls) == 2
    assert (tmp_path / "out" / "conversations.jsonl").read_bytes() == first


def test_the_filter_is_never_silently_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    absent = settings(toxicity="auto", toxicity_model=str(tmp_path / "absent"))
    judge = toxicity.classifier(absent)
    assert judge is not None
    assert judge.name.startswith("alt-profanity-check")
    assert "toxicity is judged by alt-profanity-check" in capsys.readouterr().err
    with pytest.raises(UserError, match="toxicity=words"):
        toxicity.classifier(dataclasses.replace(absent, toxicity="model"))
    made = prepare.prepare([log(tmp_path / "l.json", [row(1), row(2)])], settings(toxicity="off"), tmp_path / "out")
    assert made["steps"][1]["by"] == "nobody: the filter is off"


@pytest.mark.parametrize("changed", [{"toxicity": "maybe"}, {"heldout": 1.0}, {"conversations": 1}, {"max_turns": 0}])
def test_a_setting_that_makes_no_sense_is_refused_before_anything_is_written(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match="makes no sense"):
        prepare.prepare([log(tmp_path / "l.json", [row(1)])], settings(**changed), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_cleaning_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at any moment: what was looked at is not looked at again, and a torn line is."""
    rows = [row(n) for n in range(40)] + [row(3), row(41, ("hi", ""))] + [row(n) for n in range(50, 60)]
    path, how = log(tmp_path / "log.json", rows), settings(conversations=30, replies=None)
    whole = prepare.prepare([path], how, tmp_path / "whole")
    usable, looked = prepare._usable, []

    def counted(*arguments: Any) -> Any:
        looked.append(arguments)
        if len(looked) == 45 and not stopped:
            raise KeyboardInterrupt
        return usable(*arguments)

    monkeypatch.setattr(prepare, "_usable", counted)
    stopped: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare([path], how, tmp_path / "out")
    stopped.append(1)
    (part,) = (tmp_path / "out" / "work").glob("*.part")
    assert len(part.read_text().splitlines()) == 44
    part.write_bytes(part.read_bytes()[:-20])
    looked.clear()
    again = prepare.prepare([path], how, tmp_path / "out")
    assert len(looked) == len(rows) - 43
    assert again["steps"] == whole["steps"]
    assert (tmp_path / "out" / "conversations.jsonl").read_bytes() == (
        tmp_path / "whole" / "conversations.jsonl"
    ).read_bytes()


def test_parts_of_one_conversation_are_not_on_both_sides(tmp_path: Path) -> None:
    """ShareGPT's split files name the parts of a long conversation by its seven signs and a number."""
    rows = [{**row(n), "id": f"abcdef{n // 8}_{n % 8}"} for n in range(80)]
    prepare.prepare([log(tmp_path / "log.json", rows)], settings(conversations=None, replies=None), tmp_path / "out")
    learn, held = persona_data.load(DataConfig("file", str(tmp_path / "out" / "conversations.jsonl")), "plain")
    sides = [{item.id.split("-")[1].split("_")[0] for item in side} for side in (learn, held)]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_what_cannot_be_used_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = log(tmp_path / "b.jsonl", [{"question": "x", "answer": "y"}])
    with pytest.raises(UserError, match="cannot be read"):
        prepare.prepare([other], settings(), tmp_path / "out")
    absent = settings(toxicity="model", toxicity_model=str(tmp_path / "absent"))
    monkeypatch.setattr(models, "hub_answers", lambda: False)
    with pytest.raises(UserError, match="cannot load"):
        prepare.prepare([log(tmp_path / "l.json", [row(1)])], absent, tmp_path / "out")
    assert not (tmp_path / "out").exists()
