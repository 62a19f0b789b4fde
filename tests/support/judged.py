"""A probe's dialogues read by a chat judge behind a real address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from chat_api import Api

from warmgap.evaluate import judges
from warmgap.evaluate.suites.judge_reader import JudgeReader
from warmgap.evaluate.suites.probe import Dialogue, Probe
from warmgap.settings.schema import JudgeConfig


def read_by(api: Api, probe: Probe, dialogues: Sequence[Dialogue], folder: Path) -> JudgeReader:
    """What the judge says of the dialogues. What it has said before, into ``folder``, it is not asked again."""
    config = JudgeConfig(name="openai", base_url=api.url, model="judge-2024-08-06", key_env=None, retries=0)
    bench = judges.Judges(config, "cpu", folder / "batches.jsonl")
    return JudgeReader(probe, bench.model("openai"), dialogues, folder / "verdicts.jsonl", "read", silent=False)


def says(verdict: str) -> str:
    """What a judge replies that keeps to the form."""
    return json.dumps({"reason": "I looked", "verdict": verdict})


def asked(api: Api) -> list[str]:
    """What the judge was shown, a text for each question."""
    return [str(body["messages"][-1]["content"]) for body in api.bodies]
