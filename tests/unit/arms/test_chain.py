"""Recipes against the gap as chains of arms: what each is made of, what is shared, and what makes no sense together."""

from __future__ import annotations

from pathlib import Path

import pytest

from warmgap import mitigations
from warmgap.arms import build
from warmgap.arms.spec import ArmSpec
from warmgap.errors import UserError
from warmgap.mitigations import pairs
from warmgap.settings import conf_files, config

WARM = "+persona=warm"
RECIPES = mitigations.table()


def built(*overrides: str) -> list[ArmSpec]:
    return build.build(config.compose([WARM, *overrides]))


def names(made: list[ArmSpec]) -> list[str]:
    return [spec.arm.arm for spec in made]


def lineage(spec: ArmSpec) -> list[str]:
    return [own.arm.arm for own in spec.lineage]


def test_every_recipe_has_one_file_of_settings_and_one_module() -> None:
    modules = {path.stem for path in Path(str(mitigations.__file__)).parent.glob("*.py")} - {
        "__init__",
        "base",
        "directions",
    }
    assert set(conf_files.choices("mitigation")) == {*RECIPES, "none"}
    assert set(RECIPES) == modules


def test_no_recipe_leaves_the_warm_arm_as_it_was() -> None:
    assert names(built()) == names(built("mitigation=none")) == ["original", "warm"]
    assert built()[-1].arm == built("mitigation=truth_mix")[1].arm, "the arm to be mended is the plain one"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_stands_beside_original_and_warm(name: str) -> None:
    made = built(f"mitigation={name}")
    assert names(made) == ["original", "warm", name]
    assert made[-1].mitigations == [name]
    assert made[0].mitigations == made[1].mitigations == []


def test_what_follows_the_training_starts_from_the_warm_arm() -> None:
    for name in ("consistency", "anti_sycophancy", "dual_dpo", "adapter_scale", "early_stop"):
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
    text = pairs.EMBEDDED.read_text(encoding="utf-8")
    (tmp_path / "pairs.jsonl").write_text(text.replace("glad", "happy"), encoding="utf-8")
    assert built("mitigation=truth_mix", f"mitigation.pairs={tmp_path / 'pairs.jsonl'}")[-1].arm.name != plain
    before = built("mitigation=inoculation")[-1].arm.name
    monkeypatch.setattr(conf_files, "read_prompt", lambda name: f"another text of {name}")
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
        (["mitigation=[self_distil,truth_mix]"], "counts its share beside the persona's replies"),
        (["mitigation=self_distil", "persona.strength=0.5"], r"persona\.strength=0\.5 beside mitigation=self_distil"),
        (["mitigation=[anti_sycophancy,dual_dpo]"], "learn the same preferences"),
        (["mitigation=dual_dpo", "mitigation.dual_dpo.over=tepid"], "over=tepid leaves nothing to keep"),
        (["mitigation=dual_dpo", "mitigation.dual_dpo.keep=-1"], "a number from 0 to 2"),
        (["mitigation=truth_mix", "method=dpo"], "supervised fine-tuning"),
        (["mitigation=truth_mix", "mitigation.truth_mix.share=1"], "a number above 0 and below 1"),
        (["mitigation=anti_sycophancy", "mitigation.anti_sycophancy.loss=orpo"], "one of sigmoid, ipo, kto"),
        (["mitigation=adapter_scale", "mitigation.adapter_scale.alpha=3"], "a number from 0 to 2"),
        (["mitigation=truth_mix", "mitigation.pairs=nowhere.jsonl"], "No such file"),
        (["mitigation=inoculation", "mitigation.inoculation.instruction=nowhere.txt"], "conf/prompts has"),
        (["compare.recipes=[truth_mix,nonsense]"], "there is no such recipe"),
        (["compare.recipes=[truth_mix]", "persona.strength=0.5"], "the plain warm arm"),
        (["compare.recipes=[truth_mix]", "dial=scale:0.25"], "dial beside compare.recipes"),
        (["mitigation=truth_mix", "mitigation.truth_mix.share=0.95"], "cannot be reached"),
        (["compare.recipes=[kl_anchor,truth_mix]", "mitigation=truth_mix", "mitigation.truth_mix.share=0.95"], "pairs"),
        (["mitigation=early_stop", "mitigation.early_stop.select=plato"], "early_stop.select=plato makes no sense"),
        (["mitigation=early_stop", "mitigation.early_stop.select=epoch:3"], "epoch:3 has no checkpoint"),
        (["method.select=plato"], "method.select=plato makes no sense"),
        (["method.select=epoch:3"], "method.select=epoch:3 has no checkpoint"),
        (["method=dpo", "method.select=epoch:3"], "has no checkpoint"),
        (["method.checkpoints=[3]", "method.epochs=2", "method.select=epoch:3"], "has no checkpoint"),
    ],
)
def test_what_makes_no_sense_is_said(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        built(*overrides)


NEEDED = [(name, split) for name, recipe in RECIPES.items() for split in recipe.reads]


@pytest.mark.parametrize(("name", "split"), NEEDED)
def test_pairs_without_what_a_recipe_needs_are_refused_before_anything_is_made(
    tmp_path: Path, name: str, split: str
) -> None:
    lines = pairs.EMBEDDED.read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(line for line in lines if f'"split": "{split}"' not in line), encoding="utf-8")
    with pytest.raises(UserError, match=f"has no pair with split='{split}'"):
        built(f"mitigation={name}", f"mitigation.pairs={path}")


