"""What a person sees of a comparison of mitigations: terminal, figures, report, and the answers of three arms."""

from __future__ import annotations

import io
import json
import math
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from warmgap.evaluate.report.comparison import load_comparison
from warmgap.evaluate.report.figures.placing import Label, place_labels
from warmgap.evaluate.report.figures.plane import has_target, points_of
from warmgap.evaluate.report.figures.style import marks_of
from warmgap.evaluate.report.html.answer_pairs import embedded_answers
from warmgap.evaluate.report.html.mitigation_part import mitigation_captions
from warmgap.evaluate.report.html.page import print_summary, write_figures, write_report
from warmgap.evaluate.report.mitigation_rows import (
    Estimate,
    best_recipe,
    claim_of,
    duration,
    frontier,
    main_arms,
    mitigation_rows,
    mitigation_settings,
    summary_claim,
)

_synthetic = runpy.run_path(str(Path(__file__).parents[3] / "support" / "comparison_folder.py"))
RECIPES: dict[str, Any] = _synthetic["RECIPES"]
build_mitigations: Callable[..., Path] = _synthetic["build_mitigations"]
build_comparison: Callable[..., Path] = _synthetic["build_comparison"]
HOSTILE: str = _synthetic["HOSTILE"]
FIGURES = ("mitigation_plane", "mitigation_contexts")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Original, warm and nine recipes by three seeds, the report written."""
    folder = build_mitigations(tmp_path_factory.mktemp("mitigations"))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def tables(folder: Path, tmp_path: Path) -> Path:
    """The tables alone, free to be changed."""
    target = tmp_path / "tables"
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("figures", "report.html"))
    return target


@pytest.fixture
def plane_alone(tables: Path) -> Path:
    """The tables that the plane is drawn from: other figures take their time."""
    for name in ("effects", "cells", "warmth", "training"):
        (tables / f"{name}.csv").unlink()
    return tables


@pytest.fixture
def undrawn(tables: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tables, for a report without figures."""
    monkeypatch.setattr("warmgap.evaluate.report.html.page.write_figures", lambda folder: [])
    return tables


