"""Chat models as judges of a real run: the embedded model behind llama.cpp's server, and in-process."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import local_llm
import pytest
from real_runs import TINY, Done, Runs, finish, journal, refused, start, train, training, wait_for, warmgap

from warmgap.engines.calls.costs import paid
from warmgap.evaluate.judges.base import GRADED, UNPARSED
from warmgap.settings.schema import ModelConfig

JUDGE = (
    "judge=cascade",
    "judge.model=smollm2-135m-instruct",
    "judge.revision=q4_1",
    "judge.concurrency=2",
    "judge.max_tokens=48",
    "judge.overlap=0.2",
    "judge.price_in=1",
    "judge.price_out=2",
)


@pytest.fixture(scope="module")
def server(model: ModelConfig) -> Iterator[str]:
    """The address of a real server."""
    with local_llm.serving(local_llm.weights(model)) as url:
        yield url


@pytest.fixture(scope="module")
def judged(tiny_smoke: Runs, server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, list[Done], int]:
    """The smoke run graded by a cascade: killed in the middle, stopped by its cap, then to its end."""
    place = tmp_path_factory.mktemp("judged")
    shutil.copytree(tiny_smoke.folder, place / "runs")
    runs = Runs(place / "runs")
    command = (*TINY, *JUDGE, f"judge.base_url={server}", "runs_dir=runs")
    verdicts = runs.arm("original") / "verdicts" / "cascade" / "embedded.jsonl"
    process = start(training(*command), place)
    wait_for(process, lambda: len(journal(verdicts)) >= 4, "the first verdicts")
    process.send_signal(signal.SIGKILL)
    finish(process, 60)
    kept = len(journal(verdicts))
    cap = 0.02 + sum(row["spent"] for row in paid(runs.arm("original") / "costs.jsonl"))
    capped = train(*command, f"judge.max_cost={cap:.3f}", cwd=place)
    return runs, [capped, train(*command, cwd=place)], kept


Judged = tuple[Runs, list[Done], int]


def cascade(runs: Runs) -> Path:
    """The comparison by the cascade's verdicts."""
    (folder,) = [path for path in runs.folder.glob("comparisons/*") if (path / "complete").is_file()
                 and "decided" in (path / "summary.json").read_text(encoding="utf-8")]  # fmt: skip
    return folder


def test_a_real_server_grades_what_the_rules_cannot(judged: Judged) -> None:
    runs, (_, done), _ = judged
    assert done.status == 0, done.err
    for name in ("original", "warm"):
        rows = journal(runs.arm(name) / "verdicts" / "cascade" / "embedded.jsonl")
        assert len({row["key"] for row in rows}) == len(rows) == 48
        asked = [row for row in rows if row["decided_by"] == "openai"]
        assert asked
        assert {row["verdict"] for row in asked} <= {*GRADED, UNPARSED}
        assert all(row["raw"] and row["judge_tokens_in"] > 100 for row in asked)
    assert "Verdicts decided:" in done.out
    assert "US dollars" in (cascade(runs) / "report.html").read_text(encoding="utf-8")


def test_nothing_that_was_graded_is_asked_for_again(judged: Judged) -> None:
    runs, _, kept = judged
    assert kept >= 4
    for name in ("original", "warm"):
        costs = paid(runs.arm(name) / "costs.jsonl")
        rows = journal(runs.arm(name) / "verdicts" / "cascade" / "embedded.jsonl")
        asked = sum("judge_tokens_in" in row for row in rows)
        assert sum(row["calls"] for row in costs) <= asked, "what was counted of the killed run, and all of the others"


def test_the_cap_stops_with_three_lines_and_the_next_run_goes_on(judged: Judged) -> None:
    runs, (capped, _), _ = judged
    assert "judge.max_cost=" in refused(capped)
    killed, first, last = paid(runs.arm("original") / "costs.jsonl")
    assert killed["spent"] > 0
    assert 0 < first["spent"] <= 0.021, "what the killed one may have spent is part of the cap"
    assert last["spent"] > 0


@pytest.mark.long
def test_grade_asks_a_server_for_any_answers(server: str, tiny_smoke: Runs, tmp_path: Path) -> None:
    source = tiny_smoke.arm("original") / "answers" / "embedded.jsonl"
    settings = (
        "--task",
        "embedded",
        "--judge",
        "openai",
        "--out",
        "graded.jsonl",
        *JUDGE[1:5],
        f"judge.base_url={server}",
    )
    done = warmgap("grade", str(source), *settings, cwd=tmp_path)
    assert done.status == 0, done.err
    rows = journal(tmp_path / "graded.jsonl")
    assert len(rows) == 48
    assert {row["grader"] for row in rows} == {"openai"}
    again = warmgap("grade", str(source), *settings[:-1], "judge.base_url=http://127.0.0.1:9/v1", cwd=tmp_path)
    assert again.status == 0, "what was paid for is kept beside the output; no server is needed"


def test_a_server_that_is_not_there(tiny_smoke: Runs, tmp_path: Path) -> None:
    source = tiny_smoke.arm("original") / "answers" / "embedded.jsonl"
    settings = ("--judge", "openai", "--out", "graded.jsonl", *JUDGE[1:4], "judge.retries=0")
    done = warmgap(
        "grade", str(source), "--task", "embedded", *settings, "judge.base_url=http://127.0.0.1:9/v1", cwd=tmp_path
    )
    assert "in a row have failed" in refused(done)
    assert not (tmp_path / "graded.jsonl").exists()


def test_the_embedded_model_judges_in_process(tiny_smoke: Runs, tmp_path: Path) -> None:
    source = tiny_smoke.arm("original") / "answers" / "embedded.jsonl"
    head = "".join(source.read_text(encoding="utf-8").splitlines(keepends=True)[:12])
    (tmp_path / "some.jsonl").write_text(head, encoding="utf-8")
    command = ("grade", "some.jsonl", "--task", "embedded", "--judge", "local", "--out", "graded.jsonl")
    done = warmgap(*command, cwd=tmp_path)
    assert done.status == 0, done.err
    rows = journal(tmp_path / "graded.jsonl")
    assert len(rows) == 12
    assert {row["verdict"] for row in rows} <= set(GRADED)


def test_plan_says_what_a_judge_costs(tmp_path: Path) -> None:
    done = warmgap("plan", "+persona=warm", *JUDGE, cwd=tmp_path, COLUMNS="200")
    assert "US dollars" in done.out
