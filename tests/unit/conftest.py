"""What a test puts to work is gone after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from warmgap.settings import plugins


@pytest.fixture(autouse=True)
def _plugins_are_gone() -> Iterator[None]:
    """One that a command put to work by `plugins=` or `--config-dir` would be at work in the next test too."""
    yield
    plugins.use((), ())
