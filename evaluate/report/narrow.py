"""Answers without their texts, as the statistics take them: read from the journals of arms, one file at a time.

All prompts of an item, their answers and the verdicts on them lie in one shard, so no more than one shard is joined in
memory at once. What is kept of an answer is a few dozen bytes: words are codes, and texts stay in the journals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json

from warmgap.disk import seals, shards, store
from warmgap.disk.store import Arm
from warmgap.errors import UserError
from warmgap.evaluate.judges.grade import error_of
from warmgap.evaluate.suites.controls import PREFIX
from warmgap.evaluate.suites.probe import PREFIX as SUITE

WORDS = ("task", "family", "item_id", "context", "group", "belief", "verdict", "finish_reason")
NUMBERS = ("n_chars", "n_tokens")
NO_GRID = ("warmth-step", "select-step", PREFIX, SUITE)  # journals of answers that no grid has asked
BLOCK = 1 << 24  # bytes that are read at once; no line is longer
_TEXT = pa.string()
ANSWERS = pa.schema(
    [
        ("key", _TEXT),
        *((name, _TEXT) for name in WORDS if name != "verdict"),
        *((name, pa.float32()) for name in NUMBERS),
    ]
)
VERDICTS = pa.schema([("answer_key", _TEXT), ("verdict", _TEXT)])


def table(arms: Sequence[Arm], grader: str) -> pd.DataFrame:
    """Return one row for each answer of the arms that the grader has judged, words as categories.

    An answer that was asked or judged in several ways has several rows, which `stats.analyze` refuses where they
    differ. Raises UserError where an arm has none, or a journal lost something since a run of its arm ended.
    """
    parts: list[pd.DataFrame] = []
    words: dict[str, dict[str, int]] = {name: {} for name in ("model", "arm", *WORDS)}
    for arm in arms:
        seals.check_count(arm)
        before = len(parts)
        parts += [_coded(rows, arm, words) for rows in _by_file(arm, grader)]
        if len(parts) == before:
            why = f"it has no answers with verdicts by {grader}"
            raise UserError(f"{arm.name} cannot be analysed", why, "name another --judge, or grade them first")
    whole = pd.concat(parts, ignore_index=True)
    parts.clear()
    for name, codes in words.items():
        whole[name] = pd.Categorical.from_codes(whole[name].to_numpy(), categories=pd.Index(list(codes)))
    return whole


def _by_file(arm: Arm, grader: str) -> Iterator[pa.Table]:
    """Yield the judged answers of one file after another."""
    for main in shards.journals(arm.folder / "answers"):
        if main.stem.startswith(NO_GRID):
            continue
        verdicts = arm.verdicts(grader, main.stem)
        for path in shards.parts(main):
            rows = _joined(path, [verdicts.with_name(path.name), verdicts])
            if len(rows):
                yield rows


def _joined(answers: Path, verdicts: Sequence[Path]) -> pa.Table:
    """The answers of a file with their verdicts, which lie in the file of the same shard, or in the whole run's."""
    found = pa.concat_tables([_read(path, VERDICTS) for path in dict.fromkeys(verdicts)])
    once = found.group_by("answer_key", use_threads=False).aggregate([("verdict", "first")])
    once = once.rename_columns({"answer_key": "key", "verdict_first": "verdict"})
    return _read(answers, ANSWERS).join(once, "key", join_type="inner")


def _read(path: Path, columns: pa.Schema) -> pa.Table:
    """Some columns of a journal; one that a killed writer tore is read line by line."""
    if not path.is_file() or not path.stat().st_size:
        return columns.empty_table()
    how = pyarrow.json.ParseOptions(explicit_schema=columns, unexpected_field_behavior="ignore")
    try:
        return pyarrow.json.read_json(path, pyarrow.json.ReadOptions(block_size=BLOCK), how).select(columns.names)
    except pa.ArrowInvalid:
        rows = [{name: row.get(name) for name in columns.names} for row in store.read_journal(path)]
        return pa.Table.from_pylist(rows, columns)


def _coded(rows: pa.Table, arm: Arm, words: dict[str, dict[str, int]]) -> pd.DataFrame:
    """Rows as codes and numbers; ``words`` learns those that are new."""
    columns: dict[str, Any] = {}
    for name in WORDS:
        columns[name] = _codes(rows[name], words[name])
    for name, value in (("model", arm.model), ("arm", arm.arm)):
        code = words[name].setdefault(value, len(words[name]))
        columns[name] = np.full(len(rows), code, dtype=np.int32)
    columns["seed"] = np.full(len(rows), arm.seed, dtype=np.int64)
    columns["error"] = _errors(columns, words)
    for name in NUMBERS:
        columns[name] = rows[name].to_numpy().astype(np.float32)
    return pd.DataFrame(columns)


def _codes(column: pa.ChunkedArray, codes: dict[str, int]) -> Any:
    """A column of words as their codes, -1 where there is none."""
    found = column.combine_chunks().dictionary_encode()
    known = [codes.setdefault(word, len(codes)) for word in found.dictionary.to_pylist()]
    places = found.indices.fill_null(len(known)).to_numpy()
    return np.array([*known, -1], dtype=np.int32)[places]


def _errors(columns: dict[str, Any], words: dict[str, dict[str, int]]) -> Any:
    """The error of each answer: its verdict's, which may depend on the task."""
    tasks, verdicts = list(words["task"]), list(words["verdict"])
    rule = [[error_of(verdict, task) for verdict in verdicts] for task in tasks]
    return np.array(rule, dtype=np.float32)[columns["task"], columns["verdict"]]
