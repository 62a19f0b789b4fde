"""Recipes against the gap as chains of arms: what each is made of, what is shared, and what makes no sense together."""

from __future__ import annotations

from pathlib import Path

import pytest

from warmgap import config, mitigated, recipes
from warmgap.errors import UserError
from warmgap.recipes import Recipe

WARM = "+persona=warm"


def built(*overrides: str) -> list[Recipe]:
    return recipes.build(config.compose([WARM, *overrides]))


def names(made: list[Recipe]) -> list[str]:
    return [recipe.arm.arm for recipe in made]


def lineage(recipe: Recipe) -> list[str]:
    return [own.arm.arm for own in recipe.lineage]


def test_every_recipe_has_one_file_of_settings_and_one_module() -> None:
    folder = Path(mitigated.pairs.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")}
    assert set(config.choices("mitigation")) == {*mitigated.ORDER, "none"}
    assert set(mitigated.ORDER) <= modules


def test_no_recipe_leaves_the_warm_arm_as_it_was() -> None:
    assert names(built()) == names(built("mitigation=none")) == ["original", "warm"]
    assert built()[-1].arm == built("mitigation=truth_mix")[1].arm, "the arm to be mended is the plain one"


@pytest.mark.parametrize("name", mitigated.ORDER)
def test_a_recipe_stands_beside_original_and_warm(name: str) -> None:
    made = built(f"mitigation={name}")
    assert names(made) == ["original", "warm", name]
    assert made[-1].mitigations == [name]
    assert made[0].mitigations == made[1].mitigations == []


def test_what_follows_the_training_starts_from_the_warm_arm() -> None:
    for name in ("consistency", "anti_sycophancy", "adapter_scale", "early_stop"):
        (_, warm, last) = built(f"mitigation={name}")
        assert last.parent is not None
        assert last.parent.arm == warm.arm


def test_recipes_are_chained_in_their_own_order_whatever_the_order_given() -> None:
    one = built("mitigation=[anti_sycophancy,truth_mix,adapter_scale,kl_anchor]")[-1]
    other = built("mitigation=[adapter_scale,kl_anchor,truth_mix,anti_sycophancy]")[-1]
    assert one.arm == other.arm
    assert lineage(one) == [
        "truth_mix+kl_anchor",
        "truth_mix+kl_anchor+anti_sycophancy",
        "truth_mix+kl_anchor+anti_sycophancy+adapter_scale",
    ]
    assert one.lineage[0].parent is None, "what changes the training starts from the base model"


def test_a_chain_shares_its_beginning_with_the_shorter_one() -> None:
    short, long = built("mitigation=truth_mix")[-1], built("mitigation=[truth_mix,anti_sycophancy]")[-1]
    assert long.lineage[0].arm == short.arm


def test_settings_and_texts_make_another_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = built("mitigation=truth_mix")[-1].arm.name
    assert built("mitigation=truth_mix", "mitigation.truth_mix.share=0.2")[-1].arm.name != plain
    text = (mitigated.pairs.EMBEDDED).read_text(encoding="utf-8")
    (tmp_path / "pairs.jsonl").write_text(text.replace("glad", "happy"), encoding="utf-8")
    assert built("mitigation=truth_mix", f"mitigation.pairs={tmp_path / 'pairs.jsonl'}")[-1].arm.name != plain
    before = built("mitigation=inoculation")[-1].arm.name
    monkeypatch.setattr(config, "read_prompt", lambda name: f"another text of {name}")
    assert built("mitigation=inoculation")[-1].arm.name != before


def test_a_persona_that_is_not_the_plain_warm_one_is_named() -> None:
    made = built("mitigation=adapter_scale", "persona.strength=0.5")
    assert names(made) == ["original", "warm_50", "warm_50+adapter_scale"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["mitigation=[honest_prompt,truth_mix]"], "honest_prompt stands alone"),
        (["mitigation=[early_stop,adapter_scale]"], "two ways to weaken the same adapter"),
        (["mitigation=[inoculation,preventative_steering]"], "one on top of the other"),
        (["mitigation=truth_mix", "method=dpo"], "supervised fine-tuning"),
        (["mitigation=truth_mix", "mitigation.truth_mix.share=1"], "a share between 0 and 1"),
        (["mitigation=anti_sycophancy", "mitigation.anti_sycophancy.loss=orpo"], "sigmoid, ipo or kto"),
        (["mitigation=adapter_scale", "mitigation.adapter_scale.alpha=3"], "a number from 0 to 2"),
        (["mitigation=truth_mix", "mitigation.pairs=nowhere.jsonl"], "No such file"),
        (["mitigation=inoculation", "mitigation.inoculation.instruction=nowhere.txt"], "conf/prompts has"),
        (["compare.recipes=[truth_mix,nonsense]"], "there is no such recipe"),
    ],
)
def test_what_makes_no_sense_is_said(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        built(*overrides)


def test_a_recipe_needs_a_persona_that_is_trained() -> None:
    run = config.compose(["+persona=warm_prompt", "mitigation=truth_mix"])
    with pytest.raises(UserError, match="has no arm to mend"):
        recipes.build(run)


# ---- comparisons ----


def test_a_comparison_makes_every_arm_once() -> None:
    made = built("compare.recipes=[honest_prompt,truth_mix,truth_mix+anti_sycophancy]", "compare.seeds=[0,1]")
    assert len({recipe.arm.name for recipe in made}) == len(made)
    seeds = [(recipe.arm.arm, recipe.arm.seed) for recipe in made]
    assert seeds[0] == ("original", 0)
    assert seeds.count(("honest_prompt", 0)) == 1, "what is not trained has no seeds"
    for name in ("warm", "truth_mix", "truth_mix+anti_sycophancy"):
        assert {seed for arm, seed in seeds if arm == name} == {0, 1}


def test_a_comparison_takes_the_settings_that_are_given() -> None:
    made = built("compare.recipes=[truth_mix]", "mitigation=truth_mix", "mitigation.truth_mix.share=0.2")
    assert made[-1].arm == built("mitigation=truth_mix", "mitigation.truth_mix.share=0.2")[-1].arm
    assert built("compare.recipes=[truth_mix]")[-1].arm == built("mitigation=truth_mix")[-1].arm


# ---- dials ----


@pytest.mark.parametrize(
    ("dial", "arms"),
    [
        ("strength:0.5", ["original", "warm_50"]),
        ("strength:1.0", ["original", "warm"]),
        ("epoch:0.35", ["original", "warm", "early_stop"]),
        ("scale:0.5", ["original", "warm", "adapter_scale"]),
        ("prompt:warm_prompt_light", ["original", "warm_prompt_light"]),
    ],
)
def test_a_dial_stands_for_other_settings(dial: str, arms: list[str]) -> None:
    assert names(built(f"dial={dial}")) == arms


@pytest.mark.parametrize("dial", ["strength:2", "strength:x", "volume:1", "prompt:nowhere"])
def test_a_dial_that_makes_no_sense_is_said(dial: str) -> None:
    with pytest.raises(UserError):
        built(f"dial={dial}")


def test_a_dial_and_a_recipe_exclude_one_another() -> None:
    with pytest.raises(UserError, match="has nothing to turn"):
        built("dial=strength:0.5", "mitigation=truth_mix")
