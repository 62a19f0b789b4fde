"""Progress bars on a terminal; a plain line at start and end where stderr is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from warmgap.errors import shown
from warmgap.hidden import without_secrets

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

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
    """Print a line about what happens next, on stderr: no secret, and what a terminal would obey as its number."""
    print(shown(without_secrets(text)), file=sys.stderr, flush=True)


def console() -> Console:
    """Return what prints tables and lines on stdout: texts as they are, without markup, and none that is obeyed."""
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        """Shows what data hold; what they would have a terminal do is shown as its number."""

        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(shown(text), **{**how, "markup": False, "emoji": False})

        def render(self, *renderable: Any, **how: Any) -> Iterator[Segment]:
            for part in super().render(*renderable, **how):
                yield part if part.control else Segment(shown(part.text), part.style)

    return Plain()
