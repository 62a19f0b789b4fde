"""Every file of a finished run, damaged: what is measured stays the same, or the file is named and nothing goes on.

A byte is changed, or the file is cut in half, in a copy of the run. Then the arms are measured again in this process,
as the command does before it compares them; a few are compared to the end by the command itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from real_runs import TINY, Runs, refused, train, warmgap

from warmgap import jobs, pipeline
from warmgap.disk import seals, store
from warmgap.errors import UserError
from warmgap.evaluate.judges import judged
from warmgap.settings import config

COMMAND = (*TINY, "runs_dir=runs")
SAID = ("counts", "dropped", "notes", "failed", "arms")  # of a summary: what is not of the day and the machine
Damage = Callable[[Path], None]


def flip(path: Path) -> None:
    """Change a byte in the middle of a file."""
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


def cut(path: Path) -> None:
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def files(folder: Path) -> list[Path]:
    """The files in a folder that hold something, relative to it."""
    return [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]


def measured(runs: Path) -> Any:
    """All that a comparison of the run is made of, as the command measures it."""
    job = jobs.prepare(config.compose([*TINY, f"runs_dir={runs}"]))
    found = pipeline.measure(job)
    rows = [(one.arm.arm, one.answers, one.warmth, one.losses, one.outcomes) for one in found]
    paid = judged.costs([one.arm for one in found])
    made = [list(store.read_journal(one.arm.made_in)) for one in found]
    return json.loads(json.dumps([rows, paid, made])), (job.arms[-1].adapter / "adapter_model.safetensors").read_bytes()


# What becomes of each file of an arm that is damaged. A file that stands in none of the lists fails the test.
MENDED = (
    "answers/*.jsonl", "verdicts/*/*.jsonl", "warmth.jsonl", "logs/training.jsonl", "adapter/*",
    "checkpoints/epochs.json", "checkpoints/selected.json",
)  # fmt: skip
REFUSED = ("manifest.json", "config.yaml", "counted.json", "logs/seconds.jsonl")
NOT_READ = (
    "checkpoints/README.md",
    "checkpoints/checkpoint-*/*",
    "data/*",
    "logs/stage.json",
)  # by a run whose training has ended


def matching(arms: Path, patterns: Sequence[str]) -> list[Path]:
    """The files of arms that hold something and match a pattern."""
    paths = {path for pattern in patterns for path in arms.glob(f"local-*/{pattern}")}
    return sorted(path for path in paths if path.is_file() and path.stat().st_size)


@pytest.fixture(scope="module")
def arms(tiny_smoke: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A runs folder with the arms alone, and what is measured of them."""
    runs = tmp_path_factory.mktemp("arms")
    shutil.copytree(tiny_smoke.folder / "arms", runs / "arms")
    return runs, measured(runs)


def test_it_is_known_of_every_file_what_becomes_of_it(arms: tuple[Path, Any]) -> None:
    folder = arms[0] / "arms"
    every = {path for path in folder.rglob("*") if path.is_file() and path.stat().st_size}
    kinds = [set(matching(folder, patterns)) for patterns in (MENDED, REFUSED, NOT_READ)]
    assert set.union(*kinds) == every
    assert sum(map(len, kinds)) == len(every)


