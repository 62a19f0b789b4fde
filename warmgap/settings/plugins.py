"""What others have added: Python from installed packages and named modules, yaml and prompts from folders.

A package offers an object by an entry point of the group ``warmgap.<kind>``; a module that ``plugins=[module]`` names
offers a dictionary called like the kind in capitals, such as ``JUDGES = {"name": object}``. Folders are those of
``--config-dir``, and the folder ``conf`` inside a package that offers something. A name that two define is an error.

What is at work is kept for the process (``use``), since texts are read and names looked up where no run is at hand; a
run carries it in its settings, and a process that a run starts takes it from there.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from warmgap.errors import UserError

T = TypeVar("T")

KINDS = ("tasks", "judges", "mitigations", "suites")


@dataclass
class _AtWork:
    modules: tuple[str, ...] = ()
    given: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Offer:
    """An object from outside: who offers it (a distribution or module), in which version, and its module."""

    name: str
    made: Any
    by: str
    version: str | None
    module: str


_at_work = _AtWork()


def use(modules: Sequence[str] | None = None, folders: Sequence[str | Path] | None = None) -> None:
    """Put modules and folders of settings to work in this process, instead of those before; None keeps those.

    Raises UserError for a module that cannot be imported and for a folder that does not exist.
    """
    found = [Path(folder).expanduser().resolve() for folder in folders or ()]
    for folder in found:
        if not folder.is_dir():
            raise UserError(f"--config-dir {folder} cannot be used", "there is no such folder", "name one that exists")
    for name in modules or ():
        _module(name)
    if modules is not None:
        _at_work.modules = tuple(dict.fromkeys(modules))
    if folders is not None:
        _at_work.given = tuple(dict.fromkeys(found))


def given() -> list[str]:
    """Return the folders of ``--config-dir`` that are at work."""
    return [str(folder) for folder in _at_work.given]


def folders() -> list[Path]:
    """Return every folder in which settings and prompts lie beside ours: those given, and those of packages."""
    named = [Path(place) for name in _at_work.modules for place in getattr(sys.modules.get(name), "__path__", ())]
    inside = [place / "conf" for place in (*named, *_packages(tuple(sys.path)))]
    return list(dict.fromkeys([*_at_work.given, *(folder.resolve() for folder in inside if folder.is_dir())]))


def table(kind: str, own: Mapping[str, T]) -> dict[str, T]:
    """Return our own table of a kind with what others add to it, by name.

    Raises UserError where two define one name, where a module cannot be imported, and where an entry point fails.
    """
    found, by = dict(own), dict.fromkeys(own, "warmgap")
    for offer in _offers(kind):
        if offer.name in found:
            first, second = by[offer.name], offer.by
            fix = f"rename one of them, or leave out {second} (pip uninstall, or plugins=[…] without it)"
            raise UserError(f"two {kind} are called {offer.name!r}", f"{first} and {second} define it", fix)
        found[offer.name], by[offer.name] = offer.made, offer.by
    return found


def origin(kind: str, name: str) -> dict[str, Any] | None:
    """Return where a name comes from: ``name``, ``from``, ``version``, ``sha256`` of its files; None for ours."""
    for offer in _offers(kind):
        if offer.name == name:
            sha = _sha256(_root(sys.modules[offer.module]))
            return {"name": name, "from": offer.by, "version": offer.version, "sha256": sha}
    return None


def owed(kind: str, names: Sequence[str]) -> dict[str, Any]:
    """Return the origins of those names that are not ours, by ``kind.name``; empty where all are."""
    found = {f"{kind}.{name}": origin(kind, name) for name in names}
    return {key: value for key, value in found.items() if value is not None}


def _offers(kind: str) -> list[_Offer]:
    if kind not in KINDS:
        raise ValueError(f"{kind} is no kind of plug-in: {', '.join(KINDS)}")
    found = [_loaded(point, kind) for point in _points(tuple(sys.path)) if point.group == f"warmgap.{kind}"]
    for name in _at_work.modules:
        module = _module(name)
        offered = getattr(module, kind.upper(), {})
        if not isinstance(offered, Mapping):
            why = f"{kind.upper()} is of type {type(offered).__name__}"
            raise UserError(f"plug-in {name} cannot be used", why, f'write {kind.upper()} = {{"name": object}}')
        version = getattr(module, "__version__", None)
        version = version if isinstance(version, str) else None
        found += [_Offer(str(key), made, f"module {name}", version, name) for key, made in offered.items()]
    return found


@cache
def _points(_: tuple[str, ...]) -> list[importlib.metadata.EntryPoint]:
    """The entry points of our groups in the installed packages; ``_`` is the path on which they are found."""
    installed = importlib.metadata.entry_points()
    return [point for kind in KINDS for point in installed.select(group=f"warmgap.{kind}")]


@cache
def _packages(path: tuple[str, ...]) -> list[Path]:
    """The folders of the packages that offer something by an entry point; none is imported."""
    tops = dict.fromkeys(point.module.partition(".")[0] for point in _points(path))
    specs = [importlib.util.find_spec(top) for top in tops]
    return [Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ()]


def _loaded(point: importlib.metadata.EntryPoint, kind: str) -> _Offer:
    dist = point.dist
    package = dist.name if dist else point.module
    try:
        made = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        why = f"{point.value} cannot be loaded: {type(error).__name__}: {error}"
        fix = f"mend {package}, or pip uninstall {package}"
        raise UserError(f"{kind.removesuffix('s')} {point.name!r} of {package} fails", why, fix) from error
    return _Offer(point.name, made, f"package {package}", dist.version if dist else None, point.module)


def _module(name: str) -> ModuleType:
    """Import a module of the environment, or of the current directory. Raises UserError where that fails."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # behind everything that is installed; it stays, for what the module imports later
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may end the process: sys.exit
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        why = "there is no such module" if missing else f"{type(error).__name__}: {error}"
        fix = f"install it, or run where {name.replace('.', '/')}.py lies" if missing else "mend it, or leave it out"
        raise UserError(f"plug-in {name} cannot be imported", why, fix) from error


def _root(module: ModuleType) -> ModuleType:
    """The outermost regular package that a module lies in, or itself."""
    name = module.__name__
    while "." in name and getattr(sys.modules.get(name.rpartition(".")[0]), "__file__", None):
        name = name.rpartition(".")[0]
    return sys.modules[name]


@cache
def _sha256(root: ModuleType) -> str:
    """The SHA-256 of a package's files with their names, or of a module's one file."""
    place = Path(str(root.__file__))
    folder = place.parent if place.name == "__init__.py" else None
    files = [place] if folder is None else sorted(path for path in folder.rglob("*") if path.is_file())
    made = hashlib.sha256()
    for path in files:
        name = path.relative_to(folder or place.parent)
        if not any(part == "__pycache__" or part.startswith(".") for part in name.parts):
            made.update(f"{name.as_posix()}\0".encode())
            made.update(hashlib.sha256(path.read_bytes()).digest())
    return made.hexdigest()
