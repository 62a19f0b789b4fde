"""Requests through an endpoint's batch API: cheaper, answered within a day, and picked up again after an interruption.

What is handed in is noted on disk before and after: a run that was stopped anywhere collects the batch that it paid
for instead of handing in another.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from warmgap.disk import intake, store
from warmgap.disk.progress import say
from warmgap.engines.client import CapReached, ChatReply, ChatRequest, Endpoint, Malformed, key_of
from warmgap.errors import UserError
from warmgap.hidden import without_user
from warmgap.settings.schema import digest

MOST_REQUESTS, MOST_BYTES = 50_000, 190_000_000  # of one batch; the vendor's limits are 50,000 and 200 MB
ENDED = ("completed", "failed", "expired", "cancelled")
LABEL = "warmgap"  # the metadata field by which a batch is found again


def ask(endpoint: Endpoint, requests: Sequence[ChatRequest], journal: Path) -> Iterator[ChatReply]:
    """Yield one reply for each request; ``journal`` keeps what was handed in.

    Batches of an earlier run that hold some of the requests are collected first. What a batch leaves unanswered
    (expired, cancelled) is handed in again, once; what fails again is yielded as a failed reply.
    """
    client = _client(endpoint)
    missing = {request.key: request for request in requests}
    for row in _handed_in(client, endpoint, journal):
        if missing.keys() & set(row["keys"]):
            yield from _collect(client, endpoint, row, missing, fresh=False)
    for _ in range(2):
        capped: CapReached | None = None
        for part in _parts(endpoint, list(missing.values())):
            if isinstance(part, CapReached):
                capped = part
                break
            yield from _collect(client, endpoint, _hand_in(client, endpoint, part, journal), missing, fresh=True)
        if capped is not None:
            raise capped
    for key in missing:
        endpoint.meter.failed += 1
        yield ChatReply(key, error="two batches ended without an answer to it")


def _client(endpoint: Endpoint) -> Any:
    import openai

    config = endpoint.config
    key = key_of(config) or "none"
    return openai.OpenAI(api_key=key, base_url=config.base_url, timeout=config.timeout, max_retries=config.retries)


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


def _hand_in(client: Any, endpoint: Endpoint, part: Sequence[ChatRequest], journal: Path) -> dict[str, Any]:
    """Upload the requests and start a batch; the journal knows of it before the endpoint does."""
    import openai

    text = "".join(_line(endpoint, request) for request in part)
    label, keys = digest([text, time.time()], 16), [request.key for request in part]
    row: dict[str, Any] = {"label": label, "keys": keys}
    row |= {"base_url": without_user(endpoint.config.base_url), "model": endpoint.config.model}
    store.append(journal, [row])
    try:
        file = client.files.create(file=(f"{row['label']}.jsonl", text.encode()), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={LABEL: row["label"]},
        )
    except openai.OpenAIError as error:
        text = " ".join(str(error).split())[:300]
        fix = f"set {endpoint.group}.batch=false, or mend the cause"
        raise UserError("the batch was not taken", text, fix) from error
    row["batch"] = batch.id
    store.append(journal, [row])
    say(f"batch {batch.id}: {len(part):,} requests; it is safe to stop and run again later")
    return row


def _handed_in(client: Any, endpoint: Endpoint, journal: Path) -> list[dict[str, Any]]:
    """Return the journal's batches of this endpoint and model that are not finished with.

    One that was announced but has no id may have been started just before the run was stopped: it is looked for among
    the endpoint's own.
    """
    rows: dict[str, dict[str, Any]] = {}
    for row in store.read_journal(journal):
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
            label = (batch.metadata or {}).get(LABEL)
            if label in lost:
                lost[label]["batch"] = batch.id
                store.append(journal, [lost[label]])
    return [row for row in mine if "batch" in row]


def _listed(client: Any) -> list[Any]:
    """Return the endpoint's newest batches; none where it cannot list them."""
    import openai

    try:
        return list(client.batches.list(limit=100))
    except (openai.OpenAIError, AttributeError):  # the library raises the latter for a page that is no list
        return []


def _collect(
    client: Any, endpoint: Endpoint, row: dict[str, Any], missing: dict[str, ChatRequest], *, fresh: bool
) -> Iterator[ChatReply]:
    """Wait for a batch and yield its replies, taking them out of ``missing``."""
    import openai

    try:
        batch = client.batches.retrieve(row["batch"])
        while batch.status not in ENDED:
            time.sleep(endpoint.config.batch_poll)
            batch = client.batches.retrieve(row["batch"])
    except openai.NotFoundError:
        say(f"batch {row['batch']} is no longer known to the endpoint; its requests are handed in again")
        return
    if batch.status == "failed":
        reasons = "; ".join(str(error.message) for error in (batch.errors.data if batch.errors else None) or [])
        fix = f"mend the cause, or set {endpoint.group}.batch=false"
        if fresh:
            raise UserError(f"batch {batch.id} has failed", reasons or "the endpoint gives no reason", fix)
        return
    for file in (batch.output_file_id, batch.error_file_id):
        if file is None:
            continue
        for line in client.files.content(file).text.split("\n"):  # and at no other sign
            reply = _read(endpoint, line)
            if reply is not None and missing.pop(reply.key, None) is not None:
                endpoint.count(reply)
                yield reply


def _read(endpoint: Endpoint, line: str) -> ChatReply | None:
    """Turn a line of a result file into a reply; None where it cannot be told whose it is."""
    try:
        row = intake.parse(line)
        key, response = str(row["custom_id"]), row.get("response") or {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    body = response.get("body") or {}
    if row.get("error") or response.get("status_code") != 200:
        said = row.get("error") or body.get("error") or {}
        text = str(said.get("message") if isinstance(said, dict) else said)[:300]
        return ChatReply(key, error=text or f"HTTP {response.get('status_code')}")
    try:
        return endpoint.read(key, body)
    except Malformed as error:
        return ChatReply(key, error=str(error))
