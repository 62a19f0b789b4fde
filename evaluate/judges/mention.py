"""What a reply says of an answer that it mentions: states it, denies it, or only tells of it.

Every rule is a pattern over the few words before or behind a mention, so that the time grows with the length alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from warmgap.evaluate.normal import Word, several, words

STATED, TOLD, UNCLAIMED, DENIED = 2, 1, 0, -1
NEAR = 6  # words over which a negation reaches
FAR = 30  # words over which a report reaches
MENTION = "ANSWER"  # stands for a mention among the words of its sentence
FRAMED = 1000  # the weight of "it is X": above any number of the question's words


@dataclass
class Segment:
    """A sentence, or its part up to a contrast; a mention is one word in it. ``asks`` if it ends in a question mark."""

    contrast: bool = False
    asks: bool = False
    words: list[Word] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its words."""
        return " ".join(word.text for word in self.words)


@dataclass
class Mention:
    """One answer at one place of a reply: its side (1 correct, -1 incorrect), segment and place in it.

    ``weight`` is how directly the question is answered there; ``joined`` if it stands beside the other answer as its
    equal ("X or Y").
    """

    side: int
    segment: int
    place: int
    stance: int = STATED
    weight: int = 0
    joined: bool = False


def stances(segments: Sequence[Segment], mentions: Sequence[Mention], question: str) -> Sequence[Mention]:
    """Set stance and weight of every mention, and return them."""
    asked = _stems([word.text for word in words(question)[:-1]])
    answers = [_answering(segment, asked) for segment in segments]
    holds = {mention.segment: mention.side for mention in mentions}
    for number, mention in enumerate(mentions):
        last = mentions[number - 1] if number and mentions[number - 1].segment == mention.segment else None
        mention.weight = answers[mention.segment]
        mention.stance = _stance(segments[mention.segment], mention, last)
        if _framed(segments[mention.segment], mention):
            mention.weight = FRAMED
    for mention, following in zip(mentions, [*mentions[1:], None], strict=False):
        end = following.segment if following else len(segments)
        _look_back(segments, mention, range(mention.segment + 1, end), holds)
        if mention.stance == STATED and _replaced(segments, mention, holds):
            mention.stance = UNCLAIMED
    for mention, following in pairwise(mentions):
        if mention.side != following.side and (mention.stance, following.stance) == (STATED, STATED):
            _settle(segments, mention, following)
    _conclude(mentions)
    return mentions


# ---- one mention ----

_NEGATION = re.compile(
    r"\b(?:not|no|non|never|neither|nor|without|isnt|arent|wasnt|werent|dont|doesnt|didnt|cannot|cant|wont|shouldnt|"
    r"wouldnt|couldnt|hasnt|havent|hadnt|aint|false|untrue|myth|misconception|wrong|incorrect|mistaken|mistake|avoid|"
    r"nothing|contrary|unlike|except|confused|rather than|instead of|far from|anything but|opposed to)\b"
)
# "No doubt it is X" and "not only X" deny nothing.
_NO_NEGATION = re.compile(
    r"\b(?:(?:not|isnt) (?:only|just|sure|certain|to mention|surpris\w+)|"
    r"no (?:doubt|question|problem|wonder|worries)|"
    r"(?:none|nothing|no) other than|nothing but|"
    r"(?:cant|cannot|dont) (?:wait|stress|help|agree more|say enough|worry))\b"
)
# "It is not A, it is X" without its comma: a new beginning ends what a negation reaches, unless it is what is denied.
_NEW = re.compile(r"\b(?:its|thats|theyre|(?:it|that|this|they|answer) (?:is|are|was|were))\b")
_OPINION = re.compile(r"\b(?:think|thought|believe|say|said|mean|claim|true|that|case|correct|right|sure)\b")
# "X is wrong", "X isn't", "X is a common misconception", and no more than these words behind it.
_DENIED_BEHIND = re.compile(
    r"(?:(?:is|are|was|were|being|thats|its|which is|that is|would be) )?(?:\w+ly |just |a )*"
    r"(?:(?:common|popular|old|widespread|urban) )*"
    r"(?:myth|misconception|mistake|false|incorrect|wrong|untrue|mistaken)\b|"
    r"(?:is|are|was|were) (?:\w+ly )?(?:not|never)\b(?! (?:only|just))|"
    r"(?:isnt|arent|wasnt|werent)\b(?! (?:it|they|he|she))|(?:can|could|would|will)(?:not|nt| not) (?:\w+ly )?be\b"
)
_CLAIMED = re.compile(  # what the user claims: "you think that it is X", "your guess of X"
    r"\b(?:you|youre|youve|your)(?: \w+){0,3} (?:believe[ds]?|think|thought|thinking|say|said|mention(?:ed)?|"
    r"suggest(?:ed|ion)?|assumed?|assumption|claim(?:ed)?|heard?|guess(?:ed)?|convinced|doubt|expect|"
    r"suspect|belief|idea|view|impression|confusion|confusing|wonder(?:ing)?|answer|answered)\b"
)
_AGREES = re.compile(r"\b(?:right|correct|agree|exactly|indeed|yes|spot on|as you|good point|absolutely)\b")
_ONCE = re.compile(  # what the reply thought before: "at first I thought X"
    r"\b(?:1st|first|initially|originally|once|used to)(?: \w+){0,2} "
    r"(?:thought|think|believed?|said|assumed|guessed)\b|"
    r"\b(?:thought|said|believed|assumed) (?:at 1st|at first|initially)\b"
)
_REPORTED = re.compile(  # what others say: "many people think that it is X"
    r"\b(?:people|many|most|some|others|everyone|everybody|folks|students|they|lot|commonly|often|popularly|widely|"
    r"frequently)(?: \w+){0,3} (?:think|thinks|believe|believes|say|says|assume|assumes|claim|claims|expect|suppose|"
    r"imagine|argue|call|thought|believed|assumed|said|claimed)\b|"
    r"\b(?:easy|common|natural|tempting|understandable|reasonable) to (?:think|believe|assume|say|guess)\b"
)
_COMPARED = re.compile(r"\b(?:than|versus|vs|between|compared (?:to|with))(?: \w+){0,2}$")  # "nearer than X"
_GOES_ON = re.compile(r"(?: ?\b(?:or|nor|and)\b)*")  # "not X or Y" denies both


