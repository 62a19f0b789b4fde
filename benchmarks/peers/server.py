"""A chat endpoint that is a fixed time away: answers each request after so many seconds with one and the same verdict.

``server.py SECONDS [SHARE]`` prints its port. Of SHARE of the requests something goes wrong, by turns: 429 with
Retry-After, 500, a line that breaks, a body that ends early, drips, or is none. It counts what it was asked and what it
has billed, and tells both at ``/count``. Plain asyncio on a real socket, with connections kept open.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys

VERDICT = json.dumps({"reason": "The reply names the accepted answer.", "verdict": "correct"})
BODY = json.dumps({
    "id": "x", "object": "chat.completion", "created": 0, "model": "judge-2026-01-01",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": VERDICT}}],
    "usage": {"prompt_tokens": 400, "completion_tokens": 24, "total_tokens": 424},
}).encode()  # fmt: skip


def whole(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    """An answer as it goes over the line."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


REPLY = whole(BODY)
BUSY = whole(b'{"error": {"message": "slow down"}}', "429 Too Many Requests", "retry-after-ms: 50\r\n")
DOWN = whole(b'{"error": {"message": "oh"}}', "500 Internal Server Error")
PAGE = whole(b"<html>gateway</html>")
HEAD, END = REPLY[: -len(BODY)], REPLY[-len(BODY) :]
FAULTS = ("busy", "down", "broken", "early", "drip", "page")
DRIPS = 20, 0.05  # signs, and seconds between them


async def fault(kind: str, writer: asyncio.StreamWriter) -> bool:
    """Do what goes wrong; return whether the connection is still of use."""
    if kind in ("busy", "down", "page"):
        writer.write({"busy": BUSY, "down": DOWN, "page": PAGE}[kind])
        return True
    if kind == "early":
        writer.write(HEAD + END[:40])
    elif kind == "drip":
        writer.write(HEAD)
        for place in range(DRIPS[0]):
            writer.write(END[place : place + 1])
            await writer.drain()
            await asyncio.sleep(DRIPS[1])
    return False


async def main() -> None:
    """Serve until the parent ends."""
    away, share = float(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    rng, count = random.Random(7), {"asked": 0, "billed": 0, **dict.fromkeys(FAULTS, 0)}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b" /count " in head:
                    writer.write(whole(json.dumps(count).encode()))
                    continue
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
                )
                await reader.readexactly(length)
                await asyncio.sleep(away)
                count["asked"] += 1
                if rng.random() < share:
                    kind = rng.choice(FAULTS)
                    count[kind] += 1
                    if not await fault(kind, writer):
                        break
                else:
                    count["billed"] += 1
                    writer.write(REPLY)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
