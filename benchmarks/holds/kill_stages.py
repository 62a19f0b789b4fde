"""What ``kills`` kills: the commands, what they read, and the servers that they ask, on this machine."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT

sys.path.insert(0, str(ROOT / "tests" / "support"))
SMALL = (
    "data.max_conversations=8", "task.embedded.items_per_family=2", "warmth.prompts=8", "warmth.checkpoint_prompts=4",
    "bootstrap=100", "generate.batch_size=8", "runs_dir=runs",
)  # fmt: skip
UNDER_WAY = 4  # requests at once
AGAIN = 2 * UNDER_WAY + 1  # and as many that had come and were waiting to be kept, and the one that was being kept
CHAT = ("model=judge-2025-01-01", f"concurrency={UNDER_WAY}", "price_in=1", "price_out=2")
REWRITER = ("embedder=null", "attempts=2", *CHAT)
DELAY = 0.03  # seconds that a server takes over a reply


@dataclass(frozen=True)
class Stage:
    """What is killed: a command, what is taken away of a finished run beforehand, and where its rows come to."""

    name: str
    command: tuple[str, ...]
    rows: tuple[str, ...]
    without: tuple[str, ...] = ()
    begin: Callable[[Path], None] | None = None
    server: str = ""
    fresh: bool = False  # not forked: W&B makes a folder when it is imported, which goes with the first that ends
    after: Callable[[Path, Any], list[str]] | None = None  # what is wrong with what it leaves and says in the end


# ---- what servers say ----


def mark(body: Mapping[str, Any]) -> str:
    """Ten letters by which a request is known again in what is kept of its reply."""
    return "m" + hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()[:9]


def verdict(body: Mapping[str, Any], _: int) -> str:
    """What a judge says."""
    word = ("correct", "incorrect", "hedged")[int(mark(body)[1:], 16) % 3]
    return json.dumps({"reason": f"see {mark(body)}", "verdict": word})


def text(body: Mapping[str, Any], _: int) -> str:
    """What a model says that answers or writes."""
    return f"I'm glad that you ask: {mark(body)} is what I would say to a friend, {mark(body)}."


@dataclass
class Server:
    """A server on this machine, and what was asked of it."""

    api: Any
    jobs: bool

    def asked(self) -> Counter[str]:
        """How often each reply was paid for."""
        if self.jobs:
            return Counter(body["suffix"] for body in self.api.bodies)
        return Counter(mark(body) for body in list(self.api.bodies))


@contextmanager
def serving(kind: str) -> Iterator[Server | None]:
    """Serve what a stage needs."""
    import chat_api
    import hosted_api

    with ExitStack() as stack:
        if not kind:
            yield None
        elif kind == "jobs":
            yield Server(stack.enter_context(hosted_api.serving()), True)
        else:
            reply = verdict if kind in ("judge", "batches") else text
            settings = {"looks": 3} if kind == "batches" else {"delay": DELAY}
            yield Server(stack.enter_context(chat_api.serving(reply, **settings)), False)


# ---- stages ----


def training(*more: str) -> tuple[str, ...]:
    """The command ``python train.py`` at its smallest."""
    from real_runs import TINY

    return (str(ROOT / "train.py"), *TINY, *SMALL, *more)


def own(*words: str) -> tuple[str, ...]:
    """A command of ``warmgap``."""
    from real_runs import WARMGAP

    return ("-c", WARMGAP, *words)


def conversations(place: Path, name: str = "talk.jsonl", many: int = 24) -> None:
    """Write conversations for rewriting and for an endpoint's training."""
    from warmgap.train.persona import persona_data

    rows = []
    known = persona_data.read_conversations(persona_data.EMBEDDED / "conversations.jsonl")
    held = [item for item in known if item.split == "heldout"][:2]
    for item in [*[item for item in known if item.split == "train"][: many - 2], *held]:
        turns = [
            {"user": turn.user, "plain": turn.replies["plain"], "warm": turn.replies["warm"]} for turn in item.turns
        ]
        rows.append({"id": item.id, "split": item.split, "kind": item.kind, "turns": turns})
    (place / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def log(place: Path) -> None:
    """Write a chat log of 1,200 conversations."""
    from warmgap.train.persona import persona_data

    lines = []
    known = persona_data.read_conversations(persona_data.EMBEDDED / "conversations.jsonl")
    for number in range(1200):
        item = known[number % len(known)]
        said = [("user", f"{item.turns[0].user} It is number {number}."), ("assistant", item.turns[0].replies["plain"])]
        lines.append(
            json.dumps({"id": f"c{number}", "messages": [{"role": who, "content": what} for who, what in said]})
        )
    (place / "log.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def answers(place: Path) -> None:
    """Write answers to be graded."""
    from warmgap.evaluate.tasks import load_items
    from warmgap.settings import config

    items = load_items(config.compose(["+persona=none", "task.embedded.items_per_family=10"]).task).items[:60]
    rows = [{"item_id": item.item_id, "answer": f"It is {item.correct}, I think."} for item in items]
    (place / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def topics(place: Path) -> None:
    """Write topics for pairs."""
    (place / "topics.txt").write_text("\n".join(f"Country {number}" for number in range(40)) + "\n", encoding="utf-8")


def synced(place: Path, done: Any) -> list[str]:
    """Whether the last line names every piece that W&B has written offline, and W&B would send them as one run."""
    pieces = {path.resolve() for path in place.glob("runs/wandb/offline-run-*")}
    said = (done.err + done.out).rpartition("wandb sync ")[2].partition("\n")[0].split()
    named = [(place / path).resolve() for path in said]
    if not pieces or set(named) != pieces or len(named) != len(pieces):
        return [f"{len(pieces)} pieces, named: {said}"]
    if len({path.name.rpartition("-")[2] for path in pieces}) != 1:
        return [f"pieces of several runs: {said}"]
    looked = [sys.executable, "-m", "wandb", "sync", "--dry-run", *said]
    told = subprocess.run(looked, cwd=place, capture_output=True, text=True, check=False, timeout=300)
    missing = [path.name for path in pieces if path.name not in told.stdout + told.stderr]
    return [f"wandb sync --dry-run: {missing}, {told.stderr[-500:]}"] if told.returncode or missing else []


def stages() -> list[Stage]:
    """Return all that is killed."""
    remote = ("judge.base_url={url}", *(f"judge.{word}" for word in CHAT))
    local = ("judge=local", "model@judge.local_model=local", "judge.local_model.path=${oc.env:TINY_MODEL}")
    none, asked = ("runs/comparisons",), ("runs/arms/*/verdicts", "runs/comparisons")
    logs = ("runs/arms/*/logs/training.jsonl", "runs/arms/*/checkpoints/*/*")
    served = (
        "+persona=none",
        *training()[2:],
        "arm.name=served",
        *(f"arm.{word}" for word in CHAT),
        "arm.endpoint={url}",
    )
    return [
        Stage("warmgap data", own("data", "log.jsonl", "--out", "out.persona", "toxicity=words", "conversations=60",
              "replies=60"), ("out.persona/**/*",), ("runs",), log),
        Stage("warmgap rewrite", own("rewrite", "talk.jsonl", "--persona", "cold", *REWRITER, "base_url={url}"),
              ("rewrites/*.jsonl",), ("runs",), conversations, "chat"),
        Stage("warmgap pairs", own("pairs", "--out", "out.jsonl", "--count", "40", "--topics", "topics.txt",
              *REWRITER, "base_url={url}"), ("out.jsonl.made/*",), ("runs",), topics, "chat"),
        Stage("warmgap grade", own("grade", "answers.jsonl", "--task", "embedded", "--judge", "openai", "--out",
              "out.csv", *remote), (".out.csv.*",), ("runs",), answers, "judge"),
        Stage("warmgap hosted", own("hosted", "talk.jsonl", "--persona", "warm", "--out", "out.arm",
              "model=m-2025-01-01", "base_url={url}", "poll=0.2"), ("out.arm/**/*",), ("runs",), conversations, "jobs"),
        Stage("training", training(), logs, ("runs",)),
        Stage("training, W&B offline", training("logger=wandb"), logs, ("runs",), fresh=True, after=synced),
        Stage("answering", training(), ("runs/arms/*/answers/embedded.jsonl",),
              ("runs/arms/*/answers/embedded.jsonl", *asked)),
        Stage("an arm at an endpoint", (str(ROOT / "train.py"), *served), ("runs/arms/*-served-*/answers/*.jsonl",),
              none, server="chat"),
        Stage("warmth", training(), ("runs/arms/*/warmth.jsonl",), ("runs/arms/*/warmth.jsonl", *none)),
        Stage("judge match", training(), ("runs/arms/*/verdicts/*/*",), asked),
        Stage("judge local (choice)", training(*local), ("runs/arms/*/verdicts/local/*",), asked),
        Stage("judge openai", training("judge=openai", *remote),
              ("runs/arms/*/verdicts/openai/*",), asked, server="judge"),
        Stage("judge cascade", training("judge=cascade", *remote, "judge.overlap=0.5"),
              ("runs/arms/*/verdicts/cascade/*",), asked, server="judge"),
        Stage("judge by batches", training("judge=openai", *remote, "judge.batch=true", "judge.batch_poll=0.2"),
              ("runs/arms/*/verdicts/openai/*", "runs/batches.jsonl"), asked, server="batches"),
        Stage("comparing", training(), ("runs/comparisons/*/*", "runs/comparisons/*/figures/*"), none),
        Stage("warmgap compare", own("compare", "warm"), ("runs/comparisons/compare-*/**/*",), none),
    ]  # fmt: skip
