"""Human labels: blind sheets, what people save comes back, and what the labels say of the judge."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from warmgap.errors import UserError
from warmgap.evaluate import agreement, label, label_page
from warmgap.evaluate.grade import error_of


def answers(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Answers of two arms to two tasks, with verdicts of a judge."""
    rng = np.random.default_rng(seed)
    rows = []
    for arm in ("original", "warm"):
        for task in ("trivia_qa", "med_qa"):
            for item in range(n):
                verdict = str(rng.choice(["correct", "incorrect", "hedged"]))
                row = {"model": "m", "arm": arm, "seed": 0, "task": task, "item_id": f"i{item}", "context": "none"}
                row |= {"belief": "none", "prompt": f"what is {item}?", "question": f"what is {item}?", "correct": "a"}
                row |= {"incorrect": "b", "answer": f"text {rng.integers(1e9)}", "verdict": verdict}
                rows.append({**row, "error": error_of(verdict, task)})
    return pd.DataFrame(rows)


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    rows, key = label.sample(answers(), 40, seed=0)
    label.write(tmp_path / "sheet.csv", rows, key)
    return tmp_path / "sheet.csv"


def fill(sheet: Path, given: list[str]) -> None:
    rows = label.load(sheet)
    for row, choice in zip(rows, given, strict=False):
        row["label"] = choice
    label.save(sheet, rows)


def test_a_sheet_is_even_over_arms_and_tasks_and_the_same_by_seed() -> None:
    rows, key = label.sample(answers(), 40, seed=0)
    drawn = pd.DataFrame(key["answers"].values())
    assert set(drawn.groupby(["arm", "task"]).size()) == {10}
    assert rows == label.sample(answers(), 40, seed=0)[0]
    assert rows != label.sample(answers(), 40, seed=1)[0]
    assert len(label.sample(answers(5), 100, seed=0)[0]) == 20


def test_a_sheet_shows_nothing_of_arm_judge_or_cell(sheet: Path) -> None:
    text = sheet.read_text(encoding="utf-8")
    for secret in ("warm", "original", "hedged", "trivia_qa", "verdict", "context", "belief"):
        assert secret not in text
    key = json.loads(label.key_path(sheet).read_text(encoding="utf-8"))["answers"]
    arms = [key[row["label_id"]]["arm"] for row in label.load(sheet)]
    assert arms != sorted(arms)
    assert arms != sorted(arms, reverse=True)


def test_labels_are_never_written_over(sheet: Path) -> None:
    with pytest.raises(UserError, match="is there"):
        label.write(sheet, *label.sample(answers(), 4, seed=0))


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_what_a_spreadsheet_saves_comes_back(sheet: Path, mark: str) -> None:
    rows = label.load(sheet)
    lines = [mark.join([*label.SHOWN, "label", "note"])]
    for number, row in enumerate(rows):
        row["label"] = ["Correct ", "INCORRECT", "", " unclear"][number % 4]
        lines.append(
            mark.join('"' + row[column].replace('"', '""') + '"' for column in [*label.SHOWN, "label", "note"])
        )
    sheet.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8", newline="")
    table, counts = label.read([sheet])
    assert counts == {"labelled": 20, "unlabelled": 10, "unclear": 10}
    assert table["label:sheet"].value_counts().to_dict() == {"correct": 10, "incorrect": 10}


def test_a_word_that_is_no_label_is_named_with_its_row(sheet: Path) -> None:
    fill(sheet, ["correct", "rihgt"])
    with pytest.raises(UserError, match=r"sheet\.csv:3: 'rihgt' is no label"):
        label.read([sheet])


def test_changed_texts_and_lost_keys_are_refused(sheet: Path) -> None:
    text = sheet.read_text(encoding="utf-8")
    sheet.write_text(text.replace("text ", "other ", 1), encoding="utf-8")
    with pytest.raises(UserError, match="not as it was drawn"):
        label.read([sheet])
    label.key_path(sheet).unlink()
    with pytest.raises(UserError, match="has no key"):
        label.read([sheet])


def test_several_raters_and_the_label_of_most(sheet: Path, tmp_path: Path) -> None:
    other = tmp_path / "second.csv"
    other.write_text(sheet.read_text(encoding="utf-8"), encoding="utf-8")
    fill(sheet, ["correct"] * 3 + ["hedged"])
    fill(other, ["correct", "incorrect", "", "hedged"])
    table, _ = label.read([sheet, other])
    most = label.consensus(table).fillna("none").tolist()
    assert most[:4] == ["correct", "none", "correct", "hedged"]
    found = agreement.alpha(table[["label:sheet", "label:second"]], bootstrap=50)
    assert found["units"] == 3
    assert -1 <= found["alpha"] <= 1


# ---- the page ----


