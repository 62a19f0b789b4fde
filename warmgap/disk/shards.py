"""A run's questions cut into shards, each with journals of its own, and how the journals of all are found again.

``2/4`` is the second of four shards, ``0/4`` what cannot be cut (making the arms, their warmth), ``all/4`` what puts
the four together. Questions are dealt by the hash of task and item: all prompts of an item are in one shard, and so is
what they share. The hash knows nothing of what else is asked, so an item keeps its shard when items are added.

A shard writes ``answers/embedded.2-of-4.jsonl`` where the whole run writes ``answers/embedded.jsonl``. No two shards
write one file, so putting them together is reading them all: folders of several machines may be copied into one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from warmgap.errors import BadValue

MOST = 100_000  # shards
_NAMED = re.compile(r"(.+)\.(\d+)-of-(\d+)")  # the stem of a shard's file


@dataclass(frozen=True)
class Shard:
    """A part of a run: ``number`` from 1 to ``of``, 0 for what cannot be cut, None for putting all together."""

    number: int | None
    of: int

    def __str__(self) -> str:
        return f"{'all' if self.number is None else self.number}/{self.of}"

    @property
    def asks(self) -> bool:
        """Whether it is a part of the questions."""
        return bool(self.number)

    @property
    def puts_together(self) -> bool:
        """Whether it puts the parts together, and makes none."""
        return self.number is None

    def holds(self, task: str, item_id: str) -> bool:
        """Whether a question is one of this part's."""
        return dealt(task, item_id, self.of) == self.number

    def file(self, path: Path) -> Path:
        """Return the file that this part writes where the whole run writes ``path``."""
        return path.with_name(f"{path.stem}.{self.number}-of-{self.of}{path.suffix}") if self.asks else path


def dealt(task: str, item_id: str, of: int) -> int:
    """Return the number, from 1, of the shard of ``of`` that a question is dealt to."""
    return 1 + int.from_bytes(hashlib.sha256(f"{task}\n{item_id}".encode()).digest()[:8], "big") % of


def parse(text: str | None) -> Shard | None:
    """Read the setting ``shard``; None where nothing is cut. Raises BadValue for what is no shard."""
    if text is None:
        return None
    match = re.fullmatch(r"(all|\d+)/(\d+)", str(text))
    number, of = (None if match[1] == "all" else int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < of <= MOST or (number or 0) > of:
        expected = "expected such as 2/4 (the second of four), 0/4 (what cannot be cut) or all/4 (put together)"
        raise BadValue(f"shard={text} makes no sense", expected, "set shard to one of these, or to null")
    return Shard(number, of)


def cut(path: Path, shard: Shard | None) -> Path:
    """Return the file that a shard writes for ``path``; ``path`` itself where nothing is cut."""
    return path if shard is None else shard.file(path)


def whole(path: Path) -> Path:
    """Return the journal that a shard's file is a part of; of a whole one, itself."""
    match = _NAMED.fullmatch(path.stem)
    return path.with_name(match[1] + path.suffix) if match else path


def parts(path: Path) -> list[Path]:
    """Return the files in which rows of a journal may stand: the whole run's and every shard's.

    A shard looks into its own and into those that were cut otherwise: the others of its cut hold nothing of it.
    """
    main, own = whole(path), _NAMED.fullmatch(path.stem)
    found = []
    for other in path.parent.glob(f"{_escaped(main.stem)}.*-of-*{path.suffix}"):
        match = _NAMED.fullmatch(other.stem)
        if match and match[1] == main.stem and (own is None or own[3] != match[3] or own[2] == match[2]):
            found.append((int(match[3]), int(match[2]), other))
    return [main, *(other for *_, other in sorted(found))]


def journals(folder: Path) -> list[Path]:
    """Return the journals in a folder by the names that the whole run gives them, be they there in shards alone."""
    return sorted({whole(path) for path in folder.glob("*.jsonl")})


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)
