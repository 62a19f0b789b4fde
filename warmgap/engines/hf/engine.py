"""An engine on a model in this process: sampling and likelihoods, by token ids, the same whatever the order.

Each prompt has random numbers of its own, made from the seed and the prompt alone. A token is drawn by looking up the
next of them in the cumulative distribution, so that neither the order of prompts nor their neighbours in a batch decide
what is sampled, and two arms are asked with common random numbers.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk.progress import say
from warmgap.engines import adapters, chat, draws, models
from warmgap.engines.base import Encoded, Reply, Request
from warmgap.engines.hf import room, weights
from warmgap.errors import UserError
from warmgap.settings.identity import identity
from warmgap.settings.schema import GenerateConfig, ModelConfig

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

SPREAD = 4  # no prompt of a batch is so many times as long as another


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

    @property
    def model(self) -> Any:
        """The weights, loaded. Raises UserError where the adapter changes nothing, or is not wholly loaded.

        Engines of the same base share its weights: each has its own adapter put on them when it is asked. What is
        altered is loaded for this engine alone.
        """
        return weights.base_with(self._base, self._adapter, self.tokenizer) if self._alter is None else self._own

    @functools.cached_property
    def _base(self) -> weights.Base:
        return weights.Base(self._folder, self.config.dtype, self._device, self.config.quantization)

    @functools.cached_property
    def _own(self) -> Any:
        loaded = weights.load(self._base, self._adapter, self.tokenizer)
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

        whole = AutoConfig.from_pretrained(self._folder, trust_remote_code=False).get_text_config()
        found: int | None = getattr(whole, "max_position_embeddings", None)
        return found

    def answer(
        self, requests: Sequence[Request], params: GenerateConfig, done: set[str] | None = None
    ) -> Iterator[list[Reply]]:
        """Yield the replies of one batch after another.

        The batches depend on the requests alone. A batch of which every key is in ``done`` is passed over; one that is
        done in part is made again as a whole, so that a resumed run computes what an uninterrupted one would have.
        """
        for batch in batches(requests, self._rows(params)):
            if done and all(request.key in done for request in batch):
                continue
            yield self._answer_batch(batch, params)

    def _rows(self, params: GenerateConfig) -> Callable[[int], int]:
        """How many prompts of some length are answered at a time: as many as memory has room for, if nobody says."""
        if params.batch_size is not None:
            return lambda _: int(params.batch_size or 1)
        return lambda length: room.rows(self._base, length + params.max_new_tokens)

    def _answer_batch(self, batch: Sequence[Request], params: GenerateConfig) -> list[Reply]:
        """Return the replies of a batch, by halves where the device's memory runs out."""
        import torch

        try:
            written = self._write(batch, params)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                why = f"one prompt of {len(batch[0].prompt)} tokens alone does not fit: {str(error).splitlines()[0]}"
                fix = "lower generate.max_new_tokens, set model.quantization=nf4, or use a larger device"
                raise UserError("the device's memory is too small", why, fix) from error
            written = None
        if written is None:  # outside of the handler, whose traceback holds on to what did not fit
            half = len(batch) // 2
            say(f"out of memory with {len(batch)} prompts at a time; going on with {len(batch) - half}")
            return self._answer_batch(batch[:half], params) + self._answer_batch(batch[half:], params)
        return [self._reply(request, row) for request, row in zip(batch, written, strict=True)]

    def _write(self, batch: Sequence[Request], params: GenerateConfig) -> list[list[int]]:
        from warmgap.engines.hf import decode

        model, draw = self.model, Draw(batch, params)
        if not self._fast:
            return self._generate(model, batch, params, draw)
        prompts = [request.prompt for request in batch]
        return decode.decode(model, prompts, set(self._ends), params.max_new_tokens, draw)

    def _generate(self, model: Any, batch: Sequence[Request], params: GenerateConfig, draw: Draw) -> list[list[int]]:
        """Return what transformers' own loop writes, for models that ``decode`` is not for."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        ids, mask = _pad_left([request.prompt for request in batch], self._pad_id)
        ids, mask = ids.to(model.device), mask.to(model.device)
        settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=params.max_new_tokens, do_sample=False, eos_token_id=self._ends, pad_token_id=self._pad_id
        )
        kept, model.generation_config = model.generation_config, settings  # a model's own top_p must not slip in
        processors = LogitsProcessorList([_Drawn(draw, ids.shape[1])])
        try:
            with torch.inference_mode():
                output = model.generate(
                    input_ids=ids, attention_mask=mask, generation_config=settings, logits_processor=processors
                )
        finally:
            model.generation_config = kept
        found: list[list[int]] = output[:, ids.shape[1] :].tolist()
        return found

    @functools.cached_property
    def _ends(self) -> list[int]:
        return sorted(chat.end_ids(self.tokenizer) | models.configured_ends(self._folder))

    @functools.cached_property
    def _header(self) -> list[int]:
        return chat.header_ids(self.tokenizer, self.config.template_vars)

    @functools.cached_property
    def _last(self) -> set[int]:
        """The tokens at which an answer ends: those that stop the model, and the mark with which a turn begins."""
        return chat.last_ids(self.tokenizer, self._ends, self._header)

    @functools.cached_property
    def _fast(self) -> bool:
        from warmgap.engines.hf import decode

        probe = list(self.tokenizer.encode(adapters.PROBE, add_special_tokens=False))
        return self._alter is None and decode.fits(self.model, probe)

    def _reply(self, request: Request, row: list[int]) -> Reply:
        return Reply(request.key, *chat.spoken(self.tokenizer, row, self._header, self._last), len(request.prompt))

    def score(self, prompts: Sequence[Encoded], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return the mean log-probability per token (nats) of each continuation after its prompt.

        Every prompt has the same number of continuations. The prompt is read once, its cache serves them all.
        """
        import torch

        from warmgap.engines.hf.cache import argument

        model = self.model
        width = len(continuations[0])
        flat = [chat.encode(self.tokenizer, text) for group in continuations for text in group]
        with torch.inference_mode():
            ids, mask = _pad_left(prompts, self._pad_id)
            ids, mask = ids.to(model.device), mask.to(model.device)
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            first = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
            cache = first.past_key_values
            cache.batch_repeat_interleave(width)
            targets, kept = _pad_right(flat, self._pad_id)
            targets, kept = targets.to(model.device), kept.to(model.device)
            logits = first.logits[:, -1:].repeat_interleave(width, 0)
            if targets.shape[1] > 1:
                after = positions[:, -1:].repeat_interleave(width, 0) + 1
                steps = torch.arange(targets.shape[1] - 1, device=ids.device)
                rest = model(
                    input_ids=targets[:, :-1],
                    attention_mask=torch.cat([mask.repeat_interleave(width, 0), kept[:, :-1]], 1),
                    position_ids=after + steps,
                    **{argument(model): cache},
                )
                logits = torch.cat([logits, rest.logits], 1)
            logs = torch.log_softmax(logits.float(), -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
            means = (logs * kept).sum(1) / kept.sum(1)
        return [[float(value) for value in group] for group in means.view(-1, width)]

    @property
    def _pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id or 0)


