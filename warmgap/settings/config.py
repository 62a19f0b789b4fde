"""From the command line to a checked ``Run``: composing with Hydra, and saying plainly what is wrong with a setting."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from warmgap.errors import UserError
from warmgap.settings import plugins
from warmgap.settings.limits import check_values
from warmgap.settings.schema import ModelConfig, Run
from warmgap.version import train_command

Settings = TypeVar("Settings")


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
            return (folder / "prompts" / name).read_text(encoding="utf-8").strip()
    known = ", ".join(sorted({path.name for folder in folders() for path in (folder / "prompts").glob("*.txt")}))
    raise UserError(f"no prompt {name!r}", f"conf/prompts has {known}", "name one of these, or add a file")


def outside(arguments: Sequence[str]) -> list[str]:
    """Put to work what ``--config-dir DIR`` and ``plugins=[…]`` name; return the arguments without the former.

    Folders that were given before stay where none is given now. Raises UserError for a folder that does not exist, a
    module that cannot be imported, and a file of a name that another folder has as well.
    """
    places: list[str] = []
    modules: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for item in waiting:
        option, equals, value = item.partition("=")
        if option in ("--config-dir", "-cd"):
            places.append(value if equals else next(waiting, ""))
            if not places[-1]:
                raise UserError(f"{option} names no folder", "it needs one", "--config-dir DIR")
            continue
        if match := re.fullmatch(r"\+{0,2}plugins=\[([^\[\]]*)\]", item):
            modules = [name.strip(" '\"") for name in match[1].split(",") if name.strip()]
        rest.append(item)
    plugins.use(modules, places or None)
    _refuse_twice()
    return rest


def _refuse_twice() -> None:
    """Raise UserError for a file of settings or a prompt that two folders have under one name."""
    seen: dict[str, Path] = {}
    for folder in dict.fromkeys(folder.resolve() for folder in folders()):
        for path in [*folder.glob("*.yaml"), *folder.glob("*/*.yaml"), *folder.glob("prompts/*.txt")]:
            name = path.relative_to(folder).as_posix()
            if name in seen:
                fix = "rename one of them: the same name always means the same thing"
                raise UserError(f"two files are called {name}", f"{seen[name]} and {path}", fix)
            seen[name] = path


def compose(overrides: Sequence[str]) -> Run:
    """Compose ``conf/config.yaml`` with overrides as they stand on the command line, and check the result.

    ``--config-dir``, ``DIR`` may be among them.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    given = outside(overrides)
    refuse(given)
    try:
        look_outside()
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            return check(hydra_compose("config", overrides=given))
    except UserError:
        raise
    except Exception as error:
        raise explain(error) from error


def look_outside() -> None:
    """Have Hydra search the folders from outside as well."""
    from hydra.core.plugins import Plugins

    from warmgap.settings.search_path import FromOutside

    Plugins.instance().register(FromOutside)


def choice(group: str, name: str) -> dict[str, Any]:
    """Return the values of ``conf/<group>/<name>.yaml``. Raises UserError where there is no such file."""
    for path in (folder / group / f"{name}.yaml" for folder in folders()):
        if path.is_file():
            values = OmegaConf.to_container(OmegaConf.load(path))
            return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}
    raise _unknown_choice(group, name)


def settings(kind: type[Settings], group: str, base: dict[str, Any], given: Sequence[str] = ()) -> Settings:
    """Return the settings of a command that are no part of a run: ``base``, changed by ``key=value`` as typed.

    ``group`` is what errors call them by, and may stand before a key: ``model=…``, ``hosted.model=…``.
    """
    values, hints = OmegaConf.create(base), typing.get_type_hints(kind)
    for item in given:
        key, equals, text = item.removeprefix(f"{group}.").partition("=")
        if not equals or not key:
            raise UserError(f"{item!r} is not a setting", "a setting is written key=value", f"such as {group}.model=…")
        if _inner(hints.get(key)) is str and text != "null":
            OmegaConf.update(values, key, text)  # as it is written: a revision may look like a number
        else:
            values = DictConfig(OmegaConf.merge(values, OmegaConf.from_dotlist([f"{key}={text}"])))
    for key, names in _unknown_keys(values, kind, f"{group}."):
        raise _unknown_key_error(key, names)
    try:
        made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values))
    except OmegaConfBaseException as error:
        raise explain(error) from error
    if not isinstance(made, kind):
        raise TypeError(f"settings resolved to {type(made).__name__}")
    return made


