"""The files of ``conf``, ours and those from outside: which there are, and what stands in them."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from warmgap.disk.once import once
from warmgap.errors import UserError
from warmgap.settings import plugins


@cache
def conf_dir() -> Path:
    """Return the folder of configuration files: ``conf`` of the checkout, or the one inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def folders() -> list[Path]:
    """Return the folders in which configuration files and prompts lie: ours, then those from outside."""
    return [conf_dir(), *plugins.folders()]


def choices(group: str) -> list[str]:
    """Return the names of a configuration group's files."""
    return sorted({path.stem for folder in folders() for path in (folder / group).glob("*.yaml")})


def read_prompt(name: str) -> str:
    """Return the text of a file in ``conf/prompts``, ours or from outside, without surrounding blank space."""
    for folder in folders():
        if (folder / "prompts" / name).is_file():
            return _text(folder / "prompts" / name)
    known = ", ".join(sorted({path.name for folder in folders() for path in (folder / "prompts").glob("*.txt")}))
    raise UserError(f"no prompt {name!r}", f"conf/prompts has {known}", "name one of these, or add a file")


@once
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def choice(group: str, name: str) -> dict[str, Any]:
    """Return the values of ``conf/<group>/<name>.yaml``. Raises UserError where there is no such file."""
    for path in (folder / group / f"{name}.yaml" for folder in folders()):
        if path.is_file():
            values = OmegaConf.to_container(OmegaConf.load(path))
            return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}
    raise unknown_choice(group, name)


def unknown_choice(group: str, name: str) -> UserError:
    known = choices(group.split("@")[0])
    if not known:
        found = {path.name for folder in folders() for path in folder.iterdir() if path.is_dir()}
        groups = sorted(found - {"prompts"})
        near = difflib.get_close_matches(group, groups, n=1, cutoff=0.4)
        fix = f"did you mean {near[0]}={name}?" if near else "use one of these"
        return UserError(f"there is no group {group!r}", f"the groups are {', '.join(groups)}", fix)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    fix = f"did you mean {group}={near[0]}?" if near else "use one of these"
    return UserError(f"{group}={name} is not known", f"the choices of {group} are {', '.join(known)}", fix)
