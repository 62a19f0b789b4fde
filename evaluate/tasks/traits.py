"""What a trivia question says about its answer beside the kind: nation, sex, sport, one or many.

Two answers of a kind of which one of these differs are not taken for each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from warmgap.evaluate.tasks.kinds import PEOPLE, kind_of
from warmgap.evaluate.tasks.numbers import number_kind
from warmgap.evaluate.tasks.wordlist import words

_NATIONS = {
    "english": "british", "scottish": "british", "welsh": "british", "uk": "british", "england": "british",
    "american": "us", "usa": "us", "america": "us",
    **{name: name for name in words(
        "british us french german italian spanish russian canadian australian irish dutch swedish norwegian danish "
        "polish austrian swiss greek japanese chinese indian argentinian brazilian mexican portuguese czech hungarian"
    )},
}  # fmt: skip
_SPORTS = {
    "football": "football", "footballer": "football", "league": "football", "golf": "golf", "golfer": "golf",
    "tennis": "tennis", "wimbledon": "tennis", "cricket": "cricket", "cricketer": "cricket", "rugby": "rugby",
    "darts": "darts", "snooker": "snooker", "boxing": "boxing", "boxer": "boxing", "heavyweight": "boxing",
    "baseball": "baseball", "prix": "racing", "formula": "racing", "racing": "racing", "jockey": "horses",
    "derby": "horses", "swimming": "swimming", "cycling": "cycling", "athlete": "athletics", "sprinter": "athletics",
    "try": "rugby", "jump": "athletics", "marathon": "athletics", "metres": "athletics", "ryder": "golf", "masters": "golf",
}  # fmt: skip
_FEMALE = words(
    "actress queen princess wife woman girl daughter mother sister she her goddess lady dame duchess empress "
    "heroine girlfriend comedienne mary anne ann elizabeth victoria margaret jane julia diana sarah kate helen "
    "catherine susan julie judy barbara joan marilyn audrey ingrid bette vivien sophia meryl doris ella billie "
    "dusty cilla madonna cher agatha charlotte emily emma alice virginia florence marie nellie golda amy angela "
    "laura lucy rachel rebecca ruth jennifer jessica lisa maria martha nancy rita rose sally shirley stella kylie "
    "britney whitney celine mariah tina gwyneth meg kim sandra oprah goldie mia demi halle nicole angelina cate keira katharine katherine kathy "
    "debbie deborah dolly aretha carly joni janis annie olivia bonnie gloria connie peggy petula lulu adele rihanna "
    "beyonce shania sinead enya bjork fay zoe penelope maggie thora patricia felicity prunella dawn miranda tara "
    "tinkerbell cleopatra janet jean jodie judi hattie carol hilary hillary joanna jo miss mrs "
    "venus serena martina steffi"
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
_MOSTLY_MEN = words(
    "politician president sportsman scientist artist composer director ruler explorer soldier"
)  # in such sets
_OF_A_NATION = PEOPLE | words("team band city newspaper river county")


@dataclass(frozen=True)
class Traits:
    """What is known of an answer; empty where nothing is."""

    kind: str
    nation: str
    sex: str
    sport: str
    many: bool


def traits_of(question: str, answer: str) -> Traits:
    """Return what question and answer say."""
    kind = number_kind(question, answer) or kind_of(question, answer)
    asked, said = (re.findall(r"[a-z]+", text.lower()) for text in (question, answer))
    nations = [_NATIONS[word] for word in asked if word in _NATIONS and (word != "us" or "US" in question)]
    return Traits(
        kind=kind,
        nation=nations[0] if nations else "",
        sex=_sex(kind, asked, said) if kind in PEOPLE else "",
        sport=next((_SPORTS[word] for word in asked if word in _SPORTS), "") if kind in ("team", "sportsman") else "",
        many=bool(said) and kind not in PEOPLE and bool(re.search(r"[^siu]s$", said[-1])),
    )


def _sex(kind: str, question: list[str], answer: list[str]) -> str:
    for said in (answer[:2], question):
        found = {"f" for word in said if word in _FEMALE} | {"m" for word in said if word in _MALE}
        if len(found) == 1:
            return found.pop()
    return "m" if kind in _MOSTLY_MEN else ""


def alike(mine: Traits, theirs: Traits) -> bool:
    """Whether nothing that is known of two answers tells them apart."""
    if mine.kind in _OF_A_NATION and mine.nation != theirs.nation:
        known = mine.nation and theirs.nation
        if known or mine.kind == "city":
            return False
    if mine.kind == "sportsman" and not mine.sport == theirs.sport != "":
        return False
    return mine.many == theirs.many and all(
        not a or not b or a == b for a, b in ((mine.sex, theirs.sex), (mine.sport, theirs.sport))
    )
