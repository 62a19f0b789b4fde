"""Which version this is, and where it lies."""

from pathlib import Path

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent  # what has to be on the search path of a new process
