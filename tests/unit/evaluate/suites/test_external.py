"""Checks that others' tools have run: real logs of inspect, results as the harness writes them, damage."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from warmgap import cli
from warmgap.disk import store
from warmgap.errors import UserError
from warmgap.evaluate.report import arms as reported
from warmgap.evaluate.stats.beside import equivalence
from warmgap.evaluate.suites import external
from warmgap.evaluate.suites.external import Reading

LOGS = Path(__file__).resolve().parents[3] / "support" / "inspect_logs"  # twelve capitals, asked at `warmgap serve`
NAMES = {"given": "smollm2_135m-given-s0-5b60903f", "original": "smollm2_135m-original-s0-9d1c8a20"}


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder with the two arms that the logs are of."""
    monkeypatch.chdir(tmp_path)
    for arm, name in NAMES.items():
        store.write_json(
            tmp_path / "runs/arms" / name / "manifest.json", {"model": "smollm2_135m", "arm": arm, "seed": 0}
        )
    return tmp_path / "runs"


def as_json(**changes: Any) -> dict[str, Any]:
    """A small log in inspect's JSON format."""
    samples = [
        {
            "id": f"q{number}",
            "epoch": 1,
            "scores": {"includes": {"value": value}},
            "output": {"completion": "abc", "choices": [{"stop_reason": "max_tokens"}]},
        }
        for number, value in enumerate(["C", "I", "N", 1, 0, True, float("nan"), None])
    ]
    about = {"task": "own/facts", "task_version": 2, "model": f"openai-api/warmgap/{NAMES['given']}", "packages": {}}
    return {"version": 2, "status": "success", "eval": about, "samples": samples, **changes}


def written(log: Any, name: str = "log.json") -> Path:
    Path(name).write_text(json.dumps(log), encoding="utf-8")
    return Path(name)


# ---- inspect ----


def test_a_real_log_is_read_item_by_item() -> None:
    found = external.read(LOGS / "given.eval")
    assert found.model.endswith(NAMES["given"])
    assert (found.task, found.settings["score"], found.settings["version"]) == ("capitals", "includes", "0.3.285")
    assert found.settings["generate"] == {"max_tokens": 24, "temperature": 0.0}
    assert len(found.outcomes) == 12
    assert sum(row["outcome"] for row in found.outcomes) == 10  # inspect's own accuracy: 0.833
    assert {row["item_id"] for row in found.outcomes} >= {"capital-France", "capital-Peru"}
    assert all(row["n_chars"] > 0 and row["finish_reason"] in ("stop", "length") for row in found.outcomes)


def test_a_log_in_json_says_the_same_and_no_answer_is_no_outcome() -> None:
    found = external.read(written(as_json()))
    assert [row["outcome"] for row in found.outcomes] == [1.0, 0.0, None, 1.0, 0.0, 1.0, None, None]
    assert found.task == "facts"
    assert {(row["finish_reason"], row["n_chars"]) for row in found.outcomes} == {("length", 3)}


def test_a_scorer_of_several_values_is_named_with_its_key() -> None:
    log = as_json()
    for sample in log["samples"]:
        sample["scores"] = {"follows": {"value": {"strict": 1.0, "loose": 0.6}}}
    path = written(log)
    with pytest.raises(UserError, match=r"follows\.loose, follows\.strict"):
        external.read(path)
    with pytest.raises(UserError, match="has no score 'x'"):
        external.read(path, Reading("x"))
    assert {row["outcome"] for row in external.read(path, Reading("follows.strict")).outcomes} == {1.0}
    with pytest.raises(UserError, match="from which value on"):
        external.read(path, Reading("follows.loose"))
    assert {row["outcome"] for row in external.read(path, Reading("follows.loose", 0.7)).outcomes} == {0.0}


def test_words_count_as_they_are_said_to() -> None:
    log = as_json()
    for sample, word in zip(log["samples"], ["honest", "lie", "evasion"] * 3, strict=False):
        sample["scores"] = {"mask": {"value": {"honesty": word}}}
    path = written(log)
    with pytest.raises(UserError, match="--one WORD"):
        external.read(path)
    found = external.read(path, Reading(ones=("honest", "evasion")))
    assert [row["outcome"] for row in found.outcomes] == [1, 0, 1, 1, 0, 1, 1, 0]
    found = external.read(path, Reading(ones=("honest",), nones=("evasion",)))
    assert [row["outcome"] for row in found.outcomes] == [1, 0, None, 1, 0, None, 1, 0]


