"""An adapter is loaded whole and has an effect, or it is named what is wrong with it before anything is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from warmgap.engines import adapters, models
from warmgap.engines.hf import HfEngine
from warmgap.errors import UserError
from warmgap.mitigations import adapter_scale
from warmgap.settings.schema import ModelConfig
from warmgap.train import checkpoints


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    return tiny.adapter(tmp_path / "adapter", base)


def settings(folder: Path) -> ModelConfig:
    return ModelConfig(name="tiny", source="local", path=str(folder), dtype="float32")


def refused(adapter: Path, base: Path) -> UserError:
    """What is said of an adapter before the base model's weights are loaded; the loader itself says it too."""
    with pytest.raises(UserError) as caught:
        adapters.check(adapter, models.skeleton(base))
    with pytest.raises(UserError) as again:
        models.load(base, dtype="float32", device="cpu", adapter=adapter)
    assert caught.value.what == again.value.what
    return caught.value


def test_one_that_fits_is_loaded_whole(adapter: Path, base: Path) -> None:
    adapters.check(adapter, models.skeleton(base))
    engine = HfEngine(settings(base), "cpu", adapter)
    plain = HfEngine(settings(base), "cpu")
    ids = engine.encode([{"role": "user", "content": "?"}])
    assert models.probe(engine.model, ids) != models.probe(plain.model, ids)


def renamed(adapter: Path, change: Callable[[str], str]) -> None:
    tensors = load_file(adapter / adapters.WEIGHTS)
    save_file({change(name): value for name, value in tensors.items()}, adapter / adapters.WEIGHTS)


@pytest.mark.parametrize("wrapper", ["_orig_mod.", "module."])
def test_names_of_a_wrapped_model_are_told(adapter: Path, base: Path, wrapper: str) -> None:
    renamed(adapter, lambda name: name.replace("base_model.model.", f"base_model.model.{wrapper}"))
    said = refused(adapter, base)
    assert f"28 of its 28 tensors have no place in the model: base_model.model.{wrapper}model.layers.0." in said.why
    assert f"without {wrapper!r} every name fits" in said.fix


def test_names_that_fit_in_part_are_counted(adapter: Path, base: Path) -> None:
    renamed(adapter, lambda name: name.replace("layers.1.self_attn.q_proj", "layers.1.self_attn.query"))
    assert "2 of its 28 tensors have no place" in refused(adapter, base).why


