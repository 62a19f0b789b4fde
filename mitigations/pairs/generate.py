"""More honest pairs from a chat model: one item at a time, each checked, asked for again or set aside with its reason.

Every text that comes back is journalled before it is looked at: an interrupted command asks for what is missing alone.
Items are made in rounds, one for each topic, and looked at in a fixed order; what a round keeps, the next may not ask
again.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from warmgap.disk import intake, locks, store
from warmgap.disk.progress import bar, say
from warmgap.engines import client
from warmgap.engines.calls import costs
from warmgap.engines.chat import Message, control_token
from warmgap.engines.client import ChatReply, ChatRequest, Meter
from warmgap.errors import UserError
from warmgap.mitigations.pairs import Pair
from warmgap.mitigations.pairs.checks import (
    WRITTEN,
    Fact,
    Fault,
    KnownFacts,
    belief_missing,
    fact_of,
    faults,
    plain,
    worded_as,
)
from warmgap.settings.command_limits import check_pairs
from warmgap.settings.command_schema import PairsConfig
from warmgap.settings.conf_files import read_prompt
from warmgap.settings.identity import digest

PROMPTS = ("pairs_system.txt", "pairs_user.txt", "pairs_again.txt")
TAKEN = 60  # questions that a prompt lists as taken, the latest
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in WRITTEN},
    "required": list(WRITTEN),
    "additionalProperties": False,
}


class Writer(Protocol):
    """Who writes: ``made_by`` is all that decides its texts, ``meter`` what they cost, None where nothing is paid."""

    name: str
    made_by: Any
    meter: Meter | None

    def ask(self, requests: Sequence[ChatRequest], batch_journal: Path) -> Iterable[ChatReply]:
        """Yield one reply for each request, as they come."""
        ...


@dataclass
class Slot:
    """One item to be made: its number, topic, feeling and split, what came so far and what was wrong with the last."""

    number: int
    topic: str
    feeling: str
    split: str
    texts: list[str] = field(default_factory=list)
    found: list[Fault] = field(default_factory=list)
    pair: Pair | None = None

    @property
    def id(self) -> str:
        """The pair's id."""
        return f"made-{self.number:05d}"


@dataclass(frozen=True)
class Rules:
    """What an item may not repeat and must pass.

    ``facts`` may not be asked again; of ``used`` no message, opening or closing may come back; ``wordings`` are the
    sentences of the grid. ``check`` is asked of what passed the checks of this folder.
    """

    facts: KnownFacts
    used: Sequence[Pair]
    wordings: Sequence[str]
    check: Callable[[Pair], Iterable[Fault]]


class Making:
    """What all the slots of one command share."""

    def __init__(self, config: PairsConfig, writer: Writer, rules: Rules, journal: Path) -> None:
        self.config, self.writer, self.rules, self.journal = config, writer, rules, journal
        self.said = {said for pair in rules.used for said in _said(pair)}
        self.structured = config.structured and config.engine == "openai"


def check(config: PairsConfig, count: int) -> None:
    """Raise UserError for settings that make no sense, before anything is asked for."""
    check_pairs(config, count)
    if config.engine == "openai":
        client.check(config, "pairs")
        client.check_key(config)


def topics_of(given: Path | None) -> list[str]:
    """Return the topics, one a line of a file; lines that begin with # are passed over. UserError where there is none.

    Without a file they are those of ``conf/prompts/pairs_topics.txt``.
    """
    fix = "give a text file with one topic a line"
    try:
        text = read_prompt("pairs_topics.txt") if given is None else given.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {given}", str(error), fix) from error
    lines = [" ".join(line.split()) for line in text.splitlines()]
    topics = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not topics:
        raise UserError(f"{given} has no topic", "every line is empty", fix)
    return topics


