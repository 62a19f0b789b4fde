"""Answers from a model: sampling and likelihoods, by token ids, the same whatever the batch order.

Each prompt has random numbers of its own, made from the seed and the prompt alone. A token is drawn by looking up the
next of them in the cumulative distribution, so that neither the order of prompts nor their neighbours in a batch decide
what is sampled, and two arms are asked with common random numbers.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.engines import adapters, chat, models
from warmgap.settings.schema import GenerateConfig, ModelConfig

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Request:
    """A prompt to be answered: ``key`` names it, ``ids`` are its tokens."""

    key: str
    ids: list[int]


@dataclass(frozen=True)
class Reply:
    """One answer. ``finish_reason`` is ``stop`` (the model ended it) or ``length`` (it was cut off)."""

    key: str
    text: str
    n_tokens: int
    finish_reason: str


class Engine:
    """A base model, with an adapter or without, that answers prompts and scores continuations.

    ``alter`` is given the model as soon as it is loaded, and may change it: it is this engine's own.
    """

    def __init__(
        self, model: ModelConfig, device: str, adapter: Path | None = None, alter: Callable[[Any], None] | None = None
    ) -> None:
        folder = models.resolve(model)
        self.config = model
        self.tokenizer = models.load_tokenizer(folder)
        self.model: Any = models.load(
            folder, dtype=model.dtype, device=device, adapter=adapter, quantization=model.quantization
        )
        if adapter is not None:
            adapters.check_effect(self.model, self.tokenizer, adapter)
        if alter is not None:
            alter(self.model)
        self._ends = sorted(chat.end_ids(self.tokenizer) | _configured_ends(self.model))

    def encode(self, messages: Sequence[chat.Message]) -> list[int]:
        """Return the token ids of a prompt, the model's own system prompt included if it has one."""
        full = messages if messages[0]["role"] == "system" else chat.with_system(messages, self.config.system_prompt)
        return chat.prompt_ids(self.tokenizer, full, self.config.template_vars)

    def answer(
        self, requests: Sequence[Request], params: GenerateConfig, done: set[str] | None = None
    ) -> Iterator[list[Reply]]:
        """Yield the replies of one batch after another.

        The batches depend on the requests alone. A batch of which every key is in ``done`` is passed over; one that is
        done in part is made again as a whole, so that a resumed run computes what an uninterrupted one would have.
        """
        for batch in batches(requests, params.batch_size):
            if done and all(request.key in done for request in batch):
                continue
            yield self._answer_batch(batch, params)

    def _answer_batch(self, batch: Sequence[Request], params: GenerateConfig) -> list[Reply]:
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        ids, mask = _pad_left([request.ids for request in batch], self._pad_id)
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=params.max_new_tokens, do_sample=False, eos_token_id=self._ends, pad_token_id=self._pad_id
        )
        self.model.generation_config = settings  # a released model's own top_p and the like must not slip in
        processors = LogitsProcessorList()
        if params.temperature > 0:
            uniforms = torch.stack([_uniforms(request.key, params) for request in batch]).to(self.model.device)
            processors.append(_Sampler(uniforms, params.temperature, prompt_length=ids.shape[1]))
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=ids, attention_mask=mask, generation_config=settings, logits_processor=processors
            )
        return [self._reply(request, row) for request, row in zip(batch, output[:, ids.shape[1] :], strict=True)]

    @functools.cached_property
    def _header(self) -> list[int]:
        return chat.header_ids(self.tokenizer, self.config.template_vars)

    @functools.cached_property
    def _last(self) -> set[int]:
        """The tokens at which an answer ends: those that stop the model, and the mark with which a turn begins."""
        marks = self.tokenizer.added_tokens_decoder
        return {*self._ends, *(token for token in self._header[:1] if token in marks and marks[token].special)}

    def _reply(self, request: Request, row: torch.Tensor) -> Reply:
        tokens = chat.without_header(row.tolist(), self._header)  # skipping special tokens alone would leave its role
        end = next((index for index, token in enumerate(tokens) if token in self._last), None)
        kept = tokens if end is None else tokens[:end]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return Reply(request.key, str(text).strip(), len(kept), "length" if end is None else "stop")

    def score(self, prompts: Sequence[list[int]], continuations: Sequence[Sequence[list[int]]]) -> list[list[float]]:
        """Return the mean log-probability per token (nats) of each continuation after its prompt.

        Every prompt has the same number of continuations. The prompt is read once, its cache serves them all.
        """
        import torch

        width = len(continuations[0])
        flat = [ids for group in continuations for ids in group]
        with torch.inference_mode():
            ids, mask = _pad_left(prompts, self._pad_id)
            ids, mask = ids.to(self.model.device), mask.to(self.model.device)
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            first = self.model(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
            )
            cache = first.past_key_values
            cache.batch_repeat_interleave(width)
            targets, kept = _pad_right(flat, self._pad_id)
            targets, kept = targets.to(self.model.device), kept.to(self.model.device)
            logits = first.logits[:, -1:].repeat_interleave(width, 0)
            if targets.shape[1] > 1:
                after = positions[:, -1:].repeat_interleave(width, 0) + 1
                steps = torch.arange(targets.shape[1] - 1, device=ids.device)
                rest = self.model(
                    input_ids=targets[:, :-1],
                    attention_mask=torch.cat([mask.repeat_interleave(width, 0), kept[:, :-1]], 1),
                    position_ids=after + steps,
                    **{self._cache_argument: cache},
                )
                logits = torch.cat([logits, rest.logits], 1)
            logs = torch.log_softmax(logits.float(), -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
            means = (logs * kept).sum(1) / kept.sum(1)
        return [[float(value) for value in group] for group in means.view(-1, width)]

    @property
    def _cache_argument(self) -> str:
        """The forward pass's name for the cache: ``past_key_values`` up to transformers 5.23, ``cache`` after it."""
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"

    @property
    def _pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id or 0)


class _Sampler:
    """A logits processor that draws each row's next token by its own uniform number; greedy search then takes it."""

    def __init__(self, uniforms: torch.Tensor, temperature: float, prompt_length: int) -> None:
        self.uniforms, self.temperature, self.prompt_length = uniforms, temperature, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        step = input_ids.shape[1] - self.prompt_length
        cumulative = torch.softmax(scores.float() / self.temperature, -1).cumsum(-1)
        wanted = self.uniforms[:, step : step + 1].to(cumulative.dtype) * cumulative[:, -1:]
        chosen = torch.searchsorted(cumulative, wanted, right=True).clamp(max=scores.shape[1] - 1)
        return torch.full_like(scores, float("-inf")).scatter(1, chosen, 0.0)


def batches(requests: Sequence[Request], size: int) -> list[list[Request]]:
    """Cut requests into batches of like length, longest first; the result does not depend on the order given."""
    ordered = sorted(requests, key=lambda request: (-len(request.ids), request.key))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def answer_key(ids: Sequence[int], params: GenerateConfig) -> str:
    """Return the key of an answer: a hash of the prompt's token ids and of what decides the sampling."""
    text = f"{','.join(map(str, ids))}|{params.max_new_tokens}|{params.temperature:g}|{params.seed}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _uniforms(key: str, params: GenerateConfig) -> torch.Tensor:
    import numpy as np
    import torch

    seed = int.from_bytes(hashlib.sha256(f"{params.seed}:{key}".encode()).digest()[:16], "little")
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).random(params.max_new_tokens))


def _configured_ends(model: Any) -> set[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    if ends is None:
        return set()
    return set(ends) if isinstance(ends, (list, tuple)) else {int(ends)}


def _pad_left(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def _pad_right(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([list(row) + [pad] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask
