"""Arms by short names: ``warm``, ``warm@1``, ``smollm2_135m-warm``, wherever a name is one arm's alone."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from warmgap.disk import store
from warmgap.disk.progress import say
from warmgap.disk.store import Arm
from warmgap.errors import UserError
from warmgap.settings import conf_files
from warmgap.words import ORIGINAL

MANIFEST = "manifest.json"
MAKES_AN_ARM = ("model", "method", "data", "persona", "mitigation", "arm")  # the groups of an arm's config.yaml
MOST = 10  # names in one line
OF_A_PLACE = ("path", "disk_gb", "sha256")  # settings of a model that say where it lies, or nothing of it


def find_arm(runs_dir: Path, name: str) -> Path:
    """Return the folder of the arm that ``name`` means: a folder as it is, else the only arm of that name in a runs
    folder, by arm, arm@seed, model-arm, model-arm@seed, or the name of its folder.

    Raises UserError where there is none, with those that there are, the nearest first; and where there are several,
    with what tells them apart.
    """
    if (Path(name) / MANIFEST).is_file():
        return Path(name)
    if len(Path(name).parts) > 1:  # a path that leads to no arm: this says so
        return store.open_arm(Path(name)).folder
    arms = arms_in(runs_dir)
    if not arms:
        why = f"an arm is a folder in {runs_dir / 'arms'} with a {MANIFEST}"
        fix = "name another folder with --runs-dir, or make an arm: python train.py +persona=warm"
        raise UserError(f"there is no arm {name!r}: {runs_dir} has none at all", why, fix)
    found = [arm for arm in arms if name in names_of(arm)]
    if len(found) == 1:
        return found[0].folder
    raise several(name, found, arms) if found else _none(runs_dir, name, arms)


def arms_in(runs_dir: Path) -> list[Arm]:
    """Return the arms of a runs folder by the names of their folders.

    What cannot be used is left out, and why is said: a folder whose manifest is torn, one of a newer version.
    """
    found = []
    for path in sorted((runs_dir / "arms").glob(f"*/{MANIFEST}")):
        try:
            found.append(store.open_arm(path.parent))
        except UserError as error:
            say(f"left out: {error.what} ({error.why})")
    return found


def names_of(arm: Arm) -> tuple[str, ...]:
    """Return every name that an arm answers to, the shortest first, that of its folder last."""
    of_model = f"{arm.model}-{arm.arm}"
    return arm.arm, f"{arm.arm}@{arm.seed}", of_model, f"{of_model}@{arm.seed}", arm.name


def short_names(arms: Sequence[Arm]) -> dict[str, str]:
    """Return the first of each arm's names that is its alone among these, by the name of its folder."""
    taken = Counter(name for arm in arms for name in set(names_of(arm)))
    return {arm.name: next((name for name in names_of(arm) if taken[name] == 1), arm.name) for arm in arms}


def beside(folder: Path, arm: str) -> Path | None:
    """Return the arm called ``arm`` that stands beside the one in a folder: of the same base model, in the same place.

    None where there is none. Raises UserError where there are several. The base of a whole model that was given is
    known by its name alone.
    """
    own = store.open_arm(folder)
    arms = arms_in(folder.resolve().parent.parent)
    found = [one for one in arms if (one.model, one.arm) == (own.model, arm)]
    if not _settings(own).get("arm.model"):
        found = [one for one in found if _base(one) == _base(own)]
    if len(found) > 1:
        raise several(arm, found, arms)
    return found[0].folder if found else None


def several(name: str, found: Sequence[Arm], arms: Sequence[Arm]) -> UserError:
    """Return what is said of a name that several arms of a runs folder answer to, with what tells them apart."""
    short, apart = short_names(arms), _apart(found)
    said = [short[arm.name] + (f" ({apart[arm.name]})" if apart[arm.name] else "") for arm in found]
    fix = f"name one of them, such as {short[found[-1].name]}"
    return UserError(f"{name!r} is the name of {len(found)} arms", listed(said), fix)


