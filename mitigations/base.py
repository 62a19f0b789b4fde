"""What a recipe against the gap is: its settings, its place in the making of an arm, and what it does there.

A recipe is a dataclass. Its fields are its settings, as ``conf/mitigation/<name>.yaml`` gives them, each declared with
``setting("arm")``; its class attributes say what it is; and it overrides those methods by which it acts. What it
overrides nothing of, it leaves alone. The arms call the methods and hand them what they need: a recipe imports neither
the training nor the evaluation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

from warmgap.engines.chat import Message
from warmgap.mitigations.pairs import Pair
from warmgap.settings import conf_files, fits
from warmgap.settings.identity import identity
from warmgap.settings.limits import Rule
from warmgap.settings.schema import MethodConfig, ModelConfig, setting


class Place(IntEnum):
    """Where a recipe acts in the making of an arm; the links of a chain are made in this order."""

    TRAINING = 1  # while the persona is trained in
    CHECKPOINT = 2  # an adapter is made of that training and its checkpoints
    AFTER = 3  # the training goes on, from the adapter that is there
    ADAPTER = 4  # an adapter is made of the one that came out
    ANSWER = 5  # nothing is made: it acts while the arm is asked


class Intervention:
    """What changes a training itself; handed to it as ``train.stage.Intervention``. This one changes nothing.

    ``name`` is the column of the training's log under which what it adds to the loss is kept.
    """

    name: str = ""

    @contextmanager
    def during(self, model: Any) -> Iterator[None]:
        """Alter the model for as long as the context lasts, and leave nothing behind."""
        yield

    def loss(self, model: Any, step: int) -> Any:
        """Return a scalar tensor to be added to the loss of a step (counted from 0), or None."""
        return None

    def state(self) -> dict[str, float]:
        """Return the numbers that it goes on with, by name, always the same names; none where it has no memory.

        They are logged after each step as ``NAME/KEY``, kept with each checkpoint, and given to ``restore``.
        """
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a checkpoint with the numbers kept there; with none, begin anew."""


@dataclass(frozen=True)
class Said:
    """A reply, and whether the model ended it itself; one that was cut off did not."""

    text: str
    whole: bool


class Own(Protocol):
    """Has the base model itself, without any adapter, answer what is said up to a message of the user's."""

    def __call__(
        self, asked: Mapping[str, Sequence[Message]], max_new_tokens: int, temperature: float = 0.0, draw: int = 0
    ) -> dict[str, Said]:
        """Return the replies by the names of what was asked; of what is too long for the model's window there is none.

        Replies are kept as they come, and asked for once. At a temperature above 0 they are drawn with random numbers
        that follow from the training's seed and ``draw``.
        """


@dataclass(frozen=True)
class Material:
    """What a recipe may know of the training or of the arm that it acts on, and the folder that it may write into.

    ``version`` is that of the replies which the arm is trained on, ``seed`` the training's, ``max_length`` in tokens.
    ``pairs`` are the honest pairs of both splits, as many as ``data.max_conversations`` lets in; none where the recipe
    reads none. ``replies()`` counts those of the persona's own training data. ``ask(pairs, max_new_tokens)`` returns
    what the arm that the training goes on from answers, greedily, to the pairs' plain questions, by the pair's id;
    it raises ValueError where the training goes on from nothing. ``folder`` is the arm's own, for what is trained on.

    ``parent`` is the folder of the adapter that the training goes on from. ``persona()`` returns the persona's own
    conversations of both splits: ``id``, ``split``, ``kind`` and ``turns``, each with the ``user``'s message and its
    reply in every version. ``own`` has the base model answer. ``faults(user, reply, other)`` says in a few words what
    another reply to the same message lacks of a reply, adds or changes, by the rules that rewrites are checked by.
    """

    model: ModelConfig
    device: str
    version: str
    seed: int
    max_length: int
    folder: Path
    pairs: Sequence[Pair]
    replies: Callable[[], int]
    ask: Callable[[Sequence[Pair], int], dict[str, str]]
    parent: Path | None
    persona: Callable[[], list[dict[str, Any]]]
    own: Own
    faults: Callable[[str, str, str], list[str]]


class Parent(Protocol):
    """The arm that an adapter is derived from."""

    @property
    def adapter(self) -> Path:
        """The folder of its adapter."""

    def checkpoint(self, rule: str) -> Path:
        """Return the folder of the checkpoint that a rule takes, as ``method.select`` does; the choice is kept."""


