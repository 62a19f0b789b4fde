"""Nothing lost, nothing twice: work of several kinds killed at random moments, as by ``python -m benchmarks kills``."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path

import pytest
from real_runs import ROOT, Runs

sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of the package
kills = importlib.import_module("benchmarks.holds.kills")
kill_stages = importlib.import_module("benchmarks.holds.kill_stages")
KILLS = 2  # of each kind
KINDS = ("answering", "judge by batches", "warmgap rewrite", "warmgap grade", "warmgap hosted")


@pytest.mark.parametrize("name", KINDS)
def test_no_row_is_lost_or_doubled_and_the_tables_are_the_same(
    name: str, tiny_smoke: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill_stages, "SMALL", ("runs_dir=runs",))  # the settings of the run at hand
    (stage,) = (one for one in kill_stages.stages() if one.name == name)
    found = kills.killed(stage, tiny_smoke.folder.parent, tmp_path, KILLS, random.Random(name))
    assert found.kills == KILLS
    assert (found.lost, found.doubled, found.twice, found.faults) == (0, 0, 0, [])
    assert found.same == found.cases
    assert found.again <= kill_stages.AGAIN, "at most what was under way"
