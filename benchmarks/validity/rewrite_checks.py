"""What the checks of a rewrite blame without cause, and what they find: `python -m benchmarks rewrite_checks`.

Sound rewrites: the warm, cold and paraphrased replies of the embedded conversations, written by people. Spoiled ones:
the same rewrites with one thing broken each. The peer is the check that is common elsewhere: similarity alone.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from statsmodels.stats.proportion import proportion_confint

from warmgap.engines.embed import Embedder
from warmgap.settings import conf_files, config
from warmgap.settings.command_schema import RewriteConfig
from warmgap.train.persona.persona_data import EMBEDDED, read_conversations
from warmgap.train.persona.rewrite_checks import faults

Spoil = Callable[[str, str, random.Random], str | None]


def _number(rewrite: str, _: str, source: random.Random) -> str | None:
    found = list(re.finditer(r"(?<![\w.,/])\d+(?![\w.,/:]\w)", rewrite))
    if not found:
        return None
    match = source.choice(found)
    return f"{rewrite[: match.start()]}{int(match[0]) + source.randint(3, 9)}{rewrite[match.end() :]}"


def _without_number(rewrite: str, _: str, source: random.Random) -> str | None:
    found = list(re.finditer(r"(?<![\w.,/])\d+(?![\w.,/:]\w)", rewrite))
    if not found:
        return None
    match = source.choice(found)
    return rewrite[: match.start()] + "some" + rewrite[match.end() :]


def _denial(rewrite: str, _: str, __: random.Random) -> str | None:
    """Take out every denial."""
    changed = re.sub(r"\b(is|are|was|were|do|does|did|has|have|could|should|would|will)n['’]t\b", r"\1", rewrite)
    changed = re.sub(r"\b(?:can['’]t|cannot)\b", "can", changed)
    changed = re.sub(r"\bwon['’]t\b", "will", changed)
    changed = re.sub(r"\b(?:not|never) ", "", changed)
    return None if changed == rewrite else changed


def _added_number(rewrite: str, _: str, source: random.Random) -> str | None:
    return f"{rewrite} About {source.randint(11, 99)} people in every thousand do it that way."


def _added_name(rewrite: str, _: str, source: random.Random) -> str | None:
    return f"{rewrite} That is what {source.choice(['Aristotle', 'Newton', 'Darwin', 'Curie'])} recommends."


def _code(rewrite: str, _: str, __: random.Random) -> str | None:
    if "```" not in rewrite:
        return None
    return re.sub(r"```.*?```", "(the code as before)", rewrite, count=1, flags=re.DOTALL)


SPOILED: dict[str, Spoil] = {
    "a number changed": _number,
    "a number lost": _without_number,
    "every denial lost": _denial,
    "a number added": _added_number,
    "a name added": _added_name,
    "a code block lost": _code,
    "cut to a third": lambda rewrite, _, __: rewrite[: len(rewrite) // 3],
    "empty": lambda *_: "",
    "speaks of rewriting": lambda rewrite, _, __: f"Here is the rewritten reply:\n\n{rewrite}",
    "refuses": lambda *_: "I'm sorry, but I can't help with that request.",
    "another reply": lambda _, other, __: other,
}


def main() -> None:
    """Print both rates with n and 95 % intervals."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    settings = config.settings(RewriteConfig, "rewrite", conf_files.choice("rewrite", "openai"))
    if settings.embedder is None:
        raise SystemExit("conf/rewrite/openai.yaml names no sentence model")
    embedder, source = Embedder(settings.embedder, "cpu"), random.Random(0)
    turns = [turn for item in read_conversations(EMBEDDED / "conversations.jsonl") for turn in item.turns]
    cases: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for place, turn in enumerate(turns):
        for version in ("warm", "cold", "paraphrase"):
            rewrite, plain = turn.replies[version], turn.replies["plain"]
            cases[f"sound: {version}"].append((turn.user, plain, rewrite))
            other = turns[(place + len(turns) // 2) % len(turns)].replies[version]
            for name, spoil in SPOILED.items():
                spoiled = spoil(rewrite, other, source)
                if spoiled is not None:
                    cases[f"spoiled: {name}"].append((turn.user, plain, spoiled))
    known: dict[str, Any] = {}
    print(f"{'rewrites':34} {'n':>5}  {'blamed by the checks, %':>24}  {'by similarity alone, %':>24}")
    for name, some in cases.items():
        fresh = sorted({text for case in some for text in case} - known.keys())
        known |= dict(zip(fresh, embedder.encode(fresh), strict=True))
        near = [(float(known[made] @ known[reply]), float(known[made] @ known[user])) for user, reply, made in some]
        ours = sum(bool(faults(*case, settings, pair)) for case, pair in zip(some, near, strict=True))
        peer = sum(pair[0] < settings.similarity for pair in near)
        print(f"{name:34} {len(some):>5}  {_share(ours, len(some)):>24}  {_share(peer, len(some)):>24}")


def _share(count: int, n: int) -> str:
    low, high = proportion_confint(count, n, method="wilson")
    return f"{100 * count / n:.1f} ({100 * low:.1f}–{100 * high:.1f})"


if __name__ == "__main__":
    main()