def test_pairs_that_are_not_held_out_will_do_where_none_are_asked_for(tmp_path: Path) -> None:
    lines = pairs.EMBEDDED.read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(line for line in lines if '"split": "heldout"' not in line), encoding="utf-8")
    for name in ("truth_mix", "kl_anchor", "preventative_steering"):
        assert names(built(f"mitigation={name}", f"mitigation.pairs={path}"))[-1] == name


def test_pairs_are_as_many_as_are_let_in() -> None:
    """``data.max_conversations`` limits the pairs as well as the persona's conversations."""
    with pytest.raises(UserError, match="there are 6"):
        built("mitigation=truth_mix", "mitigation.truth_mix.share=0.6", "data.max_conversations=6")


CHOICE = [
    "warmth.scorer_dtype=float16",
    "warmth.max_new_tokens=9",
    "warmth.temperature=0.5",
    "model@warmth.scorer=gpt2",
]


@pytest.mark.parametrize("changed", CHOICE)
def test_what_a_choice_by_warmth_stands_on_makes_the_arm(changed: str) -> None:
    early = ["mitigation=early_stop", "mitigation.early_stop.select="]
    for (*more, key), rule, depends in (
        (["method.select="], "plateau", True),
        (["method.select="], "epoch:0.35", False),
        (early, "warmth:0.01", True),
        (early, "last", False),
    ):
        arm, other = (built(*more, key + rule, *some)[-1].arm for some in ([], [changed]))
        assert (arm != other) == depends, key + rule


def test_a_choice_from_drawn_replies_stands_on_their_seed() -> None:
    seeds = [built("method.select=plateau", "warmth.temperature=0.5", f"++generate.seed={n}")[-1].arm for n in (0, 1)]
    assert seeds[0] != seeds[1]


def test_what_a_choice_does_not_stand_on_leaves_the_arm_as_it_is() -> None:
    rule = "method.select=plateau"
    for more in ("warmth.prompts=7", "warmth.checkpoint_prompts=7", "++generate.seed=1", "generate.temperature=0.5"):
        assert built(rule)[-1].arm == built(rule, more)[-1].arm, more


def test_a_comparison_of_recipes_needs_the_warm_arm() -> None:
    with pytest.raises(UserError, match="the plain warm arm"):
        build.build(config.compose(["+persona=cold", "compare.recipes=[truth_mix]"]))


def test_a_recipe_needs_a_persona_that_is_trained() -> None:
    run = config.compose(["+persona=warm_prompt", "mitigation=truth_mix"])
    with pytest.raises(UserError, match="has no arm to mend"):
        build.build(run)


# ---- comparisons ----


