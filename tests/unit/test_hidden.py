"""Secrets are in no file and no message: one of each kind is planted, and everything that comes out is searched."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from warmgap import cli, hidden
from warmgap.arms import build
from warmgap.cli import guard
from warmgap.cluster import programme
from warmgap.disk import manifest, progress, tracking
from warmgap.engines import client
from warmgap.engines.calls import wire
from warmgap.errors import UserError, one_line, shown
from warmgap.settings import config
from warmgap.settings.schema import EndpointConfig
from warmgap.train import stage

PLANTED = {  # one secret in each place where one can be typed, none part of another
    "method.trainer.hub_token=": "hf_aaaa1111TrainerToken",
    "+method.trainer.api_key=": "sk-bbbb2222TrainerKey",
    "judge.base_url=https://me:": "cccc3333UserPart",
    "arm.endpoint=https://host/v1?api_key=": "dddd4444QueryKey",
    "arm.endpoint=https://host/v1?a=b&token=": "eeee5555QueryToken",
    "method.trainer={push_to_hub_token: ": "ffff6666NestedToken",
    "judge.options.password=": "gggg7777Password",
}
ENDS = {"judge.base_url=https://me:": "@host/v1", "method.trainer={push_to_hub_token: ": "}"}
WORDS = [f"{key}{secret}{ENDS.get(key, '')}" for key, secret in PLANTED.items()]
IN_THE_ENVIRONMENT = "hhhh8888OfTheEnvironment"


def none_in(text: str) -> None:
    found = [secret for secret in (*PLANTED.values(), IN_THE_ENVIRONMENT) if secret in text]
    assert not found, f"{found} in {text}"


def test_the_command_that_a_manifest_keeps_has_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "+persona=warm", *WORDS])
    kept = manifest.command_line()
    none_in(kept)
    assert "persona=warm" in kept
    assert "judge.base_url=https://host/v1" in kept
    assert kept.count(hidden.HIDDEN) == len(WORDS) - 1, "a user part is cut out of an address, the others are blanked"


def test_settings_that_are_written_have_no_secret() -> None:
    given: dict[str, Any] = {
        "method.trainer": {"hub_token": "hf_aaaa1111TrainerToken", "deep": [{"api_key": "sk-bbbb2222TrainerKey"}]},
        "judge.base_url": "https://me:cccc3333UserPart@host/v1?api_key=dddd4444QueryKey&x=1",
        "judge.key_env": "OPENAI_API_KEY",
        "generate.max_new_tokens": 300,
    }
    kept = tracking.redact(given)
    none_in(repr(kept))
    assert kept["judge.base_url"] == f"https://host/v1?api_key={hidden.HIDDEN}&x=1"
    assert (kept["judge.key_env"], kept["generate.max_new_tokens"]) == ("OPENAI_API_KEY", 300)


def test_a_failure_of_ours_shows_no_secret_and_keeps_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARMGAP_TEST_API_KEY", IN_THE_ENVIRONMENT)

    def work() -> int:
        raise RuntimeError(f"SFTConfig(hub_token='hf_aaaa1111TrainerToken') sent {IN_THE_ENVIRONMENT} to {WORDS[2]}")

    assert guard.guarded(work, tmp_path / "runs", " ".join(WORDS)) == 3
    (log,) = (tmp_path / "runs").rglob("*.log")
    none_in("".join(capsys.readouterr()) + log.read_text(encoding="utf-8"))


def test_a_stop_by_hand_shows_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise KeyboardInterrupt

    guard.guarded(work, tmp_path, " ".join(WORDS))
    none_in("".join(capsys.readouterr()))


@pytest.mark.parametrize("word", WORDS)
def test_a_mistake_shows_no_secret(word: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The secret is beside what is wrong, not what is wrong."""
    status = cli.main(["prompts", "--out", str(tmp_path / "p.txt"), f"++{word.lstrip('+')}", "+persona=warm"])
    assert status == 2
    none_in("".join(capsys.readouterr()))


