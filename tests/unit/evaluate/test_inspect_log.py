"""Logs of inspect that hold our answers: what is in them, and that inspect itself reads them, where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from comparison_folder import build_comparison

from warmgap import cli
from warmgap.disk import store
from warmgap.disk.contents import cache_dir
from warmgap.evaluate import inspect_log, suites
from warmgap.evaluate.tasks import load_items
from warmgap.settings import config

ROOT = Path(__file__).resolve().parents[3]
PYTHON = next(
    (path for name in ("checks", "peers/inspect_ai") if (path := cache_dir() / name / "bin/python").exists()), None
)
with_inspect = pytest.mark.skipif(
    PYTHON is None, reason="no environment with inspect_ai: python -m benchmarks makes one"
)
READ = """
import json, sys
from inspect_ai.log import list_eval_logs, read_eval_log
found = {}
for info in list_eval_logs(sys.argv[1]):
    log = read_eval_log(info)
    found[log.eval.model] = {
        "status": log.status,
        "samples": len(log.samples),
        "accuracy": log.results.scores[0].metrics["accuracy"].value,
        "scores": [s.scores["match"].value if s.scores else None for s in log.samples],
        "said": log.samples[0].output.completion,
        "asked": [m.text for m in log.samples[0].input],
        "metadata": log.samples[0].metadata,
    }
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "comparisons" / "one"
    build_comparison(folder)
    return folder


@pytest.fixture(scope="module")
def logs(comparison: Path) -> Path:
    out = comparison.parent.parent / "logs"
    assert cli.main(["export", str(comparison), "--to", "inspect", "--out", str(out)]) == 0
    return out


def test_there_is_a_log_for_each_arm_and_task_and_a_sample_for_each_prompt(comparison: Path, logs: Path) -> None:
    answers = pd.read_parquet(comparison / "answers.parquet")
    sizes = answers.groupby(["model", "arm", "seed", "task"]).size()
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(logs.iterdir())]
    assert sorted(len(log["samples"]) for log in found) == sorted(sizes)
    for log in found:
        ids = [sample["id"] for sample in log["samples"]]
        assert len(set(ids)) == len(ids) == log["eval"]["dataset"]["samples"]


def test_scores_are_the_verdicts_and_what_has_none_has_no_score(comparison: Path, logs: Path) -> None:
    answers = pd.read_parquet(comparison / "answers.parquet")
    expected: Counter[Any] = Counter()
    for error, verdict in zip(answers["error"], answers["verdict"], strict=True):
        expected[
            "N" if pd.isna(error) and verdict == "refused" else None if pd.isna(error) else "I" if error else "C"
        ] += 1
    found: Counter[Any] = Counter()
    for path in logs.iterdir():
        for sample in json.loads(path.read_text(encoding="utf-8"))["samples"]:
            found[next((score["value"] for score in sample["scores"].values()), None)] += 1
    assert found == expected
    assert min(found["C"], found["I"]) > 0


def test_the_same_comparison_gives_the_same_bytes(comparison: Path, logs: Path, tmp_path: Path) -> None:
    assert cli.main(["export", str(comparison), "--to", "inspect", "--out", str(tmp_path / "again")]) == 0
    for path in logs.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def answered(arm: store.Arm, task: str, file: str, keys: str, *, generation: str = "8 tokens") -> None:
    """Answers and verdicts of one setting, a question for each letter, in a whole journal or in a shard's."""
    place = {"family": "facts", "context": "none", "belief": "none", "task": task}
    answers = [
        {"key": key, **place, "item_id": key.lower(), "prompt": f"{key}?", "answer": key}
        | {"generation": generation, "finish_reason": "stop", "n_tokens": 1, "prompt_tokens": 2}
        for key in keys
    ]
    verdicts = [{"key": f"v{key}", "answer_key": key, "verdict": "refused", "graded_by": "1"} for key in keys]
    store.append(arm.answers(file), answers)
    store.append(arm.verdicts("match", file), verdicts)


def test_an_arm_has_a_log_for_each_task_and_setting_whoever_asked(tmp_path: Path) -> None:
    folder = tmp_path / "runs/arms/m-warm-s0-12345678"
    store.write_json(folder / "manifest.json", {"model": "m", "arm": "warm", "seed": 0})
    arm = store.open_arm(folder)
    answered(arm, "disinformation", "disinformation.1-of-2", "ab")
    answered(arm, "disinformation", "disinformation.2-of-2", "cd")
    answered(arm, "embedded", "embedded", "ef")
    answered(arm, "embedded", "embedded", "EF", generation="9 tokens")
    assert cli.main(["export", str(folder), "--to", "inspect", "--out", str(tmp_path / "logs")]) == 0
    logs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((tmp_path / "logs").iterdir())]
    found = sorted((log["eval"]["task"], sorted(one["output"]["completion"] for one in log["samples"])) for log in logs)
    assert found == [("disinformation", [*"abcd"]), ("embedded", [*"EF"]), ("embedded", [*"ef"])]
    assert len({log["eval"]["metadata"]["asked"] for log in logs if log["eval"]["task"] == "embedded"}) == 2
    (declined,) = (log for log in logs if log["eval"]["task"] == "disinformation")
    assert [one["scores"]["match"]["value"] for one in declined["samples"]] == ["C"] * 4, "there declining is right"


