"""Checksums of what lies on disk: written with it, looked at whenever it is read.

A row of a journal and a JSON file of ours end with ``sum``, the CRC-32 of the rest: a changed byte is always seen, and
the file stays JSON that anybody can read. What an earlier version wrote has none and is read as it is. A folder is
sealed by the SHA-256 of its files (see ``seals``).
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Any

from warmgap.disk import intake

SUM = "sum"
_TAIL = re.compile(rb',? ?"(...)": "([^"]{8})"\}\s*$')
_HEX = re.compile(rb"[0-9a-f]{8}")


class BadSum(ValueError):
    """What was read is not what was written."""


def of(data: bytes) -> str:
    """Return the checksum of some bytes: eight hex digits."""
    return f"{zlib.crc32(data):08x}"


def line(row: dict[str, Any]) -> bytes:
    """Return a row as a line of a journal, its checksum last."""
    text = intake.mended(json.dumps(row, ensure_ascii=False)).encode()
    return text[:-1] + (b", " if row else b"") + f'"{SUM}": "{of(text)}"}}\n'.encode()


def row_of(data: bytes) -> Any:
    """Return what a line of a journal holds, without its checksum.

    Raises BadSum where the line is whole and not what was written, ValueError where it is half a line or none of ours.
    """
    data = data.rstrip(b"\r\n")
    tail = _TAIL.search(data)
    if tail is None:
        row = intake.parse(data)
        if isinstance(row, dict) and SUM in row:
            raise BadSum("its checksum cannot be read")
        return row
    name, said = tail.groups()
    if name != SUM.encode():
        if _HEX.fullmatch(said):
            raise BadSum("its checksum cannot be read")
        return intake.parse(data)
    text = data[: tail.start()] + b"}"
    if of(text) != said.decode(errors="replace"):
        raise BadSum("its checksum is another than was written with it")
    return intake.parse(text)


def signed(value: dict[str, Any]) -> dict[str, Any]:
    """Return what a JSON file of ours holds, with its checksum last."""
    plain = json.loads(intake.mended(json.dumps(value, ensure_ascii=False, default=str)))
    return {**plain, SUM: of(_plainly(plain))}


def checked(data: bytes) -> Any:
    """Return what a JSON file of ours holds, without its checksum.

    Raises ValueError where it is not what was written.
    """
    value = intake.parse(data)
    if not isinstance(value, dict):
        return value
    said = value.pop(SUM, None)
    tail = _TAIL.search(data.replace(b"\n", b" ").replace(b'" }', b'"}'))
    if said is None and tail and _HEX.fullmatch(tail[2]):
        raise BadSum("its checksum cannot be read")
    if said is not None and of(_plainly(value)) != said:
        raise BadSum("its checksum is another than was written with it")
    return value


def _plainly(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
