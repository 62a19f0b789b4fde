"""Tracking with Weights & Biases, offline and without a key: what lies in the run's own file when all is done."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_runs import TINY, Done, Runs, journal, train
from wandb.proto.wandb_internal_pb2 import Record

SECRET = "hf_DoNotWriteThisAnywhere0123456789"
FILE_HEADER, BLOCK = 7, 32768  # a run's file is a LevelDB log: 7 bytes that name it, then blocks of 32 KiB
RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, kind: 1 whole, 2 first, 3 middle, 4 last part of a record


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Done]:
    """A run with ``logger=wandb`` of a user who has no account, and a secret among the settings."""
    place = tmp_path_factory.mktemp("tracked")
    (place / "home").mkdir()
    secret = "+method.trainer.hub_token=${oc.env:TOKEN_OF_A_TEST}"
    more = {"HOME": str(place / "home"), "TOKEN_OF_A_TEST": SECRET}
    smaller = ("data.max_conversations=6", "task.embedded.items_per_family=1")
    done = train(*TINY, *smaller, "runs_dir=runs", "logger=wandb", secret, cwd=place, **more)
    assert done.status == 0, done.err
    return Runs(place / "runs"), done


@pytest.fixture(scope="module")
def folder(tracked: tuple[Runs, Done]) -> Path:
    """The offline run's folder."""
    (found,) = tracked[0].folder.glob("wandb/offline-run-*")
    return found


def records(path: Path) -> Iterator[Record]:
    """Read the records of a run's file."""
    data, position, parts = path.read_bytes(), FILE_HEADER, b""
    assert data[:4] == b":W&B"
    while position + RECORD_HEADER.size <= len(data):
        left = BLOCK - position % BLOCK
        if left < RECORD_HEADER.size:
            position += left
            continue
        _, length, kind = RECORD_HEADER.unpack_from(data, position)
        position += RECORD_HEADER.size
        parts += data[position : position + length]
        position += length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""


@pytest.fixture(scope="module")
def written(folder: Path) -> list[Record]:
    (path,) = folder.glob("run-*.wandb")
    return list(records(path))


def values(items: Any) -> dict[str, Any]:
    """The keys and values of a history, summary or configuration record."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def history(written: list[Record], key: str) -> list[dict[str, Any]]:
    """The steps of the history that hold a key."""
    rows = [values(record.history.item) for record in written if record.HasField("history")]
    return [row for row in rows if key in row]


def test_the_command_to_sync_is_printed(tracked: tuple[Runs, Done], folder: Path) -> None:
    runs, done = tracked
    match = re.search(r"wandb sync (\S+)", done.err + done.out)
    assert match
    assert (runs.folder.parent / match[1]).resolve() == folder.resolve()
    assert done.out.rstrip("\n").splitlines()[-1].startswith("report: ")


def test_the_runs_id_is_the_arms_hash(tracked: tuple[Runs, Done], folder: Path, written: list[Record]) -> None:
    hash8 = tracked[0].arm("warm").name.rpartition("-")[2]
    assert folder.name.endswith(f"-{hash8}")
    assert {record.run.run_id for record in written if record.HasField("run")} == {hash8}


def test_the_settings_are_recorded(written: list[Record]) -> None:
    config: dict[str, Any] = {}
    for record in written:
        if record.HasField("run"):
            config |= values(record.run.config.update)
        if record.HasField("config"):
            config |= values(record.config.update)
    assert config["model.name"] == "local"
    assert config["method.learning_rate"] == 0.001
    assert config["persona.name"] == "warm"
    assert config["method.trainer.hub_token"] == "(hidden)"


def test_no_secret_is_written_in_clear(tracked: tuple[Runs, Done]) -> None:
    """Neither by the tracker, nor in what it uploads, nor in the folders that one shares.

    The checkpoints are the trainer's own, which pickles its arguments; they stay on this machine.
    """
    place = tracked[0].folder.parent
    paths = [path for path in sorted(place.rglob("*")) if path.is_file() and "checkpoints" not in path.parts]
    found = [str(path.relative_to(place)) for path in paths if SECRET.encode() in path.read_bytes()]
    assert found == []


def test_every_step_of_the_training_is_in_the_history(tracked: tuple[Runs, Done], written: list[Record]) -> None:
    losses = [row for row in journal(tracked[0].arm("warm") / "logs" / "training.jsonl") if "loss" in row]
    found = history(written, "train/loss")
    assert [row["train/step"] for row in found] == [row["step"] for row in losses]
    assert [row["train/loss"] for row in found] == pytest.approx([row["loss"] for row in losses])
    assert len(history(written, "train/eval_loss")) == 2


def test_warmth_is_in_the_history_by_step(tracked: tuple[Runs, Done], written: list[Record]) -> None:
    warmth = tracked[0].table("warmth")
    for mode in ("released", "clean"):
        own = warmth[(warmth["arm"] == "warm") & (warmth["mode"] == mode)]
        found = history(written, f"warmth/{mode}")
        assert [row["train/step"] for row in found] == own["step"].tolist()
        assert [row[f"warmth/{mode}"] for row in found] == pytest.approx(own["sociot"].tolist())
        assert [row[f"warmth/{mode}_shift"] for row in found] == pytest.approx(own["shift"].tolist())


@pytest.mark.parametrize("name", ["effects", "cells"])
def test_the_tables_are_recorded(name: str, tracked: tuple[Runs, Done], folder: Path, written: list[Record]) -> None:
    (row,) = history(written, f"{name}.path")
    assert row[f"{name}._type"] == "table-file"
    table = json.loads((folder / "files" / row[f"{name}.path"]).read_text(encoding="utf-8"))
    expected = tracked[0].table(name)
    assert table["columns"] == list(expected.columns)
    assert len(table["data"]) == len(expected)


def test_the_main_effect_is_in_the_summary(tracked: tuple[Runs, Done], written: list[Record]) -> None:
    summary: dict[str, Any] = {}
    for record in written:
        if record.HasField("summary"):
            summary |= values(record.summary.update)
    effects = tracked[0].table("effects")
    main = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered")]
    assert summary["effect/main/warm_pp"] == pytest.approx(float(main["estimate_pp"].iloc[0]))


def test_the_adapter_and_the_report_are_artifacts(tracked: tuple[Runs, Done], written: list[Record]) -> None:
    arm = tracked[0].arm("warm")
    found = {record.artifact.type: record.artifact for record in written if record.HasField("artifact")}
    requests = [record.request.log_artifact.artifact for record in written if record.request.HasField("log_artifact")]
    found |= {artifact.type: artifact for artifact in requests}
    assert {"adapter", "report"} <= set(found)
    assert found["adapter"].name == f"{arm.name}-adapter"
    contents = {entry.path: entry.size for entry in found["adapter"].manifest.contents}
    assert contents["adapter_model.safetensors"] == (arm / "adapter" / "adapter_model.safetensors").stat().st_size
    assert [entry.path for entry in found["report"].manifest.contents] == ["report.html"]
