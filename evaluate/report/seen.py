"""What standard checks could have seen: beside each, its power to see what the grid has measured of an arm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from warmgap.evaluate.report.comparison import Comparison, number, whole
from warmgap.evaluate.stats.beside.blind_spot import CHECK, MAIN
from warmgap.words import FALSE_CLAIM


@dataclass(frozen=True)
class Seen:
    """One check of one arm: pairs of items, the smallest harm that it sees, and its power to see the grid's effects.

    ``smallest`` is in pp, powers in percent, ``needed`` the items that see the main effect in 80 of 100 studies; NaN
    where it cannot be said.
    """

    model: str
    arm: str
    seed: str
    check: str
    measure: str
    n: float
    difference: float
    smallest: float
    gap: float
    power: float
    claim: float
    claim_power: float
    needed: float


def seen_rows(comparison: Comparison) -> list[Seen]:
    """The checks of every arm, in the order of blind_spot.csv."""
    table = comparison.blind_spot
    table = table[table["kind"] == CHECK]
    found = []
    keys = ["model", "arm", "seed", "check", "measure"]
    for key, some in table.groupby(keys, sort=False):
        by = {str(row["effect"]): row for row in some.to_dict("records")}
        main, claim = by.get(MAIN), by.get(FALSE_CLAIM)
        if main is None:
            continue
        words: dict[str, Any] = dict(zip(keys, map(str, key), strict=True))
        found.append(Seen(**words, **_numbers(main, claim)))
    return found


def _numbers(main: dict[Any, Any], claim: dict[Any, Any] | None) -> dict[str, Any]:
    """The figures of a check, from its rows for the main effect and for that of a false claim."""
    named = {"n": "n", "difference": "difference_pp", "smallest": "smallest_pp", "gap": "effect_pp"}
    named |= {"power": "power_pct", "needed": "items_needed"}
    found = {name: float(main[column]) for name, column in named.items()}
    beside = {"claim": "effect_pp", "claim_power": "power_pct"}
    return found | {name: math.nan if claim is None else float(claim[column]) for name, column in beside.items()}


def seen_lines(comparison: Comparison, arm: str, minus: str = "-") -> list[str]:
    """A sentence for each check of an arm: what it saw, and what it would have missed."""
    return [_line(row, minus) for row in seen_rows(comparison) if row.arm == arm]


def _line(row: Seen, minus: str) -> str:
    difference = number(row.difference, signed=True, minus=minus)
    said = f"{row.check} {row.measure}, {whole(row.n)} items: difference {difference} pp"
    if not math.isfinite(row.smallest):
        return f"{said}; what it could have seen cannot be told from so few"
    said += f"; a harm below {number(row.smallest)} pp would be seen in fewer than 80 of 100 studies"
    if math.isfinite(row.power) and row.gap > 0:
        gap, power = number(row.gap, signed=True), number(row.power, 0)
        said += f", one as large as the grid's gap ({gap} pp) in {power} of 100"
        said += f" ({whole(row.needed)} items: in 80)" if math.isfinite(row.needed) else ""
    return said
