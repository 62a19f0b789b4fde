"""What a command shows at its end: the tables of a comparison, and where its report is."""

from __future__ import annotations

from pathlib import Path


def tables(folder: Path) -> None:
    """Print the tables of a comparison, or of a sweep."""
    from warmgap.evaluate.report.terminal.dose_table import print_dose
    from warmgap.evaluate.report.terminal.tables import print_summary

    (print_dose if (folder / "dose.csv").is_file() else print_summary)(folder)


def show(folder: Path) -> None:
    """Print the tables of a comparison and where its report is, as the last line."""
    tables(folder)
    print(f"report: {folder / 'report.html'}")