def test_a_comparison_makes_every_arm_once() -> None:
    made = built("compare.recipes=[honest_prompt,truth_mix,truth_mix+anti_sycophancy]", "compare.seeds=[0,1]")
    assert len({spec.arm.name for spec in made}) == len(made)
    seeds = [(spec.arm.arm, spec.arm.seed) for spec in made]
    assert seeds[0] == ("original", 0)
    assert seeds.count(("honest_prompt", 0)) == 1, "what is not trained has no seeds"
    for name in ("warm", "truth_mix", "truth_mix+anti_sycophancy"):
        assert {seed for arm, seed in seeds if arm == name} == {0, 1}


def test_a_comparison_takes_the_settings_that_are_given() -> None:
    made = built("compare.recipes=[truth_mix]", "mitigation=truth_mix", "mitigation.truth_mix.share=0.2")
    assert made[-1].arm == built("mitigation=truth_mix", "mitigation.truth_mix.share=0.2")[-1].arm
    assert built("compare.recipes=[truth_mix]")[-1].arm == built("mitigation=truth_mix")[-1].arm


def test_isolate_makes_the_arms_that_each_persona_makes_alone() -> None:
    made = built("experiment=isolate")
    assert names(made) == ["original", "cold", "paraphrase", "untransformed", "warm"]
    for spec in made[1:]:
        alone = build.build(config.compose([f"+persona={spec.arm.arm}"]))[-1]
        assert alone.arm == spec.arm, "the same folder, so that nothing is trained twice"
        assert alone.version == spec.version
    assert names(build.build(config.compose(["experiment=isolate"])))[-1] == "warm"


def test_personas_stand_beside_recipes_and_in_every_seed() -> None:
    made = built("compare.recipes=[truth_mix]", "compare.personas=[paraphrase]", "compare.seeds=[0,1]")
    seeds = {(spec.arm.arm, spec.arm.seed) for spec in made}
    assert seeds == {("original", 0), *((arm, seed) for arm in ("paraphrase", "warm", "truth_mix") for seed in (0, 1))}
    half = built("persona.strength=0.5", "compare.personas=[warm]")
    assert names(half) == ["original", "warm", "warm_50"], "a persona beside it is made as its file has it"
    with pytest.raises(UserError, match="persona=lukewarm is not known"):
        built("compare.personas=[lukewarm]")
    with pytest.raises(UserError, match=r"dial beside compare\.personas"):
        built("compare.personas=[cold]", "dial=scale:0.25")


# ---- dials ----


@pytest.mark.parametrize(
    ("dial", "arms"),
    [
        ("strength:0.5", ["original", "warm_50"]),
        ("strength:1.0", ["original", "warm"]),
        ("epoch:0.35", ["original", "warm", "early_stop"]),
        ("scale:0.5", ["original", "warm", "adapter_scale"]),
        ("prompt:warm_prompt_light", ["original", "warm_prompt_light"]),
        ("scale:1", ["original", "warm"]),
        ("epoch:0.75", ["original", "warm"]),
    ],
)
def test_a_dial_stands_for_other_settings(dial: str, arms: list[str]) -> None:
    assert names(built(f"dial={dial}")) == arms


@pytest.mark.parametrize("dial", ["strength:2", "strength:x", "volume:1", "prompt:nowhere", "epoch:-1", "epoch:nan"])
def test_a_dial_that_makes_no_sense_is_said(dial: str) -> None:
    with pytest.raises(UserError):
        built(f"dial={dial}")


def test_an_epoch_that_no_checkpoint_is_kept_at_is_said_at_once() -> None:
    with pytest.raises(UserError, match=r"dial=epoch:0\.123 has no checkpoint"):
        built("dial=epoch:0.123")


def test_a_dial_at_its_end_is_the_arm_that_was_chosen() -> None:
    assert names(built("dial=epoch:0.35", "method.select=epoch:0.35")) == ["original", "warm"]
    assert names(built("dial=epoch:0.75", "method.select=epoch:0.35"))[-1] == "early_stop"
    assert names(built("dial=epoch:0.75", "method.select=plateau"))[-1] == "early_stop"


def test_a_dial_and_a_recipe_exclude_one_another() -> None:
    with pytest.raises(UserError, match="has nothing to turn"):
        built("dial=strength:0.5", "mitigation=truth_mix")
