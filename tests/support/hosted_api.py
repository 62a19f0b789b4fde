"""A server that speaks the protocol of files and fine-tuning jobs over a real socket, and misbehaves as they do.

A job moves on by one state with each look at it. ``trouble`` is asked before each request is answered: a ``Failure`` it
returns is sent instead, before or after the request has taken effect.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fake_server import Failure, Handler, served

Trouble = Callable[[str, str, int], "Failure | None"]  # method, path, how often it was asked for
STATES = ("validating_files", "queued", "running", "running")
STEPS_PER_EPOCH = 5


@dataclass
class Api:
    """What a server holds, and what goes wrong with it."""

    trouble: Trouble = lambda method, path, count: None
    spoilt: Callable[[str, int, bytes], bytes] = lambda where, count, body: body  # what is sent of a good answer
    url: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)  # the newest last
    bodies: list[dict[str, Any]] = field(default_factory=list)  # of requests for a job
    seen: Counter[str] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)
    states: tuple[str, ...] = STATES
    end: str = "succeeded"
    error: dict[str, Any] | None = None
    trained_tokens: int | None = 12_345
    shutdown: dict[str, Any] = field(default_factory=dict)  # what GET /models/<id> adds
    file_states: tuple[str, ...] = ("processed",)
    without: tuple[str, ...] = ()  # calls that the server does not have: files, list, events, checkpoints, models
    unknown: tuple[str, ...] = ()  # fields of a job that it does not know
    forgets: tuple[str, ...] = ()  # fields of a job that it takes and does not tell
    same_page: bool = False  # it ignores ``after`` and says that there is more
    page: int = 100
    lock: Any = field(default_factory=threading.RLock)

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Keep a file."""
        key = f"file-{len(self.files)}"
        self.contents[key] = content
        self.files[key] = {"id": key, "object": "file", "bytes": len(content), "filename": name, "looks": 0}
        self.files[key] |= {"purpose": "fine-tune", "created_at": len(self.files)}
        return self.told_file(key)

    def told_file(self, key: str) -> dict[str, Any]:
        """A file, in the state that it has by now."""
        file = self.files[key]
        state = self.file_states[min(file["looks"], len(self.file_states) - 1)]
        file["looks"] += 1
        details = {"status_details": "Line 2 is not valid JSON"} if state == "error" else {}
        return {**{name: value for name, value in file.items() if name != "looks"}, "status": state, **details}

    def create(self, body: dict[str, Any]) -> dict[str, Any] | Failure:
        """Start a job."""
        self.bodies.append(body)
        for name in self.unknown:
            if name in body:
                return Failure(400, f"Unknown parameter: '{name}'.", "unknown_parameter", name)
        if body["training_file"] not in self.files:
            return Failure(400, f"File '{body['training_file']}' does not exist", param="training_file")
        key = f"ftjob-{len(self.jobs)}"
        told = (body.get("method") or {}).get("supervised") or body
        job = {"id": key, "object": "fine_tuning.job", "created_at": 4_000_000_000 + len(self.jobs), "looks": 0}
        job |= {"model": body["model"], "organization_id": "org", "result_files": [], "error": None}
        job |= {"training_file": body["training_file"], "validation_file": body.get("validation_file")}
        job |= {"seed": body.get("seed", 1), "fine_tuned_model": None, "trained_tokens": None}
        job |= {"hyperparameters": {"batch_size": "auto", **told["hyperparameters"]}, "status": self.states[0]}
        job |= {"metadata": body.get("metadata"), "user_provided_suffix": body.get("suffix")}
        self.jobs[key] = {name: value for name, value in job.items() if name not in self.forgets}
        return self.told(self.jobs[key])

    def told(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job without what is ours."""
        return {name: value for name, value in job.items() if name not in ("looks",)}

    def looked_at(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job after one more look at it."""
        job["looks"] += 1
        if job["status"] in ("succeeded", "failed", "cancelled", "completed"):
            return self.told(job)
        if job["looks"] < len(self.states):
            job["status"] = self.states[job["looks"]]
            return self.told(job)
        job |= {"status": self.end, "error": self.error}
        if self.end in ("succeeded", "completed"):
            suffix = next((body.get("suffix") for body in reversed(self.bodies)), "") or ""
            job |= {"fine_tuned_model": f"ft:{job['model']}:org:{suffix}:{job['id'][-1]}abc"}
            job |= {"trained_tokens": self.trained_tokens}
        return self.told(job)

    def epochs(self, job: dict[str, Any]) -> int:
        """How many epochs a job trains for."""
        told = job["hyperparameters"].get("n_epochs")
        return told if isinstance(told, int) else 3

    def events(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """What has happened so far, the newest first."""
        found = [{"message": "Created fine-tuning job", "level": "info", "type": "message", "data": {}}]
        total = STEPS_PER_EPOCH * self.epochs(job)
        half = total // 2
        reached = {"running": half, "failed": half, "succeeded": total, "completed": total}.get(job["status"], 0)
        for step in range(1, reached + 1):
            data: dict[str, Any] = {"step": step, "total_steps": total, "train_loss": 2.0 / step}
            data |= {"full_valid_loss": 3.0 / step} if step % STEPS_PER_EPOCH == 0 else {}
            message = f"Step {step}/{total}: training loss={data['train_loss']:.2f}"
            found.append({"message": message, "level": "info", "type": "metrics", "data": data})
        if job["status"] == "failed":
            found.append({"message": "it broke half way", "level": "error", "type": "message", "data": {}})
        rows = [
            {"id": f"ftevent-{job['id']}-{n}", "object": "fine_tuning.job.event", "created_at": n // 3, **event}
            for n, event in enumerate(found)
        ]
        return rows[::-1]

    def checkpoints(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """The last three epochs, the newest first."""
        found = []
        for epoch in range(max(1, self.epochs(job) - 2), self.epochs(job) + 1):
            step = epoch * STEPS_PER_EPOCH
            last = epoch == self.epochs(job)
            model = job["fine_tuned_model"] if last else f"{job['fine_tuned_model']}:ckpt-step-{step}"
            point = {"id": f"ftckpt-{step}", "object": "fine_tuning.job.checkpoint", "created_at": step}
            point |= {"fine_tuned_model_checkpoint": model, "step_number": step, "fine_tuning_job_id": job["id"]}
            found.append({**point, "metrics": {"step": step, "full_valid_loss": 3.0 / step}})
        return found[::-1]


class ApiHandler(Handler):
    """Answers one request; ``api`` is the class's."""

    api: Api

    def do_POST(self) -> None:
        self._serve("POST", self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self) -> None:
        self._serve("GET", b"")

    def _serve(self, method: str, data: bytes) -> None:
        api, path = self.api, urlsplit(self.path).path.removeprefix("/v1")
        with api.lock:
            api.keys.add(self.headers.get("Authorization", ""))
            api.seen[f"{method} {path}"] += 1
            failure = api.trouble(method, path, api.seen[f"{method} {path}"])
            if failure is not None and not failure.late:
                self.send(failure)
                return
            answer = self._answer(method, path, data)
            if failure is not None:
                self.send(failure)
            elif isinstance(answer, Failure):
                self.send(answer)
            else:
                body = api.spoilt(f"{method} {path}", api.seen[f"{method} {path}"], json.dumps(answer).encode())
                self.send_raw(200, body, {"Content-Type": "application/json"})

    def _answer(self, method: str, path: str, data: bytes) -> dict[str, Any] | Failure:
        api = self.api
        if (method, path) == ("POST", "/files"):
            match = re.search(rb'filename="([^"]*)"\r\n.*?\r\n\r\n(.*?)\r\n--', data, re.S)
            assert match is not None
            assert b'name="purpose"\r\n\r\nfine-tune' in data
            return api.upload(match[1].decode(), match[2])
        if (method, path) == ("POST", "/fine_tuning/jobs"):
            return api.create(json.loads(data))
        if path == "/files" and "files" not in api.without:
            return self._page([api.told_file(key) for key in reversed(api.files)])
        if path == "/fine_tuning/jobs" and "list" not in api.without:
            return self._page([api.told(job) for job in reversed(api.jobs.values())])
        if (match := re.fullmatch(r"/files/([\w-]+)", path)) and match[1] in api.files:
            return api.told_file(match[1])
        if (match := re.fullmatch(r"/models/(.+)", path)) and "models" not in api.without:
            return {"id": match[1], "object": "model", "created": 1, "owned_by": "them", **api.shutdown}
        if match := re.fullmatch(r"/fine_tuning/jobs/([\w-]+)(/events|/checkpoints)?", path):
            job = api.jobs.get(match[1])
            if job is not None and match[2] is None:
                return api.looked_at(job)
            if job is not None and match[2][1:] not in api.without:
                return self._page(api.events(job) if match[2] == "/events" else api.checkpoints(job))
        return Failure(404, f"no such thing: {path}")

    def _page(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        api, query = self.api, parse_qs(urlsplit(self.path).query)
        start = 0
        if "after" in query and not api.same_page:
            start = 1 + next(place for place, row in enumerate(rows) if row["id"] == query["after"][0])
        limit = min(api.page, int(query.get("limit", ["20"])[0]))
        more = api.same_page or start + limit < len(rows)
        return {"object": "list", "data": rows[start : start + limit], "has_more": more}


@contextmanager
def serving(**settings: Any) -> Iterator[Api]:
    """Serve until the block is left."""
    api = Api(**settings)
    with served(ApiHandler, api):
        yield api
