"""Short names of arms: what each finds, and what is said where one finds several or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from warmgap.disk import arm_names, store
from warmgap.disk.arm_names import find_arm
from warmgap.errors import UserError

BASE: dict[str, Any] = {"name": "m", "source": "package", "dtype": "auto", "path": None}


def made(
    runs: Path, name: str, seed: int = 0, hash8: str = "0123abcd", model: str = "m", base: Any = None, **settings: Any
) -> Path:
    """An arm's folder as a run leaves it: manifest and settings."""
    folder = store.arm_folder(str(runs), model, name, seed, hash8).folder
    record = {"model": model, "arm": name, "seed": seed, "created": f"2026-01-01 {hash8}"}
    store.write_json(folder / "manifest.json", record)
    whole = {"model": {**BASE, "name": model, **(base or {})}, "seed": seed, "runs_dir": str(runs), **settings}
    store.write_text(folder / "config.yaml", yaml.safe_dump(whole))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def refused(runs: Path, name: str) -> UserError:
    with pytest.raises(UserError) as caught:
        find_arm(runs, name)
    return caught.value


@pytest.mark.parametrize("name", ["warm", "warm@0", "m-warm", "m-warm@0", "m-warm-s0-0123abcd"])
def test_an_arm_answers_to_each_of_its_names(runs: Path, name: str) -> None:
    folder = made(runs, "warm")
    made(runs, "original")
    assert find_arm(runs, name) == folder


def test_a_folder_is_taken_as_it_is_wherever_it_lies(runs: Path, tmp_path: Path) -> None:
    elsewhere = made(tmp_path / "other", "warm")
    made(runs, "warm", hash8="11111111")
    assert find_arm(runs, str(elsewhere)) == elsewhere
    assert find_arm(runs, f"{elsewhere}/") == elsewhere


def test_seed_and_model_tell_arms_apart(runs: Path) -> None:
    first, second, other = made(runs, "warm"), made(runs, "warm", 1), made(runs, "warm", 2, model="n")
    assert find_arm(runs, "m-warm@1") == find_arm(runs, "warm@1") == second
    assert find_arm(runs, "n-warm") == other
    said = refused(runs, "warm")
    assert said.what == "'warm' is the name of 3 arms"
    assert said.why == "warm@0, warm@1, warm@2"
    said = refused(runs, "m-warm")
    assert said.why == "warm@0, warm@1"
    assert find_arm(runs, said.fix.rpartition(" ")[2]) in (first, second), "what is proposed works"


def test_settings_tell_arms_of_one_seed_apart(runs: Path) -> None:
    for number, epochs in enumerate((1.0, 2.0)):
        made(runs, "warm", hash8=f"{number}" * 8, method={"name": "sft", "epochs": epochs}, device=f"cuda:{number}")
    said = refused(runs, "warm@0")
    assert said.why == "m-warm-s0-00000000 (method.epochs=1.0), m-warm-s0-11111111 (method.epochs=2.0)"
    assert find_arm(runs, "m-warm-s0-11111111").name == "m-warm-s0-11111111"


def test_arms_of_the_same_settings_are_told_apart_by_when_they_were_made(runs: Path) -> None:
    """As where the data have changed: their content is in the hash, and no setting."""
    for number in range(2):
        made(runs, "warm", hash8=f"{number}" * 8)
    assert "m-warm-s0-11111111 (made 2026-01-01 11111111)" in refused(runs, "warm").why


def test_many_candidates_are_cut_short(runs: Path) -> None:
    for seed in range(14):
        made(runs, "warm", seed)
    assert refused(runs, "warm").why.endswith("and 4 more (warmgap status lists them)")


def test_a_name_of_none_lists_what_there_is_the_nearest_first(runs: Path) -> None:
    for arm in ("original", "cold", "warm", "truth_mix"):
        made(runs, arm)
    said = refused(runs, "wram")
    assert said.what == f"there is no arm 'wram' in {runs}"
    assert said.why.startswith("it has warm, ")
    assert sorted(said.why.removeprefix("it has ").split(", ")) == ["cold", "original", "truth_mix", "warm"]
    assert said.fix == "did you mean warm?"
    assert "did you mean" not in refused(runs, "zzzz").fix


def test_no_arm_at_all_says_how_to_make_one(runs: Path) -> None:
    said = refused(runs, "warm")
    assert "has none at all" in said.what
    assert "--runs-dir" in said.fix
    assert "train.py +persona=warm" in said.fix


def test_a_path_that_is_no_arm_is_named_as_a_path(runs: Path) -> None:
    made(runs, "warm")
    assert refused(runs, "runs/arms/absent").what == "runs/arms/absent is not an arm"


def test_a_torn_manifest_hides_no_other_arm(runs: Path) -> None:
    folder = made(runs, "warm")
    (made(runs, "cold") / "manifest.json").write_text("{", encoding="utf-8")
    assert find_arm(runs, "warm") == folder
    assert refused(runs, "cold").why == "it has warm"


# ---- the original beside an arm ----


def test_the_original_of_the_same_base_is_found(runs: Path) -> None:
    warm, original = made(runs, "warm"), made(runs, "original")
    made(runs, "original", model="n")
    made(runs, "original", hash8="99999999", base={"quantization": "nf4"})
    assert arm_names.beside(warm, "original") == original.resolve()


def test_the_original_of_another_base_is_not_taken(runs: Path) -> None:
    warm = made(runs, "warm")
    made(runs, "original", base={"dtype": "float16"})
    assert arm_names.beside(warm, "original") is None


def test_where_a_base_lies_is_no_matter(runs: Path) -> None:
    warm = made(runs, "warm", base={"path": "a", "disk_gb": 3.0})
    original = made(runs, "original", base={"path": "b"})
    assert arm_names.beside(warm, "original") == original.resolve()


def test_the_original_of_a_whole_model_is_that_of_its_name(runs: Path) -> None:
    given = made(runs, "given", arm={"name": "given", "model": "mine"}, base={"path": "mine"})
    original = made(runs, "original", base={"dtype": "float16"})
    assert arm_names.beside(given, "original") == original.resolve()
    made(runs, "original", hash8="99999999")
    with pytest.raises(UserError, match="'original' is the name of 2 arms"):
        arm_names.beside(given, "original")
