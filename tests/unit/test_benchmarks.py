"""The benchmarks: each is in the list, says what it takes, and its figures are kept with what they depend on."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ("__init__", "__main__", "harness", "kill_stages")
sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of the package
listed = importlib.import_module("benchmarks.__main__")
harness = importlib.import_module("benchmarks.harness")
FILES = [
    path.stem for folder in ("", "validity", "holds") for path in sorted((ROOT / "benchmarks" / folder).glob("*.py"))
]


def test_every_benchmark_is_listed() -> None:
    assert sorted(name for name in FILES if name not in SHARED) == sorted(listed.SPEED | listed.VALIDITY | listed.HOLDS)


def test_no_folder_has_more_than_sixteen_files() -> None:
    for folder in (ROOT / "benchmarks", *(ROOT / "benchmarks").rglob("*/")):
        assert len(list(folder.glob("*.py"))) <= 16, folder


@pytest.mark.parametrize("name", [*listed.SPEED, *listed.VALIDITY, *listed.HOLDS])
def test_every_benchmark_says_what_it_takes(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        listed.main()
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_the_list_has_a_line_for_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    assert listed.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("  ")]) == len(listed.SPEED | listed.VALIDITY | listed.HOLDS)


def test_a_name_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "answers"])
    assert listed.main() == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 3


def test_a_report_is_a_table_with_ratios_and_a_line_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results.jsonl")
    rows = [
        harness.Row("warmgap", 8.0, "answers/s", 2.0),
        harness.Row("plain", 4.0, "answers/s", 4.0, "batch 32"),
        harness.Row("warmgap, start", 1.0, "s"),
        harness.Row("another", 3.0, "s"),
    ]
    assert harness.ratios(rows) == ["", "2.00 ×", "", "3.00 ×"]
    harness.report("answer", rows, "the fastest", {"peer": "1.2"})
    said = capsys.readouterr().out
    assert "2.00 ×" in said
    assert "mark: the fastest" in said
    (line,) = (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()
    kept = json.loads(line)
    assert kept["rows"][1] == {"who": "plain", "value": 4.0, "unit": "answers/s", "seconds": 4.0, "note": "batch 32"}
    assert {"cpu", "cores", "memory_gib", "gpu", "threads"} <= kept["machine"].keys()
    assert {"torch", "transformers", "trl", "peft", "peer"} <= kept["versions"].keys()
    assert kept["date"]
    assert kept["commit"]


def test_peers_have_exact_versions() -> None:
    peers: ModuleType = importlib.import_module("benchmarks.peers")
    assert all("==" in wanted for some in peers.PINNED.values() for wanted in some)
