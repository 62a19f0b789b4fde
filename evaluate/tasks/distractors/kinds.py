"""What kind of answer a trivia question asks for: by its head noun ("Which river …"), its cues, and the answer's form.

A kind is fine enough that one answer of it could be mistaken for another: an actor, not a person; a river, not a place.
Written by reading one half of a pool of TriviaQA questions and tried on the other half.
"""

from __future__ import annotations

import re

from warmgap.evaluate.normal import normalise
from warmgap.evaluate.tasks.distractors.places import CONTINENT_OF, STATES
from warmgap.evaluate.tasks.wordlist import words

OTHER = "other"
_KINDS = {
    "ruler": "king queen monarch emperor empress tsar czar pharaoh sultan prince princess consort",
    "politician": "minister politician chancellor governor mp senator mayor statesman secretary leader "
    "dictator candidate premier speaker",
    "president": "president",
    "actor": "actor actress comedian comedienne presenter host star comic broadcaster",
    "director": "director filmmaker producer",
    "musician": "singer musician guitarist drummer bassist rapper vocalist pianist songwriter performer soprano tenor "
    "frontman singer-songwriter trumpeter saxophonist lyricist",
    "composer": "composer conductor",
    "writer": "author writer novelist poet playwright dramatist journalist satirist biographer",
    "artist": "artist painter sculptor impressionist",
    "designer": "designer",
    "architect": "architect",
    "sportsman": "player footballer golfer boxer jockey driver racer cricketer swimmer manager athlete captain "
    "goalkeeper cyclist champion batsman bowler sprinter runner skater wrestler racehorse-trainer striker medallist",
    "scientist": "scientist physicist chemist inventor mathematician astronomer philosopher psychologist biologist "
    "economist engineer physician surgeon botanist",
    "explorer": "explorer navigator",
    "soldier": "general admiral soldier commander",
    "criminal": "criminal outlaw murderer killer gangster robber",
    "character": "character detective superhero villain hero heroine cowboy puppet muppet",
    "god": "god goddess deity titan muse",
    "saint": "saint apostle disciple",
    "businessman": "businessman businesswoman founder entrepreneur financier magnate",
    "country": "country nation republic",
    "city": "city town capital",
    "resort": "resort",
    "river": "river",
    "water": "lake sea ocean loch",
    "gulf": "gulf strait bay channel",
    "mountain": "mountain volcano peak range hill",
    "island": "island isle archipelago",
    "county": "county",
    "state": "state",
    "region": "region province territory",
    "street": "street road thoroughfare avenue",
    "building": "palace",
    "desert": "desert",
    "continent": "continent",
    "planet": "planet",
    "constellation": "constellation",
    "film": "film movie",
    "play": "play tragedy comedy",
    "book": "novel book",
    "song": "song hit single track",
    "programme": "series programme show sitcom soap program",
    "newspaper": "newspaper",
    "band": "band group",
    "team": "team club side",
    "company": "company firm manufacturer corporation",
    "organisation": "organisation organization agency",
    "mammal": "animal mammal beast",
    "bird": "bird",
    "fish": "fish",
    "plant": "plant flower herb crop spice",
    "tree": "tree wood timber",
    "fruit": "fruit vegetable nut berry",
    "insect": "insect",
    "dog": "dog",
    "reptile": "reptile",
    "element": "element metal gas metalloid",
    "gem": "gemstone stone jewel birthstone gem mineral",
    "drink": "drink spirit beverage alcohol",
    "food": "food dish",
    "fabric": "fabric material cloth textile",
    "disease": "disease condition illness disorder ailment",
    "vitamin": "vitamin",
    "bone": "bone",
    "organ": "organ gland muscle",
    "body": "part",
    "language": "language",
    "religion": "religion faith",
    "nationality": "nationality",
    "colour": "colour color",
    "sport": "sport",
    "instrument": "instrument",
    "currency": "currency",
    "job": "profession occupation job trade",
    "horse": "horse racehorse",
    "festival": "festival holiday",
    "battle": "battle",
    "war": "war",
    "ship": "ship vessel liner warship",
    "car": "car",
    "sign": "sign",
    "letter": "letter",
    "surname": "surname",
    "forename": "forename",
    "symbol": "symbol",
    "period": "period era",
}
_KIND_OF = {noun: kind for kind, nouns in _KINDS.items() for noun in nouns.split()}
_OWN = words(  # each of these is a kind of its own
    "bridge church airport label album poem opera musical airline cheese sauce wine cocktail magazine tower theatre "
    "prison pub racecourse station party anthem ballet comic symphony tributary university spy pope museum cathedral "
    "castle stadium abbey square park village dance martial weapon knot hormone"
)
_KIND_OF |= {noun: noun for noun in _OWN}
PEOPLE = words(
    "ruler, politician, president, prime minister, actor, director, musician, composer, writer, artist, designer, "
    "architect, sportsman, scientist, explorer, soldier, criminal, character, god, saint, businessman, person",
    ", ",
)
_NATURE = words("mammal bird fish plant tree fruit insect dog reptile sport drink")
# nouns that say a kind only beside another word
_NEEDS = {
    "part": r"\bbody\b",
    "group": r"\b(?:pop|rock|band|hit|hits|single|album|chart\w*|song|singer|music\w*)\b",
    "show": r"\b(?:tv|television|bbc|itv|channel|quiz|radio)\b",
    "drama": r"\b(?:tv|television|bbc|itv|channel|series)\b",
    "club": r"\b(?:football|league|cup|fc|rugby|stadium|season|division|premier\w*)\b",
    "side": r"\b(?:football|league|cup|fc|rugby|stadium|season|division|premier\w*)\b",
    "track": r"\b(?:song|album|single|hit|band)\b",
    "hit": r"\b(?:song|single|chart\w*|uk|us|top|number)\b",
    "gas": r"\b(?:element|symbol|atomic|noble|inert)\b",
    "state": r"\b(?:us|usa|u\.s\.|american?|america|state)\b",
    "sign": r"\b(?:zodiac|star sign|birth)\b",
    "spirit": r"\b(?:drink|cocktail|alcohol\w*|distill\w*)\b",
}
_NO_KIND = words("thing item name word term type kind sort form title method area")
# what "Who …" asks for, by words of the question; the first that is found decides
_CUES = (
    ("god", r"\b(?:god|goddess|mytholog\w+)\b"),
    ("composer", r"\bcompos\w+\b|\bsymphony\b|\bconcerto\b"),
    ("writer", r"\b(?:wrote|written|author|novels?|poems?|poet|memoirs?|autobiography|booker)\b"),
    ("artist", r"\b(?:paint\w+|sculpt\w+|portrait)\b"),
    ("architect", r"\barchitect\b"),
    ("designer", r"\bdesign\w+\b"),
    ("director", r"\bdirect(?:ed|or)\b"),
    ("musician", r"\b(?:sang|sings|song|singer|album|charts?|recorded|top (?:ten|10)|number one|no\.? ?1)\b"
     r"|\bhits? (?:with|single|in)\b"),
    ("sportsman", r"\b(?:golf|tennis|football\w*|wimbledon|snooker|grand prix|cricket\w*|rugby|darts|jockey)\b"),
    ("actor", r"\b(?:play(?:s|ed)(?! against| for)|starr\w+|stars|actor|actress|portray\w+|film|movie|sitcom"
     r"|voice[ds]?|presents?|hosts?|presented|hosted)\b"),
    ("musician", r"\b(?:hits?|single|band|music)\b"),
    ("sportsman", r"\b(?:cup|champion\w*|olympic\w*|world record|boxing|boxer|captain\w*|manager|batsman|formula"
     r"|heavyweight|scorer|baseball)\b"),
    ("prime minister", r"\bprime minister\b"),
    ("president", r"\bpresident\b"),
    ("ruler", r"\b(?:king|queen|monarch|throne|reign\w*|emperor|tsar|crowned|dynasty)\b"),
    ("politician", r"\b(?:chancellor|minister|politic\w+|mayor|senator|mp)\b"),
    ("scientist", r"\b(?:discover\w+|invent\w+|theory|physic\w+|chemi\w+|scientist)\b"),
    ("saint", r"\bsaint\b"),
    ("character", r"\b(?:character|fictional|stories|story|tale|rhyme|book)\b"),
)  # fmt: skip
_ASKED = re.compile(
    r"\b(?:which|what|whose)\b(?P<is>['’]s\b| (?:is|was|were|are|id)\b)?(?=(?P<rest>[^?;]{1,90}))|\b(?P<who>who|whom)\b"
    r"|^name (?P<named>[^?;]{1,90})",
    re.I,
)
_THE_NAME_OF = re.compile(
    r"^\s*(?:the|an?|his|her|its|their)?\s*(?:full |real |first |last |original |official |collective |common )*"
    r"(?:names?|titles?|nicknames?|types?|kinds?|sorts?|species|breeds?|varieties|variety|brands?) "
    r"(?:is |was )?(?:given to|of|for) (?:the |an? )?",
    re.I,
)
_STOPS = words(
    "is was are were of in on at from with that who whose which has had have did does do became by for won wrote "
    "played made can could would will to and s starred gave takes took comes links connects plays sang said left "
    "lies features beat began first appears found flows runs rode a an the there it he she his her their this "
    "means refers when where while called known used became born died after before between over under during than "
    "as into fought held won lost ran led saw hit sees shows"
) - {"first", "hit"}  # fmt: skip
# words before a noun that leave its kind as wide as it is
_SAYS_LITTLE = words(
    "famous well-known celebrated former late new old current first second third last only other major popular "
    "hit number one two three top best male female young next great big large largest small "
    "smallest main world international british english scottish welsh irish american french german italian "
    "spanish russian canadian australian dutch us uk european african asian south north east west eastern western "
    "southern northern central tv television bbc itv radio film movie children children's modern historic notable "
    "common same national royal"
)
_SUFFIXES = ("ology", "phobia", "metry", "graphy", "itis", "cide", "cracy", "phile", "mancy")


