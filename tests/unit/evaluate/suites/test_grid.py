"""The grid over all items: 28 prompts each, cells that differ by what their names say, one pairing whatever else."""

from __future__ import annotations

import re
import string
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmgap.errors import UserError
from warmgap.evaluate.normal import normalise
from warmgap.evaluate.suites import contexts, grid
from warmgap.evaluate.suites.base import Prompt
from warmgap.evaluate.tasks import load_items
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import config
from warmgap.settings.schema import BeliefConfig, GridConfig, Run

EIGHT = ("happy", "sad", "angry", "close", "deferring", "superior", "high_stakes", "low_stakes")
GROUPS = {
    "emotion": {"happy", "sad", "angry"},
    "relation": {"close", "deferring", "superior"},
    "stakes": {"high_stakes", "low_stakes"},
    "neutral": {"neutral"},
}
BELIEFS = ("none", "false_claim", "false_denial")

FULL: Run = config.compose(["+persona=none", "grid=full"])
BALANCED: Run = config.compose(["+persona=none", "grid=balanced"])
ITEMS: list[Item] = [replace(item, instruction="") for item in load_items(FULL.task).items]


def build(run: Run, items: list[Item] = ITEMS, **changes: int) -> list[Prompt]:
    cut = GridConfig(**{**vars(run.grid), "prompts_per_item": None, **changes})
    return grid.build(items, run.context, run.belief, cut)


def by_item(prompts: list[Prompt]) -> dict[str, dict[tuple[str, str], Prompt]]:
    found: dict[str, dict[tuple[str, str], Prompt]] = defaultdict(dict)
    for prompt in prompts:
        assert (prompt.context, prompt.belief) not in found[prompt.item_id], "a cell is asked once"
        found[prompt.item_id][prompt.context, prompt.belief] = prompt
    return found


ALL = by_item(build(FULL))


# ---- the full grid ----


def test_every_item_has_its_28_prompts() -> None:
    expected = {(context, belief) for context in ("none", *EIGHT) for belief in BELIEFS} | {("neutral", "none")}
    assert len(expected) == 28
    assert len(ALL) == len(ITEMS)
    for item in ITEMS:
        assert set(ALL[item.item_id]) == expected, item.item_id


def test_all_prompts_are_distinct() -> None:
    texts = Counter(prompt.prompt for cells in ALL.values() for prompt in cells.values())
    assert not [text for text, count in texts.items() if count > 1]
    assert len(texts) == 28 * len(ITEMS)


def test_a_belief_cell_differs_by_the_belief_sentence_alone() -> None:
    for item in ITEMS:
        for (context, belief), prompt in ALL[item.item_id].items():
            if belief == "none":
                continue
            without = ALL[item.item_id][context, "none"]
            answer = item.incorrect if belief == "false_claim" else item.correct
            sentence = FULL.belief[belief].sentence.format(correct=item.correct, incorrect=item.incorrect)
            assert prompt.prompt == f"{without.prompt} {sentence}"
            assert answer in sentence
            assert prompt.statement_id == without.statement_id


def test_a_context_cell_is_its_statement_and_the_question() -> None:
    for item in ITEMS:
        assert ALL[item.item_id]["none", "none"].prompt == item.question
        for (context, belief), prompt in ALL[item.item_id].items():
            if context == "none":
                assert prompt.statement_id == ""
                continue
            name, _, number = prompt.statement_id.rpartition("-")
            statement = FULL.context[context].statements[int(number) - 1]
            assert name == context
            plain = ALL[item.item_id].get(("none", belief))
            assert plain is not None
            assert prompt.prompt == f"{statement} {plain.prompt}"


def test_prompts_carry_their_item_and_one_user_turn() -> None:
    families = {item.item_id: item.family for item in ITEMS}
    for cells in ALL.values():
        for prompt in cells.values():
            assert prompt.family == families[prompt.item_id]
            assert prompt.messages == [{"role": "user", "content": prompt.prompt}]
            assert prompt.row()["messages"] == prompt.messages
            assert "  " not in prompt.prompt
            assert prompt.prompt == prompt.prompt.strip()


def test_each_statement_is_used_for_about_a_fifth_of_the_items() -> None:
    for context in (*EIGHT, "neutral"):
        used = Counter(cells[context, "none"].statement_id for cells in ALL.values())
        assert len(used) == 5, context
        expected = len(ITEMS) / 5
        chi_square = sum((count - expected) ** 2 / expected for count in used.values())
        assert chi_square < 18.5, f"{context}: {used} (p < 0.001)"


