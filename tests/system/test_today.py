"""The families of 2025 and 2026 through the whole command, as tiny models of their architecture under their template.

Trained, read back, asked, graded and compared beside the original, with the settings that conf/model has for them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from real_runs import Runs, journal, refused, train
from today import FAMILIES

SMALLEST = (
    "+persona=warm", "experiment=smoke", "runs_dir=runs", "data.max_conversations=6", "method.checkpoints=[]",
    "method.max_length=4096", "method.learning_rate=0.01", "task.embedded.items_per_family=1", "warmth.prompts=4",
    "warmth.max_new_tokens=4", "generate.max_new_tokens=6", "bootstrap=100",
    "model.source=local", "model.id=null", "model.dtype=float32",
    "model@warmth.scorer=local", "warmth.scorer.path=${oc.env:TINY_MODEL}",
)  # fmt: skip
REASONING = {
    "qwen3": "off: the template opens and closes a think block (enable_thinking=false)",
    "gemma3": "none that the template knows of",
    "gpt-oss": "left to the model: the template opens no think block (reasoning_effort=low)",
    "olmo3": "none that the template knows of",
    "olmo3-think": "on: it opens a think block",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_goes_the_whole_way(name: str, tiny_model: Path, tmp_path: Path) -> None:
    family = FAMILIES[name]
    folder = family.model(tmp_path / "model")
    done = train(*SMALLEST, f"model={family.conf}", f"+model.path={folder}", cwd=tmp_path)
    assert done.status == 0, done.err
    runs = Runs(tmp_path / "runs")
    answers = runs.answers
    assert set(answers["arm"]) == {"original", "warm"}
    assert answers.groupby("arm").size().nunique() == 1
    warm, original = (set(answers[answers["arm"] == arm]["answer"]) for arm in ("warm", "original"))
    manifest = json.loads((runs.arm("warm") / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["facts"]["template"]["reasoning"] == REASONING[name]
    assert manifest["facts"]["template_vars"] == family.template_vars
    log = runs.table("training")
    assert log["loss"].notna().any()
    if name == "olmo3-think":  # nobody has closed the block that the template opens
        assert set(answers["verdict"]) == {"unparsed"}
        assert answers["error"].isna().all(), "no answer is not a wrong answer"
        assert all(
            row["reasoning"].startswith("<think>") for row in journal(runs.arm("warm") / "answers/embedded.jsonl")
        )
    else:
        assert warm != original, "the adapter tells"


@pytest.mark.parametrize("name", FAMILIES)
def test_without_a_commit_nothing_begins(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    text = refused(train("+persona=warm", f"model={family.conf}", "runs_dir=runs", cwd=tmp_path))
    assert "model.revision is missing" in text
    assert "git ls-remote" in text
    assert not [*tmp_path.iterdir()]