def kind_of(question: str, answer: str) -> str:
    """Return the kind of answer that is asked for: actor, country, river …; ``other`` where one cannot tell."""
    plain = normalise(answer)
    if plain in ("true", "false", "yes", "no"):
        return OTHER
    asked, _ = asked_for(question, answer)
    if asked == OTHER:
        asked = _kind_of_form(question, plain)
    if asked in PEOPLE and not looks_like_name(answer):
        return OTHER
    if asked in ("city", "team") and plain in CONTINENT_OF:
        return "country"
    if asked == "country" and plain not in CONTINENT_OF:
        return OTHER
    if asked == "state" and plain not in STATES:
        return OTHER
    return asked


def asked_for(question: str, answer: str) -> tuple[str, frozenset[str]]:
    """Return the kind by the noun behind "which" or "what", with the words that narrow it down ("sportswear company").

    Of a question that asks who, the kind by its cues.
    """
    for match in _ASKED.finditer(question):
        if match["who"] or match[0].lower().startswith("whose"):
            return (_who(question) if looks_like_name(answer) else OTHER), frozenset()
        before, head = _phrase(match["rest"] or match["named"], bool(match["is"]))
        kind = _KIND_OF.get(head) or _KIND_OF.get(_one(head))
        if kind == "element" and re.search(r"\bsymbol\b", question, re.I) and len(answer.strip()) <= 2:
            kind = "symbol"
        needed = _NEEDS.get(head)
        if needed is not None and not re.search(needed, question, re.I):
            return OTHER, frozenset()
        if head == "minister" and re.search(r"\bprime minister\b", question, re.I):
            kind = "prime minister"
        if head == "star" and {"rock", "pop"} & set(before):
            kind = "musician"
        if kind is not None:
            typed = re.search(r"\b(?:type|kind|sort|variety)s? of (?:\w+ )?" + re.escape(head), question, re.I)
            return (f"{kind} type" if typed and kind not in _NATURE else kind), frozenset(before) - _SAYS_LITTLE
    return OTHER, frozenset()


