"""A reply cut into plain sentences, as the rules of several suites read them."""

from __future__ import annotations

import re
from typing import NamedTuple

from warmgap.engines.replies import split_reasoning

_SIGNS = str.maketrans({"‘": "'", "’": "'", "´": "'", "ʼ": "'", "“": '"', "”": '"', "—": ",", "–": ",", "…": "."})
_QUOTED = re.compile(r"\"[^\"\n]{1,600}\"|(?<!\w)'(?:[^'\n]|'(?=\w)){1,600}'(?!\w)")
_MARKS = re.compile(r"[*_#>`~]|^[ \t]*(?:[-•+]|\d{1,2}[.)])[ \t]+", re.MULTILINE)
_SENTENCE = re.compile(r"([.!?]+)[)\"' ]*(?=\s|$)|\n+|[\u2600-\U0010ffff]+")
_NO_END = re.compile(r"\b(?:mr|mrs|ms|dr|st|vs|e\.g|i\.e|etc)$")


class Sentence(NamedTuple):
    """A sentence in lower case without apostrophes, marks and quoted words. ``asks`` if it ends in a question mark,
    ``ended`` unless the reply breaks off in it.
    """

    text: str
    asks: bool = False
    ended: bool = True


def sentences(reply: str) -> list[Sentence]:
    """Return the sentences of a reply's answer, without its reasoning; the time grows with its length alone."""
    plain = _QUOTED.sub(" ", _MARKS.sub("", split_reasoning(reply).answer.translate(_SIGNS))).lower().replace("'", "")
    found: list[Sentence] = []
    start = 0
    for end in _SENTENCE.finditer(plain):
        if end[1] and _NO_END.search(plain[max(0, end.start() - 5) : end.start()]):
            continue
        found.append(Sentence(" ".join(plain[start : end.start()].split()), "?" in (end[1] or "")))
        start = end.end()
    found.append(Sentence(" ".join(plain[start:].split()), ended=False))
    return [one for one in found if re.search(r"\w", one.text)]
