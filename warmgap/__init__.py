"""warmgap: train a language model to sound warm, measure what that costs in reliability, try to mend it.

Everything is imported as ``warmgap.*``. In a checkout ``conf``, ``train``, ``evaluate`` and ``mitigations`` lie at the
top, and links of the same names in this folder lead to them; an installed wheel has them inside the package.
"""

from warmgap.version import VERSION as __version__

__all__ = ["__version__"]
