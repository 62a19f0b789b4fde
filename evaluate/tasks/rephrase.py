"""A question that points at its options, asked without them: "which of the following drugs is" → "which drug is".

Rules for English as examination questions write it. They were written by reading rephrased questions of MedQA and tried
on others. Where no rule gives a question that stands on its own, the answer is None and why.
"""

from __future__ import annotations

import re

from warmgap.evaluate.tasks.pictures import points_at_picture, points_at_summary
from warmgap.evaluate.tasks.wordlist import words

_SENTENCE = re.compile(r"(?<=[.?!])\s+|(?<=[.?!][\"”])\s+")
_OPTION_BOUND = re.compile(
    r"\b(?:all|none|both|neither) of the (?:above|following|options)\b|\b[A-D] and [A-D]\b"
    r"|^\W*(?:I{1,3}|IV|V)(?:, (?:I{1,3}|IV|V))+\W*$",
    re.I,
)
_EXCEPT = re.compile(r"\bEXCEPT\b|\bNOT\b|\bexcept\b|\bleast likely\b")
_STATEMENT = re.compile(
    r"\bstatements?\b|\b(?:is|are|be|was) (?:\w+ ){0,2}(?:true|correct|accurate|false)"
    r"(?: (?:about|of|in|for|with|regarding|concerning|if|to)\b|\W*$)"
    r"|\b(?:associations?|comparisons?|pairs?|pairings?|matche?s?|sequences?|descriptions?) (?:is|are) (?:\w+ )?"
    r"(?:true|correct|accurate)",
    re.I,
)
_POINTER = re.compile(
    r"\b(?P<which>which|what)(?: one| ones)? (?:of|among) (?:the following|these)\b,?"
    r"|\b(?P<which2>which|what)(?: one)? of the (?=[\w'’ -]{3,40} below\b)",
    re.I,
)
_OUTSIDE = re.compile(
    r"\b(?P<lead>of|given) the following(?: options)?, (?P<word>which|what)\b|\bmost appropriate next best\b", re.I
)
_STILL = re.compile(
    r"\b(?:of|among|from) the following\b|\b(?:which|one) of these\b|\b(?:options|choices)\b"
    r"|\bfollowing\?|\b(?:which|what) [\w ]{2,30} below\b|\blisted\b.{0,20}\b(?:below|above)\b",
    re.I,
)
_AUX = words("is are was were would will should could can may might must has have had do does did if")
_BEFORE_VERB = words(
    "most more best also likely commonly primarily directly correctly accurately usually normally strongly "
    "allosterically additionally then now typically"
)
_VERB = re.compile(
    r"^(?:explain|describe|represent|account|contribute|increase|decrease|support|suggest|correspond|fit|match|require|"
    r"predispose|lead|provide|indicate|characteri[sz]e|confirm|reduce|reflect|affect|serve|occur|mediate|inhibit|bind|"
    r"suppl(?:y|ie)|identif(?:y|ie)|allow|drain|arise|develop|pose|carr(?:y|ie)|underl(?:y|ie)|give|take|play|associate|"
    r"belong|produce|prevent|improve|worsen|transmit|mak|warrant|determine|constitute|apply|applie|complicate)"
    r"(?:e?s|ed|ted)?$|^(?:led|gave|took|underlay)$",
    re.I,
)
_BEHIND_HEAD = words(
    "of in for to from with on that which who regarding about as by during at after between among within into against "
    "seen shown found used given involved associated responsible underlying known above concerning if and released "
    "made this needed present likely"
)
_MANY = re.compile(
    r"^(?:findings?|changes?|values?|results?|effects?|features?|characteristics?|abnormalit\w+|signs?|symptoms?)$",
    re.I,
)
_PLURAL_VERB = {"are": "is", "were": "was", "have": "has", "do": "does"}
_SAME = words("species series diabetes herpes biceps triceps")
_SINGULAR = {
    "bacteria": "bacterium", "criteria": "criterion", "phenomena": "phenomenon", "nuclei": "nucleus",
    "stimuli": "stimulus", "ganglia": "ganglion", "vertebrae": "vertebra", "foramina": "foramen", "loci": "locus",
    "viruses": "virus", "processes": "process", "biases": "bias", "abscesses": "abscess", "masses": "mass",
    "classes": "class", "losses": "loss", "illnesses": "illness", "diagnoses": "diagnosis", "prognoses": "prognosis",
    "analyses": "analysis", "hypotheses": "hypothesis", "metastases": "metastasis", "pathogeneses": "pathogenesis",
    "thromboses": "thrombosis", "anastomoses": "anastomosis", "reflexes": "reflex", "sinuses": "sinus",
    "plexuses": "plexus", "biopsies": "biopsy", "approaches": "approach", "branches": "branch", "crises": "crisis",
    "bases": "base", "indices": "index", "matrices": "matrix", "women": "woman", "men": "man", "children": "child",
}  # fmt: skip
_BROKEN = re.compile(
    r"\bwhat the\b|\bexplains for\b|\bwill (?:most )?likely found\b|\bis the most likely responsible\b"
    r"|\b(\w+) \1\b(?<!that that)(?<!had had)|\bmost likely increased risk\b|\bwhat what\b|\bwhich which\b"
    r"|\bbelongs to be\b",
    re.I,
)


