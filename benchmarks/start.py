"""How long one waits before anything happens: ``python -m benchmarks start``.

``python train.py --help``, a configuration shown, an import of warmgap and of its functions for notebooks, and a
finished run asked for again (``experiment=smoke`` without training, made first). ``--where`` names the modules that an
import spends most time on. Least of ``--repeat`` runs, each in a fresh process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

from benchmarks.harness import ROOT, Row, report
from warmgap.errors import UserError

SMOKE = ["train.py", "+persona=none", "experiment=smoke"]
COMMANDS = {
    "python train.py --help": ["train.py", "--help"],
    "python train.py +persona=warm --cfg job": ["train.py", "+persona=warm", "--cfg", "job"],
    "import warmgap": ["-c", "import warmgap"],
    "import warmgap.api": ["-c", "import warmgap.api"],
    "warmgap --help": ["-c", "from warmgap.cli import main; main(['--help'])"],
}


def took(command: list[str], *before: str) -> float:
    """Return seconds of a command of this interpreter. Raises UserError where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *before, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"{' '.join(command)} has failed", done.stderr.strip()[-300:], "run it by hand")
    return time.perf_counter() - started


def where(command: list[str], lines: int) -> None:
    """Print the imports that take most of a command's time, each with what it imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    rows = [line[12:].split("|") for line in done.stderr.splitlines() if line.startswith("import time:")]
    known = [(int(row[1]), row[2].rstrip()) for row in rows[1:] if row[1].strip().isdigit()]
    for micro, name in sorted(known, reverse=True)[:lines]:
        print(f"  {micro / 1e6:6.2f} s  {name.strip()}")


def main() -> None:
    """Time each command, and a finished run again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--where", type=int, metavar="N", default=0, help="the N imports that take longest, of each")
    parser.add_argument("--no-run", action="store_true", help="leave out the run that is asked for again")
    options = parser.parse_args()
    rows = []
    for name, command in COMMANDS.items():
        rows.append(Row(name, min(took(command) for _ in range(options.repeat)), "s"))
        if options.where:
            print(f"{name}: {rows[-1].value:.2f} s")
            where(command, options.where)
    if not options.no_run:
        with tempfile.TemporaryDirectory() as folder:
            command = [*SMOKE, f"runs_dir={folder}"]
            first = took(command)
            again = min(took(command) for _ in range(options.repeat))
        rows.append(Row("a finished run again", again, "s", note=f"the first time {first:.0f} s"))
    report("start", rows, "< 2 s; a finished run again < 5 s")


if __name__ == "__main__":
    main()
