"""The output head and the loss at those positions whose next token has a label: elsewhere no logits are computed.

The head is frozen, so the loss's gradient needs no second look at the logits: it is taken as they are there, and the
backward pass only scales it. That makes two products with the head where a loss that recomputes its logits makes three.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

from warmgap.engines.chat import IGNORED

TILE = 2**25  # logits at a time: 128 MiB in float32
ALTERED = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")


def is_plain(model: Any) -> bool:
    """Whether a model's logits are its last hidden states times a frozen matrix, on a CPU.

    Elsewhere TRL's own fused head, which has a kernel for GPUs, stays.
    """
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    if any(getattr(config, name, None) is not None for name in ALTERED):
        return False
    simple = getattr(head, "bias", None) is None and not head.weight.requires_grad
    return simple and head.weight.device.type == "cpu" and head.weight.dim() == 2


@contextmanager
def in_place_of_trls(model: Any) -> Iterator[None]:
    """Have a causal language model answer TRL's ``fused_lm_head=True`` with ``summed`` while the context lasts."""
    before = model.__dict__.get("forward")
    plain = model.forward

    def forward(*args: Any, fused_lm_head: bool = False, **more: Any) -> Any:
        if not fused_lm_head:
            return plain(*args, **more)
        labels, _ = more.pop("labels"), more.pop("num_items_in_batch", None)
        hidden = model.base_model(*args, **more | {"use_cache": False}).last_hidden_state
        return SimpleNamespace(loss=summed(hidden, model.get_output_embeddings().weight, labels))

    model.forward = forward
    try:
        yield
    finally:
        del model.forward
        if before is not None:
            model.forward = before


def summed(hidden: Any, weight: Any, labels: Any) -> Any:
    """Return the summed negative log-likelihood (nats, float32 or above) of the labels, each from the position before.

    ``hidden`` is (rows, tokens, width), ``weight`` (words, width), ``labels`` (rows, tokens) with IGNORED where there
    is none. No gradient for the weight.
    """
    wanted = labels[:, 1:] != IGNORED
    return _function().apply(hidden[:, :-1][wanted], weight, labels[:, 1:][wanted])


@cache
def _function() -> Any:
    import torch

    class Summed(torch.autograd.Function):
        """Cross entropy of a frozen head, summed."""

        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, targets: Any) -> Any:
            kind = hidden.device.type
            asked = torch.is_autocast_enabled(kind)
            dtype = torch.get_autocast_dtype(kind) if asked else torch.promote_types(hidden.dtype, weight.dtype)
            ctx.gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
            ctx.none_for_one = len(targets)
            weight, tile = weight.to(dtype), max(1, TILE // len(weight))
            total: Any = 0.0
            with torch.autocast(kind, enabled=False):
                for start in range(0, len(targets), tile):
                    some, right = hidden[start : start + tile].to(dtype), targets[start : start + tile]
                    logits = some @ weight.t()
                    logits = logits if dtype == torch.float64 else logits.float()
                    logs = torch.log_softmax(logits, -1)
                    del logits
                    total = total - logs.gather(1, right[:, None]).sum()
                    if ctx.gradient is not None:
                        shares = logs.exp_()
                        shares[torch.arange(len(right)), right] -= 1
                        ctx.gradient[start : start + tile] = shares.to(dtype) @ weight
            return torch.as_tensor(total, device=hidden.device)

        @staticmethod
        def backward(ctx: Any, *above: Any) -> Any:
            return ctx.gradient * above[0].to(ctx.gradient.dtype), None, None

    return Summed
