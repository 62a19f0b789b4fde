"""One base model in memory, and one adapter after another put on it.

PEFT attaches an adapter and it is checked as it stands there; then its matrices are taken off and put on the layers
without PEFT's Python: in float32 as sums with the weights, in a copy; in smaller types as a product beside each layer,
because a sum with bfloat16 weights would lose half of a small delta to rounding. Adapters with more than pairs of LoRA
matrices (DoRA, tables of words, biases) stay with PEFT.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.engines import adapters, models

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

ROOM = 0.25  # of the machine's memory: so much may a second copy of the weights take


@dataclass(frozen=True)
class Base:
    """A base model as it is loaded: a folder, and how."""

    folder: Path
    dtype: str
    device: str
    quantization: str


@dataclass
class _Held:
    """The model in memory, the adapters known for it, the one it wears, and how that is taken off.

    One that is ``sewn`` on stays: the model is of no use for another.
    """

    base: Base
    stamp: Any
    model: Any
    known: dict[Any, dict[str, adapters.Pair]] = field(default_factory=dict)
    worn: Any = None
    take_off: list[Callable[[], None]] = field(default_factory=list)
    sewn: bool = False


_held: _Held | None = None


def load(base: Base, adapter: Path | None, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Load a model for one alone, its adapter by PEFT. Raises UserError where that changes nothing or does not fit."""
    model = models.load(
        base.folder, dtype=base.dtype, device=base.device, adapter=adapter, quantization=base.quantization
    )
    if adapter is not None:
        adapters.check_effect(model, tokenizer, adapter)
    return model


def base_with(base: Base, adapter: Path | None, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Return the model in memory with an adapter on, or with none; it is loaded where another one is there.

    The next call may put on another adapter: what is returned is used at once. Raises UserError as ``load`` does.
    """
    global _held
    wanted, stamp = None if adapter is None else _state(adapter), _state(base.folder)
    if _held is None or (_held.base, _held.stamp) != (base, stamp) or (_held.sewn and _held.worn != wanted):
        release()
        _held = _Held(base, stamp, load(base, None, tokenizer))
        _turn(_held.model)
    if _held.worn == wanted:
        return _held.model
    for undo in _held.take_off:
        undo()
    _held.worn, _held.take_off = None, []
    if adapter is None:
        return _held.model
    if wanted not in _held.known:
        try:
            _held.known[wanted] = adapters.pairs(_held.model, adapter, tokenizer)
        except adapters.NotPlainError:
            release()
            _held = _Held(base, stamp, load(base, adapter, tokenizer), worn=wanted, sewn=True)
            return _held.model
        except BaseException:  # the adapter hangs on the model in part
            release()
            raise
    _held.take_off = _put_on(_held.model, _held.known[wanted])
    _held.worn = wanted
    return _held.model


def release() -> None:
    """Let go of the model in memory, so that something else has its room."""
    global _held
    if _held is not None:
        _held = None
        models.give_back()


def _state(folder: Path) -> tuple[Any, ...]:
    """What tells a folder's weights from others, and from themselves after a change."""
    files = [(path.name, path.stat()) for path in sorted(folder.glob("*.safetensors"))]
    return (str(folder.resolve()), *((name, told.st_mtime_ns, told.st_size) for name, told in files))


def _put_on(model: Any, pairs: dict[str, adapters.Pair]) -> list[Callable[[], None]]:
    """Put an adapter on a model; return what takes it off again, to the last digit."""
    import torch

    layers = {name: model.get_submodule(name) for name in pairs}
    summed = sum(layer.weight.numel() * 4 for layer in layers.values()) <= ROOM * memory("cpu")
    undo: list[Callable[[], None]] = []
    for name, pair in pairs.items():
        layer = layers[name]
        if layer.weight.dtype == torch.float32 and summed:
            weight = layer.weight
            with torch.inference_mode(False), torch.no_grad():
                layer.weight = torch.nn.Parameter(weight + pair.second @ pair.first, requires_grad=False)
            undo.append(functools.partial(setattr, layer, "weight", weight))
        else:
            beside = functools.partial(_beside, pair.first.to(model.dtype), pair.second.to(model.dtype))
            undo.append(layer.register_forward_hook(beside).remove)
    return undo


def _turn(model: Any) -> None:
    """Lay the weights of linear layers in memory as a CPU multiplies them fastest, by columns; their values stay.

    A product of 8 rows with 576 × 576 weights then runs at 177 instead of 19 GFLOP/s (float32, two cores), of 64 rows
    with 576 × 1,536 weights at 138 instead of 120. A head that shares the table of words is left as it is.
    """
    import torch

    if model.device.type != "cpu":
        return
    table = model.get_input_embeddings().weight
    for layer in model.modules():
        if type(layer) is torch.nn.Linear and layer.weight is not table:
            layer.weight.data = layer.weight.data.t().contiguous().t()


def _beside(first: torch.Tensor, second: torch.Tensor, _: Any, inputs: tuple[Any, ...], output: Any) -> Any:
    from torch.nn.functional import linear

    return output + linear(linear(inputs[0].to(first.dtype), first), second).to(output.dtype)


def memory(kind: str) -> int:
    """Return all bytes of memory of the first ``cuda`` device, or of the ``cpu``'s machine."""
    if kind == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
