"""Files that others wrote, read in one way: UTF-8 with or without a byte order mark, JSON that is not nested for ever.

Half an emoji (a surrogate without its other half, which no file, table or page can hold) becomes the sign for what
cannot be read wherever text comes in, so that what is kept is what was graded.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from warmgap.disk import bounds
from warmgap.errors import UserError

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")
_OTHERS = (
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip


class Named(Protocol):
    """Something that an id names."""

    @property
    def id(self) -> str:
        """What it is called in its file, and nothing else there is."""


Kept = TypeVar("Kept", bound=Named)


class Unreadable(ValueError):
    """Data that is no JSON of use; ``reason`` says why in words that do not depend on the data."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


def mended(text: str) -> str:
    """Return text that every file can hold: a surrogate without its other half becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


def mend(value: Any) -> Any:
    """Return a value of lists, objects and texts with each text ``mended``."""
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, list):
        return [mend(part) for part in value]
    if isinstance(value, dict):
        return {mend(key): mend(part) for key, part in value.items()}
    return value


def parse(data: str | bytes) -> Any:
    """Return the value of JSON (NaN and Infinity are read, too), its texts mended. Raises ``Unreadable``."""
    try:
        text = (data if isinstance(data, str) else data.decode()).removeprefix("\ufeff")
        value = json.loads(text)
        if text.count("[") + text.count("{") > bounds.DEEPEST and _depth(value) > bounds.DEEPEST:
            raise Unreadable("nested too deeply")
        return mend(value) if _ESCAPED.search(text) else value
    except UnicodeDecodeError as error:
        raise Unreadable("not UTF-8", str(error)) from error
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Unreadable("not JSON", str(error)) from error
    except ValueError as error:
        raise error if isinstance(error, Unreadable) else Unreadable("not JSON", str(error)) from error


def _depth(value: Any) -> int:
    """How many levels of lists and objects there are, counted without calling oneself."""
    level, depth = [value], 0
    while level := [part for part in level if isinstance(part, (list, dict))]:
        depth += 1
        level = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]
    return depth


def other_encoding(head: bytes) -> str:
    """Return the name of the encoding that a file's first bytes tell, where it is not UTF-8; else nothing."""
    for mark, name in _OTHERS:
        if head.startswith(mark):
            return name
    return "UTF-16" if b"\0" in head[:4] else ""


def text(path: Path, fix: str) -> str:
    """Return a file's text, its lines ended by ``\\n``. Raises UserError, with ``fix``, where it cannot be read."""
    try:
        place = path.expanduser()
        if (size := place.stat().st_size) > bounds.TEXT:
            raise UserError(f"cannot read {path}", f"it has {size:,} bytes, at most {bounds.TEXT:,}", fix)
        data = place.read_bytes()
    except (OSError, RuntimeError) as error:  # the latter for a ~ of nobody
        raise UserError(f"cannot read {path}", getattr(error, "strerror", None) or str(error), fix) from error
    if name := other_encoding(data[:4]):
        raise UserError(f"cannot read {path}", f"it is {name}, not UTF-8", f"save it as UTF-8, or {fix}")
    try:
        found = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}", f"it is not UTF-8: {error}", f"save it as UTF-8, or {fix}") from error
    return found.replace("\r\n", "\n").replace("\r", "\n")


def lines(path: Path, fix: str) -> list[tuple[int, str]]:
    """Return the numbers and texts of a file's lines that are not empty; a line ends at ``\\n`` and nowhere else."""
    return [(number, line) for number, line in enumerate(text(path, fix).split("\n"), 1) if line.strip()]


def records(path: Path, parse_line: Callable[[str, str], Kept], fix: str, what: str) -> tuple[Kept, ...]:
    """Return what each line of a file holds, by a parser that is given the line and its place.

    Raises UserError as ``lines`` and the parser do, and for an id that stands twice; ``what`` is what ids name.
    """
    found = tuple(parse_line(line, f"{path}:{number}") for number, line in lines(path, fix))
    ids = [item.id for item in found]
    if len(set(ids)) < len(ids):
        twice = next(item for item in ids if ids.count(item) > 1)
        raise UserError(f"{path}: id {twice!r} stands twice", f"ids name {what}", "give each its own")
    return found
