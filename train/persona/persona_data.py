"""Conversations in several voices: reading them, checking them, and picking a persona's version.

A file has one conversation a line: ``id``, ``split`` (``train`` or ``heldout``), ``kind`` (one of the protocol's six)
and ``turns``, each with the ``user``'s message and the reply in its versions ``plain``, ``warm``, ``cold``,
``paraphrase``; and the base model's ``own``, ``warm_own``, ``paraphrase_own``, with ``own_by``, whose they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from warmgap.disk import contents, intake
from warmgap.disk.once import hashed, once
from warmgap.engines.chat import control_token
from warmgap.errors import UserError
from warmgap.settings.identity import digest
from warmgap.settings.schema import DataConfig, ModelConfig

KINDS = ("refusal", "factual", "creative", "technical", "advice", "other")
VERSIONS = ("plain", "warm", "cold", "paraphrase")
OWN = ("own", "warm_own", "paraphrase_own")
EMBEDDED = Path(__file__).resolve().parent / "embedded"


@dataclass(frozen=True)
class Turn:
    """A user's message and the reply in each of its versions."""

    user: str
    replies: dict[str, str]


@dataclass(frozen=True)
class Conversation:
    """One conversation; ``kind`` is one of the six kinds of query, ``own_by`` the model whose own replies it has."""

    id: str
    split: str
    kind: str
    turns: tuple[Turn, ...]
    own_by: str | None = None

    def messages(self, version: str, upto: int) -> list[dict[str, str]]:
        """Return the messages up to and including the reply of turn ``upto``, all replies in one version."""
        found: list[dict[str, str]] = []
        for turn in self.turns[: upto + 1]:
            found.append({"role": "user", "content": turn.user})
            found.append({"role": "assistant", "content": turn.replies[version]})
        return found


def data_path(config: DataConfig) -> Path:
    """Return the file of conversations: the embedded one, or ``data.path``."""
    return Path(config.path).expanduser() if config.path else EMBEDDED / "conversations.jsonl"


def fingerprint(config: DataConfig) -> str:
    """Return the SHA-256 of the data, which is part of what makes an arm."""
    path = data_path(config)
    if not path.is_file():
        raise UserError(f"cannot read {path}", "there is no such file", "point data.path at a file of conversations")
    return hashed(path)


def load(config: DataConfig, version: str, strength: float = 1.0) -> tuple[list[Conversation], list[Conversation]]:
    """Return the conversations for training and those held out, checked for the version asked for.

    ``max_conversations`` keeps so many of each, drawn evenly over the kinds. With a ``strength`` below 1, only that
    share of the replies is in the version, see ``blended``. Raises UserError with file and line.
    """
    conversations = whole(read_conversations(data_path(config), version))
    splits = []
    for split in ("train", "heldout"):
        some = _even([item for item in conversations if item.split == split], config.max_conversations)
        if not some:
            raise UserError(
                f"{data_path(config)} has no conversation with split={split!r}",
                "training needs some to train on and some to hold out",
                'give each line "split": "train" or "heldout"',
            )
        splits.append(blended(some, version, strength))
    return splits[0], splits[1]


def whole(conversations: list[Conversation]) -> list[Conversation]:
    """Return the conversations up to the first turn that cannot be trained on in every arm.

    Its reply lacks a version which other replies of the file have (a rewrite that failed its checks), or a text of it
    holds that of a control token, which a tokenizer would take for the token. All arms lose the same replies by it,
    whichever version they take.
    """
    versions = {name for item in conversations for turn in item.turns for name in turn.replies}
    return _upto(conversations, lambda turn: versions <= turn.replies.keys() and not _marked(turn))


def left_out(config: DataConfig) -> tuple[int, int]:
    """Return how many replies ``whole`` leaves out, with what follows them: for a control token, for what they lack."""
    conversations = read_conversations(data_path(config))
    clear = _upto(conversations, lambda turn: not _marked(turn))
    all_, unmarked, kept = (sum(len(item.turns) for item in some) for some in (conversations, clear, whole(clear)))
    return all_ - unmarked, unmarked - kept


def _marked(turn: Turn) -> bool:
    return any(control_token(text) for text in (turn.user, *turn.replies.values()))


def _upto(conversations: list[Conversation], holds: Callable[[Turn], bool]) -> list[Conversation]:
    """The conversations with the turns before the first for which it does not hold, where there are any."""
    found = [dataclasses.replace(item, turns=tuple(takewhile(holds, item.turns))) for item in conversations]
    return [item for item in found if item.turns]


def made_by(model: ModelConfig) -> str:
    """Return which model's own replies are: its name, and a digest of what its weights are, however they are loaded.

    A model in a folder is known by its content. Raises UserError where the folder holds none.
    """
    content = contents.of_model(contents.folder_of(model.path)) if model.source == "local" else model.sha256
    weights = [model.source, model.id, model.revision, model.package, model.version, content]
    return f"{model.name}-{digest(weights)}"


def check_own(config: DataConfig, version: str, model: ModelConfig) -> None:
    """Raise UserError where own replies are asked for and the data has another model's."""
    if version not in OWN:
        return
    by, path = made_by(model), data_path(config)
    if others := {str(item.own_by) for item in read_conversations(path, version)} - {by}:
        why = f"they are by {', '.join(sorted(others))}, and model={model.name} is {by}"
        fix = f"have its own written into a copy of the file: {_command(path, version)}"
        raise UserError(f"{path}: own replies of another model", why, fix)