def test_the_draws_of_two_contexts_are_apart() -> None:
    """An item that gets the second sad statement does not get the second angry one for that reason."""
    same = sum(
        cells["sad", "none"].statement_id[-1] == cells["angry", "none"].statement_id[-1] for cells in ALL.values()
    )
    assert 0.05 < same / len(ALL) < 0.4


def test_another_seed_draws_other_statements() -> None:
    again = by_item(build(FULL, seed=1))
    moved = sum(
        again[item.item_id][context, "none"].statement_id != ALL[item.item_id][context, "none"].statement_id
        for item in ITEMS
        for context in EIGHT
    )
    assert 0.7 < moved / (8 * len(ITEMS)) < 0.9


# ---- the pairing ----


@settings(max_examples=25, deadline=None)
@given(chosen=st.lists(st.sampled_from(ITEMS), min_size=1, max_size=12, unique_by=lambda item: item.item_id))
def test_pairing_is_the_same_in_any_order_and_for_any_part_of_the_items(chosen: list[Item]) -> None:
    for prompt in build(FULL, chosen):
        assert prompt == ALL[prompt.item_id][prompt.context, prompt.belief]


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sampled_from([*EIGHT, "neutral"]), min_size=1, max_size=9, unique=True),
    beliefs=st.lists(st.sampled_from(BELIEFS[1:]), max_size=2, unique=True),
    item=st.sampled_from(ITEMS),
)
def test_pairing_is_the_same_whichever_contexts_and_beliefs_are_asked(
    names: list[str], beliefs: list[str], item: Item
) -> None:
    context = {name: FULL.context[name] for name in names}
    belief = {name: FULL.belief[name] for name in beliefs}
    prompts = grid.build([item], context, belief, GridConfig("full", 9, 2))
    asked = {(prompt.context, prompt.belief) for prompt in prompts}
    cells = {(name, claim) for name in ("none", *names) for claim in ("none", *beliefs)}
    assert asked == {cell for cell in cells if cell[0] != "neutral" or cell[1] == "none"}
    for prompt in prompts:
        assert prompt == ALL[item.item_id][prompt.context, prompt.belief]


def test_building_twice_gives_the_same() -> None:
    assert build(FULL) == build(FULL)
    assert build(BALANCED) == build(BALANCED)


# ---- a part of the grid ----

CUTS = st.tuples(st.integers(0, 9), st.integers(0, 2))
COUNTS = st.lists(st.integers(1, 44), min_size=1, max_size=4)


def a_part(counts: list[int]) -> list[Item]:
    families = list(dict.fromkeys(item.family for item in ITEMS))
    return [
        item
        for family, count in zip(families, counts, strict=False)
        for item in [item for item in ITEMS if item.family == family][:count]
    ]


@settings(max_examples=40, deadline=None)
@given(cut=CUTS, counts=COUNTS)
def test_a_part_of_the_grid_is_balanced_over_contexts(cut: tuple[int, int], counts: list[int]) -> None:
    items = a_part(counts)
    prompts = build(BALANCED, items, contexts_per_item=cut[0], beliefs_per_context=cut[1])
    for family in dict.fromkeys(item.family for item in items):
        own = [prompt for prompt in prompts if prompt.family == family]
        plain = Counter(prompt.context for prompt in own if prompt.belief == "none")
        size = sum(item.family == family for item in items)
        assert plain.pop("none") == size, "the plain question is always asked"
        even = [plain.get(name, 0) for name in (*EIGHT, "neutral")]
        assert max(even) - min(even) <= 1, plain
        assert sum(even) == size * cut[0]


@settings(max_examples=40, deadline=None)
@given(cut=CUTS, counts=COUNTS)
def test_a_part_of_the_grid_is_a_part(cut: tuple[int, int], counts: list[int]) -> None:
    """Each prompt is one of the 28; with every belief goes the same prompt without; as many as were asked for."""
    items = a_part(counts)
    prompts = build(BALANCED, items, contexts_per_item=cut[0], beliefs_per_context=cut[1])
    found = by_item(prompts)
    for item in items:
        cells = found[item.item_id]
        for cell, prompt in cells.items():
            assert prompt == ALL[item.item_id][cell]
            assert (cell[0], "none") in cells
        contexts_asked = {context for context, _ in cells}
        assert len(contexts_asked) == 1 + cut[0]
        claiming = len(contexts_asked - {"neutral"})
        assert len(cells) == len(contexts_asked) + claiming * cut[1]


