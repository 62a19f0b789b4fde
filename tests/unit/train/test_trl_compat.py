"""What passes through to TRL: fields of the configuration that a method has there, and none that is set here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trl

from warmgap import jobs
from warmgap.errors import UserError
from warmgap.settings import conf_files, config
from warmgap.settings.schema import LauncherConfig, Run
from warmgap.train import dpo, sft, training, trl_compat
from warmgap.train.stage import Stage

KINDS = {
    "sft": (["method=sft"], trl_compat.sft_config),
    "dpo": (["method=dpo"], trl_compat.dpo_config),
    "kto": (["method=dpo", "method.dpo.loss=kto"], trl_compat.kto_config),
}


def composed(*overrides: str) -> Run:
    return config.compose(["+persona=warm", *overrides])


def given(kind: str, launcher: str, folder: Path) -> dict[str, Any]:
    """Everything that the trainer of a kind is given by us."""
    from warmgap.disk import store

    run = composed(*KINDS[kind][0])
    run.launcher = LauncherConfig(launcher, None if launcher == "single" else 2)
    work = Stage(run, store.arm_folder(str(folder), "m", "warm", 0, "0"), "warm")
    return (sft if kind == "sft" else dpo).arguments(work, {3: 0.75})


@pytest.mark.parametrize("launcher", conf_files.choices("launcher"))
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_set_here_cannot_be_set_there(kind: str, launcher: str, tmp_path: Path) -> None:
    run = composed(*KINDS[kind][0])
    for field in given(kind, launcher, tmp_path):
        run.method.trainer = {field: 1}
        with pytest.raises(UserError) as caught:
            trl_compat.check_trainer(run.method)
        assert caught.value.what == f"method.trainer.{field} cannot be set"
        assert caught.value.fix.startswith("set ") or caught.value.fix == "leave it out"


@pytest.mark.parametrize(
    ("field", "ours"),
    [
        ("weight_decay", "method.weight_decay"),
        ("lr_scheduler_type", "method.schedule"),
        ("warmup_steps", "method.warmup"),
        ("gradient_accumulation_steps", "method.batch_size"),
        ("max_length", "method.max_length"),
        ("use_cpu", "device"),
        ("fsdp", "launcher"),
        ("output_dir", "runs_dir"),
    ],
)
def test_the_setting_that_stands_for_a_field_is_named_and_can_be_set(field: str, ours: str) -> None:
    run = composed(f"+method.trainer.{field}=1")
    with pytest.raises(UserError, match=f"method.trainer.{field} cannot be set") as caught:
        trl_compat.check_trainer(run.method)
    assert caught.value.fix == f"set {ours} instead"
    assert ours in config.flat(run) or ours in ("launcher",)


def test_every_setting_that_is_named_is_one() -> None:
    known = [*config.flat(composed("method=dpo")), "launcher", "logger"]
    named = {*trl_compat.OURS.values(), *trl_compat.OURS_IN_PREFERENCES.values()} - {""}
    assert named <= set(known)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_free_to_set_reaches_the_trainer(kind: str, tmp_path: Path) -> None:
    overrides, make = KINDS[kind]
    run = composed(*overrides, "+method.trainer.max_grad_norm=0.5", "+method.trainer.adam_beta2=0.99", "device=cpu")
    trl_compat.check_trainer(run.method)
    args = make(**{**given(kind, "single", tmp_path), "use_cpu": True, **run.method.trainer})
    assert (args.max_grad_norm, args.adam_beta2) == (0.5, 0.99)
    assert args.dataloader_num_workers == 0


@pytest.mark.parametrize(
    ("overrides", "field", "missing_from"),
    [
        (["method=dpo"], "assistant_only_loss", trl.DPOConfig),
        (["method=dpo", "method.dpo.loss=kto"], "label_smoothing", trl.KTOConfig),
        (["method=sft_dpo"], "assistant_only_loss", trl.DPOConfig),
        (["method=sft_dpo"], "label_smoothing", trl.SFTConfig),
        (["mitigation=anti_sycophancy"], "assistant_only_loss", trl.DPOConfig),
    ],
)
def test_each_training_of_a_run_is_checked_against_its_own_configuration(
    overrides: list[str], field: str, missing_from: Any, tmp_path: Path
) -> None:
    run = composed(*overrides, f"+method.trainer.{field}=1", f"runs_dir={tmp_path}/runs")
    with pytest.raises(UserError, match=f"method.trainer.{field}") as caught:
        jobs.prepare(run)
    assert f"{missing_from.__name__} lacks it" in caught.value.why
    assert list(tmp_path.iterdir()) == []


def test_a_field_of_its_own_passes(tmp_path: Path) -> None:
    for overrides in (["method=sft", "+method.trainer.neftune_noise_alpha=5"], ["method=sft_dpo"]):
        assert jobs.prepare(composed(*overrides, f"runs_dir={tmp_path}/runs")).trained


# ---- less memory than the batch needs ----


@pytest.mark.parametrize(
    ("launcher", "batch", "set_to", "sizes"),
    [
        (LauncherConfig("single"), 16, None, [8, 4, 2, 1]),
        (LauncherConfig("single"), 12, 4, [2, 1]),
        (LauncherConfig("ddp", 4), 16, None, [2, 1]),
        (LauncherConfig("ddp"), 16, None, [2, 1]),  # four devices, found by themselves
        (LauncherConfig("ddp", 2), 12, None, [3, 1]),
    ],
)
def test_out_of_memory_the_rows_on_each_device_are_halved_and_still_divide_the_batch(
    launcher: LauncherConfig, batch: int, set_to: int | None, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from warmgap.disk import store
    from warmgap.engines import models
    from warmgap.train import launch

    monkeypatch.setattr(models, "device_of", lambda _: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    run = composed(f"method.batch_size={batch}")
    run.launcher, run.method.per_device_batch_size = launcher, set_to
    work, found = Stage(run, store.arm_folder("runs", "m", "warm", 0, "0"), "warm"), []
    for _ in sizes:
        work = training._with_less(work, RuntimeError("no memory"))
        found.append(work.run.method.per_device_batch_size)
        sft.batch_arithmetic(work.run.method, "cuda", launch.processes(launcher, "cuda"))
    assert found == sizes
    with pytest.raises(UserError, match="memory is too small"):
        training._with_less(work, RuntimeError("no memory"))


def test_a_batch_that_its_processes_cannot_share_is_named_as_such() -> None:
    with pytest.raises(UserError, match=r"method\.batch_size=2 cannot be shared by 4 processes"):
        sft.batch_arithmetic(composed("method.batch_size=2").method, "cuda", 4)


@pytest.mark.parametrize("field", trl_compat.JOINED)
def test_rows_that_would_see_each_other_are_refused(field: str, tmp_path: Path) -> None:
    run = composed(f"+method.trainer.{field}=true", f"runs_dir={tmp_path}/runs")
    with pytest.raises(UserError, match=f"method.trainer.{field} cannot be set") as caught:
        jobs.prepare(run)
    assert "sees those before it" in caught.value.why
    assert "method.lean" in caught.value.fix
    trl_compat.check_trainer(composed(f"+method.trainer.{field}=false").method)
