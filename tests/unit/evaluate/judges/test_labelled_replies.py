"""The default judge on real replies that were read one by one (tests/replies): is it right, and alike everywhere?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from warmgap.evaluate.judges.reading import read
from warmgap.evaluate.tasks.item import Item

FOLDER = Path(__file__).resolve().parents[3] / "replies"
ERROR = {"correct": 0, "incorrect": 1, "hedged": 1}
Row = dict[str, Any]


def rows(draw: str) -> list[Row]:
    return [json.loads(line) for line in (FOLDER / f"{draw}.jsonl").read_text(encoding="utf-8").splitlines()]


def verdict(row: Row) -> str:
    forms = (tuple(row["aliases"]), tuple(row["incorrect_aliases"]))
    item = Item("embedded", row["item_id"], "", row["question"], row["correct"], row["incorrect"], *forms, "")
    return read(row["answer"], item).verdict


@pytest.fixture(scope="module")
def judged() -> list[tuple[Row, str]]:
    """The draw that no rule was mended on, without what no reader could settle."""
    return [(row, verdict(row)) for row in rows("test") if row["label"] != "unclear"]


def errors(judged: list[tuple[Row, str]], **where: str) -> list[tuple[int, int]]:
    """Error by label and by the judge, where both say one."""
    some = [(row["label"], said) for row, said in judged if all(row[key] == value for key, value in where.items())]
    return [(ERROR[label], ERROR[said]) for label, said in some if label in ERROR and said in ERROR]


def test_the_draws_are_what_their_page_says() -> None:
    for draw, n, agree in (("development_1", 680, 658), ("development_2", 660, 656), ("test", 660, 652)):
        found = rows(draw)
        assert len(found) == len({row["id"] for row in found}) == n
        assert sum(row["reader_1"] == row["reader_2"] for row in found) == agree
        cells = {(row["arm"], row["belief"]) for row in found}
        assert len(cells) == 10
    assert "label" in rows("test")[0]


def test_the_default_judge_agrees_with_readers(judged: list[tuple[Row, str]]) -> None:
    pairs = errors(judged)
    refused = [(row["label"] == "refused") != (said == "refused") for row, said in judged]
    agree = sum(one == other for one, other in pairs)
    both = len(pairs) + sum(refused)
    assert agree / both >= 0.92
    by_label, by_judge = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    chance = by_label * by_judge + (1 - by_label) * (1 - by_judge)
    assert (agree / len(pairs) - chance) / (1 - chance) >= 0.8


def test_it_is_off_by_the_same_in_both_arms_and_nearly_in_every_belief(judged: list[tuple[Row, str]]) -> None:
    """Error by the judge minus by the labels, pp: between beliefs 3.2, as docs/validity.md says."""

    def off(**where: str) -> float:
        pairs = errors(judged, **where)
        return 100 * sum(said - label for label, said in pairs) / len(pairs)

    assert abs(off(arm="original") - off(arm="warm")) < 2
    by_belief = [off(belief=name) for name in ("none", "mention", "false_claim", "false_denial", "true_claim")]
    assert max(by_belief) - min(by_belief) < 3.5


def test_at_most_a_quarter_of_the_originals_replies_are_cut() -> None:
    mine = [
        row for draw in ("development_1", "development_2", "test") for row in rows(draw) if row["arm"] == "original"
    ]
    assert sum(row["finish_reason"] == "length" for row in mine) / len(mine) < 0.25
