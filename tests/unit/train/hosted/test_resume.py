"""Fine-tuning at an endpoint, stopped anywhere: it goes on, and no second job is started."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from filelock import FileLock
from hosted_api import Failure, serving
from hosted_case import CREATE, EMPTY_LIST, LIST, Killed, asked, check_whole, deadly, once, refused, steps, train
from hosted_case import quick as quick  # a fixture of every test here

from warmgap.disk import store
from warmgap.train.hosted import job

# ---- stopped, and gone on with ----

WRITES = 17  # of an undisturbed run: files 2, manifest, uploads 4, job 2, states 3, losses 2, costs, models, done


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, WRITES + 1))
def test_killed_at_any_write_it_goes_on_and_starts_no_second_job(
    at: int, written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as api:
        with monkeypatch.context() as patch:
            deadly(patch, at, written=written)
            with pytest.raises(Killed):
                train(api, tmp_path)
        made = train(api, tmp_path)
    assert len(api.jobs) == len(api.bodies) == 1
    assert len(api.files) == 2, "what was uploaded is used"
    check_whole(tmp_path, made)


def test_an_undisturbed_run_writes_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test above kills it everywhere."""
    with serving() as api, monkeypatch.context() as patch:
        deadly(patch, WRITES + 1, written=False)
        train(api, tmp_path)
        deadly(patch, WRITES, written=True)
        with pytest.raises(Killed):
            train(api, tmp_path, folder="again", seed=1)


def test_killed_after_every_single_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as api:
        for attempt in range(1, 60):
            try:
                with monkeypatch.context() as patch:
                    deadly(patch, 1 + attempt // 4, written=True)
                    made = train(api, tmp_path)
                break
            except Killed:
                continue
        assert len(api.jobs) == 1
    check_whole(tmp_path, made)


def test_what_is_done_needs_no_endpoint(tmp_path: Path) -> None:
    with serving() as api:
        made = train(api, tmp_path)
        again = asked(api, tmp_path)
    assert job.train(again) == made


def test_a_folder_that_was_lost_does_not_cost_a_second_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as api:
        first = train(api, tmp_path)
        second = train(api, tmp_path, folder="elsewhere")
        train(api, tmp_path, folder="other", seed=1)
    assert first["job"] == second["job"]
    assert "was started before" in capsys.readouterr().err
    assert len(api.jobs) == 2, "another seed is another job"
    assert len(api.files) == 2, "on the same files"


def test_a_file_that_was_deleted_is_handed_in_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as api:
        with monkeypatch.context() as patch:
            deadly(patch, 8, written=False)
            with pytest.raises(Killed):
                train(api, tmp_path)
        assert steps(tmp_path) == ["upload", "uploaded", "upload", "uploaded"]
        lost = api.files.pop("file-0")
        api.files["file-9"] = {**lost, "id": "file-9", "bytes": 3}  # the same name, another content
        train(api, tmp_path)
    assert len(api.jobs) == 1


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "arm").mkdir()
    with serving() as api, FileLock(tmp_path / "arm" / ".hosted.lock"):
        assert "another run is at work" in refused(api, tmp_path)
    assert not api.jobs


def test_a_folder_holds_one_arm(tmp_path: Path) -> None:
    with serving() as api:
        train(api, tmp_path)
        assert "holds another arm" in refused(api, tmp_path, seed=1)
        assert len(api.jobs) == 1
        train(api, tmp_path, price_train=9.0, poll=0.006)  # what is no part of the arm may change
    (tmp_path / "local").mkdir()
    store.write_json(tmp_path / "local" / "manifest.json", {"model": "m", "arm": "warm", "seed": 0, "hash": "x"})
    with serving() as api:
        assert "holds another arm" in refused(api, tmp_path, folder="local")


# ---- a request for a job whose answer never comes ----

