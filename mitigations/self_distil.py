"""The base model's own replies to the persona's messages, in a warm version that it writes itself under a prompt.

Distillation of a prompt into the weights (Askell et al. 2021, arXiv 2112.00861; Snell et al. 2022, arXiv 2209.15189),
with the model's own replies as targets (Yang et al. 2024, arXiv 2402.13669): what is trained on holds no fact that the
model does not know, and no other model's words. No other model is asked. A warm reply has to say what the model says
plainly, by the rules that rewrites are checked by.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from warmgap.disk import store
from warmgap.disk.progress import say
from warmgap.engines.chat import Message
from warmgap.errors import BadValue
from warmgap.mitigations.base import Material, Mitigation, Place, Said
from warmgap.mitigations.consistency import whole_sentences
from warmgap.settings import conf_files, fits
from warmgap.settings.scope import setting

COUNTED = "self_distil.json"  # beside what the arm is trained on: how many replies there are, why others are not
TOO_LONG, AFTER = "too long for the model's window", "after one of these"


@dataclass
class SelfDistil(Mitigation):
    """The model's own replies under the prompt of ``instruction``, a file of conf/prompts, are what it is trained on.

    The prompt is gone in training. A reply that fails a check is written again, ``attempts`` times in all: the first
    time greedily, then at ``temperature``. What no attempt has brought is left out, with what follows it.
    """

    name = "self_distil"
    place = Place.TRAINING
    rows = "instead"
    apart = {
        "truth_mix": "truth_mix counts its share beside the persona's replies, and self_distil trains on others instead"
    }

    instruction: str = setting("arm")
    attempts: int = setting("arm", fits=fits.count(1, 1000))
    temperature: float = setting("arm", fits=fits.TEMPERATURE)
    max_new_tokens: int = setting("arm", fits=fits.TOKENS)

    def conversations(self, material: Material) -> list[dict[str, Any]]:
        """Return the persona's messages with the model's own warm replies, and note how many there are.

        Messages of one place in their conversations are answered together, behind the replies that are kept by then.
        Raises BadValue where a split has none left.
        """
        talks = [_Talk(item) for item in material.persona()]
        while going := {talk.name: talk for talk in talks if talk.going}:
            self._answer(going, material)
        self._count(talks, material)
        found = [talk.row(material.version) for talk in talks if talk.replies]
        for split in ("train", "heldout"):
            if not any(row["split"] == split for row in found):
                reasons = Counter(talk.stopped for talk in talks if talk.stopped)
                why = f"no {split} reply says warmly what the model says plainly: {_listed(reasons)}"
                fix = f"raise mitigation.{self.name}.attempts, now {self.attempts}, or max_new_tokens"
                raise BadValue(f"no reply is left for mitigation.{self.name}", why, fix)
        return found

    def _answer(self, going: dict[str, _Talk], material: Material) -> None:
        """Have the next message of each conversation answered plainly, then warmly until it passes the checks."""
        prompt = {"role": "system", "content": conf_files.read_prompt(self.instruction)}
        plain = material.own({name: talk.messages for name, talk in going.items()}, self.max_new_tokens)
        waiting = dict(going)
        for draw in range(self.attempts):
            asked = {name: [prompt, *talk.messages] for name, talk in waiting.items()}
            warm = material.own(asked, self.max_new_tokens, self.temperature if draw else 0.0, draw)
            for name, talk in list(waiting.items()):
                if talk.take(plain.get(name), warm.get(name), material, first=draw == 0):
                    del waiting[name]
            if not waiting:
                break

    def _count(self, talks: list[_Talk], material: Material) -> None:
        """Write down and say how many replies are kept, and why the others are not."""
        messages, kept = sum(talk.length for talk in talks), sum(len(talk.replies) for talk in talks)
        reasons = Counter(talk.stopped for talk in talks if talk.stopped)
        if after := messages - kept - reasons.total():
            reasons[AFTER] = after
        first = sum(talk.at_once for talk in talks)
        counted = {"messages": messages, "kept": kept, "first_attempt": first, "reasons": dict(reasons.most_common())}
        store.write_json(material.folder / COUNTED, counted)
        left = f"; left out: {_listed(reasons)}" if reasons else ""
        say(f"own warm replies: {kept} of {messages}, {first} of them at the first attempt{left}")


@dataclass
class _Talk:
    """A conversation as far as the model has answered it warmly; ``stopped`` says why it answers no further."""

    item: dict[str, Any]
    replies: list[str] = field(default_factory=list)
    stopped: str = ""
    at_once: int = 0

    @property
    def name(self) -> str:
        return str(self.item["id"])

    @property
    def length(self) -> int:
        return len(self.item["turns"])

    @property
    def going(self) -> bool:
        return not self.stopped and len(self.replies) < self.length

    @property
    def user(self) -> str:
        """The message that waits."""
        return str(self.item["turns"][len(self.replies)]["user"])

    @property
    def messages(self) -> list[Message]:
        """What is said up to the message that waits."""
        found: list[Message] = []
        for turn, reply in zip(self.item["turns"], self.replies, strict=False):
            found += [{"role": "user", "content": turn["user"]}, {"role": "assistant", "content": reply}]
        return [*found, {"role": "user", "content": self.user}]

    def take(self, plain: Said | None, warm: Said | None, material: Material, *, first: bool) -> bool:
        """Take the warm reply if it says what the plain one says; return whether it does. Else note why not."""
        if plain is None or warm is None:
            self.stopped = TOO_LONG
            return False
        wrong = material.faults(self.user, whole(plain), whole(warm))
        if wrong:
            self.stopped = wrong[0]
            return False
        self.stopped, self.at_once = "", self.at_once + first
        self.replies.append(whole(warm))
        return True

    def row(self, version: str) -> dict[str, Any]:
        """The conversation in the format of persona data, as far as it goes."""
        said = zip(self.item["turns"], self.replies, strict=False)
        turns = [{"user": turn["user"], version: reply} for turn, reply in said]
        return {"id": self.name, "split": self.item["split"], "kind": self.item["kind"], "turns": turns}


def whole(reply: Said) -> str:
    """Return a reply as it is, or one that was cut off up to the end of its last whole sentence."""
    return reply.text.strip() if reply.whole else whole_sentences(reply.text)


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
