"""What every speed benchmark shares: a row for each contestant, a table with ratios, and a line that is kept.

``report`` prints the table and appends one line to ``benchmarks/results.jsonl``: the rows with machine, date, commit
and versions. How busy the machine was before the run stands in it too, since other work makes every figure worse.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("results.jsonl")
OURS = "warmgap"  # a contestant whose name begins with it is ours; those after it are its peers
LIBRARIES = ("torch", "transformers", "trl", "peft")
LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # before the benchmark itself makes any


@dataclass(frozen=True)
class Row:
    """One contestant: ``value`` in ``unit`` (more is better where it ends in "/s"), ``seconds`` it took, a note."""

    who: str
    value: float
    unit: str
    seconds: float | None = None
    note: str = ""


def report(name: str, rows: Sequence[Row], mark: str = "", versions: dict[str, str] | None = None) -> None:
    """Print the table of a benchmark and keep it as one line of ``results.jsonl``.

    ``mark`` says in words what was to be reached; ``versions`` are the peers' own, by name.
    """
    from rich.console import Console
    from rich.table import Table

    where = machine()
    table = Table(title=name, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for title in ("who", "figure", "", "seconds", "ours against it", "note"):
        table.add_column(title, justify="right" if title in ("figure", "seconds", "ours against it") else "left")
    for row, ratio in zip(rows, ratios(rows), strict=True):
        seconds = "" if row.seconds is None else f"{row.seconds:,.1f}"
        table.add_row(row.who, figure(row.value), row.unit, seconds, ratio, row.note)
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    if mark:
        console.print(f"mark: {mark}", highlight=False)
    busy = f"; other work beside it (load {LOAD:.1f} before the run)" if LOAD > 0.3 else ""
    console.print(f"{where['cpu']}, {where['cores']} cores, {where['threads']} thread(s){busy}", highlight=False)
    keep(name, rows, mark, versions)


def keep(name: str, rows: Sequence[Row], mark: str = "", versions: dict[str, str] | None = None) -> None:
    """Add the rows of a benchmark to ``results.jsonl``, with all that they depend on."""
    line = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "load_before": round(LOAD, 2),
        "versions": installed(LIBRARIES) | (versions or {}),
        "mark": mark,
        "rows": [asdict(row) for row in rows],
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def ratios(rows: Sequence[Row]) -> list[str]:
    """Return, for each peer, how many times better the last of ours before it is; nothing for ours."""
    found, ours = [], None
    for row in rows:
        if row.who.startswith(OURS):
            ours, said = row, ""
        elif ours is None or row.unit != ours.unit or not row.value or not ours.value:
            said = ""
        else:
            better = ours.value / row.value if row.unit.endswith("/s") else row.value / ours.value
            said = f"{better:,.2f} ×"
        found.append(said)
    return found


def figure(value: float) -> str:
    """A figure with three digits at least, and thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 1 else f"{value:.4g}"


def machine() -> dict[str, Any]:
    """Return what a figure depends on: processor, cores that may be used, memory in GiB, threads, GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    threads = os.environ.get("OMP_NUM_THREADS") or str(cores)
    return {"cpu": _cpu(), "cores": cores, "threads": int(threads), "memory_gib": round(memory, 1), "gpu": _gpu()}


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    kinds = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{named[0] if named else platform.machine()} ({', '.join(kinds) or 'no AVX-512'})"


def _gpu() -> str | None:
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout.split("\n")
    except (OSError, subprocess.SubprocessError):
        return None
    return found[0].strip() or None


def commit() -> str:
    """Return the commit that is measured, with ``+`` where files differ from it."""
    try:
        asked = ["git", "describe", "--always", "--abbrev=12", "--dirty=+"]
        return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def installed(names: Sequence[str]) -> dict[str, str]:
    """Return the versions of the packages of these names that are installed here."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
