"""Chat logs as streams of conversations: ShareGPT, messages, instructions, preferences, trees.

Nothing is held but the conversation at hand, whatever the size of the file. What a row is, is told by its fields; what
cannot be read of it is that row's loss. Of preferences the chosen reply is read, a rejected one never.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap.disk import bounds, intake, tabular
from warmgap.disk.intake import Unreadable
from warmgap.errors import UserError
from warmgap.settings.command_schema import PrepareConfig
from warmgap.train.persona import json_rows

ROLES = {
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "model": "assistant", "bot": "assistant", "ai": "assistant",
    "system": "system",
}  # fmt: skip
ENDINGS = (".json", ".jsonl", ".jsonl.gz", ".parquet")
EXPECTED = "rows have conversations (from, value), messages (role, content), instruction and output, prompt and chosen"
EXPECTED += " or completion, or are trees"
TALKS = ("conversations", "conversation", "messages", "items")
_LISTS = frozenset((*TALKS, "prompt", "chosen", "rejected", "completion", "response", "history", "replies"))
_REJECTED = "marked as a rejected reply"
_WRONG = "fields of the wrong type"


@dataclass(frozen=True)
class Log:
    """One logged conversation: its messages as (role, text) with roles ``user``, ``assistant``, ``system``, or other.

    ``broken`` says why a row is left out that no messages could be read from, ``detail`` what stood there. ``rejected``
    says that a reply stood beside them that people rejected, and that is not read.
    """

    id: str
    messages: list[tuple[str, str]]
    broken: str = ""
    detail: str = ""
    rejected: bool = False


def fetch(config: PrepareConfig) -> Path:
    """Return the log of the hub's data set, downloading it once. Raises UserError where that cannot be done."""
    if not (config.id and config.revision and config.file):
        why = "no file is named, and not all of id, revision and file of a data set of the hub"
        raise UserError("there is no chat log", why, "warmgap data FILE --out DIR")
    import httpx
    from huggingface_hub import errors, hf_hub_download

    from warmgap.engines.models import hub_answers

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


def nothing_in(path: Path) -> str:
    """Return why no row of a file can be read, with its first; nothing where one can, which is as far as is looked."""
    first = ""
    for log in read(path):
        if not log.broken:
            return ""
        first = first or f"{log.broken} ({log.detail})"
    return f"{path.name}: {first or 'it has no rows'}"


def read(path: Path) -> Iterator[Log]:
    """Yield the conversations of a file, one after another.

    A row that cannot be read is yielded as ``broken``. Raises UserError where the file as a whole cannot be read.
    """
    check(path)
    for number, row in enumerate(_rows(path), 1):
        yield _parse(row, f"{path.name}:{number}")


def _rows(path: Path) -> Iterator[Any]:
    """Yield a file's rows; one that cannot be read as ``Unreadable``."""
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path)
            return
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            if name := intake.other_encoding(file.peek(4)[:4]):
                raise UserError(f"cannot read {path}", f"it is {name}, not UTF-8", "save it as UTF-8")
            own = json_rows.of_values(file, _LISTS) if path.suffix == ".json" else json_rows.of_lines(file)
            most = max(bounds.ALWAYS, bounds.EXPANSION * path.stat().st_size)
            for data in own:
                yield data if isinstance(data, Unreadable) else _value(data)
                if path.suffix == ".gz" and file.tell() > most:
                    why = f"it holds more than {most:,} bytes, over {bounds.EXPANSION} times its size"
                    raise UserError(f"cannot read {path}", why, "unpack it and see what it is")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}", str(error), "see that the file is whole and readable") from error


def _value(data: bytes) -> Any:
    try:
        return intake.parse(data)
    except Unreadable as error:
        return error


def _parquet(path: Path) -> Iterator[Any]:
    for batch in tabular.batches_of(path):
        yield from batch.to_pylist()


def _parse(row: Any, where: str) -> Log:
    """Turn a row into a log, whatever its kind."""
    if isinstance(row, Unreadable):
        return Log(where, [], row.reason, f"{where}: {row}"[:300])
    if not isinstance(row, dict):
        return Log(where, [], "no object", f"{where} is {type(row).__name__}")
    name = str(row.get("id") or row.get("message_tree_id") or row.get("conversation_id") or where)[:200]
    try:
        return Log(name, _messages(row), rejected=any(row.get(field) for field in ("rejected", "rejected_response")))
    except Unreadable as error:
        seen = error.detail or f"it has the fields {', '.join(map(str, list(row)[:8]))}"
        return Log(name, [], error.reason, f"{where}: {seen}"[:300])


