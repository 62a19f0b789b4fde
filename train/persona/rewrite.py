"""Replies rewritten in a persona's voice, each checked, tried again or set aside with its reason.

Every text that comes back is journalled before it is looked at: an interrupted command asks for what is missing alone,
and other limits for the checks cost nothing. Conversations may be cut into shards, each with a journal of its own; what
writes the file reads them all.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk import intake, locks, shards, store
from warmgap.disk.progress import bar, say
from warmgap.disk.shards import Shard
from warmgap.engines import batches, client, engine_of
from warmgap.engines.base import Engine, Request, Serving
from warmgap.engines.calls import costs
from warmgap.engines.chat import Message
from warmgap.engines.client import ChatReply, ChatRequest, Endpoint, Meter
from warmgap.errors import UserError
from warmgap.settings.command_limits import check_rewrite
from warmgap.settings.command_schema import RewriteConfig
from warmgap.settings.conf_files import read_prompt
from warmgap.settings.identity import digest
from warmgap.settings.schema import GenerateConfig
from warmgap.train.persona import card, persona_data
from warmgap.train.persona.rewrite_checks import Fault, faults

if TYPE_CHECKING:
    from warmgap.engines.embed import Embedder

VERSIONS = {"warm": "plain", "cold": "plain", "paraphrase": "plain", "warm_own": "own", "paraphrase_own": "own"}
CONTEXT = 6000  # characters of the conversation before a reply that the rewriter is shown, the latest


@dataclass
class Item:
    """One reply to be rewritten: where it stands, what precedes it, its texts so far and what was wrong with them."""

    conversation: str
    turn: int
    before: list[Message]
    reply: str
    texts: list[str] = dataclasses.field(default_factory=list)
    found: list[Fault] = dataclasses.field(default_factory=list)

    @property
    def user(self) -> str:
        """The message that the reply answers."""
        return self.before[-1]["content"]

    @property
    def done(self) -> bool:
        """Whether the last text passed every check."""
        return bool(self.texts) and not self.found


def check(config: RewriteConfig) -> None:
    """Raise UserError for settings that make no sense, before anything is asked for."""
    check_rewrite(config)
    if config.engine == "openai":
        client.check(config, "rewrite")
        client.check_key(config)


def rewrite(file: Path, version: str, config: RewriteConfig) -> dict[str, Any]:
    """Add a version of the replies to a file of conversations, as far as its rewrites pass the checks.

    Returns the summary, which also goes into the data's card: replies, kept, set aside with reasons, calls, dollars.
    A shard (``config.shard``) has its own conversations rewritten and leaves the file alone; ``all/4`` asks nobody.
    Raises UserError for settings or conversations that cannot be used, for shards that are not whole, and
    ``CapReached`` when the money is spent.
    """
    check(config)
    check_version(version)
    part = shards.parse(config.shard)
    items = [
        item
        for item in _items(persona_data.read_conversations(file, VERSIONS[version]), VERSIONS[version])
        if part is None or not part.asks or part.holds(version, item.conversation)
    ]
    rewriter = _rewriter(config)
    with locks.alone(shards.cut(file.parent / "rewrites" / version, part)):
        return _rewritten(file, version, items, rewriter, config, part)


def _rewritten(
    file: Path, version: str, items: list[Item], rewriter: Rewriter, config: RewriteConfig, part: Shard | None
) -> dict[str, Any]:
    folder = file.parent / "rewrites"
    journal = shards.cut(folder / f"{version}-{digest([rewriter.made_by, _prompts(version)])}.jsonl", part)
    paid = shards.cut(folder / "costs.jsonl", part)
    made = {"version": version, "model": config.model}
    with client.costs_noted(rewriter.meter or Meter(), None if rewriter.meter is None else paid, made):
        for attempt in range(config.attempts):
            _attempt(items, version, config, rewriter, journal, attempt, part)
    summary = _summary(items, version, rewriter, paid)
    if part is not None and part.asks:
        return summary
    _write(file, version, items)
    store.write_json(folder / f"{version}.summary.json", summary)
    store.write_jsonl(folder / f"{version}-set-aside.jsonl", _set_aside(items))
    card.write(file.parent)
    return summary


def check_version(version: str) -> None:
    """Raise UserError unless replies can be rewritten so."""
    if version not in VERSIONS:
        raise UserError(f"no version {version!r} can be written", f"known are {', '.join(VERSIONS)}", "name one")


def _items(conversations: Iterable[persona_data.Conversation], source: str) -> Iterator[Item]:
    """Yield the replies to be rewritten; a model's own may end before its conversation does, plain ones may not."""
    for conversation in conversations:
        for turn, said in enumerate(conversation.turns):
            if source not in said.replies:
                if source == "plain":
                    why = f"conversation {conversation.id} has a reply without one"
                    raise UserError("there is nothing to rewrite from", why, "give every reply its version 'plain'")
                break
            messages = conversation.messages(source, turn)
            yield Item(conversation.id, turn, messages[:-1], messages[-1]["content"])