def test_two_wordings_of_one_prompt_are_two_samples(tmp_path: Path) -> None:
    folder = tmp_path / "runs/arms/m-warm-s0-12345678"
    store.write_json(folder / "manifest.json", {"model": "m", "arm": "warm", "seed": 0})
    arm = store.open_arm(folder)
    answered(arm, "embedded", "embedded", "aA")  # of one item
    ((_, log),) = inspect_log.of_arm(folder)
    assert [one["id"] for one in log["samples"]] == ["a · none · none", "a · none · none · wording 2"]


@with_inspect
def test_inspect_reads_what_was_exported(comparison: Path, logs: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(PYTHON), "-P", "-c", READ, str(logs)],
        env=environment,
        cwd=logs,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    answers = pd.read_parquet(comparison / "answers.parquet")
    assert len(found) == len(answers.groupby(["model", "arm", "seed"]))
    assert sum(one["samples"] for one in found.values()) == len(answers)
    for one in found.values():
        assert one["status"] == "success"
        graded = [value == "C" for value in one["scores"] if value in ("C", "I")]
        assert one["accuracy"] == pytest.approx(sum(graded) / len(graded))
        assert one["said"]
        assert one["asked"]
        assert {"context", "belief", "item_id", "verdict"} <= one["metadata"].keys()


GRID = """
import asyncio, json, math
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Target
from inspect_ai.solver import TaskState
from types import SimpleNamespace
from warmgap.evaluate.suites.base import Prompt
from warmgap.inspect_task import _sample, warm_gap
task = warm_gap("grid=balanced")
(scorer,) = task.scorer if isinstance(task.scorer, list) else [task.scorer]

def value(sample, text):
    output = ModelOutput.from_content("m", text)
    state = TaskState("m", sample.id, 1, sample.input, list(sample.input), output=output, metadata=sample.metadata)
    found = asyncio.run(scorer(state, Target(sample.target))).value
    return None if isinstance(found, float) and math.isnan(found) else found

samples = list(task.dataset)
one = samples[0]
said = [value(one, text) for text in (one.target, one.metadata["incorrect"], "I'm sorry, I can't help with that.", "")]
before = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"})
later = Prompt("t", "i", "f", "none", "", "none", "And?", before=before)
turns = [[message.role, message.text] for message in _sample(later, SimpleNamespace(correct="a", incorrect="b")).input]
places = [[s.metadata[name] for name in ("task", "item_id", "context", "belief")] for s in samples]
asked = {"asked": samples[0].input[0].text, "turns": turns, "max": task.config.max_tokens}
try:
    warm_gap("grid=balanced +persona=warm_prompt")
except Exception as error:
    asked["refused"] = str(error)
print(json.dumps({"said": said, "places": places, **asked}))
"""


@with_inspect
def test_the_grid_is_a_task_of_inspect_with_the_verdicts_of_match() -> None:
    """The peers' environment sees warmgap's packages; another one may not."""
    python = cache_dir() / "peers/inspect_ai/bin/python"
    if not python.exists():
        pytest.skip("no environment with inspect_ai and warmgap's packages: python -m benchmarks makes one")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(python), "-P", "-c", GRID], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["said"] == ["C", "I", None, None]
    assert "persona=warm_prompt would do nothing" in found["refused"]
    assert found["turns"] == [["user", "Hi"], ["assistant", "Hello!"], ["user", "And?"]]
    run = config.compose(["+persona=none", "grid=balanced"])
    prompts = suites.make(run).dialogues(load_items(run.task).items)
    assert found["places"] == [[one.task, one.item_id, one.context, one.belief] for one in prompts]
    assert (found["asked"], found["max"]) == (prompts[0].prompt, run.generate.max_new_tokens)


MISTAKES = [
    (["nowhere", "--to", "inspect", "--out", "logs"], "nowhere"),
    (["COMPARISON", "--to", "excel", "--out", "logs"], "invalid choice"),
    (["COMPARISON", "--to", "inspect", "--out", "file.txt"], "is a file"),
]


@pytest.mark.parametrize(("typed", "says"), MISTAKES)
def test_a_mistake_is_three_lines(
    typed: list[str],
    says: str,
    comparison: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_text("x", encoding="utf-8")
    given = [str(comparison) if word == "COMPARISON" else word for word in typed]
    assert cli.main(["export", *given]) == 2
    err = capsys.readouterr().err
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "why", "fix"], err
    assert says in err
    assert not Path("logs").exists()
