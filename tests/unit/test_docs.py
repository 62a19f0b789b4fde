"""The pages that a reader follows: links lead somewhere, what is named exists, what exists is named, nothing drifts."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import re
import shlex
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import yaml
from comparison_folder import build_comparison, build_mitigations, synthetic_items

from warmgap import words
from warmgap.cli import commands
from warmgap.errors import UserError
from warmgap.evaluate.judges import agreement
from warmgap.evaluate.report import comparison
from warmgap.evaluate.stats import dose, ppi
from warmgap.settings import config

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", *DOCS)
PLACES = r"(?:conf|train|evaluate|mitigations|warmgap|tests|benchmarks|docs|\.ci)"


@pytest.fixture(params=PAGES)
def where(request: pytest.FixtureRequest) -> Path:
    """Where a page lies."""
    return ROOT / str(request.param)


@pytest.fixture
def page(where: Path) -> str:
    """A page as text."""
    return where.read_text(encoding="utf-8")


def script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# ---- what is named exists ----


def test_relative_links_lead_somewhere(page: str, where: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)", page) + re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    for link in links:
        if not re.match(r"[a-z]+:|#", link):
            assert (where.parent / link.partition("#")[0]).exists(), f"nothing at {link}"


def test_files_that_are_named_exist(page: str) -> None:
    for name in re.findall(rf"(?<![\w/.-])({PLACES}/[\w./*-]*\w)", page):
        if "*" not in name and not re.search(rf"{re.escape(name)}[<…]|<", page[page.find(name) : page.find(name) + 60]):
            assert (ROOT / name).exists() or list(ROOT.glob(f"{name}*")), f"{name} does not exist"


def test_commands_that_are_named_exist(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands.run(["--help"])
    known = re.findall(r"(?m)^    (\w+)  ", capsys.readouterr().out)
    assert "plan" in known
    for name in re.findall(r"(?m)(?:^|`)\s*\$? ?warmgap (\w+)", page):
        assert name in known, f"warmgap {name}"
    targets = re.findall(r"(?m)^([\w.]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    for name in re.findall(r"(?m)(?:^|`)\s*\$? ?make (\w+)", page):
        assert name in targets, f"make {name}"
    for name in re.findall(r"(?m)(?:^|`)\s*\$? ?python ([\w/]+\.py)", page):
        assert (ROOT / name).is_file(), name


@functools.cache
def complaint(*words: str) -> str:
    """What is said of settings that cannot be used; many pages show the same command."""
    try:
        config.compose(list(words))
    except UserError as error:
        return str(error)
    return ""


def test_settings_that_are_shown_can_be_set(page: str) -> None:
    """Each ``python train.py …`` line composes; placeholders in capitals, sweeps and shown mistakes aside."""
    for line in re.findall(r"(?m)(?:^|`)\s*\$? ?python train\.py ([^`\n#]+)(?!.*\nerror:)", page):
        words = [word for word in shlex.split(line.replace("\\", " ")) if "=" in word]
        if re.search(r"[…<>]|=\$?[A-Z_]+\b|\.\.\.|=NAME-DATE", line) or " -m " in f" {line} ":
            continue
        if not any(word.startswith(("+persona=", "experiment=mitigation")) for word in words):
            words.append("+persona=none")
        if said := complaint(*words):
            pytest.fail(f"python train.py {line}\n{said}")


def test_the_project_is_described_by_files_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"]["warmgap"] == "warmgap.cli:main"
    for name in project["license-files"]:
        assert (ROOT / name).is_file()


def test_the_readme_is_what_a_newcomer_reads() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200
    for name in ("conf", "train", "evaluate", "mitigations", "warmgap", "docs", "tests"):
        assert any(line.startswith(f"{name}/ ") for line in lines), f"it does not say where {name}/ lies"


def test_the_version_is_said_once_more_where_it_is_cited() -> None:
    from warmgap.version import VERSION

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == VERSION
    assert cited["preferred-citation"]["doi"] in (ROOT / "README.md").read_text(encoding="utf-8")


# ---- what exists is named: files and columns ----

COLUMNS = {
    "answers.parquet": words.ANSWER_COLUMNS,
    "effects.csv": words.EFFECT_COLUMNS,
    "cells.csv": words.CELL_COLUMNS,
    "warmth.csv": words.WARMTH_COLUMNS,
    "training.csv": words.TRAINING_COLUMNS,
    "study.csv": words.STUDY_COLUMNS,
    "controls.csv": words.RATE_COLUMNS,
    "equivalence.csv": words.EQUIVALENCE_COLUMNS,
    "mitigations.csv": words.MITIGATION_COLUMNS,
    "dose.csv": dose.POINTS,
    "dose_fits.csv": dose.FITS,
    "dose_curve.csv": dose.CURVE,
    "agreement.csv": agreement.AGREEMENT,
    "differences.csv": agreement.DIFFERENCES,
    "corrected.csv": ppi.CORRECTED,
}


@pytest.fixture(scope="module")
def documented() -> dict[str, list[str]]:
    """The columns (or keys) that docs/files.md explains, by file; only those whose meaning is said count."""
    text = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    parts = re.split(r"(?m)^### ", text)[1:]
    return {part.splitlines()[0]: re.findall(r"(?m)^\| `(\w+)` \| \S", part) for part in parts}


@pytest.mark.parametrize("name", COLUMNS)
def test_each_column_is_explained_and_none_that_is_not_there(name: str, documented: dict[str, list[str]]) -> None:
    assert sorted(documented[name]) == sorted(COLUMNS[name])


def test_each_column_of_a_finished_comparison_is_explained(tmp_path: Path, documented: dict[str, list[str]]) -> None:
    plain = build_comparison(tmp_path / "plain", items=synthetic_items(8))
    recipes = build_mitigations(tmp_path / "recipes", seeds=1, recipes=["truth_mix"])
    found = 0
    for path in sorted([*plain.iterdir(), *recipes.iterdir()]):
        if path.suffix == ".json":
            names = list(json.loads(path.read_text(encoding="utf-8")))
        else:
            names = list((pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)).columns)
        assert set(names) <= set(documented[path.name]), path.name
        found += len(names)
    assert found > 150


def test_each_key_of_a_summary_is_explained(documented: dict[str, list[str]]) -> None:
    assert set(comparison.SUMMARY_KEYS) <= set(documented["summary.json"])
    for source in ("evaluate/report/write.py", "evaluate/report/mitigation_verdicts.py", "warmgap/sweep.py"):
        text = (ROOT / source).read_text(encoding="utf-8")
        for name in re.findall(r"summary(?:\.get\(|\[)\"(\w+)\"", text):
            assert name in documented["summary.json"], f"{source}: {name}"


# ---- what is made at each build ----


def test_each_command_and_option_is_on_its_page() -> None:
    made = script("generate").filled((ROOT / "docs" / "commands.md").read_text(encoding="utf-8"))
    parsers = next(a for a in commands.parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    assert len(parsers) > 10
    for name, parser in parsers.items():
        part = made.partition(f"\n## warmgap {name}\n")[2].partition("\n## ")[0]
        assert part, name
        for action in parser._actions:
            for option in action.option_strings:
                assert option in ("-h", "--help") or f"| `{option}" in part, f"warmgap {name} {option}"


def test_each_setting_is_on_its_page_with_its_value() -> None:
    made = script("generate").filled((ROOT / "docs" / "settings.md").read_text(encoding="utf-8"))
    composed = config.flat(config.compose(["+persona=warm", "method=dpo"]))
    for key in composed:
        named = re.sub(r"^(task|context|belief|control)\.\w+\.", r"\1.NAME.", key)
        if not key.startswith("warmth.scorer."):
            assert f"| `{named}` |" in made or f"\n### {named}\n" in made or composed[key] == {}, key
    rate = config.flat(config.compose(["+persona=warm"]))["method.learning_rate"]
    assert f"| `method.learning_rate` | `float` | `{rate}` | arm |" in made
    for path in (ROOT / "conf").glob("*/*.yaml"):
        if path.parent.name != "own":
            assert f"| `{path.stem}` | " in made, path


def test_each_choice_says_what_it_is() -> None:
    generate = script("generate")
    for path in (ROOT / "conf").glob("*/*.yaml"):
        assert generate.opening(path), f"{path.relative_to(ROOT)} opens without a comment"


def test_links_lead_to_the_page_on_the_site_or_become_text() -> None:
    relinked = script("generate").relinked
    known = {"index.md", "contributing.md", "validity.md", "api/stats.md"}
    assert relinked("[a](docs/validity.md#x)", "CONTRIBUTING.md", known) == "[a](validity.md#x)"
    assert relinked("[a](../CONTRIBUTING.md)", "docs/validity.md", known) == "[a](contributing.md)"
    assert relinked("[a](../validity.md)", "docs/api/stats.md", known) == "[a](../validity.md)"
    assert relinked("see [`b/`](../tests/replies).", "docs/validity.md", known) == "see `b/`."
    assert relinked("![a](warmth.svg) [b](https://c)", "docs/index.md", known) == "![a](warmth.svg) [b](https://c)"


def test_the_picture_of_imports_shows_every_file_and_no_arrow_that_follows_from_others() -> None:
    imports = script("imports")
    root = ET.fromstring(imports.picture())
    said = {element.text for element in root.iter() if element.tag.endswith("text")}
    for path in imports.sources():
        own = path.name if path.parent == ROOT / "warmgap" else path.stem
        assert path.name == "__init__.py" or own in said, path
    _, arrows = imports.floors()
    kept = imports.essential(arrows)
    circle = imports.circles(arrows)
    drawn: dict[str, set[str]] = {name: set(circle[name]) - {name} for name in arrows}
    for start, end in kept:
        drawn[start].add(end)
    for name in arrows:
        assert imports._reach(name, arrows) | circle[name] == imports._reach(name, drawn) | circle[name]
    for start, end in kept:
        less = {name: others - {end} if name == start else others for name, others in drawn.items()}
        assert end not in imports._reach(start, less), f"{start} → {end} follows from others"
    floor = {part: height for height, parts in enumerate(imports.levels()) for part in parts}
    for start, end in kept:
        assert floor[imports.part_of(end)] <= floor[imports.part_of(start)], f"{start} → {end} leads upwards"


def test_every_page_is_in_the_menu() -> None:
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = set(re.findall(r"[\w/]+\.md", str(menu)))
    taken = set(script("generate").TAKEN_IN.values())
    assert named == {path.removeprefix("docs/") for path in DOCS} | taken


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_forms_and_workflows_can_be_read(path: Path) -> None:
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.parent.name == "ISSUE_TEMPLATE" and path.name != "config.yml":
        assert {"name", "description", "body"} <= set(read)
        ids = [part["id"] for part in read["body"] if part["type"] != "markdown"]
        assert len(ids) == len(set(ids)) > 2
    if path.parent.name == "workflows":
        assert read["jobs"]
