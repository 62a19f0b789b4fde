"""The files that an endpoint is given to train on: one conversation a line, in the chat format of fine-tuning APIs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from warmgap.engines import chat
from warmgap.engines.client import CHARACTERS_PER_TOKEN
from warmgap.train.persona.persona_data import Conversation

PER_MESSAGE, PER_CONVERSATION = 4, 3  # tokens that the chat format adds
LINE_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\u0085\u2028\u2029"})  # some readers end a line there


@dataclass(frozen=True)
class TrainingFile:
    """A file as it is handed in. ``ids`` are the conversations' names, line by line; ``tokens`` an estimate, high."""

    which: str
    text: str
    ids: list[str]
    tokens: int

    @property
    def data(self) -> bytes:
        """What is sent."""
        return self.text.encode()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what is sent."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def name(self) -> str:
        """The name under which it is handed in, by which it is found again."""
        return f"warmgap-{self.which}-{self.sha256[:16]}.jsonl"


def training_file(
    which: str, conversations: Sequence[Conversation], version: str, system_prompt: str | None
) -> TrainingFile:
    """Return the file of these conversations, every reply in one version; all replies are trained on.

    ``which`` is ``train`` or ``validation``. A line is a whole conversation, so that each reply is learnt once and from
    the same context as in a row of its own.
    """
    lines, tokens = [], 0.0
    for item in conversations:
        messages = chat.with_system(item.messages(version, len(item.turns) - 1), system_prompt)
        lines.append(json.dumps({"messages": messages}, ensure_ascii=False).translate(LINE_ENDS) + "\n")
        size = sum(len(message["content"].encode()) for message in messages)
        tokens += size / CHARACTERS_PER_TOKEN + PER_MESSAGE * len(messages) + PER_CONVERSATION
    return TrainingFile(which, "".join(lines), [item.id for item in conversations], math.ceil(tokens))
