"""What a thing is known by: the settings that make it, as plain values, and the hash of these."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from warmgap.disk import contents
from warmgap.errors import UserError
from warmgap.settings.schema import ModelConfig
from warmgap.settings.scope import left_out


def identity(config: Any, scope: str) -> Any:
    """Return the settings of one scope as plain nested dictionaries; ``runtime`` settings never appear.

    A nested group is entered whatever its own scope, so that a measurement's scorer, itself a model, is kept whole. A
    local model appears by its content. Raises UserError where its folder holds none, or not the one that is pinned.
    """
    return _collect(config, scope, inherited=None)


def _collect(value: Any, scope: str, inherited: str | None) -> Any:
    if isinstance(value, ModelConfig) and value.source == "local" and value.path:
        value = _known_by_content(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {}
        for field in dataclasses.fields(value):
            own = field.metadata["scope"]
            effective = own if own == "runtime" or inherited is None else inherited
            if effective != scope or left_out(field, getattr(value, field.name)):
                continue
            found[field.name] = _collect(getattr(value, field.name), scope, effective)
        return found
    if isinstance(value, dict):
        return {str(key): _collect(item, scope, inherited) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_collect(item, scope, inherited) for item in value]
    return value


def _known_by_content(model: ModelConfig) -> ModelConfig:
    found = contents.of_model(contents.folder_of(model.path))
    if model.sha256 not in (None, found):
        why = f"the SHA-256 of its content is {found}, the configuration says {model.sha256}"
        raise UserError(f"{model.path} is not the model that was expected", why, "name the folder that it lies in")
    return dataclasses.replace(model, path=None, sha256=found)


def digest(value: Any, length: int = 8) -> str:
    """Return the first ``length`` hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:length]
