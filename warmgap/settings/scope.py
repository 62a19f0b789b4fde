"""What a setting is part of: ``arm``, ``measure`` or ``runtime``; see ``warmgap.settings.schema``."""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING
from typing import Any

SCOPES = ("arm", "measure", "runtime")


def setting(scope: str, default: Any = MISSING, factory: Any = MISSING, *, later: bool = False) -> Any:
    """Declare a dataclass field with its scope.

    ``later`` says that it came when there were hashes already: where it is empty it is left out of them.
    """
    metadata = {"scope": scope, "later": later}
    if factory is not MISSING:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    if default is not MISSING:
        return dataclasses.field(default=default, metadata=metadata)
    return dataclasses.field(metadata=metadata)
