"""Files and texts of others: byte order marks, other encodings, half an emoji, nesting without end, ends of lines."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmgap.disk import intake, store, tabular
from warmgap.errors import UserError
from warmgap.evaluate.judges import label
from warmgap.evaluate.suites import controls
from warmgap.evaluate.tasks import disinformation, source, validation
from warmgap.evaluate.tasks.item import read_items
from warmgap.mitigations import pairs
from warmgap.settings.identity import digest
from warmgap.settings.schema import ControlConfig, TaskConfig
from warmgap.train.persona import persona_data

DATA = Path(os.environ.get("WARMGAP_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
CASES = DATA.parent / "cases"
HALF = "half \ud83d of it"
ITEM = {
    "id": "q1",
    "family": "facts",
    "question": "Which planet is nearest?",
    "correct": "Mercury",
    "incorrect": "Venus",
}
TURN = {"user": "How often?", "plain": "Once\u2028a week.", "warm": "Oh, once a week!"}
TALK = {"id": "a", "split": "train", "kind": "advice", "turns": [TURN]}
PAIR = {name: f"a text of {name}" for name in pairs.FIELDS} | {"id": "p", "split": "heldout"}
MMLU = ["Which is it?", "a", "b", "c", "d", "A"]
SHEET = {**dict.fromkeys((*label.SHOWN, *label.FILLED), ""), "label_id": "bcdfghjklm", "note": "café"}


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def csv_text(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def table(path: Path) -> Any:
    return tabular.read(path, ["item_id", "answer"])


def by_source(path: Path) -> Any:
    return [row for _, row in source.rows_of("trivia_qa", TaskConfig(path=str(path)))]


def mmlu(path: Path) -> Any:
    return controls._mmlu_rows("mmlu", ControlConfig(path=str(path)))


ANSWER = {"item_id": "q1", "answer": "Mercury"}
READERS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "answers as JSON lines": (table, "a.jsonl", jsonl(ANSWER)),
    "answers as csv": (table, "a.csv", csv_text([["item_id", "answer"], ["q1", "Mercury"]])),
    "items": (lambda path: read_items(path, "embedded"), "a.jsonl", jsonl(ITEM)),
    "a task's JSON lines": (by_source, "a.jsonl", jsonl(ITEM)),
    "a task's JSON": (by_source, "a.json", json.dumps([ITEM])),
    "a task's csv": (by_source, "a.csv", csv_text([["id", "question"], ["q1", "Which?"]])),
    "claims": (lambda path: disinformation.load(TaskConfig(path=str(path))).items, "a.jsonl", jsonl(ITEM)),
    "questions to choose by": (lambda path: validation.load(TaskConfig(path=str(path))).items, "a.jsonl", jsonl(PAIR)),
    "pairs": (lambda path: pairs.load(str(path)), "a.jsonl", jsonl(PAIR)),
    "conversations": (persona_data.read_conversations, "a.jsonl", jsonl(TALK)),
    "a check without header": (mmlu, "a.csv", csv_text([MMLU])),
}
SHEETS = (label.load, "a.csv", csv_text([list(SHEET), list(SHEET.values())]))  # as spreadsheets save them
each_reader = pytest.mark.parametrize(("read", "name", "text"), READERS.values(), ids=list(READERS))


@pytest.mark.parametrize(("read", "name", "text"), [*READERS.values(), SHEETS], ids=[*READERS, "a sheet of labels"])
def test_a_byte_order_mark_changes_nothing(tmp_path: Path, read: Any, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    plain = read(path)
    assert plain
    path.write_text(text, encoding="utf-8-sig")
    assert read(path) == plain
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert read(path) == plain


@each_reader
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_is_named(tmp_path: Path, read: Any, name: str, text: str, encoding: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    with pytest.raises(UserError, match=f"it is {encoding[:6].upper()}, not UTF-8"):
        read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_a_sheet_is_read_in_whatever_encoding_a_spreadsheet_saved_it(tmp_path: Path, encoding: str) -> None:
    _, name, text = SHEETS
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    assert label.load(path) == [SHEET]
    path.write_bytes(text.encode() + b"\x81")
    with pytest.raises(UserError, match="cannot read"):
        label.load(path)


@each_reader
def test_what_is_no_utf8_or_not_there_is_refused(tmp_path: Path, read: Any, name: str, text: str) -> None:
    path = tmp_path / name
    with pytest.raises(UserError, match="cannot read"):
        read(path)
    path.write_bytes(text.encode() + b"\xff\xfe\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        read(path)


@pytest.mark.parametrize(("read", "name", "text"), [row for row in READERS.values() if not row[1].endswith(".csv")])
def test_a_row_that_is_nested_for_ever_is_refused(tmp_path: Path, read: Any, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text + "[" * 100_000 if name.endswith("l") else "[" * 100_000, encoding="utf-8")
    with pytest.raises(UserError):
        read(path)


@pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases in {CASES}")
def test_the_marked_files_at_hand_are_read() -> None:
    assert [item.item_id for item in read_items(CASES / "bom_items.jsonl", "embedded")] == ["q1"]
    assert [row["item_id"] for row in table(CASES / "bom_answers.jsonl")] == ["facts-001", "facts-002"]
    assert len(persona_data.read_conversations(CASES / "bom_conversations.jsonl")) == 7


# ---- JSON ----


def test_json_is_read_with_what_python_and_others_write_into_it() -> None:
    assert str(intake.parse('{"a": [NaN, Infinity, -Infinity]}')) == "{'a': [nan, inf, -inf]}"
    assert intake.parse('\ufeff{"a": 1}') == intake.parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert intake.parse(r'{"a\ud83d": ["\ude00", "\ud83d\ude00"]}') == {"a\ufffd": ["\ufffd", "\U0001f600"]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 600 + "1" + "}" * 600, "nested too deeply"),
        ("[" * 501 + "]" * 501, "nested too deeply"),
        ('{"a": 1', "not JSON"),
        (f"[{'9' * 5000}]", "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
    ],
)
def test_why_json_cannot_be_read_is_said(data: str | bytes, reason: str) -> None:
    with pytest.raises(intake.Unreadable) as caught:
        intake.parse(data)
    assert caught.value.reason == reason


def test_what_is_long_but_flat_is_not_nested_deeply() -> None:
    assert len(intake.parse(json.dumps([[]] * 10_000))) == 10_000
    assert intake.parse("[" * 500 + "]" * 500)


def test_a_line_ends_at_a_newline_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("one\u2028still one\u0085and\x0bone\x1c\n\ntwo\r\nthree", encoding="utf-8")
    assert intake.lines(path, "") == [(1, "one\u2028still one\u0085and\x0bone\x1c"), (3, "two"), (4, "three")]


# ---- what was paid for is kept ----


@given(st.text(st.characters(codec=None)))
def test_any_text_can_be_kept_once_it_is_mended(text: str) -> None:
    mended = intake.mended(text)
    assert mended.encode().decode() == mended
    assert intake.mended(mended) == mended
    assert len(mended) == len(text)


def test_a_journal_keeps_a_reply_with_half_an_emoji(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    store.append(path, [{"key": "a", "text": HALF}, {"key": "b", "text": "whole"}])
    assert [row["text"] for row in store.read_journal(path)] == ["half \ufffd of it", "whole"]
    store.write_json(tmp_path / "a.json", {"text": HALF})
    assert store.read_json(tmp_path / "a.json") == {"text": "half \ufffd of it"}
    assert digest(HALF) != digest("half")


def test_a_journal_passes_over_a_line_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("[" * 100_000 + '\n{"key": "a"}\n')
    assert [row["key"] for row in store.read_journal(path)] == ["a"]


@pytest.mark.parametrize("ending", tabular.ENDINGS)
def test_a_table_keeps_half_an_emoji_and_the_ends_of_lines(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    tabular.write(path, [{"item_id": "007", "answer": HALF}, {"item_id": "8", "answer": "a\u2028b\u0085c"}])
    rows = tabular.read(path, ["item_id", "answer"])
    assert [row["answer"] for row in rows] == ["half \ufffd of it", "a\u2028b\u0085c"]
    assert rows[0]["item_id"] == "007"