UNCLEAR = {"error": Failure(500, late=True), "cut": Failure(cut=True, late=True), "busy": Failure(503, late=True)}
UNCLEAR["page"] = Failure(200, raw=b"<html>login</html>", late=True)


@pytest.mark.parametrize("failure", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_a_job_that_was_started_all_the_same_is_found(failure: Failure, tmp_path: Path) -> None:
    with serving(trouble=once(CREATE, failure)) as api:
        train(api, tmp_path)
    assert len(api.bodies) == 1


@pytest.mark.parametrize("failure", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_a_job_that_was_not_started_is_asked_for_again(failure: Failure, tmp_path: Path) -> None:
    with serving(trouble=once(CREATE, dataclasses.replace(failure, late=False))) as api:
        train(api, tmp_path)
    assert len(api.bodies) == 1, "the first request never took effect"
    assert api.seen["POST /fine_tuning/jobs"] == 2


def test_a_list_that_lags_behind_is_looked_at_again(tmp_path: Path) -> None:
    def trouble(method: str, path: str, count: int) -> Failure | None:
        if (method, path) == LIST and count <= 3:
            return EMPTY_LIST
        return Failure(500, late=True) if (method, path) == CREATE else None

    with serving(trouble=trouble) as api:
        train(api, tmp_path)
    assert len(api.bodies) == 1


def test_an_endpoint_that_keeps_no_names_is_searched_by_the_file(tmp_path: Path) -> None:
    forgets = ("metadata", "user_provided_suffix")
    with serving(trouble=once(CREATE, Failure(500, late=True)), forgets=forgets) as api:
        train(api, tmp_path)
    assert len(api.bodies) == 1


def test_without_names_the_job_of_another_seed_is_not_taken_for_ours(tmp_path: Path) -> None:
    with serving(forgets=("metadata", "user_provided_suffix")) as api:
        train(api, tmp_path)
        api.trouble = once(CREATE, Failure(500), at=2)
        assert train(api, tmp_path, folder="second", seed=1)["job"] == "ftjob-1"
        api.trouble = once(CREATE, Failure(500), at=4)
        assert train(api, tmp_path, folder="third", learning_rate_multiplier=1.0)["job"] == "ftjob-2"
    assert len(api.bodies) == 3


def test_a_refusal_after_an_unclear_answer_leaves_the_doubt(tmp_path: Path) -> None:
    """The list shows the job that the first request started only later."""

    def trouble(method: str, path: str, count: int) -> Failure | None:
        if (method, path) == LIST and not late[0]:
            return EMPTY_LIST
        return [Failure(500, late=True), Failure(400, "no more today")][count - 1] if (method, path) == CREATE else None

    late = [False]
    with serving(trouble=trouble) as api:
        assert "no more today" in refused(api, tmp_path)
        late[0] = True
        train(api, tmp_path)
    assert len(api.bodies) == 1


def test_where_jobs_are_not_listed_the_user_decides(tmp_path: Path) -> None:
    with serving(trouble=once(CREATE, Failure(500, late=True)), without=("list",)) as api:
        said = refused(api, tmp_path)
        assert "may have been started" in said
        assert "may have been started" in refused(api, tmp_path), "and the next run does not guess either"
        assert len(api.bodies) == 1
        assert train(api, tmp_path, job="ftjob-0")["job"] == "ftjob-0"
        assert len(api.bodies) == 1
    with serving(trouble=once(CREATE, Failure(500)), without=("list",)) as api:
        refused(api, tmp_path, folder="second")
        assert train(api, tmp_path, folder="second", job="new")["job"] == "ftjob-0"


def test_a_refusal_is_no_doubt(tmp_path: Path) -> None:
    """What was refused was not started: the next run asks again, though jobs are not listed."""
    with serving(trouble=once(CREATE, Failure(400, "no such seed today")), without=("list",)) as api:
        assert "no such seed today" in refused(api, tmp_path)
        train(api, tmp_path)
    assert len(api.jobs) == 1
