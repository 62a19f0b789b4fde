"""A server that speaks the protocol of chat completions, files and batches over a real socket, and fails as they do.

A test gives it ``reply``, which is called with each request's body and the number of times that these messages have
come, and returns text, or a ``Failure``.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fake_server import Failure, Handler, served

Reply = Callable[[dict[str, Any], int], "str | Failure"]


def raw_json(value: Any) -> str:
    """JSON as many servers write it: characters as they are, escaped where they cannot be sent alone."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)


@dataclass
class Api:
    """What a server has seen, and its address."""

    reply: Reply
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)  # paths with their queries, of what was sent
    at_once: int = 0
    most_at_once: int = 0
    delay: float = 0.0
    usage: bool = True
    finish_reason: str = "stop"
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    looks: int = 0  # how often a batch is looked at before it has ended
    end: str = "completed"
    answered: Callable[[int], bool] = lambda index: True  # which lines of a batch are answered
    seen: Counter[str] = field(default_factory=Counter)
    lock: Any = field(default_factory=threading.Lock)

    def completion(self, body: dict[str, Any]) -> dict[str, Any] | Failure:
        """The body of a chat completion, or what goes wrong."""
        with self.lock:
            self.bodies.append(body)
            self.times.append(time.monotonic())
            text = json.dumps(body["messages"])
            self.seen[text] += 1
            count = self.seen[text]
        said = self.reply(body, count)
        if isinstance(said, Failure):
            return said
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        answer = {"id": "c-1", "object": "chat.completion", "created": 0, "model": f"{body['model']}-served"}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        return {**answer, "choices": [choice], **({"usage": usage} if self.usage else {})}


class ApiHandler(Handler):
    """Answers one request; ``api`` is the class's."""

    api: Api

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.api.keys.add(self.headers.get("Authorization", ""))
        path = self.path.partition("?")[0]
        self.api.addresses.add(self.path)
        if path == "/v1/chat/completions":
            with self.api.lock:
                self.api.at_once += 1
                self.api.most_at_once = max(self.api.most_at_once, self.api.at_once)
            time.sleep(self.api.delay)
            answer = self.api.completion(json.loads(data))
            with self.api.lock:
                self.api.at_once -= 1
            self.send(answer)
        elif path == "/v1/files":
            match = re.search(rb'filename="[^"]*"(?:\r\n[^\r\n]+)*\r\n\r\n(.*?)\r\n--', data, re.S)
            assert re.search(rb'name="purpose"(?:\r\n[^\r\n]+)*\r\n\r\nbatch\r\n', data)
            assert match is not None
            name = f"file-{len(self.api.files)}"
            self.api.files[name] = match[1].decode()
            self.send({"id": name, "object": "file", "purpose": "batch", "bytes": 0, "created_at": 0, "filename": "f"})
        elif path == "/v1/batches":
            self.send(self._batch(json.loads(data)))

    def _batch(self, body: dict[str, Any]) -> dict[str, Any]:
        api = self.api
        name = f"batch-{len(api.batches)}"
        batch = {"id": name, "object": "batch", "endpoint": body["endpoint"], "input_file_id": body["input_file_id"]}
        batch |= {"completion_window": "24h", "status": "in_progress", "created_at": 0, "looks": 0}
        api.batches[name] = {**batch, "metadata": body["metadata"]}
        return api.batches[name]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/v1/batches/([\w-]+)", path):
            batch = self.api.batches.get(match[1])
            self.send(self._looked_at(batch) if batch else Failure(404, "no such batch"))
        elif path.startswith("/v1/batches"):
            found = list(self.api.batches.values())
            self.send({"object": "list", "data": found, "has_more": False})
        elif match := re.fullmatch(r"/v1/files/([\w-]+)/content", path):
            self.send_raw(200, self.api.files[match[1]].encode(), {})
        else:
            self.send(Failure(404, "no such page"))

    def _looked_at(self, batch: dict[str, Any]) -> dict[str, Any]:
        api = self.api
        batch["looks"] += 1
        if batch["looks"] <= api.looks or batch["status"] != "in_progress":
            return batch
        batch["status"] = api.end
        if api.end == "failed":
            batch["errors"] = {"object": "list", "data": [{"message": "line 1 is invalid", "code": "invalid"}]}
            return batch
        done, failed = [], []
        for index, line in enumerate(api.files[batch["input_file_id"]].split("\n")[:-1]):
            row = json.loads(line)
            if not api.answered(index):
                continue
            answer = api.completion(row["body"])
            entry = {"id": "r", "custom_id": row["custom_id"], "error": None}
            if isinstance(answer, Failure):
                said = {"status_code": answer.status, "body": {"error": {"message": answer.message}}}
                failed.append(json.dumps({**entry, "response": said}))
            else:
                done.append(raw_json({**entry, "response": {"status_code": 200, "body": answer}}))
        for kind, lines in (("output_file_id", done), ("error_file_id", failed)):
            if lines:
                name = f"file-{len(api.files)}"
                api.files[name] = "\n".join(reversed(lines)) + "\n"  # in another order than they were handed in
                batch[kind] = name
        return batch


@contextmanager
def serving(reply: Reply, **settings: Any) -> Iterator[Api]:
    """Serve until the block is left."""
    api = Api(reply, **settings)
    with served(ApiHandler, api):
        yield api
