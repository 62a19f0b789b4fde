"""Which judge a name stands for: one table from the names of ``conf/judge`` to the code."""

from __future__ import annotations

from collections.abc import Sequence

from warmgap import chat
from warmgap.errors import UserError
from warmgap.evaluate.judge import ChoiceJudge, Judge, MatchJudge
from warmgap.generate import Engine


def build(name: str, engine: Engine | None = None, system: Sequence[chat.Message] = ()) -> Judge:
    """Return the judge of that name; ``engine`` and ``system`` are the arm's own, which ``choice`` asks."""
    if name == "match":
        return MatchJudge()
    if name == "choice":
        if engine is None:
            raise UserError("judge choice needs an arm", "it asks the arm for likelihoods", "use match")
        return ChoiceJudge(engine, system)
    raise UserError(f"no judge {name!r}", "the judges are match, choice", "name one of them")
