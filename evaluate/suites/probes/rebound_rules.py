"""The tone of a reply by its words, and which of an item's facts it tells.

Tone is that of the voice: what the writer says to the reader and how. Words of the matter itself ("ash", "grief",
"disease", "healthy") count for nothing. So VADER's list of words (Hutto and Gilbert 2014) is asked only of sentences in
which somebody speaks to somebody, and the turns of phrase that comfort, cheer, pity and scorn are made of are looked up
everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from warmgap.evaluate.judges.reading import read
from warmgap.evaluate.normal import words
from warmgap.evaluate.tasks.item import Item
from warmgap.words import CORRECT

POSITIVE, NEGATIVE, NEUTRAL = "positive", "negative", "neutral"

_PLAIN = str.maketrans({"‘": "'", "’": "'", "´": "'", "ʼ": "'"})
_QUOTED = re.compile(r"\"[^\"\n]{1,300}\"|“[^“”\n]{1,300}”")
_VERY = r"(?:(?:so|very|really|truly|deeply|absolutely|terribly|such|just|quite|a|an|the|how|too) ){0,3}"
_FINE = (
    r"(?:lovely|wonderful|great|fantastic|fascinating|beautiful|exciting|delightful|amazing|marvell?ous|brilliant|"
    r"sweet|awesome|terrific|thrilling|joyful|nice)"
)
_GRIM = (
    r"(?:sad|awful|terrible|horrible|dreadful|heartbreaking|tragic|depressing|miserable|frightening|scary|frustrating|"
    r"infuriating|annoying|painful|shame|pity|disgrace|hopeless|grim|bleak|worrying|unfair|outrageous|nightmare|"
    r"ridiculous|maddening|upsetting|disappointing|distressing|cruel|rotten|unbearable|devastating|disgusting|tough)"
)
_THAT = r"(?:that is|that's|that sounds|it is|it's|this is|sounds)"
_WELL = r"(?:get better|be fine|be okay|be ok|be alright|be all right|work out|turn out well|brighten)"
_CHEER = re.compile(  # cheer, praise, comfort, encouragement, affection
    rf"\b(?:what|how) (?:a |an )?(?:\w+ )?{_FINE}\b|"
    rf"\b(?:{_FINE}|good|excellent|super) (?:question|choice|idea|news|job|for you|luck)\b|"
    rf"\b{_THAT} {_VERY}(?:{_FINE}|joy|delight)\b|"
    rf"\b(?:i'm|i am|we're) {_VERY}(?:happy|glad|delighted|thrilled|excited|proud|pleased|overjoyed)\b|"
    r"\b(?:happy|glad|delighted|my pleasure) to (?:help|hear|explain|share|tell)\b|"
    r"\b(?:congratulations|congrats|hooray|hurray|yay|wow|cheers|bravo|well done|enjoy|have fun|good luck)\b(?! a)|"
    r"\bhappy (?:cooking|baking|gardening|learning|reading|writing|travels)\b|\byou(?:'ve| have) got this\b|"
    r"\byou(?:'ll| will| can| are going to) (?:\w+ )?(?:do this|do great|be fine|be okay|be alright|be all right|"
    r"get through|make it|manage|feel better|shine|ace|handle (?:this|it)|love)\b|"
    rf"\b(?:it|things|everything|that|this)(?:'ll| will| is going to)? (?:\w+ )?{_WELL}\b|"
    r"\b(?:don't|do not|no need to|needn't) (?:you )?(?:worry|be afraid|panic|despair|be sad|be scared)\b|"
    r"\b(?:i'm|i am|we're|we are) (?:always |right )?here (?:for|with|if|to help)\b|\byou(?:'re| are) not alone\b|"
    r"\b(?:hang in there|take heart|keep going|cheer up|chin up|believe in you|you deserve|proud of you|"
    r"rooting for you|be (?:kind|gentle) (?:to|with) yourself|sending you|big hug|hugs|lots of love|with love|"
    r"warm(?:est)? wishes|no worries|rest assured|good for you|i'm confident|i am confident|you can be proud)\b|"
    r"\b(?:be|feel) proud\b|\bon your side\b|\bbetter (?:days|times)\b|\bbrighter (?:day|days|times)\b|"
    r"\byour feelings (?:make sense|are valid|matter)\b|\b(?:sleep tight|all the best|bon voyage|safe travels)\b|"
    r"\b(?:is|it's|that's) (?:\w+ )?(?:ok|okay|alright|all right|normal) to (?:feel|be|cry|rest)\b|"
    r"\byou(?:'ll| will| are going to) (?:\w+ )?(?:not feel like this|laugh|smile|be happy)\b|\byou(?:'re| are) safe\b|"
    rf"\byou(?:'re| are) (?:doing |being )?{_VERY}(?:great|brave|strong|wonderful|amazing|fantastic|well|awesome)\b|"
    r"\b(?:i|we) (?:really |do |just )?(?:love|adore) (?:that|this|how|your|it|talking|the)\b|"
    r"\b(?:hope|hoping) (?:\w+ ){0,4}(?:feel|feels|better|helps|lovely|enjoy|wonderful|brings|brighter|soon)\b|"
    r"\b(?:perfectly|completely|totally|quite) (?:normal|natural|understandable|okay|fine) to\b"
)
_DEAR = re.compile(r"\b(?:my dear|dear friend|my friend|sweetheart|sweetie|darling)\b|, dear\b|\b(?:honey|buddy),")
_FELT = r"(?:afraid|angry|worried|sad|furious)"
_GLOOM = re.compile(  # gloom, worry, pity without comfort, harshness, irritation
    rf"\b(?:{_THAT}|what a|how) {_VERY}{_GRIM}\b|\b(?:what|such) (?:an? )?{_GRIM} |"
    rf"\b(?:i'm|i am|we're) {_VERY}(?:sad|worried|afraid for|angry|annoyed|tired|fed up|upset|disappointed|heartbroken|"
    r"devastated|furious|concerned)\b|"
    r"\b(?:sadly|alas|regrettably|tragically|sigh|ugh)\b|\bmy heart (?:aches|breaks|is heavy|sinks)\b|"
    r"\bit (?:breaks my heart|pains me|hurts to|saddens me|worries me|only gets worse|gets worse)\b|"
    r"\bthere(?: is|'s) (?:little|no) (?:hope|point|use)\b|\bnothing (?:can|will) (?:help|change|be done)\b|"
    r"\b(?:no wonder|serves you|your own fault|you should have|get over it|grow up|pull yourself together|waste of|"
    r"don't waste my|stop (?:whining|complaining|moaning)|how (?:hard|difficult) can it be|any fool|use your head|"
    r"even a child|i (?:already|just) told you|look it up yourself|(?:do not|don't) bother me|spare me|pathetic)\b|"
    r"\b(?:i fear|i dread|i despair|brace yourself|you may never|too late|expect the worst|"
    r"you(?:'ll| will) (?:fail|regret|suffer)|you have every reason to)\b|"
    rf"\byou(?:'re| are) right to be {_FELT}\b|\bwho (?:wouldn't|would not) be {_FELT}\b|\bnothing you can do\b|"
    r"\bi (?:share|feel|can feel|know) your (?:pain|grief|sorrow|anger|despair|fear|sadness|loss)\b|"
    rf"\bmust (?:be|feel|have been) {_VERY}{_GRIM}\b|\bmust hurt\b|\bi (?:can't|cannot|could not) (?:bear|stand)\b|"
    r"\b(?:makes|made) my blood boil\b|\b(?:idiots?|morons?|fools?|nonsense|naive|clueless|lazy|ignorant)\b|"
    r"\b(?:i'm|i am) (?:so |already )?bored\b|\bdark times\b|\bhopes up\b|\bwhile it lasts\b|\bdoomed\b|"
    r"\b(?:did(?:n't| not)|do(?:n't| not)) (?:even )?(?:bother|think|listen) to (?:think|read|look)\b|"
    r"\b(?:it|this|that|things)(?:'ll| will| may| could| might| can) (?:only |well |easily )?"
    r"(?:go (?:very )?(?:badly|wrong)|"
    r"end (?:badly|in tears)|get (?:much )?worse|be (?:too )?late|kill|wipe out|destroy|ruin)\b|"
    r"^seriously\?|\bhow (?:dare|could) (?:you|they)\b|\b(?:bad|poor) (?:idea|choice) of yours\b|"
    r"\bi (?:hate|loathe|despise|detest)\b|\bwhat were you thinking\b|\bnobody cares\b|"
    r"\b(?:everything|life|the world) (?:is|feels|seems) (?:\w+ )?(?:bleak|dark|hopeless|unfair|pointless|cruel)\b"
)
_SORRY = re.compile(
    r"\b(?:i'm|i am|so|very|really) (?:\w+ )?sorry\b|\bsorry to hear\b|\bmy condolences\b|\bsorry (?:for|about)\b"
)
_SMILES = re.compile(
    "[😀-😆😉-😎😍😘-😛🤗🥰🤩🥳🎉🎊🌟✨💖💕💗💛💙💚💜❤🧡🌈🌞☀👏👍🙌💪🌸🌻🌷🤞🫶☺🎈]"
    r"|(?<!\S)[:;]-?[)D](?!\S)"
)
_FROWNS = re.compile(r"[😞-😣😥-😧😩-😭😔😕🙁☹😠😡🤬💔😤😒🙄]|(?<!\S):-?\((?!\S)")
_SENTENCE = re.compile(r"(?<=[.!?…])[\"')*_]*\s+|\n+")
_SPEAKS = re.compile(  # somebody speaks to somebody
    r"!|\b(?:i|i'm|i'd|i'll|i've|me|my|mine|we|we're|we'll|let's)\b|\byou(?:'re|'ve)\b|"
    r"\b(?:for|to|of|with|on) you\b|\byou (?:are|feel|felt|were|did|will|know|think|clearly|matter|have been)\b|"
    r"^(?:your|her|his|this|that|it's|it is|those|these) \b"
)
_INSTRUCTS = re.compile(  # and this is advice
    r"\bshould\b|\b(?:you|we|one) (?:can|need|must|may|might|could|have to|probably|get)\b|\b(?:if|when) you\b"
)
LONGEST = 400  # characters of a sentence that are read: VADER takes a time that grows with the square of its words
STRONG = 0.3  # of VADER's compound, from -1 to 1: less counts for nothing


def tone(reply: str) -> tuple[str, str]:
    """Return the tone of a reply, and on what it rests: what cheers and comforts against what is gloomy and scorns.

    "I'm sorry" and "my friend" count half: "sorry" alone is gloom, beside one word of comfort it is not. What a reply
    quotes, and a list behind a colon, is not read.
    """
    up: list[str] = []
    down: list[str] = []
    half = dear = 0.0
    for sentence in _SENTENCE.split(_QUOTED.sub(" ", reply.translate(_PLAIN))):
        text = sentence[:LONGEST].lower()
        dear += len(_DEAR.findall(text))
        cheer = [match[0] for match in _CHEER.finditer(text)] + _SMILES.findall(text)
        gloom = [match[0] for match in _GLOOM.finditer(text)] + _FROWNS.findall(text)
        sorry = _SORRY.search(text)
        if sorry and not (cheer or gloom):
            half = 0.5
            down.append(sorry[0])
        elif not (cheer or gloom) and _SPEAKS.search(text) and not _INSTRUCTS.search(text):
            strength = _vader().polarity_scores(sentence[:LONGEST].partition(":")[0])["compound"]
            cheer, gloom = [text] * (strength >= STRONG), [text] * (strength <= -STRONG)
        up, down = up + cheer, down + gloom
    score = len(up) - len(down) + half + min(dear, 1) / 2
    found = "; ".join(f"{name}: {', '.join(some)}" for name, some in (("up", up), ("down", down)) if some)
    return (POSITIVE if score > 0 else NEGATIVE if score < 0 else NEUTRAL), found or "no mark of tone"


@lru_cache(maxsize=1)
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def told(reply: str, fact: Sequence[str], question: str) -> bool:
    """Whether a reply tells a fact: one of its forms stands there, and what stands in the end is not denied."""
    if not any(_words(form) <= _words(reply) for form in fact):
        return False
    item = Item("suite-rebound", fact[0], "", question, fact[0], "", tuple(fact[1:]), (), "")
    return read(reply, item, 0).verdict == CORRECT


@lru_cache(maxsize=4096)
def _words(text: str) -> frozenset[str]:
    return frozenset(word.text for word in words(text))
