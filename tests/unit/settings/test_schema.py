"""What a setting decides: every leaf of a run is changed in turn, and the folders that follow from it are looked at."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from warmgap import jobs, mitigations
from warmgap.arms import recipes
from warmgap.evaluate.tasks import embedded
from warmgap.settings import command_schema, config, mitigation_schema, schema
from warmgap.settings.identity import digest, identity
from warmgap.settings.schema import DpoConfig, Run, setting
from warmgap.train.persona import persona_data

Steps = tuple[tuple[str, Any], ...]  # ("attribute", name) or ("key", key), from the run down to a leaf
INSTRUCTIONS = (
    "say what {field} decides: declare it with setting(scope, default), where scope is 'arm' (it makes the arm what it "
    "is), 'measure' (it makes a measurement what it is) or 'runtime' (it changes nothing that comes out)"
)


def without_scope(kind: type) -> list[str]:
    """One instruction for each field of a settings class that does not say what it decides."""
    return [
        INSTRUCTIONS.format(field=f"{kind.__name__}.{field.name}")
        for field in dataclasses.fields(kind)
        if field.metadata.get("scope") not in schema.SCOPES
    ]


def settings_classes() -> list[type]:
    kinds = {**vars(schema), **vars(command_schema), **vars(mitigation_schema)}.values()
    return [kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)]


@pytest.mark.parametrize("kind", [*settings_classes(), *mitigations.RECIPES], ids=lambda kind: kind.__name__)
def test_every_setting_says_what_it_decides(kind: type) -> None:
    assert not without_scope(kind), "\n".join(without_scope(kind))


def test_a_setting_without_a_scope_is_refused_with_instructions() -> None:
    @dataclass
    class Grown:
        known: int = setting("arm", 1)
        new: int = 2

    (line,) = without_scope(Grown)
    assert "Grown.new" in line
    assert all(scope in line for scope in schema.SCOPES)


def test_every_class_of_settings_is_part_of_a_run() -> None:
    """What no run holds would never be walked below."""
    reached: set[type] = set()

    def visit(kind: Any) -> None:
        for part in typing.get_args(kind):
            visit(part)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind not in reached:
            reached.add(kind)
            reached.update(base for base in kind.__mro__ if dataclasses.is_dataclass(base))
            for hint in typing.get_type_hints(kind).values():
                visit(hint)

    visit(Run)
    commands = (command_schema.HostedConfig, command_schema.PrepareConfig, command_schema.RewriteConfig)
    for of_a_command in (*commands, command_schema.PairsConfig):
        visit(of_a_command)
    assert reached == set(settings_classes())


# ---- every leaf, changed ----


def leaves(value: Any, steps: Steps = (), scope: str = "") -> Iterator[tuple[Steps, str]]:
    """Each leaf with the scope that holds for it.

    Runtime is runtime wherever it stands, and what lies in a group of the measurement belongs to the measurement.
    """
    for field in dataclasses.fields(value):
        own = field.metadata["scope"]
        effective = own if "runtime" in (own, scope) or not scope else scope
        inner = getattr(value, field.name)
        here = (*steps, ("attribute", field.name))
        if dataclasses.is_dataclass(inner):
            yield from leaves(inner, here, effective)
        elif isinstance(inner, dict) and inner and all(dataclasses.is_dataclass(item) for item in inner.values()):
            for key, item in inner.items():
                yield from leaves(item, (*here, ("key", key)), effective)
        else:
            yield here, "runtime" if scope == "runtime" else effective


def dotted(steps: Steps) -> str:
    return ".".join(str(name) for _, name in steps)


def get(value: Any, step: tuple[str, Any]) -> Any:
    return getattr(value, step[1]) if step[0] == "attribute" else value[step[1]]


def changed(run: Run, steps: Steps, change: Callable[[Any], Any]) -> Run:
    """The same run with one leaf changed."""
    copied = copy.deepcopy(run)
    owner: Any = copied
    for step in steps[:-1]:
        owner = get(owner, step)
    setattr(owner, steps[-1][1], change(getattr(owner, steps[-1][1])))
    return copied


NAMED: dict[str, Any] = {  # settings whose value must fit something
    "task.embedded.families": ["facts"],
    "task.embedded.items_per_family": 3,
    "task.embedded.level": "hard",
    "data.max_conversations": 12,
    "method.select": "plateau",
    "method.per_device_batch_size": 2,
    "method.trainer": {"max_grad_norm": 0.5},
    "persona.reply": "cold",
    "persona.strength": 0.5,
    "method.dpo": DpoConfig(),
    "compare.seeds": [0],
    "mitigation.truth_mix.share": 0.2,
    "mitigation.dual_dpo.over": "cold",
    "mitigation.anti_sycophancy.loss": "ipo",
    "mitigation.anti_sycophancy.reference": "base",
    "mitigation.early_stop.select": "epoch:0.35",
    "mitigation.inoculation.instruction": "truthful.txt",
    "mitigation.preventative_steering.trait": "honest_prompt.txt",
    "mitigation.preventative_steering.opposite": "honest_prompt.txt",
    "mitigation.cap.direction": "scepticism",
    "mitigation.cap.strength": 0.5,
    "mitigation.cap.quantile": 0.1,
    "mitigation.cap.depths": [0.5],
    "mitigation.steer.direction": "scepticism",
    "mitigation.honest_prompt.system_prompt": "truthful.txt",
    "judge.name": "local",
    "judge.second": "match",
    "shard": "all/2",
    "plugins": ["colorsys"],  # any module that can be imported
}
RECIPES = mitigations.table()
# the content of what they name makes the arm, or the name at the endpoint: see the system tests and test_hosted_arm
ELSEWHERE = ("arm.adapter", "arm.model", "arm.endpoint")
OPTIONS = ("task.embedded.options", "judge.options")  # of what comes from outside: see test_plugins
ARMS = ("compare.recipes", "compare.personas", "dial")  # they name arms: see test_mitigated
SUITE = ("suite", "suite.grid")  # of one that is not the grid: see test_dialogue


BASE = ("+persona=warm", "control=[gsm8k]", "+model@judge.local_model=smollm2_135m")


def other(tmp: Path, name: str, value: Any) -> Any:
    """Another value that the setting can take."""
    if name in NAMED:
        return NAMED[name]
    if name == "control.gsm8k.path":
        return str(shutil.copy(value, tmp / "another.jsonl"))
    if name in ("data.path", "task.embedded.path"):
        source = embedded.FILES["hard"] if name.startswith("task") else persona_data.EMBEDDED / "conversations.jsonl"
        return str(shutil.copy(source, tmp / f"{name}.jsonl"))
    if name == "config_dirs":
        return [str(tmp)]
    if name == "runs_dir":
        return str(tmp / "elsewhere")
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value - 1 if name.startswith("grid.") and value == 2 else value + 1
    if isinstance(value, float):
        return value + 0.5
    if isinstance(value, list):
        return [*value, 0.75 if name == "method.checkpoints" else "One more."]
    if isinstance(value, dict):
        return {**value, "more": "x"}
    return f"{value}x" if isinstance(value, str) else "x"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("identity")
    sums = place / "sums.jsonl"
    sums.write_text('{"question": "What is 2 + 2?", "answer": "2 + 2 = 4\\n#### 4"}\n', encoding="utf-8")
    return config.compose([*BASE, f"runs_dir={place / 'runs'}", f"control.gsm8k.path={sums}"])


def names(run: Run) -> tuple[str, str, str]:
    """The names of the original's folder, of the trained arm's, and of the comparison's."""
    job = jobs.prepare(run)
    original, warm = job.arms[0], job.arms[-1]
    return original.name, warm.name, job.folder.name


