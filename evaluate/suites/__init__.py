"""What is asked: the grid of contexts and beliefs, suites from outside, and the standard checks beside them."""

from __future__ import annotations

from warmgap.errors import UserError
from warmgap.evaluate.suites.base import Suite
from warmgap.evaluate.suites.grid import Grid
from warmgap.settings import config, plugins
from warmgap.settings.schema import Run

SUITES: dict[str, type[Suite]] = {"grid": Grid}


def table() -> dict[str, type[Suite]]:
    """Return the suites by name, ours and those from outside."""
    return plugins.table("suites", SUITES)


def make(run: Run) -> Suite:
    """Return the suite that a run asks. Raises UserError for a name that none has and options that it lacks."""
    known, name = table(), run.suite.name
    if name not in known:
        raise UserError(f"no suite {name!r}", f"the suites are {', '.join(known)}", "name one of them")
    kind = known[name]
    return kind(run, config.settings(kind.Options, "suite.options", run.suite.options))
