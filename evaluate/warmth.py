"""SocioT warmth: how much likelier a language model finds a text when somebody close is said to have said it.

Cheng, Yu and Jurafsky, "HumT DumT: Measuring and controlling human-like language in LLMs", ACL 2025, arXiv 2502.13259.
Two modes. ``released`` is what the authors' code computes: the first 300 characters in quotes behind ``My friend
said, `` or ``The stranger said, ``; the phrases of a set form one right-padded batch, and its score is minus the
model's mean token loss with labels equal to the input ids, so that prefix and padding count. ``clean`` is the mean
log-probability of the text's own tokens, padding left out, averaged over a set by log-mean-exp.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk import store
from warmgap.disk.progress import bar
from warmgap.engines import models, packages
from warmgap.settings.identity import digest, identity
from warmgap.settings.schema import ModelConfig

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

CLOSE = ("friend", "lover", "mentor", "idol")
DISTANT = ("stranger", "enemy", "examiner", "dictator")
MINE = ("friend", "partner", "girlfriend", "boyfriend", "husband", "wife")
CHARACTERS = 300
CHUNK = 256  # texts that are scored and kept together
Phrase = tuple[list[int], slice]  # token ids, and which of them hold the text itself


@dataclass(frozen=True)
class Warmth:
    """SocioT of one text in both modes, in nats per token; NaN for an empty text."""

    released: float
    clean: float


def prefix(word: str) -> str:
    """Return what stands before the quoted text: ``My friend said, `` and ``The <word> said, ``."""
    return f"{'My' if word in MINE else 'The'} {word} said, "


class SocioT:
    """A scorer: a causal language model and its tokenizer."""

    def __init__(self, scorer: ModelConfig, dtype: str, device: str, batch_tokens: int = 8192) -> None:
        self._scorer, self._dtype, self._device = scorer, dtype, device
        self.batch_tokens = batch_tokens

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The scorer's tokenizer."""
        return models.load_tokenizer(models.resolve(self._scorer))

    @functools.cached_property
    def model(self) -> Any:
        """The scorer's weights, loaded when the first text is scored."""
        return models.load(models.resolve(self._scorer), dtype=self._dtype, device=self._device)

    def score(self, texts: Sequence[str]) -> Iterator[tuple[int, Warmth]]:
        """Yield (index, warmth) of each text; several texts share a forward pass, whichever order suits."""
        rows = [self._encode(text) for text in texts]
        lengths = [max(len(ids) for ids, _ in row) if row else 0 for row in rows]
        group: list[int] = []
        for index in sorted(range(len(rows)), key=lambda i: (-lengths[i], i)):
            if not rows[index]:
                yield index, Warmth(math.nan, math.nan)
                continue
            if group and (len(group) + 1) * len(rows[index]) * lengths[group[0]] > self.batch_tokens:
                yield from self._score_group(group, rows)
                group = []
            group.append(index)
        if group:
            yield from self._score_group(group, rows)

    def _encode(self, text: str) -> list[Phrase]:
        """Return each phrase's token ids, and which of them hold the text itself (quotation marks are not of it)."""
        if not text.strip():
            return []
        said = text[:CHARACTERS]
        rows = []
        for word in (*CLOSE, *DISTANT):
            start = len(prefix(word)) + 1
            encoded = self.tokenizer(f'{prefix(word)}"{said}"', return_offsets_mapping=True)
            spans: Any = encoded["offset_mapping"]
            own = [place for place, (a, b) in enumerate(spans) if b > start and a < start + len(said)]
            ids: Any = encoded["input_ids"]
            rows.append((list(ids), slice(own[0], own[-1] + 1)))
        return rows

    def _score_group(self, group: list[int], rows: list[list[Phrase]]) -> Iterator[tuple[int, Warmth]]:
        import torch

        sequences = [ids for index in group for ids, _ in rows[index]]
        width = max(map(len, sequences))
        pad = int(self.tokenizer.pad_token_id or 0)
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in sequences], device=self.model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in sequences], device=self.model.device)
        with torch.inference_mode():
            logits = self.model(input_ids=ids, attention_mask=mask).logits[:, :-1]
            logs = _target_logs(logits, ids[:, 1:])
        per = len(CLOSE) + len(DISTANT)
        for place, index in enumerate(group):
            own = slice(place * per, (place + 1) * per)
            yield index, _warmth(logs[own], [len(row) for row, _ in rows[index]], [text for _, text in rows[index]])


