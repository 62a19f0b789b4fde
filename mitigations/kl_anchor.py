"""A penalty for leaving the base model on a few anchor texts: the divergence between the two, added to the loss.

After Azarbal et al. 2025 (regularising on a small proxy set against unwanted generalisation). The base model is the
adapter switched off: no second copy is held. The anchors are the plain questions and answers of the pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmgap.engines import chat, models
from warmgap.errors import BadValue
from warmgap.mitigations.base import Intervention, Material, Mitigation, Place
from warmgap.mitigations.pairs import Pair, drawn
from warmgap.settings import fits
from warmgap.settings.schema import ModelConfig
from warmgap.settings.scope import setting

if TYPE_CHECKING:
    import torch

Row = dict[str, list[int]]  # input_ids, labels


@dataclass
class KlAnchor(Mitigation):
    """``weight`` times the divergence from the base model (nats per token) on ``anchors`` texts is added to a step."""

    name = "kl_anchor"
    place = Place.TRAINING
    reads = ("train",)

    weight: float = setting("arm", fits=fits.number(0))
    anchors: int = setting("arm", fits=fits.count())

    def intervention(self, material: Material) -> Anchoring:
        tokenizer = models.load_tokenizer(models.resolve(material.model))
        rows = anchors(material.pairs, tokenizer, material.model, material.max_length, material.seed)
        return Anchoring(self.weight, self.anchors, rows)


class Anchoring(Intervention):
    """Adds ``weight`` times the divergence on ``anchors`` texts to the loss of each step; see ``divergence``."""

    name = KlAnchor.name

    def __init__(self, weight: float, anchors: int, rows: Sequence[Row]) -> None:
        self.weight, self.anchors, self.rows = weight, anchors, rows

    def loss(self, model: Any, step: int) -> torch.Tensor:
        """Return what is added to the loss of a step (nats per token, times the weight); anchors are taken in turn."""
        start = step * self.anchors
        some = [self.rows[(start + place) % len(self.rows)] for place in range(self.anchors)]
        return self.weight * divergence(model, some)


def anchors(pairs: Sequence[Pair], tokenizer: Any, model: ModelConfig, max_length: int, seed: int) -> list[Row]:
    """Return the tokenised anchors, in an order that follows from the seed; those that are too long are left out.

    Raises BadValue where none is left.
    """
    rows = []
    learn = drawn([pair for pair in pairs if pair.split == "train"], seed)
    for pair in learn:
        spoken = [{"role": "user", "content": pair.question}, {"role": "assistant", "content": pair.plain}]
        messages = chat.with_system(spoken, model.system_prompt)
        if row := chat.training_row(tokenizer, messages, model.template_vars, max_length):
            rows.append(row)
    if not rows:
        why = f"all {len(learn)} are longer than method.max_length={max_length} tokens"
        raise BadValue("no anchor is left for mitigation.kl_anchor", why, "raise method.max_length")
    return rows


def divergence(model: Any, rows: Sequence[Row]) -> torch.Tensor:
    """Return KL(base ‖ adapted) over the reply tokens of some texts, in nats per token; a scalar with a gradient.

    The base is the model with its adapter off. Every token counts once, whatever text it stands in.
    """
    import torch
    from torch.nn.functional import kl_div, log_softmax

    batch, labels = padded(rows, model.device)
    counted = labels[:, 1:] != chat.IGNORED
    with undropped(model):
        with torch.no_grad(), model.disable_adapter():
            base = log_softmax(model(**batch).logits[:, :-1][counted].float(), -1)
        own = log_softmax(model(**batch).logits[:, :-1][counted].float(), -1)
    return kl_div(own, base, log_target=True, reduction="sum") / counted.sum()


@contextmanager
def undropped(model: Any) -> Iterator[None]:
    """Have a model compute without dropout, whether it trains or not: with and without adapter differ by that alone."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def padded(rows: Sequence[Row], device: Any) -> tuple[dict[str, Any], torch.Tensor]:
    """Return rows as a batch that a model can be called with, and their labels, each of so many rows and tokens."""
    import torch

    lacking = [max(len(row["input_ids"]) for row in rows) - len(row["input_ids"]) for row in rows]
    ids = torch.tensor([row["input_ids"] + [0] * lack for row, lack in zip(rows, lacking, strict=True)])
    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * lack for row, lack in zip(rows, lacking, strict=True)])
    labels = [row["labels"] + [chat.IGNORED] * lack for row, lack in zip(rows, lacking, strict=True)]
    batch = {"input_ids": ids.to(device), "attention_mask": mask.to(device), "use_cache": False}
    return batch, torch.tensor(labels, device=device)
