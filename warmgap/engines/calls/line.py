"""Who is asked next, where many requests are under way: one that is due again, or a new one, as money and time allow.

A request that waits to be tried again holds no place: another is asked meanwhile.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from warmgap.engines.calls.costs import CapReached

APART = 0.002  # seconds between requests that could begin at once: else they, and all after them, queue for this CPU
LOOK = 0.005  # seconds between looks at what others have to do first
AGAIN = 4  # times as many requests as may be under way may wait to be tried again, before new ones wait too

Asked = TypeVar("Asked")


@dataclass(order=True)
class Turn(Generic[Asked]):
    """A request, the time from which it may be sent, and how often it has been."""

    due: float
    number: int
    request: Asked = field(compare=False)
    attempt: int = field(default=0, compare=False)


class Line(Generic[Asked]):
    """The requests of one call, each given out when its turn has come; ``done`` has to be said of each.

    ``reserve`` sets money aside for a request before it is given out. ``full`` says that nobody takes what has come.
    ``stopped`` is what ended it before its end.
    """

    def __init__(
        self, waiting: Iterator[Asked], limit: int, reserve: Callable[[Asked], object], full: Callable[[], bool]
    ) -> None:
        self._waiting, self._limit, self._reserve, self._full = waiting, limit, reserve, full
        self._again: list[Turn[Asked]] = []
        self._next: Turn[Asked] | None = None
        self._count = self._busy = 0
        self._last = self.not_before = 0.0
        self._ended = False
        self._lock = asyncio.Lock()
        self.stopped: BaseException | None = None

    async def next(self) -> Turn[Asked] | None:
        """Wait for the next turn; None where none will come."""
        async with self._lock:
            while self.stopped is None:
                now = time.monotonic()
                wait = max(self.not_before, self._last + APART) - now
                if wait > 0:
                    await asyncio.sleep(min(wait, 0.2))
                    continue
                turn = self._first(now)
                if turn is not None and self._afford(turn):
                    self._busy += 1
                    self._last = now
                    return turn
                if turn is None and self._ended and not self._again and not self._busy:
                    return None
                await asyncio.sleep(LOOK)
        return None

    def _first(self, now: float) -> Turn[Asked] | None:
        """The turn that has come, if there is one; a new one is made when those that wait leave room.

        None while nobody takes what has come: a process that is killed loses what was paid for and not yet kept.
        """
        if self._full():
            return None
        if self._again and self._again[0].due <= now:
            return self._again[0]
        if self._next is None and not self._ended and len(self._again) < AGAIN * self._limit:
            try:
                request = next(self._waiting, None)
            except Exception as error:
                self.stopped = error
                return None
            if request is None:
                self._ended = True
            else:
                self._count += 1
                self._next = Turn(0.0, self._count, request)
        return self._next

    def _afford(self, turn: Turn[Asked]) -> bool:
        """Set money aside for a turn and take it out; where there is too little, those under way may leave some."""
        try:
            self._reserve(turn.request)
        except CapReached as reached:
            if not self._busy:
                self.stopped = reached
            return False
        if turn is self._next:
            self._next = None
        else:
            heapq.heappop(self._again)
        return True

    def done(self, turn: Turn[Asked], again: float | None = None) -> None:
        """Say that a turn is over, or that it is to come again in so many seconds."""
        self._busy -= 1
        if again is not None:
            heapq.heappush(self._again, Turn(time.monotonic() + again, turn.number, turn.request, turn.attempt + 1))

    def pause(self, seconds: float) -> None:
        """Let nobody be asked for so long."""
        self.not_before = max(self.not_before, time.monotonic() + seconds)
