"""Proof that vLLM has loaded an adapter: it moves the log-probabilities of a fixed text as PEFT says.

vLLM has been seen to load an adapter without a word and to answer as the base model. So the token after the last of
``adapters.PROBE`` is compared, base and adapter, with what PEFT computes for both; PEFT's own loading is checked on the
way (``adapters.attach``, ``adapters.check_effect``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.engines import adapters, models
from warmgap.engines.hf import weights
from warmgap.errors import UserError
from warmgap.settings.schema import ModelConfig

if TYPE_CHECKING:
    from warmgap.engines.vllm.server import Server

LIKELIEST = 256  # tokens that are compared: the rest are rounding for the most part
AGREES = 0.5  # the most that vLLM's shift may be off PEFT's, as a share of it, beyond what the base models differ by
SAME_BASE = 0.5  # nats (root mean square) by which vLLM's base model may differ from transformers': bfloat16 takes 0.1


@dataclass(frozen=True)
class Reference:
    """What PEFT says of an adapter: the log-probabilities of each token after some ids, without it and with it."""

    ids: list[int]
    base: Any
    adapted: Any


def reference(model: ModelConfig, adapter: Path) -> Reference:
    """Compute what PEFT says of an adapter, on the CPU, whose memory vLLM does not hold; the weights are let go of.

    Raises UserError as ``HfEngine`` does: where the adapter does not fit, is damaged, or has no effect.
    """
    folder = models.resolve(model)
    tokenizer = models.load_tokenizer(folder)
    ids = list(tokenizer.encode(adapters.PROBE, add_special_tokens=False))
    loaded: Any = weights.load(weights.Base(folder, model.dtype, "cpu", model.quantization), adapter, tokenizer)
    adapted = _logs(models.probe(loaded, ids))
    with loaded.disable_adapter():
        base = _logs(models.probe(loaded, ids))
    del loaded
    models.give_back()
    return Reference(ids, base, adapted)


def _logs(logits: list[float]) -> Any:
    import numpy as np

    values = np.asarray(logits, dtype=float)
    shifted = values - values.max()
    return shifted - np.log(np.exp(shifted).sum())


def prove(server: Server, expected: Reference, folder: Path, given: dict[str, str]) -> None:
    """Raise UserError unless a server's base model is the one that PEFT has, and the adapter moves it as PEFT says."""
    check(folder, expected, server.logs(expected.ids, None), server.logs(expected.ids, given))


def check(folder: Path, expected: Reference, base: list[float], adapted: list[float]) -> None:
    """Compare vLLM's log-probabilities with PEFT's, on the tokens that are likeliest by PEFT with or without it."""
    import numpy as np

    tokens = np.union1d(_likeliest(expected.base), _likeliest(expected.adapted))
    ours, theirs = np.asarray(base)[tokens], np.asarray(adapted)[tokens]
    apart = _size(ours - expected.base[tokens])
    wanted, moved = (expected.adapted - expected.base)[tokens], theirs - ours
    off = _size(moved - wanted)
    fix = "engine=hf answers with it; vLLM of another version may load it"
    what = f"vLLM does not answer as the adapter in {folder}"
    if not np.isfinite(off + apart):
        raise UserError(what, "its log-probabilities are not finite", fix)
    if apart > SAME_BASE:
        why = f"without the adapter its log-probabilities differ from transformers' by {apart:.2g} nats"
        raise UserError("vLLM computes another base model", why, "use engine=hf")
    if _size(wanted) > 0 and _size(moved) == 0:
        why = "it has loaded nothing of it: the log-probabilities of a fixed text are the base model's"
        raise UserError(what, why, fix)
    if off > AGREES * _size(wanted) + 2 * apart:
        why = f"it moves log-probabilities by {_size(moved):.2g} nats, PEFT by {_size(wanted):.2g}, {off:.2g} apart"
        raise UserError(what, why, fix)


def _likeliest(logs: Any) -> Any:
    import numpy as np

    return np.argsort(-logs)[:LIKELIEST]


def _size(values: Any) -> float:
    """The root mean square."""
    import numpy as np

    return float(np.sqrt(np.mean(np.square(values))))
