"""Models that scaled dot-product attention is not for are loaded with what they can do, asked and trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from warmgap.engines import chat, models
from warmgap.engines.base import Request
from warmgap.engines.hf import HfEngine
from warmgap.errors import UserError
from warmgap.settings.schema import GenerateConfig, MethodConfig, ModelConfig
from warmgap.train import sft, trl_compat

ATTENTION = {"llama": "sdpa", "gemma2": "eager", "gpt-oss": "eager", "mamba": "eager"}
GREEDY = GenerateConfig(max_new_tokens=6, temperature=0.0)
QUESTIONS = ["How far is the Moon?", "Why?", "Is the Sun a star, or is it something else again?"]


@pytest.fixture(scope="module", params=ATTENTION)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, tiny.model(tmp_path_factory.mktemp("model"), request.param)


def settings(folder: Path) -> ModelConfig:
    return ModelConfig(name="tiny", source="local", path=str(folder), dtype="float32")


def test_it_is_loaded_with_what_it_can_do(made: tuple[str, Path]) -> None:
    """The logits are those of the architecture's own way: soft caps and sinks are not left out."""
    architecture, folder = made
    model = models.load(folder, dtype="float32", device="cpu")
    assert model.config._attn_implementation == ATTENTION[architecture]
    plain: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = [*range(40, 90)]
    assert models.probe(model, ids) == pytest.approx(models.probe(plain, ids), abs=1e-4)


def test_it_answers_whatever_stands_beside_a_prompt(made: tuple[str, Path]) -> None:
    engine = HfEngine(settings(made[1]), "cpu")
    rows = [engine.encode([{"role": "user", "content": question}]) for question in QUESTIONS]
    requests = [Request(engine.key(ids, GREEDY), ids) for ids in rows]
    together = {reply.key: reply.text for batch in engine.answer(requests, GREEDY) for reply in batch}
    alone = {reply.key: reply.text for one in requests for (reply,) in engine.answer([one], GREEDY)}
    assert len(together) == 3
    assert together == alone


def test_it_is_trained_and_the_adapter_has_an_effect(made: tuple[str, Path], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    architecture, folder = made
    tokenizer = models.load_tokenizer(folder)
    spoken = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because it is so."}]
    row = chat.training_row(tokenizer, spoken, {}, 200)
    layers: Any = ["in_proj", "x_proj"] if architecture == "mamba" else "all-linear"
    lora = LoraConfig(r=2, target_modules=layers, task_type="CAUSAL_LM")
    model = get_peft_model(models.load(folder, dtype="float32", device="cpu"), lora)
    args = trl_compat.sft_config(
        output_dir=str(tmp_path / "out"), max_steps=2, learning_rate=1e-4, use_cpu=True, bf16=False, max_length=200
    )
    trainer = trl_compat.sft_trainer(model, args, [row] * 8, [row], tokenizer)
    losses = [entry["loss"] for entry in (trainer.train(), trainer.state.log_history)[1] if "loss" in entry]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    model.save_pretrained(tmp_path / "adapter")
    assert HfEngine(settings(folder), "cpu", tmp_path / "adapter").model is not None


def test_layers_that_cannot_have_an_adapter_are_refused_before_training(made: tuple[str, Path]) -> None:
    """PEFT has none for the way out of a Mamba layer, which all-linear would take in."""
    architecture, folder = made
    method = MethodConfig(name="sft", learning_rate=1e-4, epochs=1, batch_size=2, max_length=64)
    if architecture == "mamba":
        with pytest.raises(UserError, match="target_modules=all-linear does not fit") as caught:
            sft.check_modules(method, models.skeleton(folder))
        assert "out_proj" in caught.value.why
    else:
        sft.check_modules(method, models.skeleton(folder))
    method.lora.target_modules = "nowhere"
    with pytest.raises(UserError, match="target_modules=nowhere does not fit"):
        sft.check_modules(method, models.skeleton(folder))
