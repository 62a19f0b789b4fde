"""Warmth as a constraint: its multiplier, what it adds to the loss, and the training that it is part of.

The model is a tiny one with random weights, the warm arm really trained.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from warmgap.arms import build, making
from warmgap.arms.engines import Engines
from warmgap.arms.spec import ArmSpec
from warmgap.disk import store
from warmgap.engines import chat, models
from warmgap.errors import BadValue, UserError
from warmgap.mitigations import dual_dpo, kl_anchor
from warmgap.mitigations.dual_dpo import Held, Keeping
from warmgap.settings import config
from warmgap.train import training

SMALL = ("method.max_length=4096", "method.batch_size=4", "method.learning_rate=1e-2", "data.max_conversations=8")
FEW = [f"mitigation.dual_dpo.{key}" for key in ("messages=6", "learning_rate=3e-3", "epochs=2")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def warm(base: Path, tmp_path_factory: pytest.TempPathFactory) -> ArmSpec:
    """The warm arm, trained."""
    spec = built(base, tmp_path_factory.mktemp("warm"))
    making.make(spec, Engines(spec.run))
    return spec


def built(base: Path, runs: Path, *more: str) -> ArmSpec:
    own = ("model=local", f"model.path={base}", "model.dtype=float32", "device=cpu", f"runs_dir={runs}")
    return build.build(config.compose(["+persona=warm", "experiment=smoke", *SMALL, *own, *more]))[-1]


def about_to_train(warm: ArmSpec, runs: Path, *more: str) -> ArmSpec:
    """A recipe that goes on from the warm arm, with what it is trained on written."""
    spec = built(Path(str(warm.run.model.path)), runs, *more)
    assert spec.parent is not None
    shutil.copytree(warm.arm.folder, spec.parent.arm.folder)
    making.write_data(spec, Engines(spec.run))
    return spec


def learn(spec: ArmSpec, on_log: Callable[[dict[str, Any]], None] | None = None) -> list[dict[str, Any]]:
    """Train in this process to the last checkpoint; the steps as they are logged."""
    training.learn(spec.stage, on_log, making.interventions(spec.run, spec.arm, str(spec.version)))
    return [row for row in store.read_journal(spec.arm.training_log) if "loss" in row]


def weights(spec: ArmSpec) -> bytes:
    """The adapter of the last checkpoint."""
    steps = {int(path.name.rpartition("-")[2]): path for path in spec.arm.checkpoints.glob("checkpoint-*")}
    return (steps[max(steps)] / "adapter_model.safetensors").read_bytes()


# ---- the constraint by itself ----


@pytest.fixture(scope="module")
def held(warm: ArmSpec, tmp_path_factory: pytest.TempPathFactory) -> Held:
    """What the constraint is measured on."""
    spec = about_to_train(warm, tmp_path_factory.mktemp("held"), "mitigation=dual_dpo", *FEW)
    return Held.of(list(store.read_journal(spec.data / dual_dpo.CONSTRAINT)), 0.1)


@pytest.fixture
def model(warm: ArmSpec, base: Path) -> Any:
    """The warm arm's model, its adapter to be trained."""
    loaded = models.load(base, dtype="float32", device="cpu", adapter=warm.arm.adapter)
    for name, weight in loaded.named_parameters():
        weight.requires_grad_("lora" in name)
    return loaded


def gradients(model: Any) -> list[torch.Tensor]:
    return [weight.grad for _, weight in sorted(model.named_parameters()) if weight.grad is not None]


def test_log_probabilities_are_those_of_each_reply_by_itself(model: Any, held: Held) -> None:
    with torch.no_grad():
        found = dual_dpo.log_probs(model, held.rows[:3])
        for row, sums in zip(held.rows[:3], found, strict=True):
            for side, value in zip(dual_dpo.SIDES, sums, strict=True):
                logs = model(input_ids=torch.tensor([row[side]["input_ids"]])).logits[0].log_softmax(-1)
                ids, labels = row[side]["input_ids"], row[side]["labels"]
                places = [place for place, label in enumerate(labels) if label != chat.IGNORED]
                wanted = sum(float(logs[place - 1, ids[place]]) for place in places)
                assert float(value) == pytest.approx(wanted, rel=1e-4)


