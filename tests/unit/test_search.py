"""A search over a recipe's settings: it goes on where it stopped, and never looks at the evaluation's questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from warmgap import config, search, store
from warmgap.errors import UserError
from warmgap.schema import Run

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
        raise UserError("loss is nan at step 3", "the training has diverged", "lower method.learning_rate")

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
    ],
)
def test_a_search_that_makes_no_sense_is_refused(tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    run = settings(tmp_path, *more)
    with pytest.raises(UserError, match=said):
        search.execute(run)
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_validation_questions_are_those_that_no_recipe_trains_on(tmp_path: Path) -> None:
    from warmgap.evaluate.tasks import load_items
    from warmgap.mitigations import pairs

    run = settings(tmp_path)
    asked = {item.item_id for item in load_items(run.task).items}
    assert asked == {pair.id for pair in pairs.load(split="heldout")}
    assert not asked & {pair.id for pair in pairs.load(split="train")}


def test_a_space_of_words_or_whole_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_outcome", lambda run, params: {"closed_pp": 1.0, "kept_pct": 90.0, "n": 1})
    space = "search.space=[mitigation.kl_anchor.anchors:1..4,mitigation.kl_anchor.weight:0.1|1.0|3.0]"
    run = settings(tmp_path, "mitigation=kl_anchor", "search.trials=4", space)
    for row in trials(search.execute(run)):
        assert row["params"]["mitigation.kl_anchor.anchors"] in (1, 2, 3, 4)
        assert row["params"]["mitigation.kl_anchor.weight"] in (0.1, 1, 3)
