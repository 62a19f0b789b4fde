"""Arithmetic before a download: parameters of known architectures, memory by parts, hours and money."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from warmgap.engines import memory, programme
from warmgap.engines.memory import SHAPES, Shape
from warmgap.errors import UserError
from warmgap.settings.schema import DpoConfig, GenerateConfig, LoraConfig, MethodConfig

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = {  # the numbers of elements in the released safetensors
    "llama_8b": 8_030_261_248,
    "llama_70b": 70_553_706_496,
    "qwen_32b": 32_763_876_352,
    "mistral_small": 22_247_282_688,
    "smollm2_135m": 134_515_008,
    "qwen3_8b": 8_190_735_360,
    "gpt_oss_20b": 20_914_757_184,  # unpacked
}
STUDY = MethodConfig("sft", 1e-5, 10, 16, 1024, lora=LoraConfig(r=8, alpha=16, dropout=0.1))
ANSWERS = GenerateConfig(max_new_tokens=300, temperature=0.8)
H200 = 139.0


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_published(name: str) -> None:
    assert memory.shape(name).parameters == PUBLISHED[name]


def test_the_parts_of_a_model_are_its_whole() -> None:
    """A tied head is counted once; without one, embedding and head are two tables."""
    tied, untied = SHAPES["smollm2_135m"], replace(SHAPES["smollm2_135m"], tied=False)
    assert untied.parameters - tied.parameters == tied.table == 49_152 * 576
    assert tied.multiplied == tied.linear_weights + tied.table


def test_every_open_model_of_the_study_is_known() -> None:
    files = {path.stem for path in (ROOT / "conf" / "model").glob("*.yaml")}
    assert set(SHAPES) <= files
    assert set(programme.STUDY) <= files
    assert set(programme.STUDY) - set(SHAPES) == {"gpt_4o"}


@pytest.mark.parametrize("name", SHAPES)
def test_the_disk_holds_the_weights(name: str) -> None:
    settings = yaml.safe_load((ROOT / "conf" / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    packed = SHAPES[name].expert_weights * (2 - 4.25 / 8)  # gpt-oss: four bits each, and eight for every 32
    assert settings["disk_gb"] * 1e9 >= memory.weight_bytes(SHAPES[name]) - packed


@pytest.mark.parametrize("name", ["qwen3_8b", "gemma3_12b", "olmo3_7b", "gpt_oss_20b"])
def test_models_of_today_are_counted_as_transformers_builds_them(name: str) -> None:
    """Without weights; of one that sees as well, the part that reads. A LoRA is as PEFT would put it."""
    import torch
    from transformers import AutoModelForCausalLM, Gemma3TextConfig, GptOssConfig, Olmo3Config, Qwen3Config

    from warmgap.train import sft

    model = SHAPES[name]
    kinds: dict[str, Any] = {"qwen3_8b": Qwen3Config, "gemma3_12b": Gemma3TextConfig, "olmo3_7b": Olmo3Config}
    sizes: dict[str, Any] = {
        "num_hidden_layers": 2,
        "hidden_size": model.hidden,
        "intermediate_size": model.intermediate,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "vocab_size": model.vocab,
        "tie_word_embeddings": model.tied,
        "pad_token_id": None,
        "layer_types": ["full_attention"] * 2,
    }
    if model.experts:
        sizes |= {"num_local_experts": model.experts, "num_experts_per_tok": model.met}
    with torch.device("meta"):
        made: Any = AutoModelForCausalLM.from_config(kinds.get(name, GptOssConfig)(**sizes))
    two = replace(model, layers=2)
    assert sum(weight.numel() for weight in made.parameters()) == two.parameters
    import peft

    lora = peft.get_peft_model(made, sft._lora(STUDY, made), low_cpu_mem_usage=True)
    assert sum(weight.numel() for name, weight in lora.named_parameters() if "lora_" in name) == two.lora(8)


def test_lora_parameters_of_all_linear_layers() -> None:
    assert SHAPES["llama_8b"].lora(8) == 20_971_520  # as PEFT prints for r=8 on all linear layers
    assert SHAPES["llama_8b"].lora(16) == 2 * 20_971_520


def tiny() -> tuple[Shape, Any]:
    """An architecture small enough to be built, and its configuration."""
    from transformers import LlamaConfig

    model = Shape(layers=3, hidden=64, intermediate=192, heads=4, kv_heads=2, head_dim=16, vocab=100)
    config = LlamaConfig(
        num_hidden_layers=model.layers,
        hidden_size=model.hidden,
        intermediate_size=model.intermediate,
        num_attention_heads=model.heads,
        num_key_value_heads=model.kv_heads,
        vocab_size=model.vocab,
    )
    return model, config


def test_counts_are_those_of_a_model_that_is_built() -> None:
    """Parameters, LoRA parameters and the bytes kept for the backward pass, against PyTorch and PEFT."""
    import peft
    import torch
    from transformers import LlamaForCausalLM

    model, config = tiny()
    built: Any = LlamaForCausalLM(config)
    built.to(torch.bfloat16)
    assert sum(weights.numel() for weights in built.parameters()) == model.parameters
    lora = peft.LoraConfig(r=4, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = peft.get_peft_model(built, lora)
    trained = [weights for weights in adapted.parameters() if weights.requires_grad]
    assert sum(weights.numel() for weights in trained) == model.lora(4)
    assert {weights.dtype for weights in trained} == {torch.float32}
    assert adapted.base_model.model.lm_head.weight.dtype == torch.bfloat16

    kept: dict[int, torch.Tensor] = {}
    own = {weights.data_ptr() for weights in adapted.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    tokens = 64
    ids = torch.zeros(1, tokens, dtype=torch.long)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16):
        adapted.base_model.model.model(input_ids=ids, use_cache=False)
    seen = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    copies = 2 * model.lora(4)  # of the adapter in bfloat16, for autocast
    estimate = tokens * memory.activation_bytes(model, recompute=False, dropout=False, rank=4)
    assert seen - copies == pytest.approx(estimate, rel=0.05)


def test_weights_in_four_bits() -> None:
    """4.127 bits a weight in the layers' linear maps, 16 elsewhere."""
    model = SHAPES["llama_70b"]
    outside = model.parameters - model.linear_weights
    assert memory.weight_bytes(model, "nf4") == pytest.approx(model.linear_weights * 4.127 / 8 + 2 * outside)
    assert memory.weight_bytes(model) == 2 * model.parameters
    assert memory.weight_bytes(model, dtype="float32") == 4 * model.parameters
    with pytest.raises(UserError, match="int3"):
        memory.weight_bytes(model, "int3")


