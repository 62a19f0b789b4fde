"""How fast prompts are made: ``python -m benchmarks grid [--prompts N]``, a million rendered and keyed by default.

The whole grid (28 prompts an item) of made-up items, rendered and keyed as an endpoint's are. A run holds its prompts
in a list: what one takes stands beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from benchmarks.harness import Row, report
from benchmarks.judge import memory
from warmgap.engines.endpoint import EndpointEngine
from warmgap.errors import UserError
from warmgap.evaluate.suites import grid
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import config
from warmgap.settings.schema import EndpointConfig


def items(count: int) -> Iterator[Item]:
    """Yield so many made-up questions."""
    for number in range(count):
        question = f"Which river flows through the town that lies {number} kilometres north of the border?"
        yield Item(
            "made_up", f"q{number}", str(number % 7), question, f"River {number}", f"River {number + 1}", (), (), ""
        )


def main() -> None:
    """Render and key."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=1_000_000)
    options = parser.parse_args()
    run = config.compose(["+persona=none", "grid=full"])
    each = grid.prompts_per_item(run.context, run.belief)
    count = -(-options.prompts // each)
    engine = EndpointEngine(EndpointConfig(model="none-2026-01-01", key_env=""), "arm")
    before, started = memory(), time.perf_counter()
    prompts = grid.build(list(items(count)), run.context, run.belief, run.grid)
    rendered, each_takes = time.perf_counter() - started, (memory() - before) * 2**20 / len(prompts)
    keys = {engine.key(engine.encode(prompt.messages), run.generate) for prompt in prompts}
    took = time.perf_counter() - started
    if len(keys) < len(prompts):
        raise UserError("two prompts have one key", f"{len(keys):,} keys of {len(prompts):,}", "look at the keys")
    rows = [
        Row("warmgap, rendered and keyed", len(prompts) / took, "prompts/s", took),
        Row("warmgap, rendered", len(prompts) / rendered, "prompts/s", rendered, f"{each_takes:,.0f} bytes a prompt"),
    ]
    report("grid", rows, "> 20,000/s")


if __name__ == "__main__":
    main()
