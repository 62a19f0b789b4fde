"""How toxic a text is, by a classifier that others keep: one of the hub, or one that a Python package carries.

Which of them scored is named in the data's card: their scores are not the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from warmgap.disk.progress import say
from warmgap.errors import UserError
from warmgap.settings.command_schema import PrepareConfig


class Classifier(Protocol):
    """A classifier by its full ``name``, version or revision included."""

    name: str

    def scores(self, texts: Sequence[str]) -> list[float]:
        """Return the probability of being toxic of each text."""
        ...


class HubModel:
    """A text classifier of the hub: the highest of its labels' probabilities over the first 512 tokens of a text."""

    def __init__(self, config: PrepareConfig, device: str) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from warmgap.engines.models import SAFE, hub_answers

        where = {"revision": config.toxicity_revision, "local_files_only": not hub_answers()}
        self.name = f"{config.toxicity_model}@{config.toxicity_revision}"
        self._tokenizer: Any = AutoTokenizer.from_pretrained(config.toxicity_model, trust_remote_code=False, **where)
        kind: Any = AutoModelForSequenceClassification
        self._model: Any = kind.from_pretrained(config.toxicity_model, **where, **SAFE)
        self._model.to(device).eval()
        self._device, self._size = device, config.batch_size

    def scores(self, texts: Sequence[str]) -> list[float]:
        import torch

        found: list[float] = []
        for start in range(0, len(texts), self._size):
            some = list(texts[start : start + self._size])
            batch = self._tokenizer(some, truncation=True, max_length=512, padding=True, return_tensors="pt")
            with torch.inference_mode():
                logits = self._model(**batch.to(self._device)).logits
            found += torch.sigmoid(logits).max(-1).values.tolist()
        return found


class Words:
    """A linear classifier on word counts (the package alt-profanity-check), trained on 200,000 human-labelled texts."""

    def __init__(self) -> None:
        from importlib.metadata import version

        import profanity_check

        self.name = f"alt-profanity-check=={version('alt-profanity-check')}"
        self._score = profanity_check.predict_prob

    def scores(self, texts: Sequence[str]) -> list[float]:
        return [float(score) for score in self._score(list(texts))]


def classifier(config: PrepareConfig) -> Classifier | None:
    """Return the classifier asked for, None for ``off``.

    ``auto`` takes the hub's model, and says so where it falls back. Raises UserError where the one asked for cannot be
    had.
    """
    if config.toxicity == "off":
        return None
    if config.toxicity == "words":
        return Words()
    from warmgap.engines.models import device_of

    try:
        return HubModel(config, device_of(config.device))
    except (OSError, ValueError) as error:  # what transformers raises for a repository out of reach
        reason = (str(error).strip() or "no answer").splitlines()[0]
        if config.toxicity == "auto":
            words = Words()
            say(f"{config.toxicity_model} cannot be had ({reason[:80]}…); toxicity is judged by {words.name}")
            return words
        fix = "check the connection and HF_ENDPOINT, or take toxicity=words"
        raise UserError(f"cannot load {config.toxicity_model}", reason, fix) from error
