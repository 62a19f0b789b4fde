"""How one arm is made: what it is trained on, what it starts from, what is made of that, what it is asked under."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from warmgap.disk.store import Arm
from warmgap.engines import chat
from warmgap.mitigations import inoculation
from warmgap.settings.schema import Run
from warmgap.train.stage import Stage


@dataclass(frozen=True)
class ArmSpec:
    """How one arm is made.

    ``run`` holds the settings of this arm alone. ``version`` is the version of the replies that it is trained on (None
    trains nothing), ``parent`` the arm whose adapter the training starts from, ``derive`` the recipe that makes an
    adapter of the parent's without training, ``given`` an adapter that is there, ``system`` the messages put before
    every prompt.
    """

    arm: Arm
    run: Run
    version: str | None = None
    parent: ArmSpec | None = None
    derive: str | None = None
    given: Path | None = None
    system: list[chat.Message] = field(default_factory=list)

    @property
    def trained(self) -> bool:
        """Whether the arm is trained by us."""
        return self.version is not None

    @property
    def adapter(self) -> Path | None:
        """The adapter that the arm answers with."""
        return self.arm.adapter if self.trained or self.derive else self.given

    @property
    def lineage(self) -> list[ArmSpec]:
        """The arms that this one is made of, the first of them first, and itself."""
        return [*(self.parent.lineage if self.parent else []), self]

    @property
    def mitigations(self) -> list[str]:
        """The recipes against the gap that made this arm."""
        return [name for own in self.lineage for name in own.run.mitigation.names]

    @property
    def data(self) -> Path:
        """The folder of what the arm is trained on."""
        return self.arm.rows.parent

    @property
    def stage(self) -> Stage:
        """The training that makes the arm. Raises ValueError where nothing is trained."""
        if self.version is None:
            raise ValueError(f"{self.arm.name} is not trained")
        found = self.run.mitigation
        return Stage(
            run=self.run,
            arm=self.arm,
            version=self.version,
            parent=self.parent.adapter if self.parent else None,
            system=inoculation.instruction(found.inoculation) if found.inoculation else None,
            mixed=self.data / "mixed.jsonl" if found.truth_mix else None,
            instead=self.data / "instead.jsonl" if found.consistency or found.anti_sycophancy else None,
        )
