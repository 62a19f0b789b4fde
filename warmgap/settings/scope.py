"""What a setting is part of: ``arm``, ``measure`` or ``runtime``; see ``warmgap.settings.schema``."""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING
from typing import Any

SCOPES = ("arm", "measure", "runtime")


def setting(scope: str, default: Any = MISSING, factory: Any = MISSING) -> Any:
    """Declare a dataclass field with its scope."""
    if factory is not MISSING:
        return dataclasses.field(default_factory=factory, metadata={"scope": scope})
    if default is not MISSING:
        return dataclasses.field(default=default, metadata={"scope": scope})
    return dataclasses.field(metadata={"scope": scope})
