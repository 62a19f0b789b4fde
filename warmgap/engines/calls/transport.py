"""The same exchange for libraries that speak by httpx: one deadline, one size, and bodies that can be read."""

from __future__ import annotations

import httpx

from warmgap.disk import intake
from warmgap.engines.calls import wire
from warmgap.engines.calls.wire import Broken

OF_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")  # what came is whole, and unpacked


class Transport(httpx.BaseTransport):
    """Sends requests by ``wire.exchange``; each may take so many seconds. A body that is no JSON is a broken answer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the whole answer. Raises httpx's own errors where there is none."""
        data = request.read()
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "accept-encoding")}

        async def work() -> wire.Said:
            async with wire.session(self._seconds, headers) as through:
                return await wire.exchange(through, request.method, str(request.url), data or None)

        try:
            said = wire.run(work)
        except Broken as error:
            kind = httpx.ReadError if error.taken else httpx.ConnectError
            raise kind(str(error), request=request) from error
        if 200 <= said.status < 300:
            try:
                intake.parse(said.body)
            except ValueError as error:
                raise httpx.ReadError(f"not JSON ({error})", request=request) from error
        kept = [(name, value) for name, value in said.headers.items() if name.lower() not in OF_THE_WIRE]
        return httpx.Response(said.status, headers=kept, content=said.body, request=request)


def client(seconds: float) -> httpx.Client:
    """Return a client for a library that takes one."""
    return httpx.Client(transport=Transport(seconds))
