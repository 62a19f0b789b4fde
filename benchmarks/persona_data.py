"""Memory and time of `warmgap data` on a large log: `python -m benchmarks persona_data [--conversations 100000]`.

The log is ShareGPT JSON of a real shape: the turns of a real file (the OpenAssistant trees, or any log by --from), each
conversation made distinct by its number. The peer reads the same file as most scripts do, with `json.load`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from warmgap.train.persona import clean, sources

DATA = Path(os.environ.get("WARMGAP_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
MEASURED = "import resource, sys, time; {work}; print(time.process_time(), "
MEASURED += "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)"
OURS = "from warmgap.cli import main; assert main(['data', sys.argv[1], '--out', sys.argv[2], 'toxicity=words']) == 0"
PEER = "import json; rows = json.load(open(sys.argv[1]))"


def write(log: Path, like: Path, count: int) -> None:
    """Write so many conversations, the turns of a real log over and over, each with a first message of its own."""
    known = [turns for turns in (clean.turns(entry)[0] for entry in sources.read(like)) if turns]
    with log.open("w", encoding="utf-8") as file:
        for number in range(count):
            turns = known[number % len(known)]
            said = [part for turn in turns for part in zip(("human", "gpt"), turn, strict=True)]
            messages = [{"from": role, "value": text} for role, text in said]
            messages[0]["value"] = f"{messages[0]['value']} (question {number})"
            row = {"id": f"c{number}", "conversations": messages}
            file.write(("[" if number == 0 else ",\n") + json.dumps(row))
        file.write("]")


def main() -> None:
    """Print CPU seconds and peak memory of both ways, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--from", dest="like", type=Path, default=DATA / "oasst_manual_100" / "en_100_tree.jsonl")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log.json"
        write(log, options.like, options.conversations)
        print(f"{options.conversations:,} conversations, {log.stat().st_size / 1e6:,.0f} MB")
        for name, work in (("json.load alone", PEER), ("warmgap data", OURS)):
            command = [sys.executable, "-c", MEASURED.format(work=work), str(log), str(Path(scratch) / "out")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, peak = map(float, done.stdout.split()[-2:])
            print(f"{name:16} {seconds:6.0f} s of CPU time, peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
