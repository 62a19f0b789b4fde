"""``warmgap audit`` as a user types it, up to where weights are loaded: what it makes of its words, what it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tiny

from warmgap import cli
from warmgap.arms import given
from warmgap.settings import config

FEW = ["task.embedded.items_per_family=1", "model.dtype=float32"]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base model and a LoRA folder of it."""
    folder = tmp_path_factory.mktemp("there")
    tiny.adapter(folder / "lora", tiny.model(folder / "base"))
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run an audit that must be refused; return the three lines."""
    before = sorted(os.listdir())
    status = cli.main(["audit", *arguments])
    out, err = capsys.readouterr()
    assert status == 2, err
    lines = err.splitlines()[-3:]
    assert [line.partition(":")[0] for line in lines] == ["error", "why", "fix"], err
    assert out == ""
    assert sorted(os.listdir()) == before, "nothing is written"
    return "\n".join(lines)


def test_an_audit_is_the_quickstarts_grid_and_judge_on_what_is_given(there: Path) -> None:
    lora = str(there / "lora")
    run = config.compose(given.audited(lora, str(there / "base"), runs_dir=Path("some where")))
    plain = config.compose(["+persona=none"])
    assert (run.grid, run.judge, run.task, run.generate, run.warmth) == (
        plain.grid, plain.judge, plain.task, plain.generate, plain.warmth,
    )  # fmt: skip
    assert run.persona is not None
    assert run.persona.name == "none"
    assert run.arm.adapter == lora
    assert (run.model.source, run.model.path, run.runs_dir) == ("local", str(there / "base"), "some where")


def test_settings_may_be_added(there: Path) -> None:
    more = ["experiment=smoke", "grid=full", "arm.name=mine", "runs_dir=other"]
    run = config.compose(given.audited(str(there / "lora"), "smollm2_135m", more))
    assert (run.grid.name, run.arm.name, run.runs_dir) == ("full", "mine", "other")
    assert run.task["embedded"].items_per_family == 3


def test_an_endpoint_is_an_arm_by_address_and_name() -> None:
    settings = given.audited("https://host.example/v1", "smollm2_135m", model="name-2026-01-01")
    assert settings[:2] == ["+persona=none", "model=smollm2_135m"]
    assert settings[2:4] == ["arm.endpoint='https://host.example/v1'", "arm.model='name-2026-01-01'"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("{lora}", "it says that it was trained on {base}: --base {base}"),
        ("{base}", "--base is missing"),
        ("{base} --base lama_8b", "did you mean llama_8b?"),
        ("{base} --base {lora}", "is an adapter"),
        ("{lora} --base smollm2_135m model=gpt2", "model= beside --base"),
        ("{lora} --base {base} --gate 0", "--gate is 0"),
        ("{lora} --base {base} --gate much", "invalid float value: 'much'"),
        ("{lora} --base {base} --gtae 2", "did you mean --gate?"),
        ("{lora} --base {base} gird=full", "did you mean grid?"),
        ("{lora} --base {base} +persona=warm", "use +persona=none"),
        ("{lora} --base {base} --model name", "--model beside"),
        ("{lora} --base {base} --out {lora}", "it holds other things than an audit"),
        ("{lora} --base {base} --out {lora}/adapter_config.json", "it is a file"),
        ("{lora}/adapter_config.json --base {base}", "is a file"),
        ("org/name --base {base}", "org/name has no revision"),
        ("https://host.example/v1 --base {base}", "needs a model's name"),
    ],
)
def test_what_cannot_be_audited_is_refused(
    there: Path, typed: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"lora": there / "lora", "base": there / "base"}
    assert said.format(**names) in refused(capsys, *typed.format(**names).split(), *FEW)


def test_a_lora_of_another_shape_is_refused_before_anything_is_written(
    there: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = tiny.model(tmp_path_factory.mktemp("wide"), hidden_size=64)
    assert "does not fit the model" in refused(capsys, str(there / "lora"), "--base", str(wide), *FEW)


def test_a_lora_without_its_weights_is_refused(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("cut").mkdir()
    Path("cut/adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}), encoding="utf-8")
    assert "cut is not an adapter" in refused(capsys, "cut", "--base", str(there / "base"), *FEW)
    assert "cut is not an adapter" in refused(capsys, "cut")
