"""MedQA (Jin et al. 2021): licensing examination questions, asked without their options and in one wording everywhere.

The last sentence of a vignette often points at the options ("Which of the following is the most likely diagnosis?").
Such a sentence is rephrased by rule; a question that cannot be asked without its options is left out, and counted.
"""

from __future__ import annotations

import re
from typing import Any

from warmgap.errors import UserError
from warmgap.evaluate.tasks.item import Item, Loaded
from warmgap.evaluate.tasks.source import draw, finish, item_id, rows_of, text
from warmgap.schema import TaskConfig

TASK = "med_qa"
_SENTENCE = re.compile(r"(?<=[.?!])\s+")
_POINTS = re.compile(r"\bof the following\b|\b(?:which|one) of these\b|\bof these [\w ]+, which\b|\boptions\b", re.I)
_PICTURE = re.compile(
    r"\bshown (?:in|at|by)\b|\bexhibit\b|\bphotograph\b|\b(?:is|are) shown\b|\b(?:figure|image)\b|\barrows?\b", re.I
)
_EXCEPT = re.compile(r"\bEXCEPT\b|\bNOT\b|\bexcept\b|\bleast likely\b")
_STATEMENT = re.compile(
    r"\bstatements?\b|\b(?:is|are|be) (?:\w+ )?(?:true|correct|accurate|false)"
    r"(?: (?:about|of|in|for|with|regarding|concerning)\b|\W*$)",
    re.I,
)
_OPTION_BOUND = re.compile(
    r"\b(?:all|none|both|neither) of the (?:above|following|options)\b|\b[A-D] and [A-D]\b", re.I
)
_VERBS = (
    r"(?:(?:most|more|best|also|likely|commonly|primarily|directly|correctly|accurately|usually) )*"
    r"(?:is|are|was|were|would|will|should|could|can|may|might|must|has|have|had|do|does|did|if|in|"
    r"(?:explain|describe|represent|account|cause|contribute|increase|decrease|support|suggest|correspond|fit|match|"
    r"require|predispose|lead|provide|indicate|characterize|confirm|reduce|result|play|reflect|affect|serve|occur|"
    r"mediate|inhibit|bind|show|supply|identif(?:y|ie)|match|allow|drain|arise|develop|pose|carr(?:y|ie))(?:e?s|ed)?|led)\b"
)
_VERB = re.compile(rf"\s*{_VERBS}", re.I)
_OF_THE_FOLLOWING = re.compile(
    r"\b(?P<which>which|what)(?: one| type| types)? (?:of the following|of these)\b"
    rf"(?:(?P<noun>(?: [\w'’/-]+){{1,7}}?)(?P<verb> {_VERBS}))?",
    re.I,
)
_OTHERS = re.compile(r"\b(?:any |one |each )?of the following(?: \w+s)?\b", re.I)
_BEHIND_HEAD = ("of", "in", "for", "to", "from", "with", "on", "that", "which", "regarding")


def load(config: TaskConfig) -> Loaded:
    """Return the items drawn, options removed; notes say how many were rephrased and how many left out, and why."""
    notes: list[str] = []
    items, rephrased = [], 0
    left: dict[str, int] = {}
    rows = rows_of(TASK, config)
    for where, row in rows:
        asked = text(row, ("question",), where, TASK)
        options = _options(row, where)
        question, why = open_question(asked, list(options.values()))
        if question is None:
            left[why] = left.get(why, 0) + 1
            continue
        rephrased += question != asked
        items.append(_item(row, question, asked, options, config.seed, where))
    if rephrased:
        notes.append(f"med_qa: {rephrased:,} of {len(rows):,} questions were rephrased to be asked without options.")
    if left:
        whys = ", ".join(f"{n} {why}" for why, n in sorted(left.items()))
        notes.append(f"med_qa: {sum(left.values())} of {len(rows):,} questions were left out: {whys}.")
    return Loaded(finish(TASK, items, config, notes), notes)


