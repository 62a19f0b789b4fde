"""The pages that a reader follows: links lead somewhere, and what is named in them exists."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from warmgap.cli import commands
from warmgap.errors import UserError
from warmgap.settings import config

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/mitigations.md")
PLACES = r"(?:conf|train|evaluate|mitigations|warmgap|tests|benchmarks|docs|\.ci)"


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    """A page as text."""
    path = ROOT / request.param
    if not path.exists():
        pytest.skip(f"there is no {request.param}")
    return path.read_text(encoding="utf-8")


def test_relative_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)", page) + re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    for link in links:
        if not re.match(r"[a-z]+:|#", link):
            assert (ROOT / link.partition("#")[0]).exists(), f"nothing at {link}"


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
    for script in re.findall(r"(?m)(?:^|`)\s*\$? ?python ([\w/]+\.py)", page):
        assert (ROOT / script).is_file(), script


def test_settings_that_are_shown_can_be_set(page: str) -> None:
    """Each ``python train.py …`` line composes, placeholders in capitals and sweeps aside."""
    for line in re.findall(r"(?m)(?:^|`)\s*\$? ?python train\.py ([^`\n#]+)", page):
        words = [word for word in shlex.split(line.replace("\\", " ")) if "=" in word]
        if re.search(r"[…<>]|=[A-Z_]+\b|\.\.\.", line) or " -m " in f" {line} ":
            continue
        if not any(word.startswith(("+persona=", "experiment=mitigation")) for word in words):
            words.append("+persona=none")
        try:
            config.compose(words)
        except UserError as error:
            pytest.fail(f"python train.py {line}\n{error}")


def test_the_project_is_described_by_files_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"]["warmgap"] == "warmgap.cli:main"
    for name in project["license-files"]:
        assert (ROOT / name).is_file()
