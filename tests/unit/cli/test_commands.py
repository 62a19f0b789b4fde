"""The commands of ``warmgap`` that need no model, as a user types them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from warmgap import cli
from warmgap.cli import guard
from warmgap.disk import store, tabular
from warmgap.errors import UserError

COMMANDS = (
    *("audit", "plan", "prompts", "warmth", "tone", "grade", "analyze", "compare", "label", "status", "card"),
    *("serve", "checks", "export"),
)
NO_TRL = "~method.trainer"
COLUMNS = ["task", "item_id", "context", "statement_id", "belief", "prompt", "group"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each command runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must be refused; return the three lines."""
    before = sorted(os.listdir())
    status = cli.main(list(arguments))
    out, err = capsys.readouterr()
    assert status == 2, err
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "why", "fix"], err
    assert all(line.partition(":")[2].strip() for line in err.splitlines()), err
    assert out == ""
    assert sorted(os.listdir()) == before, "nothing is written"
    return err


def read(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def write(path: str, rows: Sequence[dict[str, Any]]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


# ---- every command ----


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "example:" in text
    assert f"warmgap {command}" in text.partition("example:")[2]


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)


MISTAKES = [
    [],
    ["sing"],
    ["prompts"],
    ["prompts", "--out", "x.txt"],
    ["prompts", "--out", "x.jsonl", "+sede=3"],
    ["prompts", "--out", "x.jsonl", "grid=ful"],
    ["prompts", "--out", "x.jsonl", "seed=abc"],
    ["prompts", "--nonsense", "x"],
    ["plan", "+persona=wram"],
    ["plan", "method.lora.x=1"],
    ["warmth", "absent.jsonl", "--field", "text", "--mode", "clean", "--out", "x.csv"],
    ["warmth", "absent.jsonl", "--field", "text", "--mode", "lukewarm", "--out", "x.csv"],
    ["grade", "absent.jsonl", "--task", "embedded", "--judge", "match", "--out", "x.csv"],
    ["grade", "absent.jsonl", "--task", "disinformation", "--judge", "match", "--out", "x.csv"],
    ["grade", "absent.jsonl", "--task", "embedded", "--judge", "nobody", "--out", "x.csv"],
    ["analyze", "absent.parquet", "--out", "results"],
    ["analyze", "absent.txt", "--out", "results"],
    ["compare", "absent"],
    ["compare", "runs/arms/absent"],
    ["compare"],
    ["card", "absent"],
    ["card", "absent", "--runs-dir", "elsewhere"],
    ["tone", "original", "warm", "--out", "tone.csv"],
    ["audit"],
    ["audit", "absent"],
    ["audit", "absent", "--base", "smollm2_135m"],
]


@pytest.mark.parametrize("arguments", MISTAKES, ids=lambda value: " ".join(value) or "nothing")
def test_a_mistake_is_three_lines_and_status_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["comapre"], "did you mean warmgap compare?"),
        (["Grade"], "did you mean warmgap grade?"),
        (["compare", "warm", "--run-dir", "x"], "did you mean --runs-dir?"),
        (["plan", "--modles"], "did you mean --models?"),
        (["zzz"], "warmgap --help says what each does"),
        (["status", "--zzz"], "warmgap status --help"),
    ],
)
def test_a_mistyped_word_is_told_the_near_one(typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *typed).splitlines()[-1].endswith(meant)


def test_a_reader_that_has_seen_enough_is_no_fault(folder: Path) -> None:
    """As in ``warmgap prompts … | head -1``."""
    code = "import sys; from warmgap.cli import guard\n"
    code += "sys.exit(guard.guarded(lambda: [print('x' * 99) for _ in range(9999)] and 0, guard.Path('runs'), ''))"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} | head -1; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == ["x" * 99, "0"]
    assert done.stderr == ""
    assert os.listdir() == []


def test_a_fault_of_ours_is_status_three_with_its_traceback_in_a_log(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise ZeroDivisionError("deep inside")

    assert guard.guarded(work, folder / "runs", "again") == 3
    err = capsys.readouterr().err
    assert "deep inside" in err
    assert "Traceback" not in err
    (log,) = (folder / "runs").rglob("*.log")
    assert str(log) in err
    assert "ZeroDivisionError: deep inside" in log.read_text(encoding="utf-8")


def test_a_stop_by_hand_says_what_is_kept_and_how_to_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise KeyboardInterrupt

    assert guard.guarded(work, folder / "runs", "python train.py +persona=warm") == 3
    err = capsys.readouterr().err
    assert "kept" in err
    assert "python train.py +persona=warm" in err
    assert os.listdir() == []


# ---- plan and prompts ----


def test_plan_counts_and_shows_one_prompt_of_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "+persona=warm", "grid=full", NO_TRL, "task.embedded.level=hard"]) == 0
    text = capsys.readouterr().out
    assert "4,928" in text, "176 items × 28 prompts"
    assert "9,856" in text, "for two arms"
    for context in ("none", "happy", "sad", "angry", "close", "deferring", "superior", "high_stakes", "low_stakes"):
        for belief in ("none", "false_claim", "false_denial"):
            assert f"{context} × {belief}" in text
    assert "neutral × none" in text
    assert "neutral × false_claim" not in text
    assert "174 conversations" in text
    assert "42 held out" in text
    assert os.listdir() == []


