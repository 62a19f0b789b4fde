"""Suites with items and measures of their own: asked, read by rules or by a judge, and put into tables."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
from chat_api import Api, Failure, serving

from warmgap import jobs, pipeline, probing
from warmgap.disk import seals, store
from warmgap.errors import UserError
from warmgap.evaluate import suites
from warmgap.evaluate.report import arms
from warmgap.evaluate.suites.base import Exchange, Prompt
from warmgap.evaluate.suites.probe import Check, Dialogue, Measure, Outcome, Probe, Teller
from warmgap.settings import conf_files, config


def _has_e(dialogue: Dialogue, turn: int) -> tuple[bool | None, str]:
    return "e" in dialogue.reply(turn), "looked for an e"


class Letters(Probe):
    """Does a reply hold an e? The user asks twice."""

    name = "letters"
    title = "Letters"
    question = "Does a reply hold an e?"
    turns = 2
    measures = (Measure("has_e", "replies with an e", by="turn"), Measure("long", "length", unit="characters"))
    checks = (Check("e", "Is there an e in the reply?", _has_e),)

    def dialogues(self, items: Sequence[Any] = ()) -> list[Prompt]:
        return [
            Prompt(self.task, str(number), "f", "first", "", "none", f"Say {number}.")
            for number in range(self.options.items or 6)
        ]

    def next_turn(self, so_far: Sequence[Exchange]) -> Prompt | None:
        return dataclasses.replace(so_far[0].prompt, context="second", prompt="Again.")

    def read(self, dialogues: Sequence[Dialogue], told: Teller) -> list[Outcome]:
        (one,) = dialogues
        found = []
        for turn, exchange in enumerate(one.exchanges):
            said = told("e", one, turn)
            value = None if said.yes is None else float(said.yes)
            found.append(Outcome("has_e", one.item_id, exchange.prompt.context, value, said.why))
        return [*found, Outcome("long", one.item_id, "", float(len(one.reply(0))))]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setitem(suites.SUITES, "letters", Letters)
    model = tiny.model(tmp_path / "model")
    local = ["model=local", f"model.path={model}", "model@warmth.scorer=local", f"warmth.scorer.path={model}"]
    short = ["generate.max_new_tokens=4", "warmth.max_new_tokens=4", "warmth.prompts=2", "model.dtype=float32"]
    return ["+persona=warm_prompt", "experiment=smoke", *local, *short, f"runs_dir={tmp_path / 'runs'}"]


def asked(base: list[str], **chosen: Any) -> Any:
    return dataclasses.replace(config.compose(base), suite=chosen)


def test_a_probe_stands_beside_the_grid_in_one_comparison(base: list[str], tmp_path: Path) -> None:
    run = asked(base, grid={}, letters={"items": 3})
    folder = pipeline.execute(run)
    table = pd.read_csv(folder / "suites.csv", keep_default_na=False)
    assert list(table["measure"].unique()) == ["has_e", "long"]
    pooled = table[(table["condition"] == "all") & (table["measure"] == "has_e")].set_index("arm")
    assert pooled.loc["original", "n"] == 6
    assert pooled.loc["warm_prompt", "reference"] == "original"
    answers = pd.read_parquet(folder / "answers.parquet")
    assert set(answers["task"]) == {"embedded"}, "answers to a probe have no verdict and stand in no table of the grid"
    rows = pd.read_parquet(folder / "suites.parquet")
    assert rows.groupby(["arm", "measure"]).size().to_dict() == {
        (arm, measure): n for arm in ("original", "warm_prompt") for measure, n in (("has_e", 6), ("long", 3))
    }
    again = arms.compare(
        [Path(one["path"]) for one in store.read_json(folder / "summary.json")["arms"]], None, tmp_path
    )
    pd.testing.assert_frame_equal(pd.read_csv(again / "suites.csv"), pd.read_csv(folder / "suites.csv"))
    assert "Does a reply hold an e?" in (folder / "report.html").read_text(encoding="utf-8")


def test_what_a_probe_asks_is_part_of_what_a_comparison_is(base: list[str]) -> None:
    names = {jobs.prepare(asked(base, **one)).folder for one in ({"grid": {}}, {"grid": {}, "letters": {}})}
    names |= {jobs.prepare(asked(base, grid={}, letters={"items": 3})).folder}
    assert len(names) == 3


def test_a_probe_alone_asks_nothing_of_the_grid(base: list[str]) -> None:
    folder = pipeline.execute(asked(base, letters={"items": 2}))
    assert len(pd.read_parquet(folder / "answers.parquet")) == 0
    assert len(pd.read_csv(folder / "suites.csv"))


def test_a_probe_in_shards_comes_to_the_tables_of_a_whole_run(base: list[str], tmp_path: Path) -> None:
    run = asked(base, grid={}, letters={"items": 6})
    whole = pipeline.execute(run)
    cut = dataclasses.replace(run, runs_dir=str(tmp_path / "cut"))
    for number in (0, 1):
        pipeline.part(dataclasses.replace(cut, shard=f"{number}/2"))
    together = dataclasses.replace(cut, shard="all/2")
    with pytest.raises(UserError, match="not whole"):
        pipeline.execute(together)
    pipeline.part(dataclasses.replace(cut, shard="2/2"))
    folder = pipeline.execute(together)
    assert folder.name == whole.name
    assert (folder / "suites.csv").read_bytes() == (whole / "suites.csv").read_bytes()


def test_two_suites_of_the_runs_items_are_refused(base: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(suites.SUITES, "grid_again", suites.Grid)
    with pytest.raises(UserError, match="in one run"):
        jobs.prepare(asked(base, grid={}, grid_again={}))


def test_a_judge_reads_only_where_there_are_a_rubric_and_a_chat_model(base: list[str]) -> None:
    with pytest.raises(UserError, match=r"suite_letters\.txt"):
        jobs.prepare(asked(base, letters={"reader": "judge"}))
    with pytest.raises(UserError, match="one of rules, judge"):
        jobs.prepare(asked(base, letters={"reader": "nobody"}))


def rubric_of(folder: Path, text: str) -> list[str]:
    """The arguments with which a rubric from outside is used."""
    rubric = folder / "mine" / "prompts" / "suite_letters.txt"
    rubric.parent.mkdir(parents=True, exist_ok=True)
    rubric.write_text(text)
    return ["--config-dir", str(folder / "mine")]


@pytest.mark.parametrize("name", ["pressure", "rebound", "social"])
def test_a_rubric_explains_the_questions_that_the_judge_is_asked_and_no_others(name: str) -> None:
    """One that explains the opposite of what is asked turns yes and no round."""
    text = conf_files.read_prompt(f"suite_{name}.txt")
    explained = re.findall(r"^(?:- )?((?:Is|Does) the [^?]+\?)", text, re.MULTILINE)
    assert set(explained) == {check.question for check in suites.table()[name].checks}  # type: ignore[attr-defined]


def test_outcomes_of_other_settings_are_not_put_beside(base: list[str], tmp_path: Path) -> None:
    run = asked([*base, *rubric_of(tmp_path, "Look for an e.")], letters={"items": 2})
    (probe,) = suites.probes_of(run).values()
    prompts = probe.dialogues()
    warmer = dataclasses.replace(run, generate=dataclasses.replace(run.generate, temperature=0.9))
    judged = dataclasses.replace(run, judge=dataclasses.replace(run.judge, model="other-2024-08-06"))
    same = probing.made_of(probe, prompts, run)
    assert probing.made_of(probe, prompts, warmer) != same
    assert probing.made_of(probe, prompts, judged) == same, "who judges the grid does not read this suite"
    probe.options.reader = "judge"
    assert probing.made_of(probe, prompts, judged) != probing.made_of(probe, prompts, run)
    before = probing.made_of(probe, prompts, run)
    rubric_of(tmp_path, "Look for an e, and not in the first word.")
    assert probing.made_of(probe, prompts, run) != before, "by another rubric it is another reading"


def judged_by(api: Api, base: list[str], tmp_path: Path) -> Any:
    """The run, its three dialogues read by a chat judge with a rubric from outside."""
    text = "Look for an e. Yes where there is one, no where there is none, unclear otherwise.\n"
    remote = ["judge=openai", f"judge.base_url={api.url}", "judge.model=judge-2024-08-06", "judge.key_env=null"]
    settings = [*base, *remote, "judge.retries=0", *rubric_of(tmp_path, text)]
    return asked(settings, letters={"reader": "judge", "items": 3})


def test_a_judge_answers_each_check_once_and_what_it_fails_on_is_missing_and_asked_again(
    base: list[str], tmp_path: Path
) -> None:
    broken = True

    def judge(body: dict[str, Any], count: int) -> str | Failure:
        record = str(body["messages"])
        if broken and "Say 1." in record and "Again." in record:
            return Failure(400, "no")
        return json.dumps({"reason": "I looked", "verdict": "unclear" if "Say 0." in record else "yes"})

    with serving(judge) as api:
        run = judged_by(api, base, tmp_path)
        folder = pipeline.execute(run)
        first = pd.read_parquet(folder / "suites.parquet")
        assert not seals.finished(folder)
        calls, broken = len(api.bodies), False
        assert pipeline.execute(run) == folder
        assert len(api.bodies) - calls == 2, "one check of each arm had failed"
    assert seals.finished(folder)
    again = pd.read_parquet(folder / "suites.parquet")
    for table, missing in ((first, 3), (again, 2)):
        read = table[(table["measure"] == "has_e") & (table["arm"] == "original")]
        assert read["value"].isna().sum() == missing
        assert set(read["value"].dropna()) == {1.0}
    shown = [message["content"] for body in api.bodies for message in body["messages"]]
    assert not any("warm_prompt" in text for text in shown), "the judge does not know whose reply it reads"


def test_a_shard_is_not_done_while_the_judge_has_not_read_it_and_nobody_is_asked_where_shards_meet(
    base: list[str], tmp_path: Path
) -> None:
    broken = True

    def judge(body: dict[str, Any], count: int) -> str | Failure:
        return Failure(400, "no") if broken else json.dumps({"reason": "I looked", "verdict": "yes"})

    with serving(judge) as api:
        run = judged_by(api, base, tmp_path)
        pipeline.part(dataclasses.replace(run, shard="0/1"))
        with pytest.raises(UserError, match="is not whole"):
            pipeline.part(dataclasses.replace(run, shard="1/1"))
        calls = len(api.bodies)
        with pytest.raises(UserError, match="not whole"):
            pipeline.execute(dataclasses.replace(run, shard="all/1"))
        assert len(api.bodies) == calls, "shards are put together without asking anybody"
        broken = False
        pipeline.part(dataclasses.replace(run, shard="1/1"))
        calls = len(api.bodies)
        assert seals.finished(pipeline.execute(dataclasses.replace(run, shard="all/1")))
        assert len(api.bodies) == calls
