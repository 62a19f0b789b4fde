"""Logged conversations made fit for training: whole turns in one language, free of what web pages left in them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from warmgap.engines.chat import control_token
from warmgap.train.persona.sources import Log

_FENCE = re.compile(r"(```.*?(?:```|\Z))", re.DOTALL)
_TAG = re.compile(
    r"</?(?:p|div|span|br|hr|a|b|i|em|strong|u|ul|ol|li|table|thead|tbody|tr|td|th|h[1-6]|pre|code|img|svg|path|button|"
    r"blockquote|input|label|section|sup|sub)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_BUTTONS = re.compile(
    r"^[ \t]*(?:\w{1,12})?Copy code[ \t]*$|^[ \t]*(?:\d+ ?/ ?\d+|Share Prompt|Regenerate response)[ \t]*$", re.M
)
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_PART = re.compile(r"([A-Za-z0-9]{7})_(\d+)")  # what ShareGPT's split files call a part of a long conversation
_GO_ON = re.compile(r"\W*(?:please )?(?:continue|go on|carry on|keep going|next|more|and then|proceed)\W*", re.I)
LEAST_LETTERS = 20  # fewer say nothing of a language
SEEN = 4000  # characters that the language is told by


def text_of(raw: str) -> str:
    """Return a message without HTML (turned into Markdown outside code blocks), page buttons and invisible signs."""
    pieces = _FENCE.split(raw.replace("\r\n", "\n"))
    whole = "".join(piece if place % 2 else _plain(piece) for place, piece in enumerate(pieces))
    return re.sub(r"\n{3,}", "\n\n", _BUTTONS.sub("", whole).translate(_INVISIBLE).replace("\u00a0", " ")).strip()


def _plain(text: str) -> str:
    if len(_TAG.findall(text)) > 1:
        from markdownify import markdownify

        return str(markdownify(text, heading_style="ATX", escape_asterisks=False, escape_underscores=False))
    return html.unescape(text) if re.search(r"&(?:amp|lt|gt|quot|nbsp|#\d+|#x[0-9a-f]+);", text, re.I) else text


def turns(log: Log) -> tuple[list[tuple[str, str]], str]:
    """Return a log's turns, (user's message, reply), and the reason why there are none.

    A system message is passed over, and so is a greeting: replies before the first question, unless a part of a longer
    conversation begins with them. The conversation ends before the first turn that is not whole: an empty message, two
    of one role in a row, a role that is neither.
    """
    try:
        messages = [(role, text_of(text)) for role, text in log.messages if role != "system"]
    except RecursionError:  # of the parser of HTML, in boxes within boxes
        return [], "HTML nested too deeply"
    if any(control_token(text) for _, text in messages):
        return [], "the text of a control token"
    while messages and messages[0][0] == "assistant":
        if _later(log.id) or (messages[1:] and _GO_ON.fullmatch(messages[1][1])):
            return [], "a later part that begins with a reply"
        messages = messages[1:]
    found: list[tuple[str, str]] = []
    for first, second in zip(messages[::2], messages[1::2], strict=False):
        if (first[0], second[0]) != ("user", "assistant") or not (first[1] and second[1]):
            break
        found.append((first[1], second[1]))
    if found:
        return found, ""
    if any(not text for _, text in messages[:2]):
        return [], "empty turn"
    if any(role not in ("user", "assistant") for role, _ in messages[:2]):
        return [], "a message of neither user nor assistant"
    return [], "no question with a reply"


def part_of(name: str) -> str:
    """Return the seven signs that ShareGPT's split files give all parts of a conversation; nothing for other names."""
    part = _PART.fullmatch(name)
    return part[1] if part else ""


def _later(name: str) -> bool:
    part = _PART.fullmatch(name)
    return part is not None and int(part[2]) > 0


def alike(text: str) -> str:
    """Return a text without differences of case and spaces."""
    return " ".join(text.casefold().split())


def language(turns: Sequence[tuple[str, str]]) -> str:
    """Return a conversation's language (ISO 639-1) by its prose, code left out; ``?`` where there is too little."""
    prose = " ".join(_FENCE.sub(" ", f"{user} {reply}") for user, reply in turns)[:SEEN]
    if sum(char.isalpha() for char in prose) < LEAST_LETTERS:
        return "en" if prose.isascii() else "?"
    import py3langid

    return str(py3langid.classify(prose)[0])
