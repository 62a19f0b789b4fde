"""A server that sends any bytes whatever: for what no library for servers can be brought to do.

A test gives it ``behave``, which is called for each request with the connection and the request's body.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Behave = Callable[[socket.socket, dict[str, Any]], None]
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


def completion(text: Any, **other: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "model": "m-served", "choices": [choice], "usage": USAGE, **other}


def whole(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer as it goes over the line."""
    told = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def good(text: Any, **other: Any) -> bytes:
    """A good answer as it goes over the line."""
    return whole(json.dumps(completion(text, **other)).encode())


@dataclass
class Raw:
    """What a server has seen."""

    behave: Behave
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)


def _serve(api: Raw, line: socket.socket) -> None:
    with contextlib.suppress(OSError), line, line.makefile("rb") as reader:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not api.ended.is_set():
            length = 0
            while (head := reader.readline()) not in (b"\r\n", b""):
                if head.lower().startswith(b"content-length:"):
                    length = int(head.partition(b":")[2])
            if not head:
                return
            body = json.loads(reader.read(length) or b"{}")
            with api.lock:
                api.bodies.append(body)
            api.behave(line, body)


@contextmanager
def serving(behave: Behave) -> Iterator[Raw]:
    """Serve until the block is left."""
    api = Raw(behave)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
        api.url = f"http://127.0.0.1:{door.getsockname()[1]}/v1"

        def welcome() -> None:
            while True:
                try:
                    line, _ = door.accept()
                except OSError:
                    return
                threading.Thread(target=_serve, args=(api, line), daemon=True).start()

        threading.Thread(target=welcome, daemon=True).start()
        try:
            yield api
        finally:
            api.ended.set()
            door.shutdown(socket.SHUT_RDWR)