BROKEN: list[tuple[Any, str]] = [
    (as_json(status="error"), "not a whole log"),
    (as_json(samples=[]), "has no scores"),
    (as_json(samples=[{"id": "a", "scores": {"x": {"value": "much"}}}]), "cannot be read"),
    (as_json(samples=[{"id": "a", "scores": {"x": {"value": 10**400}}}]), "cannot be read"),
    (as_json(samples=[{"id": "a", "scores": {"x": {"value": "C"}}}] * 2), "several epochs"),
    ([], "no log of a check"),
    ({"results": {}}, "no log of a check"),
]


@pytest.mark.parametrize(("log", "says"), BROKEN)
def test_a_log_that_is_not_whole_is_refused(log: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        external.read(written(log))


def test_a_torn_or_damaged_log_is_refused() -> None:
    data = (LOGS / "given.eval").read_bytes()
    Path("torn.eval").write_bytes(data[:20_000])
    with pytest.raises(UserError, match=r"torn\.eval cannot be read"):
        external.read(Path("torn.eval"))
    Path("flipped.eval").write_bytes(data[:9_000] + b"\0" * 200 + data[9_200:])
    with pytest.raises(UserError, match="cannot be read"):
        external.read(Path("flipped.eval"))
    with zipfile.ZipFile("headless.eval", "w") as packed:
        packed.writestr("samples/1.json", "{}")
    with pytest.raises(UserError, match=r"no header\.json"):
        external.read(Path("headless.eval"))


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_of_any_packing_at_any_place_is_named(packing: int) -> None:
    with zipfile.ZipFile("whole.eval", "w", packing) as packed:
        packed.writestr("header.json", json.dumps(as_json()))
    data = Path("whole.eval").read_bytes()
    for place in range(41, packed.getinfo("header.json").compress_size + 41, 7):
        Path("damaged.eval").write_bytes(
            data[:place] + bytes(255 - byte for byte in data[place : place + 9]) + data[place + 9 :]
        )
        with pytest.raises(UserError):
            external.read(Path("damaged.eval"))


@pytest.mark.parametrize("task", ["a/b", "../../a", "a" * 300])
def test_a_task_whose_samples_cannot_lie_beside_its_results_is_named(task: str) -> None:
    path = Path("results_1.json")
    path.write_text(json.dumps({"results": {}, "configs": {task: {}}}), encoding="utf-8")
    with pytest.raises(UserError, match=r"results_1\.json is no"):
        external.read(path)


def test_a_part_that_unpacks_for_ever_is_refused() -> None:
    with zipfile.ZipFile("bomb.eval", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("header.json", b" " * 100_000_000)
    assert Path("bomb.eval").stat().st_size < 200_000
    with pytest.raises(UserError, match="100,000,000 bytes"):
        external.read(Path("bomb.eval"))


# ---- lm-evaluation-harness ----


def harness(folder: Path, values: list[tuple[float, float]], stamp: str = "2026-11-28T09-00-00.0") -> Path:
    """Results and samples of one task with two filters, as the harness lays them out."""
    about = {"model": "local-chat-completions", "model_args": f"model={NAMES['given']},base_url=http://x/v1"}
    whole = {
        "results": {"capitals": {}},
        "configs": {"capitals": {"generation_kwargs": {"until": ["\n"], "max_gen_toks": 24}}},
        "versions": {"capitals": 1},
        "n-shot": {"capitals": 0},
        "config": about,
    }
    folder.mkdir(exist_ok=True)
    rows = [
        {
            "doc_id": number,
            "doc_hash": f"{number:08d}ff",
            "resps": [["Paris."]],
            "filter": name,
            "metrics": ["exact_match"],
            "exact_match": value,
        }
        for number, pair in enumerate(values)
        for name, value in zip(("strict", "flexible"), pair, strict=True)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"samples_capitals_{stamp}.jsonl").write_text(text, encoding="utf-8")
    path = folder / f"results_{stamp}.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


def test_real_results_of_the_harness_are_read_item_by_item() -> None:
    (path,) = (LOGS.parent / "lm_eval_results").glob("results_*.json")
    found = external.read(path)
    assert (found.model, found.task, found.settings["score"]) == (NAMES["given"], "capitals", "exact_match,named")
    assert len(found.outcomes) == 12
    assert sum(row["outcome"] for row in found.outcomes) == 10  # the harness's own exact_match: 0.8333
    assert found.settings["generate"] == {"max_gen_toks": 24, "temperature": 0.0, "until": ["\n\n"]}


def test_results_of_the_harness_are_read_by_metric_and_filter() -> None:
    path = harness(Path("out"), [(0.0, 1.0), (1.0, 1.0), (0.0, 0.0)])
    with pytest.raises(UserError, match="exact_match,flexible, exact_match,strict"):
        external.read(path)
    found = external.read(path, Reading("exact_match,flexible"))
    assert [row["outcome"] for row in found.outcomes] == [1.0, 1.0, 0.0]
    assert found.model == NAMES["given"]
    assert found.settings["task_version"] == 1


def test_results_without_their_samples_are_refused() -> None:
    path = harness(Path("out"), [(0.0, 1.0)])
    next(Path("out").glob("samples_*")).unlink()
    with pytest.raises(UserError, match="not one check item by item"):
        external.read(path)


# ---- the command ----


def test_they_stand_in_the_table_of_the_controls_and_are_tested_for_equality(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["checks", str(LOGS / "given.eval"), str(LOGS / "original.eval"), "--margin", "30"]) == 0
    assert "capitals · given: accuracy 83.3 % of 12 items" in capsys.readouterr().out
    arms = [store.open_arm(runs / "arms" / NAMES[arm]) for arm in ("original", "given")]
    outcomes, margins = reported._controls(arms)
    rows = pd.DataFrame(
        [{"model": arm.model, "arm": arm.arm, "seed": 0, **row} for arm in arms for row in outcomes[arm.name]]
    )
    rates = equivalence.rates(rows).set_index("arm")
    assert rates.loc["given", "pct"] == pytest.approx(100 * 10 / 12)
    (row,) = equivalence.equivalence(rows, "original", margins).to_dict("records")
    assert (row["control"], row["n"], row["margin_pp"]) == ("capitals", 12, 30.0)


def test_arms_that_were_asked_otherwise_are_not_put_side_by_side(runs: Path) -> None:
    log = as_json(eval={"task": "capitals", "task_version": 9, "model": f"x/{NAMES['original']}", "packages": {}})
    assert cli.main(["checks", str(LOGS / "given.eval"), str(written(log))]) == 0
    outcomes, _ = reported._controls([store.open_arm(runs / "arms" / NAMES[arm]) for arm in NAMES])
    assert not any(outcomes.values())


OTHERWISE: list[dict[str, Any]] = [
    {"plan": {"steps": [{"solver": "chain_of_thought", "params": {}}, {"solver": "generate", "params": {}}]}},
    {"plan": {"steps": [{"solver": "generate", "params": {"tool_calls": "none"}}]}},
    {"about": {"model_roles": {"grader": {"model": "openai/another"}}}},
    {"about": {"config": {"token_limit": 10}}},
]


@pytest.mark.parametrize("other", OTHERWISE)
def test_a_check_that_was_solved_or_graded_otherwise_is_another(other: dict[str, Any]) -> None:
    log = as_json(plan={"steps": [{"solver": "generate", "params": {"model": "the arm"}}]})
    own, same = external.read(written(log)), external.read(written(as_json(plan=log["plan"])))
    assert own.settings == same.settings
    changed = as_json(plan=other.get("plan", log["plan"]), eval={**log["eval"], **other.get("about", {})})
    assert external.read(written(changed)).settings != own.settings


def test_what_an_arm_has_of_its_own_checks_stays(runs: Path) -> None:
    arm = store.open_arm(runs / "arms" / NAMES["given"])
    store.write_json(arm.capability, {"mmlu": {"settings": {}, "outcomes": []}})
    assert cli.main(["checks", str(LOGS / "given.eval")]) == 0
    assert list(store.read_sealed(arm.capability)) == ["mmlu", "capitals"]


MISTAKES: list[tuple[list[str], str]] = [
    ([str(LOGS / "given.eval"), "--name", "mmlu"], "one of warmgap's own checks"),
    ([str(LOGS / "given.eval"), "--name", "../x"], "is no name"),
    ([str(LOGS / "given.eval"), "--measure", "a b"], "is no name"),
    ([str(LOGS / "given.eval"), "--arm", "nobody"], "there is no arm 'nobody'"),
    ([str(LOGS / "given.eval"), str(LOGS / "given.eval").replace("given", "given2")], "cannot be read"),
    ([str(LOGS / "given.eval"), "copy.eval"], "two files are of one check of one arm"),
    (["other.json"], "of no arm that is known"),
    (["no.json"], "no.json"),
]


@pytest.mark.parametrize(("typed", "says"), MISTAKES)
def test_a_mistake_is_three_lines_and_nothing_is_kept(
    typed: list[str], says: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(LOGS / "given.eval", "copy.eval")
    written(as_json(eval={"task": "t", "model": "vendor/unknown"}), "other.json")
    assert cli.main(["checks", *typed]) == 2
    err = capsys.readouterr().err
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "why", "fix"], err
    assert says in err
    assert not list(runs.glob("arms/*/capability.json"))
