"""Nothing lost, nothing twice: ``python -m benchmarks kills [--kills 7]`` kills each kind of work at random moments.

Every stage is run to its end once, by the real command with a tiny model of random weights, which says when rows come
to the disk. Then it is killed (SIGKILL to the whole process group) at seeded random moments in between, again and
again in the same folder, and run to its end: every row that was on the disk at a kill has to be there, once, and every
table has to be the same to the last byte. Endpoints are servers on this machine that speak the vendors' protocol.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Row, keep
from benchmarks.holds.kill_stages import Server, Stage, serving, stages, training

sys.path.insert(0, str(ROOT / "tests" / "support"))
TABLES = (
    "**/comparisons/*/*.csv",
    "**/answers.parquet",
    "**/adapter/adapter_model.safetensors",
    "**/out.*",
    "**/*.jsonl",
)
NO_TABLE = ("costs.jsonl", "batches.jsonl", "seconds.jsonl", "hosted.jsonl")  # they tell of time, or grow by a try


@dataclass(frozen=True)
class Seen:
    """When the first and the last rows of a stage came, in seconds, in how many writes, and how many bytes they are."""

    first: float
    last: float
    writes: int
    size: int


@dataclass
class Tally:
    """What came of the kills of a stage."""

    kills: int = 0
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    again: int = 0  # the most requests, or steps of a training, that were made again after one kill
    twice: int = 0  # paid for although they were on the disk
    cases: int = 0
    same: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


# ---- killed ----


def copy(stage: Stage, whole: Path, place: Path) -> Path:
    """Make a folder in which the stage is still to be done."""
    place.mkdir(parents=True)
    if "runs" not in stage.without:
        shutil.copytree(whole / "runs", place / "runs")
        for pattern in stage.without:
            for path in place.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    if stage.begin:
        stage.begin(place)
    return place


def begun(stage: Stage, place: Path, server: Server | None) -> Any:
    """Start the stage's command."""
    from real_runs import start

    url = server.api.url if server else ""
    return start([sys.executable, *(word.replace("{url}", url) for word in stage.command)], place, fresh=stage.fresh)


def weight(stage: Stage, place: Path) -> int:
    """How many bytes the stage has put on the disk."""
    found = 0
    for path in (path for pattern in stage.rows for path in place.glob(pattern)):
        try:
            found += path.stat().st_size + 1
        except OSError:
            continue
    return found


def window(stage: Stage, whole: Path, place: Path) -> tuple[Seen, dict[str, str], int]:
    """Run a stage to its end: return when its first and last rows came, its tables, and its exit status."""
    from real_runs import finish

    with serving(stage.server) as server:
        copy(stage, whole, place)
        base, began = weight(stage, place), time.monotonic()
        process = begun(stage, place, server)
        times, last, most = [], base, base
        while process.poll() is None:
            if (now := weight(stage, place)) != last:
                last, most = now, max(now, most)
                times.append(time.monotonic() - began)
            time.sleep(0.01)
        done = finish(process, 60)
    if done.status not in (0, 1):
        raise RuntimeError(f"{stage.name} ended with status {done.status}: {done.err[-2000:]}")
    first = max(0.05, min(times, default=0.1) - 0.3)
    seen = Seen(first, max(times, default=1.0) + 0.1, len(times), most)
    return seen, tables(place), done.status


def wait_for_moment(stage: Stage, place: Path, process: Any, seen: Seen, draw: random.Random) -> None:
    """Wait until the stage is to be killed, or has ended.

    That is when a random share of what it had still to write is on the disk, and up to a write's time later; where all
    is there and is written anew, a random time after its begin.
    """
    until, now = time.monotonic() + draw.uniform(seen.first, seen.last), weight(stage, place)
    pause = draw.uniform(0, (seen.last - seen.first) / max(1, seen.writes))
    target = now + draw.random() * (seen.size - now)
    if now < 0.9 * seen.size:
        while process.poll() is None and weight(stage, place) <= target:
            time.sleep(0.002)
        until = time.monotonic() + pause
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)


