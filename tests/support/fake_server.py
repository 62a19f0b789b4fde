"""What servers that stand in for a vendor's have in common: a real socket, JSON, and the ways in which they fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Failure:
    """What is sent instead of an answer: a status with an error body, a raw body, or a connection that is cut.

    ``late`` lets the request take effect first, where the server knows of effects.
    """

    status: int = 500
    message: str = "something went wrong"
    code: str = ""
    param: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: bool = False
    late: bool = False


class Handler(BaseHTTPRequestHandler):
    """Answers one request; ``api``, what the server has seen, is the class's."""

    api: Any
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for head and body: two wait for one another's acknowledgement

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def send(self, answer: dict[str, Any] | Failure) -> None:
        """Send JSON, or what goes wrong."""
        if not isinstance(answer, Failure):
            self.send_raw(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
        elif answer.cut:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"id": "half')
            self.close_connection = True
        elif answer.raw is not None:
            self.send_raw(answer.status, answer.raw, answer.headers)
        else:
            error = {"message": answer.message, "code": answer.code or None, "param": answer.param or None}
            headers = {"Content-Type": "application/json", **answer.headers}
            self.send_raw(answer.status, json.dumps({"error": {**error, "type": "error"}}).encode(), headers)

    def send_raw(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send bytes as they are."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def served(handler: type[Handler], api: Any) -> Iterator[Any]:
    """Serve until the block is left; the address is noted in ``api.url``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneApi", (handler,), {"api": api}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
