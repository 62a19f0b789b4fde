"""The rows of a large JSON file as bytes, one after another, whatever holds them; nothing but the row at hand is kept.

A file holds a list of rows, a list of them inside an object, one object, or objects one after another. Where a row ends
is told by its brackets, so that a row that is too long, too deep or broken inside is one row's loss.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from warmgap.disk import bounds
from warmgap.disk.intake import Unreadable
from warmgap.errors import UserError

BLOCK = 1 << 20
TOO_LONG = f"longer than {bounds.LINE // 1_000_000} MB"
_OUTSIDE = re.compile(rb'["\[\]{},]')
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_NAME = 100  # bytes of a field's name that are looked at


class Bytes(Protocol):
    """A file as it is read here: plain, or packed."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int, /) -> bytes: ...


def of_lines(file: Bytes) -> Iterator[bytes | Unreadable]:
    """Yield the lines that are not empty, without the end of the line; one that is too long as ``Unreadable``."""
    while line := file.readline(bounds.LINE + 1):
        if len(line) > bounds.LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(BLOCK)
            yield Unreadable(TOO_LONG)
        elif line.strip():
            yield line


def of_values(file: Bytes, fields: frozenset[str]) -> Iterator[bytes | Unreadable]:
    """Yield the rows of a JSON file. An object's list of objects holds rows unless its name is one of ``fields``.

    Raises UserError where the file ends in the middle.
    """
    reader = _Reader(fields)
    while block := file.read(BLOCK):
        yield from reader.read(block)
    if reader.depth or reader.quoted:
        why = f"it ends inside a value, {reader.depth} brackets deep"
        raise UserError(f"{getattr(file, 'name', 'the file')} is not whole JSON", why, "fetch it again")


class _Reader:
    """Where in a file a reader is: how deep, inside a text or not, and the row that it is in."""

    def __init__(self, fields: frozenset[str]) -> None:
        self.fields = {name.encode() for name in fields}
        self.depth = 0
        self.quoted = False
        self._level = 0  # the depth at which rows lie
        self._wrapped = False  # whether the object at hand holds rows in a list, and is none itself
        self._name, self._before = b"", b""  # the last text at the depth of a field, and the sign before this one
        self._parts: list[bytes] = []
        self._size = 0
        self._rest = b""  # a backslash at the end of a block waits for what it escapes
        self._rows: list[bytes | Unreadable] = []

    def read(self, block: bytes) -> list[bytes | Unreadable]:
        """Return the rows that end in this block."""
        block, self._rest, self._rows = self._rest + block, b"", []
        place = start = 0
        while place < len(block):
            if self.quoted:
                inside = _INSIDE.match(block, place)
                end = inside.end() if inside else place
                if self.depth == 1 and len(self._name) < _NAME:
                    self._name += block[place : min(end, place + _NAME)]
                if end == len(block) or block[end : end + 1] != b'"':
                    self._rest, block = block[end:], block[:end]
                    break
                self.quoted, place = False, end + 1
                continue
            found = _OUTSIDE.search(block, place)
            if found is None:
                break
            place = found.end()
            if self._ends(found[0], block, start, place):
                start = place
        self._keep(block[start:])
        return self._rows

    def _ends(self, sign: bytes, block: bytes, start: int, place: int) -> bool:
        """Take in the sign before ``place``; whether what lies between ``start`` and there is dealt with."""
        before, self._before = self._before, sign
        if sign == b'"':
            self.quoted = True
            self._name = b"" if self.depth == 1 else self._name
        elif sign in (b"[", b"{"):
            return self._opened(sign, before)
        elif sign in (b"]", b"}"):
            return self._closed(block, start, place)
        elif self._level and self.depth == self._level:
            self._row(block[start : place - 1])
            return True
        return False

    def _opened(self, sign: bytes, before: bytes) -> bool:
        self.depth += 1
        if sign == b"[" and self.depth == 1:
            self._level = 1
            self._drop()
            return True
        first = sign == b"{" and before == b"[" and self.depth == 3 and self._level == 0
        if first and self._name not in self.fields:
            self._level, self._wrapped = 2, True
            self._drop()
            self._keep(sign)
            return True
        return False

    def _closed(self, block: bytes, start: int, place: int) -> bool:
        self.depth = max(0, self.depth - 1)
        if self.depth < self._level:
            self._row(block[start : place - 1])
            self._level = 0
            return True
        if self.depth:
            return False
        if self._wrapped:
            self._drop()
        else:
            self._row(block[start:place])
        self._wrapped = False
        return True

    def _keep(self, data: bytes) -> None:
        """Hold a part of the row, as long as the row is not too long."""
        self._size += len(data)
        if self._size <= bounds.LINE:
            self._parts.append(data)
        else:
            self._parts.clear()

    def _drop(self) -> None:
        self._parts, self._size = [], 0

    def _row(self, last: bytes) -> None:
        self._keep(last)
        too_long, row = self._size > bounds.LINE, b"".join(self._parts)
        self._drop()
        if too_long:
            self._rows.append(Unreadable(TOO_LONG))
        elif row.strip():
            self._rows.append(row)
