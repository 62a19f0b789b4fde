"""A run of which everything is on disk loads no model: not the arms', not the judge's, not the scorer of warmth."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from real_runs import SMOKE, Runs

from warmgap import pipeline
from warmgap.engines import models
from warmgap.settings import config


def test_it_is_compared_again_without_a_model(smoke: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(smoke.folder / "arms", tmp_path / "arms")
    monkeypatch.setattr(models, "load", lambda *_, **__: pytest.fail("weights were loaded"))
    folder = pipeline.execute(config.compose([*SMOKE, f"runs_dir={tmp_path}"]))
    assert (folder / "complete").is_file()
    again = Runs(tmp_path)
    pd.testing.assert_frame_equal(again.answers, smoke.answers)
    for name in ("effects", "cells", "warmth", "training"):
        pd.testing.assert_frame_equal(again.table(name), smoke.table(name))
