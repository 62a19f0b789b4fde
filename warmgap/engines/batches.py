"""Requests through an endpoint's batch API: cheaper, answered within a day, and picked up again after an interruption.

What is handed in is noted on disk before and after: a run that was stopped anywhere collects the batch that it paid
for instead of handing in another.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from warmgap.disk import intake, store
from warmgap.disk.progress import say
from warmgap.engines.calls import wire
from warmgap.engines.calls.wire import Failed, Malformed
from warmgap.engines.client import FIRST_WAIT, MOST_WAIT, CapReached, ChatReply, ChatRequest, Endpoint, key_of
from warmgap.errors import UserError
from warmgap.hidden import without_user
from warmgap.settings.identity import digest

MOST_REQUESTS, MOST_BYTES = 50_000, 190_000_000  # of one batch; the vendor's limits are 50,000 and 200 MB
MOST_RESULTS = 2**30  # bytes of a file of results
ENDED = ("completed", "failed", "expired", "cancelled")
FIX = "copy it back; or delete the line: a batch that it named is handed in, and paid for, once more"
LABEL = "warmgap"  # the metadata field by which a batch is found again
Made = TypeVar("Made")


def ask(endpoint: Endpoint, requests: Sequence[ChatRequest], journal: Path) -> Iterator[ChatReply]:
    """Yield one reply for each request; ``journal`` keeps what was handed in.

    Batches of an earlier run that hold some of the requests are collected first. What a batch leaves unanswered
    (expired, cancelled) is handed in again, once; what fails again is yielded as a failed reply.
    """
    client = _Calls(endpoint)
    missing = {request.key: request for request in requests}
    for row in _handed_in(client, endpoint, journal):
        if missing.keys() & set(row["keys"]):
            yield from _collect(client, endpoint, row, missing, journal, fresh=False)
    for _ in range(2):
        capped: CapReached | None = None
        for part in _parts(endpoint, list(missing.values())):
            if isinstance(part, CapReached):
                capped = part
                break
            row = _hand_in(client, endpoint, part, journal)
            yield from _collect(client, endpoint, row, missing, journal, fresh=True)
        if capped is not None:
            raise capped
    for key in missing:
        endpoint.meter.failed += 1
        yield ChatReply(key, error="two batches ended without an answer to it")


class _Calls:
    """The calls of one endpoint's batch API, each repeated until it is answered or has failed for good."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def json(self, method: str, path: str, *, again: bool = True, **sent: Any) -> dict[str, Any]:
        """Return the object that a call is answered with. Raises ``Failed``; what starts something is not repeated."""

        def read(said: wire.Said) -> dict[str, Any]:
            value = wire.understood(said)
            if not isinstance(value, dict):
                raise Malformed(f"no JSON object: {str(value)[:200]}")
            return value

        return self._call(read, method, path, again=again, **sent)

    def lines(self, path: str) -> list[bytes]:
        """Return the lines of a file; one ends at a line feed and at no other sign."""

        def read(said: wire.Said) -> list[bytes]:
            if said.status != 200:
                wire.understood(said)
            return said.body.split(b"\n")

        return self._call(read, "GET", path, most=MOST_RESULTS)

    def _call(
        self, read: Callable[[wire.Said], Made], method: str, path: str, *, again: bool = True, **sent: Any
    ) -> Made:
        config = self.endpoint.config
        key, url = key_of(config) or "none", wire.under(config.base_url, path)
        for attempt in range(config.retries + 1 if again else 1):
            try:
                return read(wire.once(method, url, key=key, seconds=config.timeout, **sent))
            except Failed as error:
                status = error.status_code
                if attempt == config.retries or not again or (status is not None and status < 500 and status != 429):
                    raise
                wait = wire.retry_after(error)
                time.sleep(min(MOST_WAIT, FIRST_WAIT * 2.0**attempt) if wait is None else min(wait, MOST_WAIT))
        raise AssertionError("the last attempt returns or raises")


def _parts(endpoint: Endpoint, requests: Sequence[ChatRequest]) -> Iterator[list[ChatRequest] | CapReached]:
    """Cut requests into batches within the vendor's limits and the money that is left."""
    part: list[ChatRequest] = []
    size, reserved = 0, 0.0
    capped: CapReached | None = None
    for request in requests:
        length = len(_line(endpoint, request).encode())
        try:
            reserved += endpoint.reserve(request)
        except CapReached as error:
            capped = error
            break
        if part and (len(part) == MOST_REQUESTS or size + length > MOST_BYTES):
            endpoint.meter.reserved -= reserved
            yield part
            part, size, reserved = [], 0, 0.0
        part.append(request)
        size += length
    endpoint.meter.reserved -= reserved
    if part:
        yield part
    if capped is not None:
        yield capped


def _line(endpoint: Endpoint, request: ChatRequest) -> str:
    line = {"custom_id": request.key, "method": "POST", "url": "/v1/chat/completions", "body": endpoint.body(request)}
    return json.dumps(line, ensure_ascii=False) + "\n"