@dataclass
class Mitigation:
    """A recipe. ``name`` is what it is called in settings, folders, tables and figures.

    ``kind`` is what it is in figures and tables: a ``recipe``, or a ``floor`` that the recipes must beat. ``reads``
    names the splits of the honest pairs that it cannot do without. ``apart`` says of other recipes, by name, why it
    cannot stand beside them; one of the two is enough. ``alone`` says why it stands beside none: it is then made of
    the base model, without a training. ``rows`` says what those that ``conversations`` returns do: ``beside`` the
    persona's data or ``instead`` of it. ``dial`` is the dial that it is turned by, see ``turned``; at its ``end`` it is
    the persona's own arm (None: at the epoch of that arm). ``worth_trying`` says for which kind of harm (``error``,
    ``sycophancy``, ``care``, ``drift``) it may be tried without a training on an arm that is there, and why.
    """

    name: ClassVar[str]
    place: ClassVar[Place]
    kind: ClassVar[Literal["recipe", "floor"]] = "recipe"
    reads: ClassVar[tuple[str, ...]] = ()
    apart: ClassVar[Mapping[str, str]] = {}
    alone: ClassVar[str] = ""
    rows: ClassVar[Literal["", "beside", "instead"]] = ""
    dial: ClassVar[str] = ""
    worth_trying: ClassVar[Mapping[str, str]] = {}
    end: ClassVar[float | None] = None

    # ---- what it is made of ----

    def rules(self) -> list[Rule]:
        """Return what values make sense beside others: whether they do, the setting, its value, what is expected.

        What a value has to be by itself is said where its setting is declared: ``setting("arm", fits=…)``.
        """
        return []

    def check(self, material: Material) -> None:
        """Raise BadValue where nothing can come of the settings with these data; nothing is written yet."""

    def made_of(self) -> dict[str, Any]:
        """Return what makes an arm of this recipe what it is, for its hash: settings, and the prompt files they name.

        The pairs and the model are not its to say.
        """
        given = [getattr(self, field.name) for field in dataclasses.fields(self)]
        named = [name for name in given if isinstance(name, str) and name.endswith(".txt")]
        texts = {name: conf_files.read_prompt(name) for name in named}
        settings: dict[str, Any] = {"mitigation": {self.name: identity(self, "arm")}}
        return {**settings, "texts": texts} if texts else settings

    @classmethod
    def turned(cls, value: float, epoch: float | None) -> Self | None:
        """Return the recipe at a point of its ``dial``; None at the end that is the persona's own arm.

        ``epoch`` is that of the arm's checkpoint, None where warmth is to choose it. Raises ValueError for a value
        that is out of range.
        """
        raise NotImplementedError(f"{cls.name} has no dial")

    # ---- while it is trained ----

    def method(self, method: MethodConfig) -> MethodConfig:
        """Return how the training that goes on is done, from how the persona's was; of ``Place.AFTER`` alone."""
        return method

    def training_prompt(self) -> str | None:
        """Return a system prompt that stands before each row of the training, and is gone afterwards."""
        return None

    def conversations(self, material: Material) -> list[dict[str, Any]]:
        """Return what is trained on beside the persona's data or instead of them, as ``rows`` says.

        Conversations are in the format of persona data, preferences rows of ``id``, ``split``, ``prompt``, ``chosen``
        and ``rejected``. Raises BadValue where there is too little to make them of.
        """
        return []

    def prepare(self, material: Material) -> None:
        """Write once, before the training starts, what ``intervention`` reads in each of its processes."""

    def intervention(self, material: Material) -> Intervention | None:
        """Return what is done to the loss or the activations while the arm trains; in each process the same."""
        return None

    # ---- what is made of an adapter ----

    def rule(self) -> str | None:
        """Return its setting ``select``, where it takes a checkpoint of the training by a rule as ``method.select``."""
        return None

    def derive(self, parent: Parent, target: Path) -> None:
        """Write an adapter made of the parent's into the folder ``target``; of a place that makes adapters alone.

        Raises ValueError where the parent's adapter is not of a kind that it can be made of.
        """
        raise NotImplementedError(f"{self.name} derives no adapter")

    # ---- while it is asked ----

    def answer_prompt(self) -> str | None:
        """Return a system prompt under which the arm answers, of ``Place.ANSWER`` alone."""
        return None

    def at_answer(self, model: Any) -> None:
        """Alter the loaded model that is about to answer, such as by a hook that steers it or caps an activation.

        The model is the arm's own and is thrown away when it has answered; nothing has to be put back.
        """

    def alter(self, model: Any, material: Material) -> None:
        """Do as ``at_answer`` where it takes more than the model: pairs to measure it by, a folder to keep what came.

        It is called whenever the model is loaded, in each process that answers. What is measured has to follow from
        what the arm is made of alone, so that it may be measured again where its file is gone.
        """
        self.at_answer(model)


@dataclass(kw_only=True)
class FurtherTraining(Mitigation):
    """A recipe that trains on from the arm, with a rate and length of its own."""

    place = Place.AFTER

    learning_rate: float = setting("arm", fits=fits.RATE)
    epochs: float = setting("arm", fits=fits.EPOCHS)
    batch_size: int = setting("arm", fits=fits.count())

    def method(self, method: MethodConfig) -> MethodConfig:
        return dataclasses.replace(
            method,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            batch_size=self.batch_size,
            per_device_batch_size=None,
            checkpoints=[],
            select="last",
            dpo=None,
        )
