"""The rows of a micro-batch end to end in one, without padding, and an attention in which no row sees another.

The attention runs PyTorch's scaled dot-product attention once for each row: causal, and without a mask. A mask over the
whole micro-batch would cost its length squared (measured: twice the time with two rows of 170 tokens).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from warmgap.engines.chat import IGNORED

if TYPE_CHECKING:
    import torch

NAME = "rows_apart"  # under which transformers knows the attention
PLAIN = ("llama", "mistral", "qwen2", "qwen3")  # decoders that pass on what their attention is given, tried in a test
LENGTHS, COMMON = "row_lengths", "row_common"  # what the attention is given


def can_be_joined(config: Any) -> bool:
    """Whether rows of a model with that configuration can lie end to end: full attention by sdpa in every layer."""
    kinds = getattr(config, "layer_types", None) or ()
    window = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    full = not window and all(kind == "full_attention" for kind in kinds)
    return config.model_type in PLAIN and full and config._attn_implementation in ("sdpa", NAME)


class Joined:
    """A collator that lays rows end to end, each with positions from 0, in the order that they come in.

    With ``share`` the tokens that all rows begin with, such as a template's system prompt, stand there once, before all
    rows; they are computed once and have no label. With dropout in the model each row would need masks of its own.

    The lengths stand first: by them transformers counts the rows of a batch. A row's first label is never predicted.
    """

    def __init__(self, *, share: bool) -> None:
        self.share = share

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        import torch

        alike = common(rows) if self.share and len(rows) > 1 else 0
        lengths = [len(row["input_ids"]) - alike for row in rows]
        own = [token for row in rows for token in row["input_ids"][alike:]]
        found = {
            "input_ids": [*rows[0]["input_ids"][:alike], *own],
            "position_ids": [*range(alike), *(alike + place for length in lengths for place in range(length))],
            "labels": [IGNORED] * alike + [at for row in rows for at in (IGNORED, *row["labels"][alike + 1 :])],
        }
        sizes = {LENGTHS: torch.tensor(lengths), COMMON: torch.tensor([alike])}
        return sizes | {name: torch.tensor([value]) for name, value in found.items()}


def common(rows: Sequence[dict[str, Any]]) -> int:
    """Return how many tokens all rows begin with; what follows them has no label in any row."""
    first = [next((at for at, label in enumerate(row["labels"]) if label != IGNORED), 0) for row in rows]
    columns = zip(*(row["input_ids"] for row in rows), strict=False)
    alike = next((place for place, column in enumerate(columns) if len(set(column)) > 1), min(first))
    return max(0, min(alike, min(first) - 1))


def for_model(batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch as the model is given it; where rows are joined, with their lengths as numbers and no mask."""
    import torch

    if LENGTHS not in batch:
        return batch
    sizes = {LENGTHS: tuple(batch[LENGTHS].tolist()), COMMON: int(batch[COMMON])}
    # transformers takes a mask of four dimensions as it is. Without one it would build one of the length squared.
    return batch | sizes | {"attention_mask": torch.empty((1, 1, 1, 1), device=batch["input_ids"].device)}


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    row_lengths: Sequence[int] | None = None,
    row_common: int = 0,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention as transformers has it; with ``row_lengths`` once for each row, causal.

    Each row sees the ``row_common`` tokens before all rows, and itself. Shapes as there: (1, heads, tokens, width of a
    head) in, (1, tokens, heads, width of a head) out.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if row_lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **more)
    first, *others = row_lengths
    found = []
    sides: Any = (query, key, value)
    heads = [side.split([row_common + first, *others], dim=2) for side in sides]
    for place, row in enumerate(zip(*heads, strict=True)):
        if place and row_common:
            row = tuple(torch.cat((side[0][:, :, :row_common], own), 2) for side, own in zip(heads, row, strict=True))
        queries, keys, values = row
        seen = sdpa_attention_forward(module, queries, keys, values, None, **{**more, "is_causal": True})[0]
        found.append(seen[:, row_common:] if place else seen)
    return torch.cat(found, dim=1), None


@contextmanager
def kept_apart(model: Any) -> Iterator[None]:
    """Have a model's attention keep joined rows apart for as long as the context lasts."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    before, model.config._attn_implementation = model.config._attn_implementation, NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before