@pytest.mark.parametrize("damage", [flip, pytest.param(cut, marks=pytest.mark.long)])
def test_what_can_be_made_again_is_made_again_to_the_same(
    damage: Damage, arms: tuple[Path, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs, expected = arms
    shutil.copytree(runs, tmp_path / "runs")
    for path in matching(tmp_path / "runs" / "arms", MENDED):
        damage(path)
    assert measured(tmp_path / "runs") == expected
    said = capfd.readouterr().err
    assert "the adapter is taken from its checkpoint again" in said
    if damage is flip:
        assert said.count("damaged (1 in all); what it held is made again") >= 8
    assert measured(tmp_path / "runs") == expected, "and what was mended stays so"


@pytest.mark.parametrize("damage", [flip, pytest.param(cut, marks=pytest.mark.long)])
def test_what_cannot_be_made_again_is_named(damage: Damage, arms: tuple[Path, Any], tmp_path: Path) -> None:
    runs, _ = arms
    for number, path in enumerate(matching(runs / "arms", REFUSED)):
        place = tmp_path / str(number)
        shutil.copytree(runs, place)
        damage(place / path.relative_to(runs))
        before = states(place)
        with pytest.raises(UserError) as refusal:
            measured(place)
        assert path.name in refusal.value.what
        assert states(place) == before, "nothing is written"


@pytest.mark.parametrize("damage", [flip, pytest.param(cut, marks=pytest.mark.long)])
def test_what_only_a_training_reads_changes_nothing(damage: Damage, arms: tuple[Path, Any], tmp_path: Path) -> None:
    runs, expected = arms
    shutil.copytree(runs, tmp_path / "runs")
    for path in matching(tmp_path / "runs" / "arms", NOT_READ):
        damage(path)
    assert measured(tmp_path / "runs") == expected


def states(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for locks."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path): path.read_bytes() for path in paths}


def test_a_damaged_adapter_without_a_checkpoint_is_refused(arms: tuple[Path, Any], tmp_path: Path) -> None:
    shutil.copytree(arms[0], tmp_path / "runs")
    runs = Runs(tmp_path / "runs")
    for path in runs.arm("warm").glob("checkpoints/checkpoint-*/adapter_model.safetensors"):
        cut(path)
    flip(runs.arm("warm") / "adapter" / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"adapter_model\.safetensors has another SHA-256"):
        measured(runs.folder)


def test_a_damaged_comparison_is_named_and_made_again(tiny_smoke: Runs, tmp_path: Path) -> None:
    shutil.copytree(tiny_smoke.folder, tmp_path / "runs")
    runs = Runs(tmp_path / "runs")
    assert seals.finished(runs.comparison)
    for path in files(runs.comparison):
        for damage in (flip, cut):
            whole = (runs.comparison / path).read_bytes()
            damage(runs.comparison / path)
            assert not seals.finished(runs.comparison), path
            if path.name != seals.DONE:
                with pytest.raises(UserError) as refusal:
                    seals.check_file(runs.comparison / path)
                assert path.name in refusal.value.what
            (runs.comparison / path).write_bytes(whole)
    assert seals.finished(runs.comparison)
    expected = outcome(runs)
    flip(runs.comparison / "effects.csv")
    shown = warmgap("analyze", str(runs.comparison / "effects.csv"), "--out", "out", cwd=tmp_path)
    assert "effects.csv is damaged" in refused(shown)
    done = train(*COMMAND, cwd=tmp_path)
    assert done.status == 0, done.err
    assert "effects.csv is not what was written; the comparison is made again" in done.err
    assert outcome(runs) == expected
    assert seals.finished(runs.comparison)


def outcome(runs: Runs) -> dict[str, object]:
    """All that a comparison says, but for when, where and in which time it was made."""
    folder = runs.comparison
    found: dict[str, object] = {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return {**found, "answers": (folder / "answers.parquet").read_bytes(), **{key: summary[key] for key in SAID}}


@pytest.mark.parametrize("name", ["answers/embedded.jsonl", "verdicts/match/embedded.jsonl", "warmth.jsonl"])
@pytest.mark.parametrize("damage", [flip, cut])
def test_arms_that_have_lost_something_are_not_compared(
    name: str, damage: Damage, tiny_smoke: Runs, tmp_path: Path
) -> None:
    """Who compares asks nobody again, so a row that is missing would be missing in silence."""
    shutil.copytree(tiny_smoke.folder / "arms", tmp_path / "runs" / "arms")
    damage(Runs(tmp_path / "runs").arm("warm") / name)
    said = refused(warmgap("compare", "warm", cwd=tmp_path))
    assert name in said
    assert "run again what made the arm" in said
    assert not (tmp_path / "runs" / "comparisons").exists()
