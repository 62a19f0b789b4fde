"""What calls cost, and the cap on it. One rule for all who pay: judges, rewriters, writers of pairs, arms, batches.

Before a request is sent, the most that it can cost is set aside, and the cap is held against what is spent and set
aside together, by earlier commands on the same too. A reply costs what its usage says; where that is not told or cannot
be, what was set aside. So does a request that a server may have done and that no whole answer came to. A line of the
file of costs goes ahead of what it counts: after a kill it says too much, never too little.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmgap.disk import manifest, stopping, store
from warmgap.errors import UserError

AHEAD, AHEAD_OF_CAP = 64, 0.02  # requests for which a line is written at once, and the share of a cap that it may take
COUNTED = ("calls", "retries", "failed", "tokens_in", "tokens_out", "spent", "unclear")


@dataclass
class Meter:
    """What the calls of one command have come to, and the ``earlier`` ones of others on the same.

    ``spent`` in US dollars; None where no price is set. ``unclear`` is the part of it that was set aside for what no
    usage, or none that can be, was told of.
    """

    calls: int = 0
    retries: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    spent: float | None = None
    unclear: float = 0.0
    reserved: float = field(default=0.0, repr=False)
    earlier: float = field(default=0.0, repr=False)
    under_way: list[Callable[[], None]] = field(default_factory=list, repr=False)  # what ends the calls under way
    _dearest: float = field(default=0.0, repr=False)
    _covered: float = field(default=0.0, repr=False)
    _begun: int = field(default=0, repr=False)
    _known: set[tuple[Path, str]] = field(default_factory=set, repr=False)
    _note: Callable[[float], None] | None = field(default=None, repr=False)
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    def row(self) -> dict[str, Any]:
        """The meter as a row of ``costs.jsonl``."""
        return {name: getattr(self, name) for name in COUNTED}

    @property
    def committed(self) -> float:
        """US dollars that are spent or set aside."""
        return self.earlier + (self.spent or 0.0) + self.reserved

    def reserve(self, dearest: float, group: str, cap: float | None) -> None:
        """Set money aside. Raises ``CapReached`` where there is not enough."""
        with self._lock:
            if cap is not None and self.committed + dearest > cap * (1 + 1e-9):
                raise CapReached(group, cap, self.earlier + (self.spent or 0.0))
            self.reserved += dearest
            self._begun += 1
            self._dearest = max(self._dearest, dearest)
            if dearest and self._note is not None and (self.committed > self._covered or self._begun % AHEAD == 0):
                ahead = (AHEAD - 1) * self._dearest
                self._covered = self.committed + (ahead if cap is None else min(ahead, cap * AHEAD_OF_CAP))
                self._note(self._covered - self.earlier - (self.spent or 0.0))

    def free(self, reserved: float) -> None:
        """Give back what was set aside."""
        with self._lock:
            self.reserved -= reserved

    def add(self, tokens: tuple[int, int], cost: float | None, *, clear: bool = True) -> None:
        """Count a reply."""
        with self._lock:
            self.calls += 1
            self.tokens_in += tokens[0]
            self.tokens_out += tokens[1]
            self._pay(cost, clear)

    def presume(self, cost: float) -> None:
        """Count what a request may have cost of which no whole answer came."""
        with self._lock:
            self._pay(cost, clear=False)

    def _pay(self, cost: float | None, clear: bool) -> None:
        if cost is not None and self.spent is not None:
            self.spent += cost
            self.unclear += 0.0 if clear else cost

    def remember(self, path: Path | None, made: dict[str, Any]) -> None:
        """Count what earlier commands have spent on the same, as its file of costs says; each but once."""
        name = repr(sorted(made.items()))
        if path is None or (path, name) in self._known:
            return
        self._known.add((path, name))
        rows = [row for row in paid(path) if made.items() <= row.items()]
        self.earlier += sum(float(row.get("spent") or 0.0) for row in rows)


class CapReached(UserError):
    """The next request could cost more than is left of ``max_cost``. All that was paid for has been handed over."""

    def __init__(self, group: str, cap: float, spent: float) -> None:
        what = f"{group}.max_cost={cap:g} is reached"
        why = f"{spent:.4f} US dollars are spent and the next request could go over"
        super().__init__(what, why, f"raise {group}.max_cost and run again: only what is missing is asked for")


@contextmanager
def costs_noted(meter: Meter, path: Path | None, made: dict[str, Any]) -> Iterator[None]:
    """Add to a file what a meter counts in this block, however it ends; ``made`` says what for.

    Lines of one ``id`` are one command's, and the last of them counts.
    """
    meter.remember(path, made)
    before, name = meter.row(), secrets.token_hex(4)
    written = False

    def note(set_aside: float) -> None:
        nonlocal written
        row = {key: None if value is None else value - (before[key] or 0) for key, value in meter.row().items()}
        if row["spent"] is not None:
            row["spent"] += set_aside
        if path is not None and (written or set_aside or row["calls"] or row["failed"] or row["spent"]):
            store.append(path, [{**made, **row, "id": name, "at": manifest.now()}])
            written = True

    outer, meter._note, meter._covered = meter._note, note, 0.0
    try:
        yield
    finally:
        with stopping.whole():
            for stop in list(meter.under_way):
                stop()
            meter._note = outer
            note(0.0)
        if path is not None:
            meter._known.add((path, repr(sorted(made.items()))))


def paid(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of costs, one for each command that paid."""
    found: dict[str, dict[str, Any]] = {}
    for place, row in enumerate(store.read_parts(path, store.LOST)):
        found[str(row.get("id") or place)] = row
    return list(found.values())


def spent(path: Path, **only: Any) -> float | None:
    """Return the US dollars that a file of costs holds, of the rows that have these fields; None where none has any."""
    sums = [row["spent"] for row in paid(path) if only.items() <= row.items() and row.get("spent") is not None]
    return sum(sums) if sums else None
