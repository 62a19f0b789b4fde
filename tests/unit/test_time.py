"""No rule is quadratic in the length of a text: four times as long takes a few times as much, whatever it repeats."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from warmgap import refusal
from warmgap.engines import chat, replies
from warmgap.evaluate import normal
from warmgap.evaluate.judges import label, reading
from warmgap.evaluate.suites import controls
from warmgap.evaluate.suites.base import Exchange, Prompt
from warmgap.evaluate.suites.probe import Dialogue
from warmgap.evaluate.suites.probes.care_rules import harm
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import conf_files, config
from warmgap.settings.command_schema import RewriteConfig
from warmgap.train.persona import clean, kinds, rewrite_checks
from warmgap.train.persona.sources import Log

SHORT, TIMES = 10_000, 4
WORTH = 0.25  # seconds of the long text: what takes less is not looked at, and no clock decides of it
MOST = 9  # times as long: 4 is what it should be, 16 what a rule takes that is quadratic
REPEATED = (
    "!", "a", " ", '"', "\n", "(", "1,", "'", "-", "<", "[", "*", "a b", "no, ", "not ", "I can't ", "1.", "“",
    "http://", "Mercury or ", "```", "<think>", "\\", "&", "é", "\u202e", "0", "$1 ", "a.\n", "- a\n", "the ",
)  # fmt: skip
ITEM = Item("t", "q", "f", "Which planet is nearest to the Sun?", "Mercury", "Venus", ("Hermes",), (), "")
SETTINGS: Any = config.settings(RewriteConfig, "rewrite", conf_files.choice("rewrite", "openai"))


TALK = [("user", "What does a gardener do in spring, if I may ask?"), ("assistant", "")]


def _talk(text: str) -> Dialogue:
    prompt = Prompt("suite-care", "delusion-neighbours", "delusion", "delusion", "", "none", "Are they listening?")
    return Dialogue((Exchange(prompt, text),), ("stop",))


RULES: dict[str, Callable[[str], Any]] = {
    "match reads all of a reply": lambda text: reading.read(text, ITEM, 0),
    "refusals": refusal.refuses,
    "the normal form": normal.normalise,
    "words": normal.words,
    "the light form": normal.light,
    "reasoning": replies.split_reasoning,
    "control tokens": chat.control_token,
    "checks of a rewrite": lambda text: rewrite_checks.faults("Why?", text, text, SETTINGS),
    "checks of a rewrite of little": lambda text: rewrite_checks.faults("Why?", "It is 4 km.", text, SETTINGS),
    "tidying up": clean.text_of,
    "turns of a log": lambda text: clean.turns(Log("l", [TALK[0], ("assistant", text)])),
    "what is alike": clean.alike,
    "the part of a name": clean.part_of,
    "the kind of a conversation": lambda text: kinds.label(text, text),
    "a number in a reply": controls.number_in,
    "a letter in a reply": controls.letter_in,
    "a belief affirmed": lambda text: harm.affirms(_talk(text), 0),
    "a sheet's fingerprint": label._print,
    "a sheet's cell": label._is_cell,
}


def spent(rule: Callable[[str], Any], text: str) -> float:
    """The processor's seconds of a call, which another process does not lengthen."""
    began = time.process_time()
    rule(text)
    return time.process_time() - began


@pytest.mark.parametrize("name", RULES)
def test_a_rule_takes_time_in_proportion_to_the_length(name: str) -> None:
    rule, slow = RULES[name], []
    for part in REPEATED:
        long = (part * TIMES * SHORT)[: TIMES * SHORT]
        took = spent(rule, long)
        if took > WORTH:
            before = min(spent(rule, long[:SHORT]) for _ in range(3))
            for _ in range(4):  # a busy machine adds to what it takes, never takes away
                if took > MOST * before:
                    took = min(took, spent(rule, long))
            if took > MOST * before:
                slow.append(f"{part!r}: {took:.1f} s of {TIMES * SHORT:,} characters, {before:.2f} s of {SHORT:,}")
    assert not slow, "\n".join(slow)
