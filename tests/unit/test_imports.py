"""Who may import whom, what an import may load, and the names of our code in checkout, wheel and new process."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("warmgap", "train", "evaluate", "mitigations")
LINKS = ("conf", "train", "evaluate", "mitigations")  # of the same names inside warmgap/
SOURCES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents)
)
_LEVELS = (  # from the ground up
    "version hidden errors words",
    "settings disk",
    "engines refusal",
    "train evaluate mitigations",
    "arms",
    "jobs probing pipeline sweep search worker cluster",
    "cli api inspect_task",
)
LEVELS = {level: tuple(names.split()) for level, names in enumerate(_LEVELS)}
LEVEL = {name: level for level, names in LEVELS.items() for name in names}
APART = LEVELS[3]
GROUND = (*LEVELS[0], *LEVELS[1])
HEAVY = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "wandb",
    "trackio",
    "openai",
    "aiohttp",
    "vllm",
)


def module_of(path: Path) -> str:
    """The name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "warmgap" else ("warmgap", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, *, at_import_only: bool = False) -> Iterator[str]:
    """The full names that a file imports; ``if TYPE_CHECKING`` is for the type checker and left out."""

    def visit(nodes: list[ast.stmt]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from visit(node.orelse)
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: everything is imported as warmgap.*"
                module = str(node.module)
                yield from (f"{module}.{alias.name}" for alias in node.names)
            elif not (at_import_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
                for part in ("body", "orelse", "finalbody", "handlers"):
                    inner = getattr(node, part, [])
                    for item in inner if isinstance(inner, list) else []:
                        yield from visit(item.body if isinstance(item, ast.ExceptHandler) else [item])

    yield from visit(ast.parse(path.read_text(encoding="utf-8")).body)


def within(name: str) -> str | None:
    """The part of warmgap that a full name belongs to: ``warmgap.evaluate.suites.grid.build`` → ``evaluate``."""
    parts = name.split(".")
    return parts[1] if parts[0] == "warmgap" and len(parts) > 1 and not parts[1].startswith("__") else None


def identifier(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=identifier)
def test_a_file_imports_from_its_level_and_those_below(path: Path) -> None:
    own = within(module_of(path))
    if own is None:
        assert path == ROOT / "warmgap" / "__init__.py"
        return
    assert own in LEVEL, f"{identifier(path)}: say in LEVELS (and CONTRIBUTING.md) at which level it stands"
    for name in imported(path):
        other = within(name)
        if other is not None:
            assert other in LEVEL, f"{identifier(path)} imports {name}"
            assert LEVEL[other] <= LEVEL[own], f"{identifier(path)} (level {LEVEL[own]}) imports {name}"
            if own in APART and other in APART:
                assert own == other, f"{identifier(path)} imports {name}: their contract is files on disk"


@pytest.mark.parametrize("path", SOURCES, ids=identifier)
def test_everything_of_ours_is_imported_as_warmgap(path: Path) -> None:
    for name in imported(path):
        assert name.split(".")[0] not in ("train", "evaluate", "mitigations"), f"{identifier(path)} imports {name}"


ONLY_IN = {
    "trl": lambda path: path.is_relative_to(ROOT / "train"),
    "peft": lambda path: path.is_relative_to(ROOT / "train") or path == ROOT / "warmgap" / "engines" / "adapters.py",
    "submitit": lambda path: path.parent == ROOT / "warmgap" / "cluster",
    "wandb": lambda path: path == ROOT / "warmgap" / "disk" / "tracking.py",
    "trackio": lambda path: path == ROOT / "warmgap" / "disk" / "tracking.py",
    "openai": lambda path: path == ROOT / "train" / "hosted" / "calls.py",
    "aiohttp": lambda path: path.parent == ROOT / "warmgap" / "engines" / "calls",
    "vllm": lambda path: path.parent == ROOT / "warmgap" / "engines" / "vllm",
    "anthropic": lambda path: False,
}


@pytest.mark.parametrize("path", SOURCES, ids=identifier)
def test_libraries_are_imported_where_they_belong(path: Path) -> None:
    for name in imported(path):
        allowed = ONLY_IN.get(name.split(".")[0])
        assert allowed is None or allowed(path), f"{identifier(path)} imports {name}"


def test_quirks_of_trl_stand_in_one_file() -> None:
    """Elsewhere in train/ only TRL's trainers are named; its configuration and version are known to one file."""
    for path in SOURCES:
        if path.name == "trl_compat.py":
            continue
        names = [name for name in imported(path) if name.split(".")[0] == "trl"]
        assert all(name.endswith("Trainer") for name in names), f"{identifier(path)} imports {names}"
        assert "trl.__version__" not in path.read_text(encoding="utf-8")


def known(name: str, modules: Collection[str]) -> str:
    """The module that an imported name lies in."""
    return name if name in modules else name.rpartition(".")[0]


def test_no_files_import_one_another_in_a_circle() -> None:
    modules = {module_of(path): path for path in SOURCES}
    arrows = {name: {known(other, modules) for other in imported(path)} for name, path in modules.items()}
    order = TopologicalSorter({name: [other for other in found if other != name] for name, found in arrows.items()})
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_no_folder_holds_more_than_16_files() -> None:
    for path in {source.parent for source in SOURCES}:
        files = [item.name for item in path.iterdir() if item.is_file() and not item.name.startswith(".")]
        assert len(files) <= 16, f"{identifier(path)}: {len(files)} files"


@pytest.mark.parametrize("name", LINKS)
def test_a_link_leads_to_each_folder(name: str) -> None:
    assert (ROOT / "warmgap" / name).is_symlink()
    assert (ROOT / "warmgap" / name).resolve() == ROOT / name


@pytest.mark.parametrize("path", [path for path in SOURCES if within(module_of(path)) in GROUND], ids=identifier)
def test_the_ground_stands_on_light_libraries(path: Path) -> None:
    """What every other part stands on loads nothing heavy, wherever in a file it is imported."""
    for found in imported(path):
        assert found.split(".")[0] not in HEAVY or path.name == "tracking.py", f"{identifier(path)} imports {found}"


def test_no_file_uses_assert_or_a_bare_except() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{identifier(path)}:{getattr(node, 'lineno', 0)}"
            assert not isinstance(node, ast.Assert), where
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None), where


def test_files_and_functions_are_short() -> None:
    """No function over 60 lines; every file opens with what it is for."""
    for path in [*SOURCES, ROOT / "train.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{identifier(path)} does not say what it is for"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= 60, f"{identifier(path)}:{node.lineno} {node.name} has {lines} lines"
    assert len((ROOT / "train.py").read_text(encoding="utf-8").splitlines()) <= 40


# ---- what an import loads ----


def python(code: str, cwd: Path, path: Path | None) -> str:
    """Run code in a fresh process that finds our code on ``path`` alone; return what it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, warmgap.cli, warmgap.settings.config, warmgap.cli.commands, warmgap.pipeline\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    assert python(code, tmp_path, ROOT) == "[]"


def test_importing_any_module_changes_nothing(tmp_path: Path) -> None:
    derived = ("sft.py", "dpo.py", "journal.py", "cache.py", "drawing.py")  # from classes of transformers' or vLLM's
    derived = (*derived, "inspect_task.py", "server.py")  # needs an extra; is the server itself
    modules = [module_of(path) for path in SOURCES if within(module_of(path)) and path.name not in derived]
    code = (
        "import os, sys, tempfile, importlib\n"
        f"names = {modules!r}\n"
        "before = dict(os.environ)\n"
        "for name in names:\n    importlib.import_module(name)\n"
        f"heavy = set(os.environ) ^ set(before), set({HEAVY!r}) & set(sys.modules)\n"
        "print(heavy == (set(), set()), heavy)"
    )
    assert python(code, tmp_path, ROOT).startswith("True"), "an import loads a heavy library or changes the environment"
    assert os.listdir(tmp_path) == []


# ---- the names ----

NAMES = (
    "import warmgap, warmgap.conf as conf, warmgap.train, warmgap.evaluate, warmgap.mitigations\n"
    "from warmgap.settings import conf_files, config\n"
    "from warmgap.evaluate.suites.grid import build\n"
    "from warmgap.evaluate.tasks import load_items\n"
    "from warmgap.train.persona.persona_data import KINDS, warmth_prompts\n"
    "from warmgap.settings.schema import TaskConfig\n"
    "assert len(conf_files.choices('context')) == 9, conf_files.conf_dir()\n"
    "assert len(load_items({'embedded': TaskConfig()}).items) >= 160\n"
    "assert len(warmth_prompts()) == 120\n"
    "run = config.compose(['+persona=warm'])\n"
    "print(run.persona.name)\n"
)
OF_OTHERS = (
    "import importlib.util\n"
    "spec = importlib.util.find_spec('evaluate')\n"
    "print(spec is None or spec.origin is None)\n"  # a folder without __init__ never wins over an installed package
)


def test_a_checkout_is_found_uninstalled(tmp_path: Path) -> None:
    assert python(NAMES, ROOT, None) == "warm", "from its root"
    assert python(NAMES, tmp_path, ROOT) == "warm", "from elsewhere"


def test_a_spawned_process_finds_the_same_names(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import multiprocessing\n"
        "def work(_):\n"
        "    from warmgap.evaluate.suites.grid import build\n"
        "    from warmgap.train.persona.persona_data import KINDS\n"
        "    return f'{build.__module__} {len(KINDS)}'\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(work, [0])[0])\n",
        encoding="utf-8",
    )
    command = [sys.executable, "job.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "warmgap.evaluate.suites.grid 6", done.stderr


def test_hugging_faces_evaluate_is_not_shadowed(tmp_path: Path) -> None:
    """A package of that name that is installed wins over our folder; without one, ours is no regular package."""
    assert python(OF_OTHERS, ROOT, None) == "True"
    installed = tmp_path / "site"
    (installed / "evaluate").mkdir(parents=True)
    (installed / "evaluate" / "__init__.py").write_text("WHOSE = 'theirs'\n", encoding="utf-8")
    code = f"import sys; sys.path.append({str(installed)!r})\n"
    code += (
        "import evaluate, warmgap.evaluate.suites.grid; print(evaluate.WHOSE, warmgap.evaluate.suites.grid.__name__)"
    )
    assert python(code, ROOT, None) == "theirs warmgap.evaluate.suites.grid"
    assert not (ROOT / "evaluate.py").exists()
    assert not (ROOT / "evaluate" / "__init__.py").exists()
    assert (ROOT / "train" / "__init__.py").exists(), "the package wins over train.py"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the sources, unpacked."""
    copy, unpacked = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in (*FOLDERS, "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "train.py", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    readme = ROOT / "README.md"
    (copy / "README.md").write_text(readme.read_text(encoding="utf-8") if readme.exists() else "# warmgap\n", "utf-8")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--wheel-dir", str(copy / "dist"), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(unpacked)
    return unpacked


def test_a_wheel_installs_one_package(wheel: Path) -> None:
    found = sorted(path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info"))
    assert found == ["warmgap"], "nothing called train, evaluate or conf beside it"


def test_a_wheel_carries_every_source_and_every_setting(wheel: Path) -> None:
    for folder in (*FOLDERS, "conf"):
        target = wheel / "warmgap" if folder == "warmgap" else wheel / "warmgap" / folder
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".yaml", ".txt", ".j2", ".jsonl", ".typed"):
                assert (target / path.relative_to(ROOT / folder)).is_file(), f"the wheel lacks {identifier(path)}"


def test_a_wheel_works_under_the_same_names(wheel: Path, tmp_path: Path) -> None:
    assert python(NAMES, tmp_path, wheel) == "warm"
    where = python("import warmgap.evaluate.suites.grid as grid; print(grid.__file__)", tmp_path, wheel)
    assert where.startswith(str(wheel))


def test_a_wheel_has_the_commands(wheel: Path, tmp_path: Path) -> None:
    code = "import sys; from warmgap.cli import main; sys.exit(main(['prompts', '--out', 'p.csv', 'grid=full']))"
    assert "prompts" in python(code, tmp_path, wheel)
    points = next(wheel.glob("*.dist-info")) / "entry_points.txt"
    assert "warmgap = warmgap.cli:main" in points.read_text(encoding="utf-8")
