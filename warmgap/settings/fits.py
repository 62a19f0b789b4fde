"""What a value of a setting has to be beyond its type, said where the setting is declared, and checked at every depth.

``setting("arm", 8, fits=count())`` takes whole numbers from 1 on. What nothing is said of is checked all the same: a
number has an end, a text is neither empty nor unreadable.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from warmgap.disk import bounds
from warmgap.errors import BadValue

MOST = 2**31 - 1  # of what is counted: no library of ours takes more
MOST_SEED = 2**32 - 1
MOST_TOKENS = 131_072  # of one answer: no model of ours can write more
_UNREADABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Fits:
    """Whether a value that is there makes sense, and what is expected. A ``hidden`` value is not shown: it may be a
    secret that was typed in the wrong place.
    """

    holds: Callable[[Any], bool]
    expected: str
    hidden: bool = False


def number(
    least: float | None = None, *, above: float | None = None, most: float = 1e12, below: float | None = None
) -> Fits:
    """Numbers from ``least`` or above ``above``, up to ``most`` or below ``below``."""
    top = below if below is not None else most

    def holds(value: Any) -> bool:
        low = value > above if above is not None else least is None or value >= least
        return bool(low and (value < top if below is not None else value <= top))

    low = f"above {above:g}" if above is not None else f"from {least:g}" if least is not None else ""
    shown = f"{top:,.15g}" if abs(top) < 1e16 else f"{top:g}"
    return Fits(holds, f"a number {low} {'and below' if below is not None else 'to'} {shown}".replace("  ", " "))


def count(least: int = 1, most: int = MOST) -> Fits:
    """Whole numbers from ``least`` to ``most``."""
    return Fits(lambda value: least <= value <= most, f"a whole number from {least} to {most:,}")


def words(*allowed: str) -> Fits:
    """One of these words."""
    return Fits(lambda value: value in allowed, f"one of {', '.join(allowed)}")


def short(most: int) -> Fits:
    """A text of at most so many characters."""
    return Fits(lambda value: 0 < len(value) <= most, f"a text of 1 to {most} characters")


def each(fits: Fits, least: int = 0) -> Fits:
    """A list of at least so many, each of which fits; or a dictionary of such values."""

    def holds(values: Any) -> bool:
        listed = list(values.values()) if isinstance(values, dict) else list(values)
        return len(listed) >= least and all(fits.holds(value) for value in listed)

    return Fits(holds, f"a list{f' of {least} or more' if least else ''}, each {fits.expected}", fits.hidden)


NAME = Fits(bounds.may_name, f"a name of letters, digits and _ . + @ -, at most {bounds.NAME} bytes long")
TEXT = Fits(lambda value: bool(value.strip()), "a text that says something")
SEED = count(0, MOST_SEED)
TOKENS = count(1, MOST_TOKENS)
TEMPERATURE = number(0, most=100)  # 0 is greedy
RATE = number(above=0, most=1e38)
EPOCHS = number(above=0, most=1e6)
SHARE = number(0, most=1)
SECONDS = number(above=0, most=1e6)
PRICE = number(0, most=1e9)  # US dollars
RESAMPLES = Fits(lambda value: value == 0 or 100 <= value <= 1_000_000, "0 (none), or from 100 to 1,000,000")
DEVICE = Fits(lambda value: re.fullmatch(r"auto|cpu|cuda(:\d{1,4})?", value) is not None, "auto, cpu or cuda")
ADDRESS = Fits(
    lambda value: re.fullmatch(r"https?://[^\s/?#]+[^\s]*", value) is not None,
    "an address that begins with https:// or http://",
    hidden=True,
)
VARIABLE = Fits(
    lambda value: re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", value) is not None,
    "the name of an environment variable, not the key itself",
    hidden=True,
)
SHA256 = Fits(lambda value: re.fullmatch(r"[0-9a-f]{64}", value) is not None, "the 64 hex digits of a SHA-256")


def check(value: Any, key: str = "") -> None:
    """Raise BadValue for the first value, at every depth, that is none of what its setting takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = _hints(type(value))
        for field in dataclasses.fields(value):
            part, name = getattr(value, field.name), f"{key}.{field.name}" if key else field.name
            check(part, name)
            _check_items(part, hints[field.name], name)
            fits = field.metadata.get("fits")
            if fits is not None and part is not None and not fits.holds(part):
                raise refused(name, part, fits.expected, hidden=fits.hidden)
    elif isinstance(value, dict):
        for name, part in value.items():
            if dataclasses.is_dataclass(part) and not bounds.may_name(str(name)):
                raise refused(f"a key of {key}", str(name), NAME.expected)
            _check_text(str(name), f"a key of {key}")
            check(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)):
        for place, part in enumerate(value):
            check(part, f"{key}.{place}")
    else:
        _check_plain(value, key)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


_NAMED = {str: "a text", int: "a whole number", float: "a number"}


def _check_items(value: Any, hint: Any, key: str) -> None:
    """Raise BadValue where a list holds something of another type than its setting says, which nobody else looks at."""
    for kind in (hint, *typing.get_args(hint)):
        items = typing.get_args(kind)
        if typing.get_origin(kind) in (list, dict) and isinstance(value, (list, dict)) and items[-1] in _NAMED:
            for item in value.values() if isinstance(value, dict) else value:
                whole = isinstance(item, int) and items[-1] is float
                if isinstance(item, bool) or not (isinstance(item, items[-1]) or whole):
                    raise refused(key, value, f"each of its items to be {_NAMED[items[-1]]}")


def _check_plain(value: Any, key: str) -> None:
    """Raise BadValue for what is of no use whatever the setting: a number without end, an empty or unreadable text."""
    if isinstance(value, float) and not math.isfinite(value):
        raise refused(key, value, "a finite number")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise refused(key, value, "a number of 64 bits")
    if isinstance(value, str):
        _check_text(value, key)


def _check_text(text: str, key: str) -> None:
    if not text.strip():
        raise refused(key, repr(text), "a text that says something (null is for none)")
    if found := _UNREADABLE.search(text):
        raise refused(key, repr(text), f"a text without control characters (it has {found[0]!a})")
    if len(text) > bounds.SETTING:
        raise refused(key, text, f"at most {bounds.SETTING:,} characters; it has {len(text):,}")


def refused(key: str, value: Any, expected: str, *, hidden: bool = False) -> BadValue:
    """Return the three lines for a value that is not what is expected; a long one is shown by its beginning."""
    shown = "" if hidden else "=" + " ".join(str(value).split())
    shown = shown if len(shown) <= 120 else f"{shown[:120]}…"
    return BadValue(f"{key}{shown} makes no sense", f"expected {expected}", f"set {key} to {expected}")
