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


ENGINES: dict[str, Callable[[Serving], Engine]] = {"hf": _hf, "endpoint": _endpoint}


def engine_of(serving: Serving) -> Engine:
    """Return the engine for a model; no weights are loaded and nobody is asked before it is put to use."""
    return ENGINES["hf" if serving.endpoint is None else "endpoint"](serving)