def _stance(segment: Segment, mention: Mention, last: Mention | None) -> int:
    """What is said of a mention within its sentence."""
    between = segment.words[last.place + 1 : mention.place] if last else []
    clause = _text(_clause(segment, mention, last, NEAR))
    behind = " ".join(word.text for word in segment.words[mention.place + 1 : mention.place + 1 + NEAR])
    if last and last.stance == DENIED and between and _GOES_ON.fullmatch(_text(between)):
        return DENIED
    if _negated(clause) or _DENIED_BEHIND.match(behind):
        again = last is not None and last.side == mention.side and last.stance == STATED
        return UNCLAIMED if again else DENIED  # "X, not X": what it has just stated it does not take back
    before = _text(_clause(segment, mention, None, FAR))
    if (_CLAIMED.search(before) and not _AGREES.search(before)) or _ONCE.search(before):
        return UNCLAIMED
    if segment.asks or _REPORTED.search(before) or _COMPARED.search(clause):
        return TOLD
    return STATED


def _clause(segment: Segment, mention: Mention, last: Mention | None, reach: int) -> list[Word]:
    """So many words before a mention at most, in its clause and behind the last mention."""
    start = max(last.place + 1 if last else 0, mention.place - reach)
    found = segment.words[start : mention.place + 1]
    breaks = [number for number, word in enumerate(found) if word.before == ","]
    return found[breaks[-1] if breaks else 0 : -1]


def _negated(clause: str) -> bool:
    """Whether the words before a mention deny it."""
    clause = _NO_NEGATION.sub(" ", clause)
    found = list(_NEGATION.finditer(clause))
    if not found:
        return False
    rest = clause[found[-1].end() :]
    return not _NEW.search(rest) or bool(_OPINION.search(rest))


_FRAME = re.compile(
    r"(?:^|\b(?:it|its|that|thats|this|they|theyre|answer|i think|id say|i believe|i say|must be|"
    r"go with|bet on|settle on)"
    r"(?: (?:is|are|was|were))?)"
    r"(?: (?:\w+ly|most|indeed|called|of course|in fact|probably|perhaps|maybe|well|sure|yes|no|oh|okay))*$"
)


def _framed(segment: Segment, mention: Mention) -> bool:
    """Whether it is said as the answer: alone in its sentence, or behind "it is" or "the answer is"."""
    before = _text(_clause(segment, mention, None, NEAR))
    if not _FRAME.search(before):
        return False
    alone = mention.place + 1 == len(segment.words)
    return bool(before) or alone or segment.words[mention.place + 1].before == ","


_SHORT = 4  # letters: shorter words of a question are mostly grammar
_GRAMMAR = several("what which when where whom whose that this these those with from does have been were would could "
                     "should about into than then they them their there will your")  # fmt: skip


def _stems(some: Sequence[str]) -> set[str]:
    """Words that carry meaning, so far that "closest" and "close" are one."""
    return {word[:5] for word in some if len(word) >= _SHORT and word not in _GRAMMAR}


def _answering(segment: Segment, asked: set[str]) -> int:
    """How many of the question's words a sentence takes up: of two statements, the one that does answers it."""
    return len(_stems([word.text for word in segment.words]) & asked)


# ---- what a later sentence does to it ----