def open_question(asked: str, options: list[str]) -> tuple[str | None, str]:
    """Return the question as it can be asked without options, or None and why it cannot.

    Only sentences that ask are rephrased; the vignette keeps its words.
    """
    if any(_OPTION_BOUND.search(option) for option in options):
        return None, "with options that name each other"
    if points_at_picture(asked):
        return None, "that point at a picture"
    if points_at_summary(asked):
        return None, "that point at a text that is not there"
    if "%%%" in asked:  # the head of a table of options, as some copies write it
        return None, "that cannot be rephrased by rule"
    sentences = [one.strip() for one in _SENTENCE.split(plain(asked))]
    asking = [place for place, one in enumerate(sentences) if one.endswith("?") or place == len(sentences) - 1]
    for place in asking:
        sentence = sentences[place]
        if not _POINTER.search(sentence) and not _STILL.search(sentence):
            continue
        if _EXCEPT.search(sentence):
            return None, "that ask for the exception among the options"
        if _STATEMENT.search(sentence):
            return None, "that ask which of several statements is true"
        changed = rephrase(sentence)
        if changed is None:
            return None, "that cannot be rephrased by rule"
        sentences[place] = changed
    if not any(sentences[place].endswith("?") for place in asking):
        if re.search(r"\bfollowing \w+:?$|%%%", sentences[-1]) or not re.search(
            r"(?::|\b(?:by|is|to|of|with|the|a|an))$", sentences[-1]
        ):
            return None, "that ask nothing without their options"
        last = re.sub(r"(?: an?| the)?:?$", "", sentences[-1])
        sentences[-1] = last + ("?" if re.search(r"\b(?:which|what)\b", last, re.I) else " what?")
    return " ".join(sentences), ""


def plain(asked: str) -> str:
    """The question without a quotation mark that the file leaves behind at its end."""
    text = asked.strip()
    return text.removesuffix('"').strip() if text.count('"') % 2 else text


def rephrase(sentence: str) -> str | None:
    """Return a sentence without its pointer at options, or None where the rules give no English."""
    parts: list[str] = []
    rest = _OUTSIDE.sub(_inside, sentence)
    while (match := _POINTER.search(rest)) is not None:
        word = match["which"] or match["which2"]
        phrase, behind = _noun_phrase(rest[match.end() :].strip())
        if phrase is None:
            return None
        asked_for = "which" if phrase else "what"
        parts += [rest[: match.start()].strip(), asked_for.capitalize() if word[0].isupper() else asked_for, phrase]
        rest = behind
    whole = re.sub(r" ([,?.;:])", r"\1", " ".join(part for part in [*parts, rest.strip()] if part))
    return None if _STILL.search(whole) or _BROKEN.search(whole) else whole


def _inside(match: re.Match[str]) -> str:
    """\"Of the following, which is" → "What is"; a next best step that is the most appropriate one is one of both."""
    if match["lead"] is None:
        return "most appropriate next"
    return "What" if match["lead"][0].isupper() else "what"


def _noun_phrase(rest: str) -> tuple[str | None, str]:
    """Split what stands behind the pointer into the noun phrase, in the singular where that is right, and the rest.

    The phrase is empty where the pointer stands alone, None where no end of it is found.
    """
    words = re.sub(r"^([\w'’ -]{3,40}) below\b", r"\1", rest).split(" ")
    end = next((place for place, word in enumerate(words) if _ends_phrase(word)), len(words))
    while end and words[end - 1] in _BEHIND_HEAD and end < len(words):
        end -= 1
    head = next((place for place, word in enumerate(words[:end]) if word.lower() in _BEHIND_HEAD), end) - 1
    for place in (head, end - 1):  # the mark behind a word is a word of its own
        if place >= 0 and words[place][-1:] in tuple(",?:;"):
            words[place : place + 1] = [words[place][:-1], words[place][-1]]
            end = place + 1
            break
    if head < 0 or not words[head]:
        return "", " ".join(words)
    if words[head].lower() in ("options", "choices"):
        return ("", " ".join(words[head + 1 :])) if head == 0 else (None, "")
    if head > 5 or words[0] in ("the", "a", "an"):
        return None, ""
    phrase = words[:end]
    verb = next((place for place in range(end, len(words)) if words[place] not in _BEFORE_VERB), None)
    plain = words[verb] if verb is not None else ""
    if not _keeps_plural(words, head, plain):
        phrase[head] = _singular(phrase[head])
        if "or" in phrase[:head]:
            before = phrase.index("or") - 1
            phrase[before] = _singular(phrase[before])
        if verb is not None and "that" not in phrase:
            words[verb] = _agreeing(plain)
    return " ".join(phrase), " ".join(words[end:])


def _ends_phrase(word: str) -> bool:
    plain = word.lower().strip(",?:;.")
    return plain in _AUX or plain in _BEFORE_VERB or bool(_VERB.match(plain)) or plain in ("you", "he", "she")


def _keeps_plural(words: list[str], head: int, verb: str) -> bool:
    """Several findings may be one answer: they stay several unless the verb says one."""
    return "and" in words[:head] or bool(_MANY.match(words[head].strip(",?:;")) and not re.search(r"s$", verb))


def _agreeing(verb: str) -> str:
    """The verb for one."""
    if verb in _PLURAL_VERB:
        return _PLURAL_VERB[verb]
    return verb + "s" if _VERB.match(verb) and not re.search(r"(?:s|ed|led|gave|took)$", verb) else verb


def _singular(noun: str) -> str:
    lower = noun.lower()
    if lower in _SAME or lower.endswith(("ss", "us", "is")):
        return noun
    if lower in _SINGULAR:
        return _SINGULAR[lower]
    for ending, single in (("ies", "y"), ("sses", "ss"), ("yses", "ysis"), ("oses", "osis"), ("xes", "x"), ("s", "")):
        if lower.endswith(ending):
            return noun[: -len(ending)] + single
    return noun
