"""What a folder of weights holds: a local model is known by its content, wherever it lies and whatever it is called."""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warmgap.disk import bounds, intake, store
from warmgap.disk.manifest import sha256
from warmgap.errors import UserError

WEIGHTS = "*.safetensors"
BESIDE = ("config.json", "generation_config.json", "*.safetensors.index.json", "*.jinja", "chat_template.json")
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "tekken.json",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)
VOCABULARY = ("tokenizer.json", "tokenizer.model", "tekken.json", "spiece.model", "vocab.json", "vocab.txt")


def cache_dir() -> Path:
    """Return the user's cache folder: ``WARMGAP_CACHE``, else ``XDG_CACHE_HOME/warmgap``, else ``~/.cache/warmgap``."""
    if own := os.environ.get("WARMGAP_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "warmgap"


def folder_of(path: str | None) -> Path:
    """Return the folder that a local model's ``path`` names. Raises UserError where it names none."""
    if not path:
        raise UserError("model.path is missing", "model=local is a model in a folder", "add model.path=DIR")
    return Path(path).expanduser()


def check_folder(folder: Path) -> None:
    """Raise UserError unless a folder holds a model: its configuration, its tokenizer and whole weights."""
    what = f"no model in {folder}"
    fix = "name a folder that save_pretrained has written, the tokenizer's files included"
    if not (folder / "config.json").is_file():
        raise UserError(what, "a local model is a folder with config.json, tokenizer files and *.safetensors", fix)
    if not any((folder / name).is_file() for name in VOCABULARY):
        raise UserError(what, f"it has no tokenizer: none of {', '.join(VOCABULARY)}", fix)
    shards = sorted(folder.glob(WEIGHTS))
    if not shards:
        raise UserError(what, f"it has no weights: no {WEIGHTS}", fix)
    index = store.read_json(folder / "model.safetensors.index.json")
    places = index.get("weight_map") if isinstance(index, dict) else None
    listed = {name for name in places.values() if isinstance(name, str)} if isinstance(places, dict) else set()
    if absent := sorted(listed - {path.name for path in shards}):
        raise UserError(what, f"its index names {absent[0]} ({len(absent)} files of {len(listed)} are absent)", fix)
    for path in shards:
        try:
            header(path)
        except ValueError as error:
            raise UserError(what, f"{path.name} is torn: {error}", "copy the folder again") from error


def header(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a safetensors file, by its name, from the file's header alone.

    Raises ValueError where it is no such file, or not the whole of one.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8:
            raise ValueError("the file is empty" if not start else f"it has {size} bytes")
        if 8 + length > size:
            raise ValueError("it is no safetensors file, or cut off in its header")
        if length > bounds.HEADER:
            raise ValueError(f"its header takes {length:,} bytes, at most {bounds.HEADER:,}")
        try:
            found = intake.parse(file.read(length))
            found.pop("__metadata__", None)
            shapes = {str(name): _shape(one["shape"]) for name, one in found.items()}
            end = max((_end(one["data_offsets"]) for one in found.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError("it is no safetensors file: its header cannot be read") from error
    if 8 + length + end != size:
        raise ValueError(f"its tensors take {8 + length + end:,} bytes, and it has {size:,}")
    return shapes


_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of GGUF's kinds of numbers
_TEXT, _LIST = 8, 9


class _Gguf:
    """Goes through the head of a GGUF file; whatever it counts has to lie within the file."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def number(self, size: int) -> int:
        """Read a whole number of so many bytes."""
        return int.from_bytes(self.take(size), "little")

    def take(self, size: int) -> bytes:
        """Read so many bytes."""
        self.skip(size)
        return self._data[self._place - size : self._place]

    def skip(self, size: int) -> None:
        """Pass over so many bytes. Raises ValueError where there are fewer."""
        if size > len(self._data) - self._place:
            raise ValueError("it is no GGUF file, or cut off")
        self._place += size

    def value(self, kind: int, within: bool = False) -> None:
        """Pass over a value."""
        if kind in _SIZES:
            self.skip(_SIZES[kind])
        elif kind == _TEXT:
            self.skip(self.number(8))
        elif kind == _LIST and not within:
            inner, count = self.number(4), self.number(8)
            if inner in _SIZES:
                self.skip(count * _SIZES[inner])
            else:
                self.each(count, lambda: self.value(inner, within=True))
        else:
            raise ValueError(f"its head has a value of kind {kind}")

    def each(self, count: int, work: Callable[[], object]) -> None:
        """Do something so many times, which takes a byte each time at least."""
        if count > len(self._data) - self._place:
            raise ValueError(f"its head counts {count:,} parts, more than it has bytes")
        for _ in range(count):
            work()

    def entry(self) -> None:
        """Pass over a name and its value."""
        self.take(self.number(8)).decode()
        self.value(self.number(4))

    def tensor(self) -> int:
        """Pass over what is said of a tensor; return where it begins, after the head."""
        self.take(self.number(8)).decode()
        self.skip(8 * self.number(4))
        self.number(4)
        return self.number(8)


def check_gguf(path: Path) -> None:
    """Raise ValueError where a file is no GGUF file, or not the whole of one, before a library believes what it says.

    Libraries go on for ever over counts that no file could hold.
    """
    with path.open("rb") as file:
        if path.stat().st_size < 24:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            head = _Gguf(data)  # type: ignore[arg-type]  # slices of both are bytes
            if head.take(4) != b"GGUF" or head.number(4) not in (2, 3):
                raise ValueError("it is no GGUF file of version 2 or 3")
            tensors, entries, places = head.number(8), head.number(8), [0]
            head.each(entries, head.entry)
            head.each(tensors, lambda: places.append(head.tensor()))
            head.skip(max(places))  # the last one begins within the file


def _shape(given: Any) -> tuple[int, ...]:
    if not isinstance(given, list) or not all(type(size) is int and 0 <= size < 2**63 for size in given):
        raise ValueError(given)
    return tuple(given)


def _end(given: Any) -> int:
    """Where a tensor's bytes end, by the two numbers that its header gives."""
    first, last = given
    if type(first) is not int or type(last) is not int or not 0 <= first <= last:
        raise ValueError(given)
    return int(last)


def of_model(folder: Path) -> str:
    """Return the SHA-256 of all that makes a model in a folder answer as it does; where it lies is no part of it.

    That is weights, configuration, generation settings, tokenizer and chat template. Raises UserError where the folder
    holds no whole model.
    """
    check_folder(folder)
    files = {path for pattern in (WEIGHTS, *BESIDE, *TOKENIZER) for path in folder.glob(pattern) if path.is_file()}
    files |= set(folder.glob("additional_chat_templates/*.jinja"))
    listed = [f"{path.relative_to(folder).as_posix()} {_hashed(path)}" for path in sorted(files)]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def _hashed(path: Path) -> str:
    """The SHA-256 of a file; computed once for each state of it, for 16 GB take a minute."""
    found = path.stat()
    return _known(str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@functools.lru_cache(maxsize=1024)
def _known(path: str, size: int, modified: int, changed: int) -> str:
    name = hashlib.sha256(f"{path}\n{size}\n{modified}\n{changed}".encode()).hexdigest()[:32]
    kept = cache_dir() / "hashes" / name
    known = kept.read_text(encoding="utf-8") if kept.is_file() else ""
    if len(known) == 64:
        return known
    made = sha256(Path(path))
    try:
        store.write_text(kept, made)
    except OSError:  # a cache that cannot be written costs time, not the answer
        return made
    return made
