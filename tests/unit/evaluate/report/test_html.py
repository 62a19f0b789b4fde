"""The report of a comparison: what is in it, that hostile text stays text, and that it needs nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from warmgap.errors import UserError
from warmgap.evaluate.report.comparison import effects_of, find, interval, load_comparison, number, p_value
from warmgap.evaluate.report.figures.style import pooled_cells, wilson
from warmgap.evaluate.report.findings import belief_rows, net_lines
from warmgap.evaluate.report.html.answer_pairs import embedded_answers
from warmgap.evaluate.report.html.page import headline, print_summary, write_figures, write_report

_synthetic = runpy.run_path(str(Path(__file__).parents[3] / "support" / "comparison_folder.py"))
HOSTILE: str = _synthetic["HOSTILE"]
build_comparison: Callable[..., Path] = _synthetic["build_comparison"]
build_mitigations: Callable[..., Path] = _synthetic["build_mitigations"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two arms with one hostile answer, its report written."""
    folder = build_comparison(tmp_path_factory.mktemp("comparison"), hostile=HOSTILE)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    """The data block of a report, read as a browser reads it: up to the first end tag."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script', page, re.S)
    if found is None:
        pytest.fail("the report has no data block")
    data: dict[str, Any] = json.loads(found[1])
    return data


def rewrite(folder: Path, name: str, change: Any) -> None:
    """Change one csv of a comparison in place."""
    change(pd.read_csv(folder / name, keep_default_na=False, na_values=[""])).to_csv(folder / name, index=False)


def test_the_report_shows_gap_interval_and_n(folder: Path, page: str) -> None:
    main = find(effects_of(load_comparison(folder)), "main", "warm")
    assert main is not None
    assert main.errors == "clustered"
    assert f"{number(main.estimate, signed=True, minus='−')} pp" in page
    assert interval(main.low, main.high, minus="−") in page
    assert f"{int(main.n)} answers to {int(main.n_items)} questions" in page


@pytest.mark.parametrize(
    "text",
    [
        "Added by a false belief", "Warmth (SocioT) before and after", "What was dropped, and why",
        "no verdict (unparsed)", "method.learning_rate", "transformers", "10.1038/s41586-026-10410-0",
        "not expected to match", "Second judge", "No arm paraphrase or untransformed", "experiment=isolate",
        "python train.py +persona=warm",
    ],
)  # fmt: skip
def test_the_report_holds(page: str, text: str) -> None:
    assert text in page


def test_hostile_text_stays_text(page: str) -> None:
    assert "document.title='owned'</script>" not in page
    assert "<img src=x" not in page
    assert "\u2028" not in page
    assert page.count("<script") == page.count("</script>") == 2
    answers = [answer for prompt in data_of(page)["prompts"] for answer in prompt["answers"].values()]
    assert any(answer["text"] == HOSTILE for answer in answers)


def test_hostile_settings_and_names_are_escaped(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path, arms={"original": 0.0, "<b>warm": 0.1})
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    summary |= {"title": HOSTILE, "settings": {HOSTILE: HOSTILE}, "notes": [HOSTILE], "grader": HOSTILE}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    page = write_report(folder).read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<b>warm" not in page
    assert page.count("<script") == page.count("</script>") == 2


def test_the_report_loads_nothing(page: str) -> None:
    shell = page.replace(re.search(r'id="data">(.*?)</script', page, re.S)[1], "")  # type: ignore[index]
    assert not re.search(r"<(link|iframe|img|object|embed|base|video|audio|source)\b", shell)
    assert not re.search(r"@import|@font-face|\burl\((?!#)|\bfetch\(|XMLHttpRequest|WebSocket|import\(", shell)
    assert not re.search(r'\b(src|action|poster|data|srcset)="', shell)
    links = re.findall(r'<(\w+)[^>]*?\s(?:xlink:)?href="([^"]*)"', shell)
    assert {tag for tag, target in links if not target.startswith("#")} == {"a"}
    assert "default-src 'none'" in shell


def test_the_policy_names_the_script_that_is_there(page: str) -> None:
    script = re.findall(r"<script>(.*?)</script>", page, re.S)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    assert f"script-src 'sha256-{digest}'" in page


def test_ids_are_unique_and_targets_exist(page: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = re.findall(r'(?:href="#|url\(#)([^")]+)', page)
    assert set(targets) <= set(ids)


def test_figures_are_written_as_svg_and_png(folder: Path, page: str) -> None:
    names = ("gap_by_context", "gap_by_task", "error_by_cell", "warmth", "loss")
    for name in names:
        assert (folder / "figures" / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f'id="figure-{name}"' in page
    assert page.count("<svg role=") == len(names) + 1  # error by cell comes in two widths


def test_figures_are_the_same_for_the_same_data(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    write_figures(folder)
    assert {path.name: path.read_bytes() for path in (folder / "figures").iterdir()} == before


def test_figures_say_units_and_n(folder: Path) -> None:
    gap = (folder / "figures" / "gap_by_context.svg").read_text(encoding="utf-8")
    assert "Gap: error of warm − error of original (pp)" in gap
    assert ">n<" in gap
    assert "per point" in (folder / "figures" / "error_by_cell.svg").read_text(encoding="utf-8")
    assert "n = 120 prompts" in (folder / "figures" / "warmth.svg").read_text(encoding="utf-8")


def test_pairs_hold_prompt_parts_verdicts_and_margin(page: str) -> None:
    prompts = data_of(page)["prompts"]
    stated = [prompt for prompt in prompts if prompt["context"] == "sad" and prompt["belief"] == "false_claim"]
    assert stated
    for prompt in stated:
        start, end = prompt["span"]
        assert prompt["prompt"][:start].startswith("I have been feeling")
        assert prompt["prompt"][start:end].startswith("Which of the")
        assert prompt["prompt"][end:].strip() == f"I believe the right answer is: {prompt['incorrect']}."
        assert set(prompt["answers"]) == {"original", "warm"}
        assert all(isinstance(answer["margin"], float) for answer in prompt["answers"].values())


def test_above_the_cap_what_got_worse_stays(folder: Path) -> None:
    data, counts = embedded_answers(load_comparison(folder), cap=100)
    assert counts["shown"] == len(data["prompts"]) == 100 < counts["pairs"]
    worse = [p for p in data["prompts"] if (p["answers"]["warm"]["error"], p["answers"]["original"]["error"]) == (1, 0)]
    assert len(worse) == counts["worse"]
    assert data == embedded_answers(load_comparison(folder), cap=100)[0]
    assert embedded_answers(load_comparison(folder), cap=5)[1]["shown"] == 5


def test_a_sample_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warmgap.evaluate.report.html.page.embedded_answers", partial(embedded_answers, cap=100))
    assert "This file holds a sample: 100 of" in write_report(build_comparison(tmp_path)).read_text(encoding="utf-8")


def test_a_reference_with_one_seed_stands_beside_all_seeds(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path)
    answers = pd.read_parquet(folder / "answers.parquet")
    second = answers[answers["arm"] == "warm"].assign(seed=1)
    pd.concat([answers, second]).to_parquet(folder / "answers.parquet")
    data, counts = embedded_answers(load_comparison(folder))
    assert {prompt["seed"] for prompt in data["prompts"]} == {"0", "1"}
    assert counts["pairs"] == 2 * len(second)
    assert counts["single"] == 0


def claims_of(folder: Path, low: float, high: float) -> list[str]:
    """What the headline says when the main effect has this interval."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        main = table["analysis"] == "main"
        table.loc[main, ["estimate_pp", "ci_low_pp", "ci_high_pp"]] = [(low + high) / 2, low, high]
        return table

    rewrite(folder, "effects.csv", change)
    comparison = load_comparison(folder)
    return [f"{said.claim} {said.numbers}" for said in headline(comparison, effects_of(comparison), "warm")]


