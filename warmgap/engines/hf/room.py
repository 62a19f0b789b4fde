"""How many prompts are answered at a time: as many as a device's memory has room for, or as its arithmetic can use."""

from __future__ import annotations

import functools

from warmgap.engines import models
from warmgap.engines.hf.weights import Base, memory
from warmgap.engines.memory import shape_of

SHARE = {"cpu": 0.25, "cuda": 0.85}  # of a device's whole memory: what is free at the moment would change the batches
MOST = {"cpu": 256, "cuda": 1024}  # more are hardly faster, and more is done again after an interruption
SAMPLING = 16  # bytes for a word of a row's logits: themselves, in float32, their softmax, its running sum


def rows(base: Base, tokens: int) -> int:
    """Return how many rows of so many tokens, prompt and answer, fit beside a model's weights; at least 1.

    Keys and values count twice: they are there once more while rows leave.
    """
    kind = "cuda" if models.device_of(base.device).startswith("cuda") else "cpu"
    model, size = _shape(base.folder), models.dtype_of(base.dtype, base.device).itemsize
    share = SHARE[kind] * memory(kind) - (model.parameters * size if kind == "cuda" else 0)
    row = tokens * model.kv_bytes() * size + SAMPLING * model.vocab  # kv_bytes is for two bytes a value
    return int(max(1, min(MOST[kind], share // row)))


_shape = functools.lru_cache(maxsize=8)(lambda folder: shape_of(folder)[0])