def _hand_in(client: _Calls, endpoint: Endpoint, part: Sequence[ChatRequest], journal: Path) -> dict[str, Any]:
    """Upload the requests and start a batch; the journal knows of it before the endpoint does."""
    text = "".join(_line(endpoint, request) for request in part)
    label, keys = digest([text, time.time()], 16), [request.key for request in part]
    row: dict[str, Any] = {"label": label, "keys": keys, "set_aside": sum(map(endpoint.dearest, part))}
    row |= {"base_url": without_user(endpoint.config.base_url), "model": endpoint.config.model}
    store.append(journal, [row])
    try:
        file = client.json("POST", "/files", data=lambda: wire.form("batch", f"{label}.jsonl", text.encode()))
        started = {"input_file_id": _id(file), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        asked = json.dumps({**started, "metadata": {LABEL: label}}).encode()
        headers = {"Content-Type": "application/json"}
        batch = _id(client.json("POST", "/batches", again=False, data=asked, headers=headers))
    except Failed as error:
        fix = f"set {endpoint.group}.batch=false, or mend the cause"
        if error.taken:
            fix = "run again: if it was taken all the same, it is found"
        raise UserError("the batch was not taken", wire.error_text(error), fix) from error
    row["batch"] = batch
    store.append(journal, [row])
    say(f"batch {batch}: {len(part):,} requests; it is safe to stop and run again later")
    return row


def _handed_in(client: _Calls, endpoint: Endpoint, journal: Path) -> list[dict[str, Any]]:
    """Return the journal's batches of this endpoint and model that are not finished with.

    One that was announced but has no id may have been started just before the run was stopped: it is looked for among
    the endpoint's own.
    """
    rows: dict[str, dict[str, Any]] = {}
    for row in store.read_journal(journal, FIX):
        rows[str(row.get("label"))] = {**rows.get(str(row.get("label")), {}), **row}
    config = endpoint.config
    mine = [
        row
        for row in rows.values()
        if (row.get("base_url"), row.get("model")) == (without_user(config.base_url), config.model)
    ]
    lost = {row["label"]: row for row in mine if "batch" not in row}
    if lost:
        for batch in _listed(client):
            metadata = batch.get("metadata")
            label = metadata.get(LABEL) if isinstance(metadata, dict) else None
            if isinstance(label, str) and label in lost:
                lost[label]["batch"] = str(batch.get("id"))
                store.append(journal, [lost[label]])
    return [row for row in mine if "batch" in row]


def _id(answer: dict[str, Any]) -> str:
    """The id of what an answer speaks of."""
    if not isinstance(answer.get("id"), str) or not answer["id"]:
        raise Malformed(f"an answer without an id: {str(answer)[:200]}")
    return str(answer["id"])


def _listed(client: _Calls) -> list[dict[str, Any]]:
    """Return the endpoint's newest batches; none where it cannot list them."""
    try:
        rows = client.json("GET", "/batches?limit=100").get("data")
    except Failed:
        return []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _collect(
    client: _Calls,
    endpoint: Endpoint,
    row: dict[str, Any],
    missing: dict[str, ChatRequest],
    journal: Path,
    *,
    fresh: bool,
) -> Iterator[ChatReply]:
    """Wait for a batch and yield its replies, taking them out of ``missing``.

    All that it cost is counted when it has ended, before the first reply is handed over, and never again: of a batch
    that is collected in parts, by commands that were stopped, every part is paid for once.
    """
    batch = _ended(client, endpoint, str(row["batch"]))
    if batch is None:
        return
    if batch["status"] == "failed":
        fix = f"mend the cause, or set {endpoint.group}.batch=false"
        if fresh:
            raise UserError(f"batch {row['batch']} has failed", _reasons(batch), fix)
        return
    replies: dict[str, ChatReply] = {}
    try:
        for name in ("output_file_id", "error_file_id"):
            for line in client.lines(f"/files/{batch[name]}/content") if isinstance(batch.get(name), str) else ():
                reply = _read(endpoint, line, row, missing)
                if reply is not None:
                    replies.setdefault(reply.key, reply)
    except Failed as error:
        fix = "run again: the batch is kept, and paid for once"
        raise UserError(f"the results of batch {row['batch']} cannot be had", wire.error_text(error), fix) from error
    if not row.get("counted"):
        for reply in replies.values():
            if not reply.error:
                endpoint.count(reply)
        store.append(journal, [{**row, "counted": True}])
        row["counted"] = True
    for key, reply in replies.items():
        if missing.pop(key, None) is not None:
            yield reply


def _ended(client: _Calls, endpoint: Endpoint, name: str) -> dict[str, Any] | None:
    """Wait for a batch to end; None where the endpoint does not know it any more."""
    try:
        while True:
            batch = client.json("GET", f"/batches/{name}")
            if batch.get("status") in ENDED:
                return batch
            time.sleep(endpoint.config.batch_poll)
    except Failed as error:
        if error.status_code == 404:
            say(f"batch {name} is no longer known to the endpoint; its requests are handed in again")
            return None
        fix = "run again: the batch goes on meanwhile, and is paid for once"
        raise UserError(f"batch {name} cannot be looked at", wire.error_text(error), fix) from error


def _reasons(batch: dict[str, Any]) -> str:
    errors = batch.get("errors")
    rows = errors.get("data") if isinstance(errors, dict) else None
    said = [str(row.get("message")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return " ".join("; ".join(said).split())[:300] or "the endpoint gives no reason"


def _read(endpoint: Endpoint, line: bytes, batch: dict[str, Any], missing: dict[str, ChatRequest]) -> ChatReply | None:
    """Turn a line of a result file into a reply; None where it cannot be told whose it is."""
    try:
        row = intake.parse(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or row.get("custom_id") not in batch["keys"]:
        return None
    key, response = str(row["custom_id"]), row.get("response")
    response = response if isinstance(response, dict) else {}
    body = response.get("body")
    if row.get("error") or response.get("status_code") != 200:
        said = row.get("error") or (body.get("error") if isinstance(body, dict) else None) or {}
        text = str(said.get("message") if isinstance(said, dict) else said)[:300]
        return ChatReply(key, error=text if text not in ("", "None", "{}") else f"HTTP {response.get('status_code')}")
    try:
        share = float(batch.get("set_aside") or 0.0) / len(batch["keys"])
        return endpoint.read(key, body, missing.get(key), share)
    except Malformed as error:
        return ChatReply(key, error=str(error))
