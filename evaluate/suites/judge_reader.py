"""The checks of a probe, answered by a chat judge: one yes-or-no question about one reply of a dialogue at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warmgap.disk import store
from warmgap.errors import UserError
from warmgap.evaluate.judges.closed import Chooser, Question, Record, cut
from warmgap.evaluate.judges.tone import ask
from warmgap.evaluate.suites.probe import Dialogue, Probe, Told
from warmgap.settings import conf_files

CHOICES = ("yes", "no", "unclear")


def question_of(probe: Probe) -> Question:
    """Return the question with the probe's rubric, ``conf/prompts/suite_NAME.txt``. UserError where there is none."""
    name = f"suite_{probe.name}.txt"
    try:
        conf_files.read_prompt(name)
    except UserError as error:
        why = f"a judge needs a rubric, and there is no prompt {name}"
        raise UserError(
            f"suite.{probe.name}.reader=judge cannot be", why, f"suite.{probe.name}.reader=rules"
        ) from error
    return Question(name, CHOICES)


class JudgeReader:
    """Answers the checks that a probe asks of its dialogues, each once; what was answered before stands in the journal.

    ``failed`` are the items of those that the judge failed on: they are asked again the next time. ``unclear``, and
    what is not in the form asked for, is neither yes nor no. With ``silent`` the model is asked nothing, and what has
    no answer has failed.
    """

    def __init__(
        self, probe: Probe, model: Chooser, dialogues: Sequence[Dialogue], journal: Path, what: str, *, silent: bool
    ) -> None:
        words = {check.name: check.question for check in probe.checks}
        records: dict[str, Record] = {}
        owner: dict[str, str] = {}
        for dialogue in dialogues:
            for check, turn in probe.asks(dialogue):
                if not dialogue.reply(turn).strip():
                    continue
                place = _place(check, dialogue, turn)
                records[place] = record_of(dialogue, turn, words[check], probe.shown(dialogue, turn, check))
                owner[place] = dialogue.item_id
        self._rows = ask(model, question_of(probe), records, journal, what, silent=silent)
        kept = store.journal_by_key(journal)
        self.failed = [owner[place] for place in records if self._rows.get(place, {}).get("key") not in kept]

    def __call__(self, check: str, dialogue: Dialogue, turn: int) -> Told:
        """Return what the judge has said of a reply."""
        if not dialogue.reply(turn).strip():
            return Told(None, "empty reply")
        row = self._rows.get(_place(check, dialogue, turn))
        if row is None or row["verdict"] not in CHOICES[:2]:
            return Told(None, "the judge has said nothing" if row is None else str(row["reason"]))
        return Told(row["verdict"] == CHOICES[0], str(row["reason"]))


def _place(check: str, dialogue: Dialogue, turn: int) -> str:
    """What a question is known by: no two dialogues of an item have one context and belief."""
    return f"{dialogue.item_id} {dialogue.condition} {dialogue.first.belief} {turn} {check}"


def record_of(dialogue: Dialogue, turn: int, question: str, known: dict[str, Any]) -> Record:
    """Return what the judge is shown: the question, what is ``known`` of the item, the conversation up to the reply,
    and the reply; not the arm. What was put into the assistant's mouth is part of the conversation.
    """
    asked = dialogue.exchanges[turn]
    said = [*dialogue.first.before]
    for one in dialogue.exchanges[:turn]:
        said += [{"role": "user", "content": one.prompt.prompt}, {"role": "assistant", "content": cut(one.reply)}]
    return {
        "question": question,
        **known,
        "conversation_before": [{message["role"]: message["content"]} for message in said],
        "user": asked.prompt.prompt,
        "reply": cut(asked.reply),
        "cut": dialogue.finish[turn] == "length",
    }
