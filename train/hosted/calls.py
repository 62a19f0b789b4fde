"""Calls of an endpoint's fine-tuning API: files, jobs, events, checkpoints, models; retried, and read with care.

The vendor's protocol and those of others that speak it differ in what they leave out: a call that an endpoint does not
have raises ``Absent``. Whether a job was started is never guessed: ``Unclear`` says that it cannot be told.
"""

from __future__ import annotations

import datetime
import random
import re
import time
from collections.abc import Callable, Container, Iterator
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from warmgap.engines import client
from warmgap.engines.calls import transport
from warmgap.engines.client import LONGEST_WAIT, MOST_WAIT, error_text, key_of, retry_after
from warmgap.errors import one_line
from warmgap.settings.command_schema import HostedConfig
from warmgap.train.hosted.data import TrainingFile
from warmgap.train.hosted.faults import CREDIT, Ids, refused

LABEL = "warmgap"  # the metadata field by which a job is found again
NOT_THERE = (404, 405, 501)
NOT_YET = re.compile(r"still being processed|not (?:yet )?ready|not (?:yet )?been processed", re.I)
FILE_LOOKS = 30  # at a file that is being processed, before the job is asked for all the same
STATUS = {"completed": "succeeded", "success": "succeeded", "canceled": "cancelled", "stopped": "cancelled"}
STATUS |= dict.fromkeys(("error", "user_error", "failure", "expired"), "failed")
ENDED = ("succeeded", "failed", "cancelled")
FAR = 1e11  # seconds, steps or tokens; no number of an endpoint's goes beyond
OLDER = {"method": "hyperparameters"}  # what an endpoint that does not know a field takes instead


class Absent(Exception):
    """The endpoint does not have what was asked for, or the whole call."""


class Unclear(Exception):
    """The endpoint gave no clear answer to a request that starts a job."""


class Malformed(Exception):
    """A body that is not what was asked for."""


