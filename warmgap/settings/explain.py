"""What is wrong with a setting, in three lines: whatever Hydra or OmegaConf says of it, and near names."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from warmgap.errors import UserError
from warmgap.settings import conf_files
from warmgap.settings.schema import ModelConfig, Run
from warmgap.version import train_command

FAULTS = (OmegaConfBaseException, RecursionError)  # a setting that refers to itself recurses


def not_a_group(key: str, value: Any, kind: Any) -> UserError:
    names = ", ".join(field.name for field in dataclasses.fields(kind))
    fix = f"choose a file for it: model@{key}={value}" if kind is ModelConfig else f"set its parts: {key}.<name>=..."
    return UserError(f"{key}={value} is not a setting", f"{key} is a group that has {names}", fix)


def not_of(key: str, value: Any, kind: type) -> UserError:
    """What is said of a value that is no list, or no group of parts, where one is expected."""
    expected = "a list, such as [a,b]" if kind is list else "parts with names, such as {a: 1}"
    return UserError(f"{key}={value} has the wrong type", f"expected {expected}", f"give {key} {expected}")


def inner(kind: Any) -> Any:
    """Strip ``| None`` from a type."""
    arguments = [item for item in typing.get_args(kind) if item is not type(None)]
    return arguments[0] if len(arguments) == 1 and type(None) in typing.get_args(kind) else kind


def unknown_key_error(key: str, names: list[str]) -> UserError:
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
        return conf_files.unknown_choice(match[1], match[2])
    if match := re.search(r"Could not load '([\w@./ -]+)/([\w.-]+)'", text):
        return conf_files.unknown_choice(match[1], match[2])
    if match := re.search(r"Could not override '([\w@./-]+)'\.?(?:.*No match in the defaults list)?", text, re.S):
        return _could_not_override(match[1], text)
    if found := _unreadable(text) or _leads_nowhere(text):
        return found
    if match := re.search(r"Missing mandatory value: ([\w.]+)", text):
        return UserError(f"{match[1]} is not set", "it has no default", f"set it on the command line: {match[1]}=...")
    if match := re.search(r"Incompatible value 'None' for field of type '(\w+)'\s+full_key: ([\w.]+)", text):
        kind = {"int": "a whole number", "float": "a number", "str": "a text"}.get(match[1], match[1])
        return UserError(f"{match[2]}=null has the wrong type", f"expected {kind}", f"give {match[2]} {kind}")
    if match := re.search(r"field '\w+' is not Optional", text):
        name = _full_key(text)
        return UserError(f"{name}=null has the wrong type", "it needs a value", f"give {name} a value, or leave it out")
    if match := re.search(r"Error merging override ([^=\s]+)=(.*)", text):
        why = "it is of another kind: a group has parts, a list has items"
        return UserError(
            f"{match[1].lstrip('+')}={match[2]} has the wrong type", why, f"leave it out, or set {match[1]}.<part>=…"
        )
    if match := re.search(r"Value '(.*?)'.* could not be converted to (\w+)", text, re.S):
        return _wrong_type(text, match[1], _KINDS.get(match[2], match[2]))
    if match := re.search(r"Cannot convert '\w+' to string: '(.*)'", text, re.S):
        return _wrong_type(text, match[1], "a text")
    if match := re.search(r"Value '(.*?)' \((?:\w+)\) is incompatible with|Cannot (?:assign|merge) (\w+) ", text, re.S):
        return _wrong_type(text, match[1] or match[2], "another kind of value")
    if match := re.search(r"(?:Cannot|Invalid value assigned).*?(DictConfig|ListConfig|dict|list)\b", text):
        kind = "a list, such as [1,2]" if match[1].lower().startswith("list") else "parts of its own, such as {a: 1}"
        return _wrong_type(text, "", kind)
    return _fallback(text)


_KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false", "Bytes": "bytes"}
_REFERENCE = "a reference is written ${group.setting}, or ${oc.env:VARIABLE}"


def _full_key(text: str) -> str:
    found = re.search(r"full_key: (\S+)", text)
    return found[1].lstrip(".") if found else "a setting"


def _wrong_type(text: str, value: str, kind: str) -> UserError:
    """What is said of a value of another type; what a reference stands for is not shown, it may be a secret."""
    name = _full_key(text)
    hidden = "dereferencing interpolation" in text or not value
    return UserError(
        f"{name}{'' if hidden else f'={value}'} has the wrong type", f"expected {kind}", f"give {name} {kind}"
    )


def _unreadable(text: str) -> UserError | None:
    """What is said of words that Hydra's grammar does not take; None where the text is of something else."""
    match = re.search(r"Error parsing override '(.*?)'?\n|LexerNoViableAltException: (.*?)\n", f"{text}\n", re.S)
    if match is None:
        return None
    typed = (match[1] or match[2]).strip()
    key = typed.partition("=")[0]
    if "=" not in typed and not typed.startswith("~"):
        return UserError(
            f"{typed!r} is not a setting", "a setting is written key=value", "such as seed=1 or +persona=warm"
        )
    why = "a bracket or quote is not closed, or a sign in its value means something to Hydra"
    return UserError(f"{key} cannot be read", why, f"put its value in quotes of its own: '{key}=\"…\"'")