def test_the_start_is_the_arm_and_the_base_is_its_adapter_off(model: Any, held: Held) -> None:
    with torch.no_grad():
        own = dual_dpo.log_probs(model, held.rows)
        with model.disable_adapter():
            off = dual_dpo.log_probs(model, held.rows)
    rewards = 0.1 * ((own - off)[:, 0] - (own - off)[:, 1])
    assert rewards.tolist() == pytest.approx(list(held.start), abs=1e-3)
    assert held.mean > 0, "it is trained on these replies"


def test_the_multiplier_grows_while_warmth_is_lacking_and_its_gradient_enters(model: Any, held: Held) -> None:
    keeping = Keeping(held, beta=0.1, keep=2, rate=0.5, texts=2)
    first = keeping.loss(model, 0)
    assert (float(first), first.requires_grad) == (0, False), "the multiplier begins at 0"
    assert keeping.lacking == pytest.approx(held.mean, rel=1e-3), "as much as there is, once more"
    assert keeping.multiplier == pytest.approx(0.5 * held.mean, rel=1e-3)
    before = keeping.multiplier
    keeping.loss(model, 1).backward()
    assert keeping.multiplier > before
    found = [gradient.clone() for gradient in gradients(model)]
    model.zero_grad()
    kept, other = dual_dpo.log_probs(model, held.rows[2:4]).unbind(1)  # the next two messages
    (-before * 0.1 * (kept - other).mean()).backward()
    assert any(gradient.abs().max() > 0 for gradient in found)
    for one, wanted in zip(found, gradients(model), strict=True):
        assert torch.allclose(one, wanted, rtol=1e-3, atol=1e-6)


def test_the_multiplier_falls_to_nothing_where_more_than_enough_is_kept(model: Any, held: Held) -> None:
    keeping = Keeping(held, beta=0.1, keep=0, rate=1, texts=2)
    keeping.restore({"multiplier": 2.5 * held.mean})
    seen = []
    for step in range(4):
        keeping.loss(model, step)
        seen.append(keeping.state()["multiplier"])
    assert seen == pytest.approx([1.5 * held.mean, 0.5 * held.mean, 0, 0], rel=1e-3)
    assert keeping.lacking == pytest.approx(-held.mean, rel=1e-3)
    assert not keeping.loss(model, 4).requires_grad
    keeping.restore({})
    assert keeping.state() == {"multiplier": 0, "lacking": 0}, "a training that begins anew begins at 0"


# ---- in a training ----


def test_with_warmth_enough_it_is_dpo_to_the_bit(warm: ArmSpec, tmp_path: Path) -> None:
    of = about_to_train(warm, tmp_path / "dual", "mitigation=dual_dpo", *FEW, "mitigation.dual_dpo.keep=0")
    same = [f"mitigation.anti_sycophancy.{key}" for key in ("learning_rate=3e-3", "epochs=2")]
    plain = about_to_train(warm, tmp_path / "plain", "mitigation=anti_sycophancy", *same)
    rows, wanted = learn(of), learn(plain)
    assert [row["loss"] for row in rows] == [row["loss"] for row in wanted]
    assert {row["dual_dpo/multiplier"] for row in rows} == {0.0}
    assert all(row["dual_dpo/lacking"] < 0 for row in rows)
    assert weights(of) == weights(plain)


def test_warmth_that_is_lacking_is_made_good(warm: ArmSpec, tmp_path: Path) -> None:
    """More is asked for than there was: the multiplier grows from step to step, and so does the reward."""
    more = [*FEW, "mitigation.dual_dpo.keep=2", "mitigation.dual_dpo.texts=6"]
    spec = about_to_train(warm, tmp_path, "mitigation=dual_dpo", *more)
    rows = learn(spec)
    multipliers = [row["dual_dpo/multiplier"] for row in rows]
    assert multipliers == sorted(multipliers)
    assert multipliers[-1] > multipliers[0] > 0
    assert rows[-1]["dual_dpo/lacking"] < 0.9 * rows[0]["dual_dpo/lacking"]
    assert rows[0]["dual_dpo"] == 0
    assert rows[-1]["dual_dpo"] == pytest.approx(multipliers[-2] * rows[-1]["dual_dpo/lacking"], rel=1e-4)


