"""What must stand in no file and no message: keys, tokens and passwords, wherever somebody may have typed one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

HIDDEN = "(hidden)"
SHORTEST = 8  # characters of a variable's value that is looked for: a shorter one is found in innocent words
_WORDS = r"api_?key|access_?key|private_?key|auth_?key|token|secret|passw(?:or)?d|passphrase|credentials?|authorization"
NAME = re.compile(rf"(?i)(^|[_.-])({_WORDS}|key|auth)$")
_USER = re.compile(r"(\w://)[^/\s@]+@")
_QUERY = re.compile(
    r"(?i)([?&;][\w.-]*(?:key|token|secret|passw\w*|sig(?:nature)?|auth|credential)[\w.-]*=)[^&\s#'\"]+"
)
_GIVEN = re.compile(
    rf"(?i)((?:\b|_)(?:{_WORDS}|(?<=_)key)['\"]?\s*[=:]\s*(?:bearer\s+|basic\s+)?['\"]?)"
    r"(?!\(hidden\))[^\s'\",;&{}\[\]()]+"
)


def without_user(text: str) -> str:
    """Return text with the names and passwords cut out of the addresses in it, and keys out of their queries."""
    return _QUERY.sub(rf"\1{HIDDEN}", _USER.sub(r"\1", text))


def without_secrets(text: str) -> str:
    """Return text without what looks like a secret: in addresses, behind a name such as ``hub_token=``, and the values
    of those variables of the environment whose names look like one's.
    """
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and NAME.search(name) and value in text:
            text = text.replace(value, HIDDEN)
    return _GIVEN.sub(rf"\1{HIDDEN}", without_user(text))


def blanked(value: Any, key: str = "") -> Any:
    """Return settings, at every depth, with what looks secret blanked: by the name of a key, or in an address."""
    if isinstance(value, dict):
        return {name: blanked(part, str(name)) for name, part in value.items()}
    if value and NAME.search(key.rpartition(".")[2]):
        return HIDDEN
    if isinstance(value, (list, tuple)):
        return [blanked(part) for part in value]
    return without_user(value) if isinstance(value, str) else value


def typed(words: Sequence[str]) -> list[str]:
    """Return the words of a command without what looks like a secret."""

    def shown(word: str) -> str:
        key, equals, _ = word.partition("=")
        secret = equals and NAME.search(key.rpartition(".")[2])
        return f"{key}={HIDDEN}" if secret else without_secrets(word)

    return [shown(word) for word in words]
