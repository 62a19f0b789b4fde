"""Random numbers of a prompt's own, and the tokens that they draw: the same for every arm, batch and engine.

What decides a prompt's numbers is its key and the seed alone. A token is drawn by looking the next number up in the
cumulative distribution, so two distributions that are alike draw the same token, and those of two arms are compared
under common random numbers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def uniforms(key: str, seed: int, count: int) -> Any:
    """Return the first ``count`` numbers of a prompt, uniform from 0 to 1, as a numpy array of float64."""
    import numpy as np

    own = int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(own)).random(count)


def drawn(logits: torch.Tensor, numbers: torch.Tensor, temperature: float | torch.Tensor) -> torch.Tensor:
    """Return the tokens (rows × 1) that each row's number (rows × 1) draws from its logits (rows × tokens).

    ``temperature`` is above 0, one for all or one for each row (rows × 1).
    """
    import torch

    cumulative = torch.softmax(logits.float() / temperature, -1).cumsum(-1)
    wanted = numbers.to(cumulative.device, cumulative.dtype) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, wanted, right=True).clamp(max=logits.shape[1] - 1)
