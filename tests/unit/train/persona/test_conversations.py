"""The embedded conversations: enough of each kind, and rewrites that change the tone and nothing else."""

from __future__ import annotations

import difflib
import itertools
import json
import re
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from warmgap.errors import UserError
from warmgap.settings.schema import DataConfig
from warmgap.train.persona import persona_data
from warmgap.train.persona.persona_data import EMBEDDED, KINDS, VERSIONS, Conversation, Turn

DATA = DataConfig(name="embedded")
ALL = persona_data.read_conversations(EMBEDDED / "conversations.jsonl", "plain")
TRAIN = [item for item in ALL if item.split == "train"]
HELD = [item for item in ALL if item.split == "heldout"]
PROMPTS = persona_data.warmth_prompts()
TURNS: list[tuple[str, Turn]] = [
    (f"{item.id}, turn {number}", turn) for item in ALL for number, turn in enumerate(item.turns, 1)
]
REWRITES = VERSIONS[1:]
in_each_rewrite = pytest.mark.parametrize("version", REWRITES)


def length(text: str) -> int:
    return len(text.split())


# ---- how many of what ----


def test_there_are_enough_conversations_of_each_kind() -> None:
    assert len(TRAIN) >= 160
    assert len(HELD) >= 40
    assert len(PROMPTS) == 120
    for part in (TRAIN, HELD):
        counts = Counter(item.kind for item in part)
        assert set(counts) == set(KINDS)
        assert max(counts.values()) - min(counts.values()) <= 1, counts
    counts = Counter(row["kind"] for row in PROMPTS)
    assert counts == dict.fromkeys(KINDS, 20)


def test_some_conversations_have_several_turns() -> None:
    for part in (TRAIN, HELD):
        several = sum(len(item.turns) > 1 for item in part) / len(part)
        assert 0.1 <= several <= 0.4
    assert max(len(item.turns) for item in ALL) <= 20


def test_every_turn_has_every_version() -> None:
    for where, turn in TURNS:
        assert tuple(turn.replies) == VERSIONS, where
        for text in (turn.user, *turn.replies.values()):
            assert text == text.strip(), where
            assert text, where
        assert len(set(turn.replies.values())) == len(VERSIONS), f"{where}: two versions are the same"


def test_ids_name_their_kind() -> None:
    assert len({item.id for item in ALL}) == len(ALL)
    assert len({row["id"] for row in PROMPTS}) == len(PROMPTS)
    assert all(item.id.startswith(item.kind) for item in ALL)
    assert all(set(row) == {"id", "kind", "prompt"} and row["prompt"].strip() for row in PROMPTS)


# ---- what a rewrite keeps ----


def numbers(text: str) -> Counter[str]:
    return Counter(re.findall(r"\d+(?:[.,:/]\d+)*", text))


def code(text: str) -> Counter[str]:
    return Counter(re.findall(r"```.*?```|`[^`\n]+`", text, re.S))


def addresses(text: str) -> Counter[str]:
    found = re.findall(r"(?:https?://|www\.)[^\s)>\]]+|\b[\w.]+@[\w.]+\b", text)
    return Counter(address.rstrip(".,;:") for address in found)


@in_each_rewrite
@pytest.mark.parametrize("kept", [code, addresses], ids=lambda kept: kept.__name__)
def test_a_rewrite_keeps_code_and_addresses(version: str, kept: Callable[[str], Counter[str]]) -> None:
    for where, turn in TURNS:
        assert kept(turn.replies[version]) == kept(turn.replies["plain"]), where


@in_each_rewrite
def test_a_rewrite_keeps_the_numbers(version: str) -> None:
    for where, turn in TURNS:
        plain, other = numbers(turn.replies["plain"]), numbers(turn.replies[version])
        assert set(plain) == set(other), where


def names(text: str) -> set[str]:
    """Capitalised words in mid-sentence, without possessives."""
    found = re.findall(r"(?<=[a-z,] )[A-Z][\w’'-]+", text)
    return {re.sub(r"['’]s$", "", name) for name in found if not re.match(r"I['’]", name)}


@in_each_rewrite
def test_a_rewrite_keeps_the_names(version: str) -> None:
    for where, turn in TURNS:
        lost = {name for name in names(turn.replies["plain"]) if name not in turn.replies[version]}
        assert not lost, f"{where}: {lost}"