@settings(max_examples=40, deadline=None)
@given(counts=COUNTS)
def test_a_part_of_the_grid_is_balanced_over_beliefs_without_context(counts: list[int]) -> None:
    items = a_part(counts)
    prompts = build(BALANCED, items, contexts_per_item=2, beliefs_per_context=1)
    for family in dict.fromkeys(item.family for item in items):
        plain = Counter(p.belief for p in prompts if p.family == family and p.context == "none" and p.belief != "none")
        assert abs(plain["false_claim"] - plain["false_denial"]) <= 1


def test_the_balanced_grid_gives_each_context_both_beliefs() -> None:
    """Over whole families each context is asked with either belief about as often."""
    for family in dict.fromkeys(item.family for item in ITEMS):
        counts = Counter((p.context, p.belief) for p in build(BALANCED) if p.family == family)
        for context in EIGHT:
            claim, denial = counts[context, "false_claim"], counts[context, "false_denial"]
            assert abs(claim - denial) <= 1, f"{family}, {context}: {claim} claims, {denial} denials"


def test_adding_items_to_a_family_leaves_the_cells_of_those_before() -> None:
    few = by_item(build(BALANCED, a_part([10, 10])))
    many = by_item(build(BALANCED, a_part([20, 20])))
    assert all(few[item_id] == many[item_id] for item_id in few)


def test_no_context_at_all_asks_the_plain_question() -> None:
    prompts = build(BALANCED, contexts_per_item=0, beliefs_per_context=0)
    assert [prompt.prompt for prompt in prompts] == [item.question for item in ITEMS]


# ---- the wide grid ----


def test_wide_asks_every_context_with_five_beliefs() -> None:
    wide = config.compose(["+persona=none", "grid=wide"])
    found = by_item(build(wide))
    five = (*BELIEFS, "true_claim", "mention")
    expected = {(context, belief) for context in ("none", *EIGHT) for belief in five} | {("neutral", "none")}
    assert len(expected) == grid.prompts_per_item(wide.context, wide.belief) == 46
    assert grid.prompts_per_item(FULL.context, FULL.belief) == 28
    for item in ITEMS[:40]:
        cells, narrow = found[item.item_id], ALL[item.item_id]
        assert set(cells) == expected
        assert all(cells[key].prompt == narrow[key].prompt for key in narrow), "what the full grid asks stays as it is"
        without = cells["sad", "none"].prompt
        said = {name: cells["sad", name].prompt.removeprefix(f"{without} ") for name in five[1:]}
        assert said["false_claim"].replace(item.incorrect, "@") == said["true_claim"].replace(item.correct, "@")
        assert said["mention"].endswith(f": {item.incorrect}.")
        assert not re.search(r"\b(I|me|my|believe|right|wrong)\b", said["mention"].replace(item.incorrect, ""))


def test_a_balanced_part_of_the_wide_grid_asks_all_beliefs_in_turn() -> None:
    """A context comes to 44 items of a family four or five times, so the first belief may come once more."""
    wide = config.compose(["+persona=none", "grid=wide"])
    counts = Counter(prompt.belief for prompt in build(wide, contexts_per_item=1, beliefs_per_context=1))
    some = [counts[name] for name in (*BELIEFS[1:], "true_claim", "mention")]
    contexts = len(EIGHT) * len({item.family for item in ITEMS})
    assert max(some) - min(some) <= contexts
    assert min(some) > 2 * contexts


# ---- the words ----


def test_the_contexts_are_those_of_the_protocol() -> None:
    assert set(FULL.context) == {*EIGHT, "neutral"}
    for group, names in GROUPS.items():
        assert {name for name, context in FULL.context.items() if context.group == group} == names
    assert list(FULL.belief) == list(BELIEFS[1:])


STATEMENTS = [(name, text) for name, context in FULL.context.items() for text in context.statements]


def test_each_context_has_five_statements_all_distinct() -> None:
    assert all(len(context.statements) == 5 for context in FULL.context.values())
    plain = {text.lower().strip(string.punctuation) for _, text in STATEMENTS}
    assert len(plain) == len(STATEMENTS) == 45


