"""Which group a context belongs to: what its yaml in ``conf/context`` says."""

from __future__ import annotations

from functools import cache

from omegaconf import OmegaConf

from warmgap.settings import conf_files
from warmgap.words import NONE


def known() -> dict[str, str]:
    """Return the group of every context that ``conf/`` has, and of none, in the order of ``conf/config.yaml``."""
    return {NONE: NONE} | dict(_read(tuple(conf_files.choices("context"))))


@cache
def _read(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    defaults = OmegaConf.load(conf_files.conf_dir() / "config.yaml").defaults
    listed = next(line["context"] for line in defaults if OmegaConf.is_dict(line) and "context" in line)
    files = [conf_files.choice("context", name) for name in dict.fromkeys([*map(str, listed), *names])]
    return tuple((name, str(one.get("group", name))) for file in files for name, one in file.items())
