"""No code of others runs and no pickle is opened: each call that could is looked at in the source; a new one fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder in ("warmgap", "train", "evaluate", "mitigations")
    for path in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents)
)
NEVER = {  # calls that run what a file says, or make objects of it
    "eval", "exec", "compile", "__import__", "execfile", "pickle.load", "pickle.loads", "marshal.load", "marshal.loads",
    "shelve.open", "dill.load", "joblib.load", "cloudpickle.load", "yaml.unsafe_load", "yaml.full_load", "os.system",
    "os.popen", "subprocess.getoutput", "pd.read_pickle", "pandas.read_pickle", "runpy.run_path", "torch.hub.load",
    "torch.jit.load", "np.fromregex", "code.interact",
}  # fmt: skip
PICKLES = ("pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve")
PLAIN = {"GenerationConfig", "LoraConfig", "peft.PeftModel", "PeftModel"}  # they take no code: PEFT prefers safetensors
IMPORTS_BY_NAME = {"warmgap/settings/plugins.py", "warmgap/__init__.py"}  # what the user has installed or named


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a file, with the dotted name of what is called."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keywords(call: ast.Call) -> dict[str, str]:
    """The arguments of a call by name; ``**SAFE`` as itself."""
    return {word.arg or "**": ast.unparse(word.value) for word in call.keywords}


def faults(path: Path) -> list[str]:
    """What a file calls that it must not, or not so."""
    found, name = [], path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    for called, call in calls(path):
        words, where = keywords(call), f"{name}:{call.lineno}: {called}"
        if called in NEVER:
            found.append(where)
        if called == "torch.load" and words.get("weights_only") != "True":
            found.append(f"{where} without weights_only=True")
        if called in ("np.load", "numpy.load") and words.get("allow_pickle", "False") != "False":
            found.append(f"{where} with allow_pickle")
        if called == "yaml.load" and not words.get("Loader", "").endswith(("SafeLoader", "get_yaml_loader()")):
            found.append(f"{where} with another loader than a safe one")
        if called.startswith("subprocess.") and words.get("shell", "False") != "False":
            found.append(f"{where} by a shell")
        if called.endswith("import_module") and name not in IMPORTS_BY_NAME:
            found.append(f"{where} of a name that is not written here")
        if words.get("trust_remote_code", "False") != "False":
            found.append(f"{where} with trust_remote_code")
        if called == "load_dataset" and not {"revision"} <= words.keys():
            found.append(f"{where} at no revision")
        of, _, method = called.rpartition(".")
        if method == "from_pretrained" and of not in PLAIN and not _pinned(words, of):
            found.append(f"{where} may run code, or open a pickle")
    return found


def _pinned(words: dict[str, str], of: str) -> bool:
    """Whether a loading call says that no code runs, and of weights that they are safetensors or GGUF."""
    given = " ".join([*words, *words.values()])
    told = "trust_remote_code" in words or "SAFE" in given or words.get("**") == "asked"  # which SAFE is part of
    return told and ("Tokenizer" in of or "Config" in of or "gguf_file" in words or "SAFE" in given or "**" in words)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_runs_nothing_of_others_and_opens_no_pickle(path: Path) -> None:
    assert not faults(path), "\n".join(faults(path))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.split(".")[0] in PICKLES for name in names), f"{path}: {names}"


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path, allow_pickle=True)", "eval(text)",
        "yaml.load(text, Loader=yaml.Loader)", "yaml.load(text)", "pickle.loads(data)", "os.system(text)",
        "AutoModel.from_pretrained(folder)", "AutoModel.from_pretrained(folder, trust_remote_code=True)",
        "AutoModel.from_pretrained(folder, trust_remote_code=False)", "importlib.import_module(name)",
        "subprocess.run(text, shell=True)", "load_dataset(name)", "joblib.load(path)",
    ],
)  # fmt: skip
def test_such_a_call_would_be_found(line: str, tmp_path: Path) -> None:
    path = tmp_path / "new.py"
    path.write_text(line, encoding="utf-8")
    assert faults(path)


def test_every_way_to_load_weights_says_safetensors() -> None:
    from warmgap.engines import models

    assert models.SAFE == {"trust_remote_code": False, "use_safetensors": True}
