"""How fast prompts are made: ``python -m benchmarks grid [--prompts N]``, a million rendered and keyed by default.

The whole grid (28 prompts an item) of made-up items, rendered one after another and keyed as an endpoint's are; nothing
is kept, so memory has to stay flat. What the list that a run holds takes stands beside it, by prompt.
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

LISTED = 100_000  # prompts held at once, to tell what one takes


def items(count: int) -> Iterator[Item]:
    """Yield so many made-up questions."""
    for number in range(count):
        question = f"Which river flows through the town that lies {number} kilometres north of the border?"
        yield Item(
            "made_up", f"q{number}", str(number % 7), question, f"River {number}", f"River {number + 1}", (), (), ""
        )


def main() -> None:
    """Render and key; then render a list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=1_000_000)
    options = parser.parse_args()
    run = config.compose(["+persona=none", "grid=full"])
    each = grid.prompts_per_item(run.context, run.belief)
    count = -(-options.prompts // each)
    engine = EndpointEngine(EndpointConfig(model="none-2026-01-01", key_env=""), "arm")
    keys: set[bytes] = set()
    done, held, started = 0, [], time.perf_counter()
    for prompt in grid.prompts(items(count), run.context, run.belief, run.grid):
        key = engine.key(engine.encode(prompt.messages), run.generate)
        done += 1
        if done <= 10_000:
            keys.add(key.encode())
        if done in (options.prompts // 10, options.prompts):
            held.append(memory())
    took = time.perf_counter() - started
    if len(keys) < min(done, 10_000):
        raise UserError("two prompts have one key", f"{len(keys):,} keys of the first 10,000", "look at the keys")
    note = f"{held[0]:,.0f} MiB after a tenth, {held[-1]:,.0f} at the end" if held else ""
    rows = [Row("warmgap, rendered and keyed", done / took, "prompts/s", took, note)]
    before, started = memory(), time.perf_counter()
    listed = grid.build(list(items(-(-min(options.prompts, LISTED) // each))), run.context, run.belief, run.grid)
    took = time.perf_counter() - started
    each_takes = (memory() - before) * 2**20 / len(listed)
    rows.append(
        Row("warmgap, rendered as a list", len(listed) / took, "prompts/s", took, f"{each_takes:,.0f} bytes each")
    )
    report("grid", rows, "> 20,000/s in flat memory")


if __name__ == "__main__":
    main()
