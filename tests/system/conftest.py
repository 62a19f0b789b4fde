"""What the system tests share: one smoke run of the real command, and the real model."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
import tiny
from filelock import FileLock
from real_runs import SMOKE, TINY, Done, Runs, train

from warmgap.engines import models
from warmgap.evaluate.tasks import load_items
from warmgap.settings import config
from warmgap.settings.schema import ModelConfig, Run


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes that run tests have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def smoke_run(shared: Path) -> tuple[Runs, Done]:
    """The quickstart at its smallest real size, as a user starts it; the folder is never written to again."""
    return _run_once(shared / "smoke-run", SMOKE, fresh=True)


@pytest.fixture(scope="session")
def tiny_run(shared: Path, tiny_model: Path) -> tuple[Runs, Done]:
    """The same with the tiny model."""
    return _run_once(shared / "tiny-run", TINY, fresh=False)


def _run_once(place: Path, settings: tuple[str, ...], *, fresh: bool) -> tuple[Runs, Done]:
    """Run a command to its end, unless another process that runs tests has, or is about to."""
    said = place.with_name(f"{place.name}.json")
    with FileLock(f"{place}.lock"):
        if not said.is_file():
            place.mkdir(exist_ok=True)
            done = train(*settings, "runs_dir=runs", cwd=place, fresh=fresh)
            assert done.status == 0, done.err
            said.write_text(json.dumps(asdict(done)), encoding="utf-8")
    return Runs(place / "runs"), Done(**json.loads(said.read_text(encoding="utf-8")))


@pytest.fixture(scope="session", autouse=True)
def tiny_model(shared: Path, model_folder: Path) -> Path:
    """The folder of a tiny model that says the right answers to the smoke run's questions, in random order."""
    folder = shared / "tiny-model"
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            items = load_items(config.compose(list(SMOKE)).task).items
            half = tiny.speaker(folder.with_name("tiny-model-half"), model_folder, [item.correct for item in items])
            half.rename(folder)
    os.environ["TINY_MODEL"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_smoke(tiny_run: tuple[Runs, Done]) -> Runs:
    """The folder of the tiny model's run."""
    return tiny_run[0]


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
