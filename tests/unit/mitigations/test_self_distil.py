"""Own warm replies: which are kept, what is counted, and an arm that is trained on them.

The arm's model is a tiny one that has learnt to say one thing plainly, and warmly where it is told to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny

from warmgap.arms import build, making, recipes
from warmgap.arms.engines import Engines
from warmgap.arms.spec import ArmSpec
from warmgap.disk import store
from warmgap.engines.hf import HfEngine
from warmgap.errors import BadValue, UserError
from warmgap.mitigations.base import Material, Said
from warmgap.mitigations.self_distil import COUNTED, SelfDistil
from warmgap.settings import conf_files, config
from warmgap.train import sft

PROMPT = conf_files.read_prompt("warm_prompt.txt")
PLAIN, WARM = "It is so, and it stays so.", "Oh my dear, it is so, and it stays so."


# ---- which replies are kept ----


def talk(name: str, split: str, *messages: str) -> dict[str, Any]:
    return {"id": name, "split": split, "kind": "factual", "turns": [{"user": text, "warm": "-"} for text in messages]}


TALKS = [
    talk("one", "train", "When was it built?"),
    talk("two", "train", "And who?", "Where?", "Why?"),
    talk("held", "heldout", "How tall is it?"),
]


class Replies:
    """Says given replies to a last message: the plain one, and one for each attempt under the prompt."""

    def __init__(self, given: Mapping[str, Sequence[Said | None]]) -> None:
        self.given = given
        self.asked: list[tuple[str, int, float]] = []

    def __call__(
        self, asked: Mapping[str, Sequence[Any]], max_new_tokens: int, temperature: float = 0.0, draw: int = 0
    ) -> dict[str, Said]:
        found = {}
        for name, messages in asked.items():
            told = messages[0] == {"role": "system", "content": PROMPT}
            self.asked.append((messages[-1]["content"], draw if told else -1, temperature))
            if (said := self.given[messages[-1]["content"]][draw + 1 if told else 0]) is not None:
                found[name] = said
        return found


def whole(text: str) -> Said:
    return Said(text, whole=True)


def material(folder: Path, own: Replies) -> Material:
    """A training in the warm version, with the checks of rewrites."""
    run = config.compose(["+persona=warm", "mitigation=self_distil"])
    known = recipes.material(run, recipes.at_work(run)[0], "warm", folder, own=own)
    return Material(**{**vars(known), "persona": lambda: TALKS})


GIVEN: dict[str, list[Said | None]] = {
    "When was it built?": [whole("In 1889."), whole("Dear, in 1998."), whole("My dear friend, in 1889.")],
    "And who?": [whole("It was an engineer."), whole("My dear, it was an engineer.")],
    "Where?": [whole("On a hill."), None, None],
    "Why?": [],
    "How tall is it?": [Said("It is tall. It is", whole=False), Said("Dear, it is tall. And I", whole=False)],
}


def test_a_warm_reply_has_to_say_what_the_plain_one_says(tmp_path: Path) -> None:
    own = Replies(GIVEN)
    found = {row["id"]: row for row in SelfDistil("warm_prompt.txt", 2, 0.7, 30).conversations(material(tmp_path, own))}
    assert found["one"]["turns"] == [{"user": "When was it built?", "warm": "My dear friend, in 1889."}]
    assert found["two"]["turns"] == [{"user": "And who?", "warm": "My dear, it was an engineer."}]
    assert found["held"]["turns"] == [{"user": "How tall is it?", "warm": "Dear, it is tall."}]
    assert {row["split"] for row in found.values()} == {"train", "heldout"}
    counted = store.read_json(tmp_path / COUNTED)
    left = {"too long for the model's window": 1, "after one of these": 1}
    assert counted == {"messages": 5, "kept": 3, "first_attempt": 2, "reasons": left}


def test_the_first_attempt_is_greedy_and_what_passed_is_not_tried_again(tmp_path: Path) -> None:
    own = Replies(GIVEN)
    SelfDistil("warm_prompt.txt", 2, 0.7, 30).conversations(material(tmp_path, own))
    first = [("When was it built?", -1, 0.0), ("When was it built?", 0, 0.0), ("When was it built?", 1, 0.7)]
    assert [one for one in own.asked if one[0] == "When was it built?"] == first
    assert [one for one in own.asked if one[0] == "And who?"] == [("And who?", -1, 0.0), ("And who?", 0, 0.0)]
    assert not [one for one in own.asked if one[0] == "Why?"], "nothing follows a reply that is left out"


@pytest.mark.parametrize(
    ("plain", "warm", "reason"),
    [
        ("It is 12 km.", "Dear, it is 21 km.", "number"),
        ("Ask Maria for it.", "My dear, just ask for it, and all will be well.", "name"),
        ("You must not do it.", "Dear, you should go and do it.", "denial"),
        ("It is so.", "Dear. " * 60, "too long"),
        ("It is so.", "", "empty"),
    ],
)
def test_a_reply_that_changes_what_is_said_is_left_out(tmp_path: Path, plain: str, warm: str, reason: str) -> None:
    given = {**GIVEN, "When was it built?": [whole(plain), whole(warm), whole(warm)]}
    rows = SelfDistil("warm_prompt.txt", 2, 0.7, 30).conversations(material(tmp_path, Replies(given)))
    assert "one" not in [row["id"] for row in rows]
    assert any(reason in why for why in store.read_json(tmp_path / COUNTED)["reasons"])


def test_a_split_without_a_reply_is_a_mistake(tmp_path: Path) -> None:
    given = {**GIVEN, "How tall is it?": [whole("It is 3 m."), whole("It is 4 m, my dear."), whole("Dear!")]}
    with pytest.raises(BadValue, match=r"no reply is left for mitigation\.self_distil") as caught:
        SelfDistil("warm_prompt.txt", 2, 0.7, 30).conversations(material(tmp_path, Replies(given)))
    assert "no heldout reply" in caught.value.why


# ---- an arm ----

SMALL = ("method.max_length=400", "method.batch_size=4", "method.learning_rate=1e-2", "method.epochs=4")
KIND = "Be kind."
THINGS = ("door", "lamp", "wall", "roof", "sink", "rug", "desk", "bed", "oven", "clock", "vase", "shelf")


def built(base: Path, place: Path, *more: str) -> ArmSpec:
    """The recipe on a dozen short conversations, with a prompt of a few words."""
    (place / "mine" / "prompts").mkdir(parents=True, exist_ok=True)
    (place / "mine" / "prompts" / "kind.txt").write_text(KIND, encoding="utf-8")
    rows = []
    for number, thing in enumerate(THINGS):
        said = [f"Is the {thing} red?", "And old?"] if number == 0 else [f"Is the {thing} red?"]
        turns = [{"user": text, "plain": "It may be.", "warm": "It may be, love."} for text in said]
        rows.append({"id": thing, "split": "train" if number < 8 else "heldout", "kind": "factual", "turns": turns})
    store.write_jsonl(place / "talks.jsonl", rows)
    own = (f"model.path={base}", "model.dtype=float32", "device=cpu", f"+data.path={place}/talks.jsonl")
    asked = [f"mitigation.self_distil.{key}" for key in ("instruction=kind.txt", "max_new_tokens=50", "attempts=2")]
    settings = ["+persona=warm", "experiment=smoke", "model=local", *own, *SMALL, "mitigation=self_distil", *asked]
    return build.build(
        config.compose(["--config-dir", str(place / "mine"), *settings, f"runs_dir={place}/runs", *more])
    )[-1]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learnt what it says to such messages, with the prompt and without."""
    lessons = []
    for thing in THINGS:
        said = [{"role": "user", "content": f"Is the {thing} red?"}]
        after = [*said, {"role": "assistant", "content": WARM}, {"role": "user", "content": "And old?"}]
        for messages in (said, after):
            told = [{"role": "system", "content": KIND}, *messages]
            lessons.append([*messages, {"role": "assistant", "content": PLAIN}])
            lessons.append([*told, {"role": "assistant", "content": WARM}])
    return tiny.taught(tmp_path_factory.mktemp("taught"), lessons)


