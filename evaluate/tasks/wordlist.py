"""Sets of words, written as one text."""

from __future__ import annotations


def words(text: str, between: str | None = None) -> frozenset[str]:
    """Return the words of a text, or its parts between a mark."""
    return frozenset(text.split(between))
