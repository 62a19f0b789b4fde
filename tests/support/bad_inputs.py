"""The corpus of bad inputs in ``tests/bad_inputs``: what somebody types or hands in, and the message that it gets.

A row is a JSON object: ``kind``, ``typed`` (the words after ``warmgap``; ``train …`` is ``python train.py …``),
``files`` that lie beside it, and ``error``, the first of the three lines. A file's content is a text, or an object:
``base64`` of bytes, ``times`` of a ``text`` (``[before, text, times, after]``), ``gzip`` or ``zip`` of zeros, a
``folder``. After a change of a message, ``python tests/support/bad_inputs.py`` writes the messages anew, to be read.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap import cli

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "bad_inputs"
NOTICE = re.compile(r"[\w ]+: \d+ in \d+ s|left out: .*")  # what may be said before the three lines
Row = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """What a command came to: its exit status, its streams, and what it left that was not there before."""

    status: int
    out: str
    err: str
    left: tuple[str, ...]


def rows() -> Iterator[tuple[str, int, Row]]:
    """Every row, with the name of its file and its line."""
    for path in sorted(FOLDER.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield path.stem, number, json.loads(line)


def content(given: Any) -> bytes:
    """The bytes of a file that a row brings."""
    if isinstance(given, str):
        return given.encode("utf-8", "surrogatepass")
    if "base64" in given:
        return base64.b64decode(given["base64"])
    if "times" in given:
        before, text, times, after = given["times"]
        return f"{before}{text * times}{after}".encode()
    packed = io.BytesIO()
    if "gzip" in given:
        with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
            for _ in range(given["gzip"]):
                file.write(b"\0" * 1_000_000)
    else:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", b"\0" * 1_000_000 * given["zip"])
    return packed.getvalue()


def lay_out(files: dict[str, Any]) -> None:
    """Put the files of a row into the current folder."""
    for name, given in files.items():
        path = Path(name)
        if given == {"folder": True}:
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(given))


def listed() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.suffix != ".lock"}  # held while it is looked, and empty


def run(row: Row) -> Ended:
    """Run the command of a row in an empty folder with its files."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        out, err = io.StringIO(), io.StringIO()
        try:
            lay_out(row.get("files", {}))
            there = listed()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    status = cli.main(list(row["typed"]))
                except SystemExit as end:
                    status = 1000 + int(end.code or 0)
            return Ended(status, out.getvalue(), err.getvalue(), tuple(sorted(listed() - there)))
        finally:
            os.chdir(before)


def fault(row: Row, ended: Ended) -> str:
    """Why an end is not that of a user's mistake; nothing where it is."""
    lines = [line for line in ended.err.splitlines() if not NOTICE.fullmatch(line)]
    if ended.status != 2:
        return f"exit status {ended.status}"
    if [line.partition(":")[0] for line in lines] != ["error", "why", "fix"]:
        return "not the three lines error, why, fix"
    if not all(line.partition(":")[2].strip() and line.isprintable() for line in lines):
        return "an empty line, or one that a terminal would obey"
    if ended.left:
        return f"it has written {', '.join(ended.left)}"
    if ended.out:
        return "it has printed something on stdout"
    return "" if said_of(ended) == row.get("error") else "another message"


def said_of(ended: Ended) -> str:
    """The first line of an end, without what differs from place to place."""
    lines = [line for line in ended.err.splitlines() if not NOTICE.fullmatch(line)]
    first = next(iter(lines), "").removeprefix("error: ")
    first = re.sub(rf"{re.escape(tempfile.gettempdir())}/tmp\w+", "PLACE", first).replace(str(ROOT), "ROOT")
    return re.sub(r"\([\d,]+ characters\)", "(so many characters)", first)  # of a name with a host's and a process's


def _write_anew() -> None:
    for path in sorted(FOLDER.glob("*.jsonl")):
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in found:
            ended = run(row)
            row["error"] = said_of(ended)
            if (why := fault(row, ended)) or row.get("show"):
                print(json.dumps(row["typed"], ensure_ascii=False)[:300], why, ended, sep="\n  ", file=sys.stderr)
        text = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in found)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _write_anew()
