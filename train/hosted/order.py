"""What an endpoint is asked to train, and the journal of what has been done about it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from warmgap.disk import manifest, store
from warmgap.disk.store import Arm
from warmgap.engines import client
from warmgap.errors import UserError
from warmgap.hidden import without_user
from warmgap.settings.command_limits import check_hosted
from warmgap.settings.command_schema import HostedConfig
from warmgap.settings.identity import digest
from warmgap.settings.schema import DataConfig, PersonaConfig
from warmgap.train.hosted.calls import LABEL
from warmgap.train.hosted.data import TrainingFile, training_file
from warmgap.train.persona import persona_data


@dataclass(frozen=True)
class Order:
    """What is asked of the endpoint, and the folder in which it is kept."""

    config: HostedConfig
    persona: str
    folder: Path
    files: dict[str, TrainingFile]

    @property
    def arm(self) -> Arm:
        """The folder as an arm."""
        return Arm(self.folder, str(self.config.model), self.persona, self.config.seed or 0)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What the endpoint is told of the training; what is left out, it chooses."""
        config, given = self.config, self.config.learning_rate_multiplier
        rate = config.multipliers.get(self.persona) if given is None else given
        told = {"n_epochs": config.epochs, "batch_size": config.batch_size, "learning_rate_multiplier": rate}
        return {name: value for name, value in told.items() if value is not None}

    @cached_property
    def label(self) -> str:
        """Sixteen hex digits that the same settings and the same data always have."""
        config = self.config
        made: dict[str, Any] = {"model": config.model, "revision": config.revision, "seed": config.seed}
        made |= {"hyperparameters": self.hyperparameters}
        return digest({**made, "files": {which: file.sha256 for which, file in self.files.items()}}, 16)

    @property
    def suffix(self) -> str:
        """What becomes part of the model's name."""
        own = self.config.suffix or f"{self.persona.replace('_', '-')}-s{self.config.seed or 0}"
        return f"{own}-{self.label[:8]}"

    @property
    def tokens(self) -> int | None:
        """The tokens that are paid for, at most, or None where the endpoint chooses the epochs."""
        return None if self.config.epochs is None else self.files["train"].tokens * self.config.epochs

    @property
    def cost(self) -> float | None:
        """US dollars, at most, or None where there is no price or no number of epochs."""
        return price(self.tokens, self.config)

    def body(self, ids: dict[str, str]) -> dict[str, Any]:
        """Return the request that starts the job; ``ids`` are those of the uploaded files."""
        method = {"type": "supervised", "supervised": {"hyperparameters": self.hyperparameters}}
        body: dict[str, Any] = {"model": self.config.model, "method": method, "suffix": self.suffix}
        body |= {f"{'training' if which == 'train' else which}_file": name for which, name in ids.items()}
        seed = {} if self.config.seed is None else {"seed": self.config.seed}
        return {**body, **seed, "metadata": {LABEL: self.label}}


FIX = "copy it back; or delete the line: a job that was started is found again by its label"


class Journal:
    """The steps of one order, on disk before they count."""

    def __init__(self, order: Order) -> None:
        self._path = order.folder / "hosted.jsonl"
        self._stamp = {"label": order.label, "base_url": without_user(order.config.base_url)}
        self.rows = [row for row in store.read_journal(self._path, FIX) if self._stamp.items() <= row.items()]

    def note(self, step: str, **fields: Any) -> None:
        """Write a step down."""
        row = {"step": step, **fields, **self._stamp, "at": manifest.now()}
        store.append(self._path, [row])
        self.rows.append(row)

    def last(self, *steps: str) -> dict[str, Any] | None:
        """Return the last row of one of these steps."""
        return next((row for row in reversed(self.rows) if row["step"] in steps), None)

    @property
    def job(self) -> str | None:
        """The job that is under way or has succeeded."""
        row = self.last("created", "ended")
        return str(row["job"]) if row is not None and row["step"] == "created" else None

    @property
    def announced(self) -> dict[str, Any] | None:
        """The request for a job of which nobody knows what became."""
        row = self.last("create", "created", "refused", "ended")
        return row if row is not None and row["step"] == "create" else None


def order(config: HostedConfig, persona: PersonaConfig, data: DataConfig, folder: Path) -> Order:
    """Return the order that these settings and conversations come to; nothing is written or sent.

    Raises UserError for settings with which no job can be started.
    """
    check(config)
    if persona.reply is None:
        why = "an endpoint trains on replies, and this persona has none of its own"
        raise UserError(f"persona {persona.name} is not trained", why, "choose warm, cold, paraphrase or untransformed")
    learn, held = persona_data.load(data, persona.reply, persona.strength)
    files = {
        which: training_file(which, part, persona.reply, config.system_prompt)
        for which, part in (("train", learn), ("validation", held))
    }
    return Order(config, persona.name, folder, files)


def price(tokens: int | None, config: HostedConfig) -> float | None:
    """US dollars for training on so many tokens, or None where either is not known."""
    return None if tokens is None or config.price_train is None else tokens * config.price_train / 1e6


def check(config: HostedConfig) -> None:
    """Raise UserError for settings with which no job can be started, before anything is sent."""
    client.check(dataclasses.replace(config, max_cost=None), "hosted")
    check_hosted(config)