def _leads_nowhere(text: str) -> UserError | None:
    """What is said of a reference that cannot be followed; None where the text is of something else."""
    reasons = {
        r"Recursive interpolation|maximum recursion": "it refers to itself",
        r"Interpolation key '(.*?)' not found": "there is no setting {}",
        r"Environment variable '(.*?)' not found": "the environment has no variable {}",
        r"Error resolving key '(.*?)'": "there is no setting {}",
        r"Unsupported interpolation type (\S+)": "there is no function {}",
        r"raised while resolving interpolation|Error resolving interpolation|no viable alternative|mismatched input|"
        r"extraneous input|token recognition error": "it cannot be read",
    }
    for pattern, why in reasons.items():
        if match := re.search(pattern, text):
            named = why.format(match[1]) if match.groups() else why
            return UserError(f"the reference in {_full_key(text)} leads nowhere", named, _REFERENCE)
    return None


def _could_not_override(key: str, text: str) -> UserError:
    if key == "persona":
        listed = ", ".join(conf_files.choices("persona"))
        why = "persona has no default, so it is added with a plus"
        return UserError("persona is not in the defaults", why, f"+persona=warm   (choices: {listed})")
    kind: Any = Run
    parts = key.replace("@", ".").split(".")
    for depth, part in enumerate(parts):
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        if hints and part not in hints:
            return unknown_key_error(".".join(parts[: depth + 1]), sorted(hints))
        if hints:
            kind = inner(hints[part])
        elif typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
    if parts[0] == "task" and len(parts) > 1 and parts[1] not in conf_files.choices("task"):
        return unknown_key_error(f"task.{parts[1]}", conf_files.choices("task"))
    if parts[0] == "mitigation" and len(parts) > 2:
        return _no_such_part(*parts[:3])
    if len(parts) > 1:
        given = re.search(r"use (\+\S+)", text)
        fix = f"add it with a plus: {given[1] if given else f'+{key}=...'}"
        return UserError(f"{key} has no value to replace", "no file of conf/ sets it", fix)
    return _fallback(text)


def _no_such_part(group: str, name: str, part: str) -> UserError:
    """What is wrong with a setting of ``conf/<group>/<name>.yaml``, whose settings are those under its name."""
    if name not in conf_files.choices(group):
        return unknown_key_error(f"{group}.{name}", conf_files.choices(group))
    known = conf_files.choice(group, name).get(name)
    if not isinstance(known, dict) or part in known:
        why = f"{name} is not at work in this run"
        return UserError(f"{group}.{name}.{part} has no value to replace", why, f"add {group}={name}")
    return unknown_key_error(f"{group}.{name}.{part}", sorted(known))


def _fallback(text: str) -> UserError:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    key = _full_key(text)
    return UserError(
        "the settings cannot be put together" if key == "a setting" else f"{key} cannot be set so",
        " ".join(lines)[:300] or "unknown",
        f"{train_command()} --help lists the groups; conf/config.yaml explains each line",
    )
