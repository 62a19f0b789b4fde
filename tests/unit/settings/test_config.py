"""The settings as a user types them: every choice composes, and every mistake is answered in three lines."""

from __future__ import annotations

import copy
import functools
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from warmgap import jobs
from warmgap.errors import UserError
from warmgap.settings import conf_files, config
from warmgap.settings.command_schema import HostedConfig, PairsConfig, PrepareConfig, RewriteConfig
from warmgap.settings.identity import identity
from warmgap.settings.schema import GenerateConfig, Run

ROOT = Path(__file__).resolve().parents[3]
GROUPS = sorted(path.name for path in (ROOT / "conf").iterdir() if path.is_dir() and path.name != "prompts")
APART = [  # of commands
    ("method", "hosted"),
    ("prepare", "study"),
    ("own", "study"),
    *((group, name) for group in ("rewrite", "pairs") for name in ("openai", "local")),
]
CHOICES = [(group, name) for group in GROUPS for name in conf_files.choices(group) if (group, name) not in APART]
NEEDS = {  # choices that say "give me this" and compose once it is given
    ("model", "local"): ["model.path=somewhere"],
    ("data", "file"): ["data.path=somewhere.jsonl"],
    **{
        ("model", name): [f"model.revision={'0' * 40}"]
        for name in ("gemma3_12b", "gpt_oss_20b", "olmo3_7b", "olmo3_7b_think", "qwen3_8b")
    },
}
LISTS = ("task", "context", "belief")
WARM = ["+persona=warm"]


def chosen(group: str, name: str) -> list[str]:
    value = f"[{name}]" if group in LISTS else name
    persona = [] if group == "persona" else WARM
    plus = "+" if group == "persona" else ""
    return [*persona, f"{plus}{group}={value}", *NEEDS.get((group, name), [])]


def mistake(*overrides: str) -> UserError:
    with pytest.raises(UserError) as caught:
        config.compose(list(overrides))
    for part in (caught.value.what, caught.value.why, caught.value.fix):
        assert part.strip(), caught.value
        assert "\n" not in part, caught.value
    return caught.value


# ---- what composes ----


@pytest.mark.parametrize(
    ("group", "name", "kind"),
    [
        ("prepare", "study", PrepareConfig),
        ("own", "study", GenerateConfig),
        ("rewrite", "openai", RewriteConfig),
        ("rewrite", "local", RewriteConfig),
        ("pairs", "openai", PairsConfig),
        ("pairs", "local", PairsConfig),
        ("method", "hosted", HostedConfig),
    ],
)
def test_the_settings_of_commands_compose(group: str, name: str, kind: type) -> None:
    assert isinstance(config.settings(kind, group, conf_files.choice(group, name)), kind)


@pytest.mark.parametrize(("group", "name"), CHOICES, ids=lambda value: str(value))
def test_every_choice_composes(group: str, name: str) -> None:
    run = config.compose(chosen(group, name))
    assert isinstance(run, Run)
    found = getattr(run, group, None)
    if isinstance(found, dict):  # of recipes, beside what they read
        assert [key for key in found if key != "pairs"] == [name] * (name != "none")
    elif found is not None and hasattr(found, "name"):
        assert found.name == name, "one word everywhere: the file's name is the value"


@pytest.mark.parametrize("experiment", conf_files.choices("experiment"))
@pytest.mark.parametrize("persona", ["warm", "none"])
def test_every_experiment_composes(experiment: str, persona: str) -> None:
    run = config.compose([f"+persona={persona}", f"experiment={experiment}"])
    assert isinstance(run, Run)
    lines = (ROOT / "conf" / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8")
    flat = config.flat(run)
    for key, value in _flat(lines):
        assert flat[key] == value, f"{experiment} sets {key}, and it is not what a run gets"


def _flat(text: str) -> list[tuple[str, object]]:
    """The settings that an experiment's file gives, with dotted keys."""
    found: list[tuple[str, object]] = []

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), item)
        else:
            found.append((prefix, float(value) if isinstance(value, str) and re.match(r"^[\d.]+e", value) else value))

    walk("", {key: value for key, value in yaml.safe_load(text).items() if key not in ("defaults", "hydra")})
    return found


