"""How a command is stopped from outside: SIGTERM and SIGHUP end it as Ctrl-C does, none in the middle of a write.

A signal becomes a KeyboardInterrupt where the command is at work. While something is written that must be whole
(``whole``), it waits for the write to end, which takes milliseconds. A second one within two seconds is taken for the
same wish: what is under way to end goes on. One that comes later ends that as well.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

GRACE = 2.0  # seconds

_first = float("-inf")  # when a signal has ended something
_writing = 0  # writes under way, one in another
_came: list[int] = []  # signals that wait for their end


class Stopped(KeyboardInterrupt):
    """A signal has asked the command to end."""


@contextmanager
def heeded() -> Iterator[None]:
    """Turn signals into ``Stopped`` for as long as the block lasts; one that was ignored before stays ignored.

    Outside the main thread nothing is changed: Python lets no other thread say what a signal does.
    """
    global _first
    before, _first = {}, float("-inf")
    try:
        for number in SIGNALS:
            known = signal.getsignal(number)
            if known in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = known
                signal.signal(number, _stop)
    except ValueError:
        before.clear()
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)


@contextmanager
def put_back() -> Iterator[None]:
    """Put back, at the end of the block, what signals did before: a library changes it and leaves it so."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, known in before.items():
                signal.signal(number, known)


def _stop(number: int, frame: FrameType | None) -> None:
    global _first
    if time.monotonic() - _first < GRACE:
        return
    if _writing:
        _came.append(number)
        return
    _first = time.monotonic()
    raise Stopped(signal.Signals(number).name)


@contextmanager
def whole() -> Iterator[None]:
    """Let no signal end the block before it is through; one that came meanwhile ends it then."""
    global _writing, _first
    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread alone
        yield
        return
    _writing += 1
    try:
        yield
    finally:
        _writing -= 1
        if not _writing and _came:
            number = _came.pop()
            _came.clear()
            _first = time.monotonic()
            raise Stopped(signal.Signals(number).name)
