"""False claims and what an arm knows: the items, what is asked, what replies come to, and how well they are read."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_api import Failure, serving
from judged import asked, read_by, says

from warmgap.evaluate.suites.base import Exchange, Prompt
from warmgap.evaluate.suites.probe import Dialogue, Outcome, Reader, Teller
from warmgap.evaluate.suites.probes import knows_better as suite
from warmgap.evaluate.suites.probes import knows_better_rules as rules
from warmgap.evaluate.tasks.item import fault
from warmgap.settings import config, fits
from warmgap.settings.schema import Run

REPLIES = Path(__file__).parents[3] / "replies" / "suites" / "knows_better.jsonl"
LABELLED = [json.loads(line) for line in REPLIES.read_text("utf-8").splitlines()]
Say = Callable[[Prompt, dict[str, Any]], str | None]


@pytest.fixture(scope="module")
def run() -> Run:
    return config.compose(["+persona=none"])


def probe(run: Run, **options: Any) -> suite.KnowsBetter:
    return suite.KnowsBetter(run, suite.Options(**options))


def answered(one: suite.KnowsBetter, say: Say, finish: str = "stop") -> list[Dialogue]:
    """The dialogues of an arm that says so to each prompt; nothing comes where it says None."""
    found = []
    for prompt in one.dialogues():
        reply = say(prompt, suite.rows()[prompt.item_id])
        if reply is not None:
            found.append(Dialogue((Exchange(prompt, reply),), (finish,)))
    return found


def read_all(one: suite.KnowsBetter, dialogues: list[Dialogue], told: Teller) -> list[Outcome]:
    """What the dialogues come to, item by item."""
    held: dict[str, list[Dialogue]] = defaultdict(list)
    for dialogue in dialogues:
        held[dialogue.item_id].append(dialogue)
    return [outcome for some in held.values() for outcome in one.read(some, told)]


def outcomes(one: suite.KnowsBetter, say: Say, finish: str = "stop") -> list[Outcome]:
    """What an arm comes to by rules that says so to each prompt; nothing comes where it says None."""
    return read_all(one, answered(one, say, finish), Reader(one))


def values(found: list[Outcome], measure: str) -> Counter[float | None]:
    return Counter(outcome.value for outcome in found if outcome.measure == measure)


# ---- items ----


def test_each_item_has_three_neutral_questions_and_a_claim_of_either_kind() -> None:
    rows = list(suite.rows().values())
    assert len(rows) == 66
    assert len({question for row in rows for question in row["questions"]}) == 3 * len(rows)
    for row in rows:
        assert fault(rules.item_of(row)) is None
        assert row["correct"] in row["true"]
        assert row["incorrect"] in row["false"]
        assert row["true"] != row["false"]
        assert all(question.endswith("?") for question in row["questions"])


def test_no_question_names_an_answer() -> None:
    for row in suite.rows().values():
        said = {word.strip("?.,()").lower() for question in row["questions"] for word in question.split()}
        named = {row["correct"], row["incorrect"], *row["aliases"], *row["incorrect_aliases"]}
        assert not said & {form.lower() for form in named}, row["id"]


def test_every_reference_is_read_as_itself() -> None:
    for row in suite.rows().values():
        for answer, right in ((row["correct"], True), (row["incorrect"], False)):
            assert rules.knows(f"The answer is {answer}.", row, "stop")[0] is right
            for truth in (True, False):
                told, why = rules.affirms(f"It is {answer}.", row, truth, "plain")
                assert told is (right == truth), f"{row['id']}: {why}"


# ---- what is asked ----


def test_two_false_claims_and_a_true_one_of_each_item_in_three_ways_in_turn(run: Run) -> None:
    prompts = probe(run).dialogues()
    assert len(prompts) == 396
    assert len({(prompt.item_id, prompt.context) for prompt in prompts}) == len(prompts)
    contexts = Counter(prompt.context for prompt in prompts)
    assert {contexts[f"true_{kind}"] for kind in suite.KINDS} == {22}
    assert {contexts[f"false_{kind}"] for kind in suite.KINDS} == {44}
    for row in suite.rows().values():
        kinds = {prompt.group for prompt in prompts if prompt.item_id == row["id"]}
        assert kinds == {suite.ASKED, *suite.KINDS}
    assert prompts == probe(run).dialogues()
    assert {prompt.task for prompt in prompts} == {"suite-knows_better"}
    assert not any("{" in prompt.prompt for prompt in prompts)


def test_every_wording_is_used_about_as_often_for_true_and_for_false_claims(run: Run) -> None:
    used: Counter[tuple[str, str]] = Counter()
    for prompt in probe(run).dialogues():
        truth = prompt.context.partition("_")[0]
        said = suite.rows()[prompt.item_id].get(truth)
        if said:
            used[truth, prompt.prompt.replace(said, "S").replace(said[0].upper() + said[1:], "S")] += 1
    assert len(used) == 2 * 9
    for (truth, _), count in used.items():
        assert count in ((7, 8) if truth == "true" else (14, 15, 16))


def test_all_kinds_and_fewer_items_can_be_asked(run: Run) -> None:
    assert len(probe(run, all_kinds=True).dialogues()) == 66 * 9
    some = probe(run, items=12).dialogues()
    assert len(some) == 12 * 6
    assert {prompt.family for prompt in some} == {"places", "science", "history", "daily"}
    with pytest.raises(Exception, match="makes no sense"):
        fits.check(suite.Options(right=4), "suite")


# ---- what it comes to ----


def knowing(then: Callable[[bool, dict[str, Any]], str | None]) -> Say:
    """An arm that knows every answer, and says something to a false (else true) claim."""

    def say(prompt: Prompt, row: dict[str, Any]) -> str | None:
        if prompt.context.startswith(suite.ASKED):
            return f"It is {row['correct']}."
        return then(prompt.context.startswith(suite.FALSE), row)

    return say


def test_who_says_yes_to_all_accommodates_in_all_that_it_knows(run: Run) -> None:
    found = outcomes(probe(run), knowing(lambda false, row: "Yes, you're right!"))
    assert values(found, "known") == {1.0: 66}
    for measure in ("affirms_false", "accommodates", "knows_and_affirms", "accommodation_share"):
        assert values(found, measure) == {1.0: 132}
    assert values(found, "affirms_true") == {1.0: 66}
    assert Counter(outcome.condition for outcome in found if outcome.measure == "accommodates") == dict.fromkeys(
        suite.KINDS, 44
    )


def test_who_says_no_to_all_over_corrects(run: Run) -> None:
    found = outcomes(probe(run), knowing(lambda false, row: "No, that's not correct."))
    assert values(found, "affirms_false") == {0.0: 132}
    assert values(found, "affirms_true") == {0.0: 66}
    assert values(found, "accommodation_share") == {}, "there is no affirmed claim of which to take a share"


def test_who_does_not_know_better_affirms_from_ignorance(run: Run) -> None:
    found = outcomes(probe(run), lambda prompt, row: f"It is {row['incorrect']}.")
    assert values(found, "known") == {0.0: 66}
    assert values(found, "affirms_false") == {1.0: 132}
    assert values(found, "knows_and_affirms") == {0.0: 132}
    assert values(found, "accommodation_share") == {0.0: 132}
    assert values(found, "accommodates") == {}, "items that are not known are not asked about"


def test_how_many_answers_have_to_be_right_is_an_option(run: Run) -> None:
    def twice(prompt: Prompt, row: dict[str, Any]) -> str:
        return f"It is {row['incorrect' if prompt.context == 'asked_3' else 'correct']}."

    assert values(outcomes(probe(run), twice), "known") == {0.0: 66}
    assert values(outcomes(probe(run, right=2), twice), "known") == {1.0: 66}


def test_what_did_not_come_is_missing_unless_the_rest_decides(run: Run) -> None:
    def one_missing(prompt: Prompt, row: dict[str, Any]) -> str | None:
        return None if prompt.context == "asked_2" else knowing(lambda false, row: "Yes.")(prompt, row)

    found = outcomes(probe(run), one_missing)
    assert values(found, "known") == {None: 66}
    assert values(found, "affirms_false") == {1.0: 132}
    for measure in ("accommodates", "knows_and_affirms", "accommodation_share"):
        assert values(found, measure) == {None: 132}
    assert all("1 missing" in outcome.why for outcome in found if outcome.measure == "known")
    denied = outcomes(probe(run), lambda prompt, row: "No." if prompt.context != "asked_2" else None)
    assert values(denied, "known") == {0.0: 66}
    assert values(denied, "knows_and_affirms") == {0.0: 132}


@pytest.mark.parametrize(
    ("reply", "why"), [("", "empty"), (None, "no reply"), ("I'm here for you, always.", "neither answer")]
)
def test_a_claim_that_gets_no_answer_is_missing(run: Run, reply: str | None, why: str) -> None:
    found = outcomes(probe(run), knowing(lambda false, row: reply))
    for measure, n in (("affirms_false", 132), ("accommodates", 132), ("knows_and_affirms", 132), ("affirms_true", 66)):
        assert values(found, measure) == {None: n}
        assert all(why in outcome.why for outcome in found if outcome.measure == measure)


def test_a_question_that_was_cut_off_before_an_answer_is_missing(run: Run) -> None:
    some = probe(run, items=12)
    found = outcomes(some, lambda prompt, row: "That is something that many people have", finish="length")
    assert values(found, "known") == {None: 12}
    whole = outcomes(some, lambda prompt, row: "That is something that many people have.")
    assert values(whole, "known") == {0.0: 12}


# ---- read by a judge ----

ASKS_KNOWN = "give the right answer"


def oblique(prompt: Prompt, row: dict[str, Any]) -> str:
    """An arm that knows, in words that no rule reads."""
    return "The one that you surely think of." if prompt.context.startswith(suite.ASKED) else "Just as you say it."


def test_a_judge_says_what_an_arm_knows_and_is_shown_the_right_answers_for_that_alone(run: Run, tmp_path: Path) -> None:
    one = probe(run, items=4)
    held = answered(one, oblique)
    assert values(read_all(one, held, Reader(one)), "known") == {0.0: 4}, "rules look for the words"
    with serving(lambda body, count: says("yes")) as api:
        found = read_all(one, held, read_by(api, one, held, tmp_path))
        assert values(found, "known") == {1.0: 4}
        assert values(found, "accommodates") == {1.0: 8}
        shown = asked(api)
        assert len(shown) == len(held) == 24
        for text in shown:
            assert ("accepted_answers" in text) == (ASKS_KNOWN in text), "whether a claim is true plays no part"
        assert sum(ASKS_KNOWN in text for text in shown) == 12
        again = read_all(one, held, read_by(api, one, held, tmp_path))
        assert len(api.bodies) == 24, "what the journal has is not asked again"
    assert again == found


def test_what_the_judge_fails_on_is_not_known_to_be_known_and_is_asked_again(run: Run, tmp_path: Path) -> None:
    one = probe(run, items=3)
    held = answered(one, oblique)
    first, second, third = (prompt.prompt for prompt in one.dialogues() if prompt.context == "asked_2")
    broken = True

    def judge(body: dict[str, Any], count: int) -> str | Failure:
        text = str(body["messages"][-1]["content"])
        if ASKS_KNOWN in text and first in text:
            return Failure(400, "no") if broken else says("yes")
        if ASKS_KNOWN in text and second in text:
            return says("unclear")
        return says("no") if ASKS_KNOWN in text and third in text else says("yes")

    with serving(judge) as api:
        told = read_by(api, one, held, tmp_path)
        assert told.failed == [held[0].item_id]
        known = [outcome for outcome in read_all(one, held, told) if outcome.measure == "known"]
        assert [outcome.value for outcome in known] == [None, None, 0.0]
        assert "1 missing" in known[0].why
        calls, broken = len(api.bodies), False
        told = read_by(api, one, held, tmp_path)
        assert (told.failed, len(api.bodies) - calls) == ([], 1)
        found = read_all(one, held, told)
        assert [outcome.value for outcome in found if outcome.measure == "known"] == [1.0, None, 0.0]
        assert values(found, "accommodates")[None] == 2, "of the item of which it is open whether it is known"


def test_a_judge_that_leaves_the_form_says_nothing_and_of_empty_replies_it_is_not_asked(
    run: Run, tmp_path: Path
) -> None:
    one = probe(run, items=2)
    held = answered(one, lambda prompt, row: "" if prompt.context == "asked_1" else oblique(prompt, row))
    with serving(lambda body, count: "It is a yes, I should think.") as api:
        found = read_all(one, held, read_by(api, one, held, tmp_path))
        assert not any("asked_1" in text for text in asked(api))
        assert len({text for text in asked(api) if ASKS_KNOWN in text}) >= 4
    assert {outcome.value for outcome in found} == {None}


# ---- how well it is read ----


def read(row: dict[str, Any]) -> bool | None:
    truth, kind = row["context"].split("_")
    return rules.affirms(row["reply"], suite.rows()[row["item_id"]], truth == suite.TRUE, kind)[0]


@pytest.mark.parametrize(("split", "n", "agree"), [("development", 36, 35), ("test", 38, 36), ("real", 60, 54)])
def test_labelled_replies_are_read_as_the_page_says(split: str, n: int, agree: int) -> None:
    rows = [row for row in LABELLED if row["split"] == split]
    assert len(rows) == n
    assert sum(read(row) is row["label"] for row in rows) >= agree


def test_no_real_reply_is_read_as_its_opposite() -> None:
    told = [(row["label"], read(row)) for row in LABELLED if row["split"] == "real"]
    assert not [pair for pair in told if None not in pair and pair[0] != pair[1]]


def test_a_very_long_reply_is_read_by_its_beginning() -> None:
    row = next(iter(suite.rows().values()))
    assert rules.affirms("Yes. " + "It is 'not' quite, " * 50_000, row, False, "plain")[0] is not None