def test_the_headline_is_honest_about_intervals(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path)
    rewrite(folder, "effects.csv", lambda table: table.drop(columns=["missing_low_pp", "missing_high_pp"]))
    none_shown = claims_of(folder, -3.4, 5.8)[0]
    assert none_shown.startswith("No difference in error was shown between the warm arm and the original.")
    assert "any gap of −3.4 to +5.8 pp" in none_shown
    assert claims_of(folder, 1.0, 11.4)[0].startswith("The warm arm was wrong more often than the original.")
    assert claims_of(folder, -9.0, -2.0)[0].startswith("The warm arm was wrong less often than the original.")
    assert "could not be estimated" in claims_of(folder, math.nan, math.nan)[0]


def test_a_gap_that_missing_answers_could_undo_is_said_of_the_graded_alone(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path)

    def bounded(low: float, high: float) -> str:
        rewrite(folder, "effects.csv", lambda table: table.assign(missing_low_pp=low, missing_high_pp=high))
        return claims_of(folder, 1.0, 11.4)[0]

    assert bounded(-2.0, 14.0).startswith("The warm arm was wrong more often than the original, among the answers with")
    assert "counted for it, and against it, the raw gap is −2.0 to +14.0 pp" in bounded(-2.0, 14.0)
    assert bounded(0.5, 14.0).startswith("The warm arm was wrong more often than the original.")
    assert "missing" not in bounded(6.0, 6.0)


