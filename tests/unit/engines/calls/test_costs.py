"""Money: what is counted, what is capped and what the server has billed, through faults, kills and restarts."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from raw_server import completion, good, serving, whole

from warmgap import api
from warmgap.disk import store
from warmgap.engines import batches, client
from warmgap.engines.calls import costs
from warmgap.engines.calls.costs import CapReached, costs_noted, paid
from warmgap.engines.client import ChatRequest, Endpoint
from warmgap.settings.schema import EndpointConfig

PRICE_IN, PRICE_OUT = 1.0, 1000.0
EACH = (100 * PRICE_IN + 10 * PRICE_OUT) / 1e6  # of a good reply
MADE = {"stage": "grading", "judge": "openai", "model": "m-2024-08-06"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.002)


def made(url: str, **other: Any) -> Endpoint:
    own: dict[str, Any] = {"model": "m-2024-08-06", "key_env": "", "timeout": 2.0, "retries": 2, "max_tokens": 100}
    own |= {"price_in": PRICE_IN, "price_out": PRICE_OUT, "batch_poll": 0.01}
    return Endpoint(EndpointConfig(base_url=url, **{**own, **other}), "judge")


def asked(count: int, start: int = 0) -> list[ChatRequest]:
    numbers = range(start, start + count)
    return [ChatRequest(f"k{i}", [{"role": "user", "content": f"question {i}"}]) for i in numbers]


def spent(point: Endpoint) -> float:
    assert point.meter.spent is not None
    return point.meter.spent


UNKNOWN = {
    "null": None,
    "a list": [100, 10],
    "a text": "much",
    "numbers null": {"prompt_tokens": None, "completion_tokens": None},
    "one missing": {"prompt_tokens": 100},
    "negative": {"prompt_tokens": -100, "completion_tokens": 10},
    "huge": {"prompt_tokens": 10**30, "completion_tokens": 10},
    "fractional text": {"prompt_tokens": "12.5", "completion_tokens": "10"},
    "fractional": {"prompt_tokens": 12.5, "completion_tokens": 10},
    "more than may be": {"prompt_tokens": 100, "completion_tokens": 101},
    "NaN": {"prompt_tokens": float("nan"), "completion_tokens": 10},
    "infinite": {"prompt_tokens": 100, "completion_tokens": float("inf")},
    "true": {"prompt_tokens": True, "completion_tokens": True},
    "nothing read": {"prompt_tokens": 0, "completion_tokens": 0},
    "a text of no tokens": {"prompt_tokens": 100, "completion_tokens": 0},
}


@pytest.mark.parametrize("usage", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_usage_that_is_not_told_or_cannot_be_costs_what_was_set_aside(
    usage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda line, body: line.sendall(good("fine", usage=usage))) as server:
        point = made(server.url)
        replies = list(point.ask(asked(3)))
    dearest = [point.dearest(request) for request in asked(3)]
    assert sorted(reply.cost or 0 for reply in replies) == pytest.approx(sorted(dearest))
    assert spent(point) == point.meter.unclear == pytest.approx(sum(dearest))
    assert capsys.readouterr().err.count("cannot be") == (usage is not None), "said once"


def test_usage_in_digits_and_under_other_names_is_read() -> None:
    for usage in ({"prompt_tokens": "100", "completion_tokens": 10.0}, {"input_tokens": 100, "output_tokens": 10}):
        with serving(lambda line, body, usage=usage: line.sendall(good("x", usage=usage))) as server:
            point = made(server.url)
            list(point.ask(asked(2)))
        assert (spent(point), point.meter.unclear) == (pytest.approx(2 * EACH), 0)


FREE = {"busy": "429 Too Many", "down": "503 Down", "broken": "500 Oh", "invalid": "400 Bad Request"}
BILLED = {
    "half a body": whole(json.dumps(completion("fine")).encode()[:50]),
    "a page": whole(b"<html></html>"),
    "cut": whole(b"{", Content_Length="999"),
    "nothing": b"",
}


@pytest.mark.parametrize("status", FREE.values(), ids=FREE.keys())
def test_what_a_server_turns_away_costs_nothing(status: str) -> None:
    with serving(lambda line, body: line.sendall(whole(b'{"error": "no"}', status))) as server:
        point = made(server.url)
        list(point.ask(asked(2)))
    assert (spent(point), point.meter.reserved) == (0, pytest.approx(0))


def test_a_server_that_is_not_there_costs_nothing() -> None:
    point = made("http://127.0.0.1:9/v1")
    assert [bool(reply.error) for reply in point.ask(asked(2))] == [True, True]
    assert spent(point) == 0


@pytest.mark.parametrize("sent", BILLED.values(), ids=BILLED.keys())
def test_what_a_server_may_have_done_counts_and_the_cap_holds_against_it(sent: bytes) -> None:
    """Each attempt may have been billed: as many are made as the cap has room for, and not one more."""

    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)

    with serving(behave) as server:
        point = made(server.url, max_cost=1.0, retries=20, concurrency=3)
        with pytest.raises(CapReached):
            list(point.ask(asked(4)))
    dearest = point.dearest(asked(1)[0])
    most = int(1.0 / dearest)
    assert spent(point) == point.meter.unclear == pytest.approx(most * dearest)
    assert most - 3 <= len(server.bodies) <= most, "what is sent down a line that has just been ended counts, unread"
    assert spent(point) <= 1.0


def test_what_is_stopped_under_way_counts_as_set_aside(tmp_path: Path) -> None:
    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        time.sleep(0 if body["messages"][0]["content"] == "question 0" else 0.5)
        line.sendall(good("fine"))

    with serving(behave) as server:
        point = made(server.url, concurrency=4)
        with costs_noted(point.meter, tmp_path / "costs.jsonl", MADE):
            replies = point.ask(asked(4))
            next(replies)
            time.sleep(0.1)
    (row,) = paid(tmp_path / "costs.jsonl")
    assert len(server.bodies) == 4
    assert row["spent"] == pytest.approx(EACH + 3 * point.dearest(asked(1)[0]))
    assert row["unclear"] == pytest.approx(row["spent"] - EACH)


def test_a_cap_is_that_of_all_commands_on_the_same(tmp_path: Path) -> None:
    file = tmp_path / "costs.jsonl"
    with serving(lambda line, body: line.sendall(good("fine"))) as server:
        for start in range(0, 60, 20):
            point = made(server.url, max_cost=0.5, concurrency=2)
            with pytest.raises(CapReached), costs_noted(point.meter, file, MADE):
                list(point.ask(asked(200, start)))
        assert len(server.bodies) * EACH == pytest.approx(sum(row["spent"] for row in paid(file)))
        assert 0.5 - point.dearest(asked(1)[0]) < len(server.bodies) * EACH <= 0.5
        other = made(server.url, max_cost=0.5)
        with costs_noted(other.meter, file, {**MADE, "model": "other-2024-08-06"}):
            assert len(list(other.ask(asked(2)))) == 2, "another model's costs are not this one's"


# ---- killed ----

ASKING = """
import sys
sys.path.insert(0, {support!r})
from pathlib import Path
from warmgap.disk import store
from warmgap.engines import client
from warmgap.engines.calls.costs import costs_noted
from warmgap.engines.client import ChatRequest, Endpoint
from warmgap.settings.schema import EndpointConfig

