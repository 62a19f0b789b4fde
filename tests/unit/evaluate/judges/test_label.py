"""Human labels: blind sheets, the page to fill them on, and what people and spreadsheets save comes back."""

from __future__ import annotations

import csv
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from warmgap.cli import commands
from warmgap.errors import UserError
from warmgap.evaluate.judges import agreement, label, label_page
from warmgap.evaluate.judges.grade import error_of


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
    table, counts, changed = label.read([sheet])
    assert not changed
    assert counts == {"labelled": 20, "unlabelled": 10, "unclear": 10}
    assert table["label:sheet"].value_counts().to_dict() == {"correct": 10, "incorrect": 10}


def test_a_word_that_is_no_label_is_named_with_its_row(sheet: Path) -> None:
    fill(sheet, ["correct", "rihgt"])
    with pytest.raises(UserError, match=r"sheet\.csv:3: 'rihgt' is no label"):
        label.read([sheet])


def test_changed_texts_and_lost_keys_are_refused(sheet: Path) -> None:
    text = sheet.read_text(encoding="utf-8")
    sheet.write_text(text.replace("text ", "other ", 1), encoding="utf-8")
    with pytest.raises(UserError, match="1 rows are not as they were drawn"):
        label.read([sheet])
    label.key_path(sheet).unlink()
    with pytest.raises(UserError, match="has no key"):
        label.read([sheet])


def test_no_id_is_a_number_a_date_or_a_word_to_a_spreadsheet() -> None:
    """Letters alone, and no vowel: no digit group, no exponent, no name of a month, no TRUE."""
    rows, key = label.sample(answers(500), 2000, seed=3)
    ids = [row["label_id"] for row in rows]
    assert len(set(ids)) == len(key["answers"]) == 2000
    assert all(re.fullmatch(r"[bcdfghj-np-tvwxz]{10}", name) for name in ids)


def redrawn(tmp_path: Path, texts: list[str]) -> Path:
    """A sheet of answers with these texts, each row labelled correct."""
    table = answers(len(texts))
    table = table[(table["arm"] == "warm") & (table["task"] == "med_qa")].assign(answer=texts, prompt=texts)
    path = tmp_path / "texts.csv"
    label.write(path, *label.sample(table, len(texts), seed=0))
    fill(path, ["correct"] * len(texts))
    return path


FORMULAS = ["=HYPERLINK(1)", "+1 is right", "-5", "@SUM", "\ttab", "\rreturn", "'=kept", "''-two", "'tis", "a=b", "＝1"]


def test_no_cell_is_a_formula_and_every_text_comes_back(tmp_path: Path) -> None:
    path = redrawn(tmp_path, FORMULAS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell[:1] in {"=", "+", "-", "@", "\t", "\r", "\n", "＝"}]
    assert sorted(row["answer"] for row in label.load(path)) == sorted(FORMULAS)
    assert label.read([path])[2] == []


def test_what_a_spreadsheet_made_of_numbers_and_dates_is_named_and_read(tmp_path: Path) -> None:
    texts = ["1/2", "0042", "1e5", "TRUE", "a long answer “with” marks,\nand lines", "Ünïcode é"]
    path = redrawn(tmp_path, texts)
    becomes = {"1/2": "02. Jan", "0042": "42", "1e5": "1.00E+05", "TRUE": "WAHR"}
    rows = label.load(path)
    for row in rows:
        row.update(answer=becomes.get(row["answer"], row["answer"]), prompt=becomes.get(row["prompt"], row["prompt"]))
    label.save(path, rows)
    table, counts, changed = label.read([path])
    assert counts["labelled"] == len(table) == len(texts)
    assert len(changed) == len(becomes)
    assert all("prompt, answer" in line for line in changed)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_sheet_is_read_in_the_encodings_that_spreadsheets_save(tmp_path: Path, encoding: str) -> None:
    path = redrawn(tmp_path, ["naïve “quoted” café", "plain"])
    text = path.read_text(encoding="utf-8-sig").replace("\n", "\r\n") + ",,,,,,,\r\n"
    path.write_bytes(text.encode(encoding))
    _, counts, changed = label.read([path])
    assert (counts["labelled"], changed) == (2, [])


def test_labels_that_slid_to_other_answers_are_refused(sheet: Path) -> None:
    """Somebody sorted one column alone."""
    rows = label.load(sheet)
    names = [row["label_id"] for row in rows]
    for row, name in zip(rows, names[1:] + names[:1], strict=True):
        row["label_id"] = name
    label.save(sheet, rows)
    with pytest.raises(UserError, match="40 rows are not as they were drawn") as refused:
        label.read([sheet])
    assert f"sheet.csv:2 {names[1]} has another answer than was drawn" in refused.value.why
    assert "and 35 more" in refused.value.why


def test_ids_that_are_unknown_or_twice_there_are_named(sheet: Path) -> None:
    rows = label.load(sheet)
    twice = rows[1]["label_id"]
    rows[0]["label_id"], rows[2] = "7.50814E+08", rows[1]
    label.save(sheet, rows)
    with pytest.raises(UserError) as refused:
        label.read([sheet])
    assert "sheet.csv:2 7.50814e+08 is no id of this sheet's key" in refused.value.why
    assert f"sheet.csv:4 {twice} stands twice" in refused.value.why


