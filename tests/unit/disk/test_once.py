"""A file that stays as it is is read once, and one that has changed is read again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from warmgap.disk import once as module
from warmgap.disk.once import hashed, once


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that has not changed for a while."""
    path = tmp_path / "data.jsonl"
    path.write_text("one", encoding="utf-8")
    return path


class Reader:
    """Counts how often it reads."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self, path: Path) -> str:
        self.reads += 1
        return path.read_text(encoding="utf-8")


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """With files that settle at once, so that nobody has to wait."""
    monkeypatch.setattr(module, "SETTLED", 0)
    return Reader()


def test_a_file_is_read_once(file: Path, reader: Reader) -> None:
    read = once(reader)
    time.sleep(0.02)
    assert [read(file), read(file), read(file.parent / "." / file.name)] == ["one"] * 3
    assert reader.reads == 1


def test_a_file_that_has_changed_is_read_again(file: Path, reader: Reader) -> None:
    read = once(reader)
    time.sleep(0.02)
    read(file)
    before = file.stat()
    file.write_text("two", encoding="utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # of the same size, and dated back
    assert read(file) == "two"
    other = file.with_name("other")
    other.write_text("six", encoding="utf-8")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert read(file) == "six"


def test_what_has_changed_just_now_is_not_kept(file: Path) -> None:
    reader = Reader()
    read = once(reader)
    assert [read(file), read(file)] == ["one", "one"]
    assert reader.reads == 2, "a second change in the same tick of the clock would not show"


def test_a_file_that_cannot_be_read_says_so_each_time(file: Path, reader: Reader) -> None:
    read = once(reader)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            read(file.with_name("absent"))


def test_only_so_many_are_kept(tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    read, files = once(reader), [tmp_path / name for name in "abc"]
    for file in files:
        file.write_text(file.name, encoding="utf-8")
    time.sleep(0.02)
    assert [read(file) for file in (*files, files[2], files[0])] == ["a", "b", "c", "c", "a"]
    assert reader.reads == 4


def test_a_hash_is_that_of_the_content(file: Path) -> None:
    assert hashed(file) == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
