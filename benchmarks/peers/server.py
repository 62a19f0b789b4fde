"""A chat endpoint that is a fixed time away: answers each request after so many seconds with one and the same verdict.

``server.py SECONDS`` prints its port. Plain asyncio on a real socket, with connections kept open; nothing of warmgap's.
"""

from __future__ import annotations

import asyncio
import json
import sys

VERDICT = json.dumps({"reason": "The reply names the accepted answer.", "verdict": "correct"})
BODY = json.dumps({
    "id": "x", "object": "chat.completion", "created": 0, "model": "judge-2026-01-01",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": VERDICT}}],
    "usage": {"prompt_tokens": 400, "completion_tokens": 24, "total_tokens": 424},
}).encode()  # fmt: skip
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


async def main() -> None:
    """Serve until the parent ends."""
    away = float(sys.argv[1])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
                )
                await reader.readexactly(length)
                await asyncio.sleep(away)
                writer.write(REPLY)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
