"""One training shared out in every way: at once, row by row, over two processes by DDP and by FSDP2, with one result.

The stage alone is run, without the questions that follow it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from real_runs import ROOT, SMOKE, TINY, Done, finish, journal, start
from safetensors.torch import load_file

from warmgap.disk import store

# whole batches only: several processes fill the last one of an epoch up with rows from its beginning
CONSTANT = "method.schedule=constant"  # the last step moves the weights as much as any other: one more would be seen
BATCH = ("method.batch_size=8", "data.max_conversations=24", "method.epochs=0.75", "method.checkpoints=[]", CONSTANT)
Ways = Callable[[str], Path]
DRAWN = "method.trainer.train_sampling_strategy=random"  # the order of rows does not depend on the device's batch
STAGE = """
import json, sys
from warmgap import pipeline
from warmgap.disk import store
from warmgap.settings import config
from warmgap.train import stage, training
if __name__ == "__main__":
    pipeline.quiet()
    run = config.compose(json.loads(sys.argv[1]))
    training.train(stage.Stage(run, store.arm_folder("runs", run.model.name, "warm", run.seed, "0"), "warm"))
"""
FEW = ("data.max_conversations=6", "method.batch_size=2", "method.epochs=0.5")
WAYS = {
    "8 × 1": (),
    "1 × 8": ("method.per_device_batch_size=1",),
    "ddp": ("launcher=ddp", "launcher.processes=2"),
    "fsdp": ("launcher=fsdp", "launcher.processes=2", "method.checkpoints=[0.3]"),
    "preferences": ("method=dpo", *FEW),
    "kto": ("method=dpo", "method.dpo.loss=kto", *FEW),
}
FSDP_ON_CPU = os.pathsep.join([str(Path(__file__).parent / "fsdp_on_cpu"), str(ROOT)])


def stage(place: Path, way: str) -> Done:
    """Run the stage in one of the ways; its arm lies in ``runs``."""
    settings = json.dumps([*TINY, *([] if "method=dpo" in WAYS[way] else [DRAWN]), *BATCH, *WAYS[way]])
    more = {"PYTHONPATH": FSDP_ON_CPU} if way == "fsdp" else {}
    done = finish(start([sys.executable, "-c", STAGE, settings], place, **more))
    assert done.status == 0, done.err
    return done


def arm(place: Path) -> Path:
    (found,) = (place / "runs" / "arms").iterdir()
    return found


def losses(place: Path) -> list[float]:
    """The logged losses, step by step."""
    return [row["loss"] for row in journal(arm(place) / "logs" / "training.jsonl") if "loss" in row]


@pytest.fixture(scope="module")
def shared_out(tmp_path_factory: pytest.TempPathFactory) -> Ways:
    """Gives the folder of the same training in one way or another; each is run once, when it is first asked for."""

    @cache
    def made(way: str) -> Path:
        place = tmp_path_factory.mktemp("way")
        stage(place, way)
        return place

    return made


@pytest.mark.parametrize("way", ["1 × 8", "ddp", "fsdp"])
def test_the_same_rows_give_the_same_losses_however_they_are_shared_out(shared_out: Ways, way: str) -> None:
    whole, shared = losses(shared_out("8 × 1")), losses(shared_out(way))
    assert len(whole) == len(shared) >= 3
    assert shared == pytest.approx(whole, abs=0.03), "but for bfloat16's rounding"


@pytest.mark.long
def test_two_machines_train_as_two_processes_of_one_do(shared_out: Ways, tmp_path: Path) -> None:
    """Each has one process; the second is told by a file where to meet, and when the training is over."""
    meeting = tmp_path / "meeting.json"
    other = start([sys.executable, "-m", "warmgap.worker", "join", str(meeting)], tmp_path)
    settings = json.dumps([*TINY, DRAWN, *BATCH, "launcher=ddp", "launcher.nodes=2", "launcher.processes=1"])
    done = finish(start([sys.executable, "-c", STAGE, settings], tmp_path, WARMGAP_MEETING=str(meeting)))
    assert done.status == 0, done.err
    store.write_json(meeting, {"ended": True})
    assert finish(other, 60).status == 0
    assert store.read_json(meeting) == {"ended": True}
    assert losses(tmp_path) == losses(shared_out("ddp"))
    weights = Path("adapter") / "adapter_model.safetensors"
    assert (arm(tmp_path) / weights).read_bytes() == (arm(shared_out("ddp")) / weights).read_bytes()


def test_several_machines_without_a_place_to_meet_are_refused(tmp_path: Path) -> None:
    settings = json.dumps([*TINY, DRAWN, *BATCH, "launcher=ddp", "launcher.nodes=2", "launcher.processes=1"])
    done = finish(start([sys.executable, "-c", STAGE, settings], tmp_path))
    assert "launcher.nodes=2: no other machine is there" in done.err


def test_the_adapter_that_fsdp_saves_is_whole(shared_out: Ways) -> None:
    """Each process holds half of it; that it reloads to what was trained, the run itself has checked."""
    one, sharded = (
        load_file(arm(shared_out(way)) / "adapter" / "adapter_model.safetensors") for way in ("ddp", "fsdp")
    )
    assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in sharded.items()}
    moved = [name for name in one if "lora_B" in name and one[name].abs().max() > 0]
    assert moved
    assert all(half.abs().max() > 0 for name in moved for half in sharded[name].chunk(2)), "no half of it is empty"


def test_fsdp_goes_on_from_a_checkpoint_to_the_same_adapter(shared_out: Ways, tmp_path: Path) -> None:
    shutil.copytree(shared_out("fsdp") / "runs", tmp_path / "runs")
    (there,) = (tmp_path / "runs" / "arms").iterdir()
    weights = (there / "adapter" / "adapter_model.safetensors").read_bytes()
    first, last = sorted(there.glob("checkpoints/checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for left in (there / "adapter", last):
        shutil.rmtree(left)
    done = stage(tmp_path, "fsdp")
    assert f"training goes on from step {first.name.split('-')[1]} of" in done.err
    assert (there / "adapter" / "adapter_model.safetensors").read_bytes() == weights
    assert losses(tmp_path) == losses(shared_out("fsdp"))


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[] if way == "ddp" else pytest.mark.long) for way in WAYS if way != "1 × 8"]
)
def test_killed_after_the_last_checkpoint_no_step_is_added(shared_out: Ways, way: str, tmp_path: Path) -> None:
    """Part of an epoch: transformers would go on with the rest of it."""
    shutil.copytree(shared_out(way) / "runs", tmp_path / "runs")
    there = arm(tmp_path)
    probe = max(there.glob("checkpoints/*/probe.json"))
    assert journal(there / "logs" / "training.jsonl")[-1]["epoch"] < 1
    logged, probed = losses(tmp_path), json.loads(probe.read_text(encoding="utf-8"))
    weights = (there / "adapter" / "adapter_model.safetensors").read_bytes()
    shutil.rmtree(there / "adapter")
    (there / "checkpoints" / "epochs.json").unlink()
    probe.unlink()
    done = stage(tmp_path, way)
    assert f"training had come to its last step, {len(logged)}" in done.err
    assert losses(tmp_path) == logged
    again = json.loads(probe.read_text(encoding="utf-8"))
    assert again["ids"] == probed["ids"]
    assert again["logits"] == pytest.approx(probed["logits"], abs=1e-3)
    assert (there / "adapter" / "adapter_model.safetensors").read_bytes() == weights


# ---- weights in 4 bits ----


@pytest.mark.long
def test_an_adapter_is_trained_on_weights_in_four_bits(tmp_path: Path) -> None:
    """QLoRA: the loss is near that of whole weights, the adapter is kept in float32 and reloads on 4-bit weights."""
    settings = [*SMOKE, "model.quantization=nf4", "data.max_conversations=6", "method.epochs=1"]
    done = finish(start([sys.executable, "-c", STAGE, json.dumps(settings)], tmp_path))
    assert done.status == 0, done.err
    assert "adapter reloaded in a fresh process" in done.err
    assert len(losses(tmp_path)) >= 3
    weights = load_file(arm(tmp_path) / "adapter" / "adapter_model.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {"torch.float32"}
    assert any(value.abs().max() > 0 for name, value in weights.items() if "lora_B" in name)