def _messages(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The messages of a row, told by its fields. Raises ``Unreadable`` where it has none."""
    if any(str(row.get(mark)).lower() == "false" for mark in ("label", "kto_tag")):
        raise Unreadable(_REJECTED)
    if isinstance(row.get("prompt"), dict) and "replies" in row["prompt"]:
        return list(_best_path(row["prompt"]))
    asked = _asked(row)
    for name in ("chosen", "completion", "response", "output"):
        if row.get(name) is not None and (asked or name == "chosen"):
            reply = _said(row[name], "assistant")
            if reply and reply[0][0] in ("user", "system"):
                return reply  # the whole conversation, its question too
            return asked if asked[-1:] and asked[-1][0] == "assistant" else [*asked, *reply]
    if any(isinstance(row.get(name), (list, str)) for name in TALKS):
        return asked
    if any(name in row for name in TALKS):
        raise Unreadable(_WRONG)
    raise Unreadable("fields of no known kind")


def _asked(row: dict[str, Any]) -> list[tuple[str, str]]:
    """What a row has up to the reply that stands in a field of its own, or all of it."""
    for name in (*TALKS, "prompt"):
        if isinstance(row.get(name), (list, str)):
            return _said(row[name], "user", talk=name in TALKS)
    if isinstance(row.get("instruction"), str):
        question = "\n\n".join(part for part in (row["instruction"], str(row.get("input") or "")) if part)
        return [*_history(row.get("history") or []), ("user", question)]
    return []


def _history(turns: Any) -> Iterator[tuple[str, str]]:
    """The turns before an instruction, each a question and its reply."""
    if not isinstance(turns, list):
        raise Unreadable(_WRONG)
    for turn in turns:
        if not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(text, str) for text in turn):
            raise Unreadable(_WRONG)
        yield from zip(("user", "assistant"), turn, strict=True)


def _said(value: Any, role: str, *, talk: bool = False) -> list[tuple[str, str]]:
    """Messages from a list of them, one of them, or a text of this role; a list may be written as JSON in a text."""
    if isinstance(value, str) and (talk or value.startswith('[{"')):
        value = _nested(value, talk=talk)
    if isinstance(value, list):
        return [_message(message) for message in value]
    if isinstance(value, dict):
        return [_message(value)]
    if not isinstance(value, str):
        raise Unreadable(_WRONG)
    return [(role, value)]


def _nested(text: str, *, talk: bool) -> Any:
    """The list that a text holds as JSON; the text itself where it need not be one."""
    try:
        value = intake.parse(text)
    except Unreadable:
        value = None
    if isinstance(value, list):
        return value
    if talk:
        raise Unreadable(_WRONG)
    return text


def _message(message: Any) -> tuple[str, str]:
    """Role and text of a message; what has none of either becomes the role ``unreadable``."""
    if not isinstance(message, dict):
        return "unreadable", ""
    role, text = message.get("from", message.get("role")), _text(message.get("value", message.get("content")))
    if not isinstance(role, str) or text is None:
        return "unreadable", ""
    return ROLES.get(role.strip().lower(), role.lower()), text


def _text(content: Any) -> str | None:
    """A message's text, written as one or as a list of parts; None where a part is none (a picture, a call)."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    texts = [part for part in parts if isinstance(part, str)]
    return "\n\n".join(texts) if texts and len(texts) == len(parts) else None


def _best_path(node: Any) -> Iterator[tuple[str, str]]:
    """Follow a tree along the replies that people ranked first (rank 0), deleted ones left out."""
    while True:
        if not isinstance(node.get("text"), str):
            raise Unreadable(_WRONG, "a message of a tree has no text")
        yield ROLES.get(str(node.get("role")), "unreadable"), node["text"]
        replies = node.get("replies") or []
        if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
            raise Unreadable(_WRONG, "one of the replies in a tree is no object")
        if any(type(reply.get("rank")) not in (int, float, type(None)) for reply in replies):
            raise Unreadable(_WRONG, "the rank of a reply in a tree is no number")
        replies = [reply for reply in replies if not reply.get("deleted")]
        if not replies:
            return
        node = min(replies, key=lambda reply: reply["rank"] if reply.get("rank") is not None else len(replies))
