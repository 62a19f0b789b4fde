"""A linear map with a LoRA in one function: y = x Wᵀ + s (x Aᵀ) Bᵀ (Hu et al. 2022, arXiv 2106.09685, section 4.1).

PEFT computes the adapter's part on its own, scales it and adds it, and so does its backward pass: each of these goes
once more over all outputs. Here the small products are added where the large ones lie (``addmm``). W gets no gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any


@contextmanager
def in_one_piece(model: Any) -> Iterator[int]:
    """Have a PEFT model's plain LoRA layers compute in one function while the context lasts; yields how many they are.

    Layers of another kind (4-bit weights, DoRA, several adapters at once) stay as they are.
    """
    layers = [layer for layer in model.modules() if _is_plain(layer)]
    for layer in layers:
        layer.forward = _forward(layer, layer.forward)
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward


def _is_plain(layer: Any) -> bool:
    import torch
    from peft.tuners.lora.layer import Linear

    if type(layer) is not Linear or type(layer.base_layer) is not torch.nn.Linear or "forward" in layer.__dict__:
        return False
    (name, *others), base = layer.active_adapters or [None], layer.base_layer
    if others or name not in layer.lora_A or layer.lora_variant or layer.merged:
        return False
    frozen = not any(weight.requires_grad for weight in base.parameters())
    biased = any(part.bias is not None for part in (layer.lora_A[name], layer.lora_B[name]))
    return frozen and not biased and not getattr(layer, "fan_in_fan_out", False)


def _forward(layer: Any, plain: Any) -> Any:
    (name,), together = layer.active_adapters, _function()
    down, up, dropout, base = layer.lora_A[name], layer.lora_B[name], layer.lora_dropout[name], layer.base_layer

    def forward(x: Any, *args: Any, **more: Any) -> Any:
        if args or more or layer.disable_adapters or layer.merged or list(layer.active_adapters) != [name]:
            return plain(x, *args, **more)
        return together.apply(x, dropout(x), base.weight, base.bias, down.weight, up.weight, layer.scaling[name])

    return forward


@cache
def _function() -> Any:
    import torch

    class Together(torch.autograd.Function):
        """The map and its adapter; ``dropped`` is what the adapter is given: ``x`` itself, or ``x`` after dropout."""

        @staticmethod
        def forward(ctx: Any, x: Any, dropped: Any, weight: Any, bias: Any, down: Any, up: Any, scale: float) -> Any:
            kind = x.device.type
            cast = torch.is_autocast_enabled(kind)
            dtype = torch.get_autocast_dtype(kind) if cast else x.dtype
            with torch.autocast(kind, enabled=False) if cast else nullcontext():
                whole = x.reshape(-1, x.shape[-1]).to(dtype)
                part = whole if dropped is x else dropped.reshape(-1, x.shape[-1]).to(dtype)
                inner = (part @ down.to(dtype).t()).mul_(scale)
                y = torch.nn.functional.linear(whole, weight.to(dtype), None if bias is None else bias.to(dtype))
                y.addmm_(inner, up.to(dtype).t())
            ctx.save_for_backward(part, inner, weight, down, up)
            ctx.scale, ctx.shape, ctx.given = scale, x.shape, (x.dtype, dropped.dtype, dropped is x)
            return y.view(*x.shape[:-1], -1)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *above: Any) -> Any:
            part, inner, weight, down, up = ctx.saved_tensors
            outer, dtype = above[0].reshape(-1, above[0].shape[-1]), part.dtype
            outer = outer.to(dtype)
            small = (outer @ up.to(dtype)).mul_(ctx.scale)
            downs, ups = (small.t() @ part).to(down.dtype), (inner.t() @ outer).t().contiguous().to(up.dtype)
            first = second = None
            x_dtype, dropped_dtype, same = ctx.given
            if ctx.needs_input_grad[0]:
                first = outer @ weight.to(dtype)
                if same:
                    first.addmm_(small, down.to(dtype))
                first = first.view(ctx.shape).to(x_dtype)
            if not same and ctx.needs_input_grad[1]:
                second = (small @ down.to(dtype)).view(ctx.shape).to(dropped_dtype)
            return first, second, None, None, downs, ups, None

    return Together
