"""Near numbers, years, months and days in the form of an answer: "35 years" → "40 years", "19th" → "20th"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from warmgap.evaluate.normal import normalise

_YEAR = re.compile(r"^(?:1[0-9]|20)\d\d$")
_NUMBER = re.compile(r"^(?:[£$€]|about |c\. ?)?(\d[\d,]*(?:\.\d+)?)(st|nd|rd|th|s)?\s*([^\d;]{0,24})$", re.I)
_WORDS = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
_MONTHS = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
]  # fmt: skip
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_LATEST = 2026  # a year behind it would give itself away


def number_kind(question: str, answer: str) -> str | None:
    """Return year, number, month or day where an answer is one, else None."""
    plain = normalise(answer)
    match = _NUMBER.match(answer.strip().rstrip("."))
    if plain in _MONTHS and (plain not in ("may", "march") or re.search(r"\bmonth\b|\bwhen\b", question, re.I)):
        return "month"
    if plain in _DAYS:
        return "day"
    if (
        match is not None
        and _YEAR.match(match[1])
        and not match[3]
        and re.search(r"\byear|\bwhen\b|\bdecade", question, re.I)
    ):
        return "year"
    return "number" if plain in _WORDS or plain in _ORDINALS or match is not None else None


def near_number(question: str, answer: str, aliases: Sequence[str], turn: bytes) -> str | None:
    """Return a near number or year, month or day in the same form, or None where the answer is none."""
    kind = number_kind(question, answer)
    if kind is None:
        return None
    draw = int.from_bytes(turn[:8], "big")
    known = {normalise(text) for text in (answer, *aliases)}
    for shift in range(5):  # another step where the first gives an accepted form
        other = _shifted(answer.strip().rstrip("."), kind, draw + shift)
        if other is not None and not any(f" {normalise(other)} " in f" {form} " for form in known):
            return other
    return None


def _shifted(answer: str, kind: str, draw: int) -> str | None:
    plain = normalise(answer)
    for series in (_WORDS, _ORDINALS, _MONTHS, _DAYS):
        if plain in series:
            other = series[(series.index(plain) + (1, 2, -1, -2)[draw % 4]) % len(series)]
            return other.capitalize() if answer[:1].isupper() else other
    match = _NUMBER.match(answer)
    if match is None:
        return None
    digits, ending = match[1].replace(",", ""), (match[2] or "").lower()
    if kind == "year" or (ending == "s" and _YEAR.match(digits)):
        steps = (10, -10, 20, -20) if ending == "s" else (3, 5, -4, -7, 8)
        value = str(min(int(digits) + steps[draw % len(steps)], _LATEST))
    elif "." in digits:
        value = f"{float(digits) * (1.25, 0.8, 1.5)[draw % 3]:.{len(digits.split('.')[1])}f}"
    else:
        value = str(_near(int(digits), draw))
        value = f"{int(value):,}" if "," in match[1] else value
    if ending in ("st", "nd", "rd", "th"):
        return answer.replace(match[1] + match[2], value + _ordinal(int(value)), 1)
    return answer.replace(match[1], value, 1)


def _near(number: int, draw: int) -> int:
    """A number some fifteenth part or more away, as round as the first."""
    zeros = len(str(number)) - len(str(number).rstrip("0")) if number else 0
    round_to = int("1" + "0" * zeros)
    step = max(round_to, round(number * 0.15 / round_to) * round_to, 1)
    if number % 5 == 0 and round_to == 1 and number > 10:
        step = max(5, round(step / 5) * 5)
    other = number + (step, -step, 2 * step)[draw % 3]
    return other if other > 0 else number + step


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
