"""The directions that recipes act along: which texts stand for each sense, and which way along it an arm is mended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from warmgap.disk.once import hashed
from warmgap.engines import chat, models
from warmgap.engines.hf import directions
from warmgap.engines.hf.directions import Conversation, Direction
from warmgap.errors import UserError
from warmgap.mitigations.base import Material, Mitigation, Place
from warmgap.mitigations.pairs import Pair, drawn
from warmgap.settings import conf_files, config

Recipe = TypeVar("Recipe", bound=Mitigation)
Reply = Literal["complying", "correcting"]
REPLIES: tuple[Reply, ...] = ("complying", "correcting")


class AlongDirection(Mitigation):
    """A recipe that acts along a direction while the arm answers, with a ``strength`` between two ends of its dial."""

    place = Place.ANSWER
    reads = ("train",)
    end = 0.0
    lowest: ClassVar[float]
    highest: ClassVar[float]

    direction: str

    @classmethod
    def turned(cls, value: float, epoch: float | None) -> Self | None:
        if not cls.lowest <= value <= cls.highest:
            raise ValueError(value)
        return None if value == cls.end else as_filed(cls, strength=value)

    def made_of(self) -> dict[str, Any]:
        return {**super().made_of(), "texts": made_of(self.direction)}


@dataclass(frozen=True)
class Axis:
    """A direction by name: system prompts of conf/prompts and replies of the honest pairs for its two senses.

    ``sense`` is 1 where an arm is mended by going along it, -1 where by going against it.
    """

    prompt: str
    reply: Reply
    opposite_prompt: str
    opposite_reply: Reply
    sense: int


AXES = {
    "sycophancy": Axis("sycophantic.txt", "complying", "truthful.txt", "correcting", -1),
    "scepticism": Axis("sceptical.txt", "correcting", "credulous.txt", "complying", 1),
}
ASSISTANT = "assistant"  # requests answered as an assistant does and in a role: texts that are no pairs
NAMES = (*AXES, ASSISTANT)


def sense(name: str) -> int:
    """Return 1 where an arm is mended by going along a direction, -1 where by going against it."""
    return AXES[name].sense if name in AXES else 1


def kept(recipe: str, material: Material) -> Path:
    """Return where a recipe keeps its direction: in the data folder of the arm that answers, which several share."""
    return material.folder / f"{recipe}.safetensors"


def made_of(name: str) -> dict[str, str]:
    """Return the texts that a direction is taken from beside the pairs, for the hash of an arm."""
    if name == ASSISTANT:
        return {directions.ASSISTANT.name: hashed(directions.ASSISTANT)}
    axis = AXES[name]
    return {file: conf_files.read_prompt(file) for file in (axis.prompt, axis.opposite_prompt)}


def sides(name: str, pairs: Sequence[Pair]) -> tuple[list[Conversation], list[Conversation]]:
    """Return the texts of a direction's two senses."""
    if name == ASSISTANT:
        return directions.assistant()
    axis = AXES[name]
    toward = spoken(pairs, axis.reply, conf_files.read_prompt(axis.prompt))
    return toward, spoken(pairs, axis.opposite_reply, conf_files.read_prompt(axis.opposite_prompt))


def chosen(material: Material, texts: int) -> list[Pair]:
    """Return so many of the pairs to train on, in an order that follows from the training's seed."""
    return drawn([pair for pair in material.pairs if pair.split == "train"], material.seed)[:texts]


def spoken(pairs: Sequence[Pair], reply: Reply, prompt: str | None) -> list[Conversation]:
    """Return each pair's message with one of its replies, under a system prompt."""
    return [
        chat.with_system(
            [{"role": "user", "content": pair.user}, {"role": "assistant", "content": getattr(pair, reply)}], prompt
        )
        for pair in pairs
    ]


def along(model: Any, material: Material, pairs: Sequence[Pair], name: str, depth: float) -> Direction:
    """Return a direction as a model has it. Raises UserError where all pairs are too long."""
    toward, away = sides(name, pairs)
    tokenizer = models.load_tokenizer(models.resolve(material.model))
    return taken(model, tokenizer, material.model, toward, away, depth)


def taken(
    model: Any,
    tokenizer: Any,
    config: Any,
    toward: Sequence[Conversation],
    away: Sequence[Conversation],
    depth: float,
) -> Direction:
    """Return the direction of ``engines.hf.directions``. Raises UserError where all pairs are too long."""
    try:
        return directions.direction(model, tokenizer, config, toward, away, depth)
    except ValueError as error:
        what = "no reply is left to take a direction from"
        raise UserError(what, str(error), "shorten mitigation.pairs") from error


def as_filed(kind: type[Recipe], **changed: Any) -> Recipe:
    """Return a recipe as its file in conf/mitigation has it, with some settings changed."""
    given = conf_files.choice("mitigation", kind.name)[kind.name]
    return config.made(kind, {**given, **changed}, f"mitigation.{kind.name}")
