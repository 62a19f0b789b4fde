"""How large, deep and long what others wrote may be, and what may be part of a file's name: said here, nowhere else."""

from __future__ import annotations

import re

DEEPEST = 500  # levels of lists and objects in one another; a parser's own limit depends on who calls it
LINE = 16_000_000  # bytes of one row or line: no conversation is longer, and whoever reads it holds it several times
EXPANSION, ALWAYS = 200, 1_000_000_000  # a packed log may come to so many times its size, or to so many bytes
TABLE_ALWAYS = 256_000_000  # ... or, of a table that is held whole, to so many bytes
TEXT = 2_000_000_000  # bytes of a file that is held whole as text
HEADER = 100_000_000  # bytes of a safetensors file's header, as the format has it
YAML = 1_000_000  # characters of a file of settings, and values that its anchors make of it
NAME = 96  # bytes of a name: a hub allows as many, and a folder's name is made of two or three
FILE = 255  # bytes of the name of a file or folder, on any file system of ours
SETTING = 100_000  # characters of a setting; what is longer belongs into a file
_NAME = re.compile(r"\w[\w.+@-]*")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # of some file systems


def may_name(text: str, most: int = NAME) -> bool:
    """Whether a text may be part of the name of a file: letters, digits and ``_ . + @ -``, in so many bytes."""
    plain = _NAME.fullmatch(text) is not None and ".." not in text and not text.endswith(".")
    return plain and _RESERVED.fullmatch(text) is None and len(text.encode()) <= most