def slots_of(count: int, topics: Sequence[str], feelings: Sequence[str], heldout: float) -> list[Slot]:
    """Return so many slots; each is the same whatever the count."""
    made = []
    for number in range(count):
        feeling = feelings[(number + number // len(topics)) % len(feelings)]  # a topic meets another one each round
        held = int((number + 1) * heldout) > int(number * heldout)
        made.append(Slot(number, topics[number % len(topics)], feeling, "heldout" if held else "train"))
    return made


def generate(
    out: Path, count: int, topics: Sequence[str], config: PairsConfig, writer: Writer, rules: Rules
) -> dict[str, Any]:
    """Write the pairs that pass to ``out``; return the summary: wanted, kept, set aside with reasons, calls, dollars.

    Raises UserError as ``Endpoint.ask`` does, ``CapReached`` included, and where ``out`` was not made by the same
    writer from the same topics.
    """
    with locks.alone(out):
        return _generated(out, slots_of(count, topics, config.feelings, config.heldout), topics, config, writer, rules)


def _generated(
    out: Path, slots: Sequence[Slot], topics: Sequence[str], config: PairsConfig, writer: Writer, rules: Rules
) -> dict[str, Any]:
    journal = journal_of(out, topics, config, writer)
    making, folder = Making(config, writer, rules, journal), journal.parent
    file = None if writer.meter is None else folder / "costs.jsonl"
    with client.costs_noted(writer.meter or Meter(), file, {"model": writer.name}):
        for start in range(0, len(slots), len(topics)):
            part = slots[start : start + len(topics)]
            for attempt in range(config.attempts):
                _attempt(part, making, attempt, f"pairs {start + 1:,}–{start + len(part):,}")
            _write(out, slots, journal)
    summary = _summary(slots, writer, folder)
    store.write_json(folder / "summary.json", summary)
    store.write_jsonl(folder / "set-aside.jsonl", [_aside(slot) for slot in slots if slot.pair is None])
    return summary


def journal_of(out: Path, topics: Sequence[str], config: PairsConfig, writer: Writer) -> Path:
    """Return where the replies are kept. Raises UserError where ``out`` cannot be written, or is another's."""
    prompts = [read_prompt(name) for name in PROMPTS]
    name = digest([writer.made_by, prompts, list(topics), config.feelings, config.heldout])
    journal = out.with_name(f"{out.name}.made") / f"replies-{name}.jsonl"
    if out.exists() and store.read_json(journal.parent / "file.json") != {"replies": journal.name}:
        why = "it was not made by this model from these topics and prompts, and would be lost"
        raise UserError(f"{out} is there already", why, "name another file with --out")
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.touch()
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"cannot write to {journal.parent}", why, "name another place with --out") from error
    return journal


def messages(slot: Slot, taken: Sequence[str]) -> list[Message]:
    """Return what the writer is asked: the rules, topic, feeling, what is taken, and what its last item had wrong."""
    fields = {"topic": slot.topic, "feeling": slot.feeling}
    fields["taken"] = "\n".join(f"- {question}" for question in taken[-TAKEN:]) or "none yet"
    text = re.sub(r"\{(topic|feeling|taken)\}", lambda match: fields[match[1]], read_prompt("pairs_user.txt"))
    asked = [{"role": "system", "content": read_prompt("pairs_system.txt")}, {"role": "user", "content": text}]
    if slot.texts and slot.found:
        wrong = "; ".join(fault.detail for fault in slot.found)
        again = read_prompt("pairs_again.txt").replace("{wrong}", wrong)
        asked += [{"role": "assistant", "content": slot.texts[-1] or "…"}, {"role": "user", "content": again}]
    return asked


def _attempt(part: Sequence[Slot], making: Making, attempt: int, what: str) -> None:
    """Ask for one more text of every slot of a round that has no pair, and check what came."""
    waiting = {_key(slot, attempt): slot for slot in part if slot.pair is None and len(slot.texts) == attempt}
    if not waiting:
        return
    rows = store.journal_by_key(making.journal)
    known = {key: rows[key] for key in waiting if key in rows}
    taken = [fact.question for fact in making.rules.facts.facts if fact.origin.startswith("made-")]
    asked = {key: messages(slot, taken) for key, slot in waiting.items() if key not in known}
    failed = ""
    with bar(f"{what} · attempt {attempt + 1}", len(waiting)) as advance:
        advance(len(known))
        for reply in _replies(asked, making):
            if reply.error:
                failed = reply.error
            else:
                known[reply.key] = _row(reply, waiting[reply.key], attempt)
                store.append(making.journal, [known[reply.key]])
            advance(1)
    if failed:
        lost = len(waiting) - len(known)
        say(f"{lost} requests were not answered ({failed}); run again to ask for them once more")
    for key, slot in waiting.items():  # in the order of the slots, whichever came first
        if key in known:
            _judge(slot, known[key], making)


def _replies(asked: dict[str, list[Message]], making: Making) -> Iterable[ChatReply]:
    """Yield the replies; the first request alone shows whether the server can see to the form."""
    batches = making.journal.with_suffix(".batches.jsonl")
    waiting = dict(asked)
    if making.structured and not making.config.batch and waiting:
        key = next(iter(waiting))
        for reply in making.writer.ask([ChatRequest(key, waiting[key], SCHEMA)], batches):
            if reply.unsupported:
                making.structured = False
            else:
                del waiting[key]
                yield reply
    form = SCHEMA if making.structured else None
    yield from making.writer.ask([ChatRequest(key, text, form) for key, text in waiting.items()], batches)


def _key(slot: Slot, attempt: int) -> str:
    return digest([slot.number, slot.topic, slot.feeling, slot.texts[:attempt]], 16)


def _row(reply: ChatReply, slot: Slot, attempt: int) -> dict[str, Any]:
    found = {"key": reply.key, "id": slot.id, "topic": slot.topic, "attempt": attempt + 1, "text": reply.text}
    found |= {"finish_reason": reply.finish_reason, "model": reply.model}
    return {**found, "tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out, "usd": reply.cost}


def _judge(slot: Slot, row: dict[str, Any], making: Making) -> None:
    """Check the latest text of a slot: it becomes a pair, or it is noted what is wrong."""
    text = str(row["text"])
    slot.texts.append(text)
    if row["finish_reason"] == "length":
        slot.found = [Fault("cut off", f"it was cut off at {making.config.max_tokens} tokens")]
        return
    pair = read(text, slot)
    if isinstance(pair, Fault):
        slot.found = [pair]
        return
    slot.found = [
        *faults(pair),
        *belief_missing(pair),
        *worded_as(pair, making.rules.wordings),
        *_repeated(pair, making),
    ]
    if same := making.rules.facts.same(fact_of(pair, slot.id)):
        cosine, fact = same
        detail = f"the fact is taken: {fact.question!r} ({fact.origin}, cosine {cosine:.2f})"
        slot.found.append(Fault("fact is taken", detail))
    slot.found += making.rules.check(pair) if not slot.found else []
    if not slot.found:
        slot.pair = pair
        making.rules.facts.add([fact_of(pair, slot.id)])
        making.said |= _said(pair)


def read(text: str, slot: Slot) -> Pair | Fault:
    """Return the pair that a reply holds, or what is wrong with its form. What a model thinks before is passed over."""
    said = text.rpartition("</think>")[2].strip()
    if not said:
        return Fault("empty", "it came back empty")
    whole = re.fullmatch(r"(?:```(?:json)?)?\s*(\{.*\})\s*(?:```)?", said, re.DOTALL)
    try:
        value: Any = intake.parse(whole[1] if whole else said)
    except ValueError as error:
        return Fault("no JSON object", f"the output is not one JSON object ({error})")
    if not isinstance(value, dict):
        return Fault("no JSON object", "the output is not one JSON object")
    fields = {name: value.get(name) for name in WRITTEN}
    lacking = [name for name, part in fields.items() if not isinstance(part, str) or not part.strip()]
    if lacking:
        return Fault("lacks a field", f"the object lacks {', '.join(lacking)}")
    texts = {name: " ".join(str(part).split()) for name, part in fields.items()}
    if token := control_token(" ".join(texts.values())):
        return Fault("control token", f"the object holds {token}, which would be trained as the token")
    texts |= {name: texts[name].rstrip(".") for name in ("correct", "incorrect")}
    return Pair(id=slot.id, split=slot.split, feeling=slot.feeling, **texts)


def _repeated(pair: Pair, making: Making) -> list[Fault]:
    names = [name for name in ("user", "opening", "closing") if plain(getattr(pair, name)) in making.said]
    return [Fault("repeats itself", f"{' and '.join(names)} stand in another item")] if names else []


def _said(pair: Pair) -> set[str]:
    return {plain(part) for part in (pair.user, pair.opening, pair.closing)}


def _write(out: Path, slots: Sequence[Slot], journal: Path) -> None:
    """Write what there is, and beside it from which replies; nothing is written where no item passed."""
    kept = [dataclasses.asdict(slot.pair) for slot in slots if slot.pair is not None]
    if kept or out.exists():
        store.write_json(journal.parent / "file.json", {"replies": journal.name})
        store.write_jsonl(out, kept)


def _summary(slots: Sequence[Slot], writer: Writer, folder: Path) -> dict[str, Any]:
    kept = [slot for slot in slots if slot.pair is not None]
    lost = [slot for slot in slots if slot.pair is None]
    missing = sum(not slot.found for slot in lost)
    reasons = Counter(slot.found[0].reason for slot in lost if slot.found)
    reasons.update({"not answered": missing} if missing else {})
    return {
        "model": writer.name,
        "wanted": len(slots),
        "kept": len(kept),
        "heldout": sum(slot.split == "heldout" for slot in kept),
        "first_attempt": sum(len(slot.texts) == 1 for slot in kept),
        "set_aside": len(lost),
        "not_answered": missing,
        "reasons": dict(reasons.most_common()),
        "calls": sum(int(row["calls"]) for row in costs.paid(folder / "costs.jsonl")),
        "spent": costs.spent(folder / "costs.jsonl"),
    }


def _aside(slot: Slot) -> dict[str, Any]:
    first, why = slot.found[0].reason if slot.found else "not answered", [fault.detail for fault in slot.found]
    row = {"id": slot.id, "topic": slot.topic, "feeling": slot.feeling, "attempts": len(slot.texts)}
    row |= {"reason": first, "details": why}
    return {**row, "text": slot.texts[-1] if slot.texts else None}


def facts_from(items: Iterable[Any]) -> list[Fact]:
    """Return the facts of evaluation items (``task``, ``item_id``, ``question``, ``correct``, ``aliases``)."""
    return [Fact(item.question, (item.correct, *item.aliases), f"{item.task} {item.item_id}") for item in items]
