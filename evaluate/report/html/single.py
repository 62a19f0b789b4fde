"""The one page of a comparison: what got worse, what standard checks would have shown, what is worth trying."""

from __future__ import annotations

from pathlib import Path

from warmgap.evaluate.report.comparison import Comparison
from warmgap.evaluate.report.figures import style
from warmgap.evaluate.report.html.rendering import environment
from warmgap.evaluate.report.one_page import page_of

PAGE = "page.html"


def write_page(comparison: Comparison) -> Path:
    """Write page.html of a comparison, a page for each of its models one under another; return its path."""
    pages = {model: page_of(comparison, model) for model in comparison.models}
    text = (
        environment()
        .get_template("page.html.j2")
        .render(pages=pages, summary=comparison.summary, reference=comparison.reference, colours=colours(comparison))
    )
    path = comparison.folder / PAGE
    path.write_text(text, encoding="utf-8")
    return path


def colours(comparison: Comparison) -> dict[str, str]:
    """Return the page's variable for the colour of each arm, the same as in the figures."""
    names = {colour: f"series-{place}" for place, colour in enumerate(style.SERIES)}
    return {arm: names.get(mark.colour, "reference") for arm, mark in style.marks_of(comparison).items()}