def test_labels_of_other_answers_are_left_out_and_counted(sheet: Path) -> None:
    fill(sheet, ["correct"] * 40)
    table, _, _ = label.read([sheet])
    table["label"] = label.consensus(table)
    other = answers()
    other.loc[other["arm"] == "warm", "answer"] = "something else"
    joined, lost = label.with_labels(other, table)
    assert (lost, int(joined["label"].notna().sum()), len(joined)) == (20, 20, len(other))


def test_the_command_prints_and_writes_every_table(sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sheet.parent / "comparison"
    folder.mkdir()
    answers().to_parquet(folder / "answers.parquet")
    fill(sheet, ["correct", "incorrect", "hedged", "refused", "unclear", ""] * 7)
    assert commands.run(["label", str(folder), "--read", str(sheet), "--out", str(folder / "labels")]) == 0
    said = capsys.readouterr().out
    for words in (
        "judge against people",
        "does the judge err alike?",
        "corrected by the labels",
        "6 rows open, 6 unclear",
    ):
        assert words in said
    tables = {path.stem: pd.read_csv(path) for path in (folder / "labels").iterdir()}
    assert set(tables) == {"agreement", "differences", "corrected"}
    assert set(tables["agreement"]["part"]) == {"all", "arm", "task", "belief"}
    assert all(len(table) for table in tables.values())


def test_several_raters_and_the_label_of_most(sheet: Path, tmp_path: Path) -> None:
    other = tmp_path / "second.csv"
    other.write_text(sheet.read_text(encoding="utf-8"), encoding="utf-8")
    fill(sheet, ["correct"] * 3 + ["hedged"])
    fill(other, ["correct", "incorrect", "", "hedged"])
    table, _, _ = label.read([sheet, other])
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


def test_every_label_that_was_acknowledged_is_on_the_disk(sheet: Path) -> None:
    """Two servers on one sheet, eight people at once; a reader finds the sheet whole at any time."""
    servers = [label_page.server(sheet) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    names = [row["label_id"] for row in label.load(sheet)]
    wanted = {name: label.CHOICES[place % len(label.CHOICES)] for place, name in enumerate(names)}
    done, sizes = threading.Event(), set()

    def watch() -> None:
        while not done.is_set():
            sizes.add(len(label.load(sheet)))

    def post(place: int) -> int:
        url = f"http://127.0.0.1:{servers[place % 2].server_address[1]}/label"
        sent = {"label_id": names[place], "label": wanted[names[place]], "note": f"note {place}", "seen": ""}
        return httpx.post(url, json=sent, timeout=60).status_code

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(post, range(len(names))))
    done.set()
    watcher.join()
    for server in servers:
        server.shutdown()
        server.server_close()
    assert statuses == [200] * len(names)
    assert sizes == {len(names)}
    kept = {row["label_id"]: (row["label"], row["note"]) for row in label.load(sheet)}
    assert kept == {name: (wanted[name], f"note {place}") for place, name in enumerate(names)}
    assert label.read([sheet])[2] == []


def test_a_label_that_the_page_has_not_seen_is_not_written_over(page: str, sheet: Path) -> None:
    name = label.load(sheet)[0]["label_id"]
    first = {"label_id": name, "label": "correct", "note": "mine", "seen": ""}
    assert httpx.post(f"{page}/label", json=first).status_code == 200
    second = httpx.post(f"{page}/label", json={**first, "label": "incorrect", "note": "no"})
    assert (second.status_code, second.json()) == (409, {"label": "correct", "note": "mine"})
    assert label.load(sheet)[0]["label"] == "correct"
    assert httpx.post(f"{page}/label", json={**first, "label": "incorrect", "seen": "correct"}).status_code == 200
    assert label.load(sheet)[0]["label"] == "incorrect"


@pytest.mark.parametrize("body", [b"[1]", b"{", b'{"label_id": 1}', b"\xff", b'"text"', b"null"])
def test_a_post_that_is_none_is_answered_so_and_changes_nothing(page: str, sheet: Path, body: bytes) -> None:
    before = sheet.read_bytes()
    assert httpx.post(f"{page}/label", content=body).status_code == 400
    assert httpx.post(f"{page}/label", content=b"x" * (label_page.LONGEST + 1)).status_code == 413
    assert sheet.read_bytes() == before


def test_a_note_with_half_an_emoji_and_a_sheet_that_cannot_be_read_are_answered(page: str, sheet: Path) -> None:
    name = label.load(sheet)[0]["label_id"]
    half = json.dumps({"label_id": name, "label": "correct", "note": "\ud83d"}).encode()
    assert httpx.post(f"{page}/label", content=half).status_code == 200
    assert label.load(sheet)[0]["note"] == "\ufffd"
    fill(sheet, ["rihgt"])
    refused = httpx.post(f"{page}/label", json={"label_id": name, "label": "correct"})
    assert refused.status_code == 500
    assert "'rihgt' is no label" in refused.text
