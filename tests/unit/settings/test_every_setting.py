"""Each setting there is, given what no setting should take: it is refused in three lines, or it makes sense."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from warmgap import mitigations
from warmgap.errors import UserError
from warmgap.settings import command_schema, config, fits, mitigation_schema, schema
from warmgap.settings.explain import inner
from warmgap.settings.limits import check_values

# Values that make each class of settings whole; what is tried is put in their place.
WHOLE: dict[str, dict[str, Any]] = {
    "ModelConfig": {"name": "m", "source": "local", "path": "somewhere"},
    "PersonaConfig": {"name": "warm"},
    "DataConfig": {"name": "file"},
    "MethodConfig": {"name": "sft", "learning_rate": 1e-5, "epochs": 1.0, "batch_size": 1, "max_length": 8},
    "ContextConfig": {"group": "emotion", "statements": ["I am sad."]},
    "BeliefConfig": {"sentence": "I think it is {incorrect}."},
    "GridConfig": {"name": "full", "contexts_per_item": 1, "beliefs_per_context": 1},
    "GenerateConfig": {"max_new_tokens": 8, "temperature": 0.0},
    "JudgeConfig": {"name": "match"},
    "WarmthConfig": {"scorer": {"name": "m", "source": "hub"}, "prompts": 2, "checkpoint_prompts": 2,
                     "max_new_tokens": 8},
    "LoggerConfig": {"name": "none"},
    "HostedConfig": {"model": "m"},
    "PairsConfig": {"feelings": ["none"]},
    "AdapterScale": {"alpha": 0.5},
    "AntiSycophancy": {"loss": "ipo", "beta": 0.1, "reference": "sft"},
    "Cap": {"direction": "sycophancy", "strength": 1.0, "quantile": 0.1, "depths": [0.5], "texts": 2},
    "Consistency": {"max_new_tokens": 8},
    "DualDpo": {"beta": 0.1, "keep": 0.9, "rate": 1.0, "over": "plain", "messages": 2, "texts": 2},
    "EarlyStop": {"select": "last"},
    "HonestPrompt": {"system_prompt": "truthful.txt"},
    "Inoculation": {"instruction": "truthful.txt"},
    "KlAnchor": {"weight": 0.1, "anchors": 2},
    "PreventativeSteering": {"strength": 1.0, "depth": 0.5, "texts": 2, "trait": "a.txt", "opposite": "b.txt"},
    "SelfDistil": {"instruction": "truthful.txt", "attempts": 2, "temperature": 1.0, "max_new_tokens": 8},
    "Steer": {"direction": "sycophancy", "strength": 1.0, "depth": 0.5, "texts": 2},
    "TruthMix": {"share": 0.5},
}  # fmt: skip
FURTHER = {"learning_rate": 1e-5, "epochs": 1.0, "batch_size": 2}
ZERO = {  # what may be 0, or nobody would set it so
    "LauncherConfig": "retries gpus",
    "CallsConfig": "retries price_in price_out max_cost",
    "LoraConfig": "dropout",
    "MethodConfig": "warmup weight_decay",
    "SourceConfig": "seed",
    "ControlConfig": "temperature",
    "PersonaConfig": "strength",
    "ModelConfig": "disk_gb",
    "GridConfig": "contexts_per_item beliefs_per_context seed",
    "GenerateConfig": "temperature seed",
    "EndpointConfig": "temperature seed",
    "JudgeConfig": "overlap window",
    "WarmthConfig": "temperature",
    "Run": "seed bootstrap",
    "CompareConfig": "",
    "SearchConfig": "trials seed",
    "HostedConfig": "seed learning_rate_multiplier price_train",
    "PrepareConfig": "seed",
    "RewriteConfig": "similarity max_set_aside",
    "PairsConfig": "heldout",
    "AdapterScale": "alpha",
    "Cap": "strength quantile",
    "DualDpo": "keep rate",
    "KlAnchor": "weight",
    "PreventativeSteering": "strength depth",
    "SelfDistil": "temperature",
    "Steer": "strength depth",
}
NEGATIVE = {"RewriteConfig": "similarity", "PreventativeSteering": "strength", "Steer": "strength"}
NUMBERS, HUGE = (int, float), (10**40, 1e300, 10**19)
NO_NUMBERS = ("abc", "", " ", "1e", "0x10", "1,5", "\x1b[31m", [1], {"a": 1}, "${nothing}", "${oc.env:WARMGAP_NOTHING}")
NO_TEXTS = ("", " ", "\n", "\x00", "a\x1b[31mb", "a\x07", "\ud83d", "a\x7f", "x" * 1_000_000, [1], {"a": 1},
            "${nothing}", "${oc.env:WARMGAP_NOTHING}", "${name", "${x.y:1,2}")  # fmt: skip
NO_NAMES = ("../up", "a/b", "/root", "a\\b", "..", ".", ".hidden", "-rf", "a b", "a\nb", "nul", "CON", "com1.txt",
            "a:b", "a*", "a?", "<a>", "a|b", '"a"', "é" * 60, "a" * 300, "=1+1", "a\u202eb")  # fmt: skip


def classes() -> list[type]:
    kinds = {**vars(schema), **vars(command_schema), **vars(mitigation_schema)}.values()
    found = [kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    return [*dict.fromkeys(found), *mitigations.RECIPES]


def owner(kind: type, name: str) -> str:
    """The class that declares a field first."""
    return next(one.__name__ for one in kind.__mro__[::-1] if name in getattr(one, "__annotations__", {}))


def leaves(*sorts: type) -> Iterator[Any]:
    """Every setting of these types, by its class and name; those of a base class once."""
    for kind in classes():
        for name, hint in typing.get_type_hints(kind).items():
            plain = inner(hint)
            if name in {field.name for field in dataclasses.fields(kind)} and plain in sorts:
                yield pytest.param(kind, name, id=f"{kind.__name__}.{name}")


def given(kind: type, name: str, value: Any) -> Any:
    """The settings of a class with one of them set, checked as the command line has them checked."""
    whole = WHOLE.get(kind.__name__, {}) | (FURTHER if issubclass(kind, mitigations.base.FurtherTraining) else {})
    if kind is schema.Run:
        return getattr(config.changed(run(), {name: value}), name)
    return getattr(config.made(kind, {**whole, name: value}, "group"), name)


_RUN: list[schema.Run] = []


def run() -> schema.Run:
    if not _RUN:
        _RUN.append(config.compose(["+persona=warm", "control=[gsm8k]", "+model@judge.local_model=smollm2_135m"]))
    return _RUN[0]


def refused(kind: type, name: str, value: Any) -> None:
    with pytest.raises(UserError) as caught:
        given(kind, name, value)
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "why", "fix"], lines
    assert all(line.partition(":")[2].strip() and line.isprintable() for line in lines), lines
    assert name in lines[0] or f"group.{name}" in lines[1], lines


def takes(table: dict[str, str], kind: type, name: str) -> bool:
    return name in table.get(owner(kind, name), "").split() or name in table.get(kind.__name__, "").split()


@pytest.mark.parametrize(("kind", "name"), [*leaves(*NUMBERS)])
def test_a_number_is_one_that_makes_sense(kind: type, name: str) -> None:
    huge = HUGE[:-1] if _fits(kind, name) is fits.RATE else HUGE  # what diverges is told while it trains
    for value in (*NO_NUMBERS, *huge, -1e300, math.nan, math.inf, -math.inf, "nan", "inf"):
        refused(kind, name, value)
    for value, table in ((0, ZERO), (-1, NEGATIVE)):
        if (value == -1 and not takes(table, kind, name)) or (value == 0 and not takes(table, kind, name)):
            refused(kind, name, value)
    if inner(typing.get_type_hints(kind)[name]) is int:
        refused(kind, name, 1.5)
        refused(kind, name, "1.5")
    if takes(ZERO, kind, name):
        assert given(kind, name, 0) == 0
    if type(None) not in typing.get_args(typing.get_type_hints(kind)[name]):
        refused(kind, name, None)


@pytest.mark.parametrize(("kind", "name"), [*leaves(str)])
def test_a_text_says_something_and_has_no_control_characters(kind: type, name: str) -> None:
    for value in NO_TEXTS:
        refused(kind, name, value)
    if dataclasses.fields(kind) and _fits(kind, name) is fits.NAME:
        for value in NO_NAMES:
            refused(kind, name, value)


@pytest.mark.parametrize(("kind", "name"), [*leaves(bool)])
def test_a_switch_is_on_or_off(kind: type, name: str) -> None:
    for value in ("maybe", "", 2.5, [True], {"a": 1}, "${nothing}"):
        refused(kind, name, value)
    assert given(kind, name, "true") is True


@pytest.mark.parametrize(("kind", "name"), [*leaves(list[str], list[float], list[int])])
def test_a_list_is_one_of_things_that_make_sense(kind: type, name: str) -> None:
    for value in ("text", 3, [""], ["\x1b"], [[1]], [None], [{"a": 1}], {"a": 1}, ["${nothing}"]):
        refused(kind, name, value)
    for value in ([math.nan], [math.inf], [-1], [True]) if "str" not in _hint(kind, name) else ():
        refused(kind, name, value)


@pytest.mark.parametrize(("kind", "name"), [*leaves(dict[str, Any], dict[str, float])])
def test_a_group_of_any_parts_has_parts_that_make_sense(kind: type, name: str) -> None:
    for value in ("text", 3, [1], {"a": ""}, {"a": math.nan}, {"a": "\x1b"}, {"\x1b": 1}, {"a": {"b": [math.inf]}}):
        refused(kind, name, value)


def _hint(kind: type, name: str) -> str:
    return str(inner(typing.get_type_hints(kind)[name]))


def _fits(kind: type, name: str) -> fits.Fits | None:
    (field,) = (field for field in dataclasses.fields(kind) if field.name == name)
    found: fits.Fits | None = field.metadata.get("fits")
    return found


def test_every_number_and_every_name_says_what_fits() -> None:
    open_ended = [param.id for param in leaves(*NUMBERS, list[float], list[int]) if _fits(*param.values) is None]
    nameless = [
        param.id for param in leaves(str) if param.values[1] == "name" and _fits(*param.values) is not fits.NAME
    ]
    assert not open_ended, f"declare what is expected: setting(scope, default, fits=…): {open_ended}"
    assert not nameless


def test_what_is_refused_is_refused_at_every_depth() -> None:
    """Each number, name and list of a whole run, wherever it lies."""
    flat, missed = config.flat(run()), []
    for key, value in flat.items():
        wrong: Any = math.nan if isinstance(value, float) else -7 if isinstance(value, int) else "\x1b"
        if isinstance(value, bool) or value is None or key.split(".")[0] in ("plugins", "config_dirs"):
            continue
        if isinstance(value, list):
            wrong = [math.nan if key.endswith("checkpoints") else "\x1b"]
        if isinstance(value, dict):
            wrong = {"a": "\x1b"}
        try:
            config.changed(run(), {key: wrong})
            missed.append(key)
        except UserError as error:
            if key.split(".")[-1] not in f"{error.what} {error.why}":
                missed.append(f"{key}: {error}")
    assert not missed, "\n".join(missed)


def test_a_reference_to_another_setting_takes_its_value() -> None:
    assert config.compose(["+persona=warm", "seed=${bootstrap}"]).seed == 2000
    assert config.compose(["+persona=warm", "+generate.seed=${seed}", "seed=3"]).generate.seed == 3


@pytest.mark.parametrize(
    "typed",
    [
        "seed=${seed}", "seed=${nothing}", "runs_dir=${oc.env:WARMGAP_NOTHING}", "seed=${oc.decode:}", "seed=${oops:1}",
        "seed=${", "seed=${model}", "model=${seed}", "model.name=${method}", "runs_dir=${model.name}${",
        "seed=${.seed}", "seed=${..seed}", "seed=${seed}${seed}", "model.path=${model.path}",
    ],
)  # fmt: skip
def test_a_reference_that_leads_nowhere_is_three_lines(typed: str) -> None:
    with pytest.raises(UserError) as caught:
        config.compose(["+persona=warm", typed])
    assert len(str(caught.value).splitlines()) == 3


def test_a_key_typed_where_its_variable_is_named_is_not_shown() -> None:
    for setting in ("judge.key_env=sk-9d8f7e6a5b4c3d2e", "judge.base_url=sk-9d8f7e6a5b4c3d2e"):
        with pytest.raises(UserError) as caught:
            config.compose(["+persona=warm", f"++{setting}"])
        assert "9d8f7e6a5b4c3d2e" not in str(caught.value)


def test_check_values_takes_what_the_files_give() -> None:
    check_values(run(), lambda group: [*config.conf_files.choices(group)])
