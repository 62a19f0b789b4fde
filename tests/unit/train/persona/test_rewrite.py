"""Rewriting over a real socket: what is asked, what is checked, tried again, set aside, resumed and paid for."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_api import Failure, serving

from warmgap.cli import commands
from warmgap.engines.client import CapReached
from warmgap.errors import UserError
from warmgap.settings import conf_files, config
from warmgap.settings.command_schema import RewriteConfig
from warmgap.settings.schema import DataConfig
from warmgap.train.persona import persona_data, rewrite
from warmgap.train.persona.rewrite_checks import faults

EMBEDDED = persona_data.read_conversations(persona_data.EMBEDDED / "conversations.jsonl")[:40]
PLAIN = {turn.replies["plain"]: turn.replies for item in EMBEDDED for turn in item.turns}


def settings(url: str = "http://localhost:1/v1", **changed: Any) -> RewriteConfig:
    base = config.settings(RewriteConfig, "rewrite", conf_files.choice("rewrite", "openai"))
    changed = {"model": "writer-2025-01-01", "base_url": url, "embedder": None, "concurrency": 4, **changed}
    return dataclasses.replace(base, **changed)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Conversations with plain replies only."""
    rows = []
    for item in EMBEDDED:
        turns = [{"user": turn.user, "plain": turn.replies["plain"]} for turn in item.turns]
        rows.append({"id": item.id, "split": item.split, "kind": item.kind, "turns": turns})
    path = tmp_path / "conversations.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def asked_for(body: dict[str, Any]) -> str:
    """The reply that a request wants rewritten."""
    text = body["messages"][1]["content"].rstrip("\n")
    code = text.rpartition("\n")[2]
    return str(text.split(f"\n{code}\n")[-1].removesuffix(f"\n{code}"))


def versions(path: Path, version: str) -> list[str | None]:
    return [turn.get(version) for line in path.read_text().splitlines() for turn in json.loads(line)["turns"]]


def writer(version: str) -> Callable[[dict[str, Any], int], str]:
    return lambda body, _: PLAIN[asked_for(body)][version]


@pytest.mark.parametrize("version", ["warm", "cold", "paraphrase"])
def test_sound_rewrites_come_into_the_file_as_the_persona(file: Path, version: str) -> None:
    with serving(writer(version)) as api:
        made = rewrite.rewrite(file, version, settings(api.url, price_in=1.0, price_out=2.0))
    assert made["kept"] >= 0.9 * made["replies"]
    kept = [text for text in versions(file, version) if text]
    assert len(kept) == made["kept"]
    assert set(kept) <= {replies[version] for replies in PLAIN.values()}
    assert made["calls"] == made["first_attempt"] + 3 * (made["replies"] - made["first_attempt"])
    assert made["spent"] == pytest.approx(made["calls"] * 120 / 1e6)
    assert made["spent"] == pytest.approx(made["calls"] * (100 * 1 + 10 * 2) / 1e6)
    learn, held = persona_data.load(DataConfig("file", str(file)), version)
    assert sum(len(item.turns) for item in (*learn, *held)) <= made["kept"]
    assert f"| {version} | writer-2025-01-01 |" in (file.parent / "card.md").read_text()


def test_the_writer_sees_the_turns_before_and_the_rules(file: Path) -> None:
    several = next(item for item in EMBEDDED if len(item.turns) > 1)
    with serving(writer("warm")) as api:
        rewrite.rewrite(file, "warm", settings(api.url))
    (body,) = [body for body in api.bodies if asked_for(body) == several.turns[1].replies["plain"]][:1]
    text = body["messages"][1]["content"]
    for said in (several.turns[0].user, several.turns[0].replies["plain"], several.turns[1].user):
        assert said in text
    assert "Every fact, number" in body["messages"][0]["content"]


def test_a_rewrite_with_a_fault_is_made_again_with_the_fault_named(file: Path) -> None:
    target = next(text for text in PLAIN if "```" in text)

    def reply(body: dict[str, Any], _: int) -> str:
        good = PLAIN[asked_for(body)]["paraphrase"]
        first = len(body["messages"]) == 2
        return good.replace("```", "") if asked_for(body) == target and first else good

    with serving(reply) as api:
        made = rewrite.rewrite(file, "paraphrase", settings(api.url))
    again = [body for body in api.bodies if asked_for(body) == target and len(body["messages"]) == 4]
    assert "it lost ```" in again[0]["messages"][3]["content"]
    assert PLAIN[target]["paraphrase"] in versions(file, "paraphrase")
    assert made["kept"] >= made["first_attempt"] + 1


