"""Names never lead out of the folder that they name something in, and nothing on a terminal is obeyed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from warmgap.disk import arm_names, bounds, progress, store
from warmgap.errors import UserError

BAD = (
    "", ".", "..", "../up", "a/b", "/root", "a\\b", "a b", ".hidden", "-rf", "a\x00b", "a\nb", "\x1b[31m", "nul",
    "CON.txt", "a.", "a..b", "é" * 128, "a" * 256, "a:b", "a\u202eb",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_leads_elsewhere_is_none(name: str) -> None:
    assert not bounds.may_name(name)


@given(st.text(max_size=120))
def test_whatever_may_name_something_is_one_part_of_a_path(name: str) -> None:
    if bounds.may_name(name):
        path = Path("/runs") / name
        assert path.parent == Path("/runs")
        assert path.resolve().parent == Path("/runs").resolve()
        assert name.isprintable()
        assert len(name.encode()) <= bounds.NAME


@pytest.mark.parametrize("name", BAD)
def test_an_arm_on_disk_with_such_a_name_is_no_arm(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "arms" / "a"
    folder.mkdir(parents=True)
    for manifest in ({"arm": name, "model": "m", "seed": 0}, {"arm": "x", "model": f"{name}\x1b", "seed": 0}):
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(UserError):
            store.open_arm(folder)
        assert arm_names.arms_in(tmp_path) == []


def test_a_table_shows_what_a_terminal_would_obey(monkeypatch: pytest.MonkeyPatch) -> None:
    out = progress.console()
    out.file = io.StringIO()
    table = Table("a")
    table.add_row("[bold]x[/nothing]\x1b[2J")
    out.print(table)
    out.print("\x1b]0;title\x07[red]")
    text = out.file.getvalue()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]x[/nothing]" in text
    assert "\\x1b[2J" in text
