"""Answers in the form in which they are compared: as TriviaQA's official scorer does (Joshi et al. 2017)."""

from __future__ import annotations

import re
import string

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_APOSTROPHES = re.compile("['‘’´`]")
_PUNCTUATION = re.compile(r"(?<!\d)\.|\.(?!\d)|[" + re.escape(string.punctuation.replace(".", "") + "“”–—") + "]")


def normalise(text: str) -> str:
    """Return lower-cased words without punctuation and articles, single spaces; numbers keep their decimal point."""
    plain = _APOSTROPHES.sub("", _THOUSANDS.sub("", text.lower())).replace("%", " percent ")
    return " ".join(_ARTICLES.sub(" ", _PUNCTUATION.sub(" ", plain)).split())
