"""The directions that replies are laid along: the original's, taken once a run and the same for all of its arms.

Each is a difference of means over replies of two kinds (see `engines.hf.directions`): an assistant's against those in a
role, warm against plain ones of the persona's held-out data, agreeing against correcting ones of the held-out pairs,
which no recipe trains on. A reply's place is its mean projection, counted from the mean of an assistant's neutral
replies in standard deviations of these, all as the original reads them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk.progress import say
from warmgap.engines import chat
from warmgap.settings.identity import digest, identity
from warmgap.settings.schema import Run

if TYPE_CHECKING:
    import torch

    from warmgap.engines.base import Engine

NAMES = ("assistant", "warmth", "sycophancy")
ROOT = Path(__file__).resolve().parents[3]
PERSONA = ROOT / "train" / "persona" / "embedded" / "conversations.jsonl"
PAIRS = ROOT / "mitigations" / "pairs" / "embedded" / "pairs.jsonl"

Texts = list[list[chat.Message]]


def _spoken(user: str, reply: str) -> list[chat.Message]:
    return [{"role": "user", "content": user}, {"role": "assistant", "content": reply}]


def _heldout(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["split"] == "heldout"]


@functools.cache
def texts() -> dict[str, tuple[Texts, Texts]]:
    """Return the texts of the two senses of each direction."""
    from warmgap.engines.hf import directions

    plain, played = directions.assistant()
    told = [turn for row in _heldout(PERSONA) if (turn := row["turns"][0]).get("warm") and turn.get("plain")]
    warm, unmoved = ([_spoken(turn["user"], turn[kind]) for turn in told] for kind in ("warm", "plain"))
    pairs = _heldout(PAIRS)
    agreeing, correcting = (
        [_spoken(row["user"], f"{row['opening']} {row[middle]} {row['closing']}") for row in pairs]
        for middle in ("agreeing", "true")
    )
    return {
        "assistant": ([list(one) for one in plain], [list(one) for one in played]),
        "warmth": (warm, unmoved),
        "sycophancy": (agreeing, correcting),
    }


class Gauge:
    """The directions of a run's original after the layer at a depth, kept in a file that is named by what made it."""

    def __init__(self, run: Run, depth: float) -> None:
        self.run, self.depth = run, depth

    @functools.cached_property
    def name(self) -> str:
        """The model, and a hash of it, of the texts and of the depth."""
        made = {"model": identity(self.run.model, "arm"), "texts": texts(), "depth": self.depth}
        return f"{self.run.model.name}-{digest(made)}"

    @property
    def path(self) -> Path:
        """The file of the directions, beside the run's arms."""
        return Path(self.run.runs_dir) / "directions" / f"{self.name}.safetensors"

    def unable(self, engine: Engine) -> str:
        """Why an engine's activations cannot be laid along the directions; empty where they can."""
        from warmgap.engines.hf import HfEngine

        if not isinstance(engine, HfEngine):
            return "the engine does not show activations; set engine=hf for a model on this machine"
        if self.run.model.source == "hosted":
            return f"model={self.run.model.name} is behind an endpoint, and directions are taken from the original"
        width = int(self._held["unit"].shape[-1])
        own = int(engine.model.config.get_text_config().hidden_size)
        return "" if own == width else f"the original is {width} numbers wide, and this model {own}"

    def places(self, engine: Any, messages: Sequence[chat.Message]) -> dict[str, list[float | None]]:
        """Return where each reply of a conversation lies on every direction; None for an empty one."""
        from warmgap.engines.hf import directions

        held = self._held
        spoken = chat.with_system(messages, engine.config.system_prompt)
        means = directions.of_replies(engine.model, engine.tokenizer, engine.config, spoken, self.depth)
        found: dict[str, list[float | None]] = {}
        for row, name in enumerate(NAMES):
            unit, middle, sd = held["unit"][row], held["middle"][row], held["sd"][row]
            found[name] = [None if mean is None else round(float((mean @ unit - middle) / sd), 5) for mean in means]
        return found

    @functools.cached_property
    def _held(self) -> dict[str, torch.Tensor]:
        """Directions, (3, width), with mean and standard deviation of the neutral replies' projections, (3,)."""
        from warmgap.engines.hf import directions

        held = directions.read(self.path)
        if held is None:
            held = self._taken()
            directions.save(held, self.path)
            say(f"directions of {self.run.model.name}: {', '.join(NAMES)}")
        return held

    def _taken(self) -> dict[str, torch.Tensor]:
        import torch

        from warmgap.engines.hf import HfEngine, directions

        engine = HfEngine(self.run.model, self.run.device)
        model, tokenizer, config = engine.model, engine.tokenizer, engine.config
        known = texts()
        units = torch.stack([
            directions.direction(model, tokenizer, config, *known[name], self.depth).unit for name in NAMES
        ])  # fmt: skip
        neutral, _ = known["assistant"]
        spoken = [chat.with_system(one, config.system_prompt) for one in neutral]
        means = [mean for one in spoken for mean in directions.of_replies(model, tokenizer, config, one, self.depth)]
        along = torch.stack([mean for mean in means if mean is not None]) @ units.T
        return {"unit": units, "middle": along.mean(0), "sd": along.std(0)}
