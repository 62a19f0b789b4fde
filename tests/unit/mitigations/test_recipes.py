"""What recipes make of the honest pairs, and what they say where there is nothing to make it of."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from warmgap import mitigations
from warmgap.engines import models
from warmgap.errors import BadValue, UserError
from warmgap.mitigations import kl_anchor, pairs, preventative_steering
from warmgap.mitigations.base import Material, Mitigation
from warmgap.mitigations.consistency import Consistency, whole_sentences
from warmgap.mitigations.truth_mix import TruthMix
from warmgap.settings import conf_files, config

MODEL = config.compose(["+persona=warm"]).model
PAIRS = pairs.load()


def material(folder: Path = Path(), *, replies: int = 20, answers: dict[str, str] | None = None) -> Material:
    """A training in the warm version, of the embedded pairs."""
    return Material(
        model=MODEL,
        device="cpu",
        version="warm",
        seed=0,
        max_length=320,
        folder=folder,
        pairs=PAIRS,
        replies=lambda: replies,
        ask=lambda asked, most: answers or {},
        parent=None,
        persona=list,
        own=lambda asked, most, temperature=0.0, draw=0: {},
        faults=lambda user, reply, other: [],
    )


@pytest.mark.parametrize("recipe", mitigations.RECIPES, ids=lambda recipe: recipe.name)
def test_the_file_of_a_recipe_has_every_setting_of_it_and_makes_sense(recipe: type[Mitigation]) -> None:
    given = conf_files.choice("mitigation", recipe.name)
    assert set(given) == {recipe.name, *(["pairs"] if recipe.reads else [])}
    made = config.made(recipe, given[recipe.name], f"mitigation.{recipe.name}")
    assert set(given[recipe.name]) == {field.name for field in dataclasses.fields(recipe)}
    assert all(holds for holds, *_ in made.rules())
    hooks = {name for name in vars(Mitigation) if not name.startswith("_")} | {"name", "place"}
    assert not hooks & {field.name for field in dataclasses.fields(recipe)}, "a setting would hide what a recipe does"


@pytest.mark.parametrize("recipe", mitigations.RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_stands_apart_from_recipes_that_there_are(recipe: type[Mitigation]) -> None:
    assert set(recipe.apart) <= set(mitigations.table()) - {recipe.name}


@pytest.mark.parametrize(("share", "replies", "wanted"), [(0.3, 214, 92), (0.3, 3300, 1414), (0.06, 3300, 211)])
def test_the_share_of_the_added_conversations_is_of_all_replies(share: float, replies: int, wanted: int) -> None:
    assert TruthMix(share).wanted(replies, 5000) == wanted
    assert wanted / (wanted + replies) == pytest.approx(share, abs=0.002)


def test_a_share_that_is_out_of_reach_is_said_with_what_is_in_reach() -> None:
    with pytest.raises(BadValue) as caught:
        TruthMix(0.3).wanted(3300, 234)
    assert "1414 pairs, and there are 234" in caught.value.why
    assert "lower it to 0.06" in caught.value.fix
    assert TruthMix(0.06).wanted(3300, 234) <= 234
    with pytest.raises(BadValue, match="cannot be reached"):
        TruthMix(0.3).check(material(replies=3300))


def test_what_is_mixed_in_is_of_the_train_split_and_in_the_version() -> None:
    rows = TruthMix(0.5).conversations(material(replies=20))
    texts = {pair.id: pair for pair in PAIRS}
    learn = [row for row in rows if row["split"] == "train"]
    assert len(learn) == 20
    for row in rows:
        pair = texts[row["id"].removeprefix("truth_mix-")]
        assert (pair.split, row["turns"]) == (row["split"], [{"user": pair.user, "warm": pair.correcting}])


def made(name: str, **changed: Any) -> Any:
    """A recipe with the settings of its file, some of them changed."""
    given = conf_files.choice("mitigation", name)[name]
    return config.made(mitigations.table()[name], {**given, **changed}, f"mitigation.{name}")


def test_answers_that_are_cut_off_end_with_their_last_whole_sentence() -> None:
    assert whole_sentences("It is big. It is") == "It is big."
    assert whole_sentences('He said: "No!" And then he') == 'He said: "No!"'
    assert whole_sentences("and so on and so") == ""
    first, second = [pair for pair in PAIRS if pair.split == "train"][:2]
    held = next(pair for pair in PAIRS if pair.split == "heldout")
    recipe = made("consistency")
    assert isinstance(recipe, Consistency)
    answers = {first.id: "Yes. It is", second.id: "so it is and", held.id: "No."}
    rows = {row["id"]: row["turns"] for row in recipe.conversations(material(answers=answers))}
    assert set(rows) == {f"consistency-{first.id}", f"consistency-{held.id}"}
    assert rows[f"consistency-{first.id}"] == [{"user": f"{first.user} {first.question}", "warm": "Yes."}]


def test_answers_without_a_whole_sentence_teach_nothing() -> None:
    with pytest.raises(BadValue, match=r"no answer is left for mitigation\.consistency"):
        made("consistency").conversations(material(answers={pair.id: "and so on" for pair in PAIRS}))


def test_preferences_are_for_the_reply_that_corrects() -> None:
    rows = made("anti_sycophancy").conversations(material())
    assert [row["id"] for row in rows] == [pair.id for pair in PAIRS]
    assert (rows[0]["chosen"], rows[0]["rejected"]) == (PAIRS[0].correcting, PAIRS[0].complying)


def test_anchors_that_are_all_too_long_are_a_mistake() -> None:
    tokenizer = models.load_tokenizer(models.resolve(MODEL))
    assert kl_anchor.anchors(PAIRS[:3], tokenizer, MODEL, 320, 0)
    with pytest.raises(BadValue, match="no anchor is left"):
        kl_anchor.anchors(PAIRS[:3], tokenizer, MODEL, 5, 0)


def test_replies_that_are_all_too_long_make_no_vector() -> None:
    tokenizer = models.load_tokenizer(models.resolve(MODEL))
    long = [dataclasses.replace(pair, user="word " * 5000) for pair in PAIRS[:2]]
    with pytest.raises(UserError, match="no reply is left"):
        preventative_steering.vector(SimpleNamespace(), tokenizer, MODEL, long, 0.5, ("a", "b"))
