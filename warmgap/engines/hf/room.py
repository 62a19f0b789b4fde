"""How many prompts are answered at a time: as many as a device's memory has room for, or as its arithmetic can use."""

from __future__ import annotations

import functools
from pathlib import Path

from warmgap.engines import models
from warmgap.engines.hf.weights import Base, memory

SHARE = {"cpu": 0.25, "cuda": 0.85}  # of a device's whole memory: what is free at the moment would change the batches
MOST = {"cpu": 256, "cuda": 1024}  # more are hardly faster, and more is done again after an interruption
SAMPLING = 16  # bytes for a word of a row's logits: themselves, in float32, their softmax, its running sum


def rows(base: Base, tokens: int) -> int:
    """Return how many rows of so many tokens, prompt and answer, fit beside a model's weights; at least 1."""
    kind = "cuda" if models.device_of(base.device).startswith("cuda") else "cpu"
    weights, token, words = _sizes(base.folder, models.dtype_of(base.dtype, base.device).itemsize)
    share = SHARE[kind] * memory(kind) - (weights if kind == "cuda" else 0)
    return int(max(1, min(MOST[kind], share // (tokens * token + SAMPLING * words))))


@functools.lru_cache(maxsize=8)
def _sizes(folder: Path, size: int) -> tuple[int, int, int]:
    """Bytes of the weights, bytes of a token's keys and values in all layers, and words of the vocabulary.

    Twice the values of keys and values: they are there once more while rows leave.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    heads = getattr(config, "num_attention_heads", None) or 1
    dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    pairs = (getattr(config, "num_key_value_heads", None) or heads) * dim * config.num_hidden_layers
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return weights, 2 * 2 * size * pairs, config.vocab_size
