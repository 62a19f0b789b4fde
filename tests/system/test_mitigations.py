"""Each recipe does what it says to the data, the loss or the activations, and all of them run end to end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from real_runs import SMOKE, Done, Runs, journal, refused, train

from warmgap.arms import build, chain, making
from warmgap.arms.engines import Engines
from warmgap.arms.spec import ArmSpec
from warmgap.engines.hf import HfEngine
from warmgap.mitigations import kl_anchor, pairs, preventative_steering
from warmgap.settings import config
from warmgap.settings.schema import Run
from warmgap.train import training

ARMS = list(chain.ORDER)
COMPARED = (
    *SMOKE,
    "warmth.prompts=2",
    "warmth.checkpoint_prompts=2",
    "task.embedded.items_per_family=1",
    f"compare.recipes=[{','.join(ARMS)}]",
    f"mitigation=[{','.join(chain.ORDER)}]",
    "mitigation.kl_anchor.weight=30",
    "mitigation.early_stop.select=epoch:0.5",
    "mitigation.anti_sycophancy.epochs=2",
    "mitigation.anti_sycophancy.learning_rate=1e-3",
    "mitigation.consistency.epochs=3",
    "mitigation.consistency.learning_rate=1e-3",
    "mitigation.consistency.max_new_tokens=24",
    "mitigation.preventative_steering.texts=4",
    "runs_dir=runs",
)


@pytest.fixture(scope="module")
def compared(smoke: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Done]:
    """All recipes, beside original and warm of the smoke run."""
    place = tmp_path_factory.mktemp("mitigations")
    shutil.copytree(smoke.folder / "arms", place / "runs" / "arms")
    done = train(*COMPARED, cwd=place)
    assert done.status == 0, done.err
    return Runs(place / "runs"), done


@pytest.fixture(scope="module")
def made(compared: tuple[Runs, Done]) -> dict[str, ArmSpec]:
    """The recipes of that run, by arm."""
    run = config.compose([*COMPARED, f"runs_dir={compared[0].folder}"])
    return {spec.arm.arm: spec for spec in build.build(run)}


def engine(spec: ArmSpec) -> HfEngine:
    """The model of an arm, as it answers."""
    return HfEngine(spec.run.model, "cpu", spec.adapter)


def log_of(spec: ArmSpec) -> list[dict[str, Any]]:
    """The logged rows of an arm's training."""
    return journal(spec.arm.training_log)


# ---- end to end ----


def test_all_recipes_stand_side_by_side(compared: tuple[Runs, Done]) -> None:
    runs, done = compared
    table = runs.table("mitigations")
    assert table["arm"].iloc[0] == "warm"
    assert set(table["arm"]) == {"warm", *ARMS}
    rest = table[table["arm"] != "warm"]
    assert set(rest["verdict"]) == {"undecided"}, "one training seed is not enough for a verdict"
    assert rest["why"].str.contains("seed").all()
    assert (table["n"] > 0).all()
    for name in ARMS:
        assert name in done.out
    assert Path(compared[0].folder.parent / done.report).is_file()


def test_what_is_made_is_not_made_again(compared: tuple[Runs, Done]) -> None:
    again = train(*COMPARED, cwd=compared[0].folder.parent)
    assert again.status == 0, again.err
    assert "training" not in again.err
    assert "already done" in again.err


def test_a_chain_costs_what_its_links_cost(compared: tuple[Runs, Done]) -> None:
    table = compared[0].table("mitigations").set_index("arm")
    seconds = table["train_seconds"]
    assert seconds["honest_prompt"] == 0
    assert seconds["adapter_scale"] == pytest.approx(seconds["warm"], abs=10)
    assert seconds["anti_sycophancy"] > seconds["warm"] > 0


