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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.engines import adapters, chat, draws, models
from warmgap.engines.base import Encoded, Reply, Request
from warmgap.settings.schema import GenerateConfig, ModelConfig, identity

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


class HfEngine:
    """A base model, with an adapter or without, that answers prompts and scores continuations.

    Prompts are encoded by the tokenizer alone; the weights are loaded when they are first needed, and it is then that
    an adapter without an effect is refused. ``alter`` is given the model as soon as it is loaded, and may change it: it
    is this engine's own.
    """

    def __init__(
        self, model: ModelConfig, device: str, adapter: Path | None = None, alter: Callable[[Any], None] | None = None
    ) -> None:
        self.config, self._device, self._adapter, self._alter = model, device, adapter, alter

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def made_by(self) -> Any:
        """The settings that make the model what it is; one in a folder is known by its content."""
        return identity(self.config, "arm")

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer."""
        return models.load_tokenizer(self._folder)

    @functools.cached_property
    def model(self) -> Any:
        """The weights, loaded. Raises UserError where the adapter changes nothing, or is not wholly loaded."""
        own = self.config
        loaded = models.load(
            self._folder, dtype=own.dtype, device=self._device, adapter=self._adapter, quantization=own.quantization
        )
        if self._adapter is not None:
            adapters.check_effect(loaded, self.tokenizer, self._adapter)
        if self._alter is not None:
            self._alter(loaded)
        return loaded

    @functools.cached_property
    def _folder(self) -> Path:
        return models.resolve(self.config)

    def encode(self, messages: Sequence[chat.Message]) -> list[int]:
        """Return the token ids of a prompt, the model's own system prompt included if it has one."""
        full = messages if messages[0]["role"] == "system" else chat.with_system(messages, self.config.system_prompt)
        return chat.prompt_ids(self.tokenizer, full, self.config.template_vars)

    def key(self, prompt: Encoded, params: GenerateConfig) -> str:
        """Return the key of an answer: a hash of the prompt's token ids and of what decides the sampling."""
        text = f"{','.join(map(str, prompt))}|{params.max_new_tokens}|{params.temperature:g}|{params.seed}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def room(self, prompt: Encoded) -> int | None:
        """Return how many tokens of the model's window a prompt leaves; None for a model that names no window."""
        return None if self._window is None else self._window - len(prompt)

    @functools.cached_property
    def _window(self) -> int | None:
        from transformers import AutoConfig

        whole = AutoConfig.from_pretrained(self._folder).get_text_config()
        found: int | None = getattr(whole, "max_position_embeddings", None)
        return found

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

        ids, mask = _pad_left([request.prompt for request in batch], self._pad_id)
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
    def _ends(self) -> list[int]:
        # asked for before the first batch puts its own generation settings in place of the model's
        return sorted(chat.end_ids(self.tokenizer) | _configured_ends(self.model))

    @functools.cached_property
    def _header(self) -> list[int]:
        return chat.header_ids(self.tokenizer, self.config.template_vars)

    @functools.cached_property
    def _last(self) -> set[int]:
        """The tokens at which an answer ends: those that stop the model, and the mark with which a turn begins."""
        return chat.last_ids(self.tokenizer, self._ends, self._header)

    def _reply(self, request: Request, row: torch.Tensor) -> Reply:
        spoken = chat.spoken(self.tokenizer, row.tolist(), self._header, self._last)
        return Reply(request.key, *spoken, len(request.prompt))

    def score(self, prompts: Sequence[Encoded], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return the mean log-probability per token (nats) of each continuation after its prompt.

        Every prompt has the same number of continuations. The prompt is read once, its cache serves them all.
        """
        import torch

        width = len(continuations[0])
        flat = [chat.encode(self.tokenizer, text) for group in continuations for text in group]
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
        chosen = draws.drawn(scores, self.uniforms[:, step : step + 1], self.temperature)
        return torch.full_like(scores, float("-inf")).scatter(1, chosen, 0.0)


def batches(requests: Sequence[Request], size: int) -> list[list[Request]]:
    """Cut requests into batches of like length, longest first; the result does not depend on the order given."""
    ordered = sorted(requests, key=lambda request: (-len(request.prompt), request.key))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _uniforms(key: str, params: GenerateConfig) -> torch.Tensor:
    import torch

    return torch.from_numpy(draws.uniforms(key, params.seed, params.max_new_tokens))


def _configured_ends(model: Any) -> set[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    if ends is None:
        return set()
    return set(ends) if isinstance(ends, (list, tuple)) else {int(ends)}


def _pad_left(rows: Sequence[Encoded], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
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
