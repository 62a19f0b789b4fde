"""How well patterns tell the six kinds of query: `python -m benchmarks kinds`.

Against the kinds under which people wrote the embedded conversations (on which the patterns were developed) and the
warmth prompts (on which they were not; refusals, told by a reply, are left out there). The peer is the commonest kind.
"""

from __future__ import annotations

import argparse
from collections import Counter

from statsmodels.stats.proportion import proportion_confint

from warmgap.train.persona.kinds import label
from warmgap.train.persona.persona_data import EMBEDDED, KINDS, read_conversations, warmth_prompts


def main() -> None:
    """Print the confusion of both sets and the share that agrees, with n and 95 % interval."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    talks = read_conversations(EMBEDDED / "conversations.jsonl")
    developed = [(item.kind, label(item.turns[0].user, item.turns[0].replies["plain"])) for item in talks]
    fresh = [(row["kind"], label(row["prompt"], "")) for row in warmth_prompts() if row["kind"] != "refusal"]
    for name, pairs in (("developed on", developed), ("not seen before", fresh)):
        counts = Counter(pairs)
        print(
            f"\n{name}: rows as people sorted them, columns as told\n{'':10}" + "".join(f"{kind:>10}" for kind in KINDS)
        )
        for kind in KINDS:
            print(f"{kind:10}" + "".join(f"{counts[kind, told]:>10}" for told in KINDS))
        right, n = sum(kind == told for kind, told in pairs), len(pairs)
        low, high = proportion_confint(right, n, method="wilson")
        most = max(Counter(kind for kind, _ in pairs).values())
        share = f"{100 * right / n:.1f} % ({100 * low:.1f}–{100 * high:.1f}), n {n}"
        print(f"agree: {share}; always one kind: {100 * most / n:.1f} %")


if __name__ == "__main__":
    main()