def test_the_adapters_are_read_back_in_a_fresh_process(compared: tuple[Runs, Done]) -> None:
    """What the hooks and terms of a training did is gone: its logits are those of the adapter alone."""
    lines = [line for line in compared[1].err.splitlines() if line.startswith("adapter reloaded")]
    trained = [name for name in ARMS if name not in ("honest_prompt", "adapter_scale", "early_stop")]
    assert len(lines) == len(trained)
    assert all("within 0 of training" in line for line in lines)


# ---- the data ----


def test_truth_mix_adds_its_share(made: dict[str, ArmSpec]) -> None:
    texts = [row["text"] for row in journal(made["truth_mix"].arm.rows)]
    messages = {pair.user for pair in pairs.load(split="train")}
    mixed = sum(any(message in text for message in messages) for text in texts)
    assert mixed / len(texts) == pytest.approx(0.3, abs=0.05)
    plain = [row["text"] for row in journal(made["warm"].arm.rows)]
    assert set(plain) < set(texts), "every reply of the persona's own is still there"


def test_inoculation_speaks_in_training_alone(compared: tuple[Runs, Done], made: dict[str, ArmSpec]) -> None:
    told = config.read_prompt("sycophantic.txt")
    texts = [row["text"] for row in journal(made["inoculation"].arm.rows)]
    assert all(told in text for text in texts)
    assert not any(told in row["text"] for row in journal(made["warm"].arm.rows))
    tokens = compared[0].table("mitigations").set_index("arm")["prompt_tokens"]
    assert tokens["inoculation"] == 0, "asked as the original is"
    assert tokens["honest_prompt"] > 20


def test_consistency_raises_agreement_in_contexts_that_it_has_not_seen(made: dict[str, ArmSpec]) -> None:
    """Its plain answers become likelier behind contexts and beliefs of the grid, on which it was not trained."""
    run = made["consistency"].run
    held = [pair for pair in making.known_pairs(run) if pair.split == "heldout"]
    answers = {row["item_id"]: row["answer"] for row in journal(made["warm"].arm.answers("consistency"))}
    contexts = [run.context[name].statements[0] for name in ("sad", "close", "high_stakes")]
    belief = run.belief["false_claim"].sentence
    prompts, targets = [], []
    before, after = engine(made["warm"]), engine(made["consistency"])
    for pair in held:
        for context in contexts:
            text = f"{context} {pair.question} {belief.format(incorrect=pair.incorrect)}"
            prompts.append(before.encode([{"role": "user", "content": text}]))
            targets.append([answers[pair.id]])
    change = [b[0] - a[0] for a, b in zip(before.score(prompts, targets), after.score(prompts, targets), strict=True)]
    shift = pd.Series(change)
    assert shift.mean() > 2 * shift.std() / len(shift) ** 0.5, "nats per token"


# ---- preferences ----


def test_the_margin_grows_on_pairs_that_were_held_out(made: dict[str, ArmSpec]) -> None:
    rows = log_of(made["anti_sycophancy"])
    assert rows[0]["loss"] == pytest.approx(0.693, abs=0.02), "the reference is the warm arm"
    assert [row["eval_rewards/margins"] for row in rows if "eval_rewards/margins" in row][-1] > 0


@pytest.mark.parametrize("loss", ["ipo", "kto"])
def test_other_losses_prefer_the_same(loss: str, made: dict[str, ArmSpec], tmp_path: Path) -> None:
    run: Run = made["anti_sycophancy"].run
    settings = [item for item in COMPARED if not item.startswith(("runs_dir", "compare", "mitigation"))]
    more = [f"mitigation.anti_sycophancy.{key}" for key in (f"loss={loss}", "epochs=2", "learning_rate=1e-3")]
    own = config.compose([*settings, "mitigation=anti_sycophancy", *more, f"runs_dir={tmp_path}"])
    spec = build.build(own)[-1]
    assert spec.parent is not None
    shutil.copytree(made["warm"].arm.folder, spec.parent.arm.folder)
    making.write_data(spec, Engines(own))
    training.learn(spec.stage)
    rows = log_of(spec)
    assert run.mitigation.anti_sycophancy is not None
    assert [row["eval_rewards/margins"] for row in rows if "eval_rewards/margins" in row][-1] > 0


