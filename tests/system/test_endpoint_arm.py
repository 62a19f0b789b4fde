"""An arm behind a real server, in the same run as an original that is here: measured as any other, paid for once."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import local_llm
import pytest
from real_runs import SMOKE, Done, Runs, finish, journal, start, train, training, wait_for, warmgap

from warmgap.engines.calls.costs import paid
from warmgap.settings.schema import ModelConfig

ARM = (
    "+persona=none",
    *SMOKE[1:],
    "arm.name=served",
    "arm.model=smollm2-135m-instruct",
    "arm.revision=q4_1",
    "arm.concurrency=2",
    "arm.price_in=1",
    "arm.price_out=2",
    "runs_dir=runs",
)
NOBODY = "arm.endpoint=http://127.0.0.1:9/v1"  # the port of `discard`


@dataclass(frozen=True)
class Served:
    """The runs, what was on disk when the first was killed, what the second said, and one after the server had gone."""

    runs: Runs
    kept: list[str]
    done: Done
    again: Done

    @property
    def arm(self) -> Path:
        """The arm's folder."""
        return self.runs.arm("served")

    def answers(self, name: str) -> list[dict[str, object]]:
        """The rows of one of the arm's journals."""
        return journal(self.arm / "answers" / f"{name}.jsonl")


@pytest.fixture(scope="module")
def served(smoke: Runs, model: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Killed in the middle of the grid, run to its end, and once more without a server.

    The original is the smoke run's: its answers are there already.
    """
    place = tmp_path_factory.mktemp("served")
    original = smoke.arm("original")
    shutil.copytree(original, place / "runs" / "arms" / original.name)
    runs = Runs(place / "runs")

    def grid() -> list[str]:
        found = list(runs.folder.glob("arms/*-served-*/answers/embedded.jsonl"))
        return [str(row["key"]) for path in found for row in journal(path)]

    with local_llm.serving(local_llm.weights(model)) as url:
        process = start(training(*ARM, f"arm.endpoint={url}"), place)
        wait_for(process, lambda: len(grid()) >= 4, "the first answers")
        process.send_signal(signal.SIGKILL)
        finish(process, 60)
        kept = grid()
        done = train(*ARM, f"arm.endpoint={url}", cwd=place)
    return Served(runs, kept, done, train(*ARM, NOBODY, cwd=place))


def test_it_is_an_arm_like_any_other(served: Served) -> None:
    assert served.done.status == 0, served.done.err
    answers = served.runs.answers
    assert answers.groupby("arm").size().to_dict() == {"original": 48, "served": 48}
    own = answers[answers["arm"] == "served"]
    assert own["error"].notna().all()
    assert (own["n_tokens"] > 0).all()
    assert set(own["finish_reason"]) <= {"stop", "length"}
    effects = served.runs.table("effects")
    assert {"main"} <= set(effects[effects["arm"] == "served"]["analysis"])
    warmth = served.runs.table("warmth")
    assert warmth[warmth["arm"] == "served"]["shift"].notna().all()


def test_killed_and_run_again_it_asks_nothing_twice(served: Served) -> None:
    assert 4 <= len(served.kept) < 48
    keys = [row["key"] for row in served.answers("embedded")]
    assert len(set(keys)) == len(keys) == 48
    assert keys[: len(served.kept)] == served.kept
    rows = [*served.answers("embedded"), *served.answers("warmth-step0")]
    assert all(row["served_by"] for row in rows)
    costs = paid(served.arm / "costs.jsonl")
    assert {row["stage"] for row in costs} == {"answers"}
    warm = len(served.answers("warmth-step0"))
    assert sum(row["calls"] for row in costs) == warm + 48 - len(served.kept), "none for the grid of the killed one"
    assert all(row["spent"] > 0 for row in costs)


def test_what_is_done_needs_no_server(served: Served) -> None:
    assert served.again.status == 0, served.again.err
    assert "already done" in served.again.err
    shutil.rmtree(served.runs.comparison)
    compared = train(*ARM, NOBODY, cwd=served.runs.folder.parent)
    assert compared.status == 0, compared.err
    assert len(served.answers("embedded")) == 48


def test_report_and_card_say_what_is_known_of_it(served: Served) -> None:
    report = (served.runs.comparison / "report.html").read_text(encoding="utf-8")
    assert "samples by itself" in report
    assert "Answers by smollm2-135m-instruct" in report
    card = warmgap("card", str(served.arm), cwd=served.runs.folder.parent)
    assert card.status == 0, card.err
    assert "as smollm2-135m-instruct at revision q4_1; its weights and template are not known" in card.out
    assert "the server says that" in card.out
    assert "system role" not in card.out


def test_a_gate_is_put_to_it(served: Served) -> None:
    folder = served.runs.folder.parent
    gate = warmgap("compare", str(served.runs.arm("original")), str(served.arm), "--gate", "100", cwd=folder)
    assert gate.status == 0, gate.err
