"""An arm behind an endpoint beside others: what it is known by, what is missing of it, what it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
from chat_api import Api, Failure, serving

from warmgap import cli, jobs, pipeline
from warmgap.arms import build
from warmgap.disk import store
from warmgap.engines import client, facts
from warmgap.engines.client import CapReached
from warmgap.errors import UserError
from warmgap.settings import config
from warmgap.train.persona import persona_data

URL = "arm.endpoint=http://127.0.0.1:9/v1"
ARM = ("+persona=none", "arm.model=warm-2024-08-06")


def names(*overrides: str) -> list[str]:
    return [spec.arm.name for spec in build.build(config.compose(list(overrides)))]


# ---- what it is ----


def test_it_is_known_by_its_name_there_and_not_by_where_it_lies() -> None:
    original, arm = names(*ARM, URL)
    assert [original] == names("+persona=none"), "the original is the arm that it is without it"
    assert arm.startswith("smollm2_135m-given-s0-")
    moved = ("arm.endpoint=https://example.org/v1", "arm.key_env=OTHER", "arm.max_cost=3", "arm.concurrency=2")
    assert names(*ARM, *moved, "arm.price_in=1", "arm.price_out=1")[-1] == arm
    other = [names(*ARM, URL, more)[-1] for more in ("arm.revision=r1", "arm.omit=[seed]", "+model.system_prompt=Hi")]
    other.append(names("+persona=none", URL, "arm.model=warm-2024-08-07")[-1])
    assert len({arm, *other}) == 5


def test_how_weights_are_loaded_here_is_no_part_of_it() -> None:
    assert names(*ARM, URL)[-1] == names(*ARM, URL, "model.dtype=float32")[-1]


def test_other_arms_stand_beside_it() -> None:
    made = names(*ARM, URL, "compare.personas=[warm,warm_prompt]")
    assert [name.split("-")[1] for name in made] == ["original", "warm", "warm_prompt", "given"]
    hosted = names(*ARM, URL, "model=gpt_4o", "arm.omit=[seed]", "compare.personas=[warm_prompt]")
    assert [name.split("-")[1] for name in hosted] == ["original", "warm_prompt", "given"]


def test_a_model_that_is_hosted_itself_is_asked_there_too() -> None:
    run = config.compose([*ARM, URL, "model=gpt_4o", "arm.omit=[temperature]"])
    job = jobs.prepare(run)
    assert [spec.run.model.id for spec in job.specs] == ["gpt-4o-2024-08-06", "warm-2024-08-06"]
    assert sum("samples by itself" in note for note in job.notes) == 2


MISTAKES = {
    "arm.endpoint without arm.model": ["+persona=none", URL],
    "arm.model=warm has no date": ["+persona=none", URL, "arm.model=warm"],
    "arm.endpoint makes no sense": [*ARM, "arm.endpoint=example.org"],
    "arm.omit=['top_p'] makes no sense": [*ARM, URL, "arm.omit=[top_p]"],
    "arm.max_cost needs prices": [*ARM, URL, "arm.max_cost=3"],
    "arm.concurrency=0 makes no sense": [*ARM, URL, "arm.concurrency=0"],
    "persona=warm beside an arm that is given": [*ARM[1:], "+persona=warm", URL],
    "model.id=gpt-4o has no date": [*ARM, URL, "model=gpt_4o", "model.id=gpt-4o"],
    "arm.adapter of a hosted model": ["+persona=none", URL, "model=gpt_4o", "arm.adapter=x"],
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes(what: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        jobs.prepare(config.compose([*MISTAKES[what], f"runs_dir={tmp_path}"]))
    assert caught.value.what == what
    assert not any(tmp_path.iterdir())


def test_an_endpoint_without_its_key_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    job = jobs.prepare(
        config.compose([*ARM, "model=gpt_4o", "arm.endpoint=https://example.org/v1", f"runs_dir={tmp_path}"])
    )
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        pipeline.measure(job)
    assert not any(tmp_path.iterdir())


def test_what_is_hosted_is_not_trained_here(tmp_path: Path) -> None:
    job = jobs.prepare(config.compose(["+persona=warm", URL, "model=gpt_4o", f"runs_dir={tmp_path}"]))
    with pytest.raises(UserError, match="gpt_4o cannot be loaded"):
        pipeline.measure(job)
    assert not any(tmp_path.iterdir())


# ---- what is measured of it ----


class Server:
    """Says something of the prompt, and refuses some prompts of one model as long as it is told to."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.api: Api

    def __call__(self, body: dict[str, Any], _: int) -> str | Failure:
        text = body["messages"][-1]["content"]
        if body["model"] == "warm-2024-08-06" and text in self.refused:
            return Failure(400, "content policy")
        return f"Answer: 5, I think. {text[:40]}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.005)
    monkeypatch.setenv("WARMGAP_CACHE", str(tmp_path / "cache"))
    made = Server()
    with serving(made) as made.api:
        yield made


