"""Fine-tuning at an endpoint that misbehaves: what passes is waited for, what does not is said plainly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hosted_api import Failure, serving
from hosted_case import (
    CREATE,
    LIST,
    LOOK,
    MODEL,
    Killed,
    always,
    asked,
    check_whole,
    deadly,
    once,
    refused,
    steps,
    train,
    write_conversations,
)
from hosted_case import quick as quick  # a fixture of every test here

from warmgap.errors import UserError
from warmgap.train.hosted import calls, job

# ---- what passes ----

PASSING = {
    "busy": Failure(429, "slow down"),
    "asked to wait": Failure(429, "slow down", headers={"retry-after-ms": "20"}),
    "down": Failure(503, "overloaded"),
    "broken": Failure(500),
    "gateway": Failure(502, raw=b"<html>bad gateway</html>"),
    "page": Failure(200, raw=b"<html>login</html>"),
    "other": Failure(200, raw=b'{"object": "other"}', headers={"Content-Type": "application/json"}),
    "torn": Failure(200, raw=b'{"id": ', headers={"Content-Type": "application/json"}),
    "cut": Failure(cut=True),
}
PATHS = {
    "upload": ("POST", "/files"),
    "files": ("GET", "/files"),
    "jobs": LIST,
    "look": LOOK,
    "events": ("GET", "/fine_tuning/jobs/ftjob-0/events"),
    "checkpoints": ("GET", "/fine_tuning/jobs/ftjob-0/checkpoints"),
    "model": ("GET", f"/models/{MODEL}"),
}


@pytest.mark.parametrize("where", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_tried_again(failure: Failure, where: tuple[str, str], tmp_path: Path) -> None:
    with serving(trouble=once(where, failure)) as api:
        made = train(api, tmp_path)
    assert len(api.jobs) == 1
    check_whole(tmp_path, made)


def test_trouble_in_the_middle_of_watching(tmp_path: Path) -> None:
    def trouble(method: str, path: str, count: int) -> Failure | None:
        return Failure(500) if method == "GET" and path.startswith("/fine_tuning/jobs/") and count % 2 else None

    with serving(trouble=trouble) as api:
        check_whole(tmp_path, train(api, tmp_path))


def test_a_slow_queue_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(states=("validating_files", *["queued"] * 30, "running")) as api:
        train(api, tmp_path)
    assert api.seen["GET /fine_tuning/jobs/ftjob-0"] > 30
    said = capsys.readouterr().err
    assert said.count(": queued") == 1
    assert "safe to stop" in said


def test_pages_are_followed(tmp_path: Path) -> None:
    with serving(page=2) as api:
        for seed in range(4):
            train(api, tmp_path, folder=f"s{seed}", seed=seed)
        again = train(api, tmp_path)
    assert again["job"] == "ftjob-0", "on the last page"
    assert sorted(again["epochs"]) == ["1", "2"]
    check_whole(tmp_path, again)


def test_a_server_that_sends_the_same_page_for_ever_ends_the_list(tmp_path: Path) -> None:
    with serving(same_page=True) as api:
        check_whole(tmp_path, train(api, tmp_path))
        train(api, tmp_path, folder="second", seed=1)
    assert len(api.jobs) == 2


def test_a_file_that_takes_its_time_is_waited_for(tmp_path: Path) -> None:
    with serving(file_states=("uploaded", "uploaded", "processed")) as api:
        train(api, tmp_path)
    assert api.seen["GET /files/file-0"] == 2


def test_a_file_that_never_says_it_is_ready_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "FILE_LOOKS", 3)
    failure = Failure(400, "File 'file-0' is still being processed and is not ready to be used for fine-tuning.")
    with serving(file_states=("uploaded",), trouble=once(CREATE, failure)) as api:
        train(api, tmp_path)
    assert len(api.jobs) == 1


@pytest.mark.parametrize("unknown", [("metadata",), ("method",), ("suffix",), ("metadata", "method", "suffix")])
def test_an_endpoint_that_knows_fewer_fields(unknown: tuple[str, ...], tmp_path: Path) -> None:
    with serving(unknown=unknown) as api:
        train(api, tmp_path)
    body = api.bodies[-1]
    assert not set(unknown) & body.keys()
    assert ("hyperparameters" in body) == ("method" in unknown)
    assert len(api.jobs) == 1


def test_the_words_of_others_for_success(tmp_path: Path) -> None:
    with serving(end="completed") as api:
        train(api, tmp_path)


# ---- what does not ----

HATE = (
    "The job failed due to an invalid training file. This training file was blocked because too many examples were "
    "flagged by our moderation API for containing content that violates usage policies: hate."
)
AT_ONCE = {
    "key": (CREATE, Failure(401, "bad key"), "refuses the key"),
    "key at first": (LIST, Failure(401, "bad key"), "refuses the key"),
    "credit": (CREATE, Failure(429, "You exceeded your current quota", "insufficient_quota"), "no credit left"),
    "pay": (CREATE, Failure(402, "payment required"), "no credit left"),
    "limit": (CREATE, Failure(400, "Billing hard limit has been reached", "billing_hard_limit_reached"), "no credit"),
    "wound down": (CREATE, Failure(403, "fine-tuning is not open to new users"), "does not let this account have"),
    "model": (CREATE, Failure(404, "The model does not exist", "model_not_found"), f"does not fine-tune {MODEL}"),
    "retired": (
        CREATE,
        Failure(400, f"Model {MODEL} is not available for fine-tuning or does not exist.", "model_not_available"),
        f"does not fine-tune {MODEL}",
    ),
    "moderation": (CREATE, Failure(400, HATE, "invalid_training_file"), "moderation refuses"),
    "file": (CREATE, Failure(400, "Line 3 is no JSON", "", "training_file"), "found data/train.jsonl invalid"),
    "upload": (PATHS["upload"], Failure(400, "Expected file to have JSONL format", "", "file"), "invalid"),
    "field": (CREATE, Failure(400, "n_epochs must be at most 50"), "did not take a fine-tuning job"),
    "seed": (CREATE, Failure(400, "Unknown parameter: 'seed'.", "unknown_parameter", "seed"), "does not take a seed"),
    "too many": (CREATE, Failure(429, "too many jobs", "daily_rate_limit_exceeded"), "takes no more for now"),
}


@pytest.mark.parametrize(("where", "failure", "what"), AT_ONCE.values(), ids=AT_ONCE.keys())
def test_what_the_endpoint_refuses_is_said_in_three_lines(
    where: tuple[str, str], failure: Failure, what: str, tmp_path: Path
) -> None:
    with serving(trouble=always(where, failure)) as api:
        said = refused(api, tmp_path)
        assert what in said
        assert failure.message[:40] in said
        assert not api.jobs
        api.trouble = lambda method, path, count: None
        train(api, tmp_path)  # once the cause is mended, the same command goes on
    assert len(api.jobs) == 1


def test_a_seed_that_is_not_taken_can_be_left_out(tmp_path: Path) -> None:
    with serving(unknown=("seed",)) as api:
        assert "hosted.seed=null" in refused(api, tmp_path)
        train(api, tmp_path, seed=None)


IN_THE_END = {
    "file": (
        {"code": "invalid_training_file", "message": "Invalid file format. Example 3, message 2 has no role"},
        "data/train.jsonl invalid",
        "conversation c2 (line 3 of data/train.jsonl)",
    ),
    "validation file": (
        {"code": "invalid_validation_file", "message": "Line 2 is not a dictionary", "param": "validation_file"},
        "data/validation.jsonl invalid",
        "conversation c13 (line 2 of data/validation.jsonl)",
    ),
    "too few": (
        {"code": "invalid_n_examples", "message": "Training file has 3 example(s), but must have at least 10 examples"},
        "data/train.jsonl invalid",
        "at least 10",
    ),
    "moderation": ({"code": "invalid_training_file", "message": HATE}, "moderation refuses", "hate"),
    "quota": ({"code": "exceeded_quota", "message": "Creating this fine-tuning job would exceed"}, "no credit", "add"),
    "crash": ({"code": "server_error", "message": "the training crashed"}, "job ftjob-0 has failed", "crashed"),
    "silence": (None, "job ftjob-0 has failed", "it broke half way"),
}


@pytest.mark.parametrize(("error", "what", "more"), IN_THE_END.values(), ids=IN_THE_END.keys())
def test_a_job_that_fails_says_why_and_may_be_tried_again(
    error: dict[str, Any] | None, what: str, more: str, tmp_path: Path
) -> None:
    with serving(end="failed", error=error) as api:
        said = refused(api, tmp_path)
        assert what in said
        assert more in said
        assert steps(tmp_path)[-1] == "ended"
        api.end, api.error = "succeeded", None
        check_whole(tmp_path, train(api, tmp_path))
    assert len(api.jobs) == 2, "another job, for the first came to nothing"


def test_a_conversation_that_was_mended_is_trained_on_in_the_same_folder(tmp_path: Path) -> None:
    with serving(end="failed", error={"code": "invalid_training_file", "message": "Line 1"}) as api:
        refused(api, tmp_path)
        write_conversations(tmp_path / "talk.jsonl", odd="mended words")
        api.end = "succeeded"
        check_whole(tmp_path, train(api, tmp_path))
    assert b"mended words" in api.contents[api.bodies[-1]["training_file"]]


def test_a_job_that_was_cancelled(tmp_path: Path) -> None:
    with serving(end="cancelled") as api:
        assert "was cancelled" in refused(api, tmp_path)


def test_a_file_that_is_found_invalid_after_its_upload(tmp_path: Path) -> None:
    with serving(file_states=("uploaded", "error")) as api:
        said = refused(api, tmp_path)
    assert "Line 2 is not valid JSON" in said
    assert "conversation c1" in said
    assert not api.jobs


def test_a_job_that_the_endpoint_no_longer_knows_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as api:
        with monkeypatch.context() as patch:
            deadly(patch, 10, written=True)
            with pytest.raises(Killed):
                train(api, tmp_path)
        del api.jobs["ftjob-0"]
        assert "does not know job ftjob-0" in refused(api, tmp_path)
    assert not api.jobs


def test_a_server_that_goes_down_while_it_trains(tmp_path: Path) -> None:
    with serving(trouble=lambda method, path, count: Failure(503) if (method, path) == LOOK else None) as api:
        said = refused(api, tmp_path)
        assert "does not answer" in said
        assert "no other is started" in said
        api.trouble = lambda method, path, count: None
        check_whole(tmp_path, train(api, tmp_path))
    assert len(api.jobs) == 1


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with serving() as api:
        gone = asked(api, tmp_path, retries=1)
    with pytest.raises(UserError, match="does not answer"):
        job.train(gone)
