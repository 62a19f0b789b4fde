"""A judge: what a reply names in its first words is its answer."""

from __future__ import annotations

from collections.abc import Sequence

from warmgap.evaluate.judges import Judges
from warmgap.evaluate.judges.base import CORRECT, INCORRECT, Answer, Judge, Verdict, nothing_said


class Opening(Judge):
    """Reads the first ``judge.options.words`` words of a reply."""

    name = "opening"
    short_facts = True  # it can be the only judge of tasks that have short answers
    options = ("words",)

    def __init__(self, words: int) -> None:
        self.words = words
        self.params = {"words": str(words)}  # what decides its verdicts; its files are known to warmgap

    @classmethod
    def made(cls, bench: Judges) -> Opening:
        return cls(int(bench.config.options.get("words", 10)))

    def grade(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [nothing_said(answer) or self._read(answer) for answer in answers]

    def _read(self, answer: Answer) -> Verdict:
        opening = " ".join(answer.text.lower().split()[: self.words])
        named = any(form.lower() in opening for form in (answer.item.correct, *answer.item.aliases))
        return Verdict(answer.key, CORRECT if named else INCORRECT, f"it opens with {opening!r}")
