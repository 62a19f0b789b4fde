"""What a folder of weights holds: a local model is known by its content, wherever it lies and whatever it is called."""

from __future__ import annotations

import functools
import hashlib
import os
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
