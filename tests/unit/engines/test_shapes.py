"""What is planned with rests on real architectures, on what a step of TRL holds, and on what was measured on cards."""

from __future__ import annotations

import json
import types
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from warmgap.engines import memory, programme
from warmgap.engines.memory import Shape
from warmgap.errors import UserError
from warmgap.settings.schema import GenerateConfig, LoraConfig, MethodConfig

STUDY = MethodConfig("sft", 1e-5, 10, 16, 1024, lora=LoraConfig(r=8, alpha=16, dropout=0.1))
ANSWERS = GenerateConfig(max_new_tokens=300, temperature=0.8)


def numbers(kind: str, hidden: int, inner: int, layers: int, heads: int, keys: int, vocab: int, **more: Any) -> Any:
    """The part of a released config.json that says how large a model is."""
    return {
        "model_type": kind, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": keys, "vocab_size": vocab, **more,
    }  # fmt: skip


RELEASED = {  # as their config.json has it; what it leaves out is left out here
    "Qwen3-8B": numbers(
        "qwen3", 4096, 12_288, 36, 32, 8, 151_936, head_dim=128, attention_bias=False, tie_word_embeddings=False
    ),
    "Qwen2.5-0.5B": numbers("qwen2", 896, 4864, 24, 14, 2, 151_936, tie_word_embeddings=True),
    "gemma-2-2b": numbers("gemma2", 2304, 9216, 26, 8, 4, 256_000, head_dim=256, attention_bias=False),
    "gemma-3-1b": numbers("gemma3_text", 1152, 6912, 26, 4, 1, 262_144, head_dim=256),
    "OLMo-2-7B": numbers("olmo2", 4096, 11_008, 32, 32, 32, 100_352, attention_bias=False, tie_word_embeddings=False),
    "phi-2": numbers("phi", 2560, 10_240, 32, 32, 32, 51_200, partial_rotary_factor=0.4, tie_word_embeddings=False),
    "Phi-3-mini": numbers("phi3", 3072, 8192, 32, 32, 32, 32_064, pad_token_id=32_000, tie_word_embeddings=False),
    "Mistral-7B-v0.3": numbers("mistral", 4096, 14_336, 32, 32, 8, 32_768, tie_word_embeddings=False),
    "SmolLM2-1.7B": numbers("llama", 2048, 8192, 24, 32, 32, 49_152, tie_word_embeddings=True),
}