OTHERS = {
    "width": ({"hidden_size": 64}, {}, "14 of its 28 tensors have another shape"),
    "more layers": ({"num_hidden_layers": 3}, {}, "14 of its 42 tensors have no place"),
    "fewer layers": ({"num_hidden_layers": 1}, {"target_modules": ["q_proj"]}, "it lacks 2 of the 4 tensors"),
    "vocabulary": ({"vocab_size": 300}, {"target_modules": ["q_proj", "lm_head"]}, "another shape"),
    "words of its own": ({"vocab_size": 300}, {"modules_to_save": ["embed_tokens"]}, "another shape"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_one_of_another_base_is_refused(other: str, base: Path, tmp_path: Path) -> None:
    config, lora, why = OTHERS[other]
    theirs = tiny.model(tmp_path / "theirs", **config)
    assert why in refused(tiny.adapter(tmp_path / "adapter", theirs, **lora), base).why


def test_target_modules_that_the_model_lacks_are_refused(adapter: Path, base: Path) -> None:
    config = json.loads((adapter / adapters.CONFIG).read_text(encoding="utf-8"))
    (adapter / adapters.CONFIG).write_text(json.dumps({**config, "target_modules": ["c_attn"]}), encoding="utf-8")
    assert "c_attn" in refused(adapter, base).why


def spoil(adapter: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (adapter / name).unlink()
    else:
        (adapter / name).write_bytes(content)


BROKEN = {
    "no weights": (adapters.WEIGHTS, None, "has no adapter_config.json and"),
    "empty weights": (adapters.WEIGHTS, b"", "the file is empty"),
    "other weights": (adapters.WEIGHTS, b"PK\x03\x04" * 100, "no safetensors file"),
    "no settings": (adapters.CONFIG, None, "has no adapter_config.json and"),
    "torn settings": (adapters.CONFIG, b'{"peft_type": "LO', "is no JSON"),
    "a list": (adapters.CONFIG, b"[]", "peft_type None"),
    "prompt tuning": (adapters.CONFIG, b'{"peft_type": "PROMPT_TUNING"}', "peft_type 'PROMPT_TUNING'"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_whole_adapter_is_refused(kind: str, adapter: Path, base: Path) -> None:
    name, content, why = BROKEN[kind]
    spoil(adapter, name, content)
    assert why in refused(adapter, base).why


def test_a_torn_file_is_refused(adapter: Path, base: Path) -> None:
    whole = (adapter / adapters.WEIGHTS).read_bytes()
    for length in (4, 100, len(whole) - 1):
        (adapter / adapters.WEIGHTS).write_bytes(whole[:length])
        assert adapters.WEIGHTS in refused(adapter, base).why


def test_all_zeros_have_no_effect(base: Path, tmp_path: Path) -> None:
    nothing = tiny.adapter(tmp_path / "zero", base, zero=True)
    with pytest.raises(UserError, match="has no effect"):
        _ = HfEngine(settings(base), "cpu", nothing).model


def test_logits_that_are_no_numbers_are_refused(adapter: Path, base: Path) -> None:
    tensors = load_file(adapter / adapters.WEIGHTS)
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name][0, 0] = torch.inf
    save_file(tensors, adapter / adapters.WEIGHTS)
    with pytest.raises(UserError, match="cannot be used"):
        _ = HfEngine(settings(base), "cpu", adapter).model


def test_our_own_at_strength_nought_is_meant_to_do_nothing(adapter: Path, base: Path, tmp_path: Path) -> None:
    for alpha, name in ((0.0, "off"), (0.5, "half")):
        (tmp_path / name).mkdir()
        adapter_scale.scaled(adapter, tmp_path / name, alpha)
        _ = HfEngine(settings(base), "cpu", tmp_path / name).model


@pytest.mark.parametrize("name", [adapters.WEIGHTS, adapters.CONFIG, adapters.SEAL])
def test_a_flipped_byte_in_what_training_left_is_named(name: str, adapter: Path, base: Path) -> None:
    checkpoints.seal(adapter)
    adapters.check(adapter, models.skeleton(base))
    content = bytearray((adapter / name).read_bytes())
    content[len(content) // 2] ^= 1
    (adapter / name).write_bytes(content)
    said = refused(adapter, base)
    assert "is not what training left" in said.what
    assert f"delete {adapter}" in said.fix


def test_another_base_is_noted(adapter: Path, base: Path) -> None:
    def named(name: str | None, model: ModelConfig, **more: str) -> str | None:
        config = json.loads((adapter / adapters.CONFIG).read_text(encoding="utf-8"))
        config |= {"base_model_name_or_path": name, **more}
        (adapter / adapters.CONFIG).write_text(json.dumps(config), encoding="utf-8")
        return adapters.another_base(adapter, model, base)

    hub = ModelConfig(name="llama_8b", source="hub", id="meta-llama/Llama-3.1-8B-Instruct", revision="a" * 40)
    assert named(str(base), settings(base)) is None
    assert named("meta-llama/Llama-3.1-8B-Instruct", hub) is None
    assert named("/cache/models--meta-llama--Llama-3.1-8B-Instruct/snapshots/0e", hub) is None
    assert named(None, hub) is None
    assert "names another base model: mistralai/Mistral-7B" in str(named("mistralai/Mistral-7B", hub))
    assert "names revision" in str(named("meta-llama/Llama-3.1-8B-Instruct", hub, revision="b" * 40))