@pytest.fixture
def page(sheet: Path) -> Iterator[str]:
    server = label_page.server(sheet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_label_given_on_the_page_is_in_the_sheet_at_once(page: str, sheet: Path) -> None:
    assert "Is the answer right?" in httpx.get(page).text
    rows = httpx.get(f"{page}/rows").json()["rows"]
    sent = {"label_id": rows[3]["label_id"], "label": "hedged", "note": 'says "a", then b'}
    assert httpx.post(f"{page}/label", json=sent).status_code == 200
    kept = label.load(sheet)[3]
    assert (kept["label"], kept["note"]) == ("hedged", 'says "a", then b')
    assert httpx.get(f"{page}/rows").json()["rows"][3]["label"] == "hedged"
    label.read([sheet])


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_another_site_can_neither_read_nor_write(page: str, sheet: Path, headers: dict[str, str]) -> None:
    before = sheet.read_bytes()
    row = label.load(sheet)[0]["label_id"]
    assert httpx.get(f"{page}/rows", headers=headers).status_code == 403
    assert httpx.post(f"{page}/label", json={"label_id": row, "label": "correct"}, headers=headers).status_code == 403
    assert httpx.post(f"{page}/label", json={"label_id": row, "label": "nonsense"}).status_code == 400
    assert sheet.read_bytes() == before


# ---- agreement and correction ----


def test_agreement_and_kappa_are_those_of_a_table_by_hand() -> None:
    """20 and 15 agree, 5 and 10 do not: observed 0.7, by chance 0.5."""
    pairs = [("correct", "correct")] * 20 + [("correct", "incorrect")] * 5
    pairs += [("incorrect", "correct")] * 10 + [("incorrect", "incorrect")] * 15
    table = pd.DataFrame(pairs, columns=["verdict", "label"]).assign(arm="warm", task="t")
    row = agreement.agreement(table).iloc[0]
    assert (row["n"], row["agreement_pct"]) == (50, 70.0)
    assert row["kappa"] == pytest.approx(0.4)
    assert row["kappa_low"] < 0.4 < row["kappa_high"]
    assert row["ci_low_pct"] == pytest.approx(56.25, abs=0.1), "Wilson"


def test_labels_of_one_kind_give_no_kappa() -> None:
    table = pd.DataFrame({"verdict": ["correct"] * 5, "label": ["correct"] * 5, "arm": "a", "task": "t"})
    row = agreement.agreement(table).iloc[0]
    assert np.isnan(row["kappa"])
    assert row["agreement_pct"] == 100.0


def simulated(rng: np.random.Generator, truth: float, seen: int) -> tuple[Any, Any, Any]:
    """1,000 answers to 250 items; the judge overlooks a third of the errors."""
    item = np.repeat(np.arange(250), 4)
    chance = np.clip(truth + np.repeat(rng.normal(0, 0.1, 250), 4), 0.02, 0.98)
    y = (rng.random(1000) < chance).astype(float)
    judge = np.where((y == 1) & (rng.random(1000) < 1 / 3), 0.0, y)
    label_error = np.full(1000, np.nan)
    drawn = rng.choice(1000, seen, replace=False)
    label_error[drawn] = y[drawn]
    return judge, label_error, item


def test_the_correction_covers_the_truth_where_the_judge_alone_does_not() -> None:
    rng = np.random.default_rng(0)
    covered = naive = narrower = 0
    for _ in range(400):
        judge, labels, item = simulated(rng, 0.4, 200)
        mean, variance = agreement.ppi(judge, labels, item)
        covered += abs(mean - 0.4) < 1.96 * variance**0.5
        naive += abs(judge.mean() - 0.4) < 1.96 * (judge.var() / len(judge)) ** 0.5
        seen = labels[~np.isnan(labels)]
        narrower += variance < seen.var() / len(seen)
    assert 0.92 < covered / 400 < 0.98
    assert naive / 400 < 0.05
    assert narrower / 400 > 0.9, "the judge's answers still help"


def test_rates_and_gaps_are_corrected_by_arm() -> None:
    table = answers(200)
    judged = table["error"].to_numpy()
    labels = judged.copy()
    labels[table["arm"] == "original"] = 0.0  # the judge is wrong about the original alone
    table["label_error"] = np.where(np.arange(len(table)) % 3 == 0, labels, np.nan)
    found = agreement.corrected(table).set_index(["arm", "figure"])
    assert found.loc[("original", "error"), "corrected_pct"] == pytest.approx(0, abs=8)
    warm = found.loc[("warm", "error")]
    assert warm["corrected_pct"] == pytest.approx(warm["judge_pct"], abs=8)
    gap = found.loc[("warm", "gap to original")]
    assert gap["ci_low_pct"] < gap["corrected_pct"] < gap["ci_high_pct"]
    assert gap["corrected_pct"] > 40 > abs(gap["judge_pct"])


def test_too_few_labels_are_said_to_be() -> None:
    table = answers(20).assign(label_error=np.nan)
    table.loc[:2, "label_error"] = 1.0
    found = agreement.corrected(table)
    assert set(found["note"]) == {"fewer than 20 labels"}
