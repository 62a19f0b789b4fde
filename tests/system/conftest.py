"""What the system tests share: one smoke run of the real command, and the real model."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from filelock import FileLock
from real_runs import SMOKE, Done, Runs, train

from warmgap.engines import models
from warmgap.settings import config
from warmgap.settings.schema import ModelConfig, Run


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Done]:
    """The quickstart at its smallest real size, run once, uninterrupted; the folder is never written to again.

    Where several processes run the tests, one of them makes it for all.
    """
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "smoke-run"
    said = place.with_name("smoke-run.json")
    with FileLock(f"{place}.lock"):
        if not said.is_file():
            place.mkdir(exist_ok=True)
            done = train(*SMOKE, "runs_dir=runs", cwd=place)
            assert done.status == 0, done.err
            said.write_text(json.dumps(asdict(done)), encoding="utf-8")
    return Runs(place / "runs"), Done(**json.loads(said.read_text(encoding="utf-8")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with one file that makes the smoke run and one that does without: two processes then never both wait."""
    first = {("system", "test_commands.py"): 0, ("system", "test_several_processes.py"): 1}
    items.sort(key=lambda item: first.get((item.path.parent.name, item.path.name), 2))


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
