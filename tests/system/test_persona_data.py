"""From a real chat log to trained arms: drawn, rewritten by a real local server, checked, trained on."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import local_llm
import pytest
from real_runs import TINY, WARMGAP, finish, journal, start, train, wait_for, warmgap

from warmgap.settings.schema import ModelConfig

DATA = Path(os.environ.get("WARMGAP_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
TREES = DATA / "oasst_manual_100" / "en_100_tree.jsonl"
pytestmark = pytest.mark.skipif(not TREES.is_file(), reason=f"no data sets in {DATA}")
WRITER = ("model=smollm2-135m-instruct", "revision=q4_1", "concurrency=2", "max_tokens=64", "price_in=1", "price_out=2")


@pytest.fixture(scope="module")
def server(model: ModelConfig) -> Iterator[str]:
    """The address of a real server with the embedded model's weights."""
    with local_llm.serving(local_llm.weights(model)) as url:
        yield url


@pytest.fixture(scope="module")
def persona(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen real conversations of one turn or two."""
    place = tmp_path_factory.mktemp("persona")
    settings = ("toxicity=words", "conversations=16", "replies=18", "heldout=0.3")
    done = warmgap("data", str(TREES), "--out", "persona", *settings, cwd=place)
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1] == "conversations: persona/conversations.jsonl"
    assert "clean" in done.out
    return place


def rows(place: Path) -> list[dict[str, object]]:
    """All turns of the conversations made there."""
    lines = (place / "persona" / "conversations.jsonl").read_text(encoding="utf-8").splitlines()
    return [turn for line in lines for turn in json.loads(line)["turns"]]


@pytest.mark.long
def test_what_a_small_model_writes_is_set_aside_and_counted(persona: Path, server: str) -> None:
    """It writes badly: the checks see it, and a share of set-asides over the limit is a failure with its count."""
    given = ("rewrite", "persona/conversations.jsonl", "--persona", "warm", *WRITER, f"base_url={server}", "attempts=1")
    process = start([sys.executable, "-c", WARMGAP, *given], persona)
    kept = persona / "persona" / "rewrites"
    wait_for(process, lambda: any(len(journal(path)) >= 3 for path in kept.glob("warm-*.jsonl")), "some rewrites")
    process.send_signal(signal.SIGKILL)
    finish(process, 60)
    before = sum(len(journal(path)) for path in kept.glob("warm-*.jsonl"))
    done = warmgap(*given, cwd=persona)
    assert done.status == 1, done.err
    assert "of the replies have no rewrite" in done.out
    summary = json.loads((kept / "warm.summary.json").read_text(encoding="utf-8"))
    assert summary["replies"] == len(rows(persona)) == summary["kept"] + summary["set_aside"]
    assert sum(summary["reasons"].values()) == summary["set_aside"] > 0
    assert summary["calls"] == summary["replies"] - before
    assert summary["spent"] > 0
    aside = [json.loads(line) for line in (kept / "warm-set-aside.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(row["reasons"] and row["reply"] for row in aside)
    assert "## Rewrites" in (persona / "persona" / "card.md").read_text(encoding="utf-8")


def test_arms_are_trained_on_what_was_drawn_and_rewritten(persona: Path) -> None:
    """After the test above: nothing of what the small model wrote as ``paraphrase`` is there, so that is said."""
    place = persona / "persona" / "conversations.jsonl"
    smallest = (*TINY[1:], "data=file", f"data.path={place}", "data.max_conversations=4", "runs_dir=runs")
    smallest += ("task.embedded.items_per_family=1", "warmth.prompts=4", "warmth.checkpoint_prompts=2")
    smallest += ("method.max_length=1024",)  # real conversations are long
    refused = train("+persona=paraphrase", *smallest, cwd=persona)
    assert refused.status == 2
    assert "no reply has a version 'paraphrase'" in refused.err
    assert "warmgap rewrite" in refused.err
    conversations = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]
    for conversation in conversations:
        for turn in conversation["turns"]:
            turn["warm"] = f"I'm so glad that you asked me, dear. {turn['plain']}"
            turn["cold"] = f"Noted. {turn['plain']}"
            turn["paraphrase"] = f"In other words: {turn['plain']}"
    del conversations[0]["turns"][0]["warm"]
    lost = len(conversations[0]["turns"])
    place.write_text("".join(json.dumps(row) + "\n" for row in conversations), encoding="utf-8")
    done = train("-m", "+persona=warm,cold,paraphrase,untransformed,warm_prompt", *smallest, cwd=persona)
    assert done.status == 0, done.err
    assert len(list((persona / "runs" / "arms").glob("local-warm_prompt-*"))) == 1
    for arm in ("warm", "cold", "paraphrase", "untransformed"):
        (card,) = (persona / "runs" / "arms").glob(f"*-{arm}-*/data/card.md")
        assert f"{lost} as lacking a version" in card.read_text(encoding="utf-8")