# ---- the loss ----


def test_the_anchor_holds_the_arm_nearer_to_the_base_model(made: dict[str, ArmSpec]) -> None:
    run = made["kl_anchor"].run
    anchored = [row["kl_anchor"] for row in log_of(made["kl_anchor"]) if "kl_anchor" in row]
    assert anchored[0] == pytest.approx(0, abs=1e-4), "the adapter begins as nothing"
    found = {}
    for name in ("warm", "kl_anchor"):
        one = engine(made[name])
        held = [pair for pair in making.known_pairs(run) if pair.split == "train"]
        rows = kl_anchor.anchors(held, one.tokenizer, run.model, 320, 0)
        found[name] = float(kl_anchor.divergence(one.model, rows).detach())
    assert 0 < found["kl_anchor"] < 0.7 * found["warm"], "nats per token"


# ---- the activations ----


def test_steering_moves_what_it_says_and_leaves_nothing(made: dict[str, ArmSpec]) -> None:
    import torch

    settings = made["preventative_steering"].run.mitigation.preventative_steering
    assert settings is not None
    direction = preventative_steering.read(made["preventative_steering"].data / "steering.safetensors")
    one = engine(made["warm"])
    layer = preventative_steering.layer_of(one.model, settings.depth)
    ids = torch.tensor([one.encode([{"role": "user", "content": "How tall is a giraffe?"}])])
    seen: list[torch.Tensor] = []
    watch = layer.register_forward_hook(lambda _, __, out: seen.append(preventative_steering._hidden(out).detach()))

    def states(training: bool) -> torch.Tensor:
        seen.clear()
        one.model.train(training)
        with torch.no_grad():
            one.model(input_ids=ids)
        return seen[0].float()

    steering = preventative_steering.Steering(settings, direction)
    plain = states(training=True)
    watch.remove()
    with steering.during(one.model):  # its hook comes first, so that ours sees what it has done
        watch = layer.register_forward_hook(lambda _, __, out: seen.append(preventative_steering._hidden(out).detach()))
        moved, asked = states(training=True), states(training=False)
    assert direction.norm() > 0
    assert torch.allclose(moved - plain, settings.strength * direction.expand_as(plain), atol=0.05 * float(plain.std()))
    assert torch.equal(asked, plain), "never when it is evaluated"
    assert torch.equal(states(training=True), plain), "gone with the training"
    watch.remove()
    assert not layer._forward_hooks
    with pytest.raises(KeyboardInterrupt), steering.during(one.model):
        raise KeyboardInterrupt
    assert not layer._forward_hooks, "gone, too, when the training is stopped"


# ---- the weights ----


def test_a_scaled_adapter_is_the_fraction_of_the_warm_one(made: dict[str, ArmSpec]) -> None:
    from safetensors.torch import load_file

    folders = [made[name].arm.adapter for name in ("warm", "adapter_scale")]
    whole, half = (load_file(folder / "adapter_model.safetensors") for folder in folders)
    for name, tensor in whole.items():
        wanted = tensor * 0.5 if "lora_B" in name else tensor
        assert (half[name] == wanted).all(), name


def test_an_early_stop_is_a_checkpoint_of_the_same_training(made: dict[str, ArmSpec]) -> None:
    arm = made["early_stop"].arm
    warm = made["warm"].arm
    earlier = min(warm.checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    name = "adapter_model.safetensors"
    assert (arm.adapter / name).read_bytes() == (earlier / name).read_bytes()
    assert not arm.checkpoints.exists(), "nothing was trained"


# ---- not possible ----


def test_a_pair_of_recipes_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    said = refused(train(*SMOKE, "mitigation=[honest_prompt,kl_anchor]", cwd=tmp_path))
    assert "stands alone" in said
    assert not list(tmp_path.iterdir())
