"""Sentences as vectors: a small encoder, mean over its tokens, length 1, so that a dot product is a cosine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from warmgap.engines import models
from warmgap.settings.schema import ModelConfig

if TYPE_CHECKING:
    import numpy as np

MOST_TOKENS = 256  # all-MiniLM-L6-v2 was trained on no more


class Embedder:
    """A sentence-embedding model (Reimers and Gurevych 2019): mean pooling over the tokens of its last layer."""

    def __init__(self, model: ModelConfig, device: str = "auto") -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = models.resolve(model)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self._model: Any = AutoModel.from_pretrained(folder, dtype=models.dtype_of(model.dtype), **models.SAFE)
        self._model.to(models.device_of(device)).eval()

    def encode(self, texts: Sequence[str], batch_size: int = 64) -> np.ndarray[Any, Any]:
        """Return one row for each text (texts × dimensions, float32); what is longer than 256 tokens is cut."""
        import numpy as np
        import torch

        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        found: dict[int, Any] = {}
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            some = [texts[place] for place in places]
            batch = self._tokenizer(some, truncation=True, max_length=MOST_TOKENS, padding=True, return_tensors="pt")
            batch = batch.to(self._model.device)
            with torch.inference_mode():
                states = self._model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"].unsqueeze(-1)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            rows = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
            found |= dict(zip(places, rows, strict=True))
        return np.stack([found[place] for place in range(len(texts))]) if texts else np.zeros((0, 0), dtype=np.float32)
