"""What the tests of fine-tuning at an endpoint share: conversations, an order, faults, a process that is killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hosted_api import Api, Failure

from warmgap.disk import store
from warmgap.engines import client
from warmgap.errors import UserError
from warmgap.settings import conf_files, config
from warmgap.settings.command_schema import HostedConfig
from warmgap.settings.schema import DataConfig, PersonaConfig
from warmgap.train.hosted import job, order

MODEL = "some-model-2024-08-06"
CREATE, LIST, LOOK = ("POST", "/fine_tuning/jobs"), ("GET", "/fine_tuning/jobs"), ("GET", "/fine_tuning/jobs/ftjob-0")
EMPTY_LIST = Failure(200, raw=b'{"object": "list", "data": []}', headers={"Content-Type": "application/json"})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Short waits, no key, and a file of conversations in the folder."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.005)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    write_conversations(tmp_path / "talk.jsonl")


def write_conversations(path: Path, odd: str = "warm words") -> None:
    rows = []
    for number in range(15):
        turns = [
            {"user": f"ask {number}.{turn}", "plain": "plain", "warm": f"{odd} {number}.{turn}", "cold": "cold"}
            for turn in range(1 + number % 2)
        ]
        split = "train" if number < 12 else "heldout"
        rows.append({"id": f"c{number}", "split": split, "kind": "advice", "turns": turns})
    store.write_jsonl(path, rows)


def asked(api: Api, tmp: Path, persona: str = "warm", folder: str = "arm", **settings: Any) -> order.Order:
    """An order that the server at hand can fill."""
    base = {"model": MODEL, "base_url": api.url, "poll": 0.005, "timeout": 5.0, "retries": 3, "price_train": 3.0}
    chosen = {**conf_files.choice("method", "hosted"), **base, **settings}
    made = config.settings(HostedConfig, "hosted", chosen)
    whose = config.settings(PersonaConfig, "persona", conf_files.choice("persona", persona))
    return order.order(made, whose, DataConfig(name="file", path=str(tmp / "talk.jsonl")), tmp / folder)


def train(api: Api, tmp: Path, **settings: Any) -> dict[str, Any]:
    return job.train(asked(api, tmp, **settings))


def refused(api: Api, tmp: Path, **settings: Any) -> str:
    """Train, which must end in three lines; return them."""
    with pytest.raises(UserError) as caught:
        train(api, tmp, **settings)
    assert all(part.strip() and "\n" not in part for part in caught.value.args), caught.value
    return str(caught.value)


def once(where: tuple[str, str], failure: Failure, at: int = 1) -> Callable[[str, str, int], Failure | None]:
    """Fail the ``at``-th time that a path is asked for."""
    return lambda method, path, count: failure if (method, path) == where and count == at else None


def always(where: tuple[str, str], failure: Failure) -> Callable[[str, str, int], Failure | None]:
    return lambda method, path, count: failure if (method, path) == where else None


def steps(tmp: Path, folder: str = "arm") -> list[str]:
    return [row["step"] for row in store.read_journal(tmp / folder / "hosted.jsonl")]


class Killed(BaseException):
    """The process is gone."""


def deadly(monkeypatch: pytest.MonkeyPatch, at: int, *, written: bool) -> None:
    """End the process at the ``at``-th write to the disk, just before or just after it."""
    count = 0
    for name in ("append", "write_text"):
        real = getattr(store, name)

        def write(path: Path, what: Any, real: Any = real) -> None:
            nonlocal count
            count += 1
            if count == at and not written:
                raise Killed
            real(path, what)
            if count == at:
                raise Killed

        monkeypatch.setattr(store, name, write)


def check_whole(tmp: Path, made: dict[str, Any]) -> None:
    """What an undisturbed run leaves is there, once."""
    arm = store.open_arm(tmp / "arm")
    assert made == store.read_json(arm.folder / "model.json")
    assert [row["step"] for row in store.read_journal(arm.training_log)] == list(range(1, 11))
    assert len(list(store.read_journal(arm.costs))) == 1
    assert steps(tmp)[-1] == "done"
    assert steps(tmp).count("done") == 1
