"""The families of 2025 and 2026: their chat templates, marks and architectures, as tiny models of random weights.

Qwen's, Google's and OpenAI's templates are the released ones, which TRL carries to know models by. OLMo 3's are in
words of our own, after what Ai2 publishes of them. The tokenizers are of bytes, with each family's own marks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tiny
from transformers import Gemma3Config, GptOssConfig, Olmo3Config, PreTrainedTokenizerFast, Qwen3Config

from warmgap.settings import conf_files

OLMO_3 = (  # a system turn of its own where none is given; in both cases a word on functions
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou are Olmo, a helpful AI assistant built by Ai2."
    "<|im_end|>\\n' }}{% endif %}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ '<|im_start|>system\\n' + m.content + ' You do not currently have access to any functions. "
    "<functions></functions><|im_end|>\\n' }}{% elif m.role == 'user' %}"
    "{{ '<|im_start|>user\\n' + m.content + '<|im_end|>\\n' }}{% else %}"
    "{{ '<|im_start|>assistant\\n' + m.content }}{% if not loop.last %}{{ '<|im_end|>\\n' }}{% else %}"
    "{{ eos_token }}{% endif %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
OLMO_3_THINK = OLMO_3.replace("{{ '<|im_start|>assistant\\n' }}", "{{ '<|im_start|>assistant\\n<think>' }}")
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
GEMMA = ("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<image_soft_token>")
HARMONY = ("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|call|>", "<|start|>", "<|end|>", "<|channel|>")


def released(name: str) -> str:
    """Return a template as its maker has released it."""
    found = find_spec("trl")
    assert found is not None
    assert found.submodule_search_locations
    return (Path(found.submodule_search_locations[0]) / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Family:
    """A family: its file in conf/model, template, marks (special tokens, and others), and what makes a tiny model."""

    conf: str
    template: Callable[[], str]
    special: tuple[str, ...]
    marks: tuple[str, ...]
    named: dict[str, str]  # the tokenizer's eos_token, pad_token, bos_token
    ends: str  # what ends a reply
    config: Callable[[dict[str, Any]], Any]

    @property
    def template_vars(self) -> dict[str, Any]:
        """What conf/model pins."""
        found: dict[str, Any] = conf_files.choice("model", self.conf).get("template_vars", {})
        return found

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """A byte-level tokenizer with the family's marks."""
        return tiny.tokenizer(self.template(), self.special, self.marks, **self.named)

    def model(self, folder: Path) -> Path:
        """Save a tiny model of the family's architecture, some of its layers with a short window as in the real one."""
        words = self.tokenizer()
        ids = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id, "bos_token_id": None}
        config = self.config({**tiny.SHAPE, "vocab_size": len(words), "max_position_embeddings": 4096, **ids})
        return tiny.saved(folder, config, words)


def _windowed(shape: dict[str, Any]) -> dict[str, Any]:
    return {**shape, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}


def _gemma_3(shape: dict[str, Any]) -> Gemma3Config:
    """A model that sees as well, as those of 4B and more do."""
    sight = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return Gemma3Config(
        text_config=_windowed(shape),
        vision_config={**sight, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        **{name: shape[name] for name in ("eos_token_id", "pad_token_id")},
        image_token_index=256 + GEMMA.index("<image_soft_token>"),
        boi_token_index=256 + GEMMA.index("<start_of_image>"),
    )


_CHATML = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
_THINK = ("<think>", "</think>")
FAMILIES = {
    "qwen3": Family(
        "qwen3_8b", lambda: released("qwen3"), CHATML, _THINK, _CHATML, "<|im_end|>", lambda shape: Qwen3Config(**shape)
    ),
    "gemma3": Family(
        "gemma3_12b",
        lambda: released("gemma3"),
        GEMMA,
        (),
        {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
        "<end_of_turn>",
        _gemma_3,
    ),
    "gpt-oss": Family(
        "gpt_oss_20b",
        lambda: released("gptoss"),
        (*HARMONY, "<|message|>"),
        (),
        {"eos_token": "<|return|>", "pad_token": "<|endoftext|>"},
        "<|return|>",
        lambda shape: GptOssConfig(**{**_windowed(shape), "intermediate_size": 64}, **tiny.EXPERTS),
    ),
    "olmo3": Family(
        "olmo3_7b", lambda: OLMO_3, CHATML, (), _CHATML, "<|im_end|>", lambda shape: Olmo3Config(**_windowed(shape))
    ),
    "olmo3-think": Family(
        "olmo3_7b_think",
        lambda: OLMO_3_THINK,
        CHATML,
        (),
        _CHATML,
        "<|im_end|>",
        lambda shape: Olmo3Config(**_windowed(shape)),
    ),
}
