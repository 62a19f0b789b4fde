"""Asynchronous work beside the caller's own: the network goes on while what has come is written to the disk.

A thread has an event loop of its own, so this works in a notebook too, whose thread has another.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any


class Background:
    """Asynchronous work in a thread of its own; what it raises, and then None, is put where its results are."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, None]], came: queue.SimpleQueue[Any]) -> None:
        self._make, self._came = make, came
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="warmgap calls", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._came.put(error)
        self._came.put(None)

    async def _main(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if not self._stopped:
            await self._make()

    def stop(self) -> None:
        """End the work, and wait until it has ended."""
        self._stopped = True
        if self._loop is not None and self._task is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