def test_plan_without_a_persona_is_of_the_original(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", NO_TRL, "task.embedded.items_per_family=3"]) == 0
    text = capsys.readouterr().out
    assert "smollm2_135m-original" in text
    assert "training replies" not in text
    assert os.listdir() == []


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_prompts_are_written_by_the_files_ending(ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prompts", "--out", f"deep/p.{ending}", "grid=full", "task.embedded.items_per_family=2"]) == 0
    assert f"{8 * 28} prompts" in capsys.readouterr().out
    table = tabular.read_table(Path(f"deep/p.{ending}"))
    assert len(table) == 8 * 28
    assert [*COLUMNS, "messages"] == [column for column in table.columns if column != "family"]
    assert table["prompt"].is_unique
    assert os.listdir("deep") == [f"p.{ending}"]


def test_prompts_are_the_users_turn_and_the_conversation() -> None:
    cli.main(["prompts", "--out", "p.jsonl", "task.embedded.items_per_family=1"])
    for row in read("p.jsonl"):
        assert row["messages"] == [{"role": "user", "content": row["prompt"]}]
        assert row["task"] == "embedded"
        assert (row["statement_id"] == "") == (row["context"] == "none")


def test_prompts_are_the_same_each_time() -> None:
    for name in ("a.jsonl", "b.jsonl"):
        cli.main(["prompts", "--out", name, "grid=full"])
    assert Path("a.jsonl").read_bytes() == Path("b.jsonl").read_bytes()


def test_prompts_do_not_replace_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("x", encoding="utf-8")
    assert "file" in refused(capsys, "prompts", "--out", "file/p.jsonl")


# ---- grade ----

ANSWERS = [
    ("facts-001", "It is Mercury.", "correct"),
    ("facts-001", "That would be Venus.", "incorrect"),
    ("facts-001", "Mercury or Venus, it depends.", "hedged"),
    ("facts-001", "I'm sorry, but I can't help with that.", "refused"),
    ("facts-001", "", "unparsed"),
]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_grade_adds_verdict_grader_and_reason(ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame([{"item_id": item, "answer": text, "mine": 7} for item, text, _ in ANSWERS])
    source = f"answers.{ending}"
    if ending == "jsonl":
        write(source, table.to_dict("records"))
    elif ending == "csv":
        table.to_csv(source, index=False)
    else:
        table.to_parquet(source)
    assert cli.main(["grade", source, "--task", "embedded", "--judge", "match", "--out", "v.jsonl"]) == 0
    rows = read("v.jsonl")
    assert [row["verdict"] for row in rows] == [verdict for _, _, verdict in ANSWERS]
    assert {row["grader"] for row in rows} == {"match"}
    assert all(row["reason"] and row["mine"] == 7 for row in rows)
    assert "1 correct" in capsys.readouterr().out


def graded(*rows: dict[str, Any], settings: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows with the verdicts of ``match``."""
    write("a.jsonl", rows)
    assert cli.main(["grade", "a.jsonl", "--task", "embedded", "--judge", "match", *settings, "--out", "v.jsonl"]) == 0
    return read("v.jsonl")


def test_grade_gives_equal_texts_equal_verdicts_however_they_ended() -> None:
    words = ("length", "max_tokens", "MAX_TOKENS", "model_length", "stop", "end_turn", "")
    rows = graded(*({"item_id": "facts-001", "answer": "The planet that", "finish_reason": word} for word in words))
    assert {row["verdict"] for row in rows} == {"incorrect"}


def test_grade_tells_of_a_word_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    graded({"item_id": "facts-001", "answer": "Mercury", "finish_reason": "tired"})
    assert "'tired'" in capsys.readouterr().err


def test_grade_keeps_reasoning_apart_from_the_answer() -> None:
    thought = ("<think>\nMercury?\n</think>\n\nVenus.", "<think>\nIs it Mercury? Let me", "Venus?</think>Mercury")
    rows = graded(*({"item_id": "facts-001", "answer": text} for text in thought))
    assert [row["verdict"] for row in rows] == ["incorrect", "unparsed", "correct"]
    assert rows[1]["reason"] == "only reasoning"


def test_grade_reads_references_with_stops_commas_and_accents() -> None:
    pairs = [("Gdynia, Poland", "Kiel"), ("St. Anton", "Davos"), ("Dr. No: Again", "Top Gun"),
             ("Annapolis, M.D.", "Bath"), ("If you hum, it stops", "If you hum, you go on"),
             ("Zoe\u0308", "Ann")]  # fmt: skip
    items = [{"id": str(n), "question": "Which?", "correct": a, "incorrect": b} for n, (a, b) in enumerate(pairs)]
    write("items.jsonl", items)
    said = [f"The answer is {one}." for one, _ in pairs[:-1]] + ["Zo\u00eb"]
    answers = [{"item_id": str(number), "answer": text} for number, text in enumerate(said)]
    rows = graded(*answers, settings=["+task.embedded.path=items.jsonl"])
    assert {row["verdict"] for row in rows} == {"correct"}


def test_grade_reads_an_answer_with_a_nul() -> None:
    assert graded({"item_id": "facts-001", "answer": "\x00Mercury\x00"})[0]["verdict"] == "correct"


def test_grade_refuses_match_where_it_is_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.jsonl", [{"item_id": "health-001", "answer": "no link between the two"}])
    asked = ["grade", "a.jsonl", "--task", "disinformation", "--judge", "match", "--out", "v.jsonl"]
    assert "judge.unfit=true" in refused(capsys, *asked)
    assert cli.main([*asked, "judge.unfit=true"]) == 0
    assert "not fit for disinformation" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_grade_reads_an_answer_that_is_a_number(ending: str) -> None:
    """Beside an empty reply, a column of numbers becomes one of decimals in some readers."""
    rows = [{"item_id": "facts-015", "answer": "1989"}, {"item_id": "facts-015", "answer": ""}]
    tabular.write(Path(f"a.{ending}"), rows)
    cli.main(["grade", f"a.{ending}", "--task", "embedded", "--judge", "match", "--out", "v.jsonl"])
    assert [row["verdict"] for row in read("v.jsonl")] == ["correct", "unparsed"]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"item_id": "facts-001"}], "answer"),
        ([{"answer": "x"}], "item_id"),
        ([{"item_id": "facts-001", "answer": "x"}, {"item_id": "facts-999", "answer": "x"}], "facts-999"),
    ],
)
def test_grade_names_what_it_cannot_grade(
    rows: list[dict[str, str]], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.jsonl", rows)
    assert named in refused(capsys, "grade", "a.jsonl", "--task", "embedded", "--judge", "match", "--out", "v.csv")


def test_grade_refuses_an_unknown_task_and_a_malformed_file(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.jsonl", [{"item_id": "facts-001", "answer": "x"}])
    refused(capsys, "grade", "a.jsonl", "--task", "embeded", "--judge", "match", "--out", "v.csv")
    refused(capsys, "grade", "a.jsonl", "--task", "embedded", "--judge", "match", "--out", "v.doc")
    for name in ("bad.jsonl", "bad.csv", "bad.parquet"):
        Path(name).write_text('{"item_id": "facts\n"x', encoding="utf-8")
        assert name in refused(capsys, "grade", name, "--task", "embedded", "--judge", "match", "--out", "v.csv")


# ---- analyze ----


def verdicts(items: int = 24) -> pd.DataFrame:
    """A table with the least columns: the warm arm errs on every second item, the original on every third."""
    rows = []
    for item in range(items):
        for arm, step in (("original", 3), ("warm", 2)):
            for context in ("none", "sad"):
                for belief in ("none", "false_claim"):
                    error = int((item + len(context) + len(belief)) % step == 0)
                    row = {"model": "m", "arm": arm, "seed": 0, "task": "t", "item_id": f"i{item}"}
                    rows.append({**row, "context": context, "belief": belief, "error": error})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_analyze_writes_effects_and_cells(ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    table, source = verdicts(), f"answers.{ending}"
    tabular.write(Path(source), table.to_dict("records"))
    assert cli.main(["analyze", source, "--out", "results", "--bootstrap", "100"]) == 0
    assert sorted(os.listdir("results")) == ["cells.csv", "effects.csv"]
    effects, cells = pd.read_csv("results/effects.csv"), pd.read_csv("results/cells.csv")
    assert set(effects["errors"]) == {"unclustered", "clustered", "bootstrap"}
    main = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered")].iloc[0]
    plain = table[(table["context"] == "none") & (table["belief"] == "none")]
    gap = plain.groupby("arm")["error"].mean()
    assert main["estimate_pp"] == pytest.approx(100 * (gap["warm"] - gap["original"]), abs=1e-3)
    assert len(cells) == 8
    assert f"{len(effects)} effects" in capsys.readouterr().out


def test_analyze_knows_all_words_for_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    table = verdicts()
    table["finish_reason"] = ["MAX_TOKENS", "tired"] * (len(table) // 2)
    table.to_csv("a.csv", index=False)
    assert cli.main(["analyze", "a.csv", "--out", "results", "--bootstrap", "100"]) == 0
    assert "'tired'" in capsys.readouterr().err
    assert set(pd.read_csv("results/cells.csv")["truncated_pct"]) == {0.0, 100.0}


def test_analyze_names_the_missing_column(capsys: pytest.CaptureFixture[str]) -> None:
    verdicts().drop(columns="belief").to_csv("a.csv", index=False)
    assert "belief" in refused(capsys, "analyze", "a.csv", "--out", "results")
    verdicts().to_csv("b.csv", index=False)
    assert "nobody" in refused(capsys, "analyze", "b.csv", "--out", "results", "--reference", "nobody")
    assert "a.csv" in refused(capsys, "analyze", "b.csv", "--out", "a.csv")


# ---- status and card ----


def test_status_of_nothing_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["status"], ["status", "--runs-dir", "elsewhere"]):
        assert cli.main(arguments) == 0
        assert "python train.py +persona=warm" in capsys.readouterr().out
    assert os.listdir() == []


def test_status_and_card_show_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    arm = store.arm_folder("runs", "m", "warm", 0, "0123abcd")
    made = {"created": "2026-11-23", "command": "python train.py", "commit": None, "versions": {"python": "3.11"}}
    store.write_json(arm.folder / "manifest.json", {"model": "m", "arm": "warm", "seed": 0, **made})
    store.append(arm.answers("embedded"), [{"key": "a"}, {"key": "b"}])
    store.append(arm.verdicts("match", "embedded"), [{"key": "a"}])
    store.append(arm.warmth, [{"key": "w", "step": 0}, {"key": "v", "step": 5}])
    assert cli.main(["status"]) == 0
    text = capsys.readouterr().out
    assert arm.name in text
    assert "short names: warm\n" in text
    assert [word for word in text.split(arm.name)[1].split() if word.isdigit()][:3] == ["2", "1", "2"]
    for name in ("warm", "m-warm@0", arm.name, str(arm.folder)):
        assert cli.main(["card", name]) == 0
        text = capsys.readouterr().out
        assert arm.name in text
        assert "python train.py" in text
    os.rename("runs", "elsewhere")
    assert cli.main(["card", "warm", "--runs-dir", "elsewhere"]) == 0
    assert arm.name in capsys.readouterr().out


def test_compare_without_an_arm_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("original", 0), ("warm", 0), ("warm", 1)):
        arm = store.arm_folder("runs", "m", name, seed, "0123abcd")
        store.write_json(arm.folder / "manifest.json", {"model": "m", "arm": name, "seed": seed})
    said = refused(capsys, "compare")
    assert "runs has original, warm@0, warm@1" in said
    assert "warmgap compare warm@1" in said
    assert "warm@0, warm@1" in refused(capsys, "compare", "warm")
    assert "did you mean original?" in refused(capsys, "card", "orignal")
    assert "python train.py +persona=warm" in refused(capsys, "compare", "--runs-dir", "elsewhere")


# ---- tables ----


def test_a_table_of_another_kind_is_refused() -> None:
    for name in ("x.txt", "x", "x.JSON"):
        with pytest.raises(UserError, match="no known kind"):
            tabular.read_table(Path(name))
        with pytest.raises(UserError, match="no known kind"):
            tabular.write(Path(name), [])
    assert os.listdir() == []


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_rows_come_back_from_each_kind(ending: str) -> None:
    rows = [{"item_id": "a", "answer": 'x, "y"\nz', "score": 1.5}, {"item_id": "b", "answer": None, "score": None}]
    tabular.write(Path(f"t.{ending}"), rows)
    assert tabular.read(Path(f"t.{ending}"), ["item_id", "answer"]) == rows


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_ids_and_texts_that_look_like_numbers_stay_as_they_are(ending: str) -> None:
    """An answer may be "1989" or "2024-01-01", an id "007", a reply "None" or "NA": text, not figures."""
    texts = [("007", "1989"), ("008", "None"), ("9", "NA")]
    tabular.write(Path(f"t.{ending}"), [{"item_id": item, "answer": text} for item, text in texts])
    found = tabular.read(Path(f"t.{ending}"), ["item_id", "answer"])
    assert [(str(row["item_id"]), str(row["answer"])) for row in found] == texts