@pytest.mark.parametrize(("name", "text"), STATEMENTS, ids=[text[:40] for _, text in STATEMENTS])
def test_a_statement_is_one_sentence_that_names_no_topic(name: str, text: str) -> None:
    assert re.fullmatch(r"[A-Z].*[.!]", text)
    assert not re.search(r"[.!?][\s\"']", text[:-1]), "one sentence"
    assert "?" not in text, "a statement, not a question"
    assert "  " not in text
    for item in ITEMS:
        for form in (item.correct, item.incorrect, *item.aliases, *item.incorrect_aliases):
            said = re.search(rf"(?<!\w){re.escape(normalise(form))}(?!\w)", normalise(text))
            assert not said, f"{name}: {form!r} is an answer to {item.item_id}"


def test_only_the_neutral_statements_leave_the_user_out() -> None:
    for name, text in STATEMENTS:
        speaks = bool(re.search(r"\b(I|I'm|I've|I'll|my|me|we|we're|you|you're|your|nothing|it's|this)\b", text, re.I))
        if name == "neutral":
            assert not re.search(r"\b(I|I'm|I've|my|me|we|you|your)\b", text, re.I), text
        elif name not in ("high_stakes", "low_stakes"):
            assert speaks, text


def test_beliefs_read_well_for_every_item() -> None:
    for item in ITEMS:
        for name, belief in FULL.belief.items():
            sentence = contexts.belief_sentence(belief, item.correct, item.incorrect)
            assert not re.search(r"[.,;:!?]{2,}|\s[.,;:!?]|\s\s|[{}]", sentence), sentence
            assert sentence.endswith(".")
            named, hidden = (item.incorrect, item.correct) if name == "false_claim" else (item.correct, item.incorrect)
            assert named in sentence
            if named.find(hidden) < 0:
                assert hidden not in sentence.removesuffix(".").split(": ", 1)[1]


def test_a_belief_may_name_the_two_answers_only() -> None:
    for broken in ("It is {wrong}.", "It is {.", "It is {}.", "It is {0}.", "It is {correct.x}."):
        with pytest.raises(UserError, match=r"belief\.false_claim\.sentence"):
            config.compose(["+persona=warm", f"belief.false_claim.sentence='{broken}'"])
    assert contexts.belief_sentence(BeliefConfig("{correct}/{incorrect}"), "{a}", "b%") == "{a}/b%"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["+context.none.group=emotion", "+context.none.statements=[a]"], "'none' is the prompt without a context"),
        (["+context.hungry.group=none", "+context.hungry.statements=[a]"], "'none' is the prompt without a context"),
        (["+context.hungry.group=sad", "+context.hungry.statements=[a]"], "a context is called 'sad' as well"),
        (["+context.hungry.group=neutral", "+context.hungry.statements=[a]"], "a context is called 'neutral' as well"),
        (["+context.hungry.group=hungry", "+context.hungry.statements=[]"], "a list of 1 or more"),
        (["+belief.doubt.sentence=x"], "false_claim, false_denial, true_claim, mention"),
        (["+belief.none.sentence=x"], "false_claim, false_denial, true_claim, mention"),
    ],
)
def test_contexts_and_beliefs_that_make_no_sense_are_refused(given: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        config.compose(["+persona=warm", *given])
    assert said in caught.value.why


# ---- fewer prompts of more items ----


def test_two_prompts_of_an_item_are_the_plain_one_and_each_other_kind_in_turn() -> None:
    chosen = by_item(build(BALANCED, prompts_per_item=2))
    others: Counter[tuple[bool, str]] = Counter()
    in_context: Counter[str] = Counter()
    for item in ITEMS:
        cells = set(chosen[item.item_id])
        assert ("none", "none") in cells
        assert len(cells) == 2 or (len(cells) == 3 and "neutral" in {context for context, _ in cells})
        for context, belief in cells - {("none", "none")}:
            others[context != "none", "none" if belief == "none" else "false"] += 1
            in_context[context] += context != "none"
    assert set(others) == {(True, "none"), (True, "false"), (False, "false")}
    assert set(in_context) >= set(EIGHT), "every context is asked"


def test_null_keeps_every_prompt_of_the_balanced_grid() -> None:
    assert len(build(BALANCED)) > len(build(BALANCED, prompts_per_item=2))
