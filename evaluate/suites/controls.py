"""What a standard check would have seen: MMLU, GSM8K, AdvBench, StrongREJECT, HarmBench, XSTest, in thin tasks of ours.

Each control gives one outcome for each item, 0 or 1, or None where the reply does not say: ``accuracy`` (the answer is
right), ``refusal`` of a harmful request, ``over-refusal`` of a safe one.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap.disk import intake
from warmgap.errors import UserError
from warmgap.evaluate.suites.base import Prompt
from warmgap.evaluate.tasks.item import Item, Seen, refuse_twice
from warmgap.evaluate.tasks.source import Row, finish, item_id, rows_of, text
from warmgap.refusal import refuses
from warmgap.settings.conf_files import read_prompt
from warmgap.settings.schema import ControlConfig, TaskConfig
from warmgap.words import NONE

ACCURACY, REFUSAL, OVER_REFUSAL = "accuracy", "refusal", "over-refusal"
LETTERS = "ABCD"
PREFIX = "control-"  # of the journals of answers


@dataclass(frozen=True)
class ControlItem:
    """One request with its ``gold`` answer (a letter, a number, or nothing) and what its outcome measures."""

    control: str
    item_id: str
    measure: str
    prompt: str
    gold: str

    def as_prompt(self) -> Prompt:
        """The request as the grid's engine takes it: no context, no belief."""
        return Prompt(PREFIX + self.control, self.item_id, self.measure, NONE, "", NONE, self.prompt)


def load(name: str, config: ControlConfig) -> list[ControlItem]:
    """Return the items drawn from a control. Raises UserError where its source cannot be read."""
    if name not in LOADERS:
        raise UserError(f"control {name!r} is not known", f"the controls are {', '.join(LOADERS)}", "name one of them")
    source = TaskConfig(
        config.path, config.id, config.revision, config.subset, config.split, config.sample, config.seed
    )
    found = LOADERS[name](name, source)
    seen: Seen = {}
    for item, _, where in found:
        refuse_twice(seen, item.item_id, where, item.prompt, item.gold, item.measure)
    # what draws a sample for the tasks draws it here: the family is what the draw keeps in proportion
    items = [Item(name, c.item_id, family, c.prompt, "1", "0", (), (), "") for c, family, _ in found]
    kept = {item.item_id for item in finish(name, items, source, [])}
    return list({c.item_id: c for c, _, _ in found if c.item_id in kept}.values())


Found = list[tuple[ControlItem, str, str]]  # with its family and the place of its row


def _mmlu(name: str, config: TaskConfig) -> Found:
    found: Found = []
    for subject, where, question, options, letter in _mmlu_rows(name, config):
        if len(options) != 4 or letter not in LETTERS:
            raise UserError(f"{where} is no MMLU row", "expected a question, four options and a letter", "mend the row")
        fields = dict(zip("abcd", options, strict=True)) | {"question": question}
        prompt = _fill(read_prompt("control_mmlu.txt"), fields)
        key = item_id({}, f"{subject}\n{question}\n{options}")
        found.append((ControlItem(name, key, ACCURACY, prompt, letter), subject, where))
    return found


def _mmlu_rows(name: str, config: TaskConfig) -> list[tuple[str, str, str, list[str], str]]:
    """Return subject, place, question, options and letter of each row of the set's own csv files, or of the hub's."""
    if config.path is None or not _headerless(Path(config.path).expanduser()):
        rows = rows_of(name, config, group="control")
        return [
            (str(row.get("subject") or name), where, text(row, ("question",), where, name),
             [str(option) for option in row["choices"]], LETTERS[int(row["answer"])])
            for where, row in rows
        ]  # fmt: skip
    path = Path(config.path).expanduser()
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    found = []
    for file in files:
        fix = "give the set's own csv files: question, four options, letter; no header"
        for number, cells in enumerate(csv.reader(io.StringIO(intake.text(file, fix))), 1):
            where = f"{file}:{number}"
            if len(cells) != 6:
                raise UserError(f"{where} has {len(cells)} columns", "expected 6", fix)
            subject = re.sub(r"_(?:test|dev|val)$", "", file.stem)
            found.append((subject, where, cells[0].strip(), cells[1:5], cells[5].strip().upper()))
    if not found:
        raise UserError(f"{path} has no rows", "there is no csv file in it", f"set control.{name}.path")
    return found


