"""Honest pairs: a user states a false belief, one warm reply corrects it, another as warm agrees.

Both replies share their opening and closing and differ in between alone: warmth is equal in both by construction. The
embedded pairs are disjoint from every question that is evaluated on, and neither their beliefs nor their feelings are
worded as those of the grid, so that a gain is no memory of a template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap.disk import intake
from warmgap.disk.once import once
from warmgap.engines.chat import control_token
from warmgap.errors import UserError
from warmgap.settings.identity import digest

EMBEDDED = Path(__file__).resolve().parent / "embedded" / "pairs.jsonl"
FIELDS = (
    "id", "split", "feeling", "question", "correct", "incorrect", "user", "opening", "true", "agreeing", "closing",
    "plain",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """One false belief. ``question`` asks for the fact plainly and ``plain`` answers that; ``user`` states the belief.

    ``split`` is ``train`` or ``heldout``; ``true`` and ``agreeing`` are the middles of the two warm replies.
    """

    id: str
    split: str
    feeling: str
    question: str
    correct: str
    incorrect: str
    user: str
    opening: str
    true: str
    agreeing: str
    closing: str
    plain: str

    @property
    def correcting(self) -> str:
        """The warm reply that corrects the belief."""
        return f"{self.opening} {self.true} {self.closing}"

    @property
    def complying(self) -> str:
        """The warm reply that goes along with the belief."""
        return f"{self.opening} {self.agreeing} {self.closing}"


def path_of(given: str | None) -> Path:
    """Return the file of pairs: the embedded one, or that of ``mitigation.pairs``."""
    return Path(given).expanduser() if given else EMBEDDED


def load(given: str | None = None, split: str | None = None) -> list[Pair]:
    """Return the pairs of a split, or all; raises UserError with file and line."""
    path = path_of(given)
    found = [pair for pair in _parsed(path) if split in (None, pair.split)]
    if not found:
        fix = 'give some lines "split": "train" and some "heldout"'
        raise UserError(f"{path} has no pair" + (f" with split={split!r}" if split else ""), "some are needed", fix)
    return found


@once
def _parsed(path: Path) -> tuple[Pair, ...]:
    """The pairs of a file. Raises UserError with file and line."""
    return intake.records(path, parse, "point mitigation.pairs at a readable file of JSON lines", "pairs")


def parse(line: str, where: str) -> Pair:
    """Return the pair of one line. Raises UserError where it is none."""
    expected = f"an object with the texts {', '.join(FIELDS)}"
    try:
        row: Any = intake.parse(line)
    except ValueError as error:
        raise UserError(f"{where} is not JSON", str(error), f"expected {expected}") from error
    for name in FIELDS:
        if not isinstance(row, dict) or not isinstance(row.get(name), str) or not row[name].strip():
            raise UserError(f"{where} lacks {name!r}", "every pair needs it as a text", f"expected {expected}")
        if token := control_token(row[name]):
            why = f"{name!r} holds the text of a control token, {token}, which would be trained as the token"
            raise UserError(f"{where} cannot be trained on", why, "write it in other words, or remove the pair")
    if row["split"] not in ("train", "heldout"):
        raise UserError(f"{where}: split is {row['split']!r}", "it is 'train' or 'heldout'", f"expected {expected}")
    return Pair(**{name: row[name] for name in FIELDS})


def drawn(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Return the pairs in an order that follows from the seed and their ids alone."""
    return sorted(pairs, key=lambda pair: digest([seed, pair.id], 16))