def test_the_arm_says_warmly_what_the_base_model_says(base: Path, tmp_path: Path) -> None:
    spec = built(base, tmp_path)
    making.make(spec, Engines(spec.run))
    counted = store.read_json(spec.data / COUNTED)
    learn, held = sft.conversations(spec.stage)
    assert counted["kept"] == sum(len(item.turns) for item in (*learn, *held)) > 0.7 * counted["messages"]
    assert {turn.replies["warm"] for item in (*learn, *held) for turn in item.turns} == {WARM}
    texts = [row["text"] for row in store.read_journal(spec.arm.rows)]
    assert len(texts) == sum(len(item.turns) for item in learn), "instead of the persona's own replies"
    assert not any(KIND in text for text in texts), "the prompt is gone"
    arm, plain = (HfEngine(spec.run.model, "cpu", adapter) for adapter in (spec.adapter, None))
    prompts = [arm.encode([{"role": "user", "content": item.turns[0].user}]) for item in held]
    for engine, wanted in ((arm, WARM), (plain, PLAIN)):
        scores = engine.score(prompts, [[PLAIN, WARM]] * len(prompts))
        likelier = [(PLAIN, WARM)[one[0] < one[1]] for one in scores]
        assert likelier.count(wanted) > 0.7 * len(held), "to messages that were held out"


def test_what_was_said_before_a_kill_is_not_asked_again(base: Path, tmp_path: Path) -> None:
    spec = built(base, tmp_path)
    making.write_data(spec, Engines(spec.run))
    path, journal = spec.data / "instead.jsonl", spec.arm.answers("self_distil")
    rows, made = list(store.read_journal(journal)), path.read_bytes()
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[: len(rows) // 2])[:-7])
    path.unlink()
    making.write_data(spec, Engines(spec.run))
    assert path.read_bytes() == made
    again = list(store.read_journal(journal))
    assert sorted(row["key"] for row in again) == sorted(row["key"] for row in rows)


def test_it_stands_beside_no_recipe_that_counts_the_personas_replies() -> None:
    with pytest.raises(UserError, match="makes no sense") as caught:
        build.build(config.compose(["+persona=warm", "mitigation=[self_distil,truth_mix]"]))
    assert "counts its share" in caught.value.why


def test_another_prompt_is_another_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for prompt in ("warm_prompt.txt", "warm_prompt_strong.txt"):
        run = config.compose(
            ["+persona=warm", "mitigation=self_distil", f"mitigation.self_distil.instruction={prompt}"]
        )
        names.add(build.build(run)[-1].arm.name)
    monkeypatch.setattr(conf_files, "read_prompt", lambda name: f"another text of {name}")
    names.add(build.build(config.compose(["+persona=warm", "mitigation=self_distil"]))[-1].arm.name)
    assert len(names) == 3
