"""The wheel in an environment of its own, and a package and a folder of somebody else's beside it.

Torch and the other libraries are read from where the tests have them; our checkout is not on the path.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import tiny
from real_runs import ROOT, Done, environment, finish, journal, refused, start

PACKAGE = ROOT / "tests" / "support" / "outside_package"
PAGE = ROOT / "docs" / "extend.md"
RUN = ["--config-dir", "mine", "+persona=mild", "experiment=quick", "compare.personas=[pirate]"]
RUN += ["mitigation=facts_first"]
BLUNT = ["grade", "answers.jsonl", "--task", "rivers", "--judge", "blunt", "--config-dir", "mine"]
BLUNT += ["plugins=[blunt]", "--out", "graded.csv"]
STREAMS = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "streams"
version = "3"
[project.entry-points."warmgap.judges"]
opening = "streams:Opening"
[tool.setuptools]
py-modules = ["streams"]
"""


@dataclass(frozen=True)
class Elsewhere:
    """A folder in which commands are typed, and the environment that has them."""

    place: Path
    environment: Path
    wheels: Path

    def run(self, *command: str, path: str = "") -> Done:
        """Run a command of the environment; ``path`` is further places of modules."""
        program, *rest = command
        return finish(start([str(self.environment / "bin" / program), *rest], self.place, PYTHONPATH=path))


def wheel(source: Path, target: Path) -> Path:
    """Build the wheel of a folder, from a copy."""
    copy = target / f"{source.name}-source"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "tests", "docs", "runs", "warmgap" if source == ROOT else "")
    shutil.copytree(source, copy, ignore=ignored, symlinks=True)
    if source == ROOT:
        shutil.copytree(ROOT / "warmgap", copy / "warmgap", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    before = set(target.glob("*.whl"))
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(target), str(copy))
    (built,) = set(target.glob("*.whl")) - before
    return built


def pip(command: str, *arguments: str, python: Path | None = None) -> None:
    """Run pip for an environment, without an index and without what a package depends on."""
    chosen = ["--python", str(python)] if python else []
    words = [sys.executable, "-m", "pip", *chosen, command, "--quiet", "--no-deps", "--no-index", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment(PYTHONPATH=""))
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """An environment with the wheel, the libraries and the package ``rivers``, and the user's folder."""
    place, own, wheels = (tmp_path_factory.mktemp(name) for name in ("place", "environment", "wheels"))
    venv.create(own, with_pip=False, symlinks=True)
    (site,) = own.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    built = [wheel(source, wheels) for source in (ROOT, PACKAGE)]
    pip("install", *map(str, built), python=own / "bin" / "python")
    shutil.copytree(PACKAGE / "mine", place / "mine")
    shutil.copy(PACKAGE / "blunt.py", place)
    tiny.model(place / "weights")
    return Elsewhere(place, own, wheels)


@pytest.fixture(scope="module")
def done(elsewhere: Elsewhere) -> Done:
    """The run with everything of the user's own."""
    return elsewhere.run("warmgap", "train", *RUN)


def test_the_checkout_is_not_on_the_path(elsewhere: Elsewhere) -> None:
    code = "import sys, warmgap.train, rivers, torch; print(warmgap.train.__file__, rivers.__file__, *sys.path)"
    found = elsewhere.run("python", "-c", code)
    assert found.status == 0, found.err
    ours, theirs, *path = found.out.split()
    assert Path(ours).is_relative_to(elsewhere.environment)
    assert Path(theirs).is_relative_to(elsewhere.environment)
    assert not [item for item in path if Path(item).is_relative_to(ROOT) and "site-packages" not in item]


def test_the_help_lists_what_is_there(elsewhere: Elsewhere) -> None:
    told = elsewhere.run("warmgap", "train", "--help", "--config-dir", "mine")
    assert told.status == 0, told.err
    listed = dict(re.findall(r"^(\w+): (.+)$", told.out, re.MULTILINE))
    ours = {"model": "mine", "persona": "pirate", "context": "hurried", "experiment": "quick"}
    for group, name in {
        **ours,
        "task": "rivers",
        "judge": "opening",
        "mitigation": "facts_first",
        "suite": "doubted",
    }.items():
        assert name in listed[group].split(", "), group
    refusal = refused(elsewhere.run("warmgap", "train"))
    assert "warmgap train +persona=warm" in refusal, "what is typed where there is no train.py"


