"""A small page on this machine for labelling a sheet: one answer at a time, each label saved as it is given."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from warmgap import reading
from warmgap.evaluate import label

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
            page = files("warmgap.evaluate").joinpath("label.html").read_bytes()
            self._send(200, page, "text/html; charset=utf-8")
        elif self.path == "/rows":
            rows = [
                {key: row.get(key) or "" for key in (*label.SHOWN, *label.FILLED)} for row in label.load(self.sheet)
            ]
            self._send(200, json.dumps({"rows": rows, "choices": label.CHOICES}).encode(), "application/json")
        else:
            self._send(404, b"", "text/plain")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(min(length, 100_000))
        try:
            given: Any = reading.parse(data)
            name, choice, note = str(given["label_id"]), str(given["label"]), str(given.get("note") or "")
        except (ValueError, KeyError, TypeError):
            self._send(400, b"", "text/plain")
            return
        rows = label.load(self.sheet)
        known = [row for row in rows if row["label_id"] == name]
        if not self._own() or not known or choice not in ("", *label.CHOICES):
            self._send(403 if not self._own() else 400, b"", "text/plain")
            return
        known[0].update(label=choice, note=note)
        label.save(self.sheet, list(map(_whole, rows)))
        self._send(200, b"{}", "application/json")

    def _own(self) -> bool:
        """Whether a request comes from the page itself: another site's would name another host or origin."""
        port = self.connection.getsockname()[1]
        hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        return self.headers.get("Host") in hosts and (origin is None or origin.removeprefix("http://") in hosts)

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": POLICY}
        for name, value in {**headers, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _whole(row: dict[str, str]) -> dict[str, str]:
    return {key: row.get(key) or "" for key in (*label.SHOWN, *label.FILLED)}


def server(sheet: Path, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of the page for a sheet, on this machine alone; port 0 takes a free one."""
    label.load(sheet)
    return ThreadingHTTPServer(("127.0.0.1", port), type("SheetPage", (Page,), {"sheet": sheet}))