def committed(stage: Stage, place: Path) -> dict[str, Counter[str]]:
    """The whole rows of the stage's journals and of its finished tables, by file."""
    from warmgap.disk import store

    found = {}
    for path in (path for pattern in stage.rows for path in place.glob(pattern)):
        if path.suffix == ".jsonl":
            names = [_name(row) for row in store.read_journal(path)]
        elif path.suffix == ".csv" and not path.name.startswith("."):
            names = path.read_text(encoding="utf-8").splitlines()[1:]
        else:
            continue
        found[path.relative_to(place).as_posix()] = Counter(filter(None, names))
    return found


def _name(row: Mapping[str, Any]) -> str:
    """What a row is known by; nothing of rows that may come again.

    That is its key; of a training its step and what was logged of it; of a batch its label and what is known of it; of
    a fine-tuning job what was done and to which job or file.
    """
    if "key" in row:
        return str(row["key"])
    if "label" in row and "keys" in row:
        return f"{row['label']} {row.get('batch')} {sorted(row)}"
    if isinstance(row.get("step"), str):
        again = row["step"] in ("upload", "create")  # said before it is tried
        return "" if again else " ".join(str(row[name]) for name in ("step", "job", "file", "status") if name in row)
    return f"{row['step']} {sorted(row)}" if isinstance(row.get("step"), int) and "epoch" in row else ""


def tables(place: Path) -> dict[str, str]:
    """The hash of every table that a stage leaves; of journals, of their rows in the order of the alphabet."""
    from warmgap.disk import store

    found = {}
    for path in {path for pattern in TABLES for path in place.glob(pattern) if path.is_file()}:
        name = path.relative_to(place).as_posix()
        if path.name in NO_TABLE or any(part.startswith(".") for part in path.parts[len(place.parts) :]):
            continue
        data = path.read_bytes()
        if path.suffix == ".jsonl":
            rows = [{key: row[key] for key in row if key not in ("at", "usd")} for row in store.read_journal(path)]
            data = "\n".join(sorted(json.dumps(row, sort_keys=True) for row in rows)).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def on_disk(place: Path) -> set[str]:
    """The marks of the replies that are kept."""
    found: set[str] = set()
    for path in place.rglob("*.jsonl"):
        found |= set(re.findall(r"\bm[0-9a-f]{9}\b", path.read_text(encoding="utf-8", errors="replace")))
    return found


def case(stage: Stage, whole: Path, place: Path, known: tuple[Any, ...], draw: random.Random, most: int) -> Tally:
    """Kill a stage up to so many times in one folder, then run it to its end."""
    from real_runs import finish

    _, expected, status = known
    tally = Tally(cases=1)
    with serving(stage.server) as server:
        copy(stage, whole, place)
        kept: list[dict[str, Counter[str]]] = []
        for _ in range(most):
            before, paid = (server.asked(), on_disk(place)) if server else (Counter(), set())
            process = begun(stage, place, server)
            wait_for_moment(stage, place, process, known[0], draw)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                tally.kills += 1
            ended = finish(process, 60)
            if server and not server.jobs:
                fresh = server.asked() - before
                tally.twice += sum(count for name, count in fresh.items() if name in paid)
                tally.again = max(tally.again, sum(count for name, count in fresh.items() if before[name]))
            kept.append(committed(stage, place))
            if ended.status in (0, 1):
                break
        before, paid = (server.asked(), on_disk(place)) if server else (Counter(), set())
        done = finish(begun(stage, place, server))
        if server:
            fresh = server.asked() - before
            tally.twice += sum(count for name, count in fresh.items() if name in paid)
            tally.again = max(tally.again, sum(count for name, count in fresh.items() if before[name]))
            if server.jobs:
                tally.twice += len(server.api.jobs) - 1
    if done.status != status and "already" not in done.err:
        tally.faults.append(f"status {done.status}, not {status}: {done.err[-600:]}")
    if stage.after:
        tally.faults += stage.after(place, done)
    end = committed(stage, place)
    for name, rows in ((name, rows) for state in kept for name, rows in state.items()):
        tally.rows += len(rows)
        if name in end:  # `grade` takes its journal away once its table is written
            tally.lost += sum(1 for key in rows if key not in end[name])
    tally.doubled = sum(count - 1 for rows in end.values() for count in rows.values())
    found = tables(place)
    wrong = sorted(name for name in expected if expected[name] != found.get(name))
    tally.faults += [f"{stage.name}: another {name}" for name in wrong]
    tally.same = not wrong
    return tally


