"""What is asked: the grid, probes beside it, suites from outside, and the standard checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from warmgap.errors import UserError
from warmgap.evaluate.suites.base import Prompt, Suite
from warmgap.evaluate.suites.grid import Grid
from warmgap.evaluate.suites.probe import Probe
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import config, plugins
from warmgap.settings.schema import Run
from warmgap.words import CELL_COLUMNS, EFFECT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from warmgap.evaluate.stats import Analysis

SUITES: dict[str, type[Suite]] = {"grid": Grid}


class Silence(Suite):
    """What is asked of the run's items where only probes are: nothing."""

    def dialogues(self, items: Sequence[Item]) -> list[Prompt]:
        """Return none."""
        return []

    def analyze(self, answers: pd.DataFrame, *, reference: str, bootstrap: int) -> Analysis:
        """Return tables without rows."""
        import pandas as pd

        from warmgap.evaluate.stats import Analysis

        return Analysis(pd.DataFrame(columns=EFFECT_COLUMNS), pd.DataFrame(columns=CELL_COLUMNS), [])


def table() -> dict[str, type[Suite]]:
    """Return the suites by name, ours and those from outside."""
    return plugins.table("suites", {**SUITES, **_ours()})


def _ours() -> dict[str, type[Suite]]:
    """Our probes, in the order of the page: they read replies as the judges do, and these import suites."""
    from warmgap.evaluate.suites.probes import care, drift, knows_better, pressure, rebound, social

    kinds = (
        pressure.Pressure,
        knows_better.KnowsBetter,
        care.Care,
        rebound.Rebound,
        drift.Drift,
        social.Social,
    )
    return {kind.name: kind for kind in kinds}


def make(run: Run) -> Suite:
    """Return the suite that a run puts to its items, which is judged; there is one at most.

    Raises UserError for a name that none has, for options that a suite lacks, and for two of this kind.
    """
    found = {name: suite for name, suite in _chosen(run).items() if not isinstance(suite, Probe)}
    if len(found) > 1:
        why = "each asks the run's items, and their answers would stand in one table"
        raise UserError(f"suites {' and '.join(found)} in one run", why, "a run for each of them")
    return next(iter(found.values()), Silence(run, None))


def probes_of(run: Run) -> dict[str, Probe]:
    """Return the suites of a run that bring items and measures of their own, by name."""
    return {name: suite for name, suite in _chosen(run).items() if isinstance(suite, Probe)}


def names_of_probes() -> list[str]:
    """Return the names of all suites that bring items and measures of their own."""
    return [name for name, kind in table().items() if issubclass(kind, Probe)]


def _chosen(run: Run) -> dict[str, Suite]:
    known = table()
    found: dict[str, Suite] = {}
    for name, given in run.suite.items():
        if name not in known:
            raise UserError(f"no suite {name!r}", f"the suites are {', '.join(known)}", "name one of them")
        kind = known[name]
        options: Any = config.made(kind.Options, given or {}, f"suite.{name}")
        found[name] = kind(run, options)
    return found
