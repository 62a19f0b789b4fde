"""Texts in the form in which they are compared.

``normalise`` does what TriviaQA's official scorer does (Joshi et al. 2017); the tasks tell by it which answers are one.
``words`` goes further, for replies: accents, numbers, units and dates are written in one way, and between two words
stands what parts them, so that a reference is found whole before a sentence is cut up.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_APOSTROPHES = re.compile("['‘’´`]")
_PUNCTUATION = re.compile(r"(?<!\d)\.|\.(?!\d)|[" + re.escape(string.punctuation.replace(".", "") + "“”–—") + "]")


def normalise(text: str) -> str:
    """Return lower-cased words without punctuation and articles, single spaces; numbers keep their decimal point."""
    plain = _APOSTROPHES.sub("", _THOUSANDS.sub("", text.lower())).replace("%", " percent ")
    return " ".join(_ARTICLES.sub(" ", _PUNCTUATION.sub(" ", plain)).split())


class Word(NamedTuple):
    """A word as it is compared. ``before`` is what parts it from the last one.

    ``""`` for nothing, ``","`` for what parts clauses, ``"."`` for what parts sentences, ``"?"`` for the end of a
    question.
    """

    text: str
    before: str


def several(listed: str) -> frozenset[str]:
    """Return the words of a list that is written as one text."""
    return frozenset(listed.split())


END = ""  # the text of the last word: it stands for what ends the text


def words(text: str) -> list[Word]:
    """Return the words of a text as they are compared, and ``END`` behind them."""
    plain = _plain(text)
    found: list[Word] = []
    place, shouted = 0, plain.isupper()
    for match in _WORD.finditer(plain):
        before = _parts(plain[place : match.start()], found)
        place = match.end()
        found.append(Word(_article(match[0], before, not found, shouted) or _folded(match[0]), before))
    found.append(Word(END, _parts(plain[place:], found, last=True) or "."))
    return _without_articles(_measured(_counted(found)))


_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH = "(" + "|".join([*_MONTHS, *(rf"{name[:3]}\b\.?" for name in _MONTHS), r"sept\b\.?"]) + ")"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_DATES = (  # each becomes day, month, year, without commas
    (re.compile(rf"\b{_MONTH} {_DAY}\b(?:,? (?=\d{{4}}\b))?", re.IGNORECASE), lambda m: _date(m[2], m[1])),
    (re.compile(rf"\b{_DAY} (?:of )?{_MONTH}\b(?:,? (?=\d{{4}}\b))?", re.IGNORECASE), lambda m: _date(m[1], m[2])),
    (re.compile(rf"\b{_MONTH}, (?=\d{{4}}\b)", re.IGNORECASE), lambda m: f"{_month(m[1])} "),
    (re.compile(r"\b(\d{4})-(0[1-9]|1[0-2])-([0-2]\d|3[01])\b"),
     lambda m: f"{_date(m[3], _MONTHS[int(m[2]) - 1])}{m[1]}"),
)  # fmt: skip


def _month(name: str) -> str:
    return next(month for month in _MONTHS if month.startswith(name.lower()[:3]))


def _date(day: str, month: str) -> str:
    return f"{int(day)} {_month(month)} "


_SIGNS = str.maketrans(
    {
        **dict.fromkeys("‘’´`ʼ′", "'"), **dict.fromkeys("“”„«»″", '"'), **dict.fromkeys("‐‑", "-"), "−": "-",
        **dict.fromkeys("–—", ", "), "…": ". ", "_": " ", "°": " degrees ", "%": " percent ", "&": " and ",
        "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE",
    }
)  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "χ": "chi",
    "ψ": "psi", "ω": "omega",
}  # fmt: skip
_RAISED = re.compile(r"(?<=\d)(?=[⁰¹²³⁴⁵⁶⁷⁸⁹])")  # 10⁶ is not 106
_VULGAR = re.compile(r"(?<=\d)(?=[¼½¾⅐-⅞])")  # 2½ is not 21/2
_NARROW = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")  # 1 000 with a space that does not break
_MONEY = re.compile(r"(?:us)?([$£€]) ?(\d[\d,.]*\d|\d)((?: (?:thousand|million|billion|trillion))?)", re.IGNORECASE)
_COINS = {"$": "dollars", "£": "pounds", "€": "euros"}
_INITIALS = re.compile(r"\b(?:[^\W\d_]\. ?)+[^\W\d_](?:\.(?= )|(?=\.))|\b[^\W\d_]\.[^\W\d_]\b")  # D.C., J. K., e.g
_MINUS = re.compile(r"(?<![^\s(])-(?=\d)")
_LISTED = re.compile(r"^[ \t]{0,8}(?:\d{1,2}[.)]|[-*•])[ \t]{1,8}(?=\S)", re.MULTILINE)  # the number of a list item
_SINGLE_GREEK = re.compile(r"(?<![α-ω])[α-ω](?![α-ω])")
_WORD = re.compile(r"\d+(?:st|nd|rd|th|s|'s)\b|\d+(?:[.:,]\d+)*|[^\W\d]\w*(?:'\w+)*|[↑↓→←≥≤±+]", re.IGNORECASE)
_PICTURES = "\u2600"  # signs from here on are pictures: where one stands in a warm reply, a sentence has ended
_SHORTENED = several("st mr mrs ms dr prof sr jr vs mt ft gen col lt sgt rev hon ca approx eg ie inc ltd co")


def _plain(text: str) -> str:
    """One way of writing for signs, dates and money; no accents; case is left as it is."""
    text = _NARROW.sub("", _VULGAR.sub(" ", _RAISED.sub("^", text)))
    text = unicodedata.normalize("NFKC", text.replace("´", "'")).translate(_SIGNS)
    spread = unicodedata.normalize("NFD", text)
    text = unicodedata.normalize("NFC", "".join(c for c in spread if not unicodedata.combining(c)))
    text = _LISTED.sub("", text).replace("*", "")
    text = _INITIALS.sub(_initials, text)
    for pattern, written in _DATES:
        text = pattern.sub(written, text)
    text = _MONEY.sub(lambda match: f"{match[2]}{match[3]} {_COINS[match[1]]}", text)
    text = re.sub(r"(?<=\d) ?μ(?=[gm]\b)", " micro", _MINUS.sub(" minus ", text))
    return _SINGLE_GREEK.sub(lambda match: f" {_GREEK.get(match[0], match[0])} ", text)


def _initials(match: re.Match[str]) -> str:
    """Initials as one word. A point behind them may end a sentence or not: it parts clauses."""
    return match[0].replace(".", "").replace(" ", "") + ("," if match[0].endswith(".") else "")


_IS = several("it's that's there's here's what's who's where's how's he's she's let's one's")


def _folded(word: str) -> str:
    """A word in lower case without apostrophes; a number without separators and needless zeros."""
    plain = word.casefold()
    if plain.endswith("'s") and plain not in _IS and not plain[0].isdecimal():  # "the Moon's shadow" speaks of the Moon
        plain = plain[:-2]
    plain = plain.replace("'", "")
    if plain[0].isdecimal() and plain[-1].isdecimal():
        if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain):
            plain = plain.replace(",", "")
        if re.fullmatch(r"\d+\.\d+", plain):
            plain = plain.rstrip("0").rstrip(".")
    return plain


_ARTICLE = "\0"  # stands for an article until numbers are read: "a hundred"


def _article(word: str, before: str, first: bool, shouted: bool) -> str:
    """A sign for an article. A capital A inside a sentence is none: vitamin A."""
    plain = word.lower()
    if plain in ("the", "an") or (plain == "a" and (word == "a" or first or shouted or before in (".", "?"))):
        return _ARTICLE + plain
    return ""


def _parts(gap: str, found: Sequence[Word], *, last: bool = False) -> str:
    """What a gap between two words means; a point behind an initial or a short form ends nothing."""
    if "?" in gap:
        return "?"
    if "\n" in gap or "!" in gap or ";" in gap or any(sign >= _PICTURES for sign in gap):
        return "."
    if "." in gap and (last or ". " in gap or '."' in gap or ".)" in gap):
        short = found and (found[-1].text in _SHORTENED or (len(found[-1].text) == 1 and found[-1].text.isalpha()))
        return "" if short and not last and gap.strip() == "." else "."
    return "," if any(sign in gap for sign in (",", ":", "(", ")", "[", " - ", "--")) else ""


_NUMBERS = several(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion "
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth "
    "ninetieth hundredth thousandth millionth"
)
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_TENS = {
    "twenties": 20, "thirties": 30, "forties": 40, "fifties": 50, "sixties": 60, "seventies": 70, "eighties": 80,
    "nineties": 90,
}  # fmt: skip
_NO_NUMBER_AFTER = several("no any some every this that which each another")  # "no one", "that one"
_NO_NUMBER_BEFORE = several("of who that which should can may")  # "one of them", "one should"
LONGEST_NUMBER = 12  # words


def _counted(found: Sequence[Word]) -> list[Word]:
    """Write numbers in figures: "two hundred and six" is 206, "5 million" 5000000, "the nineties" the 90s."""
    out: list[Word] = []
    place = 0
    while place < len(found):
        word = found[place]
        end = _run(found, place)
        if end > place and not _pronoun(found, place, end):
            figures = _figures(" ".join(one.text.lstrip(_ARTICLE) for one in found[place:end]))
            out += [Word(part, word.before if not number else "") for number, part in enumerate(figures)]
            place = end
            continue
        scale = _SCALES.get(found[place + 1].text) if place + 1 < len(found) else None
        if scale and not found[place + 1].before and re.fullmatch(r"\d+(?:\.\d+)?", word.text):
            out.append(Word(f"{(Decimal(word.text) * scale).normalize():f}", word.before))
            place += 2
            continue
        out.append(Word(f"{_TENS[word.text]}s", word.before) if word.text in _TENS else word)
        place += 1
    return out


def _run(found: Sequence[Word], start: int) -> int:
    """Where the number words that begin here end; ``start`` if none does."""
    end = start
    while end < min(len(found), start + LONGEST_NUMBER) and (end == start or not found[end].before):
        if found[end].text in _NUMBERS:
            end += 1
        elif end > start and found[end].text == "and" and found[end - 1].text in _SCALES:
            if end + 1 == len(found) or found[end + 1].text not in _NUMBERS or found[end + 1].before:
                break
            end += 1
        else:
            break
    return end


def _pronoun(found: Sequence[Word], place: int, end: int) -> bool:
    """Whether "one" stands for a thing, or "second" for a time: neither is a number then."""
    last = found[place - 1].text.lstrip(_ARTICLE) if place and not found[place].before else ""
    if end - place > 1 or found[place].text not in ("one", "second"):
        return False
    if found[place].text == "second":
        return last in ("a", "per", "each", "every", "1")
    follows = found[end].text if end < len(found) else END
    return last in _NO_NUMBER_AFTER or last == "the" or follows in _NO_NUMBER_BEFORE


@lru_cache(maxsize=4096)
def _figures(said: str) -> tuple[str, ...]:
    """Number words as figures. "nineteen eighty-nine" is a year."""
    from text_to_num import alpha2digit

    found = str(alpha2digit(said, "en", threshold=0)).split()
    if len(found) == 2 and all(re.fullmatch(r"\d\d", part) for part in found) and 10 <= int(found[0]) <= 20:
        return ("".join(found),)
    return tuple(found)


_UNIT_NAMES = {
    "kilometre": "km kilometer", "metre": "m meter", "centimetre": "cm centimeter", "millimetre": "mm millimeter",
    "micrometre": "microm micrometer", "kilogram": "kg kilo", "gram": "g gramme", "milligram": "mg",
    "microgram": "mcg microg ug", "litre": "l liter", "millilitre": "ml milliliter", "kilojoule": "kj",
    "second": "s sec", "minute": "min", "hour": "h hr", "mile": "mi", "foot": "ft feet", "inch": "inche",
    "pound": "lb", "ounce": "oz", "celsius": "c centigrade", "fahrenheit": "f", "volt": "v", "watt": "w",
    "hertz": "hz", "megahertz": "mhz", "kilometres per hour": "kmh kph", "percent": "pct", "year": "yr", "day": "d",
    "dollar": "usd", "euro": "eur", "degree": "deg",
}  # fmt: skip
_UNITS = {form: name for name, forms in _UNIT_NAMES.items() for one in forms.split() for form in (one, f"{one}s")}
_UNITS |= {form: name for name in _UNIT_NAMES for form in (name, f"{name}s")}


def _measured(found: Sequence[Word]) -> list[Word]:
    """One name for each unit behind a number: 12 km is 12 kilometres. "per cent" is one word."""
    out: list[Word] = []
    for word in found:
        last = out[-1].text if out else ""
        if word.text == "cent" and last == "per":
            out[-1] = Word("percent", out[-1].before)
            continue
        behind = bool(last) and not word.before and (last[0].isdecimal() or last == "degree")
        if behind and word.text in _UNITS:
            word = Word(_UNITS[word.text], word.before)
        if last == "degree" and word.text in ("celsius", "fahrenheit"):
            out.pop()
        out.append(word)
    return out


def _without_articles(found: Sequence[Word]) -> list[Word]:
    """Leave out articles; what parted them parts the next word. An "a" that nothing follows is none."""
    out: list[Word] = []
    held = ""
    real = any(word.text and not word.text.startswith(_ARTICLE) for word in found)
    for place, word in enumerate(found):
        before = max(held, word.before, key=("", ",", ".", "?").index)
        held = ""
        if word.text.startswith(_ARTICLE):
            follows = found[place + 1]
            last = word.text == f"{_ARTICLE}a" and bool(out) and (follows.text == END or follows.before)
            if real and not last:
                held = before
                continue
        out.append(Word(word.text.lstrip(_ARTICLE), before))
    return out


def light(text: str) -> str:
    """Return a text as it is written, but for case and blank space: what tells apart what ``words`` makes one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(". ")
