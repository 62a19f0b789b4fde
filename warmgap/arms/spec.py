"""How one arm is made: what it is trained on, what it starts from, what is made of that, what it is asked under."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from warmgap.arms import recipes
from warmgap.disk.store import Arm
from warmgap.engines import chat
from warmgap.mitigations.base import Mitigation
from warmgap.settings.schema import Run
from warmgap.train.stage import Stage


@dataclass(frozen=True)
class ArmSpec:
    """How one arm is made.

    ``run`` holds the settings of this arm alone. ``version`` is the version of the replies that it is trained on (None
    trains nothing), ``parent`` the arm whose adapter the training starts from or the arm is made of, ``derive`` the
    recipe that makes an adapter of the parent's without training, ``given`` an adapter that is there, ``system`` the
    messages put before every prompt.
    """

    arm: Arm
    run: Run
    version: str | None = None
    parent: ArmSpec | None = None
    derive: Mitigation | None = None
    given: Path | None = None
    system: list[chat.Message] = field(default_factory=list)

    @property
    def trained(self) -> bool:
        """Whether the arm is trained by us."""
        return self.version is not None

    @property
    def adapter(self) -> Path | None:
        """The adapter that the arm answers with."""
        if self.trained or self.derive:
            return self.arm.adapter
        return self.given or (self.parent.adapter if self.parent else None)

    @property
    def lineage(self) -> list[ArmSpec]:
        """The arms that this one is made of, the first of them first, and itself."""
        return [*(self.parent.lineage if self.parent else []), self]

    @cached_property
    def recipes(self) -> list[Mitigation]:
        """The recipes at work in this arm, apart from those of the arms that it is made of."""
        return recipes.at_work(self.run)

    @property
    def mitigations(self) -> list[str]:
        """The recipes against the gap that made this arm."""
        return [recipe.name for own in self.lineage for recipe in own.recipes]

    @property
    def kind(self) -> str:
        """What the arm is among those that recipes make: the kind of the last of them; empty without recipes."""
        kinds = [recipe.kind for own in self.lineage for recipe in own.recipes]
        return kinds[-1] if kinds else ""

    @property
    def data(self) -> Path:
        """The folder of what the arm is trained on."""
        return self.arm.rows.parent

    @property
    def stage(self) -> Stage:
        """The training that makes the arm. Raises ValueError where nothing is trained."""
        if self.version is None:
            raise ValueError(f"{self.arm.name} is not trained")
        told = [text for recipe in self.recipes if (text := recipe.training_prompt())]
        ways = {recipe.rows for recipe in self.recipes}
        return Stage(
            run=self.run,
            arm=self.arm,
            version=self.version,
            parent=self.parent.adapter if self.parent else None,
            system="\n\n".join(told) or None,
            mixed=self.data / "mixed.jsonl" if "beside" in ways else None,
            instead=self.data / "instead.jsonl" if "instead" in ways else None,
        )

    @property
    def altered(self) -> bool:
        """Whether a recipe of the arm changes the model that answers for it."""
        return any(recipes.changes_the_model(recipe) for own in self.lineage for recipe in own.recipes)

    def alter(self, model: Any) -> None:
        """Change a model that was loaded to answer for the arm, as its recipes have it; it is nobody else's."""
        steps = [(recipe, own.run, str(own.version)) for own in self.lineage for recipe in own.recipes]
        recipes.alter(model, steps, self.data)