def killed(stage: Stage, whole: Path, place: Path, kills: int, draw: random.Random, most: int = 7) -> Tally:
    """Kill a stage so many times, in as many folders as that takes."""
    began, total = time.monotonic(), Tally()
    known = window(stage, whole, place / "reference")
    for number in range(4 * kills):
        if total.kills >= kills:
            break
        one = case(stage, whole, place / str(number), known, draw, min(most, kills - total.kills))
        for name in ("kills", "rows", "lost", "doubled", "twice", "cases", "same"):
            setattr(total, name, getattr(total, name) + getattr(one, name))
        total.again = max(total.again, one.again)
        total.faults += one.faults
        shutil.rmtree(place / str(number))
    total.seconds = time.monotonic() - began
    return total


def prepared(place: Path) -> Path:
    """Make the tiny model and a finished run with it; return the folder of the run."""
    import tiny
    from real_runs import SMOKE, finish, start

    from warmgap.engines import models
    from warmgap.evaluate.tasks import load_items
    from warmgap.settings import config

    run = config.compose(list(SMOKE))
    words = [item.correct for item in load_items(run.task).items]
    os.environ["TINY_MODEL"] = str(tiny.speaker(place / "model", models.resolve(run.model), words))
    whole = place / "whole"
    whole.mkdir()
    done = finish(start([sys.executable, *training()], whole), 600)
    if done.status:
        raise RuntimeError(done.err)
    return whole


def show(found: Mapping[str, Tally]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="kills", title_justify="left", box=None, padding=(0, 2, 0, 0))
    titles = (
        "stage",
        "kills",
        "rows kept",
        "lost",
        "doubled",
        "again, most",
        "paid twice",
        "tables identical",
        "s",
    )
    for title in titles:
        table.add_column(title, justify="left" if title == "stage" else "right")
    for name, one in found.items():
        figures = (one.kills, one.rows, one.lost, one.doubled, one.again, one.twice)
        table.add_row(name, *map(str, figures), f"{one.same} of {one.cases}", f"{one.seconds:.0f}")
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    for fault in (fault for one in found.values() for fault in one.faults):
        console.print(fault, highlight=False)


def main() -> None:
    """Kill every stage, print the table, keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=7, help="of each stage (default: 7)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="stages whose name has one of these words")
    options = parser.parse_args()
    wanted = [one for one in stages() if not options.only or any(word in one.name for word in options.only)]
    import pytest

    found: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as scratch:
        whole = prepared(Path(scratch))
        for number, stage in enumerate(wanted):
            draw = random.Random(f"{options.seed} {stage.name}")
            try:
                found[stage.name] = killed(stage, whole, Path(scratch) / f"stage-{number}", options.kills, draw)
            except KeyboardInterrupt:
                break  # what there is is shown and kept
            except (Exception, pytest.fail.Exception) as error:
                found[stage.name] = Tally(faults=[f"{stage.name}: {error}"])
            print(f"{stage.name}: {found[stage.name]}", file=sys.stderr, flush=True)
    show(found)
    rows = [Row(f"warmgap, {name}", one.kills, "kills", one.seconds, said(one)) for name, one in found.items()]
    keep("kills", rows, "nothing lost, nothing twice, every table identical")


def said(one: Tally) -> str:
    """A stage's figures in words."""
    found = f"{one.rows} rows kept, {one.lost} lost, {one.doubled} doubled, {one.again} asked again at most, "
    return found + f"{one.twice} paid twice, tables identical {one.same} of {one.cases}"


if __name__ == "__main__":
    main()
