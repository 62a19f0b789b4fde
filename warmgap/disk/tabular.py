"""Tables in and out of files: JSON lines, csv or parquet, by the file's ending.

A csv is opened in spreadsheets, which take what begins like a formula for one: such a text has an apostrophe before it
in the file, and is read back without.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk import bounds, intake, seals, store
from warmgap.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".jsonl", ".csv", ".parquet")
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
MISSING = ["", "NaN", "nan", "NA", "None", "null"]  # what a csv writes where there is no value


def cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula; ``from_cell`` gives it back."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """Return the text that stands in a cell."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text


def write_csv(path: Path, table: pd.DataFrame, numbers: str | None = "%.6g") -> None:
    """Write a csv, whole or not at all, no cell of which is a formula; ``numbers`` is how fractions are written."""
    shown = _each(table, cell)
    text = shown.to_csv(index=False, float_format=numbers)
    if "\r" in text:  # which Python's csv does not quote by itself, though it ends a row
        text = shown.to_csv(index=False, float_format=numbers, quoting=csv.QUOTE_ALL)
    store.write_text(path, text)


def _each(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a table with its texts changed, the names of its columns too."""
    from pandas.api import types

    found = table.rename(columns=lambda name: change(name) if isinstance(name, str) else name)
    for place, kind in enumerate(table.dtypes):
        if types.is_object_dtype(kind) or types.is_string_dtype(kind):
            column = [change(value) if isinstance(value, str) else value for value in table.iloc[:, place]]
            found.isetitem(place, column)
    return found


def read_table(path: Path, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a file into a data frame; the columns named in ``text`` stay as they are written ("007", "NA").

    Raises UserError when the file is missing, malformed or of another kind.
    """
    import pandas as pd

    _check_ending(path)
    seals.check_file(path)
    fix = f"name a readable {path.suffix} file"
    try:
        if path.suffix == ".parquet":
            return read_parquet(path)
        if path.suffix == ".jsonl":
            return pd.DataFrame([_object(line, f"{path}:{number}") for number, line in intake.lines(path, fix)])
        whole = intake.text(path, fix)
        columns = pd.read_csv(io.StringIO(whole), nrows=0).columns
        missing = {name: [""] if from_cell(name) in text else MISSING for name in columns}
        told = {name: str for name in columns if from_cell(name) in text}
        found = pd.read_csv(io.StringIO(whole), dtype=told, keep_default_na=False, na_values=missing)
        return _each(found, from_cell)
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"cannot read {path}", str(error).split("\n")[0], fix) from error


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a parquet file that is held whole. Raises UserError where it is none, or packs more than fits in memory."""
    import pyarrow
    import pyarrow.parquet

    batches = list(batches_of(path))
    try:
        schema = pyarrow.parquet.read_schema(path)
        found: pd.DataFrame = pyarrow.Table.from_batches(batches, schema if not batches else None).to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _no_parquet(path, error) from error
    return found


def batches_of(path: Path) -> Iterator[Any]:
    """Yield the record batches of a parquet file, one after another.

    Raises UserError where it is none, or where it holds far more than its size: a small file may stand for gigabytes.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        most = max(bounds.TABLE_ALWAYS, bounds.EXPANSION * path.stat().st_size)
        file = pyarrow.parquet.ParquetFile(path)
        groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
        chunks = [group.column(place).total_uncompressed_size for group in groups for place in range(group.num_columns)]
        if sum(chunks) > most:
            raise _too_much(path, most)
        rows = max(1, min(1024, bounds.TABLE_ALWAYS // max([1, *chunks])))  # a value may be as large as its column
        held = 0
        for batch in file.iter_batches(batch_size=rows):
            held += batch.nbytes
            if held > most:
                raise _too_much(path, most)
            yield batch
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _no_parquet(path, error) from error


def _too_much(path: Path, most: int) -> UserError:
    why = f"it holds more than {most:,} bytes, over {bounds.EXPANSION} times its size"
    return UserError(f"cannot read {path}", why, "see what it is, or give it in parts")


def _no_parquet(path: Path, error: BaseException) -> UserError:
    why = (str(error).splitlines() or [""])[0] or type(error).__name__
    return UserError(f"cannot read {path}", why, "see that it is a whole parquet file")


def _object(line: str, where: str) -> dict[str, Any]:
    row = intake.parse(line)
    if not isinstance(row, dict):
        raise UserError(f"cannot read {where}", f"it is {type(row).__name__}, not an object", "give an object a line")
    return row


def read(path: Path, needed: Sequence[str]) -> list[dict[str, Any]]:
    """Read a file into rows that have the columns needed, these as text; missing values are None."""
    table = read_table(path, needed)
    for column in needed:
        if column not in table.columns:
            raise UserError(
                f"{path} has no column {column!r}",
                f"its columns are {', '.join(map(str, table.columns))}",
                "name one of these, or add the column",
            )
    if table.empty:
        raise UserError(f"{path} has no rows", "there is nothing in it to work on", "name a file with rows")
    clean = table.astype(object).where(table.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in clean.to_dict("records")]


def check_target(path: Path) -> None:
    """Raise UserError unless a file of a known kind can be written there; nothing is written."""
    _check_ending(path)
    store.check_writable(str(path.parent))


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows to a file of the kind that its ending names."""
    import pandas as pd

    check_target(path)
    if path.suffix == ".jsonl":
        store.write_jsonl(path, rows)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(intake.mend(list(rows)))
    if path.suffix == ".csv":
        write_csv(path, table, numbers=None)
    else:
        with store.renamed(path) as scratch:
            table.to_parquet(scratch, index=False)


def _check_ending(path: Path) -> None:
    if path.suffix not in ENDINGS:
        raise UserError(
            f"{path} is of no known kind", f"files end in {', '.join(ENDINGS)}", "rename it or choose another"
        )
