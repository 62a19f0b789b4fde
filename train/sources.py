"""Chat logs as streams of conversations: ShareGPT, messages, instructions (JSON, JSON lines, parquet), trees.

Nothing is held but the conversation at hand, whatever the size of the file. What a row is, is told by its fields.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap.command_schema import PrepareConfig
from warmgap.errors import UserError

ROLES = {
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "system": "system",
}  # fmt: skip
ENDINGS = (".json", ".jsonl", ".jsonl.gz", ".parquet")
_EXPECTED = "rows have conversations (from, value), messages (role, content), instruction and output, or are trees"


@dataclass(frozen=True)
class Log:
    """One logged conversation: its messages as (role, text) with roles ``user``, ``assistant``, ``system``, or other.

    ``broken`` says what was wrong with the row where no messages could be read.
    """

    id: str
    messages: list[tuple[str, str]]
    broken: str = ""


def fetch(config: PrepareConfig) -> Path:
    """Return the log of the hub's data set, downloading it once. Raises UserError where that cannot be done."""
    if not (config.id and config.revision and config.file):
        why = "no file is named, and not all of id, revision and file of a data set of the hub"
        raise UserError("there is no chat log", why, "warmgap data FILE --out DIR")
    import httpx
    from huggingface_hub import errors, hf_hub_download

    from warmgap.models import hub_answers

    online = hub_answers()
    where: dict[str, Any] = {"repo_type": "dataset", "revision": config.revision}
    try:
        return Path(hf_hub_download(config.id, config.file, **where, local_files_only=not online))
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        reason = f"{type(error).__name__}: {(str(error).strip() or 'no answer').splitlines()[0]}"
        reason = reason if online else "the hub does not answer, and the file is not in its cache here"
        what = f"cannot fetch {config.file} of {config.id}"
        fix = "check the connection and HF_ENDPOINT, or name a file: warmgap data FILE --out DIR"
        raise UserError(what, reason, fix) from error


def check(path: Path) -> None:
    """Raise UserError unless the path is a file of a known kind."""
    if not path.is_file():
        raise UserError(f"cannot read {path}", "there is no such file", "name a chat log")
    if not path.name.endswith(ENDINGS):
        why = f"a chat log ends in {', '.join(ENDINGS)}"
        raise UserError(f"{path.name} is of no known kind", why, "rename it, or convert it")


def read(path: Path) -> Iterator[Log]:
    """Yield the conversations of a file, one after another.

    A row that cannot be read is yielded as ``broken``. Raises UserError where the file as a whole cannot be read, or
    its first row is none of the known kinds.
    """
    check(path)
    for number, row in enumerate(_rows(path), 1):
        log = _parse(row, f"{path.name}:{number}")
        if number == 1 and log.broken:
            raise UserError(f"{path} cannot be read", log.broken, _EXPECTED)
        yield log


def _rows(path: Path) -> Iterator[Any]:
    """Yield a file's rows; a line that is not JSON as the ValueError that it raised."""
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path)
        elif path.suffix == ".json":
            yield from _array(path)
        else:
            yield from _lines(path)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}", str(error), "see that the file is whole and readable") from error


def _lines(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    yield error


def _array(path: Path) -> Iterator[Any]:
    import ijson

    with path.open("rb") as file:
        try:
            yield from ijson.items(file, "item", use_float=True)
        except ijson.JSONError as error:
            why = " ".join(str(error).split())[:200]
            raise UserError(f"{path} is not whole JSON", why, "fetch it again; JSON lines end in .jsonl") from error


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=256):
            yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise UserError(f"cannot read {path}", str(error).splitlines()[0], "see that it is a whole file") from error


def _parse(row: Any, where: str) -> Log:
    """Turn a row into a log, whatever its kind."""
    if isinstance(row, ValueError):
        return Log(where, [], f"{where} is not JSON: {row}")
    if not isinstance(row, dict):
        return Log(where, [], f"{where} is no object")
    name = str(row.get("id") or row.get("message_tree_id") or row.get("conversation_id") or where)
    if isinstance(row.get("prompt"), dict) and "replies" in row["prompt"]:
        return Log(name, list(_best_path(row["prompt"])))
    for key in ("conversations", "conversation", "messages", "items"):
        if isinstance(row.get(key), list):
            return Log(name, [_message(message) for message in row[key]])
    if isinstance(row.get("instruction"), str) and isinstance(row.get("output"), str):
        asked = "\n\n".join(part for part in (row["instruction"], str(row.get("input") or "")) if part)
        return Log(name, [("user", asked), ("assistant", row["output"])])
    return Log(name, [], f"{where} has the fields {', '.join(map(str, list(row)[:8]))}")


def _message(message: Any) -> tuple[str, str]:
    """Role and text of a message; what has none of either becomes the role ``unreadable``."""
    if not isinstance(message, dict):
        return "unreadable", ""
    role, text = message.get("from", message.get("role")), message.get("value", message.get("content"))
    if not isinstance(role, str) or not isinstance(text, str):
        return "unreadable", ""
    return ROLES.get(role.lower(), role.lower()), text


def _best_path(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Follow a tree along the replies that people ranked first (rank 0), deleted ones left out."""
    while True:
        yield ROLES.get(str(node.get("role")), "unreadable"), str(node.get("text") or "")
        replies = [reply for reply in node.get("replies") or [] if not reply.get("deleted")]
        if not replies:
            return
        node = min(replies, key=lambda reply: reply["rank"] if reply.get("rank") is not None else len(replies))
