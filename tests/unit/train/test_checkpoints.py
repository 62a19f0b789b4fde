"""Checkpoints: only one that is whole is gone on from, and one that a kill has torn is passed over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from warmgap.train import checkpoints
from warmgap.train.checkpoints import SEAL, by_step, newest, seal, verified

FILES = {"adapter_model.safetensors": b"\x00weights" * 100, "optimizer.pt": b"state" * 50, "trainer_state.json": b"{}"}


def make(folder: Path, step: int, *, sealed: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name, content in FILES.items():
        (path / name).write_bytes(content + str(step).encode())
    if sealed:
        seal(path)
    return path


def truncate(path: Path) -> None:
    file = path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-3])


def flip(path: Path) -> None:
    file = path / "optimizer.pt"
    content = bytearray(file.read_bytes())
    content[7] ^= 1
    file.write_bytes(bytes(content))


def remove(path: Path) -> None:
    (path / "trainer_state.json").unlink()


def unseal(path: Path) -> None:
    (path / SEAL).unlink()


def half_a_seal(path: Path) -> None:
    (path / SEAL).write_bytes((path / SEAL).read_bytes()[:20])


def empty_seal(path: Path) -> None:
    (path / SEAL).write_text("{}", encoding="utf-8")


DAMAGES = [truncate, flip, remove, unseal, half_a_seal, empty_seal]


def test_a_sealed_checkpoint_verifies(tmp_path: Path) -> None:
    path = make(tmp_path, 5)
    assert verified(path)
    assert newest(tmp_path) == path


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_passed_over_and_removed(
    tmp_path: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = make(tmp_path, 5), make(tmp_path, 10)
    damage(bad)
    assert not verified(bad)
    assert newest(tmp_path) == good
    assert not bad.exists()
    assert good.exists()
    assert "10" in capsys.readouterr().err


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_where_none_is_whole_the_training_begins_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    for step in (5, 10):
        damage(make(tmp_path, step))
    assert newest(tmp_path) is None
    assert os.listdir(tmp_path) == []


def test_the_newest_is_by_number_and_not_by_name(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        make(tmp_path, step)
    assert newest(tmp_path) == tmp_path / "checkpoint-100"
    assert list(by_step(tmp_path)) == [9, 10, 100]


def test_a_whole_one_beneath_a_damaged_one_is_left_alone(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        make(tmp_path, step)
    truncate(tmp_path / "checkpoint-5")
    assert newest(tmp_path) == tmp_path / "checkpoint-15"
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-10", "checkpoint-15", "checkpoint-5"]


def test_other_folders_are_no_checkpoints(tmp_path: Path) -> None:
    for name in ("checkpoint-last", "checkpoint-", "tmp-checkpoint-3", "checkpoint-3.bak"):
        (tmp_path / name).mkdir()
    (tmp_path / "epochs.json").write_text("{}", encoding="utf-8")
    assert by_step(tmp_path) == {}
    assert newest(tmp_path) is None
    assert len(os.listdir(tmp_path)) == 5, "what is not ours is not removed"
    assert newest(tmp_path / "absent") is None


def test_sealing_again_takes_in_what_was_added(tmp_path: Path) -> None:
    path = make(tmp_path, 5)
    (path / "probe.json").write_text("{}", encoding="utf-8")
    assert verified(path), "a file beside the sealed ones is no damage"
    seal(path)
    (path / "probe.json").write_text("{ }", encoding="utf-8")
    assert not verified(path)


def test_a_seal_names_every_file_and_not_itself(tmp_path: Path) -> None:
    path = make(tmp_path, 5)
    assert set(checkpoints.store.read_json(path / SEAL)) == set(FILES)
