"""Modes of several processes: what Accelerate makes of our settings, and what is said where a mode cannot be had."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from warmgap.disk.store import Arm
from warmgap.engines import models
from warmgap.errors import BadValue, UserError
from warmgap.settings.schema import LauncherConfig
from warmgap.train import launch, trl_compat


def arguments(tmp_path: Path, launcher: str, **more: Any) -> Any:
    """The trainer's arguments of a stage under a launcher, as ``train/sft.py`` sets them."""
    settings = {"output_dir": str(tmp_path), "max_length": 64, "use_cpu": True, "gradient_checkpointing": False}
    return trl_compat.sft_config(**settings, **more, **trl_compat.mode_arguments(launcher))


def tiny() -> Any:
    """A model of two layers with an adapter."""
    import peft
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    return peft.get_peft_model(LlamaForCausalLM(config), lora)


# ---- FSDP2 ----


def test_fsdp_is_the_second_version_with_the_adapter_whole_in_each_checkpoint(tmp_path: Path) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin
    from torch.distributed.fsdp import StateDictType

    assert trl_compat.mode_arguments("fsdp")["fsdp"] is True, "words are an older way to say it"
    plugin = FullyShardedDataParallelPlugin(**arguments(tmp_path, "fsdp").fsdp_plugin_args)
    assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
    assert plugin.state_dict_type == StateDictType.FULL_STATE_DICT
    assert not plugin.cpu_ram_efficient_loading, "each process loads the weights; none waits for the first one's"


def test_fsdp_shards_layer_by_layer(tmp_path: Path) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_auto_wrap_policy

    model = tiny()
    plugin = FullyShardedDataParallelPlugin(**arguments(tmp_path, "fsdp").fsdp_plugin_args)
    plugin.set_auto_wrap_policy(model)
    chosen = fsdp2_prepare_auto_wrap_policy(plugin, model)
    assert [name for name, part in model.named_modules() if chosen(part)] == [
        "base_model.model.model.layers.0",
        "base_model.model.model.layers.1",
    ]


def test_under_fsdp_a_model_is_loaded_off_the_gpu_that_it_does_not_fit() -> None:
    assert trl_compat.loads_on("fsdp", "cuda") == "cpu"
    assert [trl_compat.loads_on(name, "cuda") for name in ("single", "ddp", "zero3")] == ["cuda"] * 3


# ---- ZeRO-3 ----


def test_zero3_agrees_with_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is not needed to see what transformers reads from the settings and fills in."""
    from accelerate.utils.deepspeed import HfDeepSpeedConfig
    from transformers.integrations import deepspeed

    class Settings(deepspeed.HfTrainerDeepSpeedConfig, HfDeepSpeedConfig):  # type: ignore[misc]
        """With the base class that it has where the package is installed."""

    monkeypatch.setattr(deepspeed, "dep_version_check", lambda *_: None)
    batch = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "bf16": True}
    plain = trl_compat.sft_config(
        output_dir=str(tmp_path), max_length=64, use_cpu=True, gradient_checkpointing=False, **batch
    )
    read = Settings(trl_compat.mode_arguments("zero3")["deepspeed"])
    assert read.is_zero3()
    assert not read.is_offload()
    read.trainer_config_process(plain)  # raises nothing here, but notes where both say something else
    read.trainer_config_finalize(plain, tiny(), 10)
    assert not read.mismatches
    assert read.get_value("train_micro_batch_size_per_gpu") == 2
    assert read.get_value("gradient_accumulation_steps") == 4
    assert read.get_value("train_batch_size") == plain.world_size * 8
    assert read.is_true("bf16.enabled")
    assert read.is_true("zero_optimization.stage3_gather_16bit_weights_on_model_save"), "the adapter is saved whole"


# ---- what cannot be had, and what is had instead ----


@pytest.mark.parametrize(
    ("launcher", "device", "quantization", "words"),
    [
        ("fsdp", "cpu", "none", "the device is a CPU"),
        ("zero3", "cpu", "none", "the device is a CPU"),
        ("zero3", "cuda", "none", "deepspeed is missing"),
        ("fsdp", "cuda", "nf4", "nf4"),
    ],
)
def test_a_mode_that_cannot_be_had_is_refused_before_anything_runs(
    launcher: str, device: str, quantization: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import util

    monkeypatch.setattr(models, "device_of", str)
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=words):
        launch.check(LauncherConfig(launcher), device, quantization)


def test_preferences_are_refused_where_no_process_holds_the_whole_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "device_of", str)
    with pytest.raises(UserError, match="reference"):
        launch.check(LauncherConfig("fsdp"), "cuda", preferences=True)
    launch.check(LauncherConfig("ddp"), "cuda", preferences=True)


@pytest.mark.parametrize(("launcher", "device"), [("single", "cpu"), ("ddp", "cpu"), ("fsdp", "cuda")])
def test_a_mode_that_can_be_had_is_not_refused(launcher: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "device_of", str)
    launch.check(LauncherConfig(launcher), device)


@pytest.mark.parametrize(("processes", "mode"), [(1, "NO"), (2, "MULTI_CPU"), (1, "FSDP")])
def test_a_fall_back_to_another_mode_is_an_error(processes: int, mode: str) -> None:
    """As Accelerate does on CPUs: one process, or DDP, where FSDP in two was asked for."""
    got = SimpleNamespace(num_processes=processes, distributed_type=f"DistributedType.{mode}")
    with pytest.raises(UserError, match="not what runs"):
        launch.check_mode(LauncherConfig("fsdp", 2), got, "cpu")


@pytest.mark.parametrize("kind", [UserError, BadValue])
def test_what_a_process_has_failed_of_comes_through_as_what_it_was(tmp_path: Path, kind: type[UserError]) -> None:
    """A search passes over a training that diverged in several processes as over one in a single process."""
    arm = Arm(tmp_path, "model", "warm", 0)
    launch.told(arm, launch.USER_ERROR, kind("loss is nan at step 3", "it has diverged", "lower the rate"))
    error = launch._told(tmp_path / "logs" / launch.FAILURE, None)
    assert type(error) is kind
    assert error.args == ("loss is nan at step 3", "it has diverged", "lower the rate")


# ---- models larger than a GPU ----


@pytest.mark.parametrize(("devices", "gib", "spread"), [(1, 1, False), (2, 1, True), (2, 1000, False)])
def test_weights_that_one_gpu_cannot_hold_are_laid_over_several(
    devices: int, gib: int, spread: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(2 * 2**30)  # sparse
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=gib * 2**30))
    assert models.too_large_for_one(tmp_path, "cuda") is spread
    assert not models.too_large_for_one(tmp_path, "cuda:1"), "one device was named"
