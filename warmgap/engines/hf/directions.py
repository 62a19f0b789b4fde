"""Directions in a model's residual stream: taken from texts in two senses, kept in a file, moved along or measured.

A direction is the difference of two means of the residual stream after a decoder layer, over the reply tokens of texts
in one sense and of texts in the other (persona vectors, arXiv 2507.21509). Recipes steer by it, suites measure how far
along it a reply lies. The layer is named by its ``depth``, from 0, the first, to 1, the last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk import store
from warmgap.engines import chat
from warmgap.settings.schema import ModelConfig

if TYPE_CHECKING:
    import torch

ASSISTANT = Path(__file__).with_name("assistant.jsonl")
LONGEST = 4096  # tokens of a conversation that anything is taken from
SUM = "sum"  # in a file's metadata: the SHA-256 of its tensors

Conversation = Sequence[chat.Message]  # that ends with a reply
Move = Callable[["torch.Tensor"], "torch.Tensor"]  # of the residual stream, (rows, tokens, width)


@dataclass(frozen=True)
class Direction:
    """The difference of two means, float32 of the model's width, and the mean length of what they are means of."""

    difference: torch.Tensor
    norm: float

    @property
    def unit(self) -> torch.Tensor:
        """The direction at length 1."""
        unit: torch.Tensor = self.difference / self.difference.norm()
        return unit


# ---- layers ----


def layer_of(model: Any, depth: float) -> Any:
    """Return the decoder layer at a share of the depth, 0 the first and 1 the last, of a model with or without adapter.

    Raises ValueError where the model has no list of layers.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    layers = getattr(base.get_decoder(), "layers", None)
    if layers is None:
        raise ValueError(f"{type(base).__name__} has no decoder layers to steer")
    return layers[round(depth * (len(layers) - 1))]


def hidden_of(output: Any) -> Any:
    """Return the residual stream in what a decoder layer puts out."""
    return output[0] if isinstance(output, tuple) else output


def moved(output: Any, move: Move) -> Any:
    """Return what a decoder layer puts out with its residual stream moved."""
    hidden = move(hidden_of(output))
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


def attach(model: Any, depth: float, move: Move) -> Any:
    """Move the residual stream after a layer in every pass from now on; return the handle that ends it."""
    return layer_of(model, depth).register_forward_hook(lambda _, __, output: moved(output, move))


def original(model: Any) -> AbstractContextManager[Any]:
    """Return a context in which a model with an adapter of PEFT's is the one below it."""
    return model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext()


# ---- what they are taken from ----


def residual(model: Any, depths: Sequence[float], ids: Sequence[int]) -> list[torch.Tensor]:
    """Return the residual stream after the layers at some depths, float32, each (tokens, width) on the model's device.

    Two depths may name one layer.
    """
    import torch

    seen: dict[int, torch.Tensor] = {}
    layers = [layer_of(model, depth) for depth in depths]

    def watch(layer: Any) -> Any:
        return layer.register_forward_hook(lambda _, __, output: seen.update({id(layer): hidden_of(output)}))

    handles = [watch(layer) for layer in {id(layer): layer for layer in layers}.values()]
    try:
        with torch.inference_mode():
            model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return [seen[id(layer)][0].float() for layer in layers]


def rows(tokenizer: Any, config: ModelConfig, conversations: Sequence[Conversation]) -> Iterator[dict[str, list[int]]]:
    """Yield ``input_ids`` and ``labels`` of conversations whose last message is a reply; too long ones are left out.

    Labels are ``chat.IGNORED`` up to the reply.
    """
    for conversation in conversations:
        row = chat.training_row(tokenizer, list(conversation), config.template_vars, LONGEST)
        if row is not None:
            yield row


def of_reply(states: torch.Tensor, labels: Sequence[int]) -> torch.Tensor:
    """Return the rows of a residual stream that belong to the reply."""
    import torch

    return states[torch.tensor([label != chat.IGNORED for label in labels], device=states.device)]


def direction(
    model: Any,
    tokenizer: Any,
    config: ModelConfig,
    toward: Sequence[Conversation],
    away: Sequence[Conversation],
    depth: float,
) -> Direction:
    """Return the direction from replies in one sense to replies in the other, after the layer at a depth.

    The means are over all reply tokens of a side; a longer reply counts for more. Raises ValueError where a side has
    no reply that is short enough.
    """
    means, lengths, counts = [], 0.0, 0
    for side in (toward, away):
        total, count = None, 0
        for row in rows(tokenizer, config, side):
            kept = of_reply(residual(model, [depth], row["input_ids"])[0], row["labels"])
            total = kept.sum(0) if total is None else total + kept.sum(0)
            count, lengths = count + len(kept), lengths + float(kept.norm(dim=-1).sum())
        if total is None:
            raise ValueError(f"all {len(side)} texts of a side are longer than {LONGEST} tokens")
        means.append(total / count)
        counts += count
    return Direction((means[0] - means[1]).cpu(), lengths / counts)


def of_replies(
    model: Any, tokenizer: Any, config: ModelConfig, conversation: Conversation, depth: float
) -> list[torch.Tensor | None]:
    """Return the mean of the residual stream over each reply of a conversation, (width,), in their order.

    It is read in one pass where the template renders a beginning as it renders the whole. None for a reply of blanks,
    or one that ends too late.
    """
    ends = [place for place, message in enumerate(conversation) if message["role"] == "assistant"]
    cuts = [chat.training_row(tokenizer, list(conversation[: end + 1]), config.template_vars, LONGEST) for end in ends]
    longest = next((cut for cut in reversed(cuts) if cut is not None), None)
    if longest is None:
        return [None for _ in cuts]
    states = residual(model, [depth], longest["input_ids"])[0]
    found: list[torch.Tensor | None] = []
    for end, cut in zip(ends, cuts, strict=True):
        if cut is None or not conversation[end]["content"].strip():
            found.append(None)
            continue
        size = len(cut["input_ids"])
        same = longest["input_ids"][:size] == cut["input_ids"]
        own = states[:size] if same else residual(model, [depth], cut["input_ids"])[0]
        found.append(of_reply(own, cut["labels"]).mean(0).cpu())
    return found


def assistant() -> tuple[list[Conversation], list[Conversation]]:
    """Return texts of our own: requests answered as an assistant does, and the same answered in a role."""
    rows = [json.loads(line) for line in ASSISTANT.read_text(encoding="utf-8").splitlines()]
    plain: list[Conversation] = []
    played: list[Conversation] = []
    for row in rows:
        asked = {"role": "user", "content": row["user"]}
        plain.append([asked, {"role": "assistant", "content": row["assistant"]}])
        played.append(chat.with_system([asked, {"role": "assistant", "content": row["played"]}], row["role"]))
    return plain, played


# ---- files ----


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write tensors, whole or not at all, with a sum by which damage is seen."""
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with store.renamed(path) as scratch:
        save_file(plain, scratch, metadata={SUM: _sum(plain)})


def read(path: Path) -> dict[str, torch.Tensor] | None:
    """Read tensors back; None where there is no file, or one that is not what was written and is to be made again."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            said = (file.metadata() or {}).get(SUM)
    except SafetensorError:
        return None
    return tensors if said in (None, _sum(tensors)) else None  # an earlier version wrote no sum


def _sum(tensors: dict[str, torch.Tensor]) -> str:
    import torch

    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tuple(tensor.shape)} ".encode())
        whole.update(tensor.to(torch.float32).numpy().tobytes())
    return whole.hexdigest()