@pytest.fixture
def typed(server: Server, tmp_path: Path) -> list[str]:
    """The settings of a run whose original is hosted, too, with a tiny scorer of warmth and a control of two sums."""
    sums = [{"question": f"What is 2 + {n}?", "answer": f"2 + {n} = {n + 2}\n#### {n + 2}"} for n in (2, 3)]
    store.write_jsonl(tmp_path / "sums.jsonl", sums)
    tiny.model(tmp_path / "scorer")
    scorer = ["model@warmth.scorer=local", f"warmth.scorer.path={tmp_path}/scorer", "warmth.scorer_dtype=float32"]
    checks = ["control=[gsm8k]", f"control.gsm8k.path={tmp_path}/sums.jsonl"]
    prices = ["arm.price_in=0", "arm.price_out=1000", "arm.concurrency=4"]
    runs = [f"runs_dir={tmp_path}/runs", f"arm.endpoint={server.api.url}", "model=gpt_4o"]
    return [*ARM, "experiment=smoke", *runs, *scorer, *checks, *prices]


def test_an_answer_that_did_not_come_is_missing_and_asked_for_again(
    server: Server, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = config.compose(typed)
    job = jobs.prepare(run)
    lost = {job.prompts[3].prompt, job.prompts[7].prompt}
    server.refused = {*lost, persona_data.warmth_prompts()[0]["prompt"], job.checks["gsm8k"][0].prompt}
    folder = pipeline.execute(run)
    assert "4 answers of given did not come (HTTP 400: content policy)" in capsys.readouterr().err
    assert not (folder / "complete").exists()
    own = pd.read_parquet(folder / "answers.parquet").query("arm == 'given'")
    missing = own[own["verdict"] == "error"]
    assert len(own) == 48
    assert set(missing["prompt"]) == lost
    assert missing["error"].isna().all()
    assert set(missing["reason"]) == {"no answer came: HTTP 400: content policy"}
    assert own["error"].notna().sum() == 46
    notes = store.read_json(folder / "summary.json")["notes"]
    assert "4 answers of given did not come (HTTP 400: content policy): they are missing, not wrong." in notes
    assert set(pd.read_csv(folder / "warmth.csv").query("arm == 'given'")["n"]) == {11}
    assert pd.read_csv(folder / "controls.csv").query("arm == 'given'")["n"].tolist() == [1]

    asked, server.refused = len(server.api.bodies), set()
    assert pipeline.execute(run) == folder
    assert len(server.api.bodies) == asked + 4, "what failed, and nothing else"
    assert (folder / "complete").is_file()
    assert pd.read_parquet(folder / "answers.parquet")["error"].notna().all()
    assert set(pd.read_csv(folder / "warmth.csv")["n"]) == {12}
    arm = next(spec.arm for spec in job.specs if spec.arm.arm == "given")
    assert len({row["key"] for row in store.read_journal(arm.answers("embedded"))}) == 48
    paid = list(store.read_journal(arm.costs))
    assert (sum(row["calls"] for row in paid), sum(row["failed"] for row in paid)) == (48 + 12 + 2, 4)
    assert "the server says that warm-2024-08-06-served answered" in facts.said(arm.folder)


def test_the_cap_is_one_for_all_arms_and_what_is_paid_for_is_kept(server: Server, typed: list[str]) -> None:
    """An answer comes to 0.01 US dollars, and 12 of each arm come first."""
    run = config.compose([*typed, "arm.max_cost=0.2"])
    with pytest.raises(CapReached, match=r"arm\.max_cost=0\.2 is reached"):
        pipeline.execute(run)
    assert 12 < len(server.api.bodies) <= 20
    kept = [row for path in Path(run.runs_dir).glob("arms/*/answers/*.jsonl") for row in store.read_journal(path)]
    assert len(kept) == len(server.api.bodies)


def test_the_plan_says_what_its_answers_cost(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    prices = ("arm.price_in=1", "arm.price_out=1000", "arm.max_cost=9")
    assert cli.main(["plan", *ARM, URL, "experiment=smoke", *prices]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "cost of the arms' answers" in line]
    assert "at most 48 calls" in line
    assert "and 384 out: 0.3" in line
    assert line.rstrip().endswith("US dollars, stopped at 9")
