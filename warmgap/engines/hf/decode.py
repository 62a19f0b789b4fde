"""The answering loop: prompts are read as a tree, and a row that is done leaves the batch.

Against transformers' ``generate`` it reads shared beginnings once, writes keys and values in place, and computes
nothing for answers that have ended. It is for models whose every layer attends to all that came before; others are told
by ``fits``, and answer by ``generate``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from warmgap.engines.hf import prefixes

if TYPE_CHECKING:
    import torch

LEAVE = 8  # rows that are done leave when they are one in so many of those computed: taking them out copies the others
Choose = Callable[["torch.Tensor", list[int], int], "torch.Tensor"]  # logits, which prompts, step -> the next tokens


def decode(
    model: Any, prompts: Sequence[Sequence[int]], ends: set[int], max_new_tokens: int, choose: Choose
) -> list[list[int]]:
    """Return the tokens that a model writes after each prompt, the one that ends an answer included."""
    import torch

    from warmgap.engines.hf.cache import argument

    written: list[list[int]] = [[] for _ in prompts]
    with torch.inference_mode():
        logits, cache = prefixes.read(model, prompts, max_new_tokens)
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        width, name = int(lengths.max()), argument(model)
        hidden = torch.arange(width + max_new_tokens)[None] < (width - lengths)[:, None]
        least = torch.finfo(model.dtype).min
        mask = torch.zeros(hidden.shape, dtype=model.dtype).masked_fill_(hidden, least)[:, None, None].to(model.device)
        rows, going = list(range(len(prompts))), [True] * len(prompts)  # of the batch; whether each goes on
        for step in range(max_new_tokens):
            tokens = choose(logits, rows, step)
            for place, token in enumerate(tokens.tolist()):
                if going[place]:
                    written[rows[place]].append(token)
                    going[place] = token not in ends
            left = sum(going)
            if not left or step == max_new_tokens - 1:
                break
            if (len(rows) - left) * LEAVE >= len(rows):
                kept = torch.tensor([place for place, on in enumerate(going) if on])
                cache.keep(kept)
                mask, tokens = mask[kept.to(mask.device)], tokens[kept.to(tokens.device)]
                rows, going = [rows[place] for place in kept.tolist()], [True] * left
            out = model(
                input_ids=tokens[:, None],
                position_ids=(lengths[rows] + step)[:, None].to(model.device),
                attention_mask=mask[..., : width + step + 1],
                **{name: cache},
                use_cache=True,
                logits_to_keep=1,
            )
            logits = out.logits[:, -1]
    return written


def fits(model: Any, ids: Sequence[int]) -> bool:
    """Whether ``decode`` is for a model: by its configuration, and by comparing it with plain passes over some tokens.

    Windows, recurrent layers and positions that are no argument are told by the first or the second.
    """
    import torch

    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if kinds != {"full_attention"} or window or config._attn_implementation != "sdpa":
        return False
    some = [list(ids), list(ids[: len(ids) // 2]), [*ids[: len(ids) // 2], *ids[: len(ids) // 3]]]
    some = [prompt for prompt in some if prompt]
    seen: list[torch.Tensor] = []

    def watch(logits: torch.Tensor, _: list[int], __: int) -> torch.Tensor:
        seen.append(logits.float())
        return logits.argmax(-1)

    try:
        written = decode(model, some, set(), 2, watch)
        with torch.inference_mode():
            for row, (prompt, tokens) in enumerate(zip(some, written, strict=True)):
                whole = torch.tensor([[*prompt, tokens[0]]], device=model.device)
                plain = model(input_ids=whole, use_cache=False).logits[0, -2:].float()
                ours = torch.stack([step[row] for step in seen])
                bound = 1e-3 if model.dtype == torch.float32 else 0.1  # of the largest logit: rounding is far below it
                if not torch.allclose(ours, plain, rtol=0, atol=bound * float(plain.abs().max())):
                    return False
    except (TypeError, ValueError, AttributeError, RuntimeError, IndexError):
        return False
    return True
