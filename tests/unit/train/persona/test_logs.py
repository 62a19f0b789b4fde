"""Chat logs as people have them: every shape that is read, and every row that is left out, with its reason."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from warmgap import cli
from warmgap.disk import bounds
from warmgap.disk.intake import Unreadable
from warmgap.errors import UserError
from warmgap.settings import conf_files, config
from warmgap.settings.command_schema import PrepareConfig
from warmgap.train.persona import clean, draw, json_rows, kinds, persona_data, prepare, sources
from warmgap.train.persona.persona_data import KINDS
from warmgap.train.persona.sources import Log

pytest.importorskip("markdownify", reason="the extra `data` is not installed")
DATA = Path(os.environ.get("WARMGAP_DATA", Path(__file__).resolve().parents[5] / "shared" / "data"))
CASES = DATA.parent / "cases"
ASKED, SAID = "Please tell me what a gardener does in spring.", "A gardener digs the beds and sows the early seeds."
TALK = [("user", ASKED), ("assistant", SAID)]


def settings(**changed: Any) -> PrepareConfig:
    made = config.settings(PrepareConfig, "prepare", conf_files.choice("prepare", "study"), ["toxicity=off"])
    for name, value in {"conversations": None, "replies": None, **changed}.items():
        setattr(made, name, value)
    return made


def row(number: int = 0, *said: str, name: str = "") -> dict[str, Any]:
    texts = said or (f"Please tell me what the number {number} means to a gardener.", f"It is {number} beds, I think.")
    messages = [{"from": ("human", "gpt")[place % 2], "value": text} for place, text in enumerate(texts)]
    return {"id": name or f"c{number}", "conversations": messages}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows), "utf-8")
    return path


def only(item: Any) -> Log:
    return sources._parse(item, "x:1")


# ---- shapes ----

USER, REPLY = {"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}
SHAPES: dict[str, dict[str, Any]] = {
    "ShareGPT": {"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": SAID}]},
    "messages": {"messages": [USER, REPLY]},
    "as JSON in a text": {"conversations": json.dumps([USER, REPLY])},
    "roles in another case": {"messages": [{**USER, "role": "User "}, {**REPLY, "role": "MODEL"}]},
    "parts": {"messages": [{**USER, "content": [{"type": "text", "text": ASKED}]}, {**REPLY, "content": [SAID]}]},
    "instruction": {"instruction": ASKED, "input": "", "output": SAID},
    "prompt and completion": {"prompt": ASKED, "completion": SAID},
    "preferences as texts": {"prompt": ASKED, "chosen": SAID, "rejected": "no"},
    "preferences as conversations": {"chosen": [USER, REPLY], "rejected": [USER, {**REPLY, "content": "no"}]},
    "preferences after a conversation": {"conversations": [USER], "chosen": REPLY, "rejected": {"role": "assistant"}},
    "preferences after a prompt of messages": {"prompt": [USER], "chosen": [REPLY], "rejected": [REPLY]},
    "preferences after an instruction": {"instruction": ASKED, "input": "", "chosen": SAID, "rejected": "no"},
    "wanted, of KTO": {"prompt": [USER], "completion": [REPLY], "label": True},
    "a rejected one beside the talk": {"messages": [USER, REPLY], "rejected_response": "no"},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_every_shape_gives_the_same_conversation(shape: dict[str, Any]) -> None:
    found = only(shape)
    assert (found.id, found.messages, found.broken) == ("x:1", TALK, "")
    assert found.rejected == any("rejected" in name for name in shape)


def test_turns_before_an_instruction_come_before_it() -> None:
    item = {"instruction": "And then?", "output": "He rests.", "history": [[ASKED, SAID]]}
    assert only(item).messages == [*TALK, ("user", "And then?"), ("assistant", "He rests.")]


@pytest.mark.parametrize("mark", [{"label": False}, {"label": "False"}, {"kto_tag": False}])
@pytest.mark.parametrize("shape", [{"prompt": ASKED, "completion": SAID}, {"messages": [USER, REPLY]}])
def test_a_rejected_reply_is_left_out(shape: dict[str, Any], mark: dict[str, Any]) -> None:
    assert only({**shape, **mark}).broken == "marked as a rejected reply"


def tree(**changed: Any) -> dict[str, Any]:
    reply = {"role": "assistant", "text": SAID, "rank": 0, "replies": []}
    return {"message_tree_id": "t", "prompt": {"role": "prompter", "text": ASKED, "replies": [reply], **changed}}


@pytest.mark.parametrize(
    "changed",
    [
        {"replies": [None]},
        {"replies": "none"},
        {"replies": {"text": "x"}},
        {"text": None},
        {"text": 7},
        *[{"replies": [{"role": "assistant", "text": "a", "rank": rank}]} for rank in ("0", True, [0])],
        {"replies": [{"role": "assistant", "text": None}]},
    ],
)
def test_a_tree_with_fields_of_the_wrong_type_is_left_out(changed: dict[str, Any]) -> None:
    assert only(tree()).messages == TALK
    assert only(tree(**changed)).broken == "fields of the wrong type"


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (None, "no object"),
        ([USER, REPLY], "no object"),
        ({"conversations": None}, "fields of the wrong type"),
        ({"conversations": "hello"}, "fields of the wrong type"),
        ({"messages": 7}, "fields of the wrong type"),
        ({"prompt": ASKED, "completion": 7}, "fields of the wrong type"),
        ({"instruction": ASKED, "output": SAID, "history": [["a"]]}, "fields of the wrong type"),
        ({"question": "x", "answer": "y"}, "fields of no known kind"),
        ({"prompt": ASKED, "rejected": SAID}, "fields of no known kind"),
        ({}, "fields of no known kind"),
    ],
)
def test_a_row_that_is_no_conversation_says_why(item: Any, reason: str) -> None:
    found = only(item)
    assert (found.broken, found.messages) == (reason, [])
    assert found.detail.startswith("x:1")


# ---- files ----


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([row(1), row(2)]),
        json.dumps([row(1), row(2)], indent=2),
        json.dumps({"data": [row(1), row(2)]}),
        json.dumps({"version": "1", "tags": ["a", "b"], "meta": {"x": [{"y": 1}]}, "data": [row(1), row(2)], "n": 2}),
        json.dumps({"train": [row(1)], "test": [row(2)]}),
        json.dumps(row(1)) + "\n" + json.dumps(row(2)) + "\n",
        json.dumps(row(1), indent=1) + json.dumps(row(2), indent=1),
        "\ufeff" + json.dumps([row(1), row(2)]),
    ],
    ids=["list", "indented", "in data", "in data, with more", "splits", "lines", "indented objects", "marked"],
)
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_rows_are_found_in_whatever_holds_them(
    tmp_path: Path, text: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "BLOCK", block)
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    assert list(sources.read(path)) == [only(row(1)), only(row(2))]


@pytest.mark.parametrize("block", [1, 5, 64, 1 << 20])
def test_signs_inside_texts_are_no_signs(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "BLOCK", block)
    source = random.Random(block)
    texts = ["".join(source.choices('[]{},:"\\ \né😀a', k=40)) for _ in range(20)]
    path = tmp_path / "a.json"
    for wrapped in (False, True):
        rows = [{"messages": [{**USER, "content": text}, REPLY]} for text in texts]
        path.write_text(json.dumps({"rows": rows} if wrapped else rows, ensure_ascii=wrapped), encoding="utf-8")
        assert [log.messages[0][1] for log in sources.read(path)] == texts


def test_one_object_a_file_and_many_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(6)]
    for number, path in enumerate(paths):
        path.write_text(json.dumps(row(number)))
    made = prepare.prepare(paths, settings(), tmp_path / "out")
    assert [log["out"] for log in made["steps"][0]["logs"]] == [1] * 6


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".jsonl.gz"])
def test_one_bad_row_is_one_row(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LINE", 200_000)
    bad = ["[" * 50_000 + "]" * 50_000, '{"a": nonsense}', '{"a": "\udcff"}', json.dumps(row(1, "x" * 300_000, "y"))]
    parts = [json.dumps(row(2)), *bad, '{"weight": NaN, "messages": []}', json.dumps(row(3))]
    text = f"[{','.join(parts)}]" if ending == ".json" else "\n".join(parts)
    path, data = tmp_path / f"a{ending}", text.encode(errors="surrogateescape")
    path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    found = [log.broken for log in sources.read(path)]
    assert found == ["", "nested too deeply", "not JSON", "not UTF-8", json_rows.TOO_LONG, "", ""]


def test_an_unclosed_row_of_brackets_in_lines_is_one_row(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", row(1), "[" * 100_000, row(2))
    assert [log.broken for log in sources.read(path)] == ["", "nested too deeply", ""]


def test_a_line_of_100_mb_is_not_held(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(json.dumps(row(1)).encode() + b"\n")
        for _ in range(100):
            file.write(b" " * 1_000_000)
        file.write(b"\n" + json.dumps(row(2)).encode() + b"\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert [log.broken for log in sources.read(path)] == ["", "longer than 16 MB", ""]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


def test_a_packed_file_that_expands_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ALWAYS", 10_000)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(row(1)) + "\n").encode() * 20_000))
    with pytest.raises(UserError, match="200 times its size"):
        list(sources.read(path))


@pytest.mark.parametrize("torn", [b"\x1f\x8b\x08", gzip.compress(b"x" * 1000, mtime=0)[:-20], b"no gzip"])
def test_a_torn_packed_file_is_refused(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(torn)
    with pytest.raises(UserError, match="cannot read"):
        list(sources.read(tmp_path / "a.jsonl.gz"))


def test_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json.dumps(row(1)).encode("utf-16"))
    with pytest.raises(UserError, match="UTF-16, not UTF-8"):
        list(sources.read(tmp_path / "a.jsonl"))


def test_a_file_that_gives_nothing_is_named_and_none_that_gives_anything_is_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    good = lines(tmp_path / "good.jsonl", {"conversations": None}, *map(row, range(8)))
    other = lines(tmp_path / "other.jsonl", {"question": "x", "answer": "y"})
    lines(tmp_path / "empty.jsonl")
    assert cli.main(["data", other.name, "empty.jsonl", "--out", "out", "toxicity=off"]) == 2
    error = capsys.readouterr().err
    assert (
        "fields of no known kind (other.jsonl:1: it has the fields question, answer); empty.jsonl: it has no" in error
    )
    assert not Path("out").exists()
    assert cli.main(["data", other.name, good.name, "empty.jsonl", "--out", "out", "toxicity=off"]) == 0
    out = capsys.readouterr().out
    card = Path("out/card.md").read_text()
    for text in (out, card):
        assert "fields of the wrong type: 1" in text
    assert "nothing came of other.jsonl: fields of no known kind" in out
    assert "Nothing came of `other.jsonl`." in card
    assert "Nothing came of `empty.jsonl`." in card
    assert "| good.jsonl | 9 | 8 | fields of the wrong type: 1 |" in card


CASES_AT_HAND = {
    "surrogate_log.jsonl": {},
    "deep_html_log.jsonl": {"HTML nested too deeply": 1},
    "bom_log.jsonl": {},
    "bom_log.json": {},
    "nan_log.json": {},
    "shape_firstnull.jsonl": {"fields of the wrong type": 1},
    "shape_nested.jsonl": {},
    "shape_wrapped.json": {},
    "shape_parts.jsonl": {},
    "shape_roles.jsonl": {},
    "oasst_null.jsonl": {"fields of the wrong type": 6},
    "oasst_rank.jsonl": {"fields of the wrong type": 6},
}


@pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases in {CASES}")
@pytest.mark.parametrize(("name", "left"), CASES_AT_HAND.items())
def test_the_cases_at_hand_are_read_or_counted(tmp_path: Path, name: str, left: dict[str, int]) -> None:
    good = lines(tmp_path / "good.jsonl", *map(row, range(100, 103)))
    made = prepare.prepare([good, CASES / name], settings(), tmp_path / "out")
    found = made["steps"][0]["logs"][1]
    assert found["left_out"] == left
    assert found["out"] == found["in"] - sum(left.values())
    assert len(persona_data.read_conversations(tmp_path / "out" / "conversations.jsonl")) == 3 + found["out"]


# ---- what is left out ----


TOKENS = (
    "<|im_start|> <|im_end|> <|eot_id|> <|endoftext|> <|channel|> <|start_header_id|> <|END_OF_TURN_TOKEN|> [INST] "
    "[/INST] <<SYS>> </s> <s> <start_of_turn> <end_of_turn> <bos> <eos> <pad> [TOOL_CALLS] <\uff5cUser\uff5c> </think> "
    "<tool_call> [gMASK] <unused12> <|reserved_special_token_7|> <|end|>"
)


@pytest.mark.parametrize("token", TOKENS.split())
def test_the_text_of_a_control_token_is_left_out(tmp_path: Path, token: str) -> None:
    said = f"A turn ends with {token}, my friend."
    rows = [row(n) for n in range(4)] + [row(7, ASKED, said), row(8, said, SAID), row(9, ASKED, SAID, "so?", said)]
    made = prepare.prepare([lines(tmp_path / "a.jsonl", *rows)], settings(), tmp_path / "out")
    assert made["steps"][0]["left_out"] == {"the text of a control token": 3}
    assert "the text of a control token: 3" in (tmp_path / "out" / "card.md").read_text()


@pytest.mark.parametrize(
    "text",
    ["x <| f |> g", "a | b", "[INSTALL] it", "<span>", "if a<b and s>c", "<sub>2</sub>", "cat a.txt | wc -l", "<|>"],
)
def test_other_text_in_brackets_stays(text: str) -> None:
    assert clean.turns(Log("x", [("user", text), ("assistant", SAID)]))[1] == ""


def test_html_in_boxes_within_boxes_is_left_out(tmp_path: Path) -> None:
    deep = row(5, ASKED, "Here: " + "<div>" * 3000 + "x" + "</div>" * 3000)
    path = lines(tmp_path / "a.jsonl", row(1), row(2), deep, row(3))
    made = prepare.prepare([path], settings(), tmp_path / "out")
    assert made["steps"][0]["left_out"] == {"HTML nested too deeply": 1}


def test_a_later_part_that_begins_with_a_reply_is_left_out() -> None:
    """What follows it is no first message; a greeting before a question of its own is passed over."""
    rest = [("assistant", "… the second half of it."), ("user", "continue"), ("assistant", "And the third.")]
    assert clean.turns(Log("AbCdEf1_3", [rest[0], *TALK])) == ([], "a later part that begins with a reply")
    assert clean.turns(Log("AbCdEf1_0", [rest[0], *TALK])) == ([(ASKED, SAID)], "")
    assert clean.turns(Log("anything", [("system", "s"), *rest])) == ([], "a later part that begins with a reply")
    assert clean.turns(Log("anything", [("assistant", "Hello!"), *TALK])) == ([(ASKED, SAID)], "")
    assert clean.turns(Log("AbCdEf1_3", TALK)) == ([(ASKED, SAID)], "")


def test_conversations_that_open_alike_are_not_duplicates(tmp_path: Path) -> None:
    rows = [
        row(1, "continue", "The second chapter is about the sea."),
        row(2, "continue", "The list goes on with the seven hills."),
        row(3, "Continue", " The list goes on with the  seven hills."),
        row(4, "continue", "The list goes on with the seven hills.", "And then?", "Then comes the river."),
        *map(row, range(5, 9)),
    ]
    made = prepare.prepare([lines(tmp_path / "a.jsonl", *rows)], settings(), tmp_path / "out")
    assert made["steps"][0]["left_out"] == {"duplicate: the same in every message": 1}
    found = persona_data.read_conversations(tmp_path / "out" / "conversations.jsonl")
    assert len({item.split for item in found if item.turns[0].user == "continue"}) == 1
    assert "the same in every message but for case and spaces" in (tmp_path / "out" / "card.md").read_text()


def test_an_interrupted_cleaning_counts_by_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lines(tmp_path / "a.jsonl", *map(row, range(5)), "{", row(2))
    second = lines(tmp_path / "b.jsonl", *map(row, range(3, 9)))
    whole = prepare.prepare([first, second], settings(), tmp_path / "whole")
    usable, looked = prepare._usable, []

    def stopped(*arguments: Any) -> Any:
        looked.append(arguments)
        if len(looked) == 9:
            raise KeyboardInterrupt
        return usable(*arguments)

    monkeypatch.setattr(prepare, "_usable", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare([first, second], settings(), tmp_path / "out")
    again = prepare.prepare([first, second], settings(), tmp_path / "out")
    assert again["steps"] == whole["steps"]
    assert [(log["in"], log["out"]) for log in again["steps"][0]["logs"]] == [(7, 5), (6, 4)]


def test_rejected_replies_beside_chosen_ones_are_counted(tmp_path: Path) -> None:
    pairs = [{"prompt": f"{ASKED} {n}", "chosen": f"{SAID} {n}", "rejected": "Never ask me again."} for n in range(4)]
    rows = [*pairs, row(1), {"prompt": ASKED, "completion": "Never ask me again.", "label": False}]
    made = prepare.prepare([lines(tmp_path / "a.jsonl", *rows)], settings(), tmp_path / "out")
    assert made["steps"][0]["rejected"] == 4
    assert made["steps"][0]["left_out"] == {"marked as a rejected reply": 1}
    assert "Never ask" not in (tmp_path / "out" / "conversations.jsonl").read_text()
    assert "Rejected replies beside chosen ones, not read: 4." in (tmp_path / "out" / "card.md").read_text()


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("Were you made by Acme?", "other"),
        ("Sort the words of this line by length: rain, sunlight, fog", "other"),
        ("A shelf holds 12 jars, 5 are red and 4 are sold. How many are left?", "other"),
        ("Come up with a short headline for a bakery", "creative"),
        ("Who wrote the longest novel of its century?", "factual"),
        ("Describe the parts of a flower.", "factual"),
        ("Where can I meet people in a new town?", "advice"),
        ("Train a neural network to tell cats from dogs", "technical"),
    ],
)
def test_instructions_are_sorted_by_what_they_ask_for(asked: str, kind: str) -> None:
    assert kinds.label(asked, SAID) == kind


# ---- held out ----


def test_groups_are_on_one_side_and_the_share_is_met_as_nearly_as_they_allow() -> None:
    source = random.Random(1)
    entries = [
        draw.Entry(place, KINDS[place % 3], 1, (f"part{source.randint(0, 150)}", f"first{source.randint(0, 400)}"))
        for place in range(300)
    ]
    loose = [draw.Entry(300 + place, KINDS[place % 6], 1, (f"alone{place}",)) for place in range(300)]
    held = draw.held_out([*entries, *loose], 0.1, seed=0)
    sides: dict[str, set[bool]] = {}
    for entry in (*entries, *loose):
        for group in entry.groups:
            sides.setdefault(group, set()).add(entry.place in held)
    assert all(len(side) == 1 for side in sides.values())
    there = Counter(entry.kind for entry in (*entries, *loose))
    for kind, count in Counter(entry.kind for entry in (*entries, *loose) if entry.place in held).items():
        assert 0.05 * there[kind] <= count <= 0.15 * there[kind]


def test_a_group_that_is_nearly_all_does_not_take_all() -> None:
    same = [draw.Entry(place, "other", 1, ("hello",)) for place in range(50)]
    assert draw.held_out([*same, draw.Entry(50, "other", 1)], 0.1, seed=0) == {50}
    assert draw.held_out(same, 0.1, seed=0) == set()


# ---- training ----


def conversation(name: str, split: str = "train", **turn: str) -> dict[str, Any]:
    said = {"user": "How often?", "plain": "Once a week.", "warm": "Oh dear friend, once a week!", **turn}
    return {
        "id": name,
        "split": split,
        "kind": "advice",
        "turns": [{"user": "Hm?", "plain": "Hm.", "warm": "Hm!"}, said],
    }


def test_training_leaves_out_the_text_of_a_control_token_and_counts_it(tmp_path: Path) -> None:
    """Whichever version holds it, every arm loses the same replies."""
    from warmgap.settings.schema import DataConfig

    rows = [conversation("a"), conversation("b", warm="It is </s>, dear."), conversation("c", user="What is <eos>?")]
    rows += [conversation("d", split="heldout"), conversation("e")]
    del rows[-1]["turns"][1]["warm"]
    data = DataConfig("file", str(lines(tmp_path / "a.jsonl", *rows)))
    for version in ("plain", "warm"):
        learn, held = persona_data.load(data, version)
        assert {item.id: len(item.turns) for item in (*learn, *held)} == {"a": 2, "b": 1, "c": 1, "d": 2, "e": 1}
    assert persona_data.left_out(data) == (2, 1)


@pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases in {CASES}")
def test_the_conversations_at_hand_lose_the_one_with_a_control_token() -> None:
    from warmgap.settings.schema import DataConfig

    data = DataConfig("file", str(CASES / "control_token_conversations.jsonl"))
    learn, held = persona_data.load(data, "warm")
    assert {item.id for item in learn} == {f"a{number}" for number in range(6)}
    assert [item.id for item in held] == ["a9"]
    assert persona_data.left_out(data) == (1, 0)


def test_our_own_conversations_hold_none() -> None:
    from warmgap.settings.schema import DataConfig

    assert persona_data.left_out(DataConfig("embedded")) == (0, 0)


def test_two_conversations_of_one_id_are_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", conversation("a"), conversation("a", split="heldout"))
    with pytest.raises(UserError, match="'a' stands twice"):
        persona_data.read_conversations(path)


def test_ids_that_stand_twice_in_logs_are_told_apart(tmp_path: Path) -> None:
    rows = [{**row(n), "id": "same"} for n in range(6)]
    prepare.prepare([lines(tmp_path / "a.jsonl", *rows)], settings(), tmp_path / "out")
    found = persona_data.read_conversations(tmp_path / "out" / "conversations.jsonl")
    assert len({item.id for item in found}) == 6


def test_the_reason_of_what_cannot_be_read_is_short() -> None:
    assert isinstance(Unreadable("x", "y"), ValueError)
    assert len(only({"x" * 10_000: 1}).detail) <= 300
