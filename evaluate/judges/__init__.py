"""Which judge a name stands for: one table from the names of ``conf/judge`` to the code."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path

from warmgap.engines import client, engine_of
from warmgap.engines.base import Engine, Serving
from warmgap.engines.client import Endpoint
from warmgap.errors import UserError
from warmgap.evaluate.judges.base import Judge, MatchJudge, unfit
from warmgap.evaluate.judges.cascade import CascadeJudge
from warmgap.evaluate.judges.chat_judge import PROMPT, ChatJudge
from warmgap.evaluate.judges.closed import Chooser, Local, Remote
from warmgap.settings.schema import JudgeConfig

ASKED = ("openai", "local")  # judges that are chat models
FIT = MatchJudge.FIT


class Judges:
    """The judges of one run. The endpoint with its meter, and the local model, are made once and shared by all arms.

    ``batch_journal`` keeps what was handed in to a batch API. Raises UserError for settings that cannot work.
    """

    def __init__(self, config: JudgeConfig, device: str, batch_journal: Path) -> None:
        self.config, self._device, self._batch_journal = config, device, batch_journal
        check(config)
        self._endpoint = Endpoint(config, "judge") if "openai" in names(config) else None

    def build(self, name: str) -> Judge:
        """Return the judge of that name."""
        if name == "match":
            return MatchJudge(self.config.window)
        if name in ASKED:
            return ChatJudge(self.model(name), self.config.shown)
        if name == "cascade":
            return CascadeJudge(self.build(str(self.config.rest)), self.config.overlap, self.config.window)
        known = "match, openai, local, cascade"
        raise UserError(f"no judge {name!r}", f"the judges are {known}", "name one of them")

    def model(self, name: str) -> Chooser:
        """Return the chat model behind a judge: ``openai`` or ``local``."""
        if name == "local":
            return Local(self._local)
        if self._endpoint is None:
            raise UserError("judge openai is not set up", "the run names other judges", "set judge=openai")
        return Remote(self.config, self._endpoint, self._batch_journal)

    def costs(self, judge: Judge | Chooser, path: Path, stage: str = "grading") -> AbstractContextManager[None]:
        """Add to ``path`` what a paid judge came to in this block, however it ends."""
        if not judge.paid or self._endpoint is None:
            return nullcontext()
        made = {"stage": stage, "judge": judge.name, "model": self.config.model}
        return client.costs_noted(self._endpoint.meter, path, made)

    @cached_property
    def _local(self) -> Engine:
        if self.config.local_model is None:
            raise _no_local_model()
        return engine_of(Serving(self.config.local_model, self._device))


def names(config: JudgeConfig) -> set[str]:
    """Return every judge that a run asks."""
    named = {config.name, config.second} - {None}
    if "cascade" in named:
        named.add(config.rest)
    return {str(name) for name in named}


def check(config: JudgeConfig, tasks: Collection[str] = ()) -> None:
    """Raise UserError for settings with which a judge of the run could not work, or not on these tasks."""
    asked = names(config)
    if (left := unfit(config.name, tasks)) and not config.unfit:
        why = f"it agrees with a strong judge on few answers of {', '.join(left)}; it is fit for {', '.join(FIT)}"
        fix = "judge=openai judge.model=NAME-DATE, or judge=cascade; judge.unfit=true takes it as it is"
        raise UserError(f"judge={config.name} cannot be the only judge of {', '.join(left)}", why, fix)
    if "cascade" in asked and config.rest not in ASKED:
        why = "a cascade needs a chat model for what its rules cannot decide"
        raise UserError(f"judge.rest={config.rest} decides nothing", why, f"set judge.rest to {' or '.join(ASKED)}")
    if not 0 <= config.overlap <= 1:
        raise UserError(f"judge.overlap={config.overlap} makes no sense", "expected a share", "set it from 0 to 1")
    if "openai" in asked:
        client.check(config, "judge")
    if "local" in asked and config.local_model is None:
        raise _no_local_model()


def notes(config: JudgeConfig, tasks: Collection[str]) -> list[str]:
    """Return what a reader of the verdicts has to know of their judge."""
    found = []
    if left := unfit(config.name, tasks):
        found.append(
            f"judge={config.name} is not fit for {', '.join(left)} (judge.unfit=true): these errors are no measurement."
        )
    if config.shown == PROMPT and names(config) & set(ASKED):
        found.append("The judge was shown the user's whole message: it is not blind to context and belief.")
    return found


def _no_local_model() -> UserError:
    fix = "+model@judge.local_model=smollm2_135m"
    return UserError("judge.local_model is not set", "judge local asks a chat model on this machine", fix)
