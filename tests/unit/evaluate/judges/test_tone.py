"""Which of two replies is warmer, and which hangs together, by a chat model over a real socket."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chat_api import Api, Failure, serving

from warmgap.disk import store
from warmgap.disk.store import Arm
from warmgap.engines.client import Endpoint
from warmgap.errors import UserError
from warmgap.evaluate.judges import tone
from warmgap.evaluate.judges.closed import Remote
from warmgap.settings.schema import EndpointConfig


def arm(folder: Path, name: str, replies: list[str], step: int = 0) -> Arm:
    """An arm with replies to the warmth prompts at one step, and worse ones at an earlier one."""
    made = Arm(folder / name, "m", name, 0)
    for at, texts in ((step, replies), *([(1, ["early"] * len(replies))] if step else [])):
        rows = [{"key": f"{at}-{i}", "prompt": f"message {i}", "answer": text} for i, text in enumerate(texts)]
        store.append(made.answers(f"warmth-step{at}"), rows)
    return made


def model(api: Api, tmp_path: Path) -> Remote:
    config = EndpointConfig(model="judge-2024-08-06", base_url=api.url, key_env="")
    return Remote(config, Endpoint(config, "judge"), tmp_path / "batches.jsonl")


def record(body: dict[str, Any]) -> dict[str, str]:
    found = re.search(r"record \w+ ---\n(.*?)\n--- end", body["messages"][1]["content"], re.S)
    assert found is not None
    value = json.loads(found[1])
    assert isinstance(value, dict)
    return value


def fair(body: dict[str, Any], _: int) -> str:
    """Dear is warm; xx is incoherent."""
    given = record(body)
    if "reply" in given:
        return json.dumps({"reason": "", "verdict": "incoherent" if "xx" in given["reply"] else "coherent"})
    first, second = ("dear" in given[f"{place}_reply"] for place in ("first", "second"))
    return json.dumps({"reason": "", "verdict": "first" if first > second else "second" if second > first else "same"})


def shares(rows: Any) -> dict[str, tuple[int, float]]:
    return {row["what"]: (row["n"], row["pct"]) for row in tone.summary(rows)}


def test_the_warmer_reply_wins_in_either_place(tmp_path: Path) -> None:
    original = arm(tmp_path, "original", ["plain", "dear", "plain", "xx"])
    warm = arm(tmp_path, "warm", ["my dear", "plain", "plain", "dear xx"], step=7)
    with serving(fair) as api:
        rows = tone.compare(model(api, tmp_path), original, warm, tmp_path / "j.jsonl")
    assert rows["warmth"].tolist() == [tone.WON, tone.LOST, tone.DRAW, tone.WON]
    said = shares(rows)
    assert said["arm warmer"] == (4, 50.0)
    assert said["same place in both orders"] == (4, 0.0)
    assert said["arm coherent"] == (4, 75.0)
    assert len(api.bodies) == 4 * 2 + 4 * 2


def test_a_judge_that_prefers_a_place_gives_draws_alone(tmp_path: Path) -> None:
    arms = [arm(tmp_path, name, ["a", "b", "c"]) for name in ("original", "warm")]
    with serving(lambda body, count: '{"reason": "", "verdict": "first"}') as api:
        rows = tone.compare(model(api, tmp_path), *arms, tmp_path / "j.jsonl")
    assert set(rows["warmth"]) == {tone.DRAW}
    assert shares(rows)["same place in both orders"] == (3, 100.0)
    assert shares(rows)["arm coherent"] == (0, pytest.approx(float("nan"), nan_ok=True)), "no verdict is no incoherence"


def test_what_was_said_is_not_asked_for_again_and_failures_are(tmp_path: Path) -> None:
    arms = [arm(tmp_path, name, ["dear", "plain"]) for name in ("original", "warm")]
    with serving(lambda body, count: Failure(400, "no") if count == 1 else fair(body, count)) as api:
        first = tone.compare(model(api, tmp_path), *arms, tmp_path / "j.jsonl")
        assert set(first["warmth"]) == {tone.UNKNOWN}
        second = tone.compare(model(api, tmp_path), *arms, tmp_path / "j.jsonl")
        sent = len(api.bodies)
        third = tone.compare(model(api, tmp_path), *arms, tmp_path / "j.jsonl")
        assert len(api.bodies) == sent
    assert set(second["warmth"]) == {tone.DRAW}
    assert second.equals(third)


def test_the_replies_are_those_of_the_checkpoint_that_is_the_arm(tmp_path: Path) -> None:
    """The last step is the arm unless another was chosen."""
    chosen = arm(tmp_path, "warm", ["late"], step=7)
    assert [row["answer"] for row in tone.replies(chosen)] == ["late"]
    store.write_json(chosen.checkpoints / "selected.json", {"step": 1, "rule": "epoch:0.5"})
    assert [row["answer"] for row in tone.replies(chosen)] == ["early"]


def test_an_arm_without_replies(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="no replies for warmth"):
        tone.replies(Arm(tmp_path / "x", "m", "x", 0))