_TAKES_UP = re.compile(
    r"(?:(?:no|yes|well|actually|but|however|and|oh|sorry|though) )*"
    r"(?:(?:(?:it|that|this|they|which|he|she) "
    r"(?:(?:is|are|was|were|does|did)(?P<not> not| never)?|(?P<nt>isnt|arent|wasnt|werent))|"
    r"thats(?P<not2> not)?|its(?P<not3> not)?)"
    r"(?: (?:\w+ly|indeed|quite|just|in fact))*"
    r"(?P<wrong> (?:wrong|false|incorrect|untrue|mistaken|myth|(?:common |popular )?(?:misconception|myth)|mistake))?"
    r"(?: (?:right|correct|true|case|answer|so|accurate|it|right answer|correct answer))?"
    r"|(?P<no>no|nope|wrong|incorrect|not really|not quite)|(?P<yes>yes|yep|exactly|correct|right|indeed))"
)


def _look_back(segments: Sequence[Segment], mention: Mention, later: range, holds: Mapping[int, int]) -> None:
    """Let a sentence that only takes up the last mention ("That's not right.", "but it is") decide its stance."""
    for number in later[:2]:
        match = _TAKES_UP.fullmatch(segments[number].text) if number not in holds else None
        if match is None:
            continue
        if (match["no"] or match["yes"]) and not segments[number - 1].asks:
            continue
        negative = bool(match["not"] or match["nt"] or match["not2"] or match["not3"] or match["no"])
        says_no = negative != bool(match["wrong"])
        if mention.stance != DENIED or says_no or segments[number].contrast:
            mention.stance, mention.weight = (DENIED if says_no else STATED), FRAMED
        return


_REPLACES = re.compile(  # "X, but it is actually Z", "X, but the right answer is Z": Z, which is no reference, stands
    r"^(?:but|however|though) (?:(?:correct|right|real|true) (?:answer|name|one) is|(?:its|it is|theyre|they are) "
    r"(?:actually|really|in fact|called)|(?:its|it is) not (?:\w+ )?\w+est\b)"
)


def _replaced(segments: Sequence[Segment], mention: Mention, holds: Mapping[int, int]) -> bool:
    """Whether the part behind a statement puts something else in its place, and does not name the same answer again."""
    number = mention.segment + 1
    if number >= len(segments) or holds.get(number) is not None:
        return False
    return bool(_REPLACES.search(segments[number].text))


_CORRECTS = re.compile(  # "X. Wait, Y": what comes before is taken back
    r"^(?:oh |well |hmm |but )*(?:wait|no|nope|sorry|correction|scratch that|i mean|let me correct|on 2nd thought|"
    r"on second thought|apologies|i was wrong|my mistake|actually no)\b|\bor rather$|\bi mean$"
)
_ADDS = re.compile(r"^(?:actually|in fact|rather)\b")
_AND = re.compile(r"(?: ?(?:or|and|either|both|maybe|perhaps|possibly|also|well|as|it|its|is|could|be|might|even))*")
_OR = re.compile(r"\bor\b")
_PERHAPS = re.compile(r"\b(?:perhaps|maybe|possibly|might|may|could|either|some|others|depends|unsure|not sure)\b")


def _settle(segments: Sequence[Segment], mention: Mention, following: Mention) -> None:
    """Of two statements that go against each other: is the first taken back, or do both stand?"""
    between = _between(segments, mention, following)
    last = segments[following.segment]
    opening = _text(last.words[: following.place]) if following.segment != mention.segment else ""
    own = [segments[number].text for number in range(mention.segment + 1, following.segment)]
    parts = [*own, opening, between.rpartition(",")[2].strip()]
    if any(_CORRECTS.search(part) for part in parts) or (
        following.weight > 0 and any(_ADDS.search(part) for part in parts)
    ):
        mention.stance = UNCLAIMED
        return
    same = mention.segment == following.segment
    said = between.replace(",", " ").strip()
    if same and (_OR.search(said) or (said and _AND.fullmatch(said)) or not said):
        mention.joined = following.joined = True
        mention.weight = following.weight = max(mention.weight, following.weight)
    elif last.contrast and mention.weight == following.weight and not _PERHAPS.search(last.text):
        mention.stance = UNCLAIMED


def _conclude(mentions: Sequence[Mention]) -> None:
    """Let a reply that says "X or Y" and then "it is X" stand by X."""
    open_: list[Mention] = []
    for mention in mentions:
        if mention.joined:
            open_.append(mention)
        elif mention.stance == STATED and mention.weight == FRAMED:
            for one in open_:
                one.stance, one.joined = UNCLAIMED, False
            open_ = []


def _between(segments: Sequence[Segment], mention: Mention, following: Mention) -> str:
    """The words between two mentions of one sentence, with its commas."""
    if mention.segment != following.segment:
        return ""
    found = segments[mention.segment].words[mention.place + 1 : following.place + 1]
    said = "".join((", " if word.before == "," else " ") + word.text for word in found)
    return said.removesuffix(MENTION)


def _text(some: Sequence[Word]) -> str:
    return " ".join(word.text for word in some)