class Draw:
    """Chooses the next tokens of a batch: the likeliest, or each row's by its own next random number."""

    def __init__(self, batch: Sequence[Request], params: GenerateConfig) -> None:
        import torch

        self.temperature = params.temperature
        if params.temperature > 0:
            self.uniforms = torch.stack([_uniforms(request.key, params) for request in batch])

    def __call__(self, logits: torch.Tensor, rows: Sequence[int], step: int) -> torch.Tensor:
        """Return the next token of some of the batch's rows, from their logits at a step."""
        if self.temperature == 0:
            return logits.float().argmax(-1)
        return draws.drawn(logits, self.uniforms[list(rows), step : step + 1], self.temperature).squeeze(-1)


class _Drawn:
    """A logits processor that leaves the drawn token alone; greedy search then takes it."""

    def __init__(self, draw: Draw, prompt_length: int) -> None:
        self.draw, self.prompt_length = draw, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        chosen = self.draw(scores, range(len(scores)), input_ids.shape[1] - self.prompt_length)
        return torch.full_like(scores, float("-inf")).scatter(1, chosen[:, None], 0.0)


def batches(requests: Sequence[Request], rows: Callable[[int], int]) -> list[list[Request]]:
    """Cut requests into batches, longest prompts first; the result does not depend on the order given.

    ``rows`` says how many prompts of a length share a batch. Prompts that begin alike stand together, unless one is
    SPREAD times as long as another: the cache of a row is as wide as the longest of its batch.
    """
    left = sorted(requests, key=lambda one: -len(one.prompt))
    found: list[list[Request]] = []
    while left:
        longest = len(left[0].prompt)
        some = [one for one in left if len(one.prompt) * SPREAD > longest]
        left = left[len(some) :]
        some.sort(key=lambda one: (list(one.prompt), one.key))
        size = max(1, rows(longest))
        found += [some[start : start + size] for start in range(0, len(some), size)]
    return found


def _uniforms(key: str, params: GenerateConfig) -> torch.Tensor:
    import torch

    return torch.from_numpy(draws.uniforms(key, params.seed, params.max_new_tokens))


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