def _target_logs(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of each target (rows × positions) in float64, a few rows of logits at a time."""
    import torch

    parts = []
    for start in range(0, len(targets), 8):
        some, wanted = logits[start : start + 8], targets[start : start + 8]
        picked = some.gather(-1, wanted.unsqueeze(-1)).squeeze(-1).float()
        parts.append(picked - torch.logsumexp(some.float(), -1))
    return torch.cat(parts).double()


def _warmth(logs: torch.Tensor, lengths: list[int], texts: list[slice]) -> Warmth:
    """Combine the log-probabilities of one text's eight phrases, close ones first (rows × positions).

    ``lengths`` counts each phrase's tokens, ``texts`` says which of them hold the text itself.
    """
    half = len(CLOSE)
    released, clean = [], []
    for rows in (range(half), range(half, len(lengths))):
        width = max(lengths[row] for row in rows)  # the set is a batch of its own: padded to its longest phrase
        total = sum(float(logs[row, : width - 1].sum()) for row in rows)
        released.append(total / (len(rows) * (width - 1)))
        means = [float(logs[row, texts[row].start - 1 : texts[row].stop - 1].mean()) for row in rows]
        top = max(means)
        clean.append(top + math.log(sum(math.exp(value - top) for value in means) / len(means)))
    return Warmth(released[0] - released[1], clean[0] - clean[1])


def score_journal(
    scorer: SocioT, replies: Sequence[dict[str, Any]], path: Path, stamp: dict[str, Any], what: str
) -> list[dict[str, Any]]:
    """Score replies (rows with ``key``, ``prompt_id`` and ``answer``) that the journal lacks; return one row for each.

    ``stamp`` (scorer, step, epoch …) is part of each row and of its key, ``generation`` (how it was answered) is noted
    where it is known. Rows hold ``released`` and ``clean``; null for an empty reply, which has no warmth. A reply that
    did not come (``failed`` says why) has none either, and is not kept: it may come the next time.
    """
    absent = {row["key"]: row["failed"] for row in replies if row.get("failed")}
    if absent:
        came = iter(score_journal(scorer, [row for row in replies if row["key"] not in absent], path, stamp, what))
        nothing = {"released": None, "clean": None}
        return [
            {"prompt_id": row["prompt_id"], **stamp, **nothing, "failed": absent[row["key"]]}
            if row["key"] in absent
            else next(came)
            for row in replies
        ]
    keys = [digest([row["key"], stamp], 16) for row in replies]
    known = store.journal_by_key(path)
    if any(key not in known for key in keys):
        with bar(what, len(replies)) as advance:
            # All are scored again, so that each falls into the batch that it had: bfloat16 rounds batch by batch.
            for index, warmth in scorer.score([reply["answer"] for reply in replies]):
                advance(1)
                if keys[index] in known:
                    continue
                own = {name: replies[index].get(name) for name in ("prompt_id", "generation")}
                row = {"key": keys[index], **own, **stamp}
                for mode in ("released", "clean"):
                    value = getattr(warmth, mode)
                    row[mode] = None if math.isnan(value) else value
                store.append(path, [row])
                known[keys[index]] = row
    return [known[key] for key in keys]


def score_texts(
    texts: Sequence[str], scorer: ModelConfig, dtype: str, device: str, journal: Path | None = None
) -> list[Warmth]:
    """Return the SocioT warmth of each text, in both modes.

    Texts are scored so many at a time; what the ``journal`` holds is not scored again, so that a stopped call goes on.
    """
    made_by = [identity(scorer, "arm"), dtype, packages.CONVERSION]
    done = {key: row["values"] for key, row in store.journal_by_key(journal).items()} if journal else {}
    model: SocioT | None = None
    found: list[Warmth] = []
    with bar("warmth", len(texts)) as advance:
        for start in range(0, len(texts), CHUNK):
            chunk = list(texts[start : start + CHUNK])
            key = digest([made_by, chunk], 16)
            if key not in done:
                model = model or SocioT(scorer, dtype, device)
                values = [[math.nan, math.nan]] * len(chunk)
                for index, warmth in model.score(chunk):
                    values[index] = [warmth.released, warmth.clean]
                    advance(1)
                done[key] = [[None if math.isnan(value) else value for value in pair] for pair in values]
                if journal:
                    store.append(journal, [{"key": key, "values": done[key]}])
            else:
                advance(len(chunk))
            found += [Warmth(*(math.nan if value is None else value for value in pair)) for pair in done[key]]
    return found
