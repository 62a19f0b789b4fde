"""What a sweep makes of its points: where each arm stands on which dial, and what makes two comparisons of them one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from warmgap import pipeline, sweep
from warmgap.disk import seals, store
from warmgap.errors import UserError
from warmgap.evaluate.stats.dose.measured import laid_out
from warmgap.settings import config
from warmgap.settings.schema import Run

DIALS = ("scale:0.5", "prompt:warm_prompt")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[pd.DataFrame]:
    """The tables of dials that comparisons are written with; nothing is trained or asked."""
    seen: list[pd.DataFrame] = []

    def write(job: Any, measured: Any, dials: pd.DataFrame) -> int:
        seen.append(dials)
        store.write_text(job.folder / "report.html", "")
        return 0

    monkeypatch.setattr(pipeline, "measure", lambda job: [])
    monkeypatch.setattr(sweep, "_write", write)
    return seen


def points(tmp_path: Path, *more: str, dials: tuple[str, ...] = DIALS) -> list[Run]:
    fixed = ["experiment=warmth_sweep", f"runs_dir={tmp_path}", *more]
    return [config.compose([*fixed, f"dial={dial}"]) for dial in dials]


OTHERS = [
    "generate.temperature=0.5",
    "generate=study",
    "warmth.max_new_tokens=9",
    "warmth.prompts=30",
    "bootstrap=300",
    "task.embedded.items_per_family=7",
    "judge.window=200",
    "grid=full",
    "control=[gsm8k]",
]


def test_other_settings_of_the_measurement_are_another_comparison(tmp_path: Path, written: list[pd.DataFrame]) -> None:
    sums = tmp_path / "sums.jsonl"
    sums.write_text('{"question": "What is 2 + 2?", "answer": "2 + 2 = 4\\n#### 4"}\n', encoding="utf-8")

    def place(*more: str) -> Path:
        checked = [f"control.gsm8k.path={sums}"] if "control=[gsm8k]" in more else []
        return sweep.conclude(points(tmp_path, *more, *checked, dials=("scale:0.5",)))

    folders = [place(), *map(place, OTHERS)]
    assert len(set(folders)) == len(folders), folders
    assert place("device=cpu") == folders[0], "not what is measured"
    assert len(written) == len(folders), "the comparison that is there is not made again"


def test_a_sweep_whose_answers_did_not_come_is_not_done(
    tmp_path: Path, written: list[pd.DataFrame], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def measure(job: Any) -> list[Any]:
        if not seen:
            job.note_absent(job.specs[-1], [{"failed": "no route"}])
        seen.extend(pipeline.notes(job))
        return []

    monkeypatch.setattr(pipeline, "measure", measure)
    folder = sweep.conclude(points(tmp_path))
    assert not seals.finished(folder)
    assert any("did not come (no route): they are missing, not wrong" in note for note in seen)
    assert "run again to ask for them once more" in capsys.readouterr().err
    assert sweep.conclude(points(tmp_path)) == folder
    assert len(written) == 2, "it is made again"
    assert seals.finished(folder)


def test_points_that_are_measured_differently_are_no_sweep(tmp_path: Path, written: list[pd.DataFrame]) -> None:
    others = points(tmp_path, "generate.temperature=0.5", dials=("scale:1.5",))
    with pytest.raises(UserError, match="different settings"):
        sweep.conclude([*points(tmp_path), *others])
    assert not written


def stands(tmp_path: Path, written: list[pd.DataFrame], *more: str, dials: tuple[str, ...]) -> set[tuple[str, ...]]:
    """(dial, setting, arm) of each row; the table is one that the dose-response takes."""
    sweep.conclude(points(tmp_path, *more, dials=dials))
    table = written[-1]
    laid_out(table)
    return set(table[["dial", "setting", "arm"]].itertuples(index=False, name=None))


def test_the_plain_warm_arm_is_the_end_of_three_dials(tmp_path: Path, written: list[pd.DataFrame]) -> None:
    assert stands(tmp_path, written, dials=("strength:0.5", "epoch:0.5", "scale:0.5")) == {
        ("strength", "0.5", "warm_50"),
        ("strength", "1", "warm"),
        ("epoch", "0.5", "epoch_0.5"),
        ("epoch", "1", "warm"),
        ("scale", "0.5", "scale_0.5"),
        ("scale", "1", "warm"),
    }


def test_the_plain_warm_arm_is_where_a_mitigation_begins(tmp_path: Path, written: list[pd.DataFrame]) -> None:
    assert stands(tmp_path, written, dials=("steer:0.1", "steer:-0.1", "cap:1", "scale:0.5")) == {
        ("steer", "-0.1", "steer_-0.1"),
        ("steer", "0", "warm"),
        ("steer", "0.1", "steer_0.1"),
        ("cap", "0", "warm"),
        ("cap", "1", "cap_1"),
        ("scale", "0.5", "scale_0.5"),
        ("scale", "1", "warm"),
    }
    order = written[-1][["dial", "setting"]].itertuples(index=False, name=None)
    assert [setting for dial, setting in order if dial == "steer"] == ["-0.1", "0", "0.1"]


def test_the_end_of_a_dial_may_be_named(tmp_path: Path, written: list[pd.DataFrame]) -> None:
    without = stands(tmp_path, written, dials=("strength:0.5", "epoch:0.5", "scale:0.5"))
    named = ("strength:1", "strength:0.5", "epoch:1", "epoch:0.5", "scale:1.0", "scale:0.5")
    assert stands(tmp_path, written, dials=named) == without


def test_the_warm_arm_stands_at_the_epoch_that_it_is(tmp_path: Path, written: list[pd.DataFrame]) -> None:
    chosen = stands(tmp_path, written, "method.select=epoch:0.5", dials=("epoch:1", "epoch:0.5"))
    assert chosen == {("epoch", "0.5", "warm"), ("epoch", "1", "epoch_1")}
    by_warmth = stands(tmp_path, written, "method.select=plateau", dials=("epoch:1", "epoch:0.5"))
    assert by_warmth == {("epoch", "0.5", "epoch_0.5"), ("epoch", "1", "epoch_1")}, "warmth has not said yet"
