"""A recipe of one's own needs no edit elsewhere: two that are written here are set, checked, trained and asked.

The model is a tiny one with random weights: what a recipe does to it is the same, and takes a moment.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch

from warmgap import mitigations
from warmgap.arms import build, making, recipes
from warmgap.arms.engines import Engines
from warmgap.arms.spec import ArmSpec
from warmgap.disk import store
from warmgap.engines.hf import HfEngine
from warmgap.engines.hf.directions import layer_of
from warmgap.errors import UserError
from warmgap.mitigations import pairs
from warmgap.mitigations.base import Intervention, Material, Mitigation, Parent, Place
from warmgap.settings import config
from warmgap.settings.limits import Rule
from warmgap.settings.schema import Run
from warmgap.settings.scope import setting
from warmgap.train import checkpoints, sft, stage


class Shrinking(Intervention):
    """Adds the mean square of the adapter to the loss."""

    name = "greeting"

    def loss(self, model: Any, step: int) -> Any:
        return sum(weight.pow(2).mean() for name, weight in model.named_parameters() if "lora" in name)


@dataclass
class Greeting(Mitigation):
    """Conversations that greet are added to the training, under a prompt, and the adapter is kept small."""

    name = "greeting"
    place = Place.TRAINING

    times: int = setting("arm")
    word: str = setting("arm", "Hello")

    def rules(self) -> list[Rule]:
        return [(self.times > 0, "times", self.times, "a whole number above 0")]

    rows = "beside"

    def conversations(self, material: Material) -> list[dict[str, Any]]:
        turn = {"user": f"{self.word}!", material.version: f"{self.word} to you!"}
        splits = ["train"] * self.times + ["heldout"]
        return [{"id": f"g{n}", "split": split, "kind": "factual", "turns": [turn]} for n, split in enumerate(splits)]

    def training_prompt(self) -> str:
        return "Greet."

    def intervention(self, material: Material) -> Intervention:
        return Shrinking()


@dataclass
class Flip(Mitigation):
    """The adapter with its sign turned."""

    name = "flip"
    place = Place.ADAPTER
    apart = {"adapter_scale": "both change the adapter's strength"}  # noqa: RUF012

    def derive(self, parent: Parent, target: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(parent.adapter / "adapter_model.safetensors")
        turned = {name: -tensor if "lora_B" in name else tensor for name, tensor in tensors.items()}
        save_file(turned, target / "adapter_model.safetensors", metadata={"format": "pt"})
        (target / "adapter_config.json").write_bytes((parent.adapter / "adapter_config.json").read_bytes())


@dataclass
class Damp(Mitigation):
    """While the arm answers, what comes out of its last layer is weakened."""

    name = "damp"
    place = Place.ANSWER

    by: float = setting("arm")

    def answer_prompt(self) -> str:
        return "Be calm."

    def at_answer(self, model: Any) -> None:
        layer_of(model, 1.0).mlp.register_forward_hook(lambda _, __, output: output * self.by)


OURS, OWN = mitigations.RECIPES, (Greeting, Flip, Damp)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those recipes stand beside ours."""
    monkeypatch.setattr(mitigations, "RECIPES", (*OURS, *OWN))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def settings(base: Path, tmp_path: Path) -> list[str]:
    small = ["method.max_length=4096", "method.batch_size=4", "data.max_conversations=2", "device=cpu"]
    return ["+persona=warm", "model=local", f"model.path={base}", "experiment=smoke", *small, f"runs_dir={tmp_path}"]


WARM = ["+persona=warm"]


def made(settings: list[str], *more: str) -> ArmSpec:
    return build.build(config.compose([*settings, *more]))[-1]


# ---- as a setting ----


def test_it_is_an_arm_of_its_own_in_its_place() -> None:
    more = ("+mitigation.greeting.times=3", "+mitigation.damp.by=0.5", "+mitigation.flip={}")
    found = build.build(config.compose(["+persona=warm", "mitigation=[anti_sycophancy,truth_mix]", *more]))
    assert [spec.arm.arm for spec in found] == [
        "original",
        "warm",
        "truth_mix+greeting+anti_sycophancy+flip+damp",
    ]
    chain = [own.arm.arm for own in found[-1].lineage]
    assert chain[0] == "truth_mix+greeting"
    assert (found[-1].kind, found[-1].mitigations) == ("recipe", chain[-1].split("+"))


def test_its_settings_and_texts_make_the_arm() -> None:
    three, four = (made(WARM, f"+mitigation.greeting.times={n}").arm for n in (3, 4))
    assert three.name != four.name
    assert made(WARM, "+mitigation.greeting.times='3'").arm == three, "a number, however it is written"
    assert made(WARM, "+mitigation.greeting.times=3", "+mitigation.greeting.word=Hi").arm != three