def made(kind: type[Settings], values: Any, key: str) -> Settings:
    """Return an object of a class of settings from plain values that stand at a key, such as ``mitigation.truth_mix``.

    Raises UserError for a key that the class lacks, a value of another type, and one that is not set.
    """
    for name, names in _unknown_keys(OmegaConf.create({"": values})[""], kind, f"{key}."):
        raise _unknown_key_error(name, names)
    try:
        whole = OmegaConf.create()
        OmegaConf.update(whole, key, OmegaConf.structured(kind))
        OmegaConf.update(whole, key, values)
        if missing := sorted(OmegaConf.missing_keys(whole)):
            raise UserError(f"{missing[0]} is not set", "it has no default", f"set it: {missing[0]}=...")
        found = OmegaConf.to_object(OmegaConf.select(whole, key))
    except OmegaConfBaseException as error:
        raise explain(error) from error
    if not isinstance(found, kind):
        raise TypeError(f"{key} resolved to {type(found).__name__}")
    return found


def unknown_key(key: str, names: Sequence[str]) -> UserError:
    """Return the error for a setting that is none, with those that there are beside it."""
    return _unknown_key_error(key, sorted(names))


def refuse(overrides: Sequence[str]) -> None:
    """Raise UserError for a list of personas: Hydra would merge them and silently keep the last."""
    if any(item.lstrip("+").startswith("hydra.searchpath=") for item in overrides):
        why = "prompts and choices would not be found in it"
        raise UserError("hydra.searchpath is not read", why, "name the folder by --config-dir DIR")
    if any(re.match(r"\+?persona=\[", item) for item in overrides):
        fix = f"sweep over them: {train_command()} -m +persona=warm,cold"
        raise UserError("several personas at once", "a run makes one arm", fix)


def check(config: DictConfig) -> Run:
    """Turn a composed configuration into a ``Run``. Unknown keys, wrong types and a missing persona are user errors."""
    if (config.get("method") or {}).get("name") == "hosted":
        why = "an endpoint trains apart from a run, for as long as it takes"
        fix = "warmgap hosted CONVERSATIONS.jsonl --persona warm --out DIR model=…"
        raise UserError("method=hosted is a command of its own", why, fix)
    unknown = _unknown_keys(config, Run, "")
    if unknown:
        key, names = unknown[0]
        raise _unknown_key_error(key, names)
    _put_to_work(config)
    for task in config.get("task") or {}:
        if task not in choices("task"):
            raise _unknown_key_error(f"task.{task}", choices("task"))
    for control in config.get("control") or {}:
        if control not in choices("control"):
            raise _unknown_key_error(f"control.{control}", choices("control"))
    if missing := sorted(OmegaConf.missing_keys(config)):
        fix = f"set it on the command line: {missing[0]}=..."
        raise UserError(f"{missing[0]} is not set", "it has no default", fix)
    if config.get("persona") is None and _about_warm(config):
        with open_dict(config):
            config.persona = choice("persona", "warm")
    if config.get("persona") is None:
        names = choices("persona")
        raise UserError(
            "no persona given",
            "a run needs to know which arm to make; it never guesses one",
            f"{train_command()} +persona=warm   (choices: {', '.join(names)})",
        )
    try:
        run = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Run), config))
    except OmegaConfBaseException as error:
        raise explain(error) from error
    if not isinstance(run, Run):
        raise TypeError(f"configuration resolved to {type(run).__name__}")
    return _settled(run)


def _settled(run: Run) -> Run:
    """Check a run's values, and put in what null stands for where that follows from other settings."""
    check_values(run, choices)
    if run.grid.contexts_per_item is None:
        run.grid.contexts_per_item = len(run.context)
    return run


