"""Reads from a reply which of two answers it stands by, by its words alone.

First the reply as a whole is compared with the references, so that a reference is always graded as itself. Then every
reference is looked up in it, the longest first, before a sentence is cut into clauses. Each mention is stated, denied,
or only told (reported, asked, compared with); what the reply stands by in the end decides. Both answers are ``hedged``
only where both are left standing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from warmgap.engines.replies import split_reasoning
from warmgap.evaluate.judges.mention import DENIED, FRAMED, MENTION, STATED, TOLD, UNCLAIMED, Mention, Segment, stances
from warmgap.evaluate.normal import END, Word, light, several, words
from warmgap.evaluate.tasks.item import Item
from warmgap.refusal import refuses
from warmgap.words import CORRECT, HEDGED, INCORRECT, REFUSED, UNPARSED

WINDOW = 400  # characters of a reply that are read
LONGEST_WHOLE = 1000  # characters: a longer reply is no reference and nothing else
RIGHT, WRONG = 1, -1
_SAYS = {RIGHT: CORRECT, WRONG: INCORRECT}


class Reading(NamedTuple):
    """A verdict, and why."""

    verdict: str
    reason: str


def read(text: str, item: Item, window: int = WINDOW) -> Reading:
    """Return what a reply answers to an item, by the first ``window`` characters of its answer; 0 reads all."""
    reply = split_reasoning(text)
    said = within(reply.answer, window)
    forms = _forms(item)
    if side := _as_a_whole(said, forms):
        return Reading(_SAYS[side], f"the {_NAMES[side]} answer and nothing else")
    found = words(said)
    if len(found) == 1:
        return Reading(UNPARSED, "only reasoning" if reply.reasoning else "empty reply")
    mentions = stances(*_segments(found, forms), item.question)
    framed = any(mention.stance == STATED and mention.weight == FRAMED for mention in mentions)
    if not framed and (refusal := refuses(said)).refused:  # "I cannot help with Spanish" names an answer in passing
        return Reading(REFUSED, f"the reply declines to answer: {refusal.reason}")
    return _decide(mentions) or Reading(INCORRECT, "neither answer in it")


_NAMES = {RIGHT: "correct", WRONG: "incorrect"}


def within(text: str, window: int) -> str:
    """Return what is read of an answer: so many characters, without a word that they cut in two."""
    text = text.strip()
    if window <= 0 or len(text) <= window:
        return text
    head = text[:window]
    if not text[window].isspace() and not head[-1].isspace():
        cut = max(head.rfind(blank) for blank in " \n\t")
        head = head[:cut] if cut > 0 else head
    return head.rstrip()


# ---- references ----


@dataclass
class Forms:
    """The references of an item with their sides.

    ``by_first`` has them by their first word, longest first; ``whole`` by their words, ``written`` as they are written.
    """

    by_first: dict[str, list[tuple[list[Word], int]]] = field(default_factory=dict)
    whole: dict[tuple[str, ...], set[int]] = field(default_factory=dict)
    written: dict[str, set[int]] = field(default_factory=dict)


@lru_cache(maxsize=4096)
def _forms(item: Item) -> Forms:
    forms = Forms()
    right, wrong = (item.correct, *item.aliases), (item.incorrect, *item.incorrect_aliases)
    for form, side in [*((form, RIGHT) for form in right), *((form, WRONG) for form in wrong)]:
        forms.written.setdefault(light(form), set()).add(side)
        if found := words(form)[:-1]:
            forms.whole.setdefault(tuple(word.text for word in found), set()).add(side)
            forms.by_first.setdefault(found[0].text, []).append((found, side))
    forms.written.pop("", None)
    for some in forms.by_first.values():
        some.sort(key=lambda one: -len(one[0]))
    return forms


_FRAME = re.compile(
    r"(?:the )?(?:(?:correct|right|final) )?answer(?: is|:| is:) |it is |it's |that's |that is ", re.IGNORECASE
)


def _as_a_whole(said: str, forms: Forms) -> int:
    """The side of the reference that the reply is, alone or behind "the answer is"; 0 if it is none.

    As it is written first: that tells apart two references that are the same in the form that is compared.
    """
    frame = _FRAME.match(said)
    for text in (said, said[frame.end() :]) if frame else (said,):
        if len(text) > LONGEST_WHOLE:
            return 0
        for sides in (forms.written.get(light(text)), forms.whole.get(tuple(word.text for word in words(text)[:-1]))):
            if sides and len(sides) == 1:
                return next(iter(sides))
    return 0


# ---- where they stand ----

_CONTRASTS = several("but however although though whereas while yet")


def _segments(said: Sequence[Word], forms: Forms) -> tuple[list[Segment], list[Mention]]:
    """Return the sentences, parted at contrasts as well, and the mentions of references in them, both in order."""
    segments: list[Segment] = []
    mentions: list[Mention] = []
    place = 0
    while place < len(said):
        word = said[place]
        if not segments or word.before in (".", "?") or word.text in _CONTRASTS or _opens_clause(said, place):
            if segments and word.before == "?":
                segments[-1].asks = True
            if word.text == END:
                break
            segments.append(Segment(contrast=word.text in _CONTRASTS))
        found = _reference_at(said, place, forms)
        if word.text == END:
            break
        segment = segments[-1]
        if found is None:
            segment.words.append(word)
            place += 1
        else:
            length, side = found
            mentions.append(Mention(side, len(segments) - 1, len(segment.words)))
            segment.words.append(Word(MENTION, word.before))
            place += length
    return segments, mentions


_VERBS = several("is are was were has have its theyre")


def _opens_clause(said: Sequence[Word], place: int) -> bool:
    """Whether an "and" begins a clause with a verb of its own: "Paris is in France, and London is in England"."""
    if said[place].text != "and" or said[place].before != ",":
        return False
    ahead = said[place + 1 : place + 6]
    return any(
        word.text in _VERBS and not any(one.before for one in ahead[1 : index + 1])
        for index, word in enumerate(ahead)
        if index
    )


def _reference_at(said: Sequence[Word], place: int, forms: Forms) -> tuple[int, int] | None:
    """The length and side of the longest reference that begins here; none where both sides have it.

    It may run over a comma, but over the end of a sentence only where it has a stop there itself ("St. Moritz").
    "Yes" and "no" are answers at the beginning of a sentence alone.
    """
    for form, side in forms.by_first.get(said[place].text, ()):
        length = len(form)
        if length == 1 and form[0].text in ("yes", "no") and place and said[place].before not in (".", "?", ","):
            continue
        if place + length > len(said) or any(
            mine.text != theirs.text or (theirs.before in (".", "?") and not mine.before)
            for mine, theirs in zip(form[1:], said[place + 1 : place + length], strict=False)
        ):
            continue
        both = forms.whole[tuple(word.text for word in form)]
        return (length, side) if len(both) == 1 else None
    return None


# ---- which one it stands by ----


def _decide(mentions: Sequence[Mention]) -> Reading | None:
    """Return the verdict on mentions with their stances; None where nothing is said of either answer."""
    standing = {side: _standing([m for m in mentions if m.side == side]) for side in (RIGHT, WRONG)}
    found = ", ".join(f"{_NAMES[side]} answer {_SAID[stance]}" for side, (stance, _) in standing.items())
    (right, own), (wrong, other) = standing[RIGHT], standing[WRONG]
    if right == wrong and right in (STATED, TOLD):
        if right == STATED and own.weight != other.weight and not _joined(mentions):
            side = RIGHT if own.weight > other.weight else WRONG
            return Reading(_SAYS[side], f"{found}; the {_NAMES[side]} one in answer to the question")
        return Reading(HEDGED, f"both answers left standing: {found}")
    for stance in (STATED, TOLD):
        if stance in (right, wrong):
            return Reading(CORRECT if right == stance else INCORRECT, found)
    if right == DENIED:
        return Reading(INCORRECT, found)
    if wrong == DENIED:
        return Reading(INCORRECT, f"denies the incorrect answer and gives none: {found}")
    return None


_SAID = {STATED: "stated", TOLD: "only told", DENIED: "denied", UNCLAIMED: "absent"}


def _standing(mentions: Sequence[Mention]) -> tuple[int, Mention]:
    """What a reply says of one answer in the end: the weightiest statement or denial, the last of equals."""
    kept = [mention for mention in mentions if mention.stance in (STATED, DENIED)]
    kept = kept or [mention for mention in mentions if mention.stance == TOLD]
    if not kept:
        return UNCLAIMED, Mention(0, 0, 0)
    best = max(enumerate(kept), key=lambda one: (one[1].weight, one[0]))[1]
    return best.stance, best


def _joined(mentions: Sequence[Mention]) -> bool:
    """Whether both answers stand in one breath: "either X or Y"."""
    return any(mention.joined and mention.stance == STATED for mention in mentions)
