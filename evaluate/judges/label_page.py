"""A small page on this machine for labelling a sheet: one answer at a time, each label saved as it is given.

A label is acknowledged when it is on the disk. Posts at once, from one page or several, on one server or two, wait for
one another; one that would write over a label that its page has not seen is told so instead.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from warmgap.disk import intake, locks
from warmgap.errors import UserError
from warmgap.evaluate.judges import label

LONGEST = 100_000  # bytes of a post
POLICY = "default-src 'none'; script-src 'nonce-label'; style-src 'nonce-label'; connect-src 'self'"


class Page(BaseHTTPRequestHandler):
    """Answers the page's requests; ``sheet`` is the class's. Only the page itself, on this machine, is answered."""

    sheet: Path
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if not self._own():
            self._send(403, b"", "text/plain")
        elif self.path == "/":
            page = files("warmgap.evaluate.judges").joinpath("label.html").read_bytes()
            self._send(200, page, "text/html; charset=utf-8")
        elif self.path == "/rows":
            try:
                rows = label.load(self.sheet)
            except UserError as error:
                self._send(500, str(error).encode(), "text/plain; charset=utf-8")
                return
            self._send_json(200, {"rows": rows, "choices": label.CHOICES})
        else:
            self._send(404, b"", "text/plain")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length") or ""
        if not length.isdigit() or int(length) > LONGEST:
            self.close_connection = True  # what follows is not read
            self._send(413, b"", "text/plain")
            return
        data = self.rfile.read(int(length))
        if not self._own():
            self._send(403, b"", "text/plain")
            return
        try:
            given: Any = intake.parse(data)
            name, choice, note = str(given["label_id"]), str(given["label"]), str(given.get("note") or "")
            seen = given.get("seen")
        except (ValueError, KeyError, TypeError, AttributeError):
            self._send(400, b"", "text/plain")
            return
        try:
            status, answer = self._keep(name, choice, note, seen)
        except UserError as error:
            self._send(500, str(error).encode(), "text/plain; charset=utf-8")
            return
        self._send_json(status, answer)

    def _keep(self, name: str, choice: str, note: str, seen: str | None) -> tuple[int, dict[str, str]]:
        """Write a label into the sheet; ``seen`` is the one that the page knew of before."""
        with locks.alone(self.sheet):
            rows = label.load(self.sheet)
            row = next((row for row in rows if row["label_id"] == name), None)
            if row is None or choice not in ("", *label.CHOICES):
                return 400, {}
            if seen is not None and row["label"] not in (seen, choice):
                return 409, {"label": row["label"], "note": row["note"]}
            row.update(label=choice, note=note)
            label.save(self.sheet, rows)
        return 200, {}

    def _own(self) -> bool:
        """Whether a request comes from the page itself: another site's would name another host or origin."""
        port = self.connection.getsockname()[1]
        hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        return self.headers.get("Host") in hosts and (origin is None or origin.removeprefix("http://") in hosts)

    def _send_json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": POLICY}
        for name, value in {**headers, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def server(sheet: Path, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of the page for a sheet, on this machine alone; port 0 takes a free one."""
    label.load(sheet)
    return ThreadingHTTPServer(("127.0.0.1", port), type("SheetPage", (Page,), {"sheet": sheet}))