def _put_to_work(config: DictConfig) -> None:
    """Put to work what the settings name from outside, and have them carry the folders to other processes."""
    named = config.get("plugins")
    plugins.use([str(name) for name in named] if OmegaConf.is_list(named) else None, config.get("config_dirs"))
    _refuse_twice()
    if plugins.given():
        with open_dict(config):
            config.config_dirs = plugins.given()


def _about_warm(config: DictConfig) -> bool:
    """Whether what is asked is about the warm arm, as long as no other persona is named: recipes, a search, a dial."""
    compare = config.get("compare") or {}
    asked = [compare.get("recipes"), compare.get("personas"), (config.get("search") or {}).get("trials")]
    return any([*asked, config.get("dial")])


def _unknown_keys(config: Any, kind: Any, prefix: str) -> list[tuple[str, list[str]]]:
    """Return each key of ``config`` that dataclass ``kind`` lacks, with the names it has at that depth."""
    kind = _inner(kind)
    if not OmegaConf.is_dict(config):
        if dataclasses.is_dataclass(kind) and config is not None:
            raise _not_a_group(prefix[:-1], config, kind)
        return []
    found: list[tuple[str, list[str]]] = []
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        for key in config:
            if key not in hints:
                found.append((f"{prefix}{key}", sorted(hints)))
            elif not OmegaConf.is_missing(config, key):
                found += _unknown_keys(config[key], hints[str(key)], f"{prefix}{key}.")
    elif typing.get_origin(kind) is dict:
        value_kind = typing.get_args(kind)[1]
        for key in config:
            found += _unknown_keys(config[key], value_kind, f"{prefix}{key}.")
    return found


def _not_a_group(key: str, value: Any, kind: Any) -> UserError:
    names = ", ".join(field.name for field in dataclasses.fields(kind))
    fix = f"choose a file for it: model@{key}={value}" if kind is ModelConfig else f"set its parts: {key}.<name>=..."
    return UserError(f"{key}={value} is not a setting", f"{key} is a group that has {names}", fix)


def _inner(kind: Any) -> Any:
    """Strip ``| None`` from a type."""
    arguments = [item for item in typing.get_args(kind) if item is not type(None)]
    return arguments[0] if len(arguments) == 1 and type(None) in typing.get_args(kind) else kind


def _unknown_key_error(key: str, names: list[str]) -> UserError:
    prefix, _, last = key.rpartition(".")
    near = difflib.get_close_matches(last, names, n=1, cutoff=0.5)
    where = f"{prefix} has" if prefix else "the settings are"
    why = f"{where} {', '.join(names)}"
    fix = f"did you mean {prefix + '.' if prefix else ''}{near[0]}?" if near else "use one of these"
    return UserError(f"unknown setting {key!r}", why, fix)


def explain(error: Exception) -> UserError:
    """Turn an exception of Hydra or OmegaConf into the three lines that a user can act on."""
    text = str(error)
    if match := re.search(r"Could not find '([\w@./ -]+)/([\w.-]+)'", text):
        return _unknown_choice(match[1], match[2])
    if match := re.search(r"Could not load '([\w@./ -]+)/([\w.-]+)'", text):
        return _unknown_choice(match[1], match[2])
    if match := re.search(r"Could not override '([\w@./-]+)'\.?(?:.*No match in the defaults list)?", text, re.S):
        return _could_not_override(match[1], text)
    if match := re.search(r"Missing mandatory value: ([\w.]+)", text):
        return UserError(f"{match[1]} is not set", "it has no default", f"set it on the command line: {match[1]}=...")
    if match := re.search(r"Incompatible value 'None' for field of type '(\w+)'\s+full_key: ([\w.]+)", text):
        kind = {"int": "a whole number", "float": "a number", "str": "a text"}.get(match[1], match[1])
        return UserError(f"{match[2]}=null has the wrong type", f"expected {kind}", f"give {match[2]} {kind}")
    if match := re.search(r"Value '(.*?)'.* could not be converted to (\w+)", text):
        key = re.search(r"full_key: ([\w.\[\]]+)", text)
        name = key[1] if key else "a setting"
        kind = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}.get(match[2], match[2])
        return UserError(f"{name}={match[1]} has the wrong type", f"expected {kind}", f"give {name} {kind}")
    return _fallback(text)