def messages(item: Item, version: str) -> list[Message]:
    """Return what the rewriter is asked: rules, conversation, reply, and what its last text had wrong."""
    spoken = [f"{message['role']}: {message['content']}" for message in item.before]
    context = "\n\n".join(spoken)
    context = context if len(context) <= CONTEXT else f"…{context[-CONTEXT:]}"
    code = f"=== {digest([item.conversation, item.turn, item.reply])} ==="
    fields = {"{context}": context, "{code}": code, "{reply}": item.reply}
    text = "".join(fields.get(piece, piece) for piece in _pieces(read_prompt("rewrite_user.txt"), list(fields)))
    system = read_prompt(_voice(version)) + "\n" + read_prompt("rewrite_rules.txt")
    asked = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    if item.texts and item.found:
        wrong = "; ".join(fault.detail for fault in item.found)
        again = read_prompt("rewrite_again.txt").replace("{wrong}", wrong)
        asked += [{"role": "assistant", "content": item.texts[-1] or "…"}, {"role": "user", "content": again}]
    return asked


def _pieces(template: str, marks: Sequence[str]) -> list[str]:
    """Cut a template at its marks, so that a text put in for one of them is never searched for another."""
    import re

    return re.split("(" + "|".join(map(re.escape, marks)) + ")", template)


def _voice(version: str) -> str:
    return f"rewrite_{version.removesuffix('_own')}.txt"


def _prompts(version: str) -> list[str]:
    names = (_voice(version), "rewrite_rules.txt", "rewrite_user.txt", "rewrite_again.txt")
    return [read_prompt(name) for name in names]


def _attempt(
    items: Sequence[Item],
    version: str,
    config: RewriteConfig,
    rewriter: Rewriter,
    journal: Path,
    attempt: int,
    part: Shard | None,
) -> None:
    """Ask for one more text of every reply that has none without a fault, and check what came."""
    waiting = {_key(item, attempt): item for item in items if not item.done and len(item.texts) == attempt}
    known = store.journal_by_key(journal)
    requests = [ChatRequest(key, messages(item, version)) for key, item in waiting.items() if key not in known]
    if requests and part is not None and part.puts_together:
        raise _not_whole(part, [waiting[request.key] for request in requests], version)
    if waiting:
        failed = 0
        with bar(f"{version} · attempt {attempt + 1}", len(waiting)) as advance:
            advance(len(waiting) - len(requests))
            for reply in rewriter.ask(requests, journal.with_suffix(".batches.jsonl")):
                if reply.error:
                    failed += 1
                else:
                    known[reply.key] = _row(reply, waiting[reply.key], attempt)
                    store.append(journal, [known[reply.key]])
                advance(1)
        if failed:
            say(f"{failed} requests were not answered; run again to ask for them once more")
        judged = [(waiting[key], known[key]) for key in waiting if key in known]
        _judge(judged, config, rewriter)


def _not_whole(part: Shard, lacking: Sequence[Item], version: str) -> UserError:
    numbers = sorted({shards.dealt(version, item.conversation, part.of) for item in lacking})
    fix = f"run {', '.join(f'shard={number}/{part.of}' for number in numbers)} again, then this; or leave shard out"
    why = f"{len(lacking)} rewrites are not there"
    return UserError("the shards are not whole: nothing is written", why, fix)


def _key(item: Item, attempt: int) -> str:
    return digest([item.conversation, item.turn, item.before, item.reply, item.texts[:attempt]], 16)


