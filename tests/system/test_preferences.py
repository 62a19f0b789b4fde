"""Preferences, learned by a tiny model: they begin at ln 2, the margin grows, a kill changes nothing."""

from __future__ import annotations

import math
import shutil
import signal
from pathlib import Path

import pytest
from real_runs import TINY, Done, Runs, finish, journal, start, train, training, wait_for

QUICK = (*TINY, "warmth.prompts=2", "warmth.checkpoint_prompts=2", "task.embedded.items_per_family=1")
DPO = (*QUICK, "runs_dir=runs")


def losses(folder: Path) -> list[float]:
    """The logged losses of an arm, step by step."""
    return [row["loss"] for row in journal(folder / "logs" / "training.jsonl") if "loss" in row]


@pytest.fixture(scope="module")
def preferred(tiny_smoke: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Done]:
    """Preferences after supervised fine-tuning, in two processes, beside the original of the tiny model's run."""
    place = tmp_path_factory.mktemp("preferred")
    shutil.copytree(tiny_smoke.folder, place / "runs")
    command = (*DPO, "method=sft_dpo", "method.dpo.epochs=2", "launcher=ddp", "launcher.processes=2")
    done = train(*command, cwd=place)
    assert done.status == 0, done.err
    return Runs(place / "runs"), done


def test_preferences_begin_at_ln_2_and_the_margin_grows(preferred: tuple[Runs, Done]) -> None:
    rows = journal(preferred[0].arm("warm_sft_dpo") / "logs" / "training.jsonl")
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=0.01)
    margins = [row["eval_rewards/margins"] for row in rows if "eval_rewards/margins" in row]
    assert margins[-1] > 0, "on pairs that were held out"


def test_the_reference_is_computed_once_for_all_processes(preferred: tuple[Runs, Done]) -> None:
    runs, done = preferred
    assert done.err.count("reference log-probabilities") == 1
    keys = [row["key"] for row in journal(runs.arm("warm_sft_dpo") / "data" / "reference.jsonl")]
    assert len(set(keys)) == len(keys)
    assert not list(runs.arm("warm_sft_dpo").glob("checkpoints/*/ref")), "no second adapter is kept"


@pytest.mark.long
def test_preferences_killed_in_training_end_the_same(tmp_path: Path) -> None:
    command = (*DPO, "method=dpo", "method.checkpoints=[0.5]", "method.epochs=1", "data.max_conversations=6")
    whole = train(*command, "runs_dir=whole", cwd=tmp_path)
    assert whole.status == 0, whole.err
    process = start(training(*command), tmp_path)
    folder = tmp_path / "runs" / "arms"
    wait_for(process, lambda: bool(list(folder.glob("*dpo*/checkpoints/*/complete.json"))), "the first checkpoint")
    process.send_signal(signal.SIGKILL)
    finish(process, 60)
    again = train(*command, cwd=tmp_path)
    assert again.status == 0, again.err
    assert "training goes on from step" in again.err
    first, second = (Runs(tmp_path / name).arm("warm_dpo") for name in ("whole", "runs"))
    assert losses(first) == losses(second)
    weights = [(arm / "adapter" / "adapter_model.safetensors").read_bytes() for arm in (first, second)]
    assert weights[0] == weights[1]