def test_states_of_adam_and_gradients() -> None:
    parts = memory.training(SHAPES["llama_8b"], STUDY).parts
    assert parts["weights"] == pytest.approx(8_030_261_248 * 2 / 2**30)
    for name, size in (("adapter", 4), ("gradients", 4), ("adam", 8)):
        assert parts[name] == pytest.approx(20_971_520 * size / 2**30)


def test_seventy_billion_in_bfloat16_do_not_fit_one_card() -> None:
    """Not even one row at a time, with recomputation; in 4 bits, or shared by two cards, they do."""
    model = SHAPES["llama_70b"]
    assert not memory.training(model, STUDY, per_device=1, checkpointing=True).fits(H200)
    assert memory.training(model, STUDY, "nf4", per_device=1, checkpointing=True).fits(H200)
    assert memory.training(model, STUDY, "none", "fsdp", 2, per_device=1, checkpointing=True).fits(H200)
    assert memory.training(model, STUDY, "none", "zero3", 2, per_device=1, checkpointing=True).fits(H200)
    assert not memory.training(model, STUDY, "none", "ddp", 8, per_device=1, checkpointing=True).fits(H200)


def test_measured_runs_of_others_are_near() -> None:
    """Llama-8B by the study's recipe took 18 GB, Qwen2.5-32B 63.5 GB: weights, adapter and little more."""
    small = memory.training(SHAPES["llama_8b"], STUDY, per_device=1, checkpointing=True)
    large = memory.training(SHAPES["qwen_32b"], STUDY, per_device=1, checkpointing=True)
    assert small.total * 2**30 / 1e9 == pytest.approx(18, rel=0.1)
    assert large.total * 2**30 / 1e9 == pytest.approx(63.5, rel=0.1)


