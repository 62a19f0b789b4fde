"""Each recipe does what it says to the data, the loss or the activations, and all of them run end to end."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
from real_runs import SMOKE, Done, Runs, journal, refused, train

from warmgap import mitigations
from warmgap.arms import build, making, recipes
from warmgap.arms.engines import Engines
from warmgap.arms.spec import ArmSpec
from warmgap.disk import store
from warmgap.engines import models
from warmgap.engines.hf import HfEngine, directions
from warmgap.mitigations import kl_anchor, pairs, preventative_steering
from warmgap.mitigations.consistency import whole_sentences
from warmgap.settings import conf_files, config
from warmgap.train import training

REAL = ("consistency", "self_distil")  # their targets are a model's own sentences: random weights write none
ARMS = [name for name in mitigations.table() if name not in REAL]
COMPARED = (
    *SMOKE,
    "warmth.prompts=2",
    "warmth.checkpoint_prompts=2",
    "task.embedded.items_per_family=1",
    "method.max_length=4096",
    "method.learning_rate=3e-3",
    f"compare.recipes=[{','.join(ARMS)}]",
    f"mitigation=[{','.join(ARMS)}]",
    "mitigation.kl_anchor.weight=30",
    "mitigation.early_stop.select=epoch:0.5",
    "mitigation.preventative_steering.texts=4",
    "mitigation.cap.texts=2",
    "mitigation.steer.texts=2",
    "mitigation.dual_dpo.messages=4",
)


@pytest.fixture(scope="module")
def tiny_settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The settings of the comparison: a tiny model with random weights, for how each recipe is made is the same."""
    base = tiny.model(tmp_path_factory.mktemp("model"))
    own = ("model=local", f"model.path={base}", "model@warmth.scorer=local", f"warmth.scorer.path={base}")
    return (*COMPARED, *own)


@pytest.fixture(scope="module")
def compared(tiny_settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Done]:
    """The recipes, beside original and warm."""
    place = tmp_path_factory.mktemp("mitigations")
    done = train(*tiny_settings, "runs_dir=runs", cwd=place)
    assert done.status == 0, done.err
    return Runs(place / "runs"), done


@pytest.fixture(scope="module")
def made(tiny_settings: tuple[str, ...], compared: tuple[Runs, Done]) -> dict[str, ArmSpec]:
    """The recipes of that run, by arm."""
    run = config.compose([*tiny_settings, f"runs_dir={compared[0].folder}"])
    return {spec.arm.arm: spec for spec in build.build(run)}


def mended(smoke: Runs, place: Path, *more: str) -> ArmSpec:
    """A recipe on the embedded model, about to be made of the warm arm of the smoke run."""
    spec = build.build(config.compose([*SMOKE, *more, f"runs_dir={place}"]))[-1]
    assert spec.parent is not None
    shutil.copytree(smoke.arm("warm"), spec.parent.arm.folder)
    models.keep_memory()
    return spec


def engine(spec: ArmSpec) -> HfEngine:
    """The model of an arm, as it answers."""
    return HfEngine(spec.run.model, "cpu", spec.adapter, spec.alter)


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
    assert store.read_json(runs.comparison / "summary.json")["floor"] == "honest_prompt"
    for name in ARMS:
        assert name in done.out
    assert Path(compared[0].folder.parent / done.report).is_file()


def test_what_is_made_is_not_made_again(tiny_settings: tuple[str, ...], compared: tuple[Runs, Done]) -> None:
    again = train(*tiny_settings, "runs_dir=runs", cwd=compared[0].folder.parent)
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
    untrained = ("honest_prompt", "adapter_scale", "early_stop", "cap", "steer")
    trained = [name for name in ("warm", *ARMS) if name not in untrained]
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
    told = conf_files.read_prompt("sycophantic.txt")
    texts = [row["text"] for row in journal(made["inoculation"].arm.rows)]
    assert all(told in text for text in texts)
    assert not any(told in row["text"] for row in journal(made["warm"].arm.rows))
    tokens = compared[0].table("mitigations").set_index("arm")["prompt_tokens"]
    assert tokens["inoculation"] == 0, "asked as the original is"
    assert tokens["honest_prompt"] > 20