own = dict(model="m-2024-08-06", key_env="", price_in={price_in}, price_out={price_out}, max_tokens=100)
point = Endpoint(EndpointConfig(base_url=sys.argv[1], max_cost=3.0, concurrency=8, **own), "judge")
kept = set(store.journal_by_key(Path("kept.jsonl")))
with costs_noted(point.meter, Path("costs.jsonl"), {made!r}):
    asked = [ChatRequest(f"k{{i}}", [dict(role="user", content=f"question {{i}}")]) for i in range(400)]
    for reply in point.ask(one for one in asked if one.key not in kept):
        store.append(Path("kept.jsonl"), [dict(key=reply.key, usd=reply.cost)])
"""


def test_the_cap_holds_over_kills_and_every_start_counts_what_the_server_billed(tmp_path: Path) -> None:
    code = ASKING.format(
        support=str(Path(__file__).parents[3] / "support"), price_in=PRICE_IN, price_out=PRICE_OUT, made=MADE
    )

    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        time.sleep(0.005)
        line.sendall(good("fine"))

    with serving(behave) as server:
        command = [sys.executable, "-c", textwrap.dedent(code), server.url]
        for wanted in (20, 50, 80):
            process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
            while len(list(store.read_journal(tmp_path / "kept.jsonl"))) < wanted:
                assert process.poll() is None, process.stderr and process.stderr.read().decode()
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stderr and process.stderr.close()
            time.sleep(0.1)
            billed = len(server.bodies) * EACH
            assert billed <= sum(row["spent"] for row in paid(tmp_path / "costs.jsonl")) <= 3.0 * 1.02
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "max_cost=3 is reached" in done.stderr
    kept = list(store.read_journal(tmp_path / "kept.jsonl"))
    assert len({row["key"] for row in kept}) == len(kept)
    assert sum(row["usd"] for row in kept) <= len(server.bodies) * EACH <= 3.0


# ---- batches ----


def test_a_batch_is_counted_once_however_often_its_collecting_is_stopped(tmp_path: Path) -> None:
    import chat_api

    with chat_api.serving(lambda body, count: "fine") as server:
        for _ in range(5):
            point = made(server.url)
            with costs_noted(point.meter, tmp_path / "costs.jsonl", MADE):
                kept = {row["key"] for row in store.read_journal(tmp_path / "kept.jsonl")}
                missing = [request for request in asked(9) if request.key not in kept]
                for number, reply in enumerate(batches.ask(point, missing, tmp_path / "b.jsonl"), 1):
                    store.append(tmp_path / "kept.jsonl", [{"key": reply.key, "usd": reply.cost}])
                    if number == 2:
                        break
    rows = list(store.read_journal(tmp_path / "kept.jsonl"))
    assert len({row["key"] for row in rows}) == len(rows) == 9
    assert len(server.batches) == 1
    billed = len(server.bodies) * EACH
    assert sum(row["usd"] for row in rows) == pytest.approx(billed)
    assert sum(row["spent"] for row in paid(tmp_path / "costs.jsonl")) == pytest.approx(billed)


# ---- judges, through the function that everybody calls ----


def rows_of(count: int) -> Any:
    import pandas as pd

    from warmgap.evaluate.tasks import load_items
    from warmgap.settings.schema import TaskConfig

    items = load_items({"embedded": TaskConfig()}).items[:count]
    return pd.DataFrame([{"item_id": item.item_id, "answer": f"It is {item.correct}."} for item in items])


def grading(url: str, kept: Path, **more: Any) -> Any:
    own = {"model": "m-2024-08-06", "base_url": url, "key_env": "null", "price_in": PRICE_IN, "price_out": PRICE_OUT}
    own |= {"max_tokens": 100, "concurrency": 4, "retries": 8, "timeout": 1.0, **more}
    return api.grade(rows_of(60), *(f"judge.{key}={value}" for key, value in own.items()), judge="openai", kept=kept)


VERDICT = json.dumps({"reason": "it names it", "verdict": "correct"})


def journal(kept: Path) -> list[dict[str, Any]]:
    return list(store.read_journal(Path(f"{kept}.journal.jsonl")))


def test_with_faults_journals_costs_and_the_servers_bill_agree(tmp_path: Path) -> None:
    """30 % faults. The server bills whole replies, and replies that it begins: those count at what was set aside."""
    rng, lock = random.Random(4), threading.Lock()
    billed = {"whole": 0, "lost": 0}

    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        with lock:
            fault = rng.choice(["busy", "down", *BILLED]) if rng.random() < 0.3 else ""
            if fault not in ("busy", "down"):
                billed["lost" if fault else "whole"] += 1
        if fault in BILLED:
            line.sendall(BILLED[fault])
            line.shutdown(socket.SHUT_WR)
        elif fault:
            line.sendall(whole(b'{"error": "later"}', FREE[fault], retry_after_ms="5"))
        else:
            line.sendall(good(VERDICT))

    kept = tmp_path / "graded"
    with serving(behave) as server:
        graded = grading(server.url, kept, timeout=20.0)  # on a busy machine a whole reply may be late, and is billed
    assert set(graded["verdict"]) == {"correct"}
    rows = journal(kept)
    assert len({row["key"] for row in rows}) == len(rows) == billed["whole"]
    told = sum(row["judge_usd"] for row in rows)
    (cost,) = paid(Path(f"{kept}.costs.jsonl"))
    assert billed["lost"] > 5
    assert round(told, 2) == round(billed["whole"] * EACH, 2)
    assert cost["spent"] - cost["unclear"] == pytest.approx(told)
    assert cost["unclear"] >= billed["lost"] * EACH, "of what was lost no less than the server can have billed"
    assert cost["calls"] == billed["whole"]


def test_two_that_grade_into_one_output_at_once_pay_once(tmp_path: Path) -> None:
    def behave(line: socket.socket, body: dict[str, Any]) -> None:
        time.sleep(0.01)
        line.sendall(good(VERDICT))

    table = tmp_path / "answers.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows_of(40).to_dict("records")), encoding="utf-8")
    with serving(behave) as server:
        own = {"model": "m-2024-08-06", "base_url": server.url, "key_env": "null", "price_in": 1, "price_out": 1000}
        typed = [f"judge.{key}={value}" for key, value in own.items()]
        start = "import sys; from warmgap.cli import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", start, "grade", str(table), "--task", "embedded", "--judge", "openai"]
        command += ["--out", "graded.jsonl", *typed]
        run = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in "ab"]
        said = [process.communicate(timeout=120) for process in run]
    assert [process.returncode for process in run] == [0, 0], said
    assert len(server.bodies) == 40
    assert len(journal(tmp_path / ".graded.jsonl")) == 40
    assert sum(row["spent"] for row in paid(tmp_path / ".graded.jsonl.costs.jsonl")) == pytest.approx(40 * EACH)


def test_a_judge_in_a_notebook_whose_thread_has_a_loop(tmp_path: Path) -> None:
    import asyncio

    async def cell() -> Any:
        return grading(server.url, tmp_path / "graded")

    with serving(lambda line, body: line.sendall(good(VERDICT))) as server:
        assert set(asyncio.run(cell())["verdict"]) == {"correct"}


def test_a_file_of_costs_without_ids_is_read_row_by_row(tmp_path: Path) -> None:
    file = tmp_path / "costs.jsonl"
    store.append(file, [{"spent": 1.0}, {"spent": 2.0}, {"spent": None}])
    assert costs.spent(file) == 3.0
    assert costs.spent(tmp_path / "none.jsonl") is None