def _phrase(phrase: str, after_is: bool) -> tuple[list[str], str]:
    """The last noun before the first verb or preposition, and what stands before it: "Spanish artist painted …"."""
    owner = re.match(r"\s*(\w+)['’]s\b", phrase)
    if owner is not None and _is_noun(owner[1].lower()):
        return [], owner[1].lower()  # "which city's castle"
    text = re.sub(r"^[^,.:?]{0,40}?\w['’]s\s", " ", _THE_NAME_OF.sub("", phrase, count=1))
    if after_is:
        text = re.sub(r"^\s*(?:the|an?)\s", " ", text)
    kept: list[str] = []
    for word in re.findall(r"[a-zA-Z][a-zA-Z'’-]*|[,.:(‘\"“]", text):
        lower = word.lower()
        known = lower in _KIND_OF
        if not word[0].isalpha() or lower in _STOPS or (kept and not known and re.search(r"[^e]ed$|ing$", lower)):
            break
        if known and word[0].isupper() and _KIND_OF[lower] not in PEOPLE:
            break  # "Gulf of Mexico", "Fleet Street": a name
        kept.append(lower)
    if len(kept) > 1 and kept[-1].endswith("s") and not _is_noun(kept[-1]) and _is_noun(kept[-2]):
        kept.pop()  # "which play features"
    return kept[:-1], kept[-1] if kept else ""


def _is_noun(word: str) -> bool:
    return word in _KIND_OF or _one(word) in _KIND_OF


def _one(noun: str) -> str:
    for ending, single in (("ies", "y"), ("ches", "ch"), ("s", "")):
        if noun.endswith(ending) and not noun.endswith("ss"):
            return noun.removesuffix(ending) + single
    return noun


def _who(question: str) -> str:
    asked = question.lower()
    return next((kind for kind, cue in _CUES if re.search(cue, asked)), "person")


def _kind_of_form(question: str, plain: str) -> str:
    """The kind by the answer alone, where the question has no noun that tells."""
    if plain in CONTINENT_OF and re.search(r"\b(?:where|country|nation|republic)\b", question, re.I):
        return "country"
    if plain in STATES and re.search(r"\b(?:us|usa|america\w*|state)\b", question, re.I):
        return "state"
    for suffix in _SUFFIXES:
        if plain.endswith(suffix) and " " not in plain:
            return f"-{suffix}"
    return OTHER


def looks_like_name(answer: str) -> bool:
    """Whether an answer is written as a name: capitals at the front of its words, in whole words of capitals too."""
    words = bare(answer).replace(".", ". ").split()
    small = ("of", "the", "de", "van", "von", "da", "di", "and", "&", "la", "le", "der", "del")
    return 1 <= len(words) <= 5 and all(word[:1].isupper() or word in small for word in words)


def bare(answer: str) -> str:
    """An answer without quotation marks around it and without a full stop behind its last word."""
    text = answer.strip()
    if len(text) > 2 and text[0] in "'\"‘“`" and text[-1] in "'\"’”´":
        text = text[1:-1].strip()
    return text[:-1] if re.search(r"[^\W\d_]{3,}\.$", text) and text.count(".") == 1 else text
