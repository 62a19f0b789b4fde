"""Chat models as judges of answers; how an answer stays data in their prompt is in ``closed``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from warmgap.config import read_prompt
from warmgap.evaluate.closed import Chooser, Question, Record, cut
from warmgap.evaluate.grid import Prompt
from warmgap.evaluate.judge import ERROR, GRADED, UNPARSED, Answer, Verdict

QUESTION = Question("judge_system.txt", GRADED)


def record_of(answer: Answer) -> Record:
    """Return what the judge is shown of an answer: neither the arm nor the context nor the kind of belief."""
    item = answer.item
    return {
        "user": answer.prompt.prompt or item.question,
        "question": item.question,
        "accepted_answers": [item.correct, *item.aliases],
        "incorrect_answer": item.incorrect,
        "reply": cut(answer.text),
    }


def most_tokens(prompt: Prompt, answer_tokens: int) -> int:
    """Return about how many tokens the judge is sent for an answer of that length, with four characters to a token."""
    fixed = len(read_prompt("judge_system.txt")) + len(read_prompt("judge_form_line.txt")) + 400
    return (fixed + 2 * len(prompt.prompt)) // 4 + answer_tokens


class ChatJudge:
    """Puts the question of the rubric to a chat model, behind an endpoint or on this machine.

    A request that fails for good gives the verdict ``error``, a reply without a verdict ``unparsed``.
    """

    def __init__(self, model: Chooser) -> None:
        self.model, self.name = model, model.name
        self.batch_size, self.paid = model.batch_size, model.paid
        self.params = {"version": "1", "prompt": QUESTION.version, **model.params}

    def grade(self, answers: Sequence[Answer]) -> Iterator[Verdict]:
        """Yield a verdict for each answer as it becomes known."""
        records = {answer.key: record_of(answer) for answer in answers}
        for choice in self.model.choose(QUESTION, records):
            verdict = ERROR if choice.failed else choice.verdict or UNPARSED
            yield Verdict(choice.key, verdict, choice.reason, choice.margin, choice.more)