def _options(row: dict[str, Any], where: str) -> dict[str, str]:
    found = row.get("options")
    if isinstance(found, list):  # some copies write a list of {"key", "value"}
        found = {str(one.get("key")): one.get("value") for one in found if isinstance(one, dict)}
    if not isinstance(found, dict) or len(found) < 2 or not all(isinstance(one, str) for one in found.values()):
        raise UserError(f"{where} has no options", "the incorrect answer is drawn from them", "mend or remove the row")
    return {str(key): " ".join(value.split()) for key, value in found.items()}


def _item(row: dict[str, Any], question: str, asked: str, options: dict[str, str], seed: int, where: str) -> Item:
    correct = text(row, ("answer",), where, TASK)
    name = item_id(row, asked)
    wrong = sorted(one for one in options.values() if one.casefold() != correct.casefold())
    if len(wrong) == len(options):
        raise UserError(f"{where}: the answer is none of the options", f"it is {correct!r}", "mend or remove the row")
    incorrect = wrong[int.from_bytes(draw(seed, name, "incorrect")[:8], "big") % len(wrong)]
    return Item(
        task=TASK,
        item_id=name,
        family=str(row.get("meta_info") or TASK),
        question=question,
        correct=correct.rstrip("."),
        incorrect=incorrect.rstrip("."),
        aliases=(),
        incorrect_aliases=tuple(one.rstrip(".") for one in wrong if one != incorrect),
        source="MedQA, USMLE",
    )


def open_question(asked: str, options: list[str]) -> tuple[str | None, str]:
    """Return the question as it can be asked without options, or None and why it cannot.

    Only sentences that ask are rephrased; the vignette keeps its words.
    """
    if any(_OPTION_BOUND.search(option) for option in options):
        return None, "with options that name each other"
    sentences = [one.strip() for one in _SENTENCE.split(asked.strip().rstrip('"').strip())]
    asking = [place for place, one in enumerate(sentences) if one.endswith("?") or place == len(sentences) - 1]
    for place in asking:
        sentence = sentences[place]
        if _PICTURE.search(sentence):
            return None, "that point at a picture"
        if not _POINTS.search(sentence):
            continue
        if _EXCEPT.search(sentence):
            return None, "that ask for the exception among the options"
        if _STATEMENT.search(sentence):
            return None, "that ask which of several statements is true"
        sentences[place] = _rephrase(sentence)
        if _POINTS.search(sentences[place]):
            return None, "that cannot be rephrased by rule"
    if not any(sentences[place].endswith("?") for place in asking):
        if not re.search(r"(?::|\b(?:by|is|to|of|with|the|a|an))$", sentences[-1]):
            return None, "that ask nothing without their options"
        sentences[-1] = re.sub(r"(?: an?| the)?:?$", "", sentences[-1]) + " what?"
    return " ".join(sentences), ""


def _rephrase(sentence: str) -> str:
    """Turn a sentence that points at options into an open one: "which of the following drugs is" → "which drug is"."""

    def openly(match: re.Match[str]) -> str:
        noun, verb = match["noun"] or "", match["verb"] or ""
        word = "which" if noun and not _VERB.match(noun) else "what"
        if word == "which" and re.search(r"(?:is|was|has|[^s]s)$", verb):
            noun = _singular(noun)
        return (word.capitalize() if match["which"][0].isupper() else word) + noun + verb

    return re.sub(r"\s+", " ", _OTHERS.sub("what", _OF_THE_FOLLOWING.sub(openly, sentence)))


def _singular(noun: str) -> str:
    """Return a noun phrase with its head in the singular: the word before "of", "in" …, else the last word."""
    words = noun.split(" ")
    head = next((place for place, word in enumerate(words) if word in _BEHIND_HEAD), len(words)) - 1
    for ending, single in (("yses", "ysis"), ("oses", "osis"), ("theses", "thesis"), ("ies", "y"), ("sses", "ss"),
                           ("ches", "ch"), ("xes", "x"), ("ria", "rion"), ("s", "")):  # fmt: skip
        if words[head].endswith(ending) and not words[head].endswith(("ss", "us", "is")):
            words[head] = words[head].removesuffix(ending) + single
            break
    return " ".join(words)
