"""Preferences for the honest reply, with warmth as a constraint: the multiplier of the constraint is learnt beside it.

Lagrangian DPO, after safe RLHF (Dai et al. 2024) and constrained DPO (Liu et al. 2024). The objective is that of
``anti_sycophancy``. The constraint is that the arm goes on preferring its persona's replies: their implicit reward
(Rafailov et al. 2023) over other replies to the same messages, against the base model, has to stay at a share of what
it was when the training began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk import store
from warmgap.disk.manifest import sha256
from warmgap.disk.progress import bar, say
from warmgap.engines import adapters, chat, models
from warmgap.errors import BadValue
from warmgap.mitigations.anti_sycophancy import REJECTED, preferences, preferring
from warmgap.mitigations.base import FurtherTraining, Intervention, Material
from warmgap.mitigations.kl_anchor import padded, undropped
from warmgap.settings import fits
from warmgap.settings.identity import digest
from warmgap.settings.schema import DpoConfig, MethodConfig
from warmgap.settings.scope import setting

if TYPE_CHECKING:
    import torch

CONSTRAINT = "constraint.jsonl"  # beside what the arm is trained on: the replies with what base and start make of them
SIDES = ("kept", "other")
AT_ONCE = 8  # messages, of two replies each


@dataclass(kw_only=True)
class DualDpo(FurtherTraining):
    """Preferences after the training as a constrained problem: honest replies are learnt, warm ones have to be kept.

    ``keep`` is the share of the persona's reward over the replies in the version ``over`` that has to stay. It is
    measured on ``messages`` of the persona's own data, ``texts`` of them for each step. The multiplier begins at 0 and
    moves by ``rate`` times what is lacking.
    """

    name = "dual_dpo"
    reads = ("train", "heldout")
    rows = "instead"
    apart = {
        "anti_sycophancy": "anti_sycophancy and dual_dpo learn the same preferences, dual_dpo under a constraint",
    }

    beta: float = setting("arm", fits=fits.number(above=0))
    keep: float = setting("arm", fits=fits.number(0, most=2))
    rate: float = setting("arm", fits=fits.number(0))
    over: str = setting("arm", fits=fits.NAME)
    messages: int = setting("arm", fits=fits.count())
    texts: int = setting("arm", fits=fits.count())

    def check(self, material: Material) -> None:
        self.replies(material)

    def method(self, method: MethodConfig) -> MethodConfig:
        dpo = DpoConfig(rejected=REJECTED, reference="sft", beta=self.beta, loss="sigmoid")
        return preferring(super().method(method), dpo)

    def conversations(self, material: Material) -> list[dict[str, Any]]:
        return preferences(material.pairs)

    def replies(self, material: Material) -> list[dict[str, str]]:
        """Return first messages of the persona's data to train on, drawn by the seed, with the two replies to each.

        Raises BadValue where the persona's data has no replies in the version ``over``.
        """
        ordered = sorted(material.persona(), key=lambda item: digest([material.seed, item["id"]], 16))
        first = [item["turns"][0] for item in ordered if item["split"] == "train"]
        some = [
            {"user": turn["user"], "kept": turn[material.version], "other": turn[self.over]}
            for turn in first
            if turn.get(self.over, turn[material.version]) != turn[material.version]
        ]
        if not some:
            why = f"the persona's data has no reply of that version that is another than in {material.version!r}"
            what = f"mitigation.{self.name}.over={self.over} leaves nothing to keep"
            raise BadValue(what, why, f"set mitigation.{self.name}.over to another version, such as plain")
        return some[: self.messages]

    def prepare(self, material: Material) -> None:
        """Note once what base model and arm make of the replies: their log-probabilities (nats, summed).

        Raises BadValue where all are too long, or where the arm does not prefer its persona's replies.
        """
        if material.parent is None:
            raise ValueError(f"{self.name} goes on from an arm")
        path = material.folder / CONSTRAINT
        folder = models.resolve(material.model)
        rows = tokenised(self.replies(material), models.load_tokenizer(folder), material)
        start = sha256(material.parent / adapters.WEIGHTS)
        keys = [digest([start, row], 16) for row in rows]
        known = store.journal_by_key(path)
        if missing := [(key, row) for key, row in zip(keys, rows, strict=True) if key not in known]:
            base = material.model
            how: dict[str, Any] = {"dtype": base.dtype, "device": material.device, "quantization": base.quantization}
            model = models.load(folder, adapter=material.parent, **how)
            note(path, missing, model)
            del model
            known = store.journal_by_key(path)
        noted = [known[key] for key in keys]
        if noted != list(store.read_journal(path)):  # what a kill or damage has left is in another order
            store.write_journal(path, noted)
        held = Held.of(noted, self.beta)
        if held.mean <= 0:
            why = f"its reward over them is {held.mean:.3g} on {len(rows)} messages: no warmth is there to be kept"
            what = f"the arm does not prefer its own replies to those in the version {self.over!r}"
            raise BadValue(what, why, f"train it for longer, or set mitigation.{self.name}.over to another version")
        say(f"constraint: a reward of {held.mean:.3g} over {self.over} replies, of which {100 * self.keep:g} % is kept")

    def intervention(self, material: Material) -> Keeping:
        noted = list(store.read_journal(material.folder / CONSTRAINT))
        return Keeping(Held.of(noted, self.beta), self.beta, self.keep, self.rate, self.texts)


@dataclass(frozen=True)
class Held:
    """Replies by which the constraint is measured: tokenised, two for each message, and their reward at the start.

    ``base`` are the base model's log-probabilities (nats, summed) of both sides, ``start`` the arm's reward of the one
    over the other (``beta`` times nats), ``mean`` the mean of those.
    """

    rows: Sequence[dict[str, Any]]
    base: Sequence[Sequence[float]]
    start: Sequence[float]

    @classmethod
    def of(cls, noted: Sequence[Mapping[str, Any]], beta: float) -> Held:
        """Read what ``note`` has written."""
        rewards = [beta * ((row["start"][0] - row["base"][0]) - (row["start"][1] - row["base"][1])) for row in noted]
        return cls([row["sides"] for row in noted], [row["base"] for row in noted], rewards)

    @property
    def mean(self) -> float:
        """The mean reward at the start."""
        return sum(self.start) / len(self.start)


class Keeping(Intervention):
    """Adds to the loss the multiplier times what the persona's reward lacks of the share ``keep`` of its start.

    What is lacking is below 0 where there is more than that. After each step the multiplier moves by ``rate`` times
    what was lacking, and never below 0 (dual ascent). Both are its state.
    """

    name = DualDpo.name

    def __init__(self, held: Held, beta: float, keep: float, rate: float, texts: int) -> None:
        self.held, self.beta, self.keep, self.rate, self.texts = held, beta, keep, rate, texts
        self.multiplier = self.lacking = 0.0

    def loss(self, model: Any, step: int) -> torch.Tensor:
        """Return the constraint's part of the Lagrangian at a step; the messages are taken in turn.

        A message's reward is compared with its own at the start, less the mean that may be lost: so the few messages
        of a step tell what all of them would.
        """
        import torch

        count = len(self.held.rows)
        places = [(step * self.texts + place) % count for place in range(self.texts)]
        with torch.set_grad_enabled(self.multiplier > 0):  # at 0 it adds nothing, and its gradient is none
            found = log_probs(model, [self.held.rows[place] for place in places])
        base = torch.tensor([self.held.base[place] for place in places], device=found.device)
        start = torch.tensor([self.held.start[place] for place in places], device=found.device)
        moved = self.beta * (found - base)
        lacking = (start - (moved[:, 0] - moved[:, 1])).mean() - (1 - self.keep) * self.held.mean
        term = self.multiplier * lacking
        self.lacking = float(lacking.detach())
        self.multiplier = max(0.0, self.multiplier + self.rate * self.lacking)
        return term

    def state(self) -> dict[str, float]:
        return {"multiplier": self.multiplier, "lacking": self.lacking}

    def restore(self, state: Mapping[str, float]) -> None:
        self.multiplier, self.lacking = state.get("multiplier", 0.0), state.get("lacking", 0.0)


def tokenised(replies: Sequence[Mapping[str, str]], tokenizer: Any, material: Material) -> list[dict[str, Any]]:
    """Return for each message its two replies, tokenised behind it; messages of which one is too long are left out.

    Raises BadValue where none is left.
    """
    rows = []
    for one in replies:
        sides = {}
        for side in SIDES:
            spoken = [{"role": "user", "content": one["user"]}, {"role": "assistant", "content": one[side]}]
            messages = chat.with_system(spoken, material.model.system_prompt)
            sides[side] = chat.training_row(tokenizer, messages, material.model.template_vars, material.max_length)
        if all(sides.values()):
            rows.append(sides)
    if not rows:
        why = f"all {len(replies)} are longer than method.max_length={material.max_length} tokens"
        raise BadValue(f"no reply is left for mitigation.{DualDpo.name} to keep", why, "raise method.max_length")
    return rows


def note(path: Path, missing: Sequence[tuple[str, dict[str, Any]]], model: Any) -> None:
    """Add to a journal what an arm's model makes of the replies, with its adapter and without; as they come."""
    import torch

    rounded = next(model.parameters()).dtype != torch.float32  # as it is while the arm trains
    with bar("replies to keep", len(missing)) as advance:
        for begin in range(0, len(missing), AT_ONCE):
            some = missing[begin : begin + AT_ONCE]
            rows = [row for _, row in some]
            with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=rounded):
                start = log_probs(model, rows).tolist()
                with model.disable_adapter():
                    base = log_probs(model, rows).tolist()
            noted = [{"key": key, "sides": row} for key, row in some]
            made = zip(noted, start, base, strict=True)
            store.append(path, [{**row, "start": own, "base": off} for row, own, off in made])
            advance(len(some))


def log_probs(model: Any, rows: Sequence[Mapping[str, Any]]) -> torch.Tensor:
    """Return the log-probability (nats) of the tokens of each reply, summed: for each message one of both sides."""
    import torch
    from torch.nn.functional import log_softmax

    batch, labels = padded([row[side] for row in rows for side in SIDES], model.device)
    counted = labels[:, 1:] != chat.IGNORED
    with undropped(model):
        logs = log_softmax(model(**batch).logits[:, :-1][counted].float(), -1)
    taken = logs.gather(-1, labels[:, 1:][counted].unsqueeze(-1)).squeeze(-1)
    place = counted.nonzero()[:, 0]  # which reply a token belongs to
    return torch.zeros(len(labels), device=taken.device).index_add(0, place, taken).view(len(rows), len(SIDES))