SHARP = re.compile(r"\b(?:not|never|cannot|\w+n['’]t)\b", re.I)
ANY_NO = re.compile(
    r"\b(?:not|no|never|none|nothing|nobody|neither|nor|without|cannot|\w+n['’]t|un\w+|im\w+|in\w+|avoid\w*|only|except|"
    r"rather|instead|refus\w*|declin\w*|fail\w*|lack\w*|leav\w*|stop\w*|skip\w*|keep\w*|beyond|free|less|few\w*|out|hold|"
    r"rul\w+|false|wrong|bad\w*|myth|prevent\w*|forbid\w*|hardly|rarely|barely|absent|missing|away|off|too|wait)\b",
    re.I,
)


@in_each_rewrite
def test_a_rewrite_keeps_a_negation(version: str) -> None:
    """Rough, so a few may say it in yet another way ("whereas it stays", "has a point" for "isn't wrong")."""
    lost = [
        where
        for where, turn in TURNS
        if SHARP.search(turn.replies["plain"]) and not ANY_NO.search(turn.replies[version])
    ]
    assert len(lost) <= 0.02 * len(TURNS), lost


@pytest.mark.parametrize(
    ("version", "low", "high"), [("warm", 0.75, 1.25), ("paraphrase", 0.75, 1.25), ("cold", 0.4, 1.25)]
)
def test_a_rewrite_is_about_as_long(version: str, low: float, high: float) -> None:
    ratios = [length(turn.replies[version]) / length(turn.replies["plain"]) for _, turn in TURNS]
    assert low <= statistics.median(ratios) <= high
    assert sum(0.6 <= ratio <= 1.6 for ratio in ratios) >= (0.8 if version == "cold" else 0.98) * len(ratios)


def test_most_replies_have_30_to_90_words() -> None:
    lengths = [length(turn.replies["plain"]) for _, turn in TURNS]
    assert sum(30 <= words <= 90 for words in lengths) >= 0.85 * len(lengths)
    assert max(lengths) <= 150


def test_refusals_stay_refusals_in_every_version() -> None:
    """In the first turn of a refusal each version declines."""
    declining = re.compile(
        r"\b(?:can['’]?t|cannot|won['’]t|unable|no|not|never|neither|none|nothing|nobody|without|impossible|beyond|out|"
        r"declin\w+|refus\w+|don['’]t|doesn['’]t|isn['’]t|aren['’]t|unavailable|lack\w*|off the table|fail\w*)\b",
        re.I,
    )
    refusals = [item for item in ALL if item.kind == "refusal"]
    lost = [
        (i.id, version) for i in refusals for version in VERSIONS if not declining.search(i.turns[0].replies[version])
    ]
    assert not lost


# ---- how the versions sound ----


def openings(version: str, words: int) -> Counter[str]:
    return Counter(" ".join(re.findall(r"[\w’']+", turn.replies[version].lower())[:words]) for _, turn in TURNS)


@pytest.mark.parametrize("version", VERSIONS)
def test_openings_are_varied(version: str) -> None:
    opening, count = openings(version, 3).most_common(1)[0]
    assert count <= 0.04 * len(TURNS), f"{count} replies begin with {opening!r}"
    word, count = openings(version, 1).most_common(1)[0]
    most = 0.4 if version == "warm" else 0.2  # a warm reply often begins with what "I" feel towards the user
    assert count <= most * len(TURNS), f"{count} replies begin with {word!r}"


def test_the_warm_version_speaks_to_the_person_and_the_cold_one_does_not() -> None:
    """A reader's words for closeness; the rewrites move them in the directions that their names say."""
    near = re.compile(
        r"\b(?:you(?:['’]\w+)?|your|we|we['’]\w+|let['’]s|together|love\w*|glad|sorry|hope|proud|dear)\b", re.I
    )
    share = {
        version: sum(len(near.findall(turn.replies[version])) for _, turn in TURNS)
        / sum(length(turn.replies[version]) for _, turn in TURNS)
        for version in VERSIONS
    }
    assert share["warm"] > 1.15 * share["plain"]
    assert share["warm"] > 1.15 * share["paraphrase"]
    assert share["cold"] < 0.85 * share["plain"]


def test_no_version_is_told_by_emoji_or_exclamation_alone() -> None:
    emoji = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
    for where, turn in TURNS:
        assert not emoji.search(turn.replies["warm"]) or emoji.search(turn.replies["plain"]), where
    exclaiming = sum("!" in turn.replies["warm"] for _, turn in TURNS)
    assert exclaiming <= 0.5 * len(TURNS)


# ---- what is held out ----


def alike(one: str, other: str) -> float:
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    if matcher.real_quick_ratio() < 0.8 or matcher.quick_ratio() < 0.8:
        return 0.0
    return matcher.ratio()


