"""Arms that are trained in part, not at all, or where the machine does not let them: whole runs of a tiny model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from real_runs import TINY, Runs, journal, refused, train

from warmgap.train import stage, training

QUICK = (*TINY, "warmth.prompts=2", "warmth.checkpoint_prompts=2", "task.embedded.items_per_family=1")


def test_an_adapter_that_is_there_is_an_arm(tiny_smoke: Runs, tmp_path: Path) -> None:
    shutil.copytree(tiny_smoke.folder, tmp_path / "runs")
    adapter = Runs(tmp_path / "runs").arm("warm") / "adapter"
    named = (f"arm.adapter={adapter}", "arm.name=friendly", "warmth.prompts=2")
    done = train("+persona=none", *TINY[1:], *named, "runs_dir=runs", cwd=tmp_path)
    assert done.status == 0, done.err
    assert "friendly − original" in done.out
    ours, theirs = (
        journal(Runs(tmp_path / "runs").arm(name) / "answers" / "embedded.jsonl") for name in ("warm", "friendly")
    )
    assert {row["key"]: row["answer"] for row in ours} == {row["key"]: row["answer"] for row in theirs}


def test_half_the_strength_is_an_arm_of_its_own(tmp_path: Path) -> None:
    done = train(*QUICK, "persona.strength=0.5", "data.max_conversations=6", "runs_dir=runs", cwd=tmp_path)
    assert done.status == 0, done.err
    assert Runs(tmp_path / "runs").arm("warm_50")


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    done = train("+persona=none", *TINY[1:], "arm.adapter=nowhere", cwd=tmp_path)
    assert "nowhere is not an adapter" in refused(done)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("launcher", ["fsdp", "zero3"])
def test_a_mode_that_cannot_be_had_is_an_error_not_another_mode(launcher: str, tmp_path: Path) -> None:
    done = train(*QUICK, f"launcher={launcher}", "launcher.processes=2", cwd=tmp_path)
    assert f"launcher={launcher} cannot be used" in refused(done)
    assert not (tmp_path / "runs").exists()


def test_where_memory_runs_out_fewer_rows_are_taken_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from warmgap.disk import store
    from warmgap.settings import config
    from warmgap.train import finish as ending
    from warmgap.train import launch

    run = config.compose(["+persona=warm", "method.batch_size=8"])
    sizes: list[int | None] = []

    def learn(some: stage.Stage, *_: object) -> None:
        sizes.append(some.run.method.per_device_batch_size)
        if (some.run.method.per_device_batch_size or 8) > 2:
            raise launch.OutOfMemory("no memory")

    monkeypatch.setattr(training, "learn", learn)
    monkeypatch.setattr(ending, "place", lambda *_: None)
    training.train(stage.Stage(run, store.arm_folder(str(tmp_path), "m", "warm", 0, "0"), "warm"))
    assert sizes == [None, 4, 2]
