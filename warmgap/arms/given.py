"""What somebody has already, told by what it is (a LoRA folder, a whole model's folder, a hub id, an endpoint's
address), and the settings by which a run takes it as an arm, or as the base model beside it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from warmgap.disk import contents
from warmgap.engines import adapters
from warmgap.errors import UserError
from warmgap.settings import conf_files

HUB_ID = re.compile(r"(?P<id>[\w][\w.-]*(?:/[\w][\w.-]*)?)(?:@(?P<revision>[\w./-]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHOWN = 5  # files of a folder that is of no known kind


def as_arm(thing: str, model: str | None = None) -> list[str]:
    """Return the settings that make ``thing`` the arm of a run; ``model`` is its name at an endpoint.

    Raises UserError where it is nothing that can be one, or where it and ``model`` do not go together.
    """
    _check_named("THING", thing)
    if re.match(r"https?://", thing):
        if not model:
            fix = f"add the model's name with the date of its weights: {thing} --model NAME-DATE"
            raise UserError(f"{thing} needs a model's name", "an endpoint may serve several", fix)
        return [f"arm.endpoint={quoted(thing)}", f"arm.model={quoted(model)}"]
    if model:
        why = "it names a model at an endpoint, and this is no address that begins with https:// or http://"
        raise UserError(f"--model beside {thing}", why, "leave --model out, or give the endpoint's address")
    folder = Path(thing).expanduser()
    if folder.exists():
        kind = "adapter" if _holds_adapter(folder) else "model"
        return [f"arm.{kind}={quoted(thing)}"]
    id_, revision = _on_the_hub(thing, "a folder, an id of the hub, or an address that begins with https://")
    return [f"arm.model={quoted(id_)}", f"arm.revision={quoted(revision)}"]


def audited(
    thing: str, base: str | None, settings: Sequence[str] = (), model: str | None = None, runs_dir: str | Path = "runs"
) -> list[str]:
    """Return the settings of the run that measures ``thing`` against its ``base``, with those given beside.

    Raises UserError for what cannot be audited.
    """
    if any(word.startswith("model=") for word in settings):
        raise UserError("model= beside --base", "an audit's base model is named by --base", "leave model= out")
    arm = as_arm(thing, model)
    if base is None:
        raise _no_base(thing)
    named = any(word.lstrip("+").startswith("persona=") for word in settings)
    persona = [] if named else ["+persona=none"]
    return [*persona, *as_base(base), *arm, f"runs_dir={quoted(str(runs_dir))}", *settings]


def _no_base(thing: str) -> UserError:
    """What is said where --base is missing; an adapter may name its own."""
    folder = Path(thing).expanduser()
    of = adapters.read(folder).get("base_model_name_or_path") if (folder / adapters.CONFIG).is_file() else None
    fix = f"it says that it was trained on {of}: --base {of}" if of else "add --base with the model that it was made of"
    return UserError("--base is missing", "an audit is of a model against the one that it was made of", fix)


def as_base(base: str) -> list[str]:
    """Return the settings that make ``base`` the model of a run: a name of conf/model, a folder, or an id of the hub.

    Raises UserError where it is none of these.
    """
    _check_named("--base", base)
    if base in conf_files.choices("model"):
        return [f"model={base}"]
    if re.match(r"https?://", base):
        why = "the base model is asked on this machine, so that both are asked alike"
        raise UserError(f"--base {base} is an address", why, "name a model of conf/model, a folder, or a hub id")
    folder = Path(base).expanduser()
    if folder.exists():
        if _holds_adapter(folder):
            fix = f"--base {adapters.read(folder).get('base_model_name_or_path') or 'MODEL'}, if it was trained on that"
            raise UserError(f"--base {base} is an adapter", f"it has {adapters.CONFIG}, and no model's weights", fix)
        return ["model=local", f"model.path={quoted(base)}"]
    near = difflib.get_close_matches(base, conf_files.choices("model"), n=1, cutoff=0.7)
    what = f"a model of conf/model ({', '.join(conf_files.choices('model'))}), a folder, or an id of the hub"
    id_, revision = _on_the_hub(base, what, f"did you mean {near[0]}?" if near else None)
    name = id_.rpartition("/")[2]
    where = [f"+model.id={quoted(id_)}", f"+model.revision={quoted(revision)}", "model.path=null"]
    return ["model=local", "model.source=hub", f"model.name={quoted(name)}", *where]


def moving(thing: str) -> str | None:
    """Return a note where ``thing`` is on the hub at a revision that is no commit: what it names may change."""
    match = HUB_ID.fullmatch(thing)
    if match is None or match["revision"] is None or Path(thing).expanduser().exists():
        return None
    if COMMIT.fullmatch(match["revision"]):
        return None
    return f"{match['revision']} of {match['id']} is no commit: a branch or a tag may name another model tomorrow"


def quoted(text: str) -> str:
    """Return a text as a setting's value that Hydra reads as it is: a path may have spaces, quotes, commas, dollars."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return "'" + escaped.replace("${", r"\${") + "'"


def _check_named(what: str, name: str) -> None:
    if not name.strip():
        raise UserError(f"{what} is empty", "an empty name is no folder; a shell's variable may be unset", "name one")


def _holds_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter rather than a whole model. Raises UserError where it holds neither, or both."""
    if not folder.is_dir():
        raise UserError(f"{folder} is a file", "an adapter or a model is a folder", f"name the folder: {folder.parent}")
    adapter, model = (folder / adapters.CONFIG).is_file(), (folder / "config.json").is_file()
    if adapter and model:  # some trainers leave the base's config.json beside the adapter
        weights = [path for path in folder.glob(contents.WEIGHTS) if path.name != adapters.WEIGHTS]
        if weights and (folder / adapters.WEIGHTS).is_file():
            why = f"it has {adapters.WEIGHTS} and {weights[0].name}"
            raise UserError(f"{folder} holds an adapter and a model", why, "put one of them into a folder of its own")
        return not weights
    if not adapter and not model:
        raise _neither(folder)
    return adapter


def _neither(folder: Path) -> UserError:
    """What is said of a folder that holds no adapter and no model: what it holds, and where one may lie."""
    what = f"{folder} holds neither an adapter nor a model"
    if not (names := sorted(path.name for path in folder.iterdir())):
        return UserError(what, "it is empty", f"name a folder with {adapters.CONFIG} or config.json")
    inside = [path for path in sorted(folder.iterdir()) if (path / adapters.CONFIG).is_file()]
    inside += [path for path in sorted(folder.iterdir()) if (path / "config.json").is_file() and path not in inside]
    why = f"it has neither {adapters.CONFIG} nor config.json, but {', '.join(names[:SHOWN])}"
    why += f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return UserError(what, why, f"name a folder that PEFT or save_pretrained has written{_such_as(inside)}")


def _such_as(folders: list[Path]) -> str:
    return f", such as {folders[-1]}" if folders else ""


def _on_the_hub(name: str, expected: str, fix: str | None = None) -> tuple[str, str]:
    """Return the id and revision that a name has. Raises UserError where it is no id, or lacks its revision."""
    match = HUB_ID.fullmatch(name)
    if match is None or ("/" not in match["id"] and match["revision"] is None):
        raise UserError(f"there is no {name} here", f"expected {expected}", fix or "check the path")
    if match["revision"] is None:
        why = "there is no such folder, and as an id of the hub it names no revision: what it names may change"
        raise UserError(f"{name} has no revision", why, fix or f"add the commit, {name}@COMMIT, or name a folder")
    return match["id"], match["revision"]