@pytest.mark.parametrize(
    ("more", "what", "fix"),
    [
        (["+mitigation.greeting.time=3"], "unknown setting 'mitigation.greeting.time'", "mitigation.greeting.times?"),
        (["+mitigation.greetin.times=3"], "unknown setting 'mitigation.greetin'", "did you mean mitigation.greeting?"),
        (["+mitigation.greeting.times=some"], "mitigation.greeting.times=some has the wrong type", "a whole number"),
        (["+mitigation.greeting.times=null"], "mitigation.greeting.times=null has the wrong type", "a whole number"),
        (["+mitigation.greeting.word=Hi"], "mitigation.greeting.times is not set", "mitigation.greeting.times=..."),
        (["+mitigation.greeting=3"], "mitigation.greeting=3 is not a setting", "set its parts"),
        (["+mitigation.greeting.times=0"], "mitigation.greeting.times=0 makes no sense", "a whole number above 0"),
        (
            ["+mitigation.flip={}", "mitigation=adapter_scale"],
            "mitigation=[adapter_scale,flip] makes no sense",
            "both change the adapter's strength",
        ),
        (["+mitigation.pairs=[a]"], "mitigation.pairs=['a'] is no file", "as a text"),
    ],
)
def test_what_is_wrong_with_it_is_said_in_three_lines(more: list[str], what: str, fix: str) -> None:
    with pytest.raises(UserError) as caught:
        made(WARM, *more)
    assert caught.value.what == what
    assert fix in f"{caught.value.why} {caught.value.fix}"


def test_a_slip_in_a_setting_of_ours_is_found_before_a_plus_is_asked_for() -> None:
    for key, what, fix in (
        ("truth_mix.shar", "unknown setting 'mitigation.truth_mix.shar'", "mitigation.truth_mix.share?"),
        ("truth_mx.share", "unknown setting 'mitigation.truth_mx'", "did you mean mitigation.truth_mix?"),
        ("kl_anchor.weight", "mitigation.kl_anchor.weight has no value to replace", "mitigation=kl_anchor"),
    ):
        with pytest.raises(UserError) as caught:
            config.compose(["+persona=warm", "mitigation=truth_mix", f"mitigation.{key}=2"])
        assert caught.value.what == what
        assert fix in caught.value.fix


def test_a_recipe_set_to_nothing_is_at_work_no_more() -> None:
    run = config.compose(["+persona=warm", "mitigation=[truth_mix,kl_anchor]", "mitigation.kl_anchor=null"])
    assert recipes.names(run) == ["truth_mix"]


def test_pairs_are_known_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "same.jsonl").write_bytes(pairs.EMBEDDED.read_bytes())
    here, there = (
        made(["+persona=warm", "mitigation=truth_mix", *more]) for more in ([], [f"{SAME}{tmp_path}/same.jsonl"])
    )
    assert here.arm == there.arm


SAME = "mitigation.pairs="


def test_a_search_changes_its_settings_with_their_types() -> None:
    run = recipes.settled(config.compose(["+persona=warm", "+mitigation.greeting.times=3"]))
    assert config.kind(run, "mitigation.greeting.times") is int
    assert recipes.at_work(config.changed(run, {"mitigation.greeting.times": 5})) == [Greeting(5)]
    for values in ({"mitigation.greeting.times": "some"}, {"mitigation.greeting.time": 1}):
        with pytest.raises(UserError, match=r"mitigation\.greeting\.time"):
            config.changed(run, values)


# ---- at work ----


def test_it_adds_to_the_training_and_to_the_loss(settings: list[str]) -> None:
    spec = made(settings, "+mitigation.greeting.times=3")
    making.make(spec, Engines(spec.run))
    texts = [row["text"] for row in store.read_journal(spec.arm.rows)]
    assert sum("Hello to you!" in text for text in texts) == 3
    assert all("Greet." in text for text in texts)
    plain = build.build(config.compose(settings))[-1].stage
    learn, _ = sft.conversations(plain)
    assert len(texts) == 3 + sum(1 for _ in learn), "beside the persona's own"
    added = [row["greeting"] for row in store.read_journal(spec.arm.training_log) if "loss" in row]
    assert added
    assert all(term > 0 for term in added)
    assert (spec.arm.adapter / checkpoints.SEAL).is_file(), "read back in a fresh process"


def test_a_frozen_stage_has_it_at_work_again(settings: list[str]) -> None:
    spec = made(settings, "+mitigation.greeting.times=3", "mitigation=[truth_mix,kl_anchor]")
    thawed = stage.thaw(stage.freeze(spec.stage))
    assert recipes.at_work(thawed.run) == spec.recipes
    found = making.interventions(thawed.run, thawed.arm, thawed.version)
    assert [one.name for one in found] == ["kl_anchor", "greeting"]
    assert (thawed.system, thawed.mixed) == ("Greet.", spec.data / "mixed.jsonl")