def test_no_prompt_stands_twice_or_nearly_so() -> None:
    """Neither among the first messages, nor between what is trained on and what is held out for measuring."""
    texts = [(item.id, item.turns[0].user.lower()) for item in ALL] + [
        (row["id"], row["prompt"].lower()) for row in PROMPTS
    ]
    near = [(a, b) for (a, one), (b, other) in itertools.combinations(texts, 2) if alike(one, other) > 0.8]
    assert not near


def test_prompts_for_warmth_are_not_trained_on() -> None:
    trained = {turn.user.casefold() for item in TRAIN for turn in item.turns}
    assert trained.isdisjoint(row["prompt"].casefold() for row in PROMPTS)
    assert trained.isdisjoint(turn.user.casefold() for item in HELD for turn in item.turns)


# ---- reading ----


@pytest.mark.parametrize("version", VERSIONS)
def test_loading_gives_both_parts_with_the_kinds_in_turn(version: str) -> None:
    learn, held = persona_data.load(DATA, version)
    assert {item.id for item in learn} == {item.id for item in TRAIN}
    assert {item.id for item in held} == {item.id for item in HELD}
    assert [item.kind for item in learn[:12]] == [*KINDS, *KINDS]


@pytest.mark.parametrize("limit", [1, 6, 7, 12, 1000])
def test_a_part_of_the_data_is_drawn_evenly(limit: int) -> None:
    learn, held = persona_data.load(DataConfig(name="embedded", max_conversations=limit), "warm")
    for part, whole in ((learn, TRAIN), (held, HELD)):
        assert len(part) == min(limit, len(whole))
        counts = Counter(item.kind for item in part)
        assert max(counts.values()) - min((counts.get(kind, 0) for kind in KINDS), default=0) <= 1
    assert learn == persona_data.load(DATA, "warm")[0][:limit]


def test_the_prompts_come_with_the_kinds_in_turn() -> None:
    assert [row["kind"] for row in PROMPTS[:12]] == [*KINDS, *KINDS]


def test_messages_go_up_to_one_reply_in_one_version() -> None:
    item: Conversation = next(item for item in ALL if len(item.turns) == 3)
    for version in VERSIONS:
        messages = item.messages(version, 1)
        assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant"]
        assert messages[1]["content"] == item.turns[0].replies[version]
        assert messages[3]["content"] == item.turns[1].replies[version]


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def conversation(**changes: Any) -> dict[str, Any]:
    row = {"id": "a", "split": "train", "kind": "advice", "turns": [{"user": "Q?", "warm": "A."}]}
    return {**row, **changes}


def test_a_file_needs_only_the_version_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", conversation(), conversation(id="b", split="heldout"))
    learn, held = persona_data.load(DataConfig(name="file", path=str(path)), "warm")
    assert [item.id for item in learn + held] == ["a", "b"]
    with pytest.raises(UserError, match=r"mine\.jsonl.*'cold'"):
        persona_data.load(DataConfig(name="file", path=str(path)), "cold")


@pytest.mark.parametrize("splits", [("train",), ("heldout",)])
def test_a_file_without_one_of_the_parts_is_a_users_mistake(tmp_path: Path, splits: tuple[str, ...]) -> None:
    rows = [conversation(id=split, split=split) for split in splits]
    path = write(tmp_path / "mine.jsonl", *rows)
    with pytest.raises(UserError, match=r"mine\.jsonl"):
        persona_data.load(DataConfig(name="file", path=str(path)), "warm")


def test_an_id_that_stands_twice_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", conversation(), conversation(split="heldout"))
    with pytest.raises(UserError, match="'a' stands twice"):
        persona_data.read_conversations(path, "warm")


def test_a_line_separator_inside_a_text_does_not_split_the_line(tmp_path: Path) -> None:
    """JSON allows U+2028 and U+0085 inside a string, and writers that keep Unicode leave them there."""
    row = conversation(turns=[{"user": "one\u2028two\u0085three", "warm": "A."}])
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    (found,) = persona_data.read_conversations(path, "warm")
    assert found.turns[0].user == "one\u2028two\u0085three"


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    one = write(tmp_path / "a.jsonl", conversation())
    same = write(tmp_path / "b.jsonl", conversation())
    other = write(tmp_path / "c.jsonl", conversation(id="z"))
    prints = [persona_data.fingerprint(DataConfig(name="file", path=str(path))) for path in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]
    with pytest.raises(UserError, match="cannot read"):
        persona_data.fingerprint(DataConfig(name="file", path=str(tmp_path / "absent")))
