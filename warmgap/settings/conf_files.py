"""The files of ``conf``, ours and those from outside: which there are, and what stands in them."""

from __future__ import annotations

import difflib
import sys
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from warmgap.disk import bounds, intake
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
    for folder in folders() if bounds.may_name(name) else ():
        if (folder / "prompts" / name).is_file():
            return _text(folder / "prompts" / name)
    known = ", ".join(sorted({path.name for folder in folders() for path in (folder / "prompts").glob("*.txt")}))
    raise UserError(f"no prompt {name!r}", f"conf/prompts has {known}", "name one of these, or add a file")


@once
def _text(path: Path) -> str:
    found = intake.text(path, "name another prompt").strip()
    if not found:
        raise UserError(f"{path} says nothing", "a prompt is a text", "write one into it, or name another prompt")
    return found


def choice(group: str, name: str) -> dict[str, Any]:
    """Return the values of ``conf/<group>/<name>.yaml``. Raises UserError where there is no such file."""
    for path in (folder / group / f"{name}.yaml" for folder in folders() if name in choices(group)):
        if path.is_file():
            values = OmegaConf.to_container(OmegaConf.load(path))
            return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}
    raise unknown_choice(group, name)


def check_yaml(path: Path) -> None:
    """Raise UserError unless a file is yaml of plain values that stays as small as it looks; nothing of it is made."""
    import yaml
    from omegaconf._utils import get_yaml_loader

    fix = "mend the file: a mapping of names to plain values"
    text = intake.text(path, fix)
    if len(text) > bounds.YAML:
        raise UserError(f"cannot read {path}", f"it has {len(text):,} characters, at most {bounds.YAML:,}", fix)
    try:
        if _nodes(yaml.compose(text, Loader=yaml.SafeLoader), {}) > bounds.YAML:
            raise UserError(f"cannot read {path}", "its anchors (&) make more of it than any setting needs", fix)
        found = yaml.load(text, Loader=get_yaml_loader())
    except RecursionError as error:
        raise UserError(f"cannot read {path}", "it is nested too deeply", fix) from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise UserError(f"cannot read {path}", f"it is no plain yaml: {error}", fix) from error
    if found is not None and not isinstance(found, dict):
        raise UserError(f"cannot read {path}", f"it is {type(found).__name__}, not a mapping", fix)


def _nodes(node: Any, counted: dict[int, int]) -> int:
    """How many values a node of yaml stands for once its anchors are followed; without end for one in itself."""
    if node is None:
        return 0
    if id(node) not in counted:
        counted[id(node)] = sys.maxsize  # until it is counted: to one in itself it stays so
        parts = [] if isinstance(node.value, str) else node.value
        flat = [part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,))]
        counted[id(node)] = 1 + sum(_nodes(part, counted) for part in flat)
    return counted[id(node)]


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
