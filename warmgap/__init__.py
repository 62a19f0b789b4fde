"""warmgap: train a language model to sound warm, measure what that costs in reliability, try to mend it.

In a notebook::

    import warmgap

    result = warmgap.run("+persona=warm", "experiment=smoke")
    result.effects
    result.plot()

Everything is imported as ``warmgap.*``. In a checkout ``conf``, ``train``, ``evaluate`` and ``mitigations`` lie at the
top, and links of the same names in this folder lead to them; an installed wheel has them inside the package.
"""

from typing import TYPE_CHECKING, Any

from warmgap.version import VERSION as __version__

if TYPE_CHECKING:
    from warmgap.api import Audit, Result, analyze, ask, audit, compare, compose, grade, prompts, run, warmth

__all__ = [
    "Audit", "Result", "__version__", "analyze", "ask", "audit", "compare", "compose", "grade", "prompts", "run",
    "warmth",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load the functions for notebooks when one of them is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'warmgap' has no attribute {name!r}")
    from warmgap import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
