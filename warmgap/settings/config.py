"""From the command line to a checked ``Run``: composing with Hydra, and saying plainly what is wrong with a setting."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf, open_dict

from warmgap.errors import UserError
from warmgap.settings import conf_files, explain, fits, plugins
from warmgap.settings.limits import check_values
from warmgap.settings.schema import Run
from warmgap.version import train_command

Settings = TypeVar("Settings")


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
    _check_files()
    return rest


def _check_files() -> None:
    """Raise UserError for a file of settings or a prompt that two folders have under one name, or that is no yaml."""
    seen: dict[str, Path] = {}
    ours = conf_files.conf_dir().resolve()
    for folder in dict.fromkeys(folder.resolve() for folder in conf_files.folders()):
        for path in [*folder.glob("*.yaml"), *folder.glob("*/*.yaml"), *folder.glob("prompts/*.txt")]:
            name = path.relative_to(folder).as_posix()
            if path.suffix == ".yaml" and folder != ours:
                conf_files.check_yaml(path)
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
        with initialize_config_dir(config_dir=str(conf_files.conf_dir()), version_base="1.3"):
            return check(hydra_compose("config", overrides=given))
    except UserError:
        raise
    except Exception as error:
        raise explain.explain(error) from error


def look_outside() -> None:
    """Have Hydra search the folders from outside as well."""
    from hydra.core.plugins import Plugins

    from warmgap.settings.search_path import FromOutside

    Plugins.instance().register(FromOutside)


def settings(kind: type[Settings], group: str, base: dict[str, Any], given: Sequence[str] = ()) -> Settings:
    """Return the settings of a command that are no part of a run: ``base``, changed by ``key=value`` as typed.

    ``group`` is what errors call them by, and may stand before a key: ``model=…``, ``hosted.model=…``.
    """
    values, hints = OmegaConf.create(base), typing.get_type_hints(kind)
    for item in given:
        key, equals, text = item.removeprefix(f"{group}.").partition("=")
        if not equals or not key:
            raise UserError(f"{item!r} is not a setting", "a setting is written key=value", f"such as {group}.model=…")
        if explain.inner(hints.get(key)) is str and text != "null":
            OmegaConf.update(values, key, text)  # as it is written: a revision may look like a number
        else:
            values = DictConfig(OmegaConf.merge(values, OmegaConf.from_dotlist([f"{key}={text}"])))
    try:
        for key, names in _unknown_keys(values, kind, f"{group}."):
            raise explain.unknown_key_error(key, names)
        made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values))
        fits.check(made, group)
    except explain.FAULTS as error:
        raise explain.explain(error) from error
    if not isinstance(made, kind):
        raise TypeError(f"settings resolved to {type(made).__name__}")
    return made


def made(kind: type[Settings], values: Any, key: str) -> Settings:
    """Return an object of a class of settings from plain values that stand at a key, such as ``mitigation.truth_mix``.

    Raises UserError for a key that the class lacks, a value of another type, and one that is not set.
    """
    try:
        for name, names in _unknown_keys(OmegaConf.create({"": values})[""], kind, f"{key}."):
            raise explain.unknown_key_error(name, names)
        whole = OmegaConf.create()
        OmegaConf.update(whole, key, OmegaConf.structured(kind))
        OmegaConf.update(whole, key, values)
        if missing := sorted(OmegaConf.missing_keys(whole)):
            raise UserError(f"{missing[0]} is not set", "it has no default", f"set it: {missing[0]}=...")
        found = OmegaConf.to_object(OmegaConf.select(whole, key))
        fits.check(found, key)
    except explain.FAULTS as error:
        raise explain.explain(error) from error
    if not isinstance(found, kind):
        raise TypeError(f"{key} resolved to {type(found).__name__}")
    return found


def refuse(overrides: Sequence[str]) -> None:
    """Raise UserError for what Hydra would take in silence, or not in words that one can act on.

    Of a list of personas it keeps the last; a group set to null it cannot read.
    """
    if any(item.lstrip("+").startswith("hydra.searchpath=") for item in overrides):
        why = "prompts and choices would not be found in it"
        raise UserError("hydra.searchpath is not read", why, "name the folder by --config-dir DIR")
    if any(re.match(r"\+?persona=\[", item) for item in overrides):
        fix = f"sweep over them: {train_command()} -m +persona=warm,cold"
        raise UserError("several personas at once", "a run makes one arm", fix)
    for item in overrides:
        group, _, value = item.lstrip("+").partition("=")
        if value == "null" and (known := conf_files.choices(group.partition("@")[0])):
            raise UserError(f"{item} names no choice", f"{group} has {', '.join(known)}", f"{group}={known[0]}")


def check(config: DictConfig) -> Run:
    """Turn a composed configuration into a ``Run``. Unknown keys, wrong types and a missing persona are user errors."""
    try:
        return _settled(_checked(config))
    except explain.FAULTS as error:
        raise explain.explain(error) from error


def _checked(config: DictConfig) -> Run:
    """The run that a composed configuration gives, as far as its keys and types go."""
    if (config.get("method") or {}).get("name") == "hosted":
        why = "an endpoint trains apart from a run, for as long as it takes"
        fix = "warmgap hosted CONVERSATIONS.jsonl --persona warm --out DIR model=…"
        raise UserError("method=hosted is a command of its own", why, fix)
    unknown = _unknown_keys(config, Run, "")
    if unknown:
        key, names = unknown[0]
        raise explain.unknown_key_error(key, names)
    _put_to_work(config)
    for task in config.get("task") or {}:
        if task not in conf_files.choices("task"):
            raise explain.unknown_key_error(f"task.{task}", conf_files.choices("task"))
    for control in config.get("control") or {}:
        if control not in conf_files.choices("control"):
            raise explain.unknown_key_error(f"control.{control}", conf_files.choices("control"))
    if missing := sorted(OmegaConf.missing_keys(config)):
        fix = f"set it on the command line: {missing[0]}=..."
        raise UserError(f"{missing[0]} is not set", "it has no default", fix)
    if config.get("persona") is None and _about_warm(config):
        with open_dict(config):
            config.persona = conf_files.choice("persona", "warm")
    if config.get("persona") is None:
        names = conf_files.choices("persona")
        raise UserError(
            "no persona given",
            "a run needs to know which arm to make; it never guesses one",
            f"{train_command()} +persona=warm   (choices: {', '.join(names)})",
        )
    run = OmegaConf.to_object(OmegaConf.merge(_blank(config), config))
    if not isinstance(run, Run):
        raise TypeError(f"configuration resolved to {type(run).__name__}")
    return run


def _blank(values: Any) -> DictConfig:
    """The settings that a run has by itself; its suite gives way to those that are chosen, and does not join them."""
    made: DictConfig = OmegaConf.structured(Run)
    if values.get("suite"):
        made.suite = {}
    return made


def _settled(run: Run) -> Run:
    """Check a run's values, and put in what null stands for where that follows from other settings."""
    check_values(run, conf_files.choices)
    if run.grid.contexts_per_item is None:
        run.grid.contexts_per_item = len(run.context)
    return run


