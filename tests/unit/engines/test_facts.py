"""What an arm really is: kept when it is made, said by the card; what is wrong with it is said before it is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from warmgap import jobs, pipeline
from warmgap.cli import commands
from warmgap.disk import contents
from warmgap.engines import adapters
from warmgap.errors import UserError
from warmgap.settings import config


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WARMGAP_CACHE", str(tmp_path / "cache"))


def frozen(tmp_path: Path, *settings: str) -> jobs.Job:
    """A job whose arms have been checked and written down, and not yet asked."""
    base = tmp_path / "base"
    fixed = ("model=local", f"model.path={base}", f"runs_dir={tmp_path}/runs", "device=cpu")
    job = jobs.prepare(config.compose([*settings, *fixed]))
    with pipeline._at_work(job):
        pass
    return job


def test_the_card_says_what_was_given_and_how_it_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tiny.model(tmp_path / "base")
    given = tiny.adapter(tmp_path / "given", base)
    job = frozen(tmp_path, "+persona=none", f"arm.adapter={given}")
    commands.run(["card", str(job.arms[-1].folder)])
    card = capsys.readouterr().out
    assert f"base: folder {base}, SHA-256 of its content {contents.of_model(base)}, bfloat16" in card
    weights = contents.sha256(given / adapters.WEIGHTS)
    assert f"adapter given: {given}, SHA-256 {weights}, trained on {base}" in card
    assert "system role: a turn of its own" in card
    assert "reasoning: none that the template knows of; the same for every arm of this model" in card


def test_the_card_says_the_share_of_the_replies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.model(tmp_path / "base")
    job = frozen(tmp_path, "+persona=warm", "persona.strength=0.25", "~method.trainer")
    commands.run(["card", str(job.arms[-1].folder)])
    assert "trained on: 25 % of the replies in the version warm, the rest paraphrased" in capsys.readouterr().out


def test_an_adapter_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    tiny.model(tmp_path / "base")
    other = tiny.model(tmp_path / "other", hidden_size=64)
    with pytest.raises(UserError, match="does not fit the model"):
        frozen(tmp_path, "+persona=none", f"arm.adapter={tiny.adapter(tmp_path / 'given', other)}")
    assert not (tmp_path / "runs").exists()