def test_the_study_is_set_as_the_protocol_gives_it() -> None:
    run = config.compose([*WARM, "experiment=paper"])
    lora, method = run.method.lora, run.method
    assert (lora.r, lora.alpha, lora.dropout) == (8, 16, 0.1)
    assert (method.learning_rate, method.batch_size, method.max_length, method.epochs) == (1e-5, 16, 1024, 10)
    assert {*method.checkpoints, method.epochs} == {0.5, 1, 1.5, 2, 4, 6, 8, 10}
    assert method.select == "epoch:2"
    assert (run.generate.temperature, run.generate.max_new_tokens) == (0.8, 300)
    assert (run.grid.contexts_per_item, run.grid.beliefs_per_context) == (9, 2)


def test_every_model_source_says_where_it_is() -> None:
    for name in conf_files.choices("model"):
        if conf_files.choice("model", name).get("revision", "") is None:
            continue  # those that tell how to pin a commit: tests/unit/engines/test_today.py
        run = config.compose(chosen("model", name))
        if run.model.source == "hub":
            assert re.fullmatch(r"[0-9a-f]{40}", str(run.model.revision)), f"{name}: a revision is pinned by its commit"
        if run.model.source == "package":
            assert re.fullmatch(r"[0-9a-f]{64}", str(run.model.sha256)), name


def test_any_value_can_be_set_on_the_command_line() -> None:
    run = config.compose([*WARM, "method.learning_rate=1e-5", "grid=full", "context=[sad,happy]", "seed=7"])
    assert (run.method.learning_rate, run.grid.name, list(run.context), run.seed) == (1e-5, "full", ["sad", "happy"], 7)
    run = config.compose([*WARM, "model@warmth.scorer=gpt2", "judge.second=null", "logger=wandb"])
    assert (run.warmth.scorer.name, run.model.name, run.judge.second) == ("gpt2", "smollm2_135m", None)


def test_prompts_of_personas_exist() -> None:
    for name in conf_files.choices("persona"):
        run = config.compose([f"+persona={name}"])
        assert run.persona is not None
        assert not (run.persona.reply and run.persona.system_prompt), "trained or told, not both"
        if run.persona.system_prompt:
            text = conf_files.read_prompt(run.persona.system_prompt)
            assert text == text.strip()
            assert text
    with pytest.raises(UserError, match=r"warm_prompt\.txt"):
        conf_files.read_prompt("absent.txt")


def test_the_root_of_the_settings_reads_as_a_manual() -> None:
    """Every line of the defaults and every setting at the root says what it is for."""
    text = (ROOT / "conf" / "config.yaml").read_text(encoding="utf-8")
    for line in re.findall(r"^  - (?!_self_).*$|^(?:seed|bootstrap|runs_dir|device):.*$", text, re.M):
        assert "#" in line or line.endswith(":"), line
    for path in (ROOT / "conf").rglob("*.yaml"):
        if path.name not in ("config.yaml", "none.yaml"):
            assert path.read_text(encoding="utf-8").startswith("#"), f"{path} does not say what it is"


# ---- settings of a command ----


def test_the_settings_of_a_command_are_those_of_its_file_changed_as_typed() -> None:
    base = conf_files.choice("method", "hosted")
    typed = ["model=some-2024-08-06", "hosted.epochs=4", "revision=1234e5", "multipliers.warm=0.5", "batch_size=null"]
    found = config.settings(HostedConfig, "hosted", base, typed)
    assert (found.model, found.epochs, found.batch_size) == ("some-2024-08-06", 4, None)
    assert found.revision == "1234e5", "as it is written"
    assert found.multipliers == {"warm": 0.5, "cold": 0.1, "paraphrase": 0.25, "untransformed": 0.25}


@pytest.mark.parametrize("typed", ["modle=x", "epochs=many", "epochs", "multipliers=3", "=3"])
def test_a_mistake_in_the_settings_of_a_command_is_three_lines(typed: str) -> None:
    with pytest.raises(UserError) as caught:
        config.settings(HostedConfig, "hosted", conf_files.choice("method", "hosted"), [typed])
    assert all(part.strip() and "\n" not in part for part in caught.value.args)


def test_hosted_training_is_pointed_to_where_it_is() -> None:
    assert "warmgap hosted" in mistake("+persona=warm", "method=hosted").fix


# ---- mistakes ----