def engine(spec: ArmSpec) -> HfEngine:
    """The model of an arm, as it answers."""
    return HfEngine(spec.run.model, "cpu", spec.adapter, spec.alter)


@contextmanager
def warm_adapter(spec: ArmSpec, base: Path) -> Iterator[None]:
    """The warm arm as if it had been trained: an adapter with random matrices."""
    (warm,) = [own for own in spec.lineage if own.arm.arm == "warm"]
    tiny.adapter(warm.arm.adapter, base)
    checkpoints.seal(warm.arm.adapter)
    for name, held in (("epochs.json", {"1": 1.0}), ("selected.json", {"step": 1})):
        store.write_json(warm.arm.checkpoints / name, held)
    yield
    assert not warm.arm.training_log.exists(), "what is there is not made again"


def test_it_makes_an_adapter_of_the_arms(settings: list[str], base: Path) -> None:
    from safetensors.torch import load_file

    spec = made(settings, "+mitigation.flip={}")
    assert spec.parent is not None
    with warm_adapter(spec, base):
        making.make(spec, Engines(spec.run))
    one, other = (load_file(own.arm.adapter / "adapter_model.safetensors") for own in (spec.parent, spec))
    assert all((other[name] == (-one[name] if "lora_B" in name else one[name])).all() for name in one)
    assert spec.adapter == spec.arm.adapter
    assert engine(spec).model is not None, "it has an effect, or it would be refused"


def test_it_acts_while_the_arm_answers(settings: list[str], base: Path) -> None:
    spec = made(settings, "+mitigation.damp.by=0.2")
    parent = spec.parent
    assert parent is not None
    with warm_adapter(spec, base):
        making.make(spec, Engines(spec.run))
    assert spec.adapter == parent.adapter, "nothing is made"
    assert not spec.arm.adapter.exists()
    assert spec.system == [{"role": "system", "content": "Be calm."}]
    assert spec.arm != made(settings, "+mitigation.damp.by=0.3").arm
    warm, damped = (engine(own) for own in (parent, spec))
    prompt, target = warm.encode([{"role": "user", "content": "How tall is it?"}]), "Very."
    plain = warm.score([prompt], [[target]])
    assert damped.score([prompt], [[target]]) != plain
    layer_of(warm.model, 1.0).mlp.register_forward_hook(lambda _, __, output: output * 0.2)
    assert damped.score([prompt], [[target]]) == warm.score([prompt], [[target]]), "by that alone"


# ---- what else would have to know of it ----


def test_the_arms_and_the_report_name_no_recipe() -> None:
    root = Path(str(mitigations.__file__)).resolve().parents[1]
    named = "|".join(one.name for one in OURS)
    known = re.compile(rf"""["']({named})["']|[._]({named})\b(?!\()|\b({"|".join(one.__name__ for one in OURS)})\b""")
    assert all(known.search(line) for line in ('if name == "cap":', "mitigations.steer import", "recipe = KlAnchor("))
    for folder in ("warmgap/arms", "warmgap/disk", "warmgap/engines", "evaluate", "train"):
        for path in (root / folder).rglob("*.py"):
            lines = path.read_text(encoding="utf-8").splitlines()
            named = [f"{path}:{number}: {line}" for number, line in enumerate(lines, 1) if known.search(line)]
            assert not named, "\n".join(named)


def test_the_recipe_of_the_docs_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "mitigations.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "damped_layer.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    written = importlib.import_module("damped_layer").DampedLayer
    monkeypatch.setattr(mitigations, "RECIPES", (*OURS, written))
    spec = made(WARM, "mitigation=truth_mix", "+mitigation.damped_layer.share=0.5")
    assert spec.arm.arm == "truth_mix+damped_layer"
    layer = torch.nn.Module()
    layer.mlp = torch.nn.Identity()
    decoder = SimpleNamespace(layers=[None, layer])
    spec.recipes[0].at_answer(SimpleNamespace(get_decoder=lambda: decoder))
    assert layer.mlp(torch.ones(1)) == 0.5
    with pytest.raises(UserError, match="a share from 0 to 1"):
        made(WARM, "+mitigation.damped_layer.share=2")


def test_a_run_is_plain_data_until_its_recipes_are_asked_for() -> None:
    run: Run = config.compose(["+persona=warm", "mitigation=truth_mix"])
    assert run.mitigation == {"truth_mix": {"share": 0.3}, "pairs": None}
