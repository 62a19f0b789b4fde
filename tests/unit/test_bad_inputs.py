"""Every bad input of the corpus is answered in three lines that name the fault, with status 2, and leaves nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import bad_inputs
import pytest

LEAST = 500
ROWS = [pytest.param(row, id=f"{file}-{number}-{row['kind']}") for file, number, row in bad_inputs.rows()]


@pytest.mark.parametrize("row", ROWS)
def test_a_bad_input_is_answered_in_three_lines_and_leaves_nothing(row: dict[str, Any]) -> None:
    ended = bad_inputs.run(row)
    assert not bad_inputs.fault(row, ended), f"{row['typed']}\nexpected: {row['error']}\n{ended}"


def test_there_are_many_of_each_kind_and_none_twice() -> None:
    rows = [row for _, _, row in bad_inputs.rows()]
    assert len(rows) >= LEAST
    seen = Counter(str((row["typed"], row.get("files"))) for row in rows)
    assert max(seen.values()) == 1, [row for row, count in seen.items() if count > 1]
    assert min(Counter(row["kind"] for row in rows).values()) >= 5