def _put_to_work(config: DictConfig) -> None:
    """Put to work what the settings name from outside, and have them carry the folders to other processes."""
    named = config.get("plugins")
    plugins.use([str(name) for name in named] if OmegaConf.is_list(named) else None, config.get("config_dirs"))
    _check_files()
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
    kind = explain.inner(kind)
    if not OmegaConf.is_dict(config):
        if dataclasses.is_dataclass(kind) and config is not None:
            raise explain.not_a_group(prefix[:-1], config, kind)
        wanted = typing.get_origin(kind)
        if config is not None and (wanted is dict or (wanted is list and not OmegaConf.is_list(config))):
            raise explain.not_of(prefix[:-1], config, wanted)
        return []
    if typing.get_origin(kind) is list:
        raise explain.not_of(prefix[:-1], config, list)
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


def changed(run: Run, values: dict[str, Any]) -> Run:
    """Return the run with some settings changed, by their dotted keys. Raises UserError for a key that is none."""
    settings, known = OmegaConf.structured(run), flat(run)
    try:
        for key, value in values.items():
            if key not in known:
                near = [name for name in sorted(known) if name.startswith(key.split(".")[0])]
                raise explain.unknown_key_error(key, near)
            OmegaConf.update(settings, key, value)
        made = OmegaConf.to_object(settings)
    except explain.FAULTS as error:
        raise explain.explain(error) from error
    if not isinstance(made, Run):
        raise TypeError(f"settings resolved to {type(made).__name__}")
    return _settled(made)


def thawed(values: dict[str, Any]) -> Run:
    """Return the run of the plain values that ``dataclasses.asdict`` made of it. Raises TypeError for others."""
    run = OmegaConf.to_object(OmegaConf.merge(_blank(values), values))
    if not isinstance(run, Run):
        raise TypeError(f"settings resolved to {type(run).__name__}")
    return run


def kind(run: Run, key: str) -> Any:
    """Return the type of a setting, by its dotted key, without ``| None``; of TRL's own, that of its value."""
    *groups, name = key.split(".")
    owner: Any = run
    for group in groups:
        owner = owner[group] if isinstance(owner, dict) else getattr(owner, group)
    return type(owner[name]) if isinstance(owner, dict) else explain.inner(typing.get_type_hints(type(owner))[name])


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
