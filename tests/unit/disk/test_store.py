"""Run folders: journals that survive a kill, and files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmgap.disk import store
from warmgap.errors import UserError


def test_a_journal_gives_back_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.jsonl"
    store.append(path, [{"key": "a", "answer": "Zürich – “yes”"}, {"key": "b", "answer": "two\nlines\u2028and more"}])
    store.append(path, [{"key": "c", "answer": None}])
    assert [row["key"] for row in store.read_journal(path)] == ["a", "b", "c"]
    assert next(iter(store.read_journal(path)))["answer"] == "Zürich – “yes”"
    assert list(store.read_journal(tmp_path / "absent.jsonl")) == []


def test_half_a_line_at_the_end_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    store.append(path, [{"key": "a"}, {"key": "b"}])
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": "c", "ans')
    assert [row["key"] for row in store.read_journal(path)] == ["a", "b"]


def test_appending_after_half_a_line_loses_neither_old_rows_nor_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    store.append(path, [{"key": "a"}])
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": "b", "ans')
    store.append(path, [{"key": "c"}])
    store.append(path, [{"key": "d"}])
    assert [row["key"] for row in store.read_journal(path)] == ["a", "c", "d"]


@pytest.mark.parametrize("cut", range(1, 60, 3))
def test_a_journal_cut_at_any_byte_keeps_its_whole_rows(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    rows = [{"key": str(index), "answer": "größer ✓"} for index in range(3)]
    store.append(path, rows)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    kept = list(store.read_journal(path))
    assert kept == rows[: len(kept)]
    store.append(path, [{"key": "new"}])
    after = list(store.read_journal(path))
    assert after == [*rows[: len(after) - 1], {"key": "new"}]
    assert len(after) - 1 >= whole[:-cut].count(b"\n")


def test_a_row_that_lost_only_its_line_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    store.append(path, [{"key": "a"}])
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    store.append(path, [{"key": "b"}])
    assert [row["key"] for row in store.read_journal(path)] == ["a", "b"]


def test_the_first_row_of_a_key_counts(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    store.append(path, [{"key": "a", "answer": "first"}, {"key": "b", "answer": "x"}, {"key": "a", "answer": "second"}])
    found = store.journal_by_key(path)
    assert list(found) == ["a", "b"]
    assert found["a"]["answer"] == "first"


def test_a_line_that_is_no_object_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('[1, 2]\n"text"\n\n{"key": "a"}\n', encoding="utf-8")
    assert list(store.read_journal(path)) == [{"key": "a"}]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.dictionaries(st.text(max_size=8), json_values, max_size=4), max_size=6))
def test_any_row_comes_back_unchanged(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("journal") / "rows.jsonl"
    store.append(path, rows)
    assert list(store.read_journal(path)) == rows
    store.write_jsonl(path, rows)
    assert list(store.read_journal(path)) == rows


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    store.write_jsonl(path, [{"key": "old"}])

    def rows() -> Iterator[dict[str, Any]]:
        yield {"key": "new"}
        raise RuntimeError("killed half way")

    with pytest.raises(RuntimeError):
        store.write_jsonl(path, rows())
    assert list(store.read_journal(path)) == [{"key": "old"}]
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_writing_leaves_no_scratch_file(tmp_path: Path) -> None:
    store.write_text(tmp_path / "a" / "b.txt", "x")
    store.write_json(tmp_path / "a" / "c.json", {"path": Path("x"), "é": 1})
    assert sorted(os.listdir(tmp_path / "a")) == ["b.txt", "c.json"]
    assert store.read_json(tmp_path / "a" / "c.json") == {"path": "x", "é": 1}


@pytest.mark.parametrize("content", ["", "{", "\x00", None])
def test_unreadable_json_is_none(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert store.read_json(path) is None


def test_checking_a_folder_leaves_nothing_in_it(tmp_path: Path) -> None:
    store.check_writable(str(tmp_path / "not" / "yet" / "there"))
    assert os.listdir(tmp_path) == []


def test_a_file_cannot_be_the_runs_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for runs_dir in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(UserError) as caught:
            store.check_writable(str(runs_dir))
        assert str(runs_dir) in caught.value.what
        assert "not a folder" in caught.value.why
        assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a folder that even root cannot write to")
def test_a_folder_that_cannot_be_written_to_is_named() -> None:
    with pytest.raises(UserError) as caught:
        store.check_writable("/proc/warmgap-runs")
    assert "/proc" in caught.value.what + caught.value.why
    assert "runs_dir" in caught.value.fix


def test_a_folder_without_a_manifest_is_no_arm(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not an arm"):
        store.open_arm(tmp_path)
    store.write_json(tmp_path / "manifest.json", {"model": "m", "arm": "warm", "seed": 2})
    arm = store.open_arm(tmp_path)
    assert (arm.model, arm.arm, arm.seed, arm.name) == ("m", "warm", 2, tmp_path.name)


def test_two_arms_of_one_name_and_seed_are_told_apart(tmp_path: Path) -> None:
    """The same seeds of two settings stay together: the second setting's are both ``warm-2``."""
    folders = []
    for key, seed in (("a0", 0), ("a1", 1), ("b0", 0), ("b1", 1)):
        folders.append(tmp_path / "arms" / f"m-warm-s{seed}-{key}")
        store.write_json(folders[-1] / "manifest.json", {"model": "m", "arm": "warm", "seed": seed})
    found = store.open_arms([*folders, folders[0]])
    assert [(arm.arm, arm.seed) for arm in found] == [("warm", 0), ("warm", 1), ("warm-2", 0), ("warm-2", 1)]
    assert [arm.name for arm in found] == [folder.name for folder in folders]


def test_one_arm_made_in_two_places_is_not_two_arms(tmp_path: Path) -> None:
    folders = [tmp_path / place / "m-warm-s0-a0" for place in ("here", "there")]
    for folder in folders:
        store.write_json(folder / "manifest.json", {"model": "m", "arm": "warm", "seed": 0})
    with pytest.raises(UserError, match="is named twice"):
        store.open_arms(folders)


def test_naming_an_arm_makes_nothing(tmp_path: Path) -> None:
    arm = store.arm_folder(str(tmp_path), "gpt2", "warm", 1, "0123abcd")
    assert arm.name == "gpt2-warm-s1-0123abcd"
    assert arm.folder.parent == tmp_path / "arms"
    assert arm.verdicts("match", "embedded") == arm.folder / "verdicts" / "match" / "embedded.jsonl"
    assert os.listdir(tmp_path) == []


def test_removing_a_folder_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    store.remove_folder(tmp_path / "absent")
    store.write_text(tmp_path / "here" / "x", "x")
    store.remove_folder(tmp_path / "here")
    assert os.listdir(tmp_path) == []