def test_what_makes_memory_grow() -> None:
    model = SHAPES["llama_8b"]
    one = memory.training(model, STUDY, per_device=1)
    assert memory.training(model, STUDY, per_device=4).parts["activations"] == 4 * one.parts["activations"]
    again = memory.training(model, STUDY, per_device=1, checkpointing=True)
    assert again.parts["activations"] < one.parts["activations"] / 10
    full = memory.training(model, STUDY, per_device=1, full_logits=True)
    assert full.parts["logits"] == pytest.approx(14 * 1024 * 128_256 / 2**30)
    assert full.parts["logits"] > one.parts["logits"]
    pairs = memory.training(model, replace(STUDY, dpo=DpoConfig()), per_device=1)
    assert pairs.parts["activations"] == 2 * one.parts["activations"], "the reply preferred and the one rejected"


def test_launchers_share_or_copy() -> None:
    model = SHAPES["qwen_32b"]
    alone = memory.training(model, STUDY, per_device=1).parts
    copied = memory.training(model, STUDY, "none", "ddp", 4, per_device=1).parts
    shared = memory.training(model, STUDY, "none", "fsdp", 4, per_device=1).parts
    assert copied["weights"] == alone["weights"]
    assert copied["gradients"] == 2 * alone["gradients"]
    assert shared["weights"] == alone["weights"] / 4
    assert shared["adam"] == alone["adam"] / 4
    assert shared["gathered"] > 0
    assert memory.training(model, STUDY, devices=4).parts["weights"] == alone["weights"], "single is one device"


def test_the_batch_of_a_device_is_its_share() -> None:
    model = SHAPES["llama_8b"]
    by_four = memory.training(model, STUDY, "none", "ddp", 4)
    assert by_four.parts["activations"] == memory.training(model, STUDY, per_device=4).parts["activations"]
    own = memory.training(model, replace(STUDY, per_device_batch_size=2, gradient_checkpointing=True))
    assert own.parts == memory.training(model, STUDY, per_device=2, checkpointing=True).parts


def test_the_cache_of_answers() -> None:
    """Llama-8B keeps 128 KiB a token: 2 × 2 bytes × 32 layers × 8 heads × 128."""
    found = memory.answering(SHAPES["llama_8b"], replace(ANSWERS, batch_size=8), prompt_tokens=300)
    assert found.parts["cache"] == pytest.approx(8 * 600 * 128 * 1024 / 2**30)
    assert found.fits(H200)
    assert not memory.answering(SHAPES["llama_70b"], ANSWERS).fits(H200)
    assert memory.answering(SHAPES["llama_70b"], ANSWERS, quantization="nf4").fits(H200)


def test_an_estimate_shows_its_sum() -> None:
    found = memory.Estimate({"weights": 15.0, "adam": 0.01, "context": 1.0})
    assert found.arithmetic() == "weights 15.0 + context 1.0 = 16.0 GiB"
    assert found.total == pytest.approx(16.01)
    assert found.fits(17)
    assert not found.fits(16.1), "room is left for the allocator"


def test_an_unknown_model_or_card_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="gpt_5"):
        memory.shape("gpt_5")
    with pytest.raises(UserError, match="P4"):
        programme.card_of("P4")


# ---- ways, hours, money ----


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("card", programme.DEVICES)
def test_what_is_said_to_fit_does(name: str, card: str) -> None:
    gib = programme.card_of(card).gib
    for way in programme.ways(SHAPES[name], STUDY, gib):
        assert way.estimate.fits(gib)
        assert STUDY.batch_size % (way.per_device * way.devices) == 0
        again = memory.training(
            SHAPES[name],
            STUDY,
            way.quantization,
            way.launcher,
            way.devices,
            per_device=way.per_device,
            checkpointing=way.checkpointing,
        )
        assert again.parts == way.estimate.parts


