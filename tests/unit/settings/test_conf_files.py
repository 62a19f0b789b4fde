"""The files of settings: each setting that is spoken of can be set as it is written, and comments say what is true."""

from __future__ import annotations

import re

import pytest

from warmgap.settings import conf_files, config

WARM = "+persona=warm"
DEFAULTS = {  # of settings that mostly stay as they are
    "method.weight_decay": 0.0,
    "method.per_device_batch_size": None,
    "method.gradient_checkpointing": False,
    "method.lora.target_modules": "all-linear",
    "generate.batch_size": None,
    "warmth.batch_tokens": 8192,
    "task.embedded.families": None,
    "task.trivia_qa.families": None,
    "task.truthful_qa.families": None,
    "task.med_qa.families": None,
    "task.disinformation.families": None,
    "logger.entity": None,
}
TASKS = "task=[embedded,trivia_qa,truthful_qa,med_qa,disinformation]"


@pytest.mark.parametrize("generate", conf_files.choices("generate"))
@pytest.mark.parametrize("method", ["sft", "dpo", "sft_dpo"])
def test_the_files_say_the_defaults(method: str, generate: str) -> None:
    found = config.flat(config.compose([WARM, f"method={method}", f"generate={generate}", TASKS, "logger=wandb"]))
    assert {key: found[key] for key in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    "typed",
    [
        "method.gradient_checkpointing=true",  # what a training that runs out of memory advises
        "generate.batch_size=64",  # what `warmgap plan` advises
        "method.weight_decay=0.1",
        "method.per_device_batch_size=1",
        "method.lora.target_modules=q_proj",
        "warmth.batch_tokens=512",
        "task.embedded.families=[facts]",
    ],
)
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_what_the_program_advises_can_be_typed(method: str, typed: str) -> None:
    config.compose([WARM, f"method={method}", typed])


def test_a_line_that_lists_the_choices_lists_them_all() -> None:
    text = (conf_files.conf_dir() / "config.yaml").read_text(encoding="utf-8")
    lines = re.findall(r"(?m)^  - (\w+): \w+ +# [^:\n]+: ([\w, ]+)$", text)
    assert {group for group, _ in lines} >= {"grid", "generate", "judge", "logger", "launcher"}
    for group, listed in lines:
        assert sorted(listed.split(", ")) == conf_files.choices(group), group
