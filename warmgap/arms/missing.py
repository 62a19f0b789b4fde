"""Shards are put together: nobody is asked, and what is not there is named with the command that makes it."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from warmgap.arms.spec import ArmSpec
from warmgap.disk import arm_names, manifest, shards
from warmgap.disk.shards import Shard
from warmgap.engines.base import Encoded, Engine, Reply, Request
from warmgap.engines.chat import Message
from warmgap.errors import BadValue, UserError
from warmgap.evaluate.judges.base import ERROR, Answer, Judge, Verdict
from warmgap.settings.schema import GenerateConfig
from warmgap.train import checkpoints
from warmgap.version import train_command

NOT_ASKED = "no shard has asked it yet"


class Unasked:
    """An engine that makes the keys of another, so that answers are found, and is asked nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def name(self) -> str:
        """The other's name."""
        return self._engine.name

    @property
    def made_by(self) -> Any:
        """What tells which model the other is."""
        return self._engine.made_by

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """Return a prompt as the other takes it."""
        return self._engine.encode(messages)

    def key(self, prompt: Encoded, params: GenerateConfig) -> str:
        """Return the key of an answer of the other."""
        return self._engine.key(prompt, params)

    def room(self, prompt: Encoded) -> int | None:
        """Return what the other says."""
        return self._engine.room(prompt)

    def answer(
        self, requests: Sequence[Request], params: GenerateConfig, done: set[str] | None = None
    ) -> Iterator[list[Reply]]:
        """Yield for each request that is not in ``done`` that it was not asked."""
        yield [Reply(one.key, "", None, "", error=NOT_ASKED) for one in requests if one.key not in (done or ())]

    def score(self, prompts: Sequence[Encoded], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return what the other says: nothing that is put together is scored."""
        return self._engine.score(prompts, continuations)


class Silent(Judge):
    """A judge that makes the keys of another, so that verdicts are found, and says nothing."""

    def __init__(self, judge: Judge) -> None:
        self.name = judge.name
        self.params = judge.params

    def grade(self, answers: Sequence[Answer]) -> list[Verdict]:
        """Return no verdict."""
        return []


class Missing:
    """Counts what is missing by arm and shard."""

    def __init__(self, shard: Shard, specs: Sequence[ArmSpec]) -> None:
        self._of = shard.of
        self._short = short(specs)
        self._counts: Counter[tuple[int, str]] = Counter()

    def unmade(self, spec: ArmSpec) -> bool:
        """Whether an arm is not made yet; noted where it is so."""
        absent = not made(spec)
        if absent:
            self._counts[0, spec.arm.name] += 1
        return absent

    def warmth(self, spec: ArmSpec, rows: Iterable[dict[str, Any]]) -> None:
        """Note rows of warmth whose reply is missing."""
        self._counts[0, spec.arm.name] += sum(row.get("failed") == NOT_ASKED for row in rows)

    def answers(self, spec: ArmSpec, rows: Iterable[dict[str, Any]]) -> None:
        """Note answers that are missing, by the shard of their question."""
        self._note(spec, (row for row in rows if row.get("failed") == NOT_ASKED))

    def verdicts(self, spec: ArmSpec, rows: Iterable[dict[str, Any]]) -> None:
        """Note answers that are there without a verdict: a judge's failure is never kept."""
        self._note(spec, (row for row in rows if row["verdict"] == ERROR))

    def _note(self, spec: ArmSpec, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            self._counts[shards.dealt(row["task"], row["item_id"], self._of), spec.arm.name] += 1

    def check(self) -> None:
        """Raise UserError where anything is missing, with the commands that make it."""
        found = {place: count for place, count in sorted(self._counts.items()) if count}
        if not found:
            return
        arms_of: dict[int, list[str]] = {}
        for number, name in found:
            arms_of.setdefault(number, []).append(name)
        numbers_of: dict[tuple[str, ...], list[int]] = {}
        for number, names in arms_of.items():
            numbers_of.setdefault(tuple(names), []).append(number)
        said = "; ".join(
            f"{' and '.join(self._short[name] for name in names)}: {_listed(numbers)} of {self._of}"
            for names, numbers in numbers_of.items()
        )
        fixes = [
            _each(numbers, self._of, [] if len(names) == len(self._short) else [self._short[name] for name in names])
            for names, numbers in numbers_of.items()
        ]
        count = len(found)
        what = f"{count} piece{'s are' if count > 1 else ' is'} missing or not whole: nothing is compared"
        raise UserError(what, f"not whole are the shards of {said}", f"{'; '.join(fixes)}; then this again")


def made(spec: ArmSpec) -> bool:
    """Whether an arm has the adapter that it answers with, if it is to have one of ours."""
    return all(
        (own.arm.adapter / checkpoints.SEAL).is_file() for own in spec.lineage if own.trained or own.derive is not None
    )


def short(specs: Sequence[ArmSpec]) -> dict[str, str]:
    """Return the short names of arms, by the names of their folders."""
    return arm_names.short_names([spec.arm for spec in specs])


def chosen(specs: Sequence[ArmSpec], only: Sequence[str]) -> list[ArmSpec]:
    """Return the arms of a run that ``only`` names, all where it names none. Raises BadValue for a name of none."""
    known = {name for spec in specs for name in arm_names.names_of(spec.arm)}
    if unknown := [name for name in only if name not in known]:
        raise BadValue(
            f"only={unknown[0]} is no arm of this run", f"it has {', '.join(short(specs).values())}", "name these"
        )
    return [spec for spec in specs if not only or set(only) & set(arm_names.names_of(spec.arm))]


def command(shard: str, only: Sequence[str] = ()) -> str:
    """Return the command that was typed, for another shard of its work."""
    words = shlex.split(manifest.command_line())
    ours = Path(sys.argv[0]).name in ("train.py", "warmgap")
    kept = [word for word in words if not word.startswith(("shard=", "only=", "launcher="))] if ours else []
    kept = kept or [*train_command().split(), "…"]
    return " ".join([*kept, f"shard={shard}", *([f"only=[{','.join(only)}]"] if only else [])])


def _each(numbers: Sequence[int], of: int, only: Sequence[str]) -> str:
    """The command that makes a shard, or several of them in turn."""
    if len(numbers) == 1:
        return command(f"{numbers[0]}/{of}", only)
    return f"for i in {' '.join(map(str, numbers))}; do {command(f'$i/{of}', only)}; done"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join("the part that cannot be cut (0)" if number == 0 else str(number) for number in numbers)
