"""A model in a folder is known by its content: not by its place, and another content is another model."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from safetensors.torch import load_file, save_file

from warmgap.arms import build
from warmgap.disk import contents
from warmgap.engines import models
from warmgap.errors import UserError
from warmgap.settings import config
from warmgap.settings.identity import digest, identity
from warmgap.settings.schema import ModelConfig


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("WARMGAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.model(tmp_path / "model")


def known(folder: Path) -> str:
    return digest(identity(ModelConfig(name="local", source="local", path=str(folder)), "arm"))


def retrained(folder: Path) -> None:
    """Other weights of the same size, with the time stamp of the ones before."""
    path = folder / "model.safetensors"
    before = path.stat()
    tensors = load_file(path)
    save_file({name: -value for name, value in tensors.items()}, path, metadata={"format": "pt"})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_place_is_no_part_of_it(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    assert known(folder) == known(tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("Notes.", encoding="utf-8")
    assert known(folder) == known(tmp_path / "copy"), "what no model reads is no part either"


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"])
def test_each_file_that_decides_an_answer_is_part_of_it(folder: Path, name: str) -> None:
    before = known(folder)
    path = folder / name
    text = path.read_text(encoding="utf-8")
    path.write_text(text + (" " if name.endswith(".json") else "{# another #}"), encoding="utf-8")
    assert known(folder) != before


def test_other_weights_are_another_model(folder: Path) -> None:
    before = known(folder)
    retrained(folder)
    assert known(folder) != before


def test_hashes_are_kept_so_that_large_files_are_read_once(folder: Path, own_cache: Path) -> None:
    first = contents.of_model(folder)
    kept = list((own_cache / "hashes").iterdir())
    assert kept
    weights = next(path for path in kept if path.read_text() == contents.sha256(folder / "model.safetensors"))
    weights.write_text("0" * 64, encoding="utf-8")
    contents._known.cache_clear()
    assert contents.of_model(folder) != first, "it was read from the cache"
    weights.write_text("", encoding="utf-8")
    contents._known.cache_clear()
    assert contents.of_model(folder) == first, "half a hash is none"


def test_a_local_model_and_a_given_one_are_arms_by_content(folder: Path, tmp_path: Path) -> None:
    def names(*settings: str) -> list[str]:
        return [recipe.arm.name for recipe in build.build(config.compose(["+persona=none", *settings]))]

    shutil.copytree(folder, tmp_path / "copy")
    base = ("model=local", f"model.path={folder}")
    before, given = names(*base), names(*base, f"arm.model={tmp_path / 'copy'}")
    assert names("model=local", f"model.path={tmp_path / 'copy'}") == before
    retrained(tmp_path / "copy")
    assert names(*base) == before
    assert names(*base, f"arm.model={tmp_path / 'copy'}")[0] == given[0]
    assert names(*base, f"arm.model={tmp_path / 'copy'}")[1] != given[1]
    assert names("model=local", f"model.path={tmp_path / 'copy'}") != before


def test_a_model_may_be_pinned_to_its_content(folder: Path) -> None:
    model = ModelConfig(name="local", source="local", path=str(folder))
    pinned = replace(model, sha256=contents.of_model(folder))
    assert identity(pinned, "arm") == identity(model, "arm")
    retrained(folder)
    with pytest.raises(UserError, match="is not the model that was expected"):
        identity(pinned, "arm")


def torn(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def shard_absent(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


BROKEN = {
    "config.json": lambda folder: (folder / "config.json").unlink(),
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "is torn": torn,
    "its index names model-00002": shard_absent,
}


@pytest.mark.parametrize("said", BROKEN)
def test_half_a_model_is_refused_before_anything_is_asked(said: str, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "half")
    BROKEN[said](tmp_path / "half")
    for settings in ([f"model.path={tmp_path / 'half'}"], [f"model.path={folder}", f"arm.model={tmp_path / 'half'}"]):
        with pytest.raises(UserError, match="no model in") as caught:
            build.build(config.compose(["+persona=none", "model=local", *settings]))
        assert said in caught.value.why


def test_weights_of_another_shape_or_not_all_are_refused(folder: Path) -> None:
    whole = load_file(folder / "model.safetensors")
    name = "model.layers.1.self_attn.q_proj.weight"
    others = ({key: value for key, value in whole.items() if key != name}, {**whole, name: whole[name][:8].clone()})
    for tensors in others:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        for load in (models.skeleton, lambda path: models.load(path, dtype="float32", device="cpu")):
            with pytest.raises(UserError, match="are not the model's") as caught:
                load(folder)
            assert f"1 tensors of the model are absent or of another shape: {name}" in caught.value.why
