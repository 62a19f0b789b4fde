"""What the system tests share: one smoke run of the real command, and the real model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests are imported by path; `real_runs` lies beside them

from real_runs import SMOKE, Done, Runs, train

from warmgap import config, models
from warmgap.schema import ModelConfig, Run


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Done]:
    """The quickstart at its smallest real size, run once, uninterrupted; the folder is never written to again."""
    place = tmp_path_factory.mktemp("smoke")
    done = train(*SMOKE, "runs_dir=runs", cwd=place)
    assert done.status == 0, done.err
    return Runs(place / "runs"), done


@pytest.fixture(scope="session")
def smoke(smoke_run: tuple[Runs, Done]) -> Runs:
    """The folder of the smoke run."""
    return smoke_run[0]


@pytest.fixture(scope="session")
def settings() -> Run:
    """The settings of the smoke run."""
    return config.compose(list(SMOKE))


@pytest.fixture(scope="session")
def model(settings: Run) -> ModelConfig:
    """The embedded model."""
    return settings.model


@pytest.fixture(scope="session")
def model_folder(model: ModelConfig) -> Path:
    """The embedded model's folder in the user's cache."""
    return models.resolve(model)
