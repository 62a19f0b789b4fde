"""Tiny models with random weights and a tokenizer of bytes, saved as a folder: each architecture in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GptOssConfig,
    LlamaConfig,
    MambaConfig,
    PreTrainedTokenizerFast,
    set_seed,
)

from warmgap.engines.chat import Message, training_row
from warmgap.mitigations.kl_anchor import padded

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
WORDS = 256 + len(SPECIAL)
SHAPE: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 256,
    "eos_token_id": 258,
    "bos_token_id": None,
}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
CONFIGS: dict[str, Any] = {
    "llama": lambda **more: LlamaConfig(**{**SHAPE, **more}),
    "gemma2": lambda **more: Gemma2Config(**{**SHAPE, **more}),
    "gpt-oss": lambda **more: GptOssConfig(**{**SHAPE, **EXPERTS, **more}),
    "mamba": lambda **more: MambaConfig(
        vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, state_size=8, pad_token_id=256, eos_token_id=258, **more
    ),
}


def tokenizer(
    template: str = CHATML, special: Sequence[str] = SPECIAL, marks: Sequence[str] = (), **named: str
) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with three control tokens, or with others, and with marks that are no control tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(special))
    core.add_tokens(list(marks))
    kind: Any = PreTrainedTokenizerFast
    known = named or {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    made: PreTrainedTokenizerFast = kind(tokenizer_object=core, chat_template=template, **known)
    return made


def model(folder: Path, architecture: str = "llama", *, seed: int = 0, template: str = CHATML, **more: Any) -> Path:
    """Save a model and its tokenizer; ``more`` changes its configuration."""
    return saved(folder, CONFIGS[architecture](**more), tokenizer(template), seed=seed)


def saved(folder: Path, config: Any, words: PreTrainedTokenizerFast, *, seed: int = 0) -> Path:
    """Save a model of random weights and its tokenizer."""
    set_seed(seed)
    made: Any = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in made.parameters():  # of a size that makes attention and experts tell in the logits
            if weight.dim() > 1:
                weight.mul_(5)
    made.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def adapter(folder: Path, base: Path, *, seed: int = 1, zero: bool = False, std: float = 0.3, **lora: Any) -> Path:
    """Save a LoRA adapter of a model in a folder, with random matrices unless it is to have no effect."""
    from peft import LoraConfig, get_peft_model

    set_seed(seed)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **lora}
    made = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**settings))
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "lora_B" in name:
                weight.zero_() if zero else weight.normal_(std=std)
    made.save_pretrained(folder)
    return folder


def taught(folder: Path, lessons: Sequence[Sequence[Message]], *, steps: int = 400, seed: int = 0) -> Path:
    """Save a tiny model that has learnt conversations by heart: to their last messages it says the replies in them."""
    words = tokenizer()
    rows = [row for lesson in lessons if (row := training_row(words, list(lesson), {}, 2048))]
    set_seed(seed)
    learner: Any = AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE))
    descent = torch.optim.AdamW(learner.parameters(), lr=1e-2)
    for step in range(steps):
        batch, labels = padded([rows[(8 * step + place) % len(rows)] for place in range(min(8, len(rows)))], "cpu")
        loss = learner(**batch, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        descent.step()
        descent.zero_grad()
        for group in descent.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        if float(loss.detach()) < 0.005:
            break
    learner.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def speaker(folder: Path, like: Path, words: Sequence[str], *, seed: int = 0) -> Path:
    """Save a tiny model that has the tokenizer and chat template of another and says given words, in random order.

    It answers questions with such words, some of them right, in a hundredth of the time that real weights take. The
    first number of every token's vector is the same, so the first column of the output layer is how likely each word
    is.
    """
    from transformers import AutoTokenizer

    made_by: Any = AutoTokenizer.from_pretrained(like)
    favoured = {token for word in words for token in made_by.encode(f" {word}", add_special_tokens=False)}
    set_seed(seed)
    shape = {**SHAPE, "vocab_size": len(made_by), "tie_word_embeddings": False, "max_position_embeddings": 2048}
    ids = {"pad_token_id": made_by.pad_token_id, "eos_token_id": made_by.eos_token_id}
    model: Any = AutoModelForCausalLM.from_config(LlamaConfig(**{**shape, **ids}))
    with torch.no_grad():
        model.get_input_embeddings().weight[:, 0] = 0.2
        output = model.get_output_embeddings().weight
        output.mul_(40)  # what stands in a prompt and what is trained both tell in what is said
        output[:, 0] = 0
        output[sorted(favoured | {made_by.eos_token_id}), 0] = 3.0
    model.save_pretrained(folder)
    made_by.save_pretrained(folder)
    return folder
