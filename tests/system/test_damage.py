"""Every file of a finished run, damaged: what is measured stays the same, or the file is named and nothing goes on.

A byte is changed, or the file is cut in half, in a copy of the run. Then the arms are measured again in this process, as
the command does before it compares them; a few are compared to the end by the command itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real_runs import TINY, Runs, refused, train, warmgap

from warmgap import pipeline
from warmgap.disk import seals
from warmgap.errors import UserError
from warmgap.evaluate.judges import judged
from warmgap.settings import config

COMMAND = (*TINY, "runs_dir=runs")
SAID = ("counts", "dropped", "notes", "failed", "arms")  # of a summary: what is not of the day and the machine
# Read by people alone, or by a training that goes on: nothing that a finished run says comes from them.
NOT_READ = ("config.yaml", "stage.json")


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
    job = pipeline.prepare(config.compose([*TINY, f"runs_dir={runs}"]))
    found = pipeline.measure(job)
    rows = [(one.arm.arm, one.answers, one.warmth, one.losses, one.outcomes) for one in found]
    paid = judged.costs([one.arm for one in found])
    made = [list(seals.store.read_journal(one.arm.made_in)) for one in found]
    return json.loads(json.dumps([rows, paid, made])), (job.arms[-1].adapter / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("damage", [flip, cut])
def test_no_damaged_file_of_an_arm_changes_what_is_measured(
    damage: Callable[[Path], None], tiny_smoke: Runs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_smoke.folder / "arms", tmp_path / "whole" / "arms")
    expected, faults, refusals, mended = measured(tmp_path / "whole"), [], [], []
    for number, path in enumerate(files(tmp_path / "whole" / "arms")):
        runs = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", runs)
        damage(runs / "arms" / path)
        capfd.readouterr()
        try:
            if measured(runs) != expected:
                faults.append(f"{path}: something else is measured")
        except UserError as error:
            refusals.append(path.name)
            if path.name not in str(error):
                faults.append(f"{path}: refused without its name: {error}")
        else:
            if "damaged" in capfd.readouterr().err:
                mended.append(path.name)
        shutil.rmtree(runs)
    with capfd.disabled():
        print("refused", refusals, "mended", mended)
    assert not faults, "\n".join(faults)
    assert {"manifest.json", "costs.jsonl"} & set(refusals)
    assert {"adapter_model.safetensors", "selected.json", "epochs.json"} <= set(mended)
