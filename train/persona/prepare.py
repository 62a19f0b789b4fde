"""From a chat log to the conversations of an arm: clean, leave out the toxic, label, draw evenly, hold some out.

Each step says what went in, what came out and what it left out for which reason (``steps.json``, ``card.md``). The
cleaned conversations and the toxicity scores lie in ``work/``: run again, only what is missing is done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from warmgap.disk import intake, locks, store
from warmgap.disk.manifest import sha256
from warmgap.disk.progress import bar
from warmgap.errors import UserError
from warmgap.settings.command_limits import check_prepare
from warmgap.settings.command_schema import PrepareConfig
from warmgap.settings.identity import digest
from warmgap.train.persona import card, clean, draw, kinds, sources, toxicity
from warmgap.train.persona.persona_data import KINDS

CLEANING = 3  # raise when the cleaning changes what comes out
CHUNK = 256  # conversations that are scored and kept together

Turns = list[tuple[str, str]]


def prepare(logs: Sequence[Path], config: PrepareConfig, out: Path) -> dict[str, Any]:
    """Make ``out/conversations.jsonl`` from chat logs, with its card; return what ``steps.json`` holds.

    Raises UserError where a log cannot be read or nothing is left.
    """
    check_prepare(config)
    _check_logs(logs)
    judge = toxicity.classifier(config)  # so is a classifier that cannot be had
    store.check_writable(str(out))
    work = out / "work"
    source = [
        {"file": log.name, "sha256": sha256(log), "megabytes": round(log.stat().st_size / 1e6, 1)} for log in logs
    ]
    with locks.alone(out):
        steps = [_clean(logs, config, work, [part["sha256"] for part in source])]
        scores, step = _score(config, judge, work)
        steps.append(step)
        chosen, step = _draw(config, work, scores)
        steps.append(step)
        rows = _rows(work / "cleaned.jsonl", chosen, draw.held_out(chosen, config.heldout, config.seed))
        store.write_jsonl(out / "conversations.jsonl", rows)
        made = {"source": source, "settings": dataclasses.asdict(config), "steps": steps, "drawn": _counts(rows)}
        store.write_json(out / "steps.json", made)
        card.write(out)
    return made


def _check_logs(logs: Sequence[Path]) -> None:
    """Raise UserError where one is of another kind, or no row of any can be read; nothing is written."""
    for log in logs:
        sources.check(log)
    why = []
    for log in logs:
        if not (reason := sources.nothing_in(log)):
            return
        why.append(reason)
    raise UserError(f"{', '.join(map(str, logs))} cannot be read", "; ".join(why), sources.EXPECTED)


def _clean(logs: Sequence[Path], config: PrepareConfig, work: Path, hashes: list[Any]) -> dict[str, Any]:
    """Write the cleaned conversations, unless they are there from the same logs with the same settings."""
    target, made = work / "cleaned.jsonl", digest([CLEANING, hashes, config.language, config.max_turns], 16)
    known = store.read_json(work / "cleaned.json")
    if known and known.get("made") == made and target.is_file() and known.get("sha256") in (None, sha256(target)):
        step: dict[str, Any] = known["step"]
        return step
    work.mkdir(parents=True, exist_ok=True)
    scratch = work / f"cleaned-{made}.part"
    results, seen, rejected = _begun(scratch)
    done = results.total()
    with scratch.open("a", encoding="utf-8") as file, bar("clean", None) as advance:
        advance(done)
        logged = ((number, entry) for number, log in enumerate(logs) for entry in sources.read(log))
        for number, entry in islice(logged, done, None):
            turns, why = _usable(entry, config, seen)
            results[number, why] += 1
            rejected += entry.rejected
            row: dict[str, Any] = {"left": why} if why else {"id": entry.id, "turns": turns}
            row |= {"rejected": True} if entry.rejected else {}
            file.write(json.dumps(intake.mend({"log": number, **row}), ensure_ascii=False) + "\n")
            advance(1)
    step = {"step": "clean", **_counted(results, range(len(logs))), "rejected": rejected}
    if not step["out"]:
        scratch.unlink()
        reasons = ", ".join(f"{reason}: {count}" for reason, count in step["left_out"].items())
        raise UserError(
            f"nothing is left of {', '.join(log.name for log in logs)}",
            f"{step['in']} conversations; {reasons}",
            "name another log",
        )
    scratch.replace(target)
    step["logs"] = [{"file": log.name, **_counted(results, [number])} for number, log in enumerate(logs)]
    store.write_json(work / "cleaned.json", {"made": made, "step": step, "sha256": sha256(target)})
    return step


def _counted(results: Counter[tuple[int, str]], logs: Sequence[int]) -> dict[str, Any]:
    """What went in and came out of some of the logs, and what was left out for which reasons, the commonest first."""
    left: Counter[str] = Counter()
    for (log, why), count in results.items():
        if log in logs:
            left[why] += count
    total, kept = left.total(), left.pop("", 0)
    return {"in": total, "out": kept, "left_out": dict(left.most_common())}


def _begun(scratch: Path) -> tuple[Counter[tuple[int, str]], set[bytes], int]:
    """What an interrupted cleaning has found so far, by log and reason, the marks of what it kept, rejected replies.

    A torn last line goes, and a line that cannot be read with all that stands below it: these are cleaned again.
    """
    results: Counter[tuple[int, str]] = Counter()
    seen: set[bytes] = set()
    rejected = 0
    if scratch.is_file():
        with scratch.open("rb+") as file:
            whole = 0
            for line in file:
                try:
                    row = json.loads(line) if line.endswith(b"\n") else {}
                    results[row["log"], row.get("left", "")] += 1
                except (ValueError, KeyError):
                    break
                rejected += row.get("rejected", False)
                if "turns" in row:
                    seen.add(_mark(row["turns"]))
                whole += len(line)
            file.truncate(whole)
    return results, seen, rejected


def _mark(turns: Sequence[Sequence[str]]) -> bytes:
    """What conversations share that are the same but for case and spaces, in every message."""
    words = "\0".join(clean.alike(text) for turn in turns for text in turn)
    return hashlib.blake2b(words.encode(), digest_size=12).digest()


def _usable(entry: sources.Log, config: PrepareConfig, seen: set[bytes]) -> tuple[Turns, str]:
    """A conversation's turns, or the reason why it is left out; ``seen`` holds the marks of those so far."""
    if entry.broken:
        return [], entry.broken
    turns, why = clean.turns(entry)
    if why:
        return [], why
    if len(turns) > config.max_turns:
        return [], f"more than {config.max_turns} turns"
    mark = _mark(turns)
    if mark in seen:
        return [], "duplicate: the same in every message"
    if clean.language(turns) != config.language:
        return [], f"language other than {config.language}"
    seen.add(mark)
    return turns, ""