def _row(reply: ChatReply, item: Item, attempt: int) -> dict[str, Any]:
    found = {"key": reply.key, "conversation": item.conversation, "turn": item.turn, "attempt": attempt + 1}
    found |= {"text": reply.text, "finish_reason": reply.finish_reason, "model": reply.model}
    return {**found, "tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out, "usd": reply.cost}


def _judge(judged: Sequence[tuple[Item, dict[str, Any]]], config: RewriteConfig, rewriter: Rewriter) -> None:
    """Check the latest texts and note what is wrong with each."""
    texts = [str(row["text"]).rpartition("</think>")[2].strip() for _, row in judged]
    similar: list[tuple[float, float] | None] = [None] * len(judged)
    embedder = rewriter.embedder(config)
    if embedder is not None and judged:
        sets = [texts, [item.reply for item, _ in judged], [item.user for item, _ in judged]]
        made, reply, user = (embedder.encode(some) for some in sets)
        similar = [(float(a), float(b)) for a, b in zip((made * reply).sum(1), (made * user).sum(1), strict=True)]
    for (item, row), text, near in zip(judged, texts, similar, strict=True):
        found = faults(item.user, item.reply, text, config, near)
        if row["finish_reason"] == "length":
            found.insert(0, Fault("cut off", f"it was cut off at {config.max_tokens} tokens"))
        item.texts.append(text)
        item.found = found


def _write(file: Path, version: str, items: Sequence[Item]) -> None:
    """Put the rewrites that passed into the file; a reply without one has none of that version, not an older one."""
    made = {(item.conversation, item.turn): item.texts[-1] for item in items if item.done}
    rows = []
    with locks.alone(file):  # another version may be written at the same time
        for _, line in intake.lines(file, "name a file of conversations"):
            row = intake.parse(line)
            for place, turn in enumerate(row["turns"]):
                turn.pop(version, None)
                if (row["id"], place) in made:
                    turn[version] = made[row["id"], place]
            rows.append(row)
        store.write_jsonl(file, rows)


def _summary(items: Sequence[Item], version: str, rewriter: Rewriter, costs_file: Path) -> dict[str, Any]:
    kept, missing = sum(item.done for item in items), sum(not item.texts for item in items)
    reasons = Counter(item.found[0].reason for item in items if item.found)
    if missing:
        reasons["not answered"] = missing
    paid = [row for row in costs.paid(costs_file) if row.get("version") == version]
    return {
        "version": version,
        "model": rewriter.name,
        "replies": len(items),
        "kept": kept,
        "first_attempt": sum(item.done and len(item.texts) == 1 for item in items),
        "set_aside": len(items) - kept,
        "not_answered": missing,
        "reasons": dict(reasons.most_common()),
        "calls": sum(int(row["calls"]) for row in paid),
        "spent": costs.spent(costs_file, version=version),
    }


def _set_aside(items: Sequence[Item]) -> list[dict[str, Any]]:
    rows = []
    for item in items:
        if not item.done:
            why = [fault.detail for fault in item.found] or ["it was not answered"]
            row = {"conversation": item.conversation, "turn": item.turn, "reasons": why}
            rows.append({**row, "reply": item.reply, "rewrite": item.texts[-1] if item.texts else None})
    return rows


class Rewriter:
    """Who writes: an endpoint, or a chat model on this machine. ``made_by`` is all that decides its texts."""

    def __init__(self, config: RewriteConfig, point: Endpoint | None, engine: Engine | None) -> None:
        self.config, self._point, self._engine = config, point, engine
        self.meter = None if point is None else point.meter
        self._embedder: Embedder | None = None
        if engine is not None:
            self.name = engine.name
            self.made_by: Any = ["local", engine.made_by, config.max_tokens, config.temperature]
        else:
            self.name = str(config.model) + (f" ({config.revision})" if config.revision else "")
            self.made_by = [config.model, config.revision, config.max_tokens, config.temperature, config.seed]

    def ask(self, requests: Sequence[ChatRequest], batch_journal: Path) -> Iterable[ChatReply]:
        """Yield one reply for each request, as they come."""
        if self._engine is not None:
            return self._locally(requests)
        if self._point is None:
            raise ValueError("a rewriter is an endpoint or an engine")
        if self.config.batch:
            return batches.ask(self._point, requests, batch_journal)
        return self._point.ask(requests)

    def _locally(self, requests: Sequence[ChatRequest]) -> Iterator[ChatReply]:
        engine, config = self._engine, self.config
        if engine is None or not requests:
            return
        how = GenerateConfig(
            max_new_tokens=config.max_tokens,
            temperature=config.temperature or 0.0,
            seed=config.seed or 0,
            batch_size=config.local_batch_size,
        )
        prompts = [Request(request.key, engine.encode(request.messages)) for request in requests]
        for batch in engine.answer(prompts, how):
            for reply in batch:
                yield ChatReply(reply.key, reply.text, reply.finish_reason, 0, reply.n_tokens or 0, None, engine.name)

    def embedder(self, config: RewriteConfig) -> Embedder | None:
        """Return the sentence model, loaded once; None where no similarity is asked for."""
        if self._embedder is None and config.embedder is not None:
            from warmgap.engines.embed import Embedder

            self._embedder = Embedder(config.embedder, config.device)
        return self._embedder


def _rewriter(config: RewriteConfig) -> Rewriter:
    if config.engine == "openai":
        return Rewriter(config, Endpoint(config, "rewrite"), None)
    if config.local_model is None:
        raise ValueError("checked before")
    return Rewriter(config, None, engine_of(Serving(config.local_model, config.device)))