def _headerless(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".csv"


def _gsm8k(name: str, config: TaskConfig) -> Found:
    found: Found = []
    for where, row in rows_of(name, config, group="control"):
        question, worked = (text(row, (column,), where, name) for column in ("question", "answer"))
        gold = number_in(worked.rpartition("####")[2])
        if gold is None:
            raise UserError(f"{where} has no answer", "expected a number behind ####", "mend or remove the row")
        prompt = _fill(read_prompt("control_gsm8k.txt"), {"question": question})
        found.append((ControlItem(name, item_id(row, question), ACCURACY, prompt, gold), name, where))
    return found


def _advbench(name: str, config: TaskConfig) -> Found:
    found: Found = []
    for where, row in _local(name, config):
        goal = re.sub(r"\s*\[/INST\].*$", "", text(row, ("goal", "prompt"), where, name))  # of some copies of the set
        found.append((ControlItem(name, item_id({}, goal), REFUSAL, goal, ""), name, where))
    return found


def _xstest(name: str, config: TaskConfig) -> Found:
    found: Found = []
    for where, row in _local(name, config):
        prompt = text(row, ("prompt",), where, name)
        kind = str(row.get("label") or row.get("type") or "")
        safe = kind == "safe" or ("label" not in row and not kind.startswith("contrast"))
        measure = OVER_REFUSAL if safe else REFUSAL
        found.append((ControlItem(name, item_id({}, prompt), measure, prompt, ""), str(safe), where))
    return found


def _strongreject(name: str, config: TaskConfig) -> Found:
    found: Found = []
    for where, row in _local(name, config):
        prompt = text(row, ("forbidden_prompt", "prompt"), where, name)
        family = str(row.get("category") or name)
        found.append((ControlItem(name, item_id({}, prompt), REFUSAL, prompt, ""), family, where))
    return found


def _harmbench(name: str, config: TaskConfig) -> Found:
    """Each behavior as HarmBench's own direct request puts it: what it is about, a line, then the behavior."""
    found: Found = []
    for where, row in _local(name, config):
        behavior = text(row, ("Behavior", "prompt"), where, name)
        about = str(row.get("ContextString") or row.get("context") or "").strip()
        prompt = f"{about}\n\n---\n\n{behavior}" if about else behavior
        key = str(row.get("BehaviorID") or item_id({}, prompt))
        family = str(row.get("FunctionalCategory") or row.get("category") or name)
        found.append((ControlItem(name, key, REFUSAL, prompt, ""), family, where))
    return found


def _local(name: str, config: TaskConfig) -> list[tuple[str, Row]]:
    if config.path is None and not config.id:
        fix = f"set control.{name}.path to the set's own csv"
        raise UserError(f"control {name} has no source", "its path is not set", fix)
    return rows_of(name, config, group="control")


def _fill(template: str, fields: dict[str, str]) -> str:
    """Fill a prompt's fields in one pass, so that a question may hold braces."""
    return re.sub(r"\{(\w+)\}", lambda match: fields[match[1]].strip(), template)


LOADERS: dict[str, Callable[[str, TaskConfig], Found]] = {
    "mmlu": _mmlu,
    "gsm8k": _gsm8k,
    "advbench": _advbench,
    "strongreject": _strongreject,
    "harmbench": _harmbench,
    "xstest": _xstest,
}


def score(item: ControlItem, reply: str, finish_reason: str) -> tuple[float | None, str]:
    """Return the outcome of a reply (0, 1, or None where it does not say) and the reason in words."""
    if item.measure in (REFUSAL, OVER_REFUSAL):
        if not reply.strip():
            return None, "empty reply"
        found = refuses(reply)
        return float(found.refused), found.reason
    said = letter_in(reply) if item.gold in LETTERS else number_of(reply, finish_reason)
    if said is None:
        return None, "cut off before an answer" if finish_reason == "length" else "no answer found"
    return float(said == item.gold), f"says {said}, right is {item.gold}"


_LEADING = re.compile(r"^\W*(?:(?:option|answer|letter)\W+(?:is\W+)?)?([A-D])(?=$|[\s.):,;*\]-])", re.IGNORECASE)
_NAMED = re.compile(
    r"\b(?:answer|option|choice)\b[^.\n]{0,40}?\b(?:is|:)\W{0,4}(?:option\W{1,3})?\(?\**([A-D])\b(?!['’])"
)


def letter_in(reply: str) -> str | None:
    """Return the option that a reply names: its first word, or behind "answer is"; None where it names none or two.

    A leading "A" counts where it does not begin a sentence ("A patient …").
    """
    first = _LEADING.match(reply)
    if first and not (first[1] in "Aa" and re.match(r"\s+[a-z]", reply[first.end() :])) and first[1].isupper():
        return first[1]
    named = {match[1] for match in _NAMED.finditer(reply)}
    return named.pop() if len(named) == 1 else None


def number_in(said: str) -> str | None:
    """Return the last number of a text in a plain form (``1,200.0`` is ``1200``), or None."""
    found = re.findall(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|-?\.\d+", said.replace("−", "-"))
    if not found:
        return None
    value = float(found[-1].replace(",", ""))
    return f"{value:.10g}"


def number_of(reply: str, finish_reason: str) -> str | None:
    """Return the number behind the last "Answer:" or "####"; else the last number of a reply that came to its end."""
    marked = re.findall(r"(?:answer[^\w-]{0,6}(?:is)?[^\w-]{0,6}|####)\s*\$?\s*(-?[\d,]*\.?\d+)", reply, re.IGNORECASE)
    if marked:
        return number_in(marked[-1])
    return None if finish_reason == "length" else number_in(reply)


def scored(items: Sequence[ControlItem], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each answer with its outcome, and what stands beside every figure: length and truncation."""
    found = []
    for item, row in zip(items, rows, strict=True):
        failed = row.get("failed")
        outcome, reason = (None, failed) if failed else score(item, row["answer"], row["finish_reason"])
        place = {"control": item.control, "measure": item.measure, "item_id": item.item_id}
        beside = {"finish_reason": row["finish_reason"], "n_chars": row["n_chars"]}
        found.append({**place, "outcome": outcome, "reason": reason, **beside})
    return found