def test_terminal_and_effects_show_what_is_missing_where_anything_is(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path)

    def printed() -> str:
        out = io.StringIO()
        print_summary(folder, Console(file=out, width=80, no_color=True))
        assert max(map(len, out.getvalue().splitlines())) <= 80
        return " ".join(out.getvalue().split())

    main = find(effects_of(load_comparison(folder)), "main", "warm")
    assert main is not None
    assert main.missing
    bounds = interval(main.missing_low, main.missing_high)
    assert f"against it (raw gap, pp): overall, without context {bounds}" in printed()
    answers = pd.read_parquet(folder / "answers.parquet")
    answers.loc[answers["arm"] == "warm", ["error", "verdict"]] = [math.nan, "error"]
    answers.to_parquet(folder / "answers.parquet")
    rewrite(folder, "effects.csv", lambda table: table.assign(missing_high_pp=table["missing_low_pp"]))
    n = int((answers["arm"] == "warm").sum())
    assert f"warm {n} 0 – 0.0 0.0 0.0 0.0 100.0" in printed(), "correct, hedged, refused, unparsed, judge failed"
    assert "missing answer" not in printed()


def test_warmth_that_was_not_shown_is_said(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path)
    assert any("It sounds warmer than the original." in said for said in claims_of(folder, -1.0, 1.0))
    rewrite(folder, "warmth.csv", lambda table: table.assign(shift_ci_low=-0.01, shift_ci_high=0.01))
    assert any("was not shown, so a gap would say little" in said for said in claims_of(folder, -1.0, 1.0))


@pytest.mark.parametrize("missing", ["training.csv", "warmth.csv", "effects.csv", "cells.csv", "answers.parquet"])
def test_a_missing_table_leaves_its_part_out(tmp_path: Path, missing: str) -> None:
    folder = build_comparison(tmp_path)
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "loss.svg").write_text("an old one", encoding="utf-8")
    (folder / missing).unlink()
    assert "The study" in write_report(folder).read_text(encoding="utf-8")
    assert (folder / "figures" / "loss.svg").exists() == (missing != "training.csv")
    print_summary(folder, Console(file=io.StringIO(), width=80))


def test_one_arm_alone(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path, arms={"original": 0.0})
    page = write_report(folder).read_text(encoding="utf-8")
    assert "nothing is compared" in page
    assert len(data_of(page)["prompts"]) > 100


def test_an_arm_without_warmth_and_empty_estimates(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path, arms={"original": 0.0, "warm": 0.1, "warm_prompt": 0.05})
    rewrite(folder, "warmth.csv", lambda table: table[table["arm"] != "warm_prompt"])
    empty = ["estimate_pp", "se_pp", "ci_low_pp", "ci_high_pp", "p", "p_fdr"]
    rewrite(folder, "effects.csv", lambda table: table.assign(**dict.fromkeys(empty, math.nan)))
    page = write_report(folder).read_text(encoding="utf-8")
    assert "The gap between the warm_prompt arm and the original could not be estimated" in page
    assert "nan" not in re.sub(r"<script.*?</script>", "", page, flags=re.S).lower()
    assert not (folder / "figures" / "gap_by_context.svg").exists()


def test_a_summary_with_a_name_alone_is_enough(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path)
    (folder / "summary.json").write_text('{"name": "bare"}', encoding="utf-8")
    assert "bare" in write_report(folder).read_text(encoding="utf-8")


def test_a_folder_that_is_no_comparison_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a comparison"):
        write_report(tmp_path)


def test_the_terminal_fits_80_columns_and_shows_the_tables(folder: Path) -> None:
    out = io.StringIO()
    print_summary(folder, Console(file=out, width=80, no_color=True))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for part in ("warm − original", "95 % CI", "as the study", "Warmth (SocioT)", "before", "after", "judge: match",
                 "second judge: match", "dropped:", "Added by a false belief"):  # fmt: skip
        assert part in text