def rewrite(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change mitigations.csv in place."""
    path = folder / "mitigations.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)


def printed(folder: Path, width: int) -> str:
    out = io.StringIO()
    print_summary(folder, Console(file=out, width=width, no_color=True))
    return out.getvalue()


def text_of(page: str) -> str:
    """The page without data and script, its tags taken out."""
    return re.sub(r"<[^>]+>", "", re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S))


def test_rows_come_from_the_best_verdict_to_the_worst(folder: Path) -> None:
    rows = mitigation_rows(load_comparison(folder))
    assert [row.arm for row in rows][:3] == ["warm", "honest_prompt", "truth_mix+anti_sycophancy"]
    assert {row.arm for row in rows} == set(RECIPES)
    assert rows[0].verdict == ""
    assert math.isnan(rows[0].warmth_kept.value)
    assert best_recipe(rows, "honest_prompt") == "truth_mix+anti_sycophancy"
    settings = mitigation_settings(load_comparison(folder))
    assert (settings.margin_pp, settings.keep_warmth_pct, settings.floor) == (2.0, 80.0, "honest_prompt")


def test_without_recipes_nothing_is_said_of_them(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path, arms={"original": 0.0, "cold": 0.0, "warm": 0.1})
    assert mitigation_rows(load_comparison(folder)) == []
    assert "Mitigations" not in printed(folder, 100)
    page = write_report(folder).read_text(encoding="utf-8")
    assert 'id="mitigations"' not in page
    assert not (folder / "figures" / "mitigation_plane.svg").exists()


def test_many_arms_leave_the_long_tables_to_warm(folder: Path) -> None:
    comparison = load_comparison(folder)
    assert main_arms(comparison).arms == ["original", "warm"]
    assert set(main_arms(comparison).cells["arm"]) == {"original", "warm"}
    text = printed(folder, 100)
    assert text.count("− original") == 1
    assert "Above for warm only" in text


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_terminal_shows_every_number_within_100_columns(folder: Path, width: int) -> None:
    text = printed(folder, width)
    block = text[text.index("Mitigations ·") :]
    assert max(len(line.rstrip()) for line in block.splitlines()) <= min(width, 100) or width > 100
    assert "…" not in block, "a cell is cut off"
    for row in mitigation_rows(load_comparison(folder)):
        assert f"[{row.error.low:.1f}, {row.error.high:.1f}]" in block
        if row.arm != "warm":
            assert f"[{row.warmth_kept.low:.0f}, {row.warmth_kept.high:.0f}]" in block
            assert f"{row.arm}: {row.verdict}." in block
    flat = " ".join(block.split())
    for part in ("answers to 40 questions", "3 seeds (0, 1, 2)", "(floor)", "untrained", "+31 tok.", "2,000 draws",
                 "at most 2 pp", "at least 80 %"):  # fmt: skip
        assert part in flat


def test_shares_that_are_undefined_are_dashes(undrawn: Path) -> None:
    def emptied(table: pd.DataFrame) -> pd.DataFrame:
        names = [name for name in table.columns if name.startswith(("gap_closed", "sycophancy", "capability"))]
        return table.assign(**dict.fromkeys([*names, "train_seconds"], math.nan))

    rewrite(undrawn, emptied)
    assert "nan" not in printed(undrawn, 100).lower()
    assert "nan" not in text_of(write_report(undrawn).read_text(encoding="utf-8")).lower().split()


def test_the_plane_takes_the_shift_where_a_share_is_undefined(plane_alone: Path) -> None:
    points, share = points_of(mitigation_rows(load_comparison(plane_alone)), "original")
    assert share
    assert {point.arm: point.x.value for point in points}["warm"] == 100.0
    assert points[0].arm == "original"
    assert points[0].x.value == points[0].y.value == 0.0
    kept = ["warmth_kept_pct", "warmth_kept_low", "warmth_kept_high"]
    rewrite(plane_alone, lambda table: table.assign(**dict.fromkeys(kept, math.nan)))
    points, share = points_of(mitigation_rows(load_comparison(plane_alone)), "original")
    assert not share
    assert {point.arm: point.x.value for point in points}["warm"] == pytest.approx(0.0083)
    assert has_target(load_comparison(plane_alone))
    write_figures(plane_alone)
    assert "Warmth (shift of SocioT)" in (plane_alone / "figures" / "mitigation_plane.svg").read_text(encoding="utf-8")
    rewrite(plane_alone, lambda table: table.assign(warmth_shift_low=-0.01))
    assert not has_target(load_comparison(plane_alone)), "warm is not shown to be warmer"


def test_the_frontier_holds_what_no_other_beats() -> None:
    points = [(0.0, 0.0), (100.0, 16.0), (90.0, 2.0), (80.0, 3.0), (95.0, 2.0), (-5.0, 1.0)]
    assert frontier(points) == [0, 4, 1]
    assert frontier([(1.0, 1.0), (1.0, 1.0)]) == [0]


def test_figures_have_names_of_arms_and_n(folder: Path, page: str) -> None:
    for name in FIGURES:
        for ending in ("svg", "png"):
            assert (folder / "figures" / f"{name}.{ending}").exists()
            assert (folder / "figures" / f"{name}_stacked.{ending}").exists()
        assert f'id="figure-{name}"' in page
        text = (folder / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert all(f">{arm}<" in text for arm in RECIPES if "+" not in arm)
        assert "n = " in text
    # ids and figures are numbered through the page
    assert re.findall(r"<b>Figure (\d+)\.", page) == [str(n + 1) for n in range(page.count("<figcaption>"))]


def test_labels_of_a_crowd_do_not_overlap() -> None:
    figure = Figure(figsize=(7.2, 4.3), layout="constrained")
    ax = figure.add_subplot()
    ax.set(xlim=(-5, 120), ylim=(-10, 25))
    labels = [Label(f"a_recipe_number_{n}", 80 + 4 * (n % 4), 3.0 * (n // 4), "#0072b2") for n in range(12)]
    place_labels(figure, ax, labels, [(70, 3.0, 110, 3.0)])
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    assert len(boxes) == 12
    for place, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[place + 1 :])
        assert ax.get_window_extent().x0 <= one.x0
        assert one.x1 <= ax.get_window_extent().x1


def test_an_interval_off_the_scale_is_cut_with_an_arrow(plane_alone: Path) -> None:
    wide = {"warmth_kept_low": -4000.0, "warmth_kept_high": 9000.0}
    rewrite(plane_alone, lambda table: table.assign(**wide))
    write_figures(plane_alone)
    svg = (plane_alone / "figures" / "mitigation_plane.svg").read_text(encoding="utf-8")
    assert "4000" not in svg


def test_the_report_says_each_verdict_with_its_reason(folder: Path, page: str) -> None:
    text = " ".join(text_of(page).replace("&#39;", "'").split())
    for part in (
        "truth_mix+anti_sycophancy closes the gap and stays warm.",
        "truth_mix narrows the gap and stays warm; that it closes the gap was not shown.",
        "Whether kl_anchor helps could not be told from these answers.",
        "preventative_steering has no effect: its error is shown to be close to the warm arm’s.",
        "early_stop is wrong more often than the warm arm.",
        "adapter_scale is not warm any more, so it is no mitigation, whatever its error.",
        "Error −21.9 pp against warm, adjusted p 0.001",
        "It is the floor that a recipe must beat.",
        "Of 8 recipes, 1 closes the gap and stays warm, 2 narrow it, 2 are undecided, 1 has no effect, "
        "1 makes it worse and 1 is not warm any more.",
    ):  # fmt: skip
        assert part in text
    for row in mitigation_rows(load_comparison(folder)):
        ends = [f"{'+' if end > 0 else '−'}{abs(end):.1f}" for end in (row.error.low, row.error.high)]
        assert " to ".join(ends) in text


def test_words_fit_the_counts(folder: Path) -> None:
    rows = mitigation_rows(load_comparison(folder))
    one = [row for row in rows if row.arm in ("warm", "truth_mix")]
    assert summary_claim(one) == "Of 1 recipe, none close the gap and stay warm and 1 narrows it."
    assert summary_claim(rows[:1]) == ""
    assert "no verdict" in claim_of(rows[0])
    assert [duration(seconds) for seconds in (44.6, 840, 11_520, 360_000, math.nan)] == [
        "45 s", "14 min", "3.2 h", "4.2 d", "–"
    ]  # fmt: skip
    assert not Estimate(1.0, math.nan, 2.0).known


def test_names_and_reasons_are_escaped(undrawn: Path) -> None:
    rewrite(undrawn, lambda table: table.assign(why=HOSTILE, arm=table["arm"].replace("early_stop", "<b>stop")))
    page = write_report(undrawn).read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<b>stop" not in page
    assert page.count("<script") == page.count("</script>") == 2
    assert "[red]" not in printed(undrawn, 100)


def test_the_answers_open_with_the_best_recipe_and_stay_bounded(folder: Path, page: str) -> None:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script', page, re.S)
    assert found is not None
    data = json.loads(found[1])
    assert data["third"] == "truth_mix+anti_sycophancy"
    assert data["colours"]["original"] == "reference"
    assert len({data["colours"][arm] for arm in ("original", "warm", "honest_prompt", "truth_mix")}) == 4
    comparison = load_comparison(folder)
    sampled, counts = embedded_answers(comparison, cap=110)
    assert counts["shown"] == 2 * 110 // len(comparison.arms)
    assert sum(len(prompt["answers"]) for prompt in sampled["prompts"]) <= 220


def test_two_models_have_a_section_and_a_panel_each(plane_alone: Path) -> None:
    rewrite(plane_alone, lambda table: pd.concat([table, table.assign(model="another")]))
    page = write_report(plane_alone).read_text(encoding="utf-8")
    assert page.count('<table class="mitigations">') == 2
    assert ">another<" in (plane_alone / "figures" / "mitigation_plane.svg").read_text(encoding="utf-8")
    assert "Mitigations · another" in printed(plane_alone, 100)


def test_a_control_keeps_its_tables_and_a_colour_of_its_own(tables: Path) -> None:
    rewrite(tables, lambda table: table[table["arm"] != "early_stop"])  # an arm that is not judged is a control
    comparison = load_comparison(tables)
    assert main_arms(comparison).arms == ["original", "warm", "early_stop"]
    marks = marks_of(comparison)
    assert len({marks[arm].colour for arm in ("original", "warm", "early_stop", "truth_mix")}) == 4
    assert printed(tables, 100).count("− original") == 2


@pytest.mark.parametrize(("level", "said"), [(0.05, "95 %"), (0.1, "90 %"), (0.001, "99.9 %")])
def test_intervals_are_called_what_they_are(undrawn: Path, level: float, said: str) -> None:
    summary = json.loads((undrawn / "summary.json").read_text(encoding="utf-8"))
    summary["mitigation_settings"]["level"] = level
    (undrawn / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    page = text_of(write_report(undrawn).read_text(encoding="utf-8"))
    assert f"Brackets: {said} intervals" in " ".join(printed(undrawn, 100).split())
    assert f"what was closed, with {said} intervals." in page
    assert f"{said} intervals by paired bootstrap" in page
    assert f"Lines are {said} intervals" in mitigation_captions(load_comparison(undrawn))["mitigation_plane"][1]
    assert ("those of capability 95 %" in page) == (level != 0.05), "these are always so wide"


def test_a_floor_that_is_absent_is_not_named(undrawn: Path) -> None:
    summary = json.loads((undrawn / "summary.json").read_text(encoding="utf-8"))
    for key in ("floor", "mitigation_settings"):
        del summary[key]
    (undrawn / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    page = text_of(write_report(undrawn).read_text(encoding="utf-8"))
    assert "floor" not in page + printed(undrawn, 100)
    assert "Mitigations" in page