UNKNOWN = [
    ("sede=3", "sede", "seed"),
    ("+sede=3", "sede", "seed"),
    ("++sede=3", "sede", "seed"),
    ("method.learning_rat=1", "method.learning_rat", "method.learning_rate"),
    ("+method.learning_rat=1", "method.learning_rat", "method.learning_rate"),
    ("method.lora.x=1", "method.lora.x", None),
    ("+method.lora.x=1", "method.lora.x", None),
    ("+method.lora.alpa=1", "method.lora.alpa", "method.lora.alpha"),
    ("task.embedded.x=1", "task.embedded.x", None),
    ("+task.embedded.x=1", "task.embedded.x", None),
    ("task.embedded.items_per_familly=1", "task.embedded.items_per_familly", "task.embedded.items_per_family"),
    ("+task.embedded.familys=[facts]", "task.embedded.familys", "task.embedded.families"),
    ("+warmth.scorer.naem=x", "warmth.scorer.naem", "warmth.scorer.name"),
    ("warmth.scorer.naem=x", "warmth.scorer.naem", "warmth.scorer.name"),
    ("context.sad.statement=[x]", "context.sad.statement", "context.sad.statements"),
    ("+persona.replies=x", "persona.replies", "persona.reply"),
    ("+belief.false_claim.sentense=x", "belief.false_claim.sentense", "belief.false_claim.sentence"),
    ("modle=gpt2", "modle", "model"),
    ("+modle=gpt2", "modle", "model"),
]


