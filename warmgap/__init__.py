"""warmgap: train a language model to sound warm, measure what that costs in reliability, try to mend it.

Everything is imported as ``warmgap.*``. In a checkout the code of training, evaluation and mitigation lies in top-level
folders of its own; they become ``warmgap.train``, ``warmgap.evaluate`` and ``warmgap.mitigations`` by appending the
checkout's root to this package's search path. An installed wheel has them inside the package already.
"""

from pathlib import Path as _Path

__version__ = "0.1.0"

_root = _Path(__file__).resolve().parent.parent
if (_root / "conf" / "config.yaml").is_file() and (_root / "train.py").is_file():
    __path__.append(str(_root))