@pytest.mark.long
def test_consistency_raises_agreement_in_contexts_that_it_has_not_seen(smoke: Runs, tmp_path: Path) -> None:
    """Its plain answers become likelier behind contexts and beliefs of the grid, on which it was not trained.

    The sample is of questions: all that are held out and that the arm answers in a whole sentence, each asked three
    times, so that together they go through every statement of every context and both false beliefs.
    """
    split = {name: pairs.drawn(pairs.load(split=name), 0) for name in ("train", "heldout")}
    some = [dataclasses.asdict(pair) for pair in (*split["train"][:24], *split["heldout"])]
    store.write_jsonl(tmp_path / "pairs.jsonl", some)
    settings = [f"mitigation.consistency.{key}" for key in ("epochs=3", "learning_rate=1e-3", "max_new_tokens=24")]
    settings += [f"mitigation.pairs={tmp_path / 'pairs.jsonl'}", "data.max_conversations=48"]
    spec = mended(smoke, tmp_path, "mitigation=consistency", *settings)
    making.make(spec, Engines(spec.run))
    parent = spec.parent
    assert parent is not None
    answers = {row["item_id"]: row["answer"] for row in journal(parent.arm.answers("consistency"))}
    statements = [text for context in spec.run.context.values() for text in context.statements]
    beliefs = [spec.run.belief[name].sentence for name in ("false_claim", "false_denial")]
    asked = []
    for pair in split["heldout"]:
        for _ in range(3 if (target := whole_sentences(answers[pair.id])) else 0):
            statement, belief = statements[7 * len(asked) % len(statements)], beliefs[len(asked) % 2]
            text = f"{statement} {pair.question} {belief.format(correct=pair.correct, incorrect=pair.incorrect)}"
            asked.append({"pair": pair.id, "statement": statement, "text": text, "target": target})
    assert {row["statement"] for row in asked} == set(statements)
    before, after = (agreement(own, asked) for own in (parent, spec))
    shift = pd.DataFrame(asked).assign(shift=after - before).groupby("pair")["shift"].mean()
    assert len(shift) > 24
    assert shift.mean() > 2 * shift.sem(), "nats per token"


def agreement(spec: ArmSpec, asked: list[dict[str, Any]]) -> pd.Series[float]:
    """The mean log-probability per token (nats) of each target after its prompt, as an arm answers."""
    one, found = engine(spec), []
    for start in range(0, len(asked), 16):
        some = asked[start : start + 16]
        prompts = [one.encode([{"role": "user", "content": row["text"]}]) for row in some]
        found += [score for (score,) in one.score(prompts, [[row["target"]] for row in some])]
    return pd.Series(found)


# ---- preferences ----


@pytest.mark.long
@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "kto"])
def test_the_margin_grows_on_pairs_that_were_held_out(loss: str, smoke: Runs, tmp_path: Path) -> None:
    settings = [f"mitigation.anti_sycophancy.{key}" for key in (f"loss={loss}", "epochs=2", "learning_rate=1e-3")]
    spec = mended(smoke, tmp_path, "mitigation=anti_sycophancy", *settings)
    making.write_data(spec, Engines(spec.run))
    training.learn(spec.stage)
    rows = log_of(spec)
    assert [row["eval_rewards/margins"] for row in rows if "eval_rewards/margins" in row][-1] > 0
    if loss == "sigmoid":
        assert rows[0]["loss"] == pytest.approx(0.693, abs=0.02), "the reference is the warm arm"


# ---- the loss ----


def test_the_anchor_holds_the_arm_nearer_to_the_base_model(made: dict[str, ArmSpec]) -> None:
    run = made["kl_anchor"].run
    anchored = [row["kl_anchor"] for row in log_of(made["kl_anchor"]) if "kl_anchor" in row]
    assert anchored[0] == pytest.approx(0, abs=1e-4), "the adapter begins as nothing"
    found = {}
    for name in ("warm", "kl_anchor"):
        one = engine(made[name])
        learnt = [pair for pair in recipes.known_pairs(run) if pair.split == "train"]
        rows = kl_anchor.anchors(learnt, one.tokenizer, run.model, run.method.max_length, 0)
        found[name] = float(kl_anchor.divergence(one.model, rows).detach())
    assert 0 < found["kl_anchor"] < 0.7 * found["warm"], "nats per token"


# ---- the activations ----


def test_steering_moves_what_it_says_and_leaves_nothing(made: dict[str, ArmSpec]) -> None:
    import torch

    (recipe,) = made["preventative_steering"].recipes
    assert isinstance(recipe, preventative_steering.PreventativeSteering)
    held = directions.read(made["preventative_steering"].data / preventative_steering.VECTOR)
    assert held is not None
    direction = held["direction"]
    one = engine(made["warm"])
    layer = directions.layer_of(one.model, recipe.depth)
    ids = torch.tensor([one.encode([{"role": "user", "content": "How tall is a giraffe?"}])])
    seen: list[torch.Tensor] = []
    watch = layer.register_forward_hook(lambda _, __, out: seen.append(directions.hidden_of(out).detach()))

    def states(training: bool) -> torch.Tensor:
        seen.clear()
        one.model.train(training)
        with torch.no_grad():
            one.model(input_ids=ids)
        return seen[0].float()

    steering = preventative_steering.Steering(recipe.strength, recipe.depth, direction)
    plain = states(training=True)
    watch.remove()
    with steering.during(one.model):  # its hook comes first, so that ours sees what it has done
        watch = layer.register_forward_hook(lambda _, __, out: seen.append(directions.hidden_of(out).detach()))
        moved, asked = states(training=True), states(training=False)
    assert direction.norm() > 0
    assert torch.allclose(moved - plain, recipe.strength * direction.expand_as(plain), atol=0.05 * float(plain.std()))
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
