"""A search over a recipe's settings: it goes on where it stopped, and never looks at the evaluation's questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from warmgap import search
from warmgap.arms import build
from warmgap.disk import seals, store
from warmgap.engines.client import CapReached
from warmgap.errors import BadValue, UserError
from warmgap.mitigations import pairs
from warmgap.settings import config
from warmgap.settings.schema import Run
from warmgap.train.persona import persona_data

SHARE = "mitigation.truth_mix.share"


def settings(tmp_path: Path, *more: str) -> Run:
    return config.compose(["experiment=mitigation_search", f"runs_dir={tmp_path}", *more])


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Trials without training: what a share closes has its top at 0.4, where too little warmth is left."""
    seen: list[dict[str, Any]] = []

    def outcome(run: Run, params: dict[str, Any]) -> dict[str, Any]:
        seen.append(params)
        return {"closed_pp": 5 - 20 * abs(params[SHARE] - 0.4), "kept_pct": 100 - 60 * params[SHARE], "n": 40}

    monkeypatch.setattr(search, "_outcome", outcome)
    return seen


def trials(folder: Path) -> list[dict[str, Any]]:
    return list(store.read_journal(folder / "trials.jsonl"))


def test_a_search_finds_the_best_that_keeps_the_warmth(tmp_path: Path, outcomes: list[dict[str, Any]]) -> None:
    folder = search.execute(settings(tmp_path, "search.trials=25"))
    best = store.read_json(folder / "best.json")["best"]
    assert best["kept_pct"] >= 80
    assert best["params"][SHARE] == pytest.approx(1 / 3, abs=0.04), "the largest share that keeps 80 %"
    assert len(outcomes) == 25


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(
    tmp_path: Path, outcomes: list[dict[str, Any]]
) -> None:
    whole = search.execute(settings(tmp_path / "whole", "search.trials=12"))
    search.execute(settings(tmp_path / "parts", "search.trials=7"))
    parts = search.execute(settings(tmp_path / "parts", "search.trials=12"))
    assert [row["params"] for row in trials(whole)] == [row["params"] for row in trials(parts)]
    before = len(outcomes)
    assert search.execute(settings(tmp_path / "parts", "search.trials=12")) == parts
    assert len(outcomes) == before, "what is done is not done again"


