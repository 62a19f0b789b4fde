"""Which version this is, where it lies, and how its main command is called."""

from pathlib import Path

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent  # what has to be on the search path of a new process


def train_command() -> str:
    """Return what is typed to train: ``python train.py`` in a checkout, ``warmgap train`` of an installed wheel."""
    return "python train.py" if (ROOT / "train.py").is_file() else "warmgap train"


FORMAT = 2  # of the folders of arms and comparisons; 1 had no checksums
