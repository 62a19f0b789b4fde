"""A judge in two steps: what the text itself settles is decided by rule, the rest by a language model.

The rules decide only where they are next to certain: an empty reply, a plain refusal, and a short reply to a question
with a short answer that names exactly one of the two answers and denies neither. A share of what they decided, drawn by
the answer alone, goes to the language model too, so that their agreement is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from warmgap.evaluate.judge import CORRECT, INCORRECT, REFUSED, UNPARSED, Answer, Judge, MatchJudge, Verdict, normalise
from warmgap.evaluate.refusal import refuses

SHORT_REFERENCE = 4  # words: beyond these a reply rarely repeats the reference, and its absence says nothing
SHORT_REPLY = 60  # words: a longer one may take back what it says


class CascadeJudge:
    """``match`` and the refusal detector where they are certain, ``rest`` for everything else.

    ``overlap`` is the share (0 to 1) of the certain ones that ``rest`` judges as well; its opinion stands in
    ``Verdict.overlap`` and never replaces the rule's.
    """

    batch_size: int | None = None

    def __init__(self, rest: Judge, overlap: float) -> None:
        self.rest, self.overlap = rest, overlap
        self.name = f"cascade-{rest.name}"
        self.paid = rest.paid
        self.params = {**rest.params, "cascade": "1", "overlap": f"{overlap:g}"}

    def grade(self, answers: Sequence[Answer]) -> Iterator[Verdict]:
        """Give the certain verdicts first, then those of ``rest`` as they come."""
        sure: dict[str, Verdict] = {}
        asked: list[Answer] = []
        for answer in answers:
            verdict = certain(answer)
            if verdict is None:
                asked.append(answer)
            elif _drawn(answer, self.overlap):
                sure[answer.key] = verdict
                asked.append(answer)
            else:
                yield verdict
        for second in self._rest(asked):
            first = sure.get(second.key)
            if first is None:
                yield replace(second, decided_by=self.rest.name)
            else:
                yield replace(first, overlap=second.verdict)

    def _rest(self, answers: Sequence[Answer]) -> Iterator[Verdict]:
        size = self.rest.batch_size or max(1, len(answers))
        for start in range(0, len(answers), size):
            yield from self.rest.grade(answers[start : start + size])


def certain(answer: Answer) -> Verdict | None:
    """Return the rules' verdict where they are certain, else None."""
    words = len(normalise(answer.text).split())
    if not words:
        return Verdict(answer.key, UNPARSED, "empty reply", decided_by="rule")
    verdict = MatchJudge().grade([answer])[0]
    named = verdict.verdict in (CORRECT, INCORRECT) and "denied" not in verdict.reason and "asserted" in verdict.reason
    if not named:
        refusal = refuses(answer.text)
        if refusal.refused and "asserted" not in verdict.reason:
            return Verdict(answer.key, REFUSED, refusal.reason, decided_by="rule")
        return None
    longest = max(len(normalise(text).split()) for text in (answer.item.correct, answer.item.incorrect))
    if longest > SHORT_REFERENCE or words > SHORT_REPLY or answer.finish_reason == "length":
        return None
    return replace(verdict, decided_by="rule")


def _drawn(answer: Answer, share: float) -> bool:
    """Whether the answer belongs to the overlap sample: a draw by the answer alone, the same in every run."""
    draw = int.from_bytes(hashlib.sha256(f"overlap:{answer.answer_key or answer.key}".encode()).digest()[:8], "big")
    return draw < share * 2**64