class Calls:
    """One endpoint. ``ids`` are the conversations of each file, so that errors can name them."""

    def __init__(self, config: HostedConfig, ids: Ids) -> None:
        import openai

        self.config, self.ids = config, ids
        self._passing: tuple[type[Exception], ...] = (openai.APIConnectionError, openai.APIResponseValidationError)
        self._passing += (Malformed, ValueError)
        self._caught = (openai.OpenAIError, Malformed, ValueError)
        address, _, query = config.base_url.partition("?")
        self._client = openai.OpenAI(
            api_key=key_of(config) or "none",
            base_url=address,
            default_query=dict(parse_qsl(query)),
            max_retries=0,  # ours waits as long as the server says; and a job is never asked for twice unseen
            http_client=transport.client(config.timeout),  # type: ignore[arg-type, unused-ignore]  # httpx, or its heir
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # ---- files ----

    def upload(self, file: TrainingFile) -> str:
        """Hand in a file and return its id; one with the same name and size that is there already is taken instead."""
        found = self._uploaded(file)
        if found is None:
            sent = partial(self._client.files.create, file=(file.name, file.data), purpose="fine-tune")
            found = self._call(f"data/{file.which}.jsonl", partial(_object, sent))
        for _ in range(FILE_LOOKS):
            status = str(getattr(found, "status", None) or "processed").lower()
            if status in ("error", "failed"):
                text = str(getattr(found, "status_details", None) or "the endpoint gives no reason")
                raise refused(Rejected(text), self.config, f"data/{file.which}.jsonl", self.ids)
            if status == "processed":
                break
            time.sleep(min(self.config.poll, 2.0))
            try:
                found = self.file(str(found.id))
            except Absent:
                break
        return str(found.id)

    def file(self, name: str) -> Any:
        """Return a file. Raises ``Absent`` where the endpoint has it no more."""
        return self._call("a file", partial(_object, partial(self._client.files.retrieve, name)))

    def _uploaded(self, file: TrainingFile) -> Any:
        fetch = partial(self._client.files.list, purpose="fine-tune")
        try:
            for found in self._pages("the list of files", fetch):
                same = getattr(found, "filename", None) == file.name and getattr(found, "bytes", None) == len(file.data)
                if same and str(getattr(found, "status", None)).lower() not in ("error", "failed", "deleted"):
                    return found
        except Absent:
            pass
        return None

    # ---- jobs ----

    def create(self, body: dict[str, Any]) -> Any:
        """Start a job. Raises ``Unclear`` where it may have been started, and UserError where it was not.

        A field that an older endpoint does not know is left out, or said in the older way.
        """
        body, attempt = dict(body), 0
        while True:
            try:
                return _object(partial(self._client.fine_tuning.jobs.create, **body))
            except self._caught as error:
                status = getattr(error, "status_code", None)
                if isinstance(error, self._passing) or status == 408 or (status or 0) >= 500:
                    raise Unclear(error_text(error)) from error
                less = _without(body, error)
                if less is not None:
                    body = less
                    continue
                if not self._passes(error) or attempt == self.config.retries:
                    raise refused(error, self.config, "a fine-tuning job", self.ids) from error
                self._wait(error, attempt)
                attempt += 1

    def find(self, label: str, suffix: str, body: dict[str, Any] | None = None, since: float = 0.0) -> Any:
        """Return the newest job that carries the label, failed and cancelled ones aside; None where there is none.

        A job that carries neither label nor suffix counts when it is what ``body`` asked for and was started after
        ``since``: some endpoints keep no names. Raises ``Absent`` where jobs are not listed.
        """
        for job in self._pages("the list of jobs", self._client.fine_tuning.jobs.list):
            if status_of(job) in ("failed", "cancelled"):
                continue
            named, own = _names(job)
            if label == named or suffix == own or f":{suffix}:" in f"{getattr(job, 'fine_tuned_model', None)}:":
                return job
            if not named and not own and body is not None and _started(job) >= since and _asked_for(job, body):
                return job
        return None

    def job(self, name: str) -> Any:
        """Return a job. Raises ``Absent`` where the endpoint does not know it."""
        return self._call(f"job {name}", partial(_object, partial(self._client.fine_tuning.jobs.retrieve, name)))

    def events(self, job: str, seen: set[str]) -> list[Any]:
        """Return the events that are not among those seen, oldest first, and add them; none where they are not told."""
        fetch = partial(self._client.fine_tuning.jobs.list_events, job)
        try:
            found = [event for event in self._pages("events", fetch, until=seen) if event.id not in seen]
        except Absent:
            return []
        seen.update(str(event.id) for event in found)
        found.reverse()  # the newest come first; the sort keeps the order of those of one second
        return sorted(found, key=_started)

    def checkpoints(self, job: str) -> list[Any]:
        """Return a job's checkpoints by step; none where the endpoint offers none."""
        fetch = partial(self._client.fine_tuning.jobs.checkpoints.list, job)
        try:
            found = [item for item in self._pages("checkpoints", fetch) if _is_checkpoint(item)]
        except Absent:
            return []
        return sorted(found, key=lambda item: int(item.step_number))

    def shutdown(self, model: str) -> str | None:
        """Return the date on which a model will be shut down, where the endpoint tells it: a courtesy, asked once."""
        try:
            told = _object(partial(self._client.models.retrieve, model)).model_dump(warnings=False)
        except self._caught:
            return None
        date = told.get("shutdown_date") or told.get("deprecation")
        if isinstance(date, dict):
            date = date.get("inference") or date.get("fine_tune")
        if (seconds := number(date)) is not None and 0 < seconds < FAR:
            return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
        return one_line(date)[:40] if date and isinstance(date, str) else None

    # ---- one call ----

    def _call(self, what: str, work: Callable[[], Any]) -> Any:
        """Do a call that may be repeated until it is answered or has failed for good."""
        for attempt in range(self.config.retries + 1):
            try:
                return work()
            except self._caught as error:
                if getattr(error, "status_code", None) in NOT_THERE:
                    raise Absent(error_text(error)) from error
                if not self._passes(error) or attempt == self.config.retries:
                    raise refused(error, self.config, what, self.ids) from error
                self._wait(error, attempt)
        raise AssertionError("the last attempt returns or raises")

    def _passes(self, error: Exception) -> bool:
        """Whether the same request may be answered later."""
        status, text = getattr(error, "status_code", None), error_text(error)
        if status == 429:
            broke = CREDIT.search(f"{getattr(error, 'code', None)} {text}") is not None
            return not broke and (retry_after(error) or 0) <= LONGEST_WAIT
        again = isinstance(error, self._passing) or status in (408, 409, 425) or (status or 0) >= 500
        return again or NOT_YET.search(text) is not None

    def _wait(self, error: Exception, attempt: int) -> None:
        asked = retry_after(error)
        if asked is None or asked > LONGEST_WAIT:
            asked = random.uniform(0.5, 1.0) * min(MOST_WAIT, client.FIRST_WAIT * 2.0**attempt)
        time.sleep(asked)

    def _pages(self, what: str, fetch: Callable[..., Any], until: Container[str] = ()) -> Iterator[Any]:
        """Yield what a list holds, page by page, up to the page that ends with one of ``until``.

        A page that holds nothing new ends it too: some servers ignore ``after``.
        """
        after: dict[str, Any] = {}
        seen: set[str] = set()
        while True:
            page = self._call(what, partial(_page, partial(fetch, limit=100, **after)))
            fresh = [item for item in page.data if item.id not in seen]
            yield from fresh
            if not fresh or getattr(page, "has_more", None) is not True or page.data[-1].id in until:
                return
            seen.update(str(item.id) for item in fresh)
            after = {"after": page.data[-1].id}


class Rejected(Exception):
    """A file that was uploaded and then found invalid."""

    status_code, code, param, body = 400, "invalid_file", None, None


def status_of(job: Any) -> str:
    """Return a job's status in the vendor's words."""
    status = str(getattr(job, "status", None) or "unknown").lower()
    return STATUS.get(status, status)


def _object(work: Callable[[], Any]) -> Any:
    """Do a call whose answer has an id."""
    answer = _read(work)
    if not _known(answer):
        raise Malformed(f"an answer without an id: {str(answer)[:200]}")
    return answer


def _known(thing: Any) -> bool:
    """Whether a thing has an id."""
    return isinstance(getattr(thing, "id", None), (str, int)) and thing.id not in ("", 0)


def number(value: Any) -> float | None:
    """Return a number that can be one of steps, seconds, tokens or losses; None for anything else."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain and abs(value) < FAR else None


def _page(work: Callable[[], Any]) -> Any:
    """Do a call whose answer is a page of things with ids."""
    answer = _read(work)
    rows = getattr(answer, "data", None)
    if not isinstance(rows, list) or not all(map(_known, rows)):
        raise Malformed(f"not a list: {str(answer)[:200]}")
    return answer


def _read(work: Callable[[], Any]) -> Any:
    """Do a call; the library stumbles over a body of another kind, such as a proxy's page, where it expects a list."""
    try:
        return work()
    except (AttributeError, TypeError, KeyError) as error:
        raise Malformed(f"an answer that cannot be read: {error}") from error


def _names(job: Any) -> tuple[str, str]:
    """A job's label and suffix, as far as the endpoint tells them."""
    metadata = getattr(job, "metadata", None)
    label = metadata.get(LABEL) if isinstance(metadata, dict) else None
    suffix = getattr(job, "user_provided_suffix", None) or getattr(job, "suffix", None)
    return str(label or ""), str(suffix or "")


def _asked_for(job: Any, body: dict[str, Any]) -> bool:
    """Whether a job is on the file asked for, and differs in nothing that it tells and an endpoint would not change."""
    wanted = {**body["method"]["supervised"]["hyperparameters"], "seed": body.get("seed")}
    told = {**hyperparameters(job), "seed": getattr(job, "seed", None)}
    same = all(wanted.get(name) in (None, told.get(name, wanted[name])) for name in wanted if name != "batch_size")
    model = str(getattr(job, "model", None) or body["model"])  # an alias may come back with its date
    return same and model.startswith(body["model"]) and getattr(job, "training_file", None) == body["training_file"]


def hyperparameters(job: Any) -> dict[str, float]:
    """Return the hyperparameters that a job tells as numbers."""
    method = getattr(job, "method", None)
    told = getattr(getattr(method, "supervised", None), "hyperparameters", None) or getattr(
        job, "hyperparameters", None
    )
    found: dict[str, Any] = {
        name: getattr(told, name, None) for name in ("n_epochs", "batch_size", "learning_rate_multiplier")
    }
    return {name: value for name, value in found.items() if number(value) is not None}


def _started(job: Any) -> float:
    return number(getattr(job, "created_at", None)) or 0.0


def _is_checkpoint(item: Any) -> bool:
    model, step = getattr(item, "fine_tuned_model_checkpoint", None), number(getattr(item, "step_number", None))
    return bool(model) and isinstance(model, str) and step is not None and step >= 0


def _without(body: dict[str, Any], error: Exception) -> dict[str, Any] | None:
    """A request for a job without the field that the endpoint says it does not know; None where it names none."""
    if getattr(error, "status_code", None) not in (400, 422):
        return None
    text, param = error_text(error), str(getattr(error, "param", None) or "")
    unknown = re.search(r"unknown|unrecogni[sz]ed|unexpected|extra|not permitted|unsupported|not supported", text, re.I)
    for name in ("metadata", "method", "suffix"):
        if name in body and (param == name or (unknown and re.search(rf"\b{name}\b", text))):
            less = {key: value for key, value in body.items() if key != name}
            if name in OLDER:
                less[OLDER[name]] = body[name]["supervised"]["hyperparameters"]
            return less
    return None
