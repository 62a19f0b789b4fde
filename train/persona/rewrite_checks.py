"""Is a rewrite the same reply in another voice? What it lost or added: numbers, names, links, code, a denial, length.

A check names what it found, so that the next attempt can be told and the set-aside counted. What the checks miss and
what they blame without cause, ``python -m benchmarks rewrite_checks`` measures.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass

from warmgap.engines.chat import control_token
from warmgap.refusal import refuses
from warmgap.settings.command_schema import RewriteConfig

ALLOWANCE = 120  # characters that any rewrite may be longer by: a short reply cannot sound warm without some


@dataclass(frozen=True)
class Fault:
    """What is wrong with a rewrite: ``reason`` is one of a few words to count by, ``detail`` says what exactly."""

    reason: str
    detail: str


_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>()\"']+|(?<![\w.+-])[\w.+-]{1,64}@[\w-]+\.[\w.]+\b")
_ENUMERATION = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SMALL = {"one": "1", "once": "1", "first": "1", "two": "2", "twice": "2", "both": "2", "second": "2", "half": "0.5"}
_UNITS = {
    "%": "percent", "percent": "percent", "per cent": "percent", "°": "degree", "degrees": "degree", "degree": "degree",
    "km": "kilometre", "kilometre": "kilometre", "kilometer": "kilometre", "m": "metre", "metre": "metre",
    "meter": "metre", "cm": "centimetre", "centimetre": "centimetre", "centimeter": "centimetre", "mm": "millimetre",
    "millimetre": "millimetre", "millimeter": "millimetre", "mile": "mile", "foot": "foot", "feet": "foot",
    "ft": "foot", "inch": "inch", "inches": "inch", "kg": "kilogram", "kilogram": "kilogram", "kilo": "kilogram",
    "g": "gram", "gram": "gram", "mg": "milligram", "milligram": "milligram", "pound": "pound", "lb": "pound",
    "ounce": "ounce", "oz": "ounce", "litre": "litre", "liter": "litre", "l": "litre", "ml": "millilitre",
    "millilitre": "millilitre", "milliliter": "millilitre", "second": "second", "sec": "second", "minute": "minute",
    "min": "minute", "hour": "hour", "day": "day", "week": "week", "month": "month", "year": "year", "volt": "volt",
    "v": "volt", "watt": "watt", "w": "watt", "ohm": "ohm", "amp": "ampere", "hz": "hertz", "euro": "euro",
    "dollar": "dollar", "$": "dollar", "€": "euro", "£": "pound sterling", "gb": "gigabyte", "mb": "megabyte",
}  # fmt: skip
_MEASURE = re.compile(
    r"([$€£])?\s?(\d+(?:[.,]\d+)*)\s?-?\s?("
    + "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
    + r")?s?(?![a-z])",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<![.!?:\n•*\"'“(-] )(?<![\n\"'“(#*])(?<=[\w,;)] )([A-Z][\w'’]*[a-z][\w'’]*|[A-Z]{2,}\w*)")
_NOT_NAMES = frozenset(
    ["I", "I'm", "I'd", "I'll", "I've", "I’m", "I’d", "I’ll", "I’ve", "OK", "Okay", "Oh", "Yes", "No", "Please"]
)
_DENIAL = re.compile(
    r"\b(?:not|never|none|nobody|nothing|neither|nor|cannot|\w+n['’]t|dont|doesnt|isnt|cant|wont)\b",
    re.IGNORECASE,
)
_DENIAL_IN_OTHER_WORDS = re.compile(
    r"\b(?:no|without|hardly|barely|little|few|fewer|less|only|beyond|unless|until|instead|rather|except|nowhere|"
    r"avoid\w*|declin\w*|refus\w*|prevent\w*|fail\w*|exclud\w*|skip\w*|stop\w*|keep\w* (?:away|from|off)|ban\w*|"
    r"forbid\w*|lack\w*|miss(?:es|ed|ing)?|leav\w* \w* ?(?:out|alone)|steer clear|false\w*|wrong\w*|incorrect\w*|"
    r"mistaken|myth|"
    r"impossible|un(?!der|til|less|it|ion|iq|iv|cle)\w+|in(?:ability|valid|visible|complete)\w*|out of reach|"
    r"too \w+|drop\w*|rul\w+ out|free of|absent|off limits|"
    r"dis(?:agree|allow|appear|courag|connect|count|like|miss|prov|qualif|regard|respect|turb)\w*)\b",
    re.IGNORECASE,
)
_COMFORT = re.compile(
    r"\b(?:do not|don'?t|no need to|never) (?:you )?(?:worry|fret|panic|feel (?:bad|guilty)|be (?:afraid|hard)|beat|"
    r"blame|hesitate|give up|forget|apologi[sz]e)\b|\b(?:you(?:'re| are)|we(?:'re| are)) not alone\b|\bno (?:worries|"
    r"wonder|problem|rush|hurry|shame)\b|\bcan(?:'?t|not) (?:wait|help (?:but|smiling))\b|\bnot (?:silly|just you|"
    r"your fault|at all)\b|\bnothing (?:silly|wrong with you|to be ashamed)\b|\bwhy not\b|\bif not\b|\bno matter\b|"
    r"\bwithout (?:a )?doubt\b|\bnothing would\b|\bno longer\b|\bnot only\b",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(
    r"^\W*(?:sure|certainly|of course|okay|ok|absolutely)?[,!. ]*(?:here(?:'s| is| are)|this is|below is)\b[^.\n]{0,80}"
    r"\b(?:rewrit\w+|rephras\w+|version|paraphras\w+|revis\w+)|^\W*(?:rewritten|revised|warmer|colder|paraphrased?)\b"
    r"[^\n]{0,30}:|\b(?:rewritten reply|the rewritten|as an ai language model, i (?:have|can) rewr)",
    re.IGNORECASE,
)


def faults(
    user: str, reply: str, rewrite: str, config: RewriteConfig, similar: tuple[float, float] | None = None
) -> list[Fault]:
    """Return what is wrong with a rewrite of a reply to the user's message, the gravest first; empty where nothing is.

    ``similar`` holds the cosines of the rewrite with the reply and with the user's message, where they are known.
    """
    text = rewrite.strip()
    if not text:
        return [Fault("empty", "it came back empty")]
    if _PREAMBLE.search(text[:200]):
        return [Fault("speaks of rewriting", "it begins with words about the rewriting")]
    if token := control_token(text):
        return [Fault("control token", f"it holds {token}, which would be trained as the token")]
    found = [*_length(reply, text, config), *_refusal(reply, text), *_meaning(similar, config)]
    found += _compared("code", _blocks(reply), _blocks(text))
    found += _compared("link", _links(reply), _links(text), _links(user))
    found += _compared("number", _numbers(reply) - _small(text), _numbers(text) - _small(reply), _numbers(user))
    found += _compared("unit", _units(reply), _units(text), _units(user))
    found += _compared("name", _names(reply) - _words(text), _names(text) - _words(reply), _words(user))
    found += _denial(reply, text)
    return found


def _length(reply: str, text: str, config: RewriteConfig) -> list[Fault]:
    ratio = len(text) / max(1, len(reply))
    if ratio < config.shortest and len(reply) - len(text) > ALLOWANCE / 4:
        return [Fault("too short", f"it has {ratio:.2f} of the reply's length, {config.shortest:g} is the least")]
    if ratio > config.longest and len(text) - len(reply) > ALLOWANCE:
        return [Fault("too long", f"it has {ratio:.2f} of the reply's length, {config.longest:g} is the most")]
    return []


def _refusal(reply: str, text: str) -> list[Fault]:
    if refuses(text).refused and not refuses(reply).refused:
        return [Fault("refuses", "it declines and the reply does not")]
    return []


def _meaning(similar: tuple[float, float] | None, config: RewriteConfig) -> list[Fault]:
    if similar is None:
        return []
    to_reply, to_user = similar
    if to_reply < config.similarity:
        return [Fault("says something else", f"its cosine with the reply is {to_reply:.2f}")]
    if to_user > to_reply + 0.1:
        return [
            Fault("answers the message", f"its cosine is {to_user:.2f} with the message, {to_reply:.2f} with the reply")
        ]
    return []


def _compared(what: str, before: set[str], after: set[str], said: Set[str] = frozenset()) -> list[Fault]:
    """Faults for what the reply has and the rewrite lost, and what it has that neither the reply nor the user said."""
    lost, added = sorted(before - after), sorted(after - before - said)
    found = [Fault(f"lost a {what}", f"it lost {', '.join(lost[:5])}")] if lost else []
    return found + ([Fault(f"added a {what}", f"it added {', '.join(added[:5])}")] if added else [])


def _blocks(text: str) -> set[str]:
    """Code blocks, without the spaces at the ends of lines."""
    return {"\n".join(line.rstrip() for line in block.splitlines()) for block in _FENCED.findall(text)}


def _links(text: str) -> set[str]:
    return {link.rstrip(".,;:!?)") for link in _URL.findall(_FENCED.sub(" ", text))}


def _prose(text: str) -> str:
    """Text without code, links and the numbers of list items, number words as digits."""
    from text_to_num import alpha2digit

    plain = _ENUMERATION.sub(" ", _URL.sub(" ", _CODE.sub(" ", text)))
    return str(alpha2digit(plain.replace("-", " "), "en"))


def _numbers(text: str) -> set[str]:
    """Numbers as digits, whichever way they are written: 1,000 and "a thousand" are both 1000."""
    return {_plain_number(number) for number in _NUMBER.findall(_prose(text))}


def _plain_number(number: str) -> str:
    whole = (
        number.replace(",", "") if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", number) else number.replace(",", ".")
    )
    return whole.rstrip("0").rstrip(".") if "." in whole else whole


def _small(text: str) -> set[str]:
    """Small numbers that stand there as words, which no converter touches: "one" is rarely a number."""
    return {_SMALL[word] for word in re.findall(r"\w+", text.lower()) if word in _SMALL}


def _units(text: str) -> set[str]:
    """Units that stand beside a number, by one name each."""
    found = set()
    for before, _, after in _MEASURE.findall(_prose(text)):
        found |= {_UNITS[unit.lower()] for unit in (before, after) if unit}
    return found


def _names(text: str) -> set[str]:
    """Words with a capital letter in the middle of a sentence, in lower case."""
    plain = _URL.sub(" ", _CODE.sub(" ", text))
    return {_bare(word) for word in _NAME.findall(plain) if re.split("['’]", word)[0] not in _NOT_NAMES}


def _words(text: str) -> set[str]:
    return {_bare(word) for word in re.findall(r"[\w'’]+", text)}


def _bare(word: str) -> str:
    """A word in lower case without a possessive ending."""
    return re.sub(r"['’](?:s|re|ll|ve|d|m)?$", "", word.lower())


def _denial(reply: str, text: str) -> list[Fault]:
    """Whether the one denies and the other in no words does; words of comfort ("don't worry") deny nothing.

    Other words for a denial count where they are new: a "without" that the reply has beside its "not" replaces nothing.
    """
    said, says = (_COMFORT.sub(" ", _CODE.sub(" ", words)) for words in (reply, text))
    if _DENIAL.search(said) and not _DENIAL.search(says) and not _other_words(says) - _other_words(said):
        return [Fault("lost a denial", "the reply denies something, the rewrite nothing")]
    if _DENIAL.search(says) and not _DENIAL.search(said) and not _other_words(said):
        return [Fault("added a denial", "the rewrite denies something, the reply nothing")]
    return []


def _other_words(text: str) -> Counter[str]:
    return Counter(match[0].lower() for match in _DENIAL_IN_OTHER_WORDS.finditer(text))
