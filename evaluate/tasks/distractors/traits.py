"""What a trivia question says about its answer beside the kind: nation, sex, sport, one or many.

Two answers of a kind of which one of these differs are not taken for each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from warmgap.evaluate.tasks.distractors.kinds import PEOPLE, asked_for, kind_of
from warmgap.evaluate.tasks.distractors.numbers import number_kind
from warmgap.evaluate.tasks.wordlist import words

_NATIONS = {
    "uk": "british", "england": "english", "scotland": "scottish", "wales": "welsh",
    "american": "us", "usa": "us", "america": "us",
    **{name: name for name in words(
        "british english scottish welsh us french german italian spanish russian canadian australian irish dutch "
        "swedish norwegian danish polish austrian swiss greek japanese chinese indian argentinian brazilian mexican "
        "portuguese czech hungarian"
    )},
}  # fmt: skip
_SPORTS = {
    "football": "football", "footballer": "football", "league": "football", "golf": "golf", "golfer": "golf",
    "tennis": "tennis", "wimbledon": "tennis", "cricket": "cricket", "cricketer": "cricket", "rugby": "rugby",
    "darts": "darts", "snooker": "snooker", "boxing": "boxing", "boxer": "boxing", "heavyweight": "boxing",
    "baseball": "baseball", "prix": "racing", "formula": "racing", "racing": "racing", "jockey": "horses",
    "derby": "horses", "swimming": "swimming", "cycling": "cycling", "athlete": "athletics", "sprinter": "athletics",
    "try": "rugby", "jump": "athletics", "marathon": "athletics", "metres": "athletics", "ryder": "golf",
    "masters": "golf",
}  # fmt: skip
_FEMALE = words(
    "actress queen princess wife woman girl daughter mother sister she her goddess lady dame duchess empress "
    "heroine girlfriend comedienne mary anne ann elizabeth victoria margaret jane julia diana sarah kate helen "
    "catherine susan julie judy barbara joan marilyn audrey ingrid bette vivien sophia meryl doris ella billie "
    "dusty cilla madonna cher agatha charlotte emily emma alice virginia florence marie nellie golda amy angela "
    "laura lucy rachel rebecca ruth jennifer jessica lisa maria martha nancy rita rose sally shirley stella kylie "
    "britney whitney celine mariah tina gwyneth meg kim sandra oprah goldie mia demi halle nicole angelina cate "
    "keira katharine katherine kathy debbie deborah dolly aretha carly joni janis annie olivia bonnie gloria "
    "connie peggy petula lulu adele rihanna beyonce shania sinead enya bjork fay zoe penelope maggie thora "
    "patricia felicity prunella dawn miranda tara tinkerbell cleopatra janet jean jodie judi hattie carol hilary "
    "hillary joanna jo miss mrs venus serena martina steffi"
)
_MALE = words(
    "actor king prince husband man boy son father brother he his god lord sir duke emperor hero boyfriend john "
    "james william george charles david robert richard thomas henry edward peter paul michael stephen steven tom "
    "tim tony alan albert alexander alfred andrew anthony arthur ben benjamin bill bob brian bruce chris "
    "christopher colin daniel dean dennis donald douglas edgar eric ernest francis frank fred frederick gary "
    "geoffrey gerald gordon graham harold harry hugh ian isaac jack jacques jeremy jim jimmy joe johnny joseph "
    "karl ken kenneth kevin leonard louis mark martin matthew mel mike neil nicholas nigel oliver oscar oliver "
    "patrick percy phil philip ray roger ron ronald rory roy rudolph sam samuel simon stanley stewart terry "
    "theodore vincent walter warren wayne woody zachary"
)
# in such sets
_MOSTLY_MEN = words("politician president sportsman scientist artist composer director ruler explorer soldier")
_OF_A_NATION = PEOPLE | words("team band city resort newspaper river county mountain island lake")
_OF_ONE_NATION = words("city resort river county mountain ruler")  # where the nation must be known and the same
_OF_ONE_SPORT = words("sportsman team")
_BRITISH = words("british english scottish welsh")
_LIFE, _WORK = 90, 25  # years that two people or works may lie apart


@dataclass(frozen=True)
class Traits:
    """What is known of an answer; empty where nothing is."""

    kind: str
    nation: str
    sex: str
    sport: str
    many: bool
    narrowed: frozenset[str]
    year: int | None


def traits_of(question: str, answer: str) -> Traits:
    """Return what question and answer say."""
    kind = number_kind(question, answer) or kind_of(question, answer)
    asked, said = (re.findall(r"[a-z]+", text.lower()) for text in (question, answer))
    nations = [_NATIONS[word] for word in asked if word in _NATIONS and (word != "us" or "US" in question)]
    return Traits(
        kind=kind,
        nation=nations[0] if nations else "",
        sex=_sex(kind, asked, said) if kind in PEOPLE else "",
        sport=next((_SPORTS[word] for word in asked if word in _SPORTS), "") if kind in _OF_ONE_SPORT else "",
        many=bool(said) and kind not in PEOPLE and bool(re.search(r"[^siu]s$", said[-1])),
        narrowed=asked_for(question, answer)[1],
        year=_year(question),
    )


def _sex(kind: str, question: list[str], answer: list[str]) -> str:
    for said in (answer[:2], question):
        found = {"f" for word in said if word in _FEMALE} | {"m" for word in said if word in _MALE}
        if len(found) == 1:
            return found.pop()
    return "m" if kind in _MOSTLY_MEN else ""


def _year(question: str) -> int | None:
    """The year, decade or century that a question names first."""
    match = re.search(r"\b(1[0-9]\d\d|20\d\d)(?:s|’s|'s)?\b|\b(\d\d?)(?:th|st|nd|rd) century\b", question, re.I)
    if match is None:
        return None
    return int(match[1]) if match[1] else 100 * int(match[2]) - 50


def alike(mine: Traits, theirs: Traits) -> bool:
    """Whether nothing that is known of two answers tells them apart, and what must be known is the same."""
    if mine.kind in _OF_A_NATION and not _one_nation(mine, theirs):
        return False
    if mine.kind in _OF_ONE_SPORT and not mine.sport == theirs.sport != "":
        return False
    if mine.narrowed and not mine.narrowed & theirs.narrowed:
        return False
    if mine.year and theirs.year:
        far = _LIFE if mine.kind in PEOPLE - {"musician", "actor", "sportsman"} else _WORK
        if abs(mine.year - theirs.year) > far:
            return False
    return mine.many == theirs.many and (not mine.sex or not theirs.sex or mine.sex == theirs.sex)


def _one_nation(mine: Traits, theirs: Traits) -> bool:
    nations = {mine.nation, theirs.nation}
    if mine.kind in _OF_ONE_NATION:
        return len(nations) == 1 and "" not in nations
    return len(nations) == 1 or "" in nations or ("british" in nations and nations <= _BRITISH)
