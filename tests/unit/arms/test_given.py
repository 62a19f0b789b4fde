"""What somebody has already is told by what it is, and becomes the settings of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from warmgap.arms import given
from warmgap.errors import UserError
from warmgap.settings import config

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def folder(name: str, *files: str) -> str:
    """A folder with files of these names."""
    Path(name).mkdir(parents=True)
    for file in files:
        text = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/base"})
        Path(name, file).write_text(text, encoding="utf-8")
    return name


LORA = ("adapter_config.json", "adapter_model.safetensors")
MODEL = ("config.json", "model.safetensors", "tokenizer.json")


# ---- the arm ----


def test_a_lora_folder_is_an_adapter() -> None:
    assert given.as_arm(folder("lora", *LORA)) == ["arm.adapter='lora'"]


def test_a_lora_folder_with_the_bases_configuration_beside_it_is_an_adapter() -> None:
    assert given.as_arm(folder("lora", *LORA, "config.json")) == ["arm.adapter='lora'"]


def test_a_merged_models_folder_is_a_model() -> None:
    assert given.as_arm(folder("merged", *MODEL)) == ["arm.model='merged'"]


def test_an_id_of_the_hub_keeps_its_revision_as_text() -> None:
    settings = given.as_arm("org/name@12345678")
    run = config.compose(["+persona=none", *settings])
    assert (run.arm.model, run.arm.revision) == ("org/name", "12345678")


def test_an_address_is_an_endpoint() -> None:
    settings = given.as_arm("https://host.example/v1?a=b", "name-2026-01-01")
    assert settings == ["arm.endpoint='https://host.example/v1?a=b'", "arm.model='name-2026-01-01'"]


def test_a_folder_wins_over_an_id_of_the_hub() -> None:
    assert given.as_arm(folder("org/name", *MODEL)) == ["arm.model='org/name'"]


@pytest.mark.parametrize(
    ("thing", "model", "said"),
    [
        ("https://host.example/v1", None, "needs a model's name"),
        ("lora", "name", "--model beside lora"),
        ("file.gguf", None, "file.gguf is a file"),
        ("empty", None, "it is empty"),
        ("neither", None, "it has neither adapter_config.json nor config.json, but notes.txt"),
        ("both", None, "both holds an adapter and a model"),
        ("run", None, "such as run/checkpoint-20"),
        ("org/name", None, "org/name has no revision"),
        ("absent", None, "there is no absent here"),
        ("./absent@x", None, "there is no ./absent@x here"),
        ("ftp://host.example", None, "there is no ftp://host.example here"),
        ("", None, "is empty"),
    ],
)
def test_what_can_be_no_arm_is_told_why(thing: str, model: str | None, said: str) -> None:
    folder("lora", *LORA)
    folder("empty")
    folder("neither", "notes.txt")
    folder("both", *LORA, *MODEL)
    folder("run/checkpoint-20", *LORA)
    Path("file.gguf").touch()
    with pytest.raises(UserError) as caught:
        given.as_arm(thing, model)
    assert said in str(caught.value)


# ---- the base ----


def test_a_base_is_a_name_a_folder_or_an_id() -> None:
    assert given.as_base("llama_8b") == ["model=llama_8b"]
    folder("my models/base", *MODEL)
    model = config.compose(["+persona=none", *given.as_base("my models/base")]).model
    assert (model.source, model.path, model.id) == ("local", "my models/base", None)
    model = config.compose(["+persona=none", *given.as_base(f"org/My-Model-1.5@{COMMIT}")]).model
    assert (model.source, model.id, model.revision) == ("hub", "org/My-Model-1.5", COMMIT)
    assert (model.name, model.path) == ("My-Model-1.5", None)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("lama_8b", "did you mean llama_8b?"),
        ("org/name", "org/name has no revision"),
        ("https://host.example/v1", "is an address"),
        ("lora", "--base org/base"),
        ("empty", "it is empty"),
        ("file", "file is a file"),
    ],
)
def test_what_can_be_no_base_is_told_why(base: str, said: str) -> None:
    folder("lora", *LORA[:1])
    Path("lora", LORA[1]).write_bytes(
        (len(head := b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}')).to_bytes(8, "little") + head + bytes(4)
    )
    folder("empty")
    Path("file").touch()
    with pytest.raises(UserError) as caught:
        given.as_base(base)
    assert said in str(caught.value)


# ---- as Hydra reads it ----


@pytest.mark.parametrize(
    "path", ["a b", "it's", 'a "b"', "a,b", "x=y", "${HOME}", "$HOME", "a\\b", "a\\'b", "end\\", "ünï", "[a]", "{b: 1}"]
)
def test_a_path_reaches_the_settings_as_it_is(path: str) -> None:
    run = config.compose(["+persona=none", "model=local", f"model.path={given.quoted(path)}"])
    assert run.model.path == path


def test_a_revision_that_may_move_is_told() -> None:
    assert "main of org/name is no commit" in str(given.moving("org/name@main"))
    assert given.moving(f"org/name@{COMMIT}") is None
    assert given.moving("llama_8b") is None
    assert given.moving(folder("org/name@main", *MODEL)) is None