def _unknown_choice(group: str, name: str) -> UserError:
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


def _could_not_override(key: str, text: str) -> UserError:
    if key == "persona":
        listed = ", ".join(choices("persona"))
        why = "persona has no default, so it is added with a plus"
        return UserError("persona is not in the defaults", why, f"+persona=warm   (choices: {listed})")
    kind: Any = Run
    parts = key.replace("@", ".").split(".")
    for depth, part in enumerate(parts):
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        if hints and part not in hints:
            return _unknown_key_error(".".join(parts[: depth + 1]), sorted(hints))
        if hints:
            kind = _inner(hints[part])
        elif typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
    if parts[0] == "task" and len(parts) > 1 and parts[1] not in choices("task"):
        return _unknown_key_error(f"task.{parts[1]}", choices("task"))
    if parts[0] == "mitigation" and len(parts) > 2:
        return _no_such_part(*parts[:3])
    if len(parts) > 1:
        given = re.search(r"use (\+\S+)", text)
        fix = f"add it with a plus: {given[1] if given else f'+{key}=...'}"
        return UserError(f"{key} has no value to replace", "no file of conf/ sets it", fix)
    return _fallback(text)


def _no_such_part(group: str, name: str, part: str) -> UserError:
    """What is wrong with a setting of ``conf/<group>/<name>.yaml``, whose settings are those under its name."""
    if name not in choices(group):
        return _unknown_key_error(f"{group}.{name}", choices(group))
    known = choice(group, name).get(name)
    if not isinstance(known, dict) or part in known:
        why = f"{name} is not at work in this run"
        return UserError(f"{group}.{name}.{part} has no value to replace", why, f"add {group}={name}")
    return _unknown_key_error(f"{group}.{name}.{part}", sorted(known))


def _fallback(text: str) -> UserError:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return UserError(
        "the settings cannot be put together",
        " ".join(lines)[:300] or "unknown",
        f"{train_command()} --help lists the groups; conf/config.yaml explains each line",
    )


def changed(run: Run, values: dict[str, Any]) -> Run:
    """Return the run with some settings changed, by their dotted keys. Raises UserError for a key that is none."""
    settings, known = OmegaConf.structured(run), flat(run)
    try:
        for key, value in values.items():
            if key not in known:
                raise _unknown_key_error(key, [name for name in sorted(known) if name.startswith(key.split(".")[0])])
            OmegaConf.update(settings, key, value)
        made = OmegaConf.to_object(settings)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    if not isinstance(made, Run):
        raise TypeError(f"settings resolved to {type(made).__name__}")
    return _settled(made)


def kind(run: Run, key: str) -> Any:
    """Return the type of a setting, by its dotted key, without ``| None``; of TRL's own, that of its value."""
    *groups, name = key.split(".")
    owner: Any = run
    for group in groups:
        owner = owner[group] if isinstance(owner, dict) else getattr(owner, group)
    return type(owner[name]) if isinstance(owner, dict) else _inner(typing.get_type_hints(type(owner))[name])


def flat(run: Run) -> dict[str, Any]:
    """Return the settings as a flat dictionary with dotted keys, for tables and trackers."""
    found: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), item)
        else:
            found[prefix] = value

    walk("", dataclasses.asdict(run))
    return found


def with_persona(settings: Sequence[str]) -> list[str]:
    """Return settings that name a persona: none, where they name no other and are not about the warm one anyway."""
    about = (
        "persona=",
        "compare.recipes=",
        "compare.personas=",
        "dial=",
        "experiment=mitigation",
        "experiment=isolate",
    )
    named = any(item.lstrip("+").startswith(about) for item in settings)
    return [*settings] if named else [*settings, "+persona=none"]