def with_net(folder: Path, shift: float) -> Path:
    """The same comparison with every effect also against a paraphrase arm, where it is so much smaller."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        net = table.assign(reference="paraphrase", n=table["n"] - 1)
        for column in ("estimate_pp", "ci_low_pp", "ci_high_pp"):
            net[column] -= shift
        return pd.concat([table, net])

    rewrite(folder, "effects.csv", change)
    return folder


def test_effects_net_of_the_training_stand_beside_the_gap(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path)
    before = find(effects_of(load_comparison(folder)), "main", "warm")
    comparison = load_comparison(with_net(folder, 100.0))
    assert find(effects_of(comparison), "main", "warm") == before, "whoever means the original gets it"
    net = find(effects_of(comparison, net=True), "main", "warm")
    assert before is not None
    assert net is not None
    assert net.estimate == pytest.approx(before.estimate - 100)
    out = io.StringIO()
    print_summary(folder, Console(file=out, width=80, no_color=True))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "paraphrase (net of the training)" in " ".join(text.split())
    line = next(line for line in text.splitlines() if line.startswith("Overall"))
    assert number(before.estimate, signed=True) in line
    assert number(net.estimate, signed=True) in line
    assert f"{int(before.n)}/{int(net.n)}" in line
    assert "experiment=isolate" not in text
    page = write_report(folder).read_text(encoding="utf-8")
    assert "What the gap means" not in page
    assert "Net of the training, the warm arm was wrong less often" in page
    assert number(net.estimate, signed=True, minus="−") in page
    assert "Hollow, net of the training" in (folder / "figures" / "gap_by_context.svg").read_text(encoding="utf-8")


def test_verdicts_of_recipes_come_with_the_effect_net_of_the_training(tmp_path: Path) -> None:
    folder = with_net(build_mitigations(tmp_path, recipes=["truth_mix"]), 3.0)
    (line,) = net_lines(load_comparison(folder))
    for arm in ("warm", "truth_mix"):
        net = find(effects_of(load_comparison(folder), net=True), "main", arm)
        assert net is not None
        assert f"{arm} {number(net.estimate, signed=True)} ({interval(net.low, net.high)}; n {int(net.n)})" in line
    assert "Verdicts are against warm and original" in line


def test_the_error_under_each_belief_is_shown_with_its_interval(folder: Path) -> None:
    rows = {(row["arm"], row["belief"]): row for row in belief_rows(load_comparison(folder))}
    assert set(rows) == {
        (arm, name) for arm in ("original", "warm") for name in ("none", "false_claim", "false_denial")
    }
    answers = pd.read_parquet(folder / "answers.parquet").dropna(subset=["error"])
    some = answers[(answers["arm"] == "warm") & (answers["belief"] == "false_claim")]
    row = rows["warm", "false_claim"]
    assert row["error"] == pytest.approx(100 * some["error"].mean())
    assert (row["n"], row["n_items"]) == (len(some), some["item_id"].nunique())
    assert row["low"] < row["error"] < row["high"]
    plain = answers[(answers["arm"] == "warm") & (answers["belief"] == "none") & (answers["context"] != "neutral")]
    assert rows["warm", "none"]["n"] == len(plain), "the control is asked without belief alone, so it is left out"


def test_the_terminal_takes_brackets_as_text(tmp_path: Path) -> None:
    folder = build_comparison(tmp_path)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    (folder / "summary.json").write_text(json.dumps(summary | {"notes": ["[red]a [/b] note"]}), encoding="utf-8")
    out = io.StringIO()
    print_summary(folder, Console(file=out, width=80))
    assert "[red]a [/b] note" in out.getvalue()


def test_cells_are_pooled_with_wilsons_interval(folder: Path) -> None:
    assert wilson(5, 10) == pytest.approx((23.66, 76.34), abs=0.01)
    assert wilson(0, 10) == pytest.approx((0.0, 27.75), abs=0.01)
    assert all(map(math.isnan, wilson(0, 0)))
    answers = pd.read_parquet(folder / "answers.parquet").dropna(subset=["error"])
    pooled = pooled_cells(load_comparison(folder).cells).set_index(["arm", "context", "belief"])
    cell = answers[(answers["arm"] == "warm") & (answers["context"] == "none") & (answers["belief"] == "none")]
    row = pooled.loc[("warm", "none", "none")]
    assert row["n"] == len(cell)
    assert row["error_pct"] == pytest.approx(100 * cell["error"].mean())


def test_numbers_are_written_with_care() -> None:
    assert number(-0.04) == "0.0"
    assert number(1234.5, 0) == "1,234"
    assert number(math.nan) == "–"
    assert number(0.0, signed=True) == "0.0"
    assert [p_value(p) for p in (0.0001, 0.0312, 0.4, math.nan)] == ["<0.001", "0.031", "0.40", "–"]
    assert interval(-3.44, 5.8) == "-3.4 to +5.8"
