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
from warmgap.settings.limits import check_values
from warmgap.settings.schema import ModelConfig, Run

Settings = TypeVar("Settings")


def conf_dir() -> Path:
    """Return the folder of configuration files: ``conf`` of the checkout, or the one inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def choices(group: str) -> list[str]:
    """Return the names of a configuration group's files."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def read_prompt(name: str) -> str:
    """Return the text of a file in ``conf/prompts``, without surrounding blank space."""
    path = conf_dir() / "prompts" / name
    if not path.is_file():
        known = ", ".join(sorted(item.name for item in path.parent.glob("*.txt")))
        raise UserError(f"no prompt {name!r}", f"conf/prompts has {known}", "name one of these, or add a file")
    return path.read_text(encoding="utf-8").strip()


def compose(overrides: list[str]) -> Run:
    """Compose ``conf/config.yaml`` with overrides as they stand on the command line, and check the result."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    refuse(overrides)
    try:
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            return check(hydra_compose("config", overrides=overrides))
    except UserError:
        raise
    except Exception as error:
        raise explain(error) from error


def choice(group: str, name: str) -> dict[str, Any]:
    """Return the values of ``conf/<group>/<name>.yaml``. Raises UserError where there is no such file."""
    if name not in choices(group):
        raise _unknown_choice(group, name)
    values = OmegaConf.to_container(OmegaConf.load(conf_dir() / group / f"{name}.yaml"))
    return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}


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


def refuse(overrides: list[str]) -> None:
    """Raise UserError for a list of personas: Hydra would merge them and silently keep the last."""
    if any(re.match(r"\+?persona=\[", item) for item in overrides):
        fix = "sweep over them: python train.py -m +persona=warm,cold"
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
            f"python train.py +persona=warm   (choices: {', '.join(names)})",
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
        groups = sorted(path.name for path in conf_dir().iterdir() if path.is_dir() and path.name != "prompts")
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
    if len(parts) > 1:
        given = re.search(r"use (\+\S+)", text)
        fix = f"add it with a plus: {given[1] if given else f'+{key}=...'}"
        return UserError(f"{key} has no value to replace", "no file of conf/ sets it", fix)
    return _fallback(text)


def _fallback(text: str) -> UserError:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return UserError(
        "the settings cannot be put together",
        " ".join(lines)[:300] or "unknown",
        "python train.py --help lists the groups; conf/config.yaml explains each line",
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
