"""Which judge a name stands for: one table from the names of ``conf/judge`` to classes, and what a run makes of them.

What is particular to a judge its class says (see ``base.Judge``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from warmgap.engines import client, engine_of
from warmgap.engines.base import Engine, Serving
from warmgap.engines.client import Endpoint
from warmgap.errors import UserError
from warmgap.evaluate import tasks as questions
from warmgap.evaluate.judges.base import Judge
from warmgap.evaluate.judges.cascade import CascadeJudge
from warmgap.evaluate.judges.chat_judge import PROMPT, LocalJudge, RemoteJudge
from warmgap.evaluate.judges.closed import Chooser
from warmgap.evaluate.judges.match import MatchJudge
from warmgap.settings import plugins
from warmgap.settings.identity import digest
from warmgap.settings.schema import JudgeConfig

JUDGES: dict[str, type[Judge]] = {
    "match": MatchJudge,
    "openai": RemoteJudge,
    "local": LocalJudge,
    "cascade": CascadeJudge,
}


def table() -> dict[str, type[Judge]]:
    """Return the judges by name, ours and those from outside. Raises UserError for one that is no judge."""
    found: dict[str, Any] = plugins.table("judges", JUDGES)
    for name, judge in found.items():
        if not (isinstance(judge, type) and issubclass(judge, Judge)):
            why = f"{judge!r} is no subclass of warmgap.evaluate.judges.base.Judge"
            raise UserError(f"judge {name!r} cannot be used", why, "offer a class that is one")
    return found


def of(name: str) -> type[Judge]:
    """Return the class of a judge. Raises UserError for a name that none has."""
    known = table()
    if name not in known:
        raise UserError(f"no judge {name!r}", f"the judges are {', '.join(known)}", "name one of them")
    return known[name]


class Judges:
    """The judges of one run. The endpoint with its meter, and the local model, are made once and shared by all arms.

    ``batch_journal`` keeps what was handed in to a batch API. Raises UserError for settings that cannot work.
    """

    def __init__(self, config: JudgeConfig, device: str, batch_journal: Path) -> None:
        self.config, self._device, self.batch_journal = config, device, batch_journal
        check(config)
        self._endpoint = Endpoint(config, "judge") if any(of(name).endpoint for name in names(config)) else None

    def build(self, name: str) -> Judge:
        """Return the judge of that name; the files of one from outside are part of what decides its verdicts."""
        judge = of(name).made(self)
        if judge.name != name:
            raise UserError(f"judge {name!r} calls itself {judge.name!r}", "verdicts are kept by name", "give it one")
        if owed := plugins.origin("judges", name):
            judge.params = {**getattr(judge, "params", {}), "plugin": digest(owed, 12)}
        return judge

    def model(self, name: str) -> Chooser:
        """Return the chat model behind a judge. Raises UserError where there is none."""
        model = of(name).chooser(self)
        if model is None:
            raise UserError(
                f"judge {name} is no chat model", "it is asked nothing", f"judge={' or judge='.join(chat_models())}"
            )
        return model

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of the run's judges."""
        if self._endpoint is None:
            raise UserError("no judge has an endpoint", "the run names other judges", "set judge=openai")
        return self._endpoint

    def costs(self, judge: Judge | Chooser, path: Path, stage: str = "grading") -> AbstractContextManager[None]:
        """Add to ``path`` what a paid judge came to in this block, however it ends."""
        if not judge.paid or self._endpoint is None:
            return nullcontext()
        return client.costs_noted(self._endpoint.meter, path, self._made(judge.name, stage))

    def remember(self, paths: Iterable[Path], stage: str = "grading") -> None:
        """Let what earlier commands have spent on these verdicts count in the cap."""
        if self._endpoint is not None:
            for path, name in product(paths, sorted(names(self.config))):
                self._endpoint.meter.remember(path, self._made(name, stage))

    def _made(self, name: str, stage: str) -> dict[str, Any]:
        return {"stage": stage, "judge": name, "model": self.config.model}

    @cached_property
    def local(self) -> Engine:
        """The chat model on this machine."""
        if self.config.local_model is None:
            raise ValueError("judge.local_model is not set")
        return engine_of(Serving(self.config.local_model, self._device))


def names(config: JudgeConfig) -> set[str]:
    """Return every judge that a run asks."""
    found: set[str] = set()
    waiting = [name for name in (config.name, config.second) if name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += of(name).asks(config)
    return found


def chat_models() -> list[str]:
    """Return the judges that are chat models."""
    return [name for name, judge in table().items() if judge.chat]


def unfit(name: str, tasks: Iterable[str]) -> list[str]:
    """Return those of the tasks of which a judge cannot be the only one; none for a judge that is not here."""
    judge, known = table().get(name), questions.table()
    if judge is None or not judge.short_facts:
        return []
    return [task for task in tasks if task not in known or not known[task].short_facts]


def check(config: JudgeConfig, tasks: Collection[str] = ()) -> None:
    """Raise UserError for settings with which a judge of the run could not work, or not on these tasks."""
    if (left := unfit(config.name, tasks)) and not config.unfit:
        fit = ", ".join(name for name, task in questions.table().items() if task.short_facts)
        why = f"it agrees with a strong judge on few answers of {', '.join(left)}; it is fit for {fit}"
        fix = "judge=openai judge.model=NAME-DATE, or judge=cascade; judge.unfit=true takes it as it is"
        raise UserError(f"judge={config.name} cannot be the only judge of {', '.join(left)}", why, fix)
    asked = [of(name) for name in sorted(names(config))]
    for judge in asked:
        judge.check(config)
        if deaf := [other for other in judge.asks(config) if not of(other).chat]:
            why = f"judge={judge.name} needs a chat model for what its rules cannot decide"
            fix = f"set judge.rest to {' or '.join(chat_models())}"
            raise UserError(f"judge.rest={deaf[0]} decides nothing", why, fix)
    if strange := set(config.options) - {option for judge in asked for option in judge.options}:
        why = f"no judge of the run takes it: {', '.join(sorted(names(config)))}"
        raise UserError(f"judge.options has {min(strange)!r}", why, "leave it out")


def notes(config: JudgeConfig, tasks: Collection[str]) -> list[str]:
    """Return what a reader of the verdicts has to know of their judge."""
    found = []
    if left := unfit(config.name, tasks):
        found.append(
            f"judge={config.name} is not fit for {', '.join(left)} (judge.unfit=true): these errors are no measurement."
        )
    if config.shown == PROMPT and any(of(name).chat for name in names(config)):
        found.append("The judge was shown the user's whole message: it is not blind to context and belief.")
    return found