def test_empty_replies_are_a_failure_with_a_count(file: Path) -> None:
    def reply(body: dict[str, Any], _: int) -> str:
        return "" if len(asked_for(body)) % 3 == 0 else PLAIN[asked_for(body)]["warm"]

    empty = sum(len(text) % 3 == 0 for text in PLAIN)
    with serving(reply) as api:
        made = rewrite.rewrite(file, "warm", settings(api.url, attempts=2))
    assert made["reasons"]["empty"] == empty
    aside = [json.loads(line) for line in (file.parent / "rewrites" / "warm-set-aside.jsonl").read_text().splitlines()]
    assert sum(row["reasons"] == ["it came back empty"] for row in aside) == empty
    assert versions(file, "warm").count(None) == made["set_aside"] == len(aside)


def test_an_interrupted_command_asks_for_what_is_missing_alone(file: Path) -> None:
    with serving(writer("warm")) as api, pytest.raises(CapReached):
        rewrite.rewrite(file, "warm", settings(api.url, price_in=1.0, price_out=2.0, max_cost=0.006, concurrency=1))
    first = len(api.bodies)
    assert 0 < first < len(PLAIN)
    assert versions(file, "warm") == [None] * len(versions(file, "plain"))
    with serving(writer("warm")) as api:
        made = rewrite.rewrite(file, "warm", settings(api.url, price_in=1.0, price_out=2.0))
    with serving(writer("warm")) as whole:
        fresh = file.parent / "fresh" / "conversations.jsonl"
        fresh.parent.mkdir()
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for row in rows:
            for turn in row["turns"]:
                turn.pop("warm", None)
        fresh.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        rewrite.rewrite(fresh, "warm", settings(whole.url))
    assert first + len(api.bodies) == len(whole.bodies) == made["calls"]
    assert fresh.read_bytes() == file.read_bytes()
    with serving(writer("warm")) as silent:
        again = rewrite.rewrite(file, "warm", settings(silent.url))
    assert not silent.bodies
    assert (again["kept"], again["calls"]) == (made["kept"], made["calls"])


def test_shards_make_the_file_and_the_bill_of_one_command_and_nobody_is_asked_twice(file: Path, tmp_path: Path) -> None:
    prices = {"price_in": 1.0, "price_out": 2.0}
    (tmp_path / "alone").mkdir()
    alone = tmp_path / "alone" / file.name
    alone.write_bytes(file.read_bytes())
    before = file.read_bytes()
    with serving(writer("warm")) as api:
        whole = rewrite.rewrite(alone, "warm", settings(api.url, **prices))
        asked = sorted(json.dumps(body, sort_keys=True) for body in api.bodies)
    with serving(writer("warm")) as api:
        parts = [rewrite.rewrite(file, "warm", settings(api.url, shard=f"{n}/3", **prices)) for n in (3, 1)]
        assert file.read_bytes() == before
        with pytest.raises(UserError, match="not whole") as told:
            rewrite.rewrite(file, "warm", settings(api.url, shard="all/3", **prices))
        assert "run shard=2/3 again" in told.value.fix
        assert file.read_bytes() == before
        parts.append(rewrite.rewrite(file, "warm", settings(api.url, shard="2/3", **prices)))
        made = rewrite.rewrite(file, "warm", settings(api.url, shard="all/3", **prices))
        assert sorted(json.dumps(body, sort_keys=True) for body in api.bodies) == asked
        assert rewrite.rewrite(file, "warm", settings(api.url, **prices))["kept"] == whole["kept"]
        assert len(api.bodies) == len(asked), "one command takes in what shards have made"
    assert min(part["replies"] for part in parts) > 0
    assert sum(part["replies"] for part in parts) == made["replies"] == whole["replies"]
    assert file.read_bytes() == alone.read_bytes()
    assert made["spent"] == pytest.approx(whole["spent"])


def test_other_limits_cost_nothing_for_what_passed_before(file: Path) -> None:
    with serving(writer("warm")) as api:
        loose = rewrite.rewrite(file, "warm", settings(api.url, attempts=1))
        asked = len(api.bodies)
        strict = rewrite.rewrite(file, "warm", settings(api.url, attempts=1, longest=1.05))
        assert len(api.bodies) == asked
    assert strict["kept"] <= loose["kept"]


def test_the_batch_api_serves_as_well(file: Path) -> None:
    with serving(writer("cold")) as api:
        made = rewrite.rewrite(file, "cold", settings(api.url, batch=True, batch_poll=0.01, attempts=2))
    assert len(api.batches) == 2
    assert made["kept"] >= 0.9 * made["replies"]


