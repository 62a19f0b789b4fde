"""A server on this machine that speaks the hub's protocol for the files of a model, and can fail as the hub does.

The listing of a revision (``/api/models/ID/revision/REV`` and ``/api/models/ID/tree/REV``), and the files
(``/ID/resolve/REV/FILE``): small ones at once, weights by a redirect to another address, as the hub keeps them.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REVISION = "0123456789abcdef0123456789abcdef01234567"
MODEL, GATED, GATED_LISTING, CUT = "org/model", "org/gated", "org/gated-listing", "org/cut"
LISTED = (MODEL, GATED, CUT)


class Hub(BaseHTTPRequestHandler):
    """Answers one request; the folder whose files are served is the class's."""

    folder: Path
    asked: list[str]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(f"{self.command} {path}")
        if match := re.fullmatch(r"/api/models/([\w-]+/[\w-]+)/(revision|tree)/(\w+)/?", path):
            self._list(match[1], match[2], match[3], with_body)
        elif match := re.fullmatch(r"/([\w-]+/[\w-]+)/resolve/(\w+)/([\w.-]+)", path):
            self._resolve(match[1], match[2], match[3], with_body)
        elif match := re.fullmatch(r"/storage/([\w-]+)/([\w.-]+)", path):
            self._send_file(match[2], {}, with_body, cut=match[1] == "cut")
        else:
            self._refuse(404, "EntryNotFound", "Entry not found")

    def _list(self, name: str, what: str, revision: str, with_body: bool) -> None:
        if name == GATED_LISTING:
            self._refuse(403, "GatedRepo", f"Access to model {name} is restricted")
        elif name not in LISTED:
            self._refuse(404, "RepoNotFound", "Repository not found")
        elif revision != REVISION:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif what == "tree":
            self._send(json.dumps([self._entry(path) for path in self._files()]).encode(), {}, with_body)
        else:
            siblings = [{"rfilename": path.name} for path in self._files()]
            listing = {"_id": "0", "id": name, "modelId": name, "sha": REVISION, "private": False, "gated": False}
            self._send(json.dumps({**listing, "tags": [], "siblings": siblings}).encode(), {}, with_body)

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_file())

    def _entry(self, path: Path) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": etag(path)[:40]}
        if path.suffix == ".safetensors":
            entry["lfs"] = {"oid": etag(path), "size": path.stat().st_size, "pointerSize": 134}
        return entry

    def _resolve(self, name: str, revision: str, file: str, with_body: bool) -> None:
        path = self.folder / file
        if name == GATED:
            self._refuse(403, "GatedRepo", f"Access to model {name} is restricted")
        elif name not in LISTED:
            self._refuse(404, "RepoNotFound", "Repository not found")
        elif revision != REVISION:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif not path.is_file():
            self._refuse(404, "EntryNotFound", "Entry not found")
        elif path.suffix == ".safetensors":
            other = (
                f"http://localhost:{self.headers['Host'].rpartition(':')[2]}"  # another host, as the hub's storage is
            )
            linked = {"X-Linked-Etag": f'"{etag(path)}"', "X-Linked-Size": str(path.stat().st_size)}
            place = {"Location": f"{other}/storage/{name.partition('/')[2]}/{file}", "X-Repo-Commit": REVISION}
            self._send(b"", {**linked, **place}, with_body, status=302)
        else:
            self._send_file(file, {"ETag": f'"{etag(path)[:40]}"', "X-Repo-Commit": REVISION}, with_body)

    def _send_file(self, file: str, headers: dict[str, str], with_body: bool, *, cut: bool = False) -> None:
        path = self.folder / file
        if not path.is_file():
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        body = path.read_bytes()
        first = int(match[1]) if (match := re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
        if first:
            headers = {**headers, "Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"}
        self._send(body[first:], headers, with_body, status=206 if first else 200, cut=cut)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(b"", {"X-Error-Code": code, "X-Error-Message": message}, False, status=status)

    def _send(
        self, body: bytes, headers: dict[str, str], with_body: bool, *, status: int = 200, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body and cut:
            self.wfile.write(body[:1000] if status == 200 else b"")
            self.close_connection = True
        elif with_body:
            self.wfile.write(body)


def etag(path: Path) -> str:
    """The SHA-256 of a file, which the hub gives as the tag of large ones."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve the files of a folder; gives the address and the list of what was asked for so far."""
    asked: list[str] = []
    handler = type("FolderHub", (Hub,), {"folder": folder, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
