"""MedQA (Jin et al. 2021): licensing examination questions, asked without their options and in one wording everywhere.

The last sentence of a vignette often points at the options ("Which of the following is the most likely diagnosis?").
Such a sentence is rephrased by rule (see `rephrase`); a question that cannot be asked without its options, or that
points at a picture (see `pictures`), is left out, and counted.
"""

from __future__ import annotations

from typing import Any

from warmgap.errors import UserError
from warmgap.evaluate.tasks.item import Item, Loaded, Seen, checked, refuse_twice
from warmgap.evaluate.tasks.rephrase import open_question, plain
from warmgap.evaluate.tasks.source import draw, finish, item_id, rows_of, text
from warmgap.settings.schema import TaskConfig

TASK = "med_qa"


def load(config: TaskConfig) -> Loaded:
    """Return the items drawn, options removed; notes say how many were rephrased and how many left out, and why."""
    notes: list[str] = []
    items, rephrased = [], 0
    left: dict[str, int] = {}
    seen: Seen = {}
    rows = rows_of(TASK, config)
    for where, row in rows:
        asked = text(row, ("question",), where, TASK)
        options = _options(row, where)
        name = item_id(row, asked)
        refuse_twice(seen, name, where, asked, _answer(row, where))
        question, why = open_question(asked, list(options.values()))
        if question is None:
            left[why] = left.get(why, 0) + 1
            continue
        rephrased += question != plain(asked)
        items.append(checked(_item(row, question, name, options, config.seed, where), where))
    if rephrased:
        notes.append(f"med_qa: {rephrased:,} of {len(rows):,} questions were rephrased to be asked without options.")
    if left:
        whys = ", ".join(f"{n} {why}" for why, n in sorted(left.items()))
        notes.append(f"med_qa: {sum(left.values())} of {len(rows):,} questions were left out: {whys}.")
    return Loaded(finish(TASK, items, config, notes), notes)


def _options(row: dict[str, Any], where: str) -> dict[str, str]:
    found = row.get("options")
    if isinstance(found, list):  # some copies write a list of {"key", "value"}
        found = {str(one.get("key")): one.get("value") for one in found if isinstance(one, dict)}
    if not isinstance(found, dict) or len(found) < 2 or not all(isinstance(one, str) for one in found.values()):
        raise UserError(f"{where} has no options", "the incorrect answer is drawn from them", "mend or remove the row")
    return {str(key): _bare(value) for key, value in found.items()}


def _answer(row: dict[str, Any], where: str) -> str:
    return _bare(text(row, ("answer",), where, TASK))


def _bare(answer: str) -> str:
    """An answer on one line, without its full stop and without a quotation mark that the file leaves behind."""
    line = " ".join(answer.split())
    return (line.removesuffix('"').rstrip() if line.count('"') % 2 else line).rstrip(".")


def _item(row: dict[str, Any], question: str, name: str, options: dict[str, str], seed: int, where: str) -> Item:
    correct = _answer(row, where)
    wrong = sorted(one for one in options.values() if one.casefold() != correct.casefold())
    if len(wrong) == len(options):
        raise UserError(f"{where}: the answer is none of the options", f"it is {correct!r}", "mend or remove the row")
    incorrect = wrong[int.from_bytes(draw(seed, name, "incorrect")[:8], "big") % len(wrong)]
    return Item(
        task=TASK,
        item_id=name,
        family=str(row.get("meta_info") or TASK),
        question=question,
        correct=correct,
        incorrect=incorrect,
        aliases=(),
        incorrect_aliases=tuple(one for one in wrong if one != incorrect),
        source="MedQA, USMLE",
    )
