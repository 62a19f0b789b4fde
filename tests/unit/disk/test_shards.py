"""Questions are dealt to shards for good, each shard has files of its own, and together they are the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from warmgap.disk import shards, store
from warmgap.errors import BadValue

NAMES = [("embedded", f"q{number}") for number in range(3000)]


@pytest.mark.parametrize("of", [1, 2, 7, 64])
def test_every_question_is_in_one_shard_and_shards_are_alike_in_size(of: int) -> None:
    parts = [[name for name in NAMES if shards.Shard(number, of).holds(*name)] for number in range(1, of + 1)]
    assert sorted(name for part in parts for name in part) == sorted(NAMES)
    expected = len(NAMES) / of
    assert all(abs(len(part) - expected) < 5 * expected**0.5 for part in parts if of > 1)


def test_a_question_keeps_its_shard_whatever_else_is_asked() -> None:
    """Journals of months ago are found again: the numbers are part of what is on disk."""
    assert [shards.dealt("embedded", f"q{number}", 4) for number in range(8)] == [3, 3, 4, 1, 1, 4, 3, 1]
    assert shards.dealt("embedded", "q0", 64) != shards.dealt("trivia_qa", "q0", 64)


@pytest.mark.parametrize("text", ["", "2", "5/4", "-1/4", "1/0", "0/0", "a/4", "1/4/4", "all", "1/100001"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="makes no sense"):
        shards.parse(text)


@pytest.mark.parametrize("text", ["0/4", "1/4", "4/4", "all/4"])
def test_a_shard_is_written_as_it_is_read(text: str) -> None:
    assert str(shards.parse(text)) == text


def rows(*keys: str) -> list[dict[str, str]]:
    return [{"key": key} for key in keys]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal that a whole run has begun, two cuts of it, and a neighbour whose name begins alike."""
    path = tmp_path / "warmth-step1.jsonl"
    store.append(path, rows("main"))
    for shard in ("1/2", "2/2", "1/10", "10/10"):
        found = shards.parse(shard)
        assert found is not None
        store.append(found.file(path), rows(shard, "twice"))
    store.append(tmp_path / "warmth-step1.more.jsonl", rows("neighbour"))
    store.append(tmp_path / "warmth-step12.1-of-2.jsonl", rows("another"))
    return path


def test_the_whole_run_reads_every_shard(journal: Path) -> None:
    assert set(store.journal_by_key(journal)) == {"main", "1/2", "2/2", "1/10", "10/10", "twice"}


def test_a_shard_reads_its_own_the_whole_runs_and_other_cuts(journal: Path) -> None:
    """The other shards of its own cut hold none of its questions, and there may be many of them."""
    assert set(store.journal_by_key(shards.Shard(1, 2).file(journal))) == {"main", "1/2", "1/10", "10/10", "twice"}
    assert set(store.journal_by_key(shards.Shard(3, 5).file(journal))) == {
        "main",
        "1/2",
        "2/2",
        "1/10",
        "10/10",
        "twice",
    }


def test_parts_that_do_not_ask_write_the_whole_runs_files(journal: Path) -> None:
    assert [shards.cut(journal, shards.parse(text)) for text in (None, "0/2", "all/2")] == [journal] * 3
    assert shards.cut(journal, shards.parse("2/2")).name == "warmth-step1.2-of-2.jsonl"


def test_journals_are_listed_by_their_whole_names(journal: Path) -> None:
    assert [path.name for path in shards.journals(journal.parent)] == [
        "warmth-step1.jsonl",
        "warmth-step1.more.jsonl",
        "warmth-step12.jsonl",
    ]
