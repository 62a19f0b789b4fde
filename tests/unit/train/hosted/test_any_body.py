"""Fine-tuning at an endpoint whose answers are any bytes: tried again or told in three lines; no job is started twice.

The server does what it is asked to and then sends something else, wherever in the order of things that is.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hosted_api import Api, serving
from hosted_case import CREATE, LIST, LOOK, MODEL, check_whole, train, write_conversations
from hosted_case import quick as quick  # a fixture of every test here
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from warmgap.disk import store
from warmgap.errors import UserError

WHERE = {
    "the list of files": "GET /files",
    "an upload": "POST /files",
    "a file": "GET /files/file-0",
    "the list of jobs": " ".join(LIST),
    "the start of a job": " ".join(CREATE),
    "a look at it": " ".join(LOOK),
    "its events": "GET /fine_tuning/jobs/ftjob-0/events",
    "its checkpoints": "GET /fine_tuning/jobs/ftjob-0/checkpoints",
    "a model": f"GET /models/{MODEL}",
}
JSON: Any = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=6),
    lambda part: some.lists(part, max_size=3) | some.dictionaries(some.text(max_size=6), part, max_size=3),
    max_leaves=8,
)
NO_OBJECT = JSON.filter(lambda value: not isinstance(value, dict)).map(lambda value: json.dumps(value).encode())
PAGES = some.sampled_from([b"", b"<html>login</html>", b"\xff\xfe{", b"[" * 50_000, b"null", b'{"id": null}', b"{}"])
Spoil = Callable[[bytes], bytes]


def no_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return True
    return False


def broken() -> some.SearchStrategy[Spoil]:
    """Bodies that nobody can take for an answer: pages, bytes, other values than objects, a part of the real one."""
    constant = some.one_of(some.binary(max_size=60).filter(no_json), NO_OBJECT, PAGES)
    cut = some.floats(0, 0.99).map(lambda share: lambda good: good[: int(share * len(good))])
    return constant.map(lambda data: lambda good: data) | cut


NAMES = (
    "id", "status", "created_at", "data", "step", "total_steps", "train_loss", "full_valid_loss", "message", "level",
    "step_number", "metrics", "fine_tuned_model", "fine_tuned_model_checkpoint", "trained_tokens", "error", "metadata",
    "hyperparameters", "n_epochs", "seed", "has_more", "bytes", "filename", "shutdown_date", "user_provided_suffix",
)  # fmt: skip
VALUES = JSON | some.sampled_from([1e300, -1, 0, True, "x", "", {}, [], {"a": 1}, 10**30, None])


def replaced(value: Any, name: str, new: Any) -> Any:
    """A value in which all that stands under a name is another."""
    if isinstance(value, dict):
        return {key: new if key == name else replaced(part, name, new) for key, part in value.items()}
    return [replaced(part, name, new) for part in value] if isinstance(value, list) else value


@some.composite
def altered(draw: some.DrawFn) -> Spoil:
    """The real answer in which a few names have other values, wherever they stand; or new ones, where they did not."""
    changes = draw(some.dictionaries(some.sampled_from(NAMES), VALUES, min_size=1, max_size=4))
    added = draw(some.booleans())

    def spoil(good: bytes) -> bytes:
        value = json.loads(good)
        for name, new in changes.items():
            value = replaced(value, name, new)
        return json.dumps({**value, **changes} if added and "data" not in value else value).encode()

    return spoil


EACH = settings(
    max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def tried(api: Api, place: Path) -> dict[str, Any] | None:
    """Train; None where that is refused, which has to be in three lines."""
    try:
        return train(api, place)
    except UserError as error:
        lines = str(error).splitlines()
        assert [line.partition(":")[0] for line in lines] == ["error", "why", "fix"]
        assert all(line.partition(":")[2].strip() and line.isprintable() for line in lines)
        return None


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE.keys())
@EACH
@given(spoil=broken(), times=some.sampled_from([1, 2, 1000]))
def test_what_is_no_answer_is_tried_again_or_told_and_the_next_run_goes_on(
    where: str, spoil: Spoil, times: int
) -> None:
    def spoilt(asked: str, count: int, body: bytes) -> bytes:
        return spoil(body) if asked == where and count <= times else body

    with tempfile.TemporaryDirectory() as scratch, serving(spoilt=spoilt) as api:
        place = Path(scratch)
        write_conversations(place / "talk.jsonl")
        made = tried(api, place)
        assert made is not None or times > 3, "fewer than it is tried again"
        api.spoilt = lambda asked, count, body: body
        check_whole(place, made or train(api, place))
        assert len(api.jobs) == 1
        assert len(list(store.read_journal(place / "arm" / "costs.jsonl"))) == 1


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE.keys())
@EACH
@given(spoil=altered(), times=some.sampled_from([1, 2]))
def test_an_answer_with_values_of_any_kind_ends_in_a_result_or_three_lines(
    where: str, spoil: Spoil, times: int
) -> None:
    """What it says of the job may be untrue then; what was started stays one job."""

    def spoilt(asked: str, count: int, body: bytes) -> bytes:
        return spoil(body) if asked == where and count <= times else body

    with tempfile.TemporaryDirectory() as scratch, serving(spoilt=spoilt) as api:
        write_conversations(Path(scratch) / "talk.jsonl")
        tried(api, Path(scratch))
        assert len(api.jobs) <= 1
