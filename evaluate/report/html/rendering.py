"""How templates are rendered, and how numbers are written in them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from warmgap.evaluate.report.comparison import Effect, interval, number, p_value, whole
from warmgap.evaluate.report.headline import MINUS
from warmgap.words import BELIEF_LABELS, CONTEXT_LABELS, label


def environment() -> Environment:
    """Return the templates of this folder, with our filters; whatever is put in is escaped."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= _filters()
    return made


def _glyph(effect: Effect, half: float) -> dict[str, float] | None:
    """Where the little plot of one effect has its point and ends, from 0 (left) to 100 (right)."""
    if not effect.known:
        return None
    places = {"x": effect.estimate, "low": effect.low, "high": effect.high}
    return {name: round(min(100.0, max(0.0, 50 + 50 * value / half)), 2) for name, value in places.items()}


def _filters() -> dict[str, Any]:
    """How numbers are written in the template."""

    def fixed(value: float, digits: int = 1) -> str:
        return number(value, digits, minus=MINUS)

    def signed(value: float, digits: int = 1) -> str:
        return number(value, digits, signed=True, minus=MINUS)

    def ends(row: Any, digits: int = 1) -> str:
        return interval(row.low, row.high, digits, MINUS)

    def bounds(effect: Effect) -> str:
        return interval(effect.missing_low, effect.missing_high, minus=MINUS)

    def known(value: Any) -> Any:
        return value if isinstance(value, (int, float)) and math.isfinite(value) else ""

    return {
        "fixed": fixed, "signed": signed, "ends": ends, "known": known, "whole": whole, "p": p_value, "glyph": _glyph,
        "bounds": bounds,
        "context": lambda term: label(term, CONTEXT_LABELS), "belief": lambda term: label(term, BELIEF_LABELS),
        "breakable": lambda name: Markup(re.sub(r"([_+])", r"\1<wbr>", str(Markup.escape(name)))),
        "stratum": lambda term: term.split(":", 1)[-1].replace("_", " "),
    }  # fmt: skip
