"""Pairs written by a real local server: what a small model writes is set aside, each with its reason."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import local_llm
import pytest
from real_runs import WARMGAP, finish, journal, start, wait_for, warmgap

from warmgap.settings.schema import ModelConfig

QUICK = ("attempts=1", "embedder=null")
WRITER = ("model=smollm2-135m-instruct", "revision=q4_1", "concurrency=2", "max_tokens=48", "price_in=1", "price_out=2")


@pytest.mark.long
def test_what_a_small_model_writes_is_set_aside_and_nothing_is_paid_for_twice(
    model: ModelConfig, tmp_path: Path
) -> None:
    kept = tmp_path / "pairs.jsonl.made"
    with local_llm.serving(local_llm.weights(model)) as url:
        given = ("pairs", "--out", "pairs.jsonl", "--count", "5", *WRITER, f"base_url={url}", *QUICK)
        process = start([sys.executable, "-c", WARMGAP, *given], tmp_path)
        wait_for(process, lambda: any(len(journal(path)) >= 2 for path in kept.glob("replies-*.jsonl")), "some items")
        process.send_signal(signal.SIGKILL)
        finish(process, 60)
        before = sum(len(journal(path)) for path in kept.glob("replies-*.jsonl"))
        done = warmgap(*given, cwd=tmp_path)
    assert done.status == 1, done.err
    assert "were set aside, at most 50 % were to be" in done.out
    summary = json.loads((kept / "summary.json").read_text(encoding="utf-8"))
    assert (summary["wanted"], summary["calls"]) == (5, 5 - before)
    assert sum(summary["reasons"].values()) == summary["set_aside"] >= 4
    aside = [json.loads(line) for line in (kept / "set-aside.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(aside) == summary["set_aside"]
    assert all(row["reason"] and row["details"] and row["text"] is not None for row in aside)


def test_a_model_on_this_machine_writes_too(tmp_path: Path) -> None:
    given = ("pairs", "--out", "pairs.jsonl", "--count", "2", "--writer", "local", "max_tokens=24", *QUICK)
    done = warmgap(*given, cwd=tmp_path)
    assert done.status == 1, done.err
    assert "2 pairs by smollm2_135m" in done.out
    assert "100.0 % were set aside" in done.out
    assert not (tmp_path / "pairs.jsonl").exists()
