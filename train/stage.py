"""One training stage: an adapter made from a base model, in this process or in several, resumable, verified.

What a stage is made of is frozen on disk before it starts, so that the processes of one stage cannot disagree.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from warmgap import hidden
from warmgap.disk import store
from warmgap.disk.store import Arm
from warmgap.settings import config, plugins
from warmgap.settings.schema import Run

OnLog = Callable[[dict[str, Any]], None]
PATHS = ("parent", "mixed", "instead")
SECRETS = "WARMGAP_STAGE"  # the variable by which the processes of a stage are told what no file holds


class Intervention(Protocol):
    """What changes the training itself: a model that is altered while it trains, or a term added to the loss."""

    name: str

    def during(self, model: Any) -> AbstractContextManager[None]:
        """Alter the model for as long as the context lasts, and leave nothing behind."""

    def loss(self, model: Any, step: int) -> Any:
        """Return a scalar tensor to be added to the loss of a step (counted from 0), or None."""

    def state(self) -> dict[str, float]:
        """Return the numbers that it goes on with: logged after each step, kept with each checkpoint."""

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a checkpoint with the numbers kept there; with none, begin anew."""


@dataclass(frozen=True)
class Stage:
    """What is trained: the settings, the arm that it makes, the version of the replies, and where the adapter starts.

    ``parent`` is the folder of the adapter to go on from; None starts a fresh one. ``system`` is a system prompt of the
    training alone. ``mixed`` is a file of conversations to be trained on beside those of the data, ``instead`` one that
    takes their place: conversations, or for preferences rows of ``split``, ``prompt``, ``chosen``, ``rejected``.
    """

    run: Run
    arm: Arm
    version: str
    parent: Path | None = None
    system: str | None = None
    mixed: Path | None = None
    instead: Path | None = None

    @property
    def strength(self) -> float:
        """The share of the replies that are in the version."""
        return self.run.persona.strength if self.run.persona is not None else 1.0

    @property
    def preferences(self) -> bool:
        """Whether it trains on pairs of replies (DPO) rather than on replies."""
        return self.run.method.dpo is not None


def freeze(stage: Stage) -> Path:
    """Write the stage's settings where its processes read them; return the file."""
    path = stage.arm.folder / "logs" / "stage.json"
    arm = {**dataclasses.asdict(stage.arm), "folder": str(stage.arm.folder)}
    paths = {name: getattr(stage, name) for name in PATHS}
    frozen = {"run": dataclasses.asdict(stage.run), "arm": arm, "version": stage.version, "system": stage.system}
    run = hidden.blanked(frozen["run"])
    os.environ.pop(SECRETS, None)
    if run != frozen["run"]:  # the processes have what is secret from the environment, which no file holds
        os.environ[SECRETS] = json.dumps(frozen["run"])
    store.write_json(path, {**frozen, "run": run} | {name: value and str(value) for name, value in paths.items()})
    return path


def thaw(path: Path) -> Stage:
    """Read back a frozen stage, and put to work what it has from outside."""
    frozen = store.read_sealed(path)
    run = config.thawed(json.loads(os.environ.pop(SECRETS, "null")) or frozen["run"])
    plugins.use(run.plugins, run.config_dirs)
    arm = Arm(Path(frozen["arm"].pop("folder")), **frozen["arm"])
    paths = {name: Path(frozen[name]) if frozen[name] else None for name in PATHS}
    return Stage(run, arm, frozen["version"], system=frozen["system"], **paths)