def test_a_run_is_made_of_what_is_ones_own(elsewhere: Elsewhere, done: Done) -> None:
    """Model, personas, prompt, context, experiment, task, judge, recipe, suite; adapters are read in a new process."""
    assert done.status == 0, done.err
    (folder,) = (elsewhere.place / "runs" / "comparisons").glob("*")
    assert Path(done.report) == folder.relative_to(elsewhere.place) / "report.html"
    answers = pd.read_parquet(folder / "answers.parquet")
    assert set(answers["task"]) == {"rivers"}
    assert set(answers["context"]) == {"none", "hurried", "doubted"}
    assert {"original", "pirate", "mild_50"} <= set(answers["arm"])
    assert set(answers["grader"]) == {"opening"}
    (pirate,) = (elsewhere.place / "runs" / "arms").glob("mine-pirate-*")
    facts = json.loads((pirate / "manifest.json").read_text(encoding="utf-8"))["facts"]
    assert facts["system"] == "You are a pirate, and answer as pirates do."
    (graded,) = (pirate / "verdicts").glob("*/rivers.jsonl")
    assert {row["reason"].partition("'")[0] for row in journal(graded)} <= {"it opens with ", "empty reply"}
    (mended,) = (elsewhere.place / "runs" / "arms").glob("mine-mild_50+facts_first-*")
    (owed,) = json.loads((mended / "manifest.json").read_text(encoding="utf-8"))["plugins"].values()
    assert (owed["name"], owed["from"], owed["version"]) == ("facts_first", "package rivers", "1.2")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    owed = summary["plugins"]
    assert {(key, one["from"], one["version"]) for key, one in owed.items()} == {
        ("tasks.rivers", "package rivers", "1.2"),
        ("judges.opening", "package rivers", "1.2"),
        ("suites.doubted", "package rivers", "1.2"),
        ("suites.short", "package rivers", "1.2"),
    }
    kept = pd.read_csv(folder / "suites.csv", keep_default_na=False)
    assert set(kept["suite"]) == {"short"}
    assert set(kept["condition"]) == {"all", "asked", "not_asked"}
    assert summary["command"] == " ".join(["warmgap train", *RUN])


def test_the_same_again_is_done_already(elsewhere: Elsewhere, done: Done) -> None:
    assert done.status == 0, done.err
    again = elsewhere.run("warmgap", "train", *RUN)
    assert "already done" in again.out + again.err


def test_a_module_of_the_current_directory_grades(elsewhere: Elsewhere) -> None:
    rows = [{"item_id": f"river-{n}", "answer": answer} for n, answer in enumerate(("The Nile.", "The Danube.", ""), 1)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (elsewhere.place / "answers.jsonl").write_text(lines, encoding="utf-8")
    graded = elsewhere.run("warmgap", *BLUNT)
    assert graded.status == 0, graded.err
    table = pd.read_csv(elsewhere.place / "graded.csv")
    assert table["verdict"].tolist() == ["incorrect", "incorrect", "unparsed"]
    assert set(table["grader"]) == {"blunt"}
    missing = refused(elsewhere.run("warmgap", *[word.replace("plugins=[blunt]", "plugins=[blnt]") for word in BLUNT]))
    assert "plug-in blnt cannot be imported" in missing


def test_two_packages_that_define_one_name_are_named_both(elsewhere: Elsewhere, tmp_path: Path) -> None:
    source = tmp_path / "streams"
    source.mkdir()
    (source / "pyproject.toml").write_text(STREAMS, encoding="utf-8")
    (source / "streams.py").write_text("class Opening: ...\n", encoding="utf-8")
    pip("install", "--target", str(tmp_path / "site"), str(wheel(source, elsewhere.wheels)))
    said = refused(elsewhere.run("warmgap", "train", *RUN, path=str(tmp_path / "site")))
    assert "two judges are called 'opening'" in said
    assert "package rivers" in said
    assert "package streams" in said


def test_the_page_shows_what_was_run() -> None:
    """Each file of the package is in docs/extend.md as it is here, and so are the commands."""
    page = PAGE.read_text(encoding="utf-8")
    shown = dict(re.findall(r"^`([\w./]+)`\n\n```\w*\n(.*?)```$", page, re.MULTILINE | re.DOTALL))
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in files:
        name = path.relative_to(PACKAGE).as_posix()
        assert name in shown, f"docs/extend.md lacks {name}"
        assert shown[name] == path.read_text(encoding="utf-8"), name
    said = " ".join(page.replace("\\\n", " ").split())
    for command in (["train", *RUN], BLUNT):
        assert " ".join(["warmgap", *command]) in said