def test_hours_follow_from_flops() -> None:
    """Llama-8B, 14.7 million tokens at 788 TFLOP/s: 9.3 minutes, as measured peaks would have it."""
    model, card = SHAPES["llama_8b"], programme.Device(139, 788, 4.3)
    hours = programme.training_hours(model, 14.7e6, card, utilisation=1.0)
    assert hours == pytest.approx(4 * (8_030_261_248 - 128_256 * 4096) * 14.7e6 / 788e12 / 3600, rel=1e-3)
    assert hours * 60 == pytest.approx(9.3, abs=0.1)
    assert programme.training_hours(model, 14.7e6, card, True, 1.0) == pytest.approx(1.5 * hours)
    assert programme.training_hours(model, 14.7e6, card, utilisation=0.5) == pytest.approx(2 * hours)


def test_answers_are_read_and_written() -> None:
    model, card = SHAPES["llama_8b"], programme.card_of("H200")
    short = programme.answering_hours(model, 1280, replace(ANSWERS, max_new_tokens=1), card)
    long = programme.answering_hours(model, 1280, ANSWERS, card)
    assert long > short > 0
    assert programme.answering_hours(model, 2560, ANSWERS, card) == pytest.approx(2 * long)


def test_the_programme_of_five_models() -> None:
    rows = programme.programme(STUDY, ANSWERS)
    assert [(row.model, row.arm) for row in rows] == [(m, a) for m in programme.STUDY for a in programme.ARMS]
    by_name = {row.model: row for row in rows if row.arm == "warm"}
    assert "QLoRA" in by_name["llama_70b"].how
    assert all("LoRA on 1 device" in by_name[name].how for name in ("llama_8b", "mistral_small", "qwen_32b"))
    hours = [by_name[name].train_hours or 0.0 for name in programme.STUDY[:4]]
    assert hours == sorted(hours), "hours grow with the model"
    assert all(row.cost is None for row in rows), "no price, no money"
    hosted = by_name["gpt_4o"]
    assert (hosted.gib, hosted.train_hours) == (None, None)


def test_money_needs_a_price() -> None:
    prices = programme.Prices(hour=3.0, train=25.0, read=3.75, written=15.0)
    rows = programme.programme(STUDY, ANSWERS, arms=["warm"], prices=prices)
    for row in rows[:-1]:
        assert row.cost == pytest.approx(3 * ((row.train_hours or 0) + (row.answer_hours or 0)))
    assert rows[-1].cost == pytest.approx(14.7 * 25 + 45_500 * 300 * (3.75 + 15) / 1e6)
    assert programme.programme(STUDY, ANSWERS, arms=["warm"], prices=programme.Prices(hour=3.0))[-1].cost is None


def test_a_card_that_is_too_small_is_said_to_be() -> None:
    (row,) = programme.programme(STUDY, ANSWERS, "L40S", models=["llama_70b"], arms=["warm"])
    assert row.how.startswith(("fits no L40S", "LoRA on", "4-bit"))
    assert not programme.ways(SHAPES["llama_70b"], STUDY, 8)


def test_a_plan_says_what_fits() -> None:
    lines = dict(programme.describe("llama_8b", replace(STUDY, per_device_batch_size=4), ANSWERS, H200))
    assert "139: fits" in lines["memory, training"]
    assert "what fits" not in lines
    too_large = programme.describe("llama_70b", STUDY, ANSWERS, H200)
    text = " ".join(value for _, value in too_large)
    assert "139: does not fit (weights 131.4 + " in text
    assert "4-bit QLoRA on 1 device" in text
    assert "2 devices (fsdp)" in text
    assert "weights in 4 bit" in text
    quantised = replace(STUDY, per_device_batch_size=1, gradient_checkpointing=True)
    packed = programme.describe("llama_70b", quantised, ANSWERS, H200, quantization="nf4")
    assert all("does not" not in value for _, value in packed)
    assert "unknown" in programme.describe("gpt_4o", STUDY, ANSWERS, H200)[0][1]
