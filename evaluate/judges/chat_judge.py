"""Chat models as judges of answers; how an answer stays data in their prompt is in ``closed``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from warmgap.engines import client
from warmgap.engines.replies import LENGTH, finish_reason
from warmgap.errors import UserError
from warmgap.evaluate.judges.base import ERROR, GRADED, UNPARSED, Answer, Judge, Verdict, nothing_said
from warmgap.evaluate.judges.closed import Chooser, Local, Question, Record, Remote, cut
from warmgap.evaluate.suites.base import Prompt
from warmgap.settings.conf_files import read_prompt
from warmgap.settings.schema import JudgeConfig

if TYPE_CHECKING:
    from warmgap.evaluate.judges import Judges

QUESTION = Question("judge_system.txt", GRADED)
PROMPT = "prompt"  # judge.shown: the user's whole message as well, which says in which context and belief it was asked


def record_of(answer: Answer, shown: str = "question") -> Record:
    """Return what the judge is shown of an answer: neither the arm nor, unless ``shown`` is ``prompt``, the context and
    the belief.
    """
    item = answer.item
    user = {"user": answer.prompt.prompt or item.question} if shown == PROMPT else {}
    return {
        **user,
        "question": item.question,
        "accepted_answers": [item.correct, *item.aliases],
        "incorrect_answers": [item.incorrect, *item.incorrect_aliases],
        "reply": cut(answer.text),
        "cut": finish_reason(answer.finish_reason)[0] == LENGTH,
    }


def most_tokens(prompt: Prompt, answer_tokens: int) -> int:
    """Return about how many tokens the judge is sent for an answer of that length, with four characters to a token."""
    fixed = len(read_prompt("judge_system.txt")) + len(read_prompt("judge_form_line.txt")) + 400
    return (fixed + 2 * len(prompt.prompt)) // 4 + answer_tokens


class ChatJudge(Judge):
    """Puts the question of the rubric to a chat model, behind an endpoint or on this machine.

    A request that fails for good gives the verdict ``error``, a reply without a verdict ``unparsed``. It is not asked
    about an answer that says nothing. A subclass may have a ``question`` of its own.
    """

    chat = True
    question: ClassVar[Question] = QUESTION

    def __init__(self, model: Chooser, shown: str = "question") -> None:
        self.model, self.name, self.shown = model, type(self).name or model.name, shown
        self.batch_size, self.paid = model.batch_size, model.paid
        self.params = {"version": "2", "prompt": self.question.version, "shown": shown, **model.params}

    @classmethod
    def made(cls, bench: Judges) -> ChatJudge:
        """Return the judge with its chat model."""
        model = cls.chooser(bench)
        if model is None:
            raise TypeError(f"{cls.__name__} has no chat model")
        return cls(model, bench.config.shown)

    def grade(self, answers: Sequence[Answer]) -> Iterator[Verdict]:
        """Yield a verdict for each answer as it becomes known."""
        empty = [verdict for answer in answers if (verdict := nothing_said(answer))]
        yield from empty
        silent = {verdict.key for verdict in empty}
        records = {answer.key: record_of(answer, self.shown) for answer in answers if answer.key not in silent}
        for choice in self.model.choose(self.question, records) if records else ():
            word = ERROR if choice.failed else choice.verdict or UNPARSED
            yield Verdict(choice.key, word, choice.reason, choice.margin, choice.more)


class RemoteJudge(ChatJudge):
    """A chat model behind an endpoint."""

    name = Remote.name
    endpoint = True

    @classmethod
    def check(cls, config: JudgeConfig) -> None:
        """Raise UserError for settings with which no request can be sent."""
        client.check(config, "judge")

    @classmethod
    def chooser(cls, bench: Judges) -> Chooser:
        """Return the model behind the run's endpoint."""
        return Remote(bench.config, bench.endpoint, bench.batch_journal)


class LocalJudge(ChatJudge):
    """A chat model on this machine."""

    name = Local.name

    @classmethod
    def check(cls, config: JudgeConfig) -> None:
        """Raise UserError where no model is named."""
        if config.local_model is None:
            fix = "+model@judge.local_model=smollm2_135m"
            raise UserError("judge.local_model is not set", "judge local asks a chat model on this machine", fix)

    @classmethod
    def chooser(cls, bench: Judges) -> Chooser:
        """Return the run's local model."""
        return Local(bench.local)