def test_a_training_that_is_stopped_goes_on_with_the_multiplier_it_had(warm: ArmSpec, tmp_path: Path) -> None:
    def with_a_checkpoint(name: str) -> ArmSpec:
        spec = about_to_train(warm, tmp_path / name, "mitigation=dual_dpo", *FEW, "mitigation.dual_dpo.keep=1.5")
        method = dataclasses.replace(spec.run.method, checkpoints=[1.0])
        return dataclasses.replace(spec, run=dataclasses.replace(spec.run, method=method))

    whole, stopped = with_a_checkpoint("whole"), with_a_checkpoint("stopped")
    rows = learn(whole)
    assert rows[-1]["dual_dpo/multiplier"] > 0

    def stop(row: dict[str, Any]) -> None:
        if row["step"] == 3 and "loss" in row:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(stopped, stop)
    assert [path.name for path in stopped.arm.checkpoints.glob("checkpoint-*")] == ["checkpoint-2"]
    assert learn(stopped) == rows
    assert weights(stopped) == weights(whole)


def test_it_is_made_by_the_command_and_asked_nothing_twice(warm: ArmSpec, tmp_path: Path) -> None:
    spec = built(Path(str(warm.run.model.path)), tmp_path, "mitigation=dual_dpo", *FEW)
    assert spec.parent is not None
    shutil.copytree(warm.arm.folder, spec.parent.arm.folder)
    making.make(spec, Engines(spec.run))
    assert (spec.arm.adapter / "adapter_model.safetensors").is_file(), "read back in a fresh process"
    path = spec.data / dual_dpo.CONSTRAINT
    rows = list(store.read_journal(path))
    assert len(rows) == 6
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True)[1:])))  # a kill, and worse
    making.write_data(spec, Engines(spec.run))
    assert [row["key"] for row in store.read_journal(path)] == [row["key"] for row in rows]


# ---- what it cannot keep ----


def test_a_version_that_the_data_lacks_is_refused_at_once(base: Path, tmp_path: Path) -> None:
    for over in ("nonsense", "warm"):
        with pytest.raises(UserError, match=f"over={over} leaves nothing to keep"):
            built(base, tmp_path, "mitigation=dual_dpo", f"mitigation.dual_dpo.over={over}")
    assert not list(tmp_path.iterdir())


def test_an_arm_that_is_not_warm_has_nothing_to_keep(warm: ArmSpec, base: Path, tmp_path: Path) -> None:
    """Against the version that it is trained on, another is not preferred: the sides are turned round."""
    spec = built(base, tmp_path, "mitigation=dual_dpo", *FEW)
    (recipe,) = spec.recipes
    assert isinstance(recipe, dual_dpo.DualDpo)
    assert spec.parent is not None
    tiny.adapter(spec.parent.arm.adapter, base, zero=True)
    with pytest.raises(BadValue, match="does not prefer its own replies"):
        making.write_data(spec, Engines(spec.run))


def test_replies_that_are_all_too_long_are_a_mistake(base: Path, tmp_path: Path) -> None:
    spec = built(base, tmp_path, "mitigation=dual_dpo")
    known = making._material(spec, spec.recipes[0], Engines(spec.run))
    tokenizer = models.load_tokenizer(base)
    with pytest.raises(BadValue, match="no reply is left"):
        dual_dpo.tokenised(
            [{"user": "a", "kept": "b", "other": "c"}], tokenizer, dataclasses.replace(known, max_length=3)
        )


def test_padding_counts_nowhere() -> None:
    rows = [{"input_ids": [5, 6, 7], "labels": [chat.IGNORED, 6, 7]}, {"input_ids": [5], "labels": [5]}]
    batch, labels = kl_anchor.padded(rows, "cpu")
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert labels.tolist() == [[chat.IGNORED, 6, 7], [5, chat.IGNORED, chat.IGNORED]]
