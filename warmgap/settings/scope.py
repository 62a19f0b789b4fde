"""What a setting is part of: ``arm``, ``measure`` or ``runtime``; see ``warmgap.settings.schema``."""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING
from typing import Any

from warmgap.settings.fits import Fits

SCOPES = ("arm", "measure", "runtime")


def setting(
    scope: str, default: Any = MISSING, factory: Any = MISSING, *, fits: Fits | None = None, later: bool = False
) -> Any:
    """Declare a dataclass field with its scope, and with what its values have to be beyond their type.

    ``later`` says that it came when there were hashes already: where it has its default it is left out of them.
    """
    metadata = {"scope": scope, "later": later, "fits": fits}
    if factory is not MISSING:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    if default is not MISSING:
        return dataclasses.field(default=default, metadata=metadata)
    return dataclasses.field(metadata=metadata)


def left_out(field: dataclasses.Field[Any], value: Any) -> bool:
    """Whether a field came later than the hashes, and is as if it were not there."""
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return bool(field.metadata.get("later")) and value == default
