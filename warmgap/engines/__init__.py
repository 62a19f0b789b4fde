"""Who answers: models on this machine and behind endpoints, with their templates, adapters and memory.

``ENGINES`` is the table of all that implement ``base.Engine``: another one is a module beside these and a line there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmgap.engines.base import Engine, Serving


def _hf(serving: Serving) -> Engine:
    from warmgap.engines.hf import HfEngine

    return HfEngine(serving.model, serving.device, serving.adapter, serving.alter)


def _endpoint(serving: Serving) -> Engine:
    from warmgap.engines.endpoint import EndpointEngine

    return EndpointEngine.serving(serving)


def _vllm(serving: Serving) -> Engine:
    from warmgap.engines.vllm.engine import VllmEngine

    return VllmEngine(serving)


ENGINES: dict[str, Callable[[Serving], Engine]] = {"hf": _hf, "vllm": _vllm, "endpoint": _endpoint}


def engine_of(serving: Serving) -> Engine:
    """Return the engine for a model; no weights are loaded and nobody is asked before it is put to use.

    Raises UserError where vLLM is asked for by name and cannot answer.
    """
    if serving.endpoint is not None:
        return ENGINES["endpoint"](serving)
    if serving.engine == "hf":
        return ENGINES["hf"](serving)
    from warmgap.engines.vllm import choice

    return ENGINES["vllm" if choice.takes(serving) else "hf"](serving)
