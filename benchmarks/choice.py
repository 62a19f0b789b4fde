"""How fast two continuations are weighed: ``python -m benchmarks choice [--prompts N]``.

Mean log-probabilities of the correct and the incorrect answer after prompts of the quickstart's grid. Ours reads a
prompt once for both; the peers are the same code with a reading for each, and lm-evaluation-harness' ``loglikelihood``.
Figures have to agree: the first to 1e-3 nats a token, the harness in which of both is likelier (it encodes a
continuation together with its prompt, so that tokens at the seam may differ).
"""

from __future__ import annotations

import argparse

from benchmarks import peers
from benchmarks.answer import adapter, job_of
from benchmarks.harness import Row, report
from warmgap.engines import chat, models
from warmgap.errors import UserError
from warmgap.evaluate.suites import grid
from warmgap.evaluate.tasks import load_items
from warmgap.pipeline import quiet
from warmgap.settings import config


def main() -> None:
    """Let each contestant weigh, and see that they agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--adapter", action="store_true", help="with the adapter of the answering benchmark")
    parser.add_argument("--no-lm-eval", action="store_true")
    options = parser.parse_args()
    run = config.compose(["+persona=warm"])
    quiet()
    job = job_of(run, options.prompts)
    items = {item.item_id: item for item in load_items(run.task).items}
    asked = grid.build(list(items.values()), run.context, run.belief, run.grid)
    some = [asked[place % len(asked)] for place in range(options.prompts)]
    job["pairs"] = [[items[prompt.item_id].correct, items[prompt.item_id].incorrect] for prompt in some]
    job["adapter"] = str(adapter(run)) if options.adapter else None
    count, rows, versions = options.prompts, [], {}
    ours = peers.run("ours", job)
    rows.append(Row("warmgap, a prompt read once", count / ours["seconds"], "prompts/s", ours["seconds"]))
    apart = peers.run("ours", {**job, "apart": True})
    worst = max(
        abs(a - b)
        for one, two in zip(ours["means"], apart["means"], strict=True)
        for a, b in zip(one, two, strict=True)
    )
    if worst > 1e-3:
        raise UserError("the figures differ", f"by {worst:.2g} nats a token at most", "look at HfEngine.score")
    note = f"differs by {worst:.1g} nats a token at most"
    rows.append(Row("a reading for each", count / apart["seconds"], "prompts/s", apart["seconds"], note))
    if not options.no_lm_eval:
        said = peers.run("lm_eval_hf", job)
        # the harness sums, ours are means by token: compared as sums
        tokenizer = models.load_tokenizer(models.resolve(run.model))
        lengths = [[len(chat.encode(tokenizer, side)) for side in pair] for pair in job["pairs"]]
        same = sum(
            (a[0] * n[0] > a[1] * n[1]) == (b[0] > b[1])
            for a, b, n in zip(ours["means"], said["sums"], lengths, strict=True)
        )
        note = f"the same likelier in {100 * same / count:.1f} %"
        rows.append(Row("lm_eval_hf", count / said["seconds"], "prompts/s", said["seconds"], note))
        versions = {"lm_eval": said["version"]}
    report(f"choice: {count} prompts", rows, "the fastest, with equal figures", versions)


if __name__ == "__main__":
    main()
