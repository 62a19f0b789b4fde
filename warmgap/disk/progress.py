"""Progress bars on a terminal; a plain line at start and end where stderr is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[..., None]


@contextmanager
def bar(what: str, total: float | None) -> Iterator[Advance]:
    """Show how far a stage has come; ``total`` None where nobody knows. Yields ``advance(amount, note="")``."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(file=sys.stderr)
    started = time.monotonic()
    if not console.is_terminal:
        done = [0.0]

        def count(amount: float, note: str = "") -> None:
            done[0] += amount

        yield count
        amount = done[0] if total is None else total
        print(f"{what}: {amount:,g} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        return
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=18),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(amount: float, note: str = "") -> None:
            progress.advance(task, amount)
            if note:
                progress.update(task, note=note)

        yield advance


def say(text: str) -> None:
    """Print one line about what happens next, on stderr."""
    print(text, file=sys.stderr, flush=True)
