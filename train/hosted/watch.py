"""What an endpoint tells of a job under way: its losses in the arm's log, its steps on the bar, its words on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from warmgap.disk import progress, store
from warmgap.disk.progress import Advance
from warmgap.disk.store import Arm
from warmgap.train.hosted.calls import number


class Watch:
    """Shows events as they come. ``total`` is the number of steps of the training, 0 until it is told."""

    def __init__(self, arm: Arm, epochs: int | None) -> None:
        self.arm, self.epochs = arm, epochs
        self.seen: set[str] = set()
        self.total, self.last_words = 0, ""
        self._step = 0
        self._advance: Advance | None = None
        self._open = ExitStack()
        self._logged = {row.get("step") for row in store.read_journal(arm.training_log)}

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.__exit__(kind, error, at)

    def show(self, events: Sequence[Any]) -> None:
        """Show events, oldest first, and keep the losses among them."""
        rows = []
        for event in events:
            text = " ".join(str(getattr(event, "message", None) or "").split())
            data = event.data if isinstance(getattr(event, "data", None), dict) else {}
            if getattr(event, "level", None) == "error":
                self.last_words = text
            step = number(data.get("step"))
            if step is not None and step >= 0:
                rows += self._moved(int(step), data, text)
            else:
                self.say(text)
        if rows:
            store.append(self.arm.training_log, rows)

    def say(self, text: str) -> None:
        """Say a line: beside the bar where there is one."""
        if self._advance is None:
            progress.say(text)
        else:
            self._advance(0, note=text)

    def _moved(self, step: int, data: dict[str, Any], text: str) -> list[dict[str, Any]]:
        """Move the bar to a step; return what is to be logged of it."""
        total = number(data.get("total_steps"))
        if total is not None:
            self.total = max(self.total, int(total))
        self.total = max(self.total, step)
        if self._advance is None:
            self._advance = self._open.enter_context(progress.bar(f"training · {self.arm.arm}", self.total))
        if step > self._step:
            loss = number(data.get("train_loss"))
            self._advance(step - self._step, note=text if loss is None else f"loss {loss:.2f}")
            self._step = step
        row: dict[str, Any] = {"step": step}
        if self.epochs and total is not None and total > 0:
            row["epoch"] = round(step / total * self.epochs, 4)
        for name, told in (("loss", "train_loss"), ("eval_loss", "full_valid_loss")):
            if (value := number(data.get(told))) is not None:
                row[name] = value
        if step in self._logged or not ({"loss", "eval_loss"} & row.keys()):
            return []
        self._logged.add(step)
        return [row]