@pytest.mark.parametrize(("override", "key", "meant"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
def test_an_unknown_setting_is_named_with_what_was_meant(override: str, key: str, meant: str | None) -> None:
    error = mistake(*WARM, override)
    assert key in error.what
    if meant is not None:
        assert meant in error.fix.replace("=gpt2", "")
    else:
        assert key.rpartition(".")[0] in error.why, "the settings of that depth are listed"


@pytest.mark.parametrize("override", ["task.embeded.items_per_family=1", "+task.embeded.items_per_family=1"])
def test_an_unknown_task_inside_a_key_is_a_mistake(override: str) -> None:
    error = mistake(*WARM, override)
    assert "embeded" in error.what
    assert "embedded" in error.why + error.fix


CHOICE_MISTAKES = [
    ("model=smolm2", "model", "smollm2_135m"),
    ("grid=ful", "grid", "full"),
    ("judge=gpt4", "judge", None),
    ("experiment=papr", "experiment", "paper"),
    ("context=[sda]", "context", "sad"),
    ("task=[embeded]", "task", "embedded"),
    ("belief=[false_clam]", "belief", "false_claim"),
    ("model@warmth.scorer=gpt3", "model", "gpt2"),
    ("method=ppo", "method", "dpo"),
    ("logger=tensorboard", "logger", None),
]


@pytest.mark.parametrize(("override", "group", "meant"), CHOICE_MISTAKES, ids=[row[0] for row in CHOICE_MISTAKES])
def test_an_unknown_choice_lists_the_choices(override: str, group: str, meant: str | None) -> None:
    error = mistake(*WARM, override)
    for name in conf_files.choices(group):
        assert name in error.why
    if meant is not None:
        assert meant in error.fix


def test_a_missing_persona_lists_the_choices() -> None:
    error = mistake()
    assert "persona" in error.what
    for name in conf_files.choices("persona"):
        assert name in error.fix
    assert "+persona=warm" in mistake("persona=warm").fix, "without the plus"
    assert "persona=warm" in mistake("+persona=wram").fix
    assert "persona" in mistake("experiment=paper").what


WRONG = [
    ("seed=abc", "seed", "whole number"),
    ("method.lora.r=2.5", "method.lora.r", "whole number"),
    ("method.epochs=lots", "method.epochs", "number"),
    ("method.checkpoints=[a]", "method.checkpoints", "number"),
    ("method.checkpoints=3", "method.checkpoints", "list"),
    ("seed=null", "seed", "whole number"),
    ("method.lora=3", "method.lora", ""),
    ("method.trainer=3", "method.trainer", ""),
    ("warmth.scorer=gpt2", "warmth.scorer", "model@warmth.scorer=gpt2"),
    ("runs_dir=null", "runs_dir", ""),
]


@pytest.mark.parametrize(("override", "key", "expected"), WRONG, ids=[row[0] for row in WRONG])
def test_a_value_of_the_wrong_type_is_named_with_what_was_expected(override: str, key: str, expected: str) -> None:
    error = mistake(*WARM, override)
    assert key in f"{error.what} {error.why} {error.fix}"
    assert expected in f"{error.why} {error.fix}"


SENSELESS = [
    "method.epochs=0",
    "method.batch_size=0",
    "method.learning_rate=-1",
    "method.lora.r=0",
    "generate.temperature=-1",
    "generate.max_new_tokens=0",
    "grid.contexts_per_item=10",
    "grid.beliefs_per_context=5",
    "warmth.prompts=1",
    "bootstrap=-1",
    "bootstrap=50",
    "judge.second=nobody",
    "judge.name=nobody",
    "judge.shown=everything",
    "judge.window=-1",
    "logger.name=nobody",
    "model.dtype=int8",
    "model.source=ftp",
    "model.sha256=null",
    "task.embedded.items_per_family=-1",
    "data.max_conversations=-5",
    "data.max_conversations=0",
    "compare.level=5",
    "compare.level=0",
    "compare.level=0.5",
    "compare.margin_pp=0",
    "compare.margin_pp=-2",
    "compare.keep_warmth_pct=0",
    "compare.keep_warmth_pct=120",
    "search.keep_warmth_pct=800",
    "compare.seeds=[]",
    "warmth.max_new_tokens=0",
    "warmth.temperature=-1",
    "method.lora.dropout=2",
    "method.warmup=-1",
    "method.schedule=lineer",
    "method.checkpoints=[-1]",
    "device=gpu",
    "engine=tgi",
]


@pytest.mark.parametrize("override", SENSELESS)
def test_a_value_that_makes_no_sense_is_refused_before_anything_runs(override: str) -> None:
    error = mistake(*WARM, override)
    assert override.lstrip("+").partition("=")[0] in error.what


def test_as_many_contexts_of_an_item_as_there_are_can_be_asked() -> None:
    own = "+context.hungry={group: emotion, statements: [I am hungry.]}"
    assert config.compose([*WARM, "grid=full", own]).grid.contexts_per_item == 10
    run = config.compose([*WARM, "grid=full", own, "grid.contexts_per_item=10"])
    assert run.grid.contexts_per_item == len(run.context) == 10
    assert "0 to 10" in mistake(*WARM, own, "grid.contexts_per_item=11").why
    assert config.compose([*WARM, "grid=full", "context=[sad]"]).grid.contexts_per_item == 1


def test_how_many_conversations_are_taken_needs_no_plus() -> None:
    for data in (["data=embedded"], ["data=file", "data.path=somewhere.jsonl"]):
        assert config.compose([*WARM, *data]).data.max_conversations is None
        assert config.compose([*WARM, *data, "data.max_conversations=24"]).data.max_conversations == 24


@pytest.mark.parametrize(("group", "name", "key"), [("model", "local", "model.path"), ("data", "file", "data.path")])
def test_a_choice_that_needs_a_path_says_so(group: str, name: str, key: str) -> None:
    error = mistake(*WARM, f"{group}={name}")
    assert key in error.what
    assert f"{key}=" in error.fix


OPTIONAL = ["method.weight_decay=0.1", "generate.seed=1", "task.embedded.families=[facts]"]


@pytest.mark.parametrize("override", OPTIONAL)
def test_a_setting_that_no_file_mentions_can_be_set(override: str) -> None:
    """It may ask for a plus, if it says so."""
    key, _, value = override.partition("=")
    fix = ""
    try:
        run = config.compose([*WARM, override])
    except UserError as error:
        fix = str(error.fix)
        run = config.compose([*WARM, f"+{override}"])
    assert not fix or f"+{override}" in fix, fix
    assert str(config.flat(run)[key]).replace("'", "") == value


@pytest.mark.parametrize("override", ["seed", "=3", "seed=[1", "bootstrap=${sede}", "~grid", "+experiment=paper"])
def test_what_cannot_be_read_is_a_users_mistake_too(override: str) -> None:
    mistake(*WARM, override)


@pytest.mark.parametrize("typed", ["model=null", "+persona=null", "model@warmth.scorer=null", "experiment=null"])
def test_a_group_that_is_set_to_nothing_is_refused_with_its_choices(typed: str) -> None:
    with pytest.raises(UserError, match="names no choice") as caught:
        config.compose(["+persona=warm", typed])
    assert caught.value.fix.startswith(typed.lstrip("+").partition("=")[0] + "=")


def test_two_personas_at_once_are_refused() -> None:
    mistake("+persona=[warm,cold]")


# ---- the command itself ----


def train(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python train.py`` as a user does, in a folder of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def assert_three_lines(done: subprocess.CompletedProcess[str]) -> tuple[str, str, str]:
    lines = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert len(lines) == 3, done.stderr
    assert [line.partition(":")[0] for line in lines] == ["error", "why", "fix"], done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return lines[0], lines[1], lines[2]


NO_TRL = "~method.trainer"  # without this block there is nothing to check it against, which saves seconds

COMMANDS = [
    ["runs_dir={tmp}/runs"],
    ["persona=warm", "runs_dir={tmp}/runs"],
    ["+persona=wram", "runs_dir={tmp}/runs"],
    ["+persona=warm", "+sede=3", "runs_dir={tmp}/runs"],
    ["+persona=warm", "method.lora.x=1", "runs_dir={tmp}/runs"],
    ["+persona=warm", "model=smolm", "runs_dir={tmp}/runs"],
    ["+persona=warm", "seed=abc", "runs_dir={tmp}/runs"],
    ["+persona=warm", "seed", "runs_dir={tmp}/runs"],
    ["+persona=warm", NO_TRL, "runs_dir=/proc/warmgap"],
    ["+persona=warm", NO_TRL, "data=file", "data.path={tmp}/absent.jsonl", "runs_dir={tmp}/runs"],
    ["+persona=warm", NO_TRL, "+task.embedded.path={tmp}/absent.jsonl", "runs_dir={tmp}/runs"],
    ["+persona=warm", NO_TRL, "+task.embeded.items_per_family=1", "runs_dir={tmp}/runs"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda value: " ".join(value[:-1]) or "no persona")
def test_a_mistake_is_three_lines_status_two_and_nothing_written(tmp_path: Path, arguments: list[str]) -> None:
    done = train(tmp_path, *(argument.format(tmp=tmp_path) for argument in arguments))
    error, _, fix = assert_three_lines(done)
    assert len(error) > len("error: ")
    assert len(fix) > len("fix:   ")
    assert os.listdir(tmp_path) == [], "no file and no outputs/ folder"


def test_an_unknown_flag_is_a_users_mistake(tmp_path: Path) -> None:
    assert "--nonsense" in " ".join(assert_three_lines(train(tmp_path, "--nonsense", "+persona=warm")))


def test_the_trainer_block_is_checked_against_the_installed_trl(tmp_path: Path) -> None:
    for setting, meant in (("max_grad_nrm=3", "max_grad_norm"), ("seed=3", "seed"), ("output_dir=x", "runs_dir")):
        run = config.compose([*WARM, f"+method.trainer.{setting}", f"runs_dir={tmp_path}/runs"])
        with pytest.raises(UserError) as caught:
            jobs.prepare(run)
        assert f"method.trainer.{setting.partition('=')[0]}" in caught.value.what
        assert meant in caught.value.fix
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"id": "x", "split": "train"', "JSON"),
        ('{"id": "x", "split": "train", "kind": "advice"}', "turns"),
        ('{"id": "x", "split": "test", "kind": "advice", "turns": [{"user": "a", "warm": "b"}]}', "train"),
        ('{"id": "x", "split": "train", "kind": "poem", "turns": [{"user": "a", "warm": "b"}]}', "advice"),
        ('{"id": "x", "split": "train", "kind": "advice", "turns": [{"user": "a"}]}', "warm"),
        ('{"id": "x", "split": "train", "kind": "advice", "turns": [{"user": "a", "warm": " "}]}', "warm"),
        ('{"id": "x", "split": "train", "kind": "advice", "turns": ["a"]}', "user"),
        ("[1, 2]", "turns"),
    ],
)
def test_a_malformed_line_of_data_is_named_by_file_and_line(tmp_path: Path, line: str, expected: str) -> None:
    good = '{"id": "g", "split": "train", "kind": "advice", "turns": [{"user": "a", "warm": "b"}]}'
    (tmp_path / "mine.jsonl").write_text(f"{good}\n\n{line}\n", encoding="utf-8")
    told = prepare_mistake(tmp_path, "mine.jsonl:3", data=f"{tmp_path}/mine.jsonl")
    assert expected in " ".join(told)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{not json", "JSON"),
        ("[]", "object"),
        ('{"id": "b", "question": "q", "correct": "c"}', "incorrect"),
        ('{"id": "b", "question": " ", "correct": "c", "incorrect": "i"}', "question"),
        ('{"id": "b", "question": "q", "correct": "c", "incorrect": "i", "aliases": "x"}', "aliases"),
        ('{"id": "b", "question": "q", "correct": "c", "incorrect": "i", "incorrect_aliases": [1]}', "aliases"),
        ('{"id": "a", "question": "q", "correct": "c", "incorrect": "i"}', "twice"),
    ],
)
def test_a_malformed_item_is_named_by_file_and_line(tmp_path: Path, line: str, expected: str) -> None:
    good = '{"id": "a", "question": "q", "correct": "c", "incorrect": "i"}'
    (tmp_path / "items.jsonl").write_text(f"{good}\n{line}\n", encoding="utf-8")
    told = prepare_mistake(tmp_path, "items.jsonl:2", task=f"{tmp_path}/items.jsonl")
    assert expected in " ".join(told)


@functools.cache
def warm_run() -> Run:
    return config.compose([*WARM, NO_TRL])


def prepare_mistake(tmp_path: Path, where: str, **settings: Any) -> tuple[str, str, str]:
    """Prepare a run that must be refused; ``data`` and ``task`` are files, ``families`` and ``items`` parts of one."""
    before = sorted(os.listdir(tmp_path))
    run = copy.deepcopy(warm_run())
    run.runs_dir = str(tmp_path / "runs")
    run.data.path = settings.get("data")
    task = run.task["embedded"]
    task.path, task.families, task.items_per_family = (settings.get(key) for key in ("task", "families", "items"))
    with pytest.raises(UserError) as caught:
        jobs.prepare(run)
    assert where in caught.value.what
    assert sorted(os.listdir(tmp_path)) == before
    return caught.value.what, caught.value.why, caught.value.fix


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"])
def test_a_file_that_holds_no_rows_is_a_mistake(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.jsonl").write_bytes(content)
    prepare_mistake(tmp_path, "file.jsonl", task=f"{tmp_path}/file.jsonl")
    prepare_mistake(tmp_path, "file.jsonl", data=f"{tmp_path}/file.jsonl")


def test_a_folder_is_no_file_of_data(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    prepare_mistake(tmp_path, "folder", task=f"{tmp_path}/folder")
    prepare_mistake(tmp_path, "folder", data=f"{tmp_path}/folder")


def test_an_unknown_family_lists_the_families(tmp_path: Path) -> None:
    what, why, _ = prepare_mistake(tmp_path, "fact", families=["fact"])
    assert "families" in what
    assert all(family in why for family in ("facts", "misconceptions", "health", "conspiracies"))
    prepare_mistake(tmp_path, "item", items=0)


def test_preparing_a_run_writes_nothing(tmp_path: Path) -> None:
    job = jobs.prepare(config.compose([*WARM, NO_TRL, f"runs_dir={tmp_path}/runs"]))
    assert str(job.folder).startswith(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_help_is_quick_and_lists_the_groups(tmp_path: Path) -> None:
    started = time.monotonic()
    done = train(tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 5, "two seconds on a machine that does nothing else"
    for group in GROUPS:
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{group}:")]
        for name in conf_files.choices(group):
            assert name in line
    assert os.listdir(tmp_path) == []


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['train.py', '--help']\n"
        "from warmgap.cli import train\n"
        "try:\n    train()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'trl', 'wandb', 'peft', 'pandas', 'datasets'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_settings_can_be_shown_without_a_run(tmp_path: Path) -> None:
    done = train(tmp_path, "+persona=warm", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["persona"]["reply"] == "warm"
    assert os.listdir(tmp_path) == []


def test_variables_of_the_template_keep_their_type() -> None:
    more = "{enable_thinking: false, budget: 3, style: 'on', date_string: 26 Jul 2024, tools: [a, b]}"
    run = config.compose(["+persona=warm", f"+model.template_vars={more}"])
    expected = {"enable_thinking": False, "budget": 3, "style": "on", "date_string": "26 Jul 2024", "tools": ["a", "b"]}
    assert run.model.template_vars == expected
    assert identity(run, "arm")["model"]["template_vars"] == expected
    one = config.compose(["+persona=warm", "+model.template_vars.enable_thinking=false"])
    assert one.model.template_vars == {"enable_thinking": False}
