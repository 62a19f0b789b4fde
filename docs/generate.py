"""What the site has from the code itself, made at each build so that it cannot drift: commands, settings, imports.

A hook of MkDocs (``hooks:`` in mkdocs.yml). Where a page says ``<!-- commands -->`` (or another of `MADE`), what is
made takes its place. Pages that lie elsewhere in the repository are taken in (`TAKEN_IN`), and links to files that the
site does not have become plain text.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.util
import inspect
import posixpath
import re
import shutil
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TAKEN_IN = {  # pages that lie elsewhere: where, and what the site calls them
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
if str(ROOT) not in sys.path:  # a checkout documents itself, installed or not
    sys.path.insert(0, str(ROOT))
LAID_OUT = ROOT / "build" / "api"
OWN_WORDS = ("model", "task", "control")
ON_SITE = {**TAKEN_IN, "README.md": "index.md"}
OTHERS = (  # settings of commands that are no part of a run: class, group of conf/, command
    ("PrepareConfig", "prepare", "warmgap data"),
    ("RewriteConfig", "rewrite", "warmgap rewrite"),
    ("PairsConfig", "pairs", "warmgap pairs"),
    ("HostedConfig", "method/hosted", "warmgap hosted"),
)


# ---- hooks of MkDocs ----


def on_startup(command: str, dirty: bool) -> None:
    """Lay out the sources as an installed package has them, for the pages on Python: links are not followed there."""
    shutil.rmtree(LAID_OUT, ignore_errors=True)
    shutil.copytree(ROOT / "warmgap", LAID_OUT / "warmgap", ignore=_others)
    for folder in (LAID_OUT / "warmgap").rglob("*"):
        if folder.is_dir():
            (folder / "__init__.py").touch()


def _others(folder: str, names: list[str]) -> list[str]:
    """What is no source."""
    return [name for name in names if name == "conf" or not (name.endswith(".py") or (Path(folder) / name).is_dir())]


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie elsewhere."""
    from mkdocs.structure.files import File

    for source, name in TAKEN_IN.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put in what is made, and let links lead where the linked page is on the site."""
    name = page.file.src_uri
    own = next((source for source, taken in TAKEN_IN.items() if taken == name), f"docs/{name}")
    return relinked(filled(markdown), own, {file.src_uri for file in files})


def filled(markdown: str) -> str:
    """A page with what is made in the place of each mark."""
    for name, make in MADE.items():
        mark = f"<!-- {name} -->"
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    return markdown


def relinked(markdown: str, own: str, known: set[str]) -> str:
    """Rewrite the relative links of a page that lies at ``own`` in the repository; ``known`` are the site's files."""

    def one(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        path, mark, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not path:
            return match[0]
        lies = posixpath.normpath(posixpath.join(posixpath.dirname(own), path))
        there = ON_SITE.get(lies, lies.removeprefix("docs/"))
        if there not in known:
            return text
        here = posixpath.dirname(ON_SITE.get(own, own.removeprefix("docs/")))
        return f"[{text}]({posixpath.relpath(there, here or '.')}{mark}{anchor})"

    return re.sub(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", one, markdown)


# ---- what is made ----


def commands_part() -> str:
    """Each command with its options, from the argument parsers."""
    from warmgap.cli import commands

    found = next(a for a in commands.parser()._actions if isinstance(a, argparse._SubParsersAction))
    said = {str(choice.dest): choice.help or "" for choice in found._choices_actions}
    parts = ["| command | what it does |\n|---|---|\n"]
    parts += [f"| [`warmgap {name}`](#warmgap-{name}) | {cell(said[name])} |\n" for name in found.choices]
    return "".join([*parts, *(_command(name, one) for name, one in found.choices.items())])


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    epilog = (parser.epilog or "").partition("example:")[2]
    example = "\n".join(line.strip() for line in epilog.splitlines() if line.strip())
    what = parser.description or ""
    text = f"\n## warmgap {name}\n\n{prose(what[:1].upper() + what[1:])}.\n\n```text\n{_folded(usage)}\n```\n\n"
    text += "| option | meaning | default |\n|---|---|---|\n"
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        given = action.default
        default = "" if given in (None, False, argparse.SUPPRESS) or given == [] else f"`{given}`"
        help_ = (action.help or "") % {**vars(action), "prog": parser.prog} if action.help else ""
        text += f"| {_option(action)} | {cell(prose(help_))} | {default} |\n"
    return text + (f"\n```console\n{example}\n```\n" if example else "")


def _option(action: argparse.Action) -> str:
    """An option as it is typed, with what follows it."""
    value = "" if action.nargs == 0 else str(action.metavar or (action.dest if not action.option_strings else ""))
    if action.choices is not None:
        value = "\\|".join(map(str, action.choices))
    elif action.option_strings and action.nargs != 0 and not value:
        value = action.dest.upper()
    names = ", ".join(action.option_strings)
    needed = " (required)" if action.option_strings and action.required else ""
    return f"`{' '.join(filter(None, [names, value]))}`{needed}".replace("\\|", "|").replace("|", "\\|")


def _folded(usage: str, width: int = 88) -> str:
    lines = [""]
    for word in re.findall(r"\[[^\]]*\](?: \.\.\.)?|\S+", usage):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
    return "\n".join(lines)


def settings_part() -> str:
    """Every setting of a run and of the commands beside it, and the choices of each group."""
    from warmgap import mitigations
    from warmgap.evaluate import suites
    from warmgap.settings import command_schema, schema

    parts: list[str] = []
    hints = typing.get_type_hints(schema.Run)
    plain = []
    for own in dataclasses.fields(schema.Run):
        kind, many = _class_of(hints[own.name])
        if own.name == "mitigation":
            parts += ["\n## mitigation\n\nThe recipes at work, each with its settings.\n\n", *_group("mitigation")]
            for name, recipe in mitigations.table().items():
                parts += [f"\n### mitigation.{name}\n\n", *_class(recipe, f"mitigation.{name}", "mitigation")]
            continue
        if own.name == "suite":
            said = "What is asked: the grid, and suites with items of their own, each with its options."
            parts += [f"\n## suite\n\n{said}\n\n", *_group("suite")]
            for name, suite in suites.table().items():
                if dataclasses.fields(suite.Options):
                    parts += [f"\n### suite.{name}\n\n", *_class(suite.Options, f"suite.{name}", "suite")]
            continue
        if kind is None:
            plain.append((own, hints[own.name]))
            continue
        prefix = f"{own.name}.NAME" if many else own.name
        parts += [f"\n## {own.name}\n\n", _usual(own.name), *_group(own.name), *_class(kind, prefix, own.name)]
    parts += ["\n## The run itself\n\n", _table(_row(own.name, own, kind, comments("config")) for own, kind in plain)]
    parts += ["\n## experiment\n\nA whole recipe under one name; it has the last word.\n\n", *_group("experiment")]
    for name, group, command in OTHERS:
        parts += [f"\n## {command}\n\nGiven as `key=value` behind `{command}`; from `conf/{group}`.\n\n"]
        parts += [*_group(group), *_class(getattr(command_schema, name), "", group)]
    return "".join(parts)


def _class_of(hint: Any) -> tuple[type[Any] | None, bool]:
    """The settings class in a type (X, ``X | None`` or ``dict[str, X]``), and whether there may be several by name."""
    many = typing.get_origin(hint) is dict
    for one in (hint, *typing.get_args(hint)):
        if dataclasses.is_dataclass(one) and isinstance(one, type):
            return one, many
    return None, many


def _class(kind: type[Any], prefix: str, group: str) -> Iterator[str]:
    """What a class of settings says of itself, and a table of its fields, with those of classes inside it."""
    from warmgap.settings.schema import ModelConfig

    whole, by_field = explained(kind)
    said, hints = {**comments(group), **_inline(kind), **by_field}, typing.get_type_hints(kind)
    rows, inner = [], []
    for own in dataclasses.fields(kind):
        key = f"{prefix}.{own.name}".removeprefix(".")
        child, _ = _class_of(hints[own.name])
        text = said.get(own.name, "")
        if child is ModelConfig:
            rows.append(_row(key, own, "a model", {own.name: f"{text}; keys as of [model](#model)".removeprefix("; ")}))
        elif child is not None:
            inner.append((child, key))
        else:
            rows.append(_row(key, own, hints[own.name], {own.name: text}))
    yield f"{whole}\n\n" + (_table(rows) if rows else "")
    for child, key in inner:
        yield f"\n### {key}\n\n"
        yield from _class(child, key, f"{group}/{child.__name__}")


def explained(kind: type[Any]) -> tuple[str, dict[str, str]]:
    """A class's docstring in two: what is said of the whole, and the sentences that explain single fields.

    A field of a class that it derives from is explained where that class explains it.
    """
    base = next((one for one in kind.__mro__[1:] if dataclasses.is_dataclass(one)), None)
    by_field = explained(base)[1] if base is not None else {}
    names, own = {one.name for one in dataclasses.fields(kind)}, dict[str, str]()
    first, *rest = re.split(r"\n\s*\n", inspect.getdoc(kind) or "")
    whole = [" ".join(first.split())]
    for sentence in re.split(r"(?<=[.;])\s+(?=[A-Z`])", " ".join(" ".join(rest).split())):
        named = [name for name in re.findall(r"``(\w+)``", sentence) if name in names]
        for name in named[:2]:
            own[name] = f"{own.get(name, '')} {prose(re.sub(';$', '.', sentence))}".strip()
        if not named and sentence:
            whole.append(sentence)
    return prose(" ".join(whole)), {**by_field, **own}


def _inline(kind: type[Any]) -> dict[str, str]:
    """The comments behind the fields of a class."""
    return {name: prose(text) for name, text in re.findall(r"(?m)^    (\w+):.*?  # (.+)$", inspect.getsource(kind))}


def comments(group: str) -> dict[str, str]:
    """The comments behind the keys of a group: in conf/config.yaml, and in the group's own files.

    The files of `OWN_WORDS` speak of themselves, so there only that one counts which is taken if none is named.
    """
    above = (ROOT / "conf" / "config.yaml").read_text(encoding="utf-8")
    if group == "config":
        return {key: prose(text) for key, text in re.findall(r"(?m)^(\w+): \S+ +# (.+)$", above)}
    block = re.search(rf"(?m)^{re.escape(group)}:.*\n((?:  .*\n)+)", above)
    found = dict(re.findall(r"(?m)^  (\w+):.*?  # *(.+)$", block[1] if block else ""))
    paths = sorted((ROOT / "conf" / group).glob("*.yaml")) or [ROOT / "conf" / f"{group}.yaml"]
    usual = usually(group)[0]
    paths.sort(key=lambda path: path.stem != usual)
    for path in paths[: 1 if group in OWN_WORDS else None]:
        if path.is_file() and (path.stem != "hosted" or group == "method/hosted"):
            for key, text in re.findall(r"(?m)^ *(\w+):.*?  # *(.+)$", path.read_text(encoding="utf-8")):
                found.setdefault(key, text)
    return {key: prose(text) for key, text in found.items()}


def usually(group: str) -> tuple[str, str]:
    """Which file of a group is taken where none is named, and what conf/config.yaml says of the group."""
    above = (ROOT / "conf" / "config.yaml").read_text(encoding="utf-8")
    found = re.search(rf"(?m)^  - {re.escape(group)}: *(\S*) +# (.+)$", above)
    return (found[1], found[2]) if found else ("", "")


def _usual(group: str) -> str:
    choice, said = usually(group)
    shown = f" Without a word: `{group}={choice}`." if choice not in ("", "[]") else ""
    return f"{prose(said[:1].upper() + said[1:])}.{shown}\n\n" if said else ""


def _row(key: str, own: dataclasses.Field[Any], hint: Any, said: dict[str, str]) -> tuple[str, str, str, str, str]:
    given: Any = own.default if own.default_factory is dataclasses.MISSING else own.default_factory()
    given = _composed().get(key, given)
    shown = {"None": "null", "True": "true", "False": "false"}.get(str(given), str(given))
    shown = re.sub(r"^([0-9a-f]{8})[0-9a-f]{32,}$", r"\1…", shown)
    unsaid = given is dataclasses.MISSING or dataclasses.is_dataclass(given)
    default = "" if unsaid else f"`{shown}`"
    return f"`{key}`", f"`{_kind(hint)}`", default, own.metadata["scope"], said.get(own.name, "")


@functools.cache
def _composed() -> dict[str, Any]:
    """The settings of ``python train.py +persona=warm``, by key."""
    from warmgap.settings import config

    return config.flat(config.compose(["+persona=warm"]))


def _kind(hint: Any) -> str:
    """A type as one reads it: ``int or null``."""
    if isinstance(hint, str):
        return hint
    some = [one for one in typing.get_args(hint) if one is not type(None)]
    if type(None) in typing.get_args(hint):
        return f"{_kind(some[0])} or null"
    if typing.get_origin(hint) is list:
        return f"list of {_kind(some[0])}"
    if typing.get_origin(hint) is dict:
        return "any keys" if some[1] is Any else f"{_kind(some[1])} by name"
    return str(getattr(hint, "__name__", hint))


def _table(rows: Any) -> str:
    head = "| setting | type | default | scope | meaning |\n|---|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(cell(part) for part in row)} |\n" for row in rows)


def _group(group: str) -> Iterator[str]:
    """The files of a group of conf/, each with what its first comment says."""
    paths = sorted((ROOT / "conf" / group).glob("*.yaml")) or [ROOT / "conf" / f"{group}.yaml"]
    paths = [path for path in paths if path.is_file()]
    if paths:
        yield f"| `{group}=` | |\n|---|---|\n".replace("method/hosted", "method")
        yield from (f"| `{path.stem}` | {cell(opening(path))} |\n" for path in paths)
        yield "\n"


def opening(path: Path) -> str:
    """The comment that a file of conf/ opens with."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return prose(" ".join(lines))


def prose(text: str) -> str:
    """Plain text as Markdown: double backticks single, settings and options as code, nothing that is taken for HTML."""
    text = text.replace("``", "`")
    parts = re.split(r"(`[^`]*`)", text)
    for place in range(0, len(parts), 2):
        part = parts[place].replace("<", "&lt;").replace("*", "\\*")
        part = re.sub(r"(?<![\w`/])((?:\+|--)?[\w.@]+=(?:\[[^\]]*\]|[\w./:+\[\]…-]*[\w\]…])|--[\w-]+)", r"`\1`", part)
        parts[place] = part
    return "".join(parts)


def cell(text: str) -> str:
    """Text as a cell of a table."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def imports_part() -> str:
    """The picture of imports, with its counts."""
    spec = importlib.util.spec_from_file_location("warmgap_imports", ROOT / "docs" / "imports.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("docs/imports.py")
    drawing = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = drawing
    spec.loader.exec_module(drawing)
    files, folders, arrows = drawing.counts()
    svg = re.sub(r"\n+", "\n", drawing.picture(alone=False))
    return f"{files} files in {folders} folders, {arrows} arrows between folders.\n\n<div>\n{svg.strip()}\n</div>\n"


MADE = {"commands": commands_part, "settings": settings_part, "imports": imports_part}
