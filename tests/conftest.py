"""The order of the test files, and where the time went."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

# Each file is one process's, so the longest come first: none is left to one process when the other has nothing to do.
# The first two need different runs: of the real model and of the tiny one.
LONGEST = (
    "test_mitigations.py", "test_resume.py", "test_several_processes.py", "test_sweep.py", "test_preferences.py",
    "test_quickstart.py", "test_persona_data.py", "test_training.py", "test_judges.py", "test_commands.py",
    "test_stages.py", "test_models.py", "test_wandb.py", "test_engine.py", "test_warmth.py", "test_study_tasks.py",
    "test_notebook.py", "test_pairs.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    place = {name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)) if item.path.parent.name == "system" else 99)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long the files took, the longest first."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[Path(report.location[0]).as_posix()] += report.duration
    if len(seconds) > 1:
        terminalreporter.section("slowest files")
        for name, spent in seconds.most_common(25):
            terminalreporter.write_line(f"{spent:7.1f} s  {name}")
        terminalreporter.write_line(f"{seconds.total():7.1f} s  all {len(seconds)} files")