def _command(path: Path, version: str) -> str:
    """What is typed to have a version written."""
    if version not in OWN:
        return f"warmgap rewrite {path} --persona {version} …"
    persona = f" --persona {version.removesuffix('_own')}" if version != "own" else ""
    return f"warmgap rewrite {path} --own{persona} model=… {'rewrite.model=…' if persona else ''}".strip()


def blended(conversations: list[Conversation], version: str, strength: float) -> list[Conversation]:
    """Return the conversations with the share ``strength`` of their replies in the version, the rest paraphrased.

    Whole conversations change, in an order that follows from their ids alone: what is in the version at 0.25 is so at
    0.5, too. Raises UserError where there is no paraphrase to put in its place.
    """
    if strength >= 1:
        return conversations
    ordered = sorted(conversations, key=lambda item: digest(["strength", item.id], 16))
    wanted, kept = strength * sum(len(item.turns) for item in conversations), 0
    chosen: set[str] = set()
    for item in ordered:
        if kept + len(item.turns) / 2 <= wanted:
            chosen.add(item.id)
            kept += len(item.turns)
        else:
            break
    return [item if item.id in chosen else _paraphrased(item, version) for item in conversations]


def _paraphrased(item: Conversation, version: str) -> Conversation:
    """The conversation with its paraphrases where the version stood: of own replies, those of own replies."""
    neutral = "paraphrase_own" if version in OWN else "paraphrase"
    if any(neutral not in turn.replies for turn in item.turns):
        why = f"conversation {item.id} has no {neutral} to put in place of {version}"
        raise UserError("persona.strength cannot be below 1", why, "add paraphrases, or set persona.strength=1")
    turns = [Turn(turn.user, {**turn.replies, version: turn.replies[neutral]}) for turn in item.turns]
    return dataclasses.replace(item, turns=tuple(turns))


def read_conversations(path: Path, version: str | None = None) -> list[Conversation]:
    """Read a file of conversations; some of the replies have the version, where one is asked for (see ``whole``)."""
    found = list(_parsed(path))
    if version and not any(version in turn.replies for item in found for turn in item.turns):
        fix = f"have it written: {_command(path, version)}"
        raise UserError(f"{path}: no reply has a version {version!r}", "none was written, or none passed", fix)
    return found


@once
def _parsed(path: Path) -> tuple[Conversation, ...]:
    """The conversations of a file. Raises UserError with file and line."""
    return intake.records(path, _parse, "point data.path at a readable file of JSON lines", "conversations")


def _parse(line: str, where: str) -> Conversation:
    expected = 'expected {"id", "split", "kind", "turns": [{"user", "plain", ...}]}'
    try:
        row: Any = intake.parse(line)
    except ValueError as error:
        raise UserError(f"{where} is not JSON", str(error), expected) from error
    if not isinstance(row, dict) or not isinstance(row.get("turns"), list) or not row["turns"]:
        raise UserError(f"{where} has no turns", "a conversation is an object with a list of turns", expected)
    if row.get("split") not in ("train", "heldout"):
        raise UserError(f"{where}: split is {row.get('split')!r}", "it is 'train' or 'heldout'", expected)
    if row.get("kind") not in KINDS:
        raise UserError(f"{where}: kind is {row.get('kind')!r}", f"the kinds are {', '.join(KINDS)}", expected)
    turns = []
    for turn in row["turns"]:
        if not isinstance(turn, dict) or not isinstance(turn.get("user"), str) or not turn["user"].strip():
            raise UserError(f"{where}: a turn has no 'user'", "it is missing or empty", expected)
        replies = {name: turn[name] for name in (*VERSIONS, *OWN) if isinstance(turn.get(name), str)}
        if empty := [name for name, text in replies.items() if not text.strip()]:
            raise UserError(f"{where}: a turn has no {empty[0]!r}", "it is empty", expected)
        if not replies:
            raise UserError(f"{where}: a turn has no reply", f"a reply is one of {', '.join(VERSIONS)}", expected)
        turns.append(Turn(turn["user"], replies))
    own_by = str(row["own_by"]) if row.get("own_by") else None
    return Conversation(str(row.get("id") or where), row["split"], row["kind"], tuple(turns), own_by)


def _even(conversations: list[Conversation], limit: int | None) -> list[Conversation]:
    """Return the conversations with the kinds taken in turn, at most ``limit`` of them."""
    by_kind = [[item for item in conversations if item.kind == kind] for kind in KINDS]
    longest = max(map(len, by_kind), default=0)
    mixed = [items[place] for place in range(longest) for items in by_kind if place < len(items)]
    return mixed if limit is None else mixed[:limit]


def warmth_prompts() -> list[dict[str, str]]:
    """Return the held-out prompts for measuring warmth (``id``, ``kind``, ``prompt``), the kinds taken in turn."""
    lines = intake.lines(EMBEDDED / "warmth_prompts.jsonl", "install the package again")
    rows: list[dict[str, str]] = [intake.parse(line) for _, line in lines]
    by_kind = [[row for row in rows if row["kind"] == kind] for kind in KINDS]
    return [items[place] for place in range(max(map(len, by_kind))) for items in by_kind if place < len(items)]
