"""What made an arm or a comparison: code, versions, machine, settings."""

from __future__ import annotations

import datetime
import hashlib
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from warmgap import hidden
from warmgap.version import FORMAT, ROOT, VERSION

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "hydra-core", "wandb", "statsmodels")


def versions() -> dict[str, str]:
    """Return the versions of Python, warmgap and the libraries that results depend on."""
    found = {"python": platform.python_version(), "warmgap": VERSION}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def commit() -> str | None:
    """Return the checkout's commit, with ``-dirty`` where it has changes; None outside a checkout."""
    if not (ROOT / "train.py").is_file():
        return None
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def command_line() -> str:
    """Return the command as it was typed, as far as Python knows it, without what looks like a secret."""
    program = Path(sys.argv[0]).name or "python"
    return " ".join([f"python {program}" if program.endswith(".py") else program, *hidden.typed(sys.argv[1:])])


def record(**fields: Any) -> dict[str, Any]:
    """Return a manifest: the fields given, and what made them."""
    return {
        **fields,
        "format": FORMAT,
        "created": now(),
        "command": command_line(),
        "commit": commit(),
        "platform": platform.platform(),
        "versions": versions(),
    }


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
