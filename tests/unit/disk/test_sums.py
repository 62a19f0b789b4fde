"""Checksums: any changed byte of a row or of a JSON file is seen; what an earlier version wrote is read as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmgap.disk import store, sums

ROW = {"key": "a1", "answer": "Zürich – “yes”\u2028and more", "n": 3, "score": -0.1, "none": None, "arm": "original"}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), lambda inner: st.lists(inner)
)
OBJECTS = st.dictionaries(st.text().filter(lambda name: name != sums.SUM), VALUES)


@given(OBJECTS)
@settings(deadline=None, max_examples=100)
def test_a_row_and_a_file_come_back_without_their_checksum(row: dict[str, Any]) -> None:
    line = sums.line(row)
    assert line.endswith(b'"}\n')
    assert line.count(b"\n") == 1
    mended = json.loads(json.dumps(row).encode("utf-8", "replace"))
    if "\\ud" not in json.dumps(row):  # half an emoji is mended
        assert sums.row_of(line) == mended
        assert sums.checked(json.dumps(sums.signed(row), indent=2, ensure_ascii=False).encode()) == mended


def test_a_line_is_json_that_anybody_reads() -> None:
    read = json.loads(sums.line(ROW))
    assert read.pop("sum") == sums.of(json.dumps(ROW, ensure_ascii=False).encode())
    assert read == ROW


@pytest.mark.parametrize("change", [1, 0x20, 0x80, 0xFF], ids=str)
def test_every_changed_byte_of_a_row_is_seen(change: int) -> None:
    line = sums.line(ROW)
    for place in range(len(line) - 1):
        changed = bytearray(line)
        changed[place] ^= change
        try:
            found = sums.row_of(bytes(changed))
        except ValueError:
            continue
        assert {name: found.get(name) for name in ROW} == ROW, (place, bytes(changed))


@pytest.mark.parametrize("change", [1, 0x20, 0x80, 0xFF], ids=str)
def test_every_changed_byte_of_a_file_is_seen_or_makes_no_difference(change: int, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    store.write_json(path, ROW)
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= change
        path.write_bytes(changed)
        found = store.read_json(path)
        assert found in (None, ROW), (place, bytes(changed))
        if found is None:
            with pytest.raises(store.Damaged, match=r"x\.json is damaged"):
                store.read_sealed(path)


def test_what_an_earlier_version_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(ROW), encoding="utf-8")
    assert store.read_sealed(path) == store.read_json(path) == ROW
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n", encoding="utf-8")
    store.append(tmp_path / "rows.jsonl", [{"key": "new"}])
    assert list(store.read_journal(tmp_path / "rows.jsonl")) == [ROW, {"key": "new"}]
    assert store.read_sealed(tmp_path / "absent.json") is None


def journal_of(tmp_path: Path) -> Path:
    """Three rows, the second of which is damaged."""
    path = tmp_path / "rows.jsonl"
    store.append(path, [{"key": name, "text": "yes"} for name in "abc"])
    path.write_bytes(path.read_bytes().replace(b'"b", "text": "yes"', b'"b", "text": "yet"'))
    return path


def test_a_damaged_row_is_named_and_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = journal_of(tmp_path)
    assert list(store.journal_by_key(path)) == ["a", "c"]
    assert f"{path}: line 2 is damaged (1 in all); what it held is made again" in capsys.readouterr().err
    store.append(path, [{"key": "b", "text": "yes"}])
    assert sorted(store.journal_by_key(path)) == ["a", "b", "c"]


def test_a_damaged_row_that_cannot_be_made_again_is_refused(tmp_path: Path) -> None:
    path = journal_of(tmp_path)
    with pytest.raises(store.Damaged, match="line 2 is damaged") as refusal:
        list(store.read_journal(path, "copy it back"))
    assert refusal.value.fix == "copy it back"


def test_half_a_line_is_nobodys_fault(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    store.append(path, [{"key": "a"}, {"key": "b"}])
    path.write_bytes(path.read_bytes()[:-9])
    assert [row["key"] for row in store.read_journal(path, "copy it back")] == ["a"]


def test_a_journal_written_anew_has_its_checksums(tmp_path: Path) -> None:
    store.write_journal(tmp_path / "rows.jsonl", [ROW])
    assert (tmp_path / "rows.jsonl").read_bytes() == sums.line(ROW)