def test_a_stage_for_several_processes_keeps_no_secret_on_disk(tmp_path: Path) -> None:
    token = "++method.trainer.hub_token=hf_aaaa1111TrainerToken"
    run = config.compose(["+persona=warm", token, f"runs_dir={tmp_path}"])
    spec = next(spec for spec in build.build(run) if spec.trained)
    frozen = stage.freeze(spec.stage)
    none_in(frozen.read_text(encoding="utf-8"))
    assert stage.thaw(frozen).run.method.trainer["hub_token"] == "hf_aaaa1111TrainerToken"
    assert stage.SECRETS not in os.environ, "whoever has read it takes it away"


def test_an_error_is_one_line_each_and_a_terminal_obeys_none_of_it() -> None:
    error = UserError("a\nb\x1b[31m", "https://me:cccc3333UserPart@host", "x" * 5000)
    assert len(str(error).splitlines()) == 3
    assert "\x1b" not in str(error)
    none_in(str(error))
    assert shown("a\tb\n\x1b[2J\u202e\x07") == "a\tb\n\\x1b[2J\\u202e\\x07"
    assert one_line("a \n b") == "a b"


TEXTS = {  # as somebody may type them, and as they are shown
    "export HF_TOKEN=abcd1234xyz": "export HF_TOKEN=(hidden)",
    "huggingface-cli login --token abcd1234xyz && true": "huggingface-cli login --token (hidden) && true",
    "login with hf_abcdefghijklmnopqrst now": "login with (hidden) now",
    "sk-proj-abcdefghijklmnop": "(hidden)",
    "export OPENAI_API_KEY=...": "export OPENAI_API_KEY=...",
    "generate.max_new_tokens=300 --max-tokens 300": "generate.max_new_tokens=300 --max-tokens 300",
    "the task is to sort a key by its token": "the task is to sort a key by its token",
}


@pytest.mark.parametrize(("typed", "told"), TEXTS.items(), ids=range(len(TEXTS)))
def test_a_secret_within_a_text_is_seen_and_nothing_else_is(typed: str, told: str) -> None:
    assert hidden.without_secrets(typed) == told
    assert hidden.blanked({"launcher": {"setup": ["module load cuda", typed]}})["launcher"]["setup"][1] == told


def test_a_key_is_shown_nowhere_whatever_its_variable_is_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THE_WAY_IN", IN_THE_ENVIRONMENT)
    assert IN_THE_ENVIRONMENT in hidden.without_secrets(IN_THE_ENVIRONMENT), "nobody has said that it is a key"
    point = EndpointConfig(model="m-2025-01-01", base_url="http://127.0.0.1:9/v1", key_env="THE_WAY_IN")
    assert client.key_of(point) == IN_THE_ENVIRONMENT
    progress.say(f"the server says that {IN_THE_ENVIRONMENT} is wrong")
    said = wire.Refused(500, f"wrong key {IN_THE_ENVIRONMENT}")
    none_in(capsys.readouterr().err + str(UserError("a", f"b {IN_THE_ENVIRONMENT}", "c")) + said.text + str(said))


def test_jobs_whose_settings_hold_a_secret_in_a_line_are_refused(tmp_path: Path) -> None:
    line = "launcher.setup=['export HF_TOKEN=ffff6666NestedToken']"
    run = config.compose(["+persona=warm", "launcher=slurm", line, f"runs_dir={tmp_path}"])
    with pytest.raises(UserError, match="stands in the settings"):
        programme.of(run)


def test_an_address_that_is_a_word_of_its_own_is_seen_too() -> None:
    """What stands before its ``=`` is no name of a setting, though it ends like one."""
    words = ["audit", "https://me:pass@host/v1?api_key=1234", "judge.hub_token=abc", "seed=1"]
    assert hidden.typed(words) == ["audit", "https://host/v1?api_key=(hidden)", "judge.hub_token=(hidden)", "seed=1"]
