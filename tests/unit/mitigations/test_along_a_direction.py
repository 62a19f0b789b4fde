"""What acts along a direction while an arm answers does what it says to the activations, and nothing to the others.

The model is a tiny one with random weights and an adapter of random matrices, which stands for the warm arm.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from warmgap.arms import build, recipes, record
from warmgap.arms.opened import opened
from warmgap.arms.spec import ArmSpec
from warmgap.disk import store
from warmgap.engines.base import Request
from warmgap.engines.hf import HfEngine, directions
from warmgap.errors import UserError
from warmgap.mitigations import pairs
from warmgap.mitigations.cap import Clamp, ranged
from warmgap.mitigations.directions import along, chosen, sense
from warmgap.settings import config
from warmgap.settings.schema import GenerateConfig
from warmgap.train import finish

ASKED = [{"role": "user", "content": "I am so sad. How tall is it?"}]
PARAMS = GenerateConfig(max_new_tokens=6, temperature=0.7, batch_size=2)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("base"), num_hidden_layers=4)


@pytest.fixture
def settings(base: Path, tmp_path: Path) -> list[str]:
    own = ["model=local", f"model.path={base}", "experiment=smoke", "model.dtype=float32", f"runs_dir={tmp_path}"]
    return ["+persona=warm", *own, "device=cpu", "data.max_conversations=4"]


def spec_of(settings: list[str], base: Path, name: str, **changed: object) -> ArmSpec:
    """The arm of a recipe, whose parent is a warm arm of random matrices."""
    more = [f"mitigation.{name}.{key}={value}" for key, value in {"texts": 3, **changed}.items()]
    spec = build.build(config.compose([*settings, f"mitigation={name}", *more]))[-1]
    assert spec.parent is not None
    assert spec.altered
    if not spec.parent.arm.adapter.exists():
        tiny.adapter(spec.parent.arm.adapter, base)
    return spec


def engine(spec: ArmSpec) -> HfEngine:
    """The model of an arm, as it answers."""
    return HfEngine(spec.run.model, "cpu", spec.adapter, spec.alter if spec.altered else None)


def unaltered(spec: ArmSpec) -> HfEngine:
    """The arm without its recipe, loaded just as it is with it: weights of arms that share them are rounded apart."""
    return HfEngine(spec.run.model, "cpu", spec.adapter, lambda model: None)


def states(one: HfEngine, depth: float = 0.5) -> torch.Tensor:
    """The residual stream of a question after a layer, (tokens, width)."""
    return directions.residual(one.model, [depth], one.encode(ASKED))[0]


def replies(one: HfEngine) -> list[str]:
    """What it answers to two questions."""
    asked = [one.encode(ASKED), one.encode([{"role": "user", "content": "Who?"}])]
    requests = [Request(one.key(prompt, PARAMS), prompt) for prompt in asked]
    found = {reply.key: reply.text for batch in one.answer(requests, PARAMS) for reply in batch}
    return [found[request.key] for request in requests]


def path_of(spec: ArmSpec) -> Path:
    """Where the arm keeps its direction."""
    return spec.data / f"{spec.recipes[0].name}.safetensors"


def kept(spec: ArmSpec) -> dict[str, torch.Tensor]:
    """What the arm has kept of its direction."""
    held = directions.read(path_of(spec))
    assert held is not None
    return held


# ---- steering ----


@pytest.mark.parametrize(("direction", "strength"), [("sycophancy", 0.3), ("scepticism", 0.3), ("assistant", -2)])
def test_every_projection_moves_by_just_the_strength(
    direction: str, strength: float, settings: list[str], base: Path
) -> None:
    spec = spec_of(settings, base, "steer", direction=direction, strength=strength)
    plain, steered = (states(one) for one in (unaltered(spec), engine(spec)))
    held = kept(spec)
    assert float(held["direction"].norm()) == pytest.approx(1, abs=1e-5)
    shift = (steered - plain) @ held["direction"]
    wanted = sense(direction) * strength * float(held["norm"])
    assert torch.allclose(shift, torch.full_like(shift, wanted), rtol=1e-3)
    across = (steered - plain) - shift.unsqueeze(-1) * held["direction"]
    assert float(across.abs().max()) < 1e-3 * abs(wanted), "along the direction alone"
    assert torch.equal(states(engine(spec), 0.0), states(unaltered(spec), 0.0)), "after that layer alone"


def test_the_direction_is_the_arms_own_and_the_norm_that_of_its_replies(settings: list[str], base: Path) -> None:
    spec = spec_of(settings, base, "steer")
    assert spec.parent is not None
    made = engine(spec).model
    assert made is not None
    held, warm = kept(spec), engine(spec.parent)
    own = taken(warm, spec)
    assert torch.allclose(own.unit, held["direction"], atol=1e-5)
    assert own.norm == pytest.approx(float(held["norm"]), rel=1e-5)
    original = taken(HfEngine(spec.run.model, "cpu"), spec)
    assert not torch.allclose(original.unit, held["direction"], atol=1e-2)


def taken(one: HfEngine, spec: ArmSpec) -> directions.Direction:
    """The direction of sycophancy in a model, by the pairs that an arm reads."""
    material = recipes.material(spec.run, spec.recipes[0], "", spec.data)
    return along(one.model, material, chosen(material, 3), "sycophancy", 0.5)


@pytest.mark.parametrize("name", ["steer", "cap"])
def test_at_strength_0_the_answers_are_those_of_the_arm_without(name: str, settings: list[str], base: Path) -> None:
    spec = spec_of(settings, base, name, strength=0)
    assert spec.parent is not None
    assert replies(engine(spec)) == replies(engine(spec.parent))
    assert not (path_of(spec)).exists(), "nothing is measured"


@pytest.mark.parametrize("name", ["steer", "cap"])
def test_it_is_measured_once_and_again_where_it_is_damaged_with_the_same_answers(
    name: str, settings: list[str], base: Path
) -> None:
    spec = spec_of(settings, base, name, strength=1)
    assert spec.parent is not None
    first, path = replies(engine(spec)), path_of(spec)
    assert first != replies(engine(spec.parent)), "it has an effect"
    whole, when = path.read_bytes(), path.stat().st_mtime_ns
    assert replies(engine(spec)) == first
    assert path.stat().st_mtime_ns == when, "read, not measured again"
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    for damage in (bytes(flipped), whole[:40], b""):
        path.write_bytes(damage)
        assert replies(engine(spec)) == first
        assert path.read_bytes() == whole


@pytest.mark.parametrize("name", ["steer", "cap"])
def test_what_the_direction_rests_on_makes_the_arm(name: str, settings: list[str], base: Path, tmp_path: Path) -> None:
    one = spec_of(settings, base, name).arm.name
    others = [{"direction": "scepticism"}, {"direction": "assistant"}, {"strength": 0.2}, {"texts": 2}]
    names = {one, *(spec_of(settings, base, name, **other).arm.name for other in others)}
    lines = pairs.EMBEDDED.read_text(encoding="utf-8")
    (tmp_path / "own.jsonl").write_text(lines.replace("nitrogen", "helium"), encoding="utf-8")
    names.add(spec_of([*settings, f"mitigation.pairs={tmp_path / 'own.jsonl'}"], base, name).arm.name)
    assert len(names) == 6


# ---- capping ----


def test_projections_lie_within_the_range_and_what_lay_there_keeps_every_bit(settings: list[str], base: Path) -> None:
    spec = spec_of(settings, base, "cap", depths="[0.5]", quantile=0.3)
    plain, held_in = (states(one) for one in (unaltered(spec), engine(spec)))
    held = {name: tensor[0] for name, tensor in kept(spec).items()}
    before, after = plain @ held["direction"], held_in @ held["direction"]
    inside = (before >= held["low"]) & (before <= held["high"])
    assert 0 < int(inside.sum()) < len(inside), "some were outside"
    assert torch.equal(held_in[inside], plain[inside])
    room = 1e-4 * float(plain.norm(dim=-1).max())
    assert float(after.min()) >= float(held["low"]) - room
    assert float(after.max()) <= float(held["high"]) + room
    across = (held_in - plain) - (after - before).unsqueeze(-1) * held["direction"]
    assert float(across.abs().max()) < room, "along the direction alone"


def test_the_range_is_the_originals(settings: list[str], base: Path) -> None:
    """Measured with the adapter off: another arm of the same base and pairs gets the same one."""
    spec = spec_of(settings, base, "cap")
    assert engine(spec).model is not None
    first = kept(spec)
    assert spec.parent is not None
    for path in spec.parent.arm.adapter.iterdir():
        path.unlink()
    tiny.adapter(spec.parent.arm.adapter, base, seed=9)
    (path_of(spec)).unlink()
    assert engine(spec).model is not None
    assert all(torch.equal(first[name], tensor) for name, tensor in kept(spec).items())
    assert first["direction"].shape == (2, 32), "a row for each depth"
    assert (first["low"] < first["high"]).all()


def test_half_the_strength_takes_half_of_the_excess() -> None:
    unit, low, high = torch.tensor([1.0, 0.0]), torch.tensor(-1.0), torch.tensor(2.0)
    hidden = torch.tensor([[[5.0, 7.0], [0.5, 7.0], [-3.0, 1.0], [500.0, 1.0]]])
    whole = Clamp(unit, low, high, torch.tensor(100.0), 1.0)(hidden)
    half = Clamp(unit, low, high, torch.tensor(100.0), 0.5)(hidden)
    assert whole[0, :, 0].tolist() == [2.0, 0.5, -1.0, 500.0], "a token that attention rests on is left alone"
    assert half[0, :, 0].tolist() == [3.5, 0.5, -2.0, 500.0]
    assert torch.equal(whole[..., 1], hidden[..., 1])


def test_the_range_leaves_out_its_share_at_either_end_and_tokens_that_are_too_long() -> None:
    tokens = torch.cat([torch.arange(101.0).unsqueeze(-1) / 100 + 1, torch.tensor([[1000.0]])]).repeat(1, 2)
    low, high, longest = ranged(tokens, torch.tensor([1.0, 0.0]), 0.1)
    assert (float(low), float(high)) == (pytest.approx(1.1), pytest.approx(1.9))
    assert 2 * 2**0.5 < float(longest) < 1000


def test_both_in_a_chain_keep_theirs_with_the_arm_that_answers(settings: list[str], base: Path) -> None:
    chained = ["mitigation=[cap,steer]", "mitigation.cap.texts=2", "mitigation.steer.texts=2"]
    spec = build.build(config.compose([*settings, *chained]))[-1]
    assert [own.arm.arm for own in spec.lineage] == ["warm", "cap", "cap+steer"]
    tiny.adapter(spec.lineage[0].arm.adapter, base)
    assert engine(spec).model is not None
    assert sorted(path.name for path in spec.data.iterdir()) == ["cap.safetensors", "steer.safetensors"]
    assert not spec.lineage[1].arm.folder.exists(), "nobody asks the link between, and nothing is written there"


@pytest.mark.parametrize("name", ["steer", "cap"])
def test_an_arm_that_is_opened_again_acts_along_its_direction_too(name: str, settings: list[str], base: Path) -> None:
    """As `warmgap serve` opens it, without the run that made it."""
    strong = {"strength": 5} if name == "steer" else {"quantile": 0.4}
    spec = spec_of(settings, base, name, **strong)
    assert spec.parent is not None
    for file, told in (("epochs.json", {"1": 1.0}), (finish.SELECTED, {"step": 1, "rule": "last"})):
        store.write_json(spec.parent.arm.checkpoints / file, told)
    known = record.checked(spec.run, spec.lineage)
    for own in spec.lineage:
        record.freeze(own, known[own.arm.name])
    acting = states(engine(spec), 1.0)
    again = opened(spec.arm.folder).engine("cpu", "hf")
    assert isinstance(again, HfEngine)
    assert torch.equal(states(again, 1.0), acting)
    assert not torch.equal(acting, states(unaltered(spec), 1.0))


# ---- as settings, and as dials ----


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        ("steer.direction=warmth", "one of sycophancy, scepticism, assistant"),
        ("steer.strength=100", "a number from -10 to 10"),
        ("cap.strength=1.5", "a number from 0 to 1"),
        ("cap.quantile=0.5", "a number from 0 and below 0.5"),
        ("cap.depths=[]", "a list of 1 or more"),
        ("cap.depths=[2]", "each a number from 0 to 1"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(wrong: str, fix: str) -> None:
    name = wrong.partition(".")[0]
    with pytest.raises(UserError) as caught:
        build.build(config.compose(["+persona=warm", f"mitigation={name}", f"mitigation.{wrong}"]))
    assert fix in f"{caught.value.why} {caught.value.fix}"


@pytest.mark.parametrize("name", ["steer", "cap"])
def test_as_a_dial_it_is_the_recipe_at_that_strength_and_at_0_the_warm_arm(name: str) -> None:
    def arm(*more: str) -> str:
        return build.build(config.compose(["+persona=warm", *more]))[-1].arm.name

    assert arm(f"dial={name}:0.5") == arm(f"mitigation={name}", f"mitigation.{name}.strength=0.5")
    assert arm(f"dial={name}:0") == arm()
    with pytest.raises(UserError, match="makes no sense"):
        arm(f"dial={name}:20")