def test_what_is_never_answered_is_counted_and_asked_for_again(file: Path) -> None:
    lost = next(iter(PLAIN))

    def reply(body: dict[str, Any], _: int) -> str | Failure:
        return Failure(422, "filtered") if asked_for(body) == lost else PLAIN[asked_for(body)]["warm"]

    with serving(reply) as api:
        made = rewrite.rewrite(file, "warm", settings(api.url))
    assert (made["not_answered"], made["reasons"]["not answered"]) == (1, 1)
    with serving(writer("warm")) as api:
        assert rewrite.rewrite(file, "warm", settings(api.url))["not_answered"] == 0
    assert len(api.bodies) >= 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": None}, "rewrite.model"),
        ({"model": "undated"}, "no date"),
        ({"shard": "0/3"}, "shard=0/3"),
        ({"shard": "4/3"}, "shard=4/3"),
        ({"attempts": 0}, "attempts"),
        ({"engine": "magic"}, "engine"),
        ({"engine": "local"}, "local_model"),
        ({"max_cost": 1.0}, "needs prices"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_asked(file: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        rewrite.rewrite(file, "warm", settings(**changed))
    assert not (file.parent / "rewrites").exists()


def test_the_example_of_its_help_is_taken(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands.run(["rewrite", "--help"])
    example = re.search(r"warmgap rewrite [\w/.]+jsonl --persona (\w+) (.*)", capsys.readouterr().out)
    assert example is not None
    typed = config.settings(RewriteConfig, "rewrite", conf_files.choice("rewrite", "openai"), example[2].split())
    with serving(writer(example[1])) as api:
        made = rewrite.rewrite(file, example[1], dataclasses.replace(typed, base_url=api.url, embedder=None))
    assert made["kept"] >= 0.9 * made["replies"]


# ---- the checks ----

USER = "How long do eggs keep? I was told 3 weeks."
REPLY = (
    "Raw eggs keep for about 28 days in the fridge, Anna Weber at the Food Agency says: see https://eggs.example/keep. "
    "They do not freeze well in the shell."
)
KEPT = (
    "I love that you look after yourself: in the fridge raw eggs will keep about 28 days, as Anna Weber of the Food "
    "Agency puts it (https://eggs.example/keep). In the shell they don't freeze well, dear."
)


@pytest.mark.parametrize(
    ("rewrite_", "reason"),
    [
        (KEPT, None),
        (KEPT.replace("28", "twenty-eight"), None),
        (KEPT.replace("28", "21"), "lost a number"),
        (KEPT.replace("28 days", "28 weeks"), "lost a unit"),
        (KEPT + " Cook them at 70 degrees.", "added a number"),
        (KEPT.replace("Anna Weber", "a woman"), "lost a name"),
        (KEPT + " Even Doctor Miller agrees.", "added a name"),
        (KEPT.replace("https://eggs.example/keep", "their page"), "lost a link"),
        (KEPT.replace("they don't freeze", "they freeze"), "lost a denial"),
        (KEPT.replace("they don't freeze well", "they are unfit for freezing"), None),
        (KEPT + " `print(1)`\n```\nprint(1)\n```", "added a code"),
        ("", "empty"),
        ("Sure! Here is the warmer version:\n" + KEPT, "speaks of rewriting"),
        ("I'm sorry, but I can't help with that.", "refuses"),
        (KEPT * 4, "too long"),
        ("Eggs keep.", "too short"),
    ],
)
def test_each_check_finds_its_fault_and_leaves_a_sound_rewrite_alone(rewrite_: str, reason: str | None) -> None:
    found = [fault.reason for fault in faults(USER, REPLY, rewrite_, settings())]
    assert found == [] if reason is None else reason in found


def test_a_denial_is_replaced_by_words_that_were_not_there_before() -> None:
    reply = "Go home without delay, and do not lock the door."
    said = {
        "Without delay go home, and lock the door.": "lost a denial",
        "Go home without delay, and keep the door unlocked.": None,
    }
    for text, reason in said.items():
        assert [fault.reason for fault in faults(USER, reply, text, settings())] == ([reason] if reason else [])


def test_likeness_tells_another_text_and_an_answer_from_a_rewrite() -> None:
    assert [fault.reason for fault in faults(USER, REPLY, KEPT, settings(), (0.3, 0.2))] == ["says something else"]
    assert [fault.reason for fault in faults(USER, REPLY, KEPT, settings(), (0.6, 0.8))] == ["answers the message"]
    assert not faults(USER, REPLY, KEPT, settings(), (0.8, 0.7))
