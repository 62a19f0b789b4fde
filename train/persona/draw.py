"""Which conversations an arm is trained on: evenly over the kinds, so many replies, some held out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from warmgap.train.persona.persona_data import KINDS


@dataclass(frozen=True)
class Entry:
    """A conversation that may be drawn: where it is, its kind and how many replies it has.

    Those that share one of their ``groups`` (parts of one conversation, the same first message) are held out together.
    """

    place: int
    kind: str
    replies: int
    groups: tuple[str, ...] = ()


def draw(entries: Sequence[Entry], conversations: int | None, replies: int | None, seed: int) -> list[Entry]:
    """Return ``conversations`` entries with ``replies`` replies in all, as evenly over the kinds as there are enough.

    A kind that runs short is made up for by the others. Where the number of replies is missed, entries change places
    with others of their kind until it is met, or as nearly as they can. None stands for all.
    """
    source = random.Random(seed)
    pools: dict[str, list[Entry]] = {}
    for kind in KINDS:
        pools[kind] = [entry for entry in entries if entry.kind == kind]
        source.shuffle(pools[kind])
    counts = _even({kind: len(pool) for kind, pool in pools.items()}, conversations)
    taken = {kind: pools[kind][: counts[kind]] for kind in KINDS}
    rest = {kind: pools[kind][counts[kind] :] for kind in KINDS}
    if replies is not None:
        _meet(taken, rest, replies)
    return sorted((entry for kind in KINDS for entry in taken[kind]), key=lambda entry: entry.place)


def _even(there: dict[str, int], wanted: int | None) -> dict[str, int]:
    """So many of each kind that the smallest shares are as large as can be."""
    left = sum(there.values()) if wanted is None else min(wanted, sum(there.values()))
    counts = dict.fromkeys(there, 0)
    while left:
        short = [kind for kind in there if counts[kind] < there[kind]]
        share = max(1, left // len(short))
        for kind in short[:left]:
            step = min(share, there[kind] - counts[kind])
            counts[kind] += step
            left -= step
    return counts


def _meet(taken: dict[str, list[Entry]], rest: dict[str, list[Entry]], wanted: int) -> None:
    """Swap drawn entries for others of their kind, the kinds in turn, until the replies come to ``wanted``."""
    excess = sum(entry.replies for pool in taken.values() for entry in pool) - wanted
    idle = 0
    while excess and idle < len(KINDS):
        for kind in KINDS:
            swap = _best_swap(taken[kind], rest[kind], excess)
            idle = idle + 1 if swap is None else 0
            if swap is not None:
                out, instead = swap
                excess += rest[kind][instead].replies - taken[kind][out].replies
                taken[kind][out], rest[kind][instead] = rest[kind][instead], taken[kind][out]
            if not excess or idle == len(KINDS):
                return


def _best_swap(taken: Sequence[Entry], rest: Sequence[Entry], excess: int) -> tuple[int, int] | None:
    """The places of a drawn entry and one instead of it that bring the excess nearest to 0; None if none does."""
    firsts: dict[int, int] = {}
    others: dict[int, int] = {}
    for pool, seen in ((taken, firsts), (rest, others)):
        for place, entry in enumerate(pool):
            seen.setdefault(entry.replies, place)
    best = min(
        ((abs(excess + new - old), out, instead) for old, out in firsts.items() for new, instead in others.items()),
        default=None,
    )
    return None if best is None or best[0] >= abs(excess) else best[1:]


def held_out(entries: Sequence[Entry], share: float, seed: int) -> set[int]:
    """Return the places of the entries that are kept from training: ``share`` of each kind, as nearly as groups allow.

    No group is on both sides. Of a kind, at least one is held out and one is not, as far as groups and numbers allow.
    """
    source = random.Random(seed + 1)
    sets = _bound(entries)
    found: set[int] = set()
    for kind in KINDS:
        own = {entry.place for entry in entries if entry.kind == kind}
        places = sorted(own)
        source.shuffle(places)
        wanted = max(1, round(share * len(own))) if len(own) > 1 else 0
        for most in (wanted, len(own) - 1):  # a group that is too large is held out where nothing else can be
            for place in places:
                more = sets[place] - found
                if more and len(found & own) + len(more & own) <= most:
                    found |= more
                if len(found & own) >= wanted:
                    break
            if found & own:
                break
    return found


def _bound(entries: Sequence[Entry]) -> dict[int, set[int]]:
    """For each entry's place, the places of all that are on its side, its own among them."""
    sets: dict[int, set[int]] = {entry.place: {entry.place} for entry in entries}
    first: dict[str, int] = {}
    for entry in entries:
        for group in entry.groups:
            one, other = sets[entry.place], sets[first.setdefault(group, entry.place)]
            if one is not other:
                small, large = sorted((one, other), key=len)
                large |= small
                sets.update(dict.fromkeys(small, large))
    return sets
