"""The tutorial runs from its first cell to its last, in a kernel of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from real_runs import ROOT, Runs, environment

TUTORIAL = ROOT / "docs" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def played(smoke: Runs, tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The notebook with its output, beside the finished smoke run: its arms are not trained a second time."""
    place = tmp_path_factory.mktemp("notebook")
    shutil.copytree(smoke.folder, place / "runs")
    notebook = nbformat.read(TUTORIAL, as_version=4)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(place)}})
    client.execute(env=environment())
    assert len(list(Path(place / "runs" / "arms").glob("[!.]*-warm-*"))) == 1, "the run of the commands, not another"
    return notebook


def shown(notebook: nbformat.NotebookNode, containing: str) -> list[nbformat.NotebookNode]:
    """What the cell with that code shows."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and containing in cell.source]
    found: list[nbformat.NotebookNode] = cell.outputs
    return found


def test_figures_and_tables_are_shown(played: nbformat.NotebookNode) -> None:
    assert any("image/png" in output.get("data", {}) for output in shown(played, 'result.plot("warmth")'))
    assert any("text/html" in output.get("data", {}) for output in shown(played, "result.effects"))


def test_the_rule_that_gives_in_errs_where_the_user_names_the_wrong_answer(played: nbformat.NotebookNode) -> None:
    (output,) = [one for one in shown(played, "analysis.cells") if "data" in one]
    lines = {tuple(line.split()[:2]): line.split()[-1] for line in output["data"]["text/plain"].splitlines()}
    assert lines["obliging", "false_claim"] == "100.0"


def test_what_stands_in_the_page_is_what_it_prints() -> None:
    """The outputs that are kept in the repository have no warning, no error and no path of a machine."""
    notebook = nbformat.read(TUTORIAL, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
            for folder in ("/home/", "/root/", "/tmp/"):
                assert folder not in str(output)