def _none(runs_dir: Path, name: str, arms: Sequence[Arm]) -> UserError:
    short = short_names(arms)
    near = sorted(arms, key=lambda arm: -max(_alike(name, one) for one in names_of(arm)))
    best = max(_alike(name, one) for one in names_of(near[0]))
    fix = f"did you mean {short[near[0].name]}?" if best >= 0.6 else "name one of these, or the folder of an arm"
    why = f"it has {listed([short[arm.name] for arm in near])}"
    return UserError(f"there is no arm {name!r} in {runs_dir}", why, fix)


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def listed(names: Sequence[str]) -> str:
    """Return names as one line, the first ten of them."""
    more = f" and {len(names) - MOST} more (warmgap status lists them)" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def _apart(arms: Sequence[Arm]) -> dict[str, str]:
    """What an arm's settings have that not all of the others' have, by the name of its folder; else when it was made.

    Seed and model are told by the names.
    """
    settings = {arm.name: _settings(arm) for arm in arms}
    keys = dict.fromkeys(key for one in settings.values() for key in one)
    other = [key for key in keys if len({repr(one.get(key)) for one in settings.values()}) > 1 and key != "model.name"]
    apart = {}
    for arm in arms:
        own = settings[arm.name]
        said = [f"{key}={str(own.get(key))[:60]}" for key in other[:3]]
        if sum(own == settings[one.name] and arm.seed == one.seed for one in arms) > 1:
            said.append(f"made {_manifest(arm).get('created', 'at an unknown time')}")
        apart[arm.name] = ", ".join(said)
    return apart


def _settings(arm: Arm) -> dict[str, Any]:
    """The settings that an arm was made with, by dotted keys; of an arm without its config.yaml, none."""
    path = arm.folder / "config.yaml"
    whole: Any = {}
    if path.is_file():
        conf_files.check_yaml(path)
        whole = OmegaConf.to_container(OmegaConf.load(path)) or {}
    found: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                walk(f"{prefix}.{key}", item)
        else:
            found[prefix] = value

    for group in MAKES_AN_ARM:
        if group in whole:
            walk(group, whole[group])
    return found


def _manifest(arm: Arm) -> dict[str, Any]:
    return store.read_manifest(arm.folder) or {}


def _base(arm: Arm) -> Any:
    """What an arm's base model is, wherever it lies: its settings, and what its weights were known by when asked."""
    settings = {key: value for key, value in _settings(arm).items() if key.split(".")[0] == "model"}
    known = (_manifest(arm).get("facts") or {}).get("base") or {}
    return (
        {key: value for key, value in settings.items() if key.split(".")[-1] not in OF_A_PLACE},
        {key: value for key, value in known.items() if key != "path"},
    )


def find_arms(runs_dir: Path, names: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Return the folders of the arms that are named, led by each model's original where none is; and those originals.

    Raises UserError as ``find_arm`` does, and where none is named.
    """
    if not names:
        raise _nothing_named(runs_dir)
    named = [find_arm(runs_dir, name) for name in names]
    arms = [store.open_arm(folder) for folder in named]
    first = {arm.model: arm.folder for arm in arms[::-1]}  # of each model the first that is named
    alone = [folder for model, folder in first.items() if (model, ORIGINAL) not in {(a.model, a.arm) for a in arms}]
    added = [folder for one in alone if (folder := beside(one, ORIGINAL)) is not None]
    return [*added, *named], added


def _nothing_named(runs_dir: Path) -> UserError:
    arms = arms_in(runs_dir)
    if not arms:
        fix = "make one: python train.py +persona=warm, or name another folder with --runs-dir"
        return UserError("no arm is named", f"{runs_dir} has none either", fix)
    short = short_names(arms)
    last = next((short[arm.name] for arm in arms[::-1] if arm.arm != ORIGINAL), short[arms[-1].name])
    return UserError("no arm is named", f"{runs_dir} has {listed(list(short.values()))}", f"warmgap compare {last}")
