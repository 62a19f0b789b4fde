"""``python -m benchmarks`` lists the benchmarks; ``python -m benchmarks NAME [options]`` runs one.

Each is a module with a ``main`` that reads its options from the command line. Those under ``validity/`` measure whether
figures are right, ``kills`` whether anything is lost, the others how fast figures are had.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """A line of the list: what is measured, against whom, what is to be reached, and how long it takes on two cores."""

    what: str
    against: str
    mark: str
    long: str


SPEED = {
    "answer": Benchmark(
        "answers/s of the quickstart's prompts, original and with an adapter",
        "plain generate, inspect_ai, lm-evaluation-harness; vllm, OpenVINO",
        ">= 3, 8 and 2 × as many; >= 99 % of the texts equal", "15 min",
    ),
    "choice": Benchmark(
        "likelihoods of two continuations of a prompt", "a pass for each, lm-evaluation-harness", "the fastest", "5 min"
    ),
    "train": Benchmark("tokens/s of the quickstart's training", "trl sft; method.lean=false", ">= 3 ×", "5 min"),
    "dpo": Benchmark("pairs/s of the quickstart's preferences", "trl dpo", "faster", "5 min"),
    "judge": Benchmark("20,000 verdicts of a server 50 ms away", "n × latency / concurrency", ">= 90 %", "3 min"),
    "statistics": Benchmark(
        "rows/s of every analysis", "statsmodels with marginal effects", ">= 20 × as fast", "6 min"
    ),
    "grid": Benchmark("a million prompts rendered and keyed", "–", "> 20,000/s", "1 min"),
    "overhead": Benchmark(
        "CPU time around an answer, 1,000 to 100,000 prompts", "inspect_ai with a model that costs nothing",
        ">= 50 × less, linear", "3 min",
    ),
    "start": Benchmark("seconds to help, --cfg job, an import, a finished run", "–", "< 2 s; < 5 s again", "1 min"),
    "gpu": Benchmark("training and answering on a GPU, in one table", "TRL, generate, vllm", "–", "4 min"),
    "busy": Benchmark("answers and steps beside a busy process", "OpenMP's own waiting", "–", "5 min"),
    "allocator": Benchmark("training steps with freed memory kept", "glibc's own settings", "–", "2 min"),
    "persona_data": Benchmark("memory of warmgap data on 100,000 conversations", "json.load", "flat", "6 min"),
}  # fmt: skip

VALIDITY = {
    "coverage": Benchmark("do the intervals hold? coverage, false positives, power", "unclustered", "95 %", "1 h"),
    "dose": Benchmark("do the intervals of dose and response hold?", "least squares", "95 %", "20 min"),
    "ppi": Benchmark("do intervals corrected by labels hold?", "two independent samples", "95 %", "20 min"),
    "verdicts": Benchmark("are verdicts on recipes true?", "independent answers", "<= 5 % false", "1 h"),
    "match": Benchmark("how well does the default judge read?", "containment", "–", "2 min"),
    "refusal": Benchmark("how well are refusals told?", "AdvBench's rule", "–", "1 min"),
    "levels": Benchmark("at which level does a question stand?", "–", "–", "30 min"),
    "pairs": Benchmark("are an honest pair's two replies equally warm?", "warm minus plain", "±0.005", "15 min"),
    "kinds": Benchmark("how well do patterns tell kinds of query?", "the commonest kind", "–", "5 s"),
    "rewrite_checks": Benchmark("what do the checks of a rewrite find?", "similarity alone", "–", "3 min"),
}

HOLDS = {
    "scale": Benchmark(
        "ten million answers of 64 shards: written, put together, analysed", "–", "32 bytes a row", "20 min"
    ),
    "slurm": Benchmark(
        "two personas × three seeds × four shards by a real SLURM", "one process", "the same tables", "10 min"
    ),
    "faults": Benchmark(
        "5,000 verdicts where 30 % of the requests fail", "what requests and faults take alone", "<= 1.3 ×", "2 min"
    ),
    "kills": Benchmark(
        "every kind of work killed at random moments, a tiny model", "–", "nothing lost or twice, tables identical",
        "20 min",
    ),
}  # fmt: skip


def module_of(name: str) -> str:
    """Return the module of a benchmark in the list."""
    for folder, some in (("validity.", VALIDITY), ("holds.", HOLDS)):
        if name in some:
            return f"benchmarks.{folder}{name}"
    return f"benchmarks.{name}"


def listing() -> None:
    """Print a line for each: what, against whom, what is to be reached, how long."""
    for title, some in (("how fast", SPEED), ("how sure", VALIDITY), ("what it holds", HOLDS)):
        print(f"{title}:")
        for name, it in some.items():
            parts = (f"against {it.against}" * (it.against != "–"), f"mark: {it.mark}" * (it.mark != "–"), it.long)
            print(f"  {name:<16}{it.what} · " + " · ".join(part for part in parts if part))
    print("python -m benchmarks NAME --help says what one takes; results go to benchmarks/results.jsonl.")


def main() -> int:
    """List the benchmarks, or run the one named; 2 for a name that is none and for what a user can mend."""
    from warmgap.errors import UserError

    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        listing()
        return 0
    name = sys.argv[1]
    try:
        if name not in SPEED | VALIDITY | HOLDS:
            raise UserError(f"no benchmark is called {name}", "the list has none of that name", "python -m benchmarks")
        sys.argv = [f"python -m benchmarks {name}", *sys.argv[2:]]
        importlib.import_module(module_of(name)).main()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
