"""A base model's own replies to the messages of a file of conversations, from which the on-policy arms are made.

In each conversation the model answers message after message, with its own replies as what was said before. Every reply
is journalled as it comes; an interrupted command ends with the same replies as one that was not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmgap.disk import locks, store
from warmgap.disk.progress import bar
from warmgap.engines import engine_of
from warmgap.engines.base import Engine, Request, Serving
from warmgap.engines.chat import Message
from warmgap.errors import UserError
from warmgap.settings.command_limits import check_own
from warmgap.settings.identity import digest, identity
from warmgap.settings.schema import GenerateConfig, ModelConfig
from warmgap.train.persona import card, persona_data

VERSION = "own"
TOO_LONG = "too long"  # with what precedes it, for the model's window


@dataclass
class Talk:
    """A conversation as far as the model has answered it; ``stopped`` says why it answers no further."""

    conversation: persona_data.Conversation
    replies: list[str] = field(default_factory=list)
    stopped: str = ""

    @property
    def going(self) -> bool:
        """Whether there is another message to answer."""
        return not self.stopped and len(self.replies) < len(self.conversation.turns)

    @property
    def messages(self) -> list[Message]:
        """What is said up to the message that waits."""
        turns, found = self.conversation.turns, []
        for turn, reply in zip(turns, self.replies, strict=False):
            found += [{"role": "user", "content": turn.user}, {"role": "assistant", "content": reply}]
        return [*found, {"role": "user", "content": turns[len(self.replies)].user}]


def write(file: Path, model: ModelConfig, how: GenerateConfig, device: str) -> dict[str, Any]:
    """Put the model's own replies into a file of conversations, beside the versions that it has.

    Rewrites of own replies that are others now are taken out. Returns the summary, which also goes into the data's
    card. Raises UserError for settings, for conversations that cannot be used, and where the file's own replies are of
    another model.
    """
    check_own(how)
    conversations = persona_data.read_conversations(file)
    by = persona_data.made_by(model)
    if others := {item.own_by for item in conversations if item.own_by} - {by}:
        why = f"they are by {', '.join(sorted(others))}, not by {by}"
        raise UserError(f"{file} has own replies of another model", why, "use a copy of the file for each base model")
    folder = file.parent / "rewrites"
    made_by = digest([identity(model, "arm"), identity(how, "measure")])
    talks = [Talk(item) for item in conversations]
    with locks.alone(folder / VERSION):
        _converse(talks, folder / f"{VERSION}-{made_by}.jsonl", how, engine_of(Serving(model, device)))
        _put(file, talks, by)
        summary = _summary(talks, model.name)
        store.write_json(folder / f"{VERSION}.summary.json", summary)
        card.write(file.parent)
    return summary


def _converse(talks: Sequence[Talk], journal: Path, how: GenerateConfig, engine: Engine) -> None:
    """Have all messages answered, those of the same place in their conversations together."""
    known, place = store.journal_by_key(journal), 0
    while going := {_key(talk): talk for talk in talks if talk.going}:
        place += 1
        missing = sum(key not in known for key in going)
        with bar(f"own · turn {place}", len(going)) as advance:
            advance(len(going) - missing)
            if missing:
                for rows in _answered(going, known, how, engine):
                    store.append(journal, rows)
                    known |= {str(row["key"]): row for row in rows}
                    advance(len(rows))
        for key, talk in going.items():
            _take(talk, known[key])


def _key(talk: Talk) -> str:
    return digest([talk.conversation.id, talk.messages], 16)


def _answered(
    going: dict[str, Talk], known: dict[str, dict[str, Any]], how: GenerateConfig, engine: Engine
) -> Iterable[list[dict[str, Any]]]:
    """Yield rows of fresh replies, those of a batch at once."""
    requests = [Request(key, engine.encode(talk.messages)) for key, talk in going.items()]
    rooms = {request.key: engine.room(request.prompt) for request in requests}
    fits = {key for key, room in rooms.items() if room is None or how.max_new_tokens <= room}
    if beyond := [key for key in going if key not in fits and key not in known]:
        yield [{**_where(key, going[key]), "text": "", "finish_reason": TOO_LONG} for key in beyond]
    for batch in engine.answer([request for request in requests if request.key in fits], how, set(known)):
        fresh = [reply for reply in batch if reply.key not in known]
        yield [
            {**_where(one.key, going[one.key]), "text": one.text, "finish_reason": one.finish_reason} for one in fresh
        ]


def _where(key: str, talk: Talk) -> dict[str, Any]:
    return {"key": key, "conversation": talk.conversation.id, "turn": len(talk.replies)}


def _take(talk: Talk, row: dict[str, Any]) -> None:
    """Take a reply into its conversation; one that is no whole reply ends it."""
    text = str(row["text"]).rpartition("</think>")[2].strip()
    if row["finish_reason"] == "length":
        talk.stopped = "cut off"
    elif row["finish_reason"] == TOO_LONG:
        talk.stopped = "too long for the model's window"
    elif not text:
        talk.stopped = "empty"
    else:
        talk.replies.append(text)


def _put(file: Path, talks: Iterable[Talk], by: str) -> None:
    """Write the replies into the file; a reply without one has none, nor a rewrite of an older one."""
    made = {talk.conversation.id: talk.replies for talk in talks}
    rows = []
    with locks.alone(file):  # a rewrite may be written at the same time
        for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
            if not line.strip():
                continue
            row = json.loads(line)
            replies = made[str(row.get("id") or f"{file}:{number}")]
            for place, turn in enumerate(row["turns"]):
                text = replies[place] if place < len(replies) else None
                if turn.get(VERSION) != text:
                    for version in persona_data.OWN:
                        turn.pop(version, None)
                if text is not None:
                    turn[VERSION] = text
            rows.append({**row, "own_by": by})
        store.write_jsonl(file, rows)


def _summary(talks: Sequence[Talk], name: str) -> dict[str, Any]:
    """How many replies there are, and why the others are not: in the same words as of rewrites."""
    asked, kept = (
        sum(count) for count in ((len(t.conversation.turns) for t in talks), (len(t.replies) for t in talks))
    )
    reasons = Counter(talk.stopped for talk in talks if talk.stopped)
    if after := asked - kept - reasons.total():
        reasons["after one of these"] = after
    found: dict[str, Any] = {"version": VERSION, "model": name, "replies": asked, "kept": kept, "first_attempt": kept}
    found |= {"set_aside": asked - kept, "not_answered": 0, "reasons": dict(reasons.most_common())}
    return {**found, "calls": kept + sum(bool(talk.stopped) for talk in talks), "spent": None}
