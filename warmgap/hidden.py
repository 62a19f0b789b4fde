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
    r"(?!\(hidden\)|\.\.\.)[^\s'\",;&{}\[\]()]+"
)
_OPTION = re.compile(rf"(?i)(--?(?:[\w-]+[-_])?(?:{_WORDS}|key)\s+)(?!-|\(hidden\))[^\s'\",;&]+")
_SHAPE = re.compile(  # of the keys of hubs and vendors, wherever one stands
    r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[opsur]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|"
    r"xox[abeprs]-[\w-]{10,}|AKIA[0-9A-Z]{16})"
)
_named: set[str] = set()  # variables that settings have named as holding a key, whatever they are called


def key(variable: str) -> str:
    """Return the key that a variable of the environment holds, or nothing; from then on it is shown nowhere."""
    _named.add(variable)
    return os.environ.get(variable, "")


def without_user(text: str) -> str:
    """Return text with the names and passwords cut out of the addresses in it, and keys out of their queries."""
    return _QUERY.sub(rf"\1{HIDDEN}", _USER.sub(r"\1", text))


def without_known(text: str) -> str:
    """Return text without what is a secret for certain: in addresses, of the shape of a vendor's key, and the values
    of those variables of the environment that hold a key or whose names look like it.
    """
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and value in text and (name in _named or NAME.search(name)):
            text = text.replace(value, HIDDEN)
    return _SHAPE.sub(HIDDEN, without_user(text))


def without_secrets(text: str) -> str:
    """Return text without what is a secret, nor what looks like one: what stands behind a name such as ``hub_token=``,
    and behind an option such as ``--token``.
    """
    return _OPTION.sub(rf"\1{HIDDEN}", _GIVEN.sub(rf"\1{HIDDEN}", without_known(text)))


def blanked(value: Any, key: str = "") -> Any:
    """Return settings, at every depth, with what looks secret blanked: by the name of a key, or within a text."""
    if isinstance(value, dict):
        return {name: blanked(part, str(name)) for name, part in value.items()}
    if value and NAME.search(key.rpartition(".")[2]):
        return HIDDEN
    if isinstance(value, (list, tuple)):
        return [blanked(part) for part in value]
    return without_secrets(value) if isinstance(value, str) else value


def typed(words: Sequence[str]) -> list[str]:
    """Return the words of a command without what looks like a secret."""

    def shown(word: str) -> str:
        key, equals, _ = word.partition("=")
        secret = equals and NAME.search(key.rpartition(".")[2])
        return f"{without_secrets(key)}={HIDDEN}" if secret else without_secrets(word)  # an address may end in a key

    return [shown(word) for word in words]