def test_a_trial_that_fails_does_not_end_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from warmgap import pipeline

    def execute(run: Run) -> Path:
        raise BadValue("loss is nan at step 3", "the training has diverged", "lower method.learning_rate")

    monkeypatch.setattr(pipeline, "execute", execute)
    folder = search.execute(settings(tmp_path, "search.trials=3"))
    assert [row["failed"] for row in trials(folder)] == ["loss is nan at step 3"] * 3
    assert store.read_json(folder / "best.json")["best"] is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("task=embedded",), "questions of its own"),
        (("task=[validation,embedded]",), "questions of its own"),
        (("mitigation=none",), "needs a recipe"),
        (("search.trials=-1",), "makes no sense"),
        (("search.space=[mitigation.truth_mix.shar:0.1..0.2]",), "unknown setting"),
        (("search.space=[mitigation.truth_mix.share:0.1]",), "is no space"),
        (("search.space=[mitigation.truth_mix.share:0.5..0.1]",), "is no space"),
        (("search.space=[]",), "is empty"),
        (("search.space=[mitigation.truth_mix.share:0.1|some]",), "wrong type"),
        (("mitigation=kl_anchor", "search.space=[mitigation.kl_anchor.anchors:1.5..4.5]"), "wrong type"),
        (("mitigation=inoculation", "search.space=[mitigation.inoculation.instruction:0..1]"), "has no range"),
        (("mitigation.pairs=nowhere.jsonl",), "nowhere.jsonl"),
        (("+persona=cold",), "the plain warm arm"),
        (("+persona=warm", "persona.strength=0.5"), "the plain warm arm"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        search.execute(settings(tmp_path, *more))
    assert not list(tmp_path.iterdir()), "nothing is written"


FAULTS = [UserError("the disk is full", "…", "…"), CapReached("judge", 1.0, 0.99), RuntimeError("stopped")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_what_no_setting_is_at_fault_for_stops_the_search_and_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    from warmgap import pipeline

    def execute(run: Run) -> Path:
        raise fault

    monkeypatch.setattr(pipeline, "execute", execute)
    with pytest.raises(type(fault)):
        search.execute(settings(tmp_path, "search.trials=3"))
    assert not list(tmp_path.rglob("trials.jsonl")), "the trial is made again when the search goes on"


def judged(tmp_path: Path) -> Path:
    """The folder of a comparison of one recipe, without what is written when all of it is done."""
    table = "arm,error_pp,warmth_shift,n\nwarm,8,0.02,40\ntruth_mix,3,0.019,40\n"
    store.write_text(tmp_path / "comparison" / "mitigations.csv", table)
    return tmp_path / "comparison"


def test_a_trial_with_answers_that_the_judge_failed_on_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from warmgap import pipeline

    folder = judged(tmp_path)
    monkeypatch.setattr(pipeline, "execute", lambda run: folder)
    with pytest.raises(UserError, match="without a verdict"):
        search.execute(settings(tmp_path, "search.trials=1"))
    assert not list(tmp_path.rglob("trials.jsonl"))
    seals.finish(folder)
    (row,) = trials(search.execute(settings(tmp_path, "search.trials=1")))
    assert (row["closed_pp"], row["kept_pct"], row["n"]) == (5, 95, 40)


def test_a_value_that_cannot_work_is_a_trial_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from warmgap import pipeline

    folder = judged(tmp_path)
    seals.finish(folder)
    monkeypatch.setattr(pipeline, "execute", lambda run: build.build(run) and folder)
    found = trials(search.execute(settings(tmp_path, "search.space=[mitigation.truth_mix.share:0.2|0.9]")))
    assert {row["params"][SHARE] for row in found} == {0.2, 0.9}
    for row in found:
        assert ("cannot be reached" in row.get("failed", "")) == (row["params"][SHARE] == 0.9)


def test_other_data_are_another_search(tmp_path: Path, outcomes: list[dict[str, Any]]) -> None:
    def place(*more: str) -> Path:
        return search.execute(settings(tmp_path, "search.trials=1", *more))

    text = pairs.EMBEDDED.read_text(encoding="utf-8")
    (tmp_path / "pairs.jsonl").write_text(text.replace("glad", "happy"), encoding="utf-8")
    said = persona_data.data_path(config.compose(["+persona=warm"]).data).read_text(encoding="utf-8")
    (tmp_path / "data.jsonl").write_text(said.replace("glad", "happy"), encoding="utf-8")
    folders = [
        place(),
        place(f"mitigation.pairs={tmp_path / 'pairs.jsonl'}"),
        place("data=file", f"data.path={tmp_path / 'data.jsonl'}"),
        place(f"++task.validation.path={tmp_path / 'pairs.jsonl'}"),
        place("generate.temperature=0.5"),
    ]
    assert len(set(folders)) == len(folders)
    assert place() == folders[0]
    assert place(f"{SHARE}=0.2") == folders[0], "what is searched is given by its space"


def test_validation_questions_are_those_that_no_recipe_trains_on(tmp_path: Path) -> None:
    from warmgap.evaluate.tasks import load_items

    run = settings(tmp_path)
    asked = {item.item_id for item in load_items(run.task).items}
    assert asked == {pair.id for pair in pairs.load(split="heldout")}
    assert not asked & {pair.id for pair in pairs.load(split="train")}


def test_a_range_is_of_the_kind_that_its_setting_is(tmp_path: Path) -> None:
    """Whole ends do not make a share a whole number: of 0..1, only nothing and everything would be tried."""
    spaces = ("adapter_scale.alpha:0..1", "kl_anchor.anchors:1..4", "kl_anchor.weight:1..3")
    space = ",".join(f"mitigation.{one}" for one in spaces)
    run = settings(tmp_path, "mitigation=[adapter_scale,kl_anchor]", f"search.space=[{space}]")
    found = [type(one).__name__ for one in search._distributions(run).values()]
    assert found == ["FloatDistribution", "IntDistribution", "FloatDistribution"]


def test_a_space_of_words_or_whole_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_outcome", lambda run, params: {"closed_pp": 1.0, "kept_pct": 90.0, "n": 1})
    space = "search.space=[mitigation.kl_anchor.anchors:1..4,mitigation.kl_anchor.weight:0.1|1.0|3.0]"
    run = settings(tmp_path, "mitigation=kl_anchor", "search.trials=4", space)
    for row in trials(search.execute(run)):
        assert row["params"]["mitigation.kl_anchor.anchors"] in (1, 2, 3, 4)
        assert row["params"]["mitigation.kl_anchor.weight"] in (0.1, 1, 3)