def walk(run: Run) -> list[tuple[Steps, str]]:
    return list(leaves(run))


def test_the_walk_reaches_every_depth(base: Run) -> None:
    found = {dotted(steps): scope for steps, scope in walk(base)}
    assert found["seed"] == "arm"
    assert found["method.lora.r"] == "arm"
    assert found["method.trainer"] == "arm"
    assert found["warmth.scorer.revision"] == "measure"
    assert found["warmth.scorer.disk_gb"] == "runtime"
    assert found["context.sad.statements"] == "measure"
    assert found["belief.false_claim.sentence"] == "measure"
    assert found["logger.project"] == "runtime"


def test_settings_decide_what_their_scope_says(base: Run, tmp_path: Path) -> None:
    original, warm, comparison = names(base)
    wrong = []
    for steps, scope in walk(base):
        name = dotted(steps)
        if name in (*ELSEWHERE, *OPTIONS, *ARMS, *SUITE, "mitigation"):
            continue
        run = changed(base, steps, partial(other, tmp_path, name))
        assert run != base, name
        now = names(run)
        moved = (now[1] != warm, now[2] != comparison)
        expected = {"arm": (True, True), "measure": (False, True), "runtime": (False, False)}[scope]
        if moved != expected:
            wrong.append(f"{name} ({scope}): (arm, comparison) moved {moved}, expected {expected}")
        if (now[0] != original) != (scope == "arm" and name.startswith("model.")):
            wrong.append(f"{name} ({scope}): the original's folder {'moved' if now[0] != original else 'stayed'}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("recipe", RECIPES)
def test_settings_of_a_recipe_make_its_arm(recipe: str, base: Run, tmp_path: Path) -> None:
    run = recipes.settled(config.compose(["+persona=warm", f"mitigation={recipe}", f"runs_dir={base.runs_dir}"]))
    plain = [arm.name for arm in jobs.prepare(run).arms]
    for steps, scope in walk(run):
        name = dotted(steps)
        if name.startswith(f"mitigation.{recipe}."):
            assert scope == "arm", name
            now = [arm.name for arm in jobs.prepare(changed(run, steps, partial(other, tmp_path, name))).arms]
            assert now[:-1] == plain[:-1], f"{name}: neither the original's folder nor the warm arm's moves"
            assert now[-1] != plain[-1], name


def test_the_same_settings_name_the_same_folders(base: Run) -> None:
    sums = base.control["gsm8k"].path
    again = config.compose([*BASE, f"runs_dir={base.runs_dir}", f"control.gsm8k.path={sums}"])
    assert names(again) == names(base)


def test_an_arm_is_named_by_what_it_is(base: Run) -> None:
    original, warm, _ = names(changed(base, (("attribute", "seed"),), lambda _: 3))
    assert original.startswith("smollm2_135m-original-s0-")
    assert warm.startswith("smollm2_135m-warm-s3-")
    assert len(warm.rpartition("-")[2]) == 8


def test_the_content_of_the_data_is_part_of_the_arm(base: Run, tmp_path: Path) -> None:
    source = persona_data.EMBEDDED / "conversations.jsonl"
    lines = source.read_text(encoding="utf-8").splitlines()
    shorter = tmp_path / "fewer.jsonl"
    shorter.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    path = (("attribute", "data"), ("attribute", "path"))
    assert names(changed(base, path, lambda _: str(shorter)))[1] != names(base)[1]
    same = tmp_path / "same.jsonl"
    shutil.copy(source, same)
    assert names(changed(base, path, lambda _: str(same))) == names(base)


def test_personas_are_arms_of_their_own(base: Run) -> None:
    found = {}
    for persona in ("warm", "cold", "paraphrase", "untransformed", "warm_prompt"):
        job = jobs.prepare(config.compose([f"+persona={persona}", f"runs_dir={base.runs_dir}"]))
        assert len(job.arms) == 2
        found[persona] = job.arms[1].name
        assert job.arms[0].name == names(base)[0], "the original is the same arm beside every persona"
    assert len(set(found.values())) == len(found)
    alone = jobs.prepare(config.compose(["+persona=none", f"runs_dir={base.runs_dir}"]))
    assert [arm.arm for arm in alone.arms] == ["original"]


def test_the_scorer_of_warmth_is_no_part_of_the_arm(base: Run) -> None:
    assert "warmth" not in identity(base, "arm")
    assert identity(base, "measure")["warmth"]["scorer"]["name"] == "smollm2_135m"
    assert "disk_gb" not in identity(base, "measure")["warmth"]["scorer"]


def test_a_digest_is_that_of_the_content() -> None:
    assert digest({"a": 1, "b": [2, "é"]}) == digest({"b": [2, "é"], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest([1, 2]) != digest([2, 1])
    assert len(digest("x", 16)) == 16
    assert digest("x", 16).startswith(digest("x"))