def written(folder: Path, settings: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def on_meta(settings: dict[str, Any]) -> Any:
    """The model that transformers makes of these settings, without memory for its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    known = AutoConfig.for_model(**settings)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(known)


@pytest.mark.parametrize("name", RELEASED)
def test_weights_are_as_many_as_transformers_counts(name: str, tmp_path: Path) -> None:
    settings = RELEASED[name]
    model, note = memory.shape_of(written(tmp_path, settings))
    assert note == ""
    built = on_meta(settings)
    assert model.parameters == sum(weights.numel() for weights in built.parameters())
    linear = [(one.in_features, one.out_features) for path, one in built.named_modules() if "layers.0." in path
              and hasattr(one, "in_features")]  # fmt: skip
    assert sum(a * b for a, b in model.linear) == sum(a * b for a, b in linear)


def test_a_model_that_sees_as_well_is_read_by_its_text_part(tmp_path: Path) -> None:
    text = RELEASED["gemma-3-1b"]
    alone, _ = memory.shape_of(written(tmp_path, text))
    both, note = memory.shape_of(written(tmp_path, {"model_type": "gemma3", "text_config": text, "vision_config": {}}))
    assert (both, note) == (alone, "")


@pytest.mark.parametrize("kind", ["mixtral", "gpt_neox", "falcon"])
def test_an_unknown_kind_is_estimated_from_its_weights_and_said_to_be(kind: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    more = {"num_local_experts": 4} if kind == "mixtral" else {}
    settings = AutoConfig.for_model(kind, vocab_size=512, **sizes, **more)
    built: Any = AutoModelForCausalLM.from_config(settings, dtype=torch.bfloat16)
    built.save_pretrained(tmp_path)
    model, note = memory.shape_of(tmp_path)
    assert kind in note
    assert "estimated" in note
    assert (model.layers, model.hidden, model.vocab) == (3, 128, 512)
    assert model.parameters == pytest.approx(sum(weights.numel() for weights in built.parameters()), rel=0.02)
    lines = dict(programme.describe("local", STUDY, ANSWERS, 139.0, folder=tmp_path))
    assert "estimated from the shapes of its weights" in lines["model"]
    assert "fits" in lines["memory, training"]


def test_what_cannot_be_read_is_said_in_three_lines(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not known"):
        memory.shape_of(tmp_path)
    with pytest.raises(UserError, match="not known"):
        memory.shape_of(written(tmp_path, {"model_type": "something_new"}))
    with pytest.raises(UserError, match="not known"):
        memory.shape_of(written(tmp_path, {"model_type": "llama", "hidden_size": None}))


# ---- what was measured ----


@pytest.mark.parametrize("point", programme.MEASURED, ids=lambda point: f"{point.what}-{point.rows}-{point.rate:g}")
def test_estimates_agree_with_what_was_measured(point: programme.Point) -> None:
    """Memory within 15 %, the rate within 30 %."""
    model, card = memory.shape(point.model), programme.card_of(point.card)
    assert point.source
    if point.what == "answering":
        hours = programme.answering_hours(model, point.rows, ANSWERS, card)
        assert point.rows * ANSWERS.max_new_tokens / (3600 * hours) == pytest.approx(point.rate, rel=0.3)
        return
    hours = programme.training_hours(model, 1e6, card, point.checkpointing)
    assert 1e6 / (3600 * hours) == pytest.approx(point.rate, rel=0.3)
    rows = replace(STUDY, max_length=point.longest)
    found = memory.training(model, rows, per_device=point.rows, checkpointing=point.checkpointing)
    beyond = 0.0 if point.held else found.parts["context"] + found.parts["fragments"]
    assert point.gib is not None
    assert found.total - beyond == pytest.approx(point.gib, rel=0.15)


def test_sixteen_rows_do_not_fit_the_card_that_they_did_not_fit() -> None:
    whole = memory.training(memory.shape("llama_8b"), replace(STUDY, max_length=900))
    assert not whole.fits(programme.card_of("H200").gib)


class _Held:
    """What tensors take while it is entered, by each storage that an operation makes, and the most at once."""

    def __init__(self, known: set[int]) -> None:
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils._pytree import tree_leaves

        held, seen = self, weakref.WeakSet[Any]()
        self.now = self.most = 0

        class Mode(TorchDispatchMode):
            def __torch_dispatch__(self, call: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
                made = call(*args, **(kwargs or {}))
                for one in tree_leaves(made):
                    storage = one.untyped_storage() if hasattr(one, "untyped_storage") else None
                    if storage is None or storage.data_ptr() in known or storage in seen:
                        continue
                    seen.add(storage)
                    held.add(storage.nbytes())
                    weakref.finalize(storage, held.add, -storage.nbytes())
                return made

        self.mode = Mode()

    def add(self, size: int) -> None:
        self.now += size
        self.most = max(self.most, self.now)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_of_trl_holds_what_the_formulas_say(
    checkpointing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padded rows, dropout, bfloat16 under autocast, the step as the trainer takes it; masks of a byte as on a GPU."""
    import peft
    import torch
    import trl.trainer.utils
    from transformers import LlamaConfig, LlamaForCausalLM

    from warmgap.train import trl_compat

    monkeypatch.setattr(trl.trainer.utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", 64)  # a tile of logits is a part of its own
    model, tokens, rows = Shape(4, 256, 896, 8, 2, 32, 128), 128, 2
    base: Any = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=model.hidden, intermediate_size=model.intermediate, num_hidden_layers=model.layers,
            num_attention_heads=model.heads, num_key_value_heads=model.kv_heads, vocab_size=model.vocab, pad_token_id=0,
        )
    ).to(torch.bfloat16)  # fmt: skip
    lora = peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = peft.get_peft_model(base, lora)
    if checkpointing:
        adapted.enable_input_require_grads()
    for module in adapted.modules():
        if type(module) is torch.nn.Dropout:
            module.forward = types.MethodType(lambda own, x: torch.native_dropout(x, own.p, own.training)[0], module)
    made = [{"input_ids": [3] * (tokens - 20 * (place % 2))} for place in range(2 * rows)]
    made = [{**row, "labels": row["input_ids"]} for row in made]
    args = trl_compat.sft_config(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=rows, max_length=None, learning_rate=1e-5,
        gradient_checkpointing=checkpointing, use_cpu=True, bf16=True,
    )  # fmt: skip
    trainer = trl_compat.sft_trainer(adapted, args, made, made[:1], _tokenizer())
    peaks, step = [], trainer.training_step

    def watched(*given: Any, **more: Any) -> Any:
        held = _Held({weights.untyped_storage().data_ptr() for weights in adapted.parameters()})
        with held.mode:
            done = step(*given, **more)
        peaks.append(held.most)
        return done

    monkeypatch.setattr(trainer, "training_step", watched)
    trainer.train()
    each = memory.activation_bytes(model, checkpointing, dropout=True, rank=8, padded=tokens)
    copies = 2 * model.lora(8) / (model.layers if checkpointing else 1)  # of the adapter in bfloat16, for autocast
    estimate = rows * tokens * (each + memory.work_bytes(model, checkpointing)) + copies
    assert peaks[0] == pytest.approx(estimate, rel=0.05)


def _tokenizer() -> Any:
    """A tokenizer of a few words, for a trainer that is given token ids."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1, **{f"w{place}": place for place in range(2, 128)}}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<pad>")), pad_token="<pad>", eos_token="<eos>"
    )