def _score(
    config: PrepareConfig, judge: toxicity.Classifier | None, work: Path
) -> tuple[dict[str, float], dict[str, Any]]:
    """Score what has no score yet; return the scores by conversation, none where the filter is off, and the step."""
    total = sum(1 for _ in _cleaned(work / "cleaned.jsonl"))
    if judge is None:
        return {}, {"step": "toxicity", "in": total, "out": total, "left_out": {}, "by": "nobody: the filter is off"}
    journal = work / f"toxicity-{digest(judge.name)}.jsonl"
    scores = {str(row["key"]): float(row["score"]) for row in store.read_journal(journal)}
    with bar("toxicity", total) as advance:
        chunk: list[tuple[str, Turns]] = []
        for _, name, _, turns in _cleaned(work / "cleaned.jsonl"):
            if name in scores:
                advance(1)
                continue
            chunk.append((name, turns))
            if len(chunk) == CHUNK:
                scores |= _kept(judge, chunk, journal)
                advance(len(chunk))
                chunk = []
        if chunk:
            scores |= _kept(judge, chunk, journal)
            advance(len(chunk))
    toxic = sum(scores[name] >= config.toxicity_limit for _, name, _, _ in _cleaned(work / "cleaned.jsonl"))
    reason = f"a message scores {config.toxicity_limit:g} or more"
    left = {reason: toxic} if toxic else {}
    return scores, {"step": "toxicity", "in": total, "out": total - toxic, "left_out": left, "by": judge.name}


def _kept(judge: toxicity.Classifier, chunk: list[tuple[str, Turns]], journal: Path) -> dict[str, float]:
    """Score some conversations by their worst message and journal the scores."""
    texts = [text for _, turns in chunk for turn in turns for text in turn]
    scores = iter(judge.scores(texts))
    found = {name: max(next(scores) for _ in range(2 * len(turns))) for name, turns in chunk}
    store.append(journal, [{"key": name, "score": round(score, 6)} for name, score in found.items()])
    return found


def _draw(config: PrepareConfig, work: Path, scores: dict[str, float]) -> tuple[list[draw.Entry], dict[str, Any]]:
    """Label what is not toxic and draw from it."""
    entries, total = [], 0
    with bar("label", None) as advance:
        for place, name, groups, turns in _cleaned(work / "cleaned.jsonl"):
            if scores.get(name, 0.0) < config.toxicity_limit:
                total += 1
                entries.append(draw.Entry(place, kinds.label(*turns[0]), len(turns), groups))
            advance(1)
    chosen = draw.draw(entries, config.conversations, config.replies, config.seed)
    there = Counter(entry.kind for entry in entries)
    if len({entry.kind for entry in chosen}) < 1 or len(chosen) < 2:
        why = f"{total} conversations are left after cleaning and the toxicity filter"
        raise UserError("too little to draw from", why, "name a larger log")
    step = {"step": "draw", "in": total, "out": len(chosen), "left_out": {"not drawn": total - len(chosen)}}
    return chosen, {**step, "there": {kind: there[kind] for kind in KINDS}}


def _cleaned(path: Path) -> Iterator[tuple[int, str, tuple[str, ...], Turns]]:
    """Yield the place in the file (bytes), the name (made from the text), the groups and the turns of what was kept.

    Parts of one conversation are a group, and so are those with the same first message.
    """
    with path.open("rb") as file:
        place = 0
        for line in file:
            row = json.loads(line)
            if "turns" in row:
                turns = [(user, reply) for user, reply in row["turns"]]
                part = clean.part_of(row["id"])
                groups = (*([part] if part else []), "?" + _short(clean.alike(turns[0][0]).encode()))
                yield place, _short(line), groups, turns
            place += len(line)


def _short(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _rows(path: Path, chosen: list[draw.Entry], held: set[int]) -> list[dict[str, Any]]:
    """The drawn conversations as lines of a file of conversations."""
    rows = []
    with path.open("rb") as file:
        for number, entry in enumerate(chosen, 1):
            file.seek(entry.place)
            logged = json.loads(file.readline())
            turns = [{"user": user, "plain": reply} for user, reply in logged["turns"]]
            split = "heldout" if entry.place in held else "train"
            name = f"{number:05d}-{logged['id']}"
            rows.append({"id": name, "split": split, "kind": entry.kind, "turns": turns})
    return rows


def _counts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Conversations and replies by kind, and how many of each are held out."""
    found = []
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind]
        held = [row for row in own if row["split"] == "heldout"]
        counts = {"conversations": len(own), "replies": sum(len(row["turns"]) for row in own)}
        counts |= {"held_out": len(held), "replies_held_out": sum(len(row["turns"]) for row in held)}
        found.append({"kind": kind, **counts})
    return found
