"""One exchange with a server over HTTP: a whole answer, within its time and its size, or a word on why there is none.

Whatever a server sends, nothing else comes of it: a body that drips for ever, that unpacks to gigabytes, that ends
before its length or goes on behind it, and heads without an end. The deadline is for the whole exchange.
"""

from __future__ import annotations

import asyncio
import base64
import email.utils
import json
import time
import zlib
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from warmgap.disk import intake
from warmgap.hidden import without_known, without_secrets

if TYPE_CHECKING:
    import aiohttp

MOST = 16 * 2**20  # bytes of an answer, unpacked: the longest reply of any model is below a hundredth of it
CONNECTING = 30.0  # seconds in which a connection has to be there
MOVED = (301, 302, 303, 307, 308)
Made = TypeVar("Made")


@dataclass(frozen=True)
class Said:
    """What a server has said: the status, the head and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Failed(Exception):
    """A call that came to nothing. ``taken`` if the server may have done the work all the same, and bill it."""

    taken = False
    status_code: int | None = None

    def __init__(self, text: str) -> None:
        super().__init__(without_known(text))


class Broken(Failed):
    """No whole answer came."""

    def __init__(self, text: str, *, taken: bool = True) -> None:
        super().__init__(text)
        self.taken = taken


class Malformed(Failed):
    """A whole answer that is not what was asked for."""

    taken = True


class Refused(Failed):
    """The server did not do what it was asked to, and says so."""

    def __init__(self, status: int, text: str, code: str = "", param: str = "", headers: Any = None) -> None:
        super().__init__(text)
        self.status_code, self.text, self.code, self.param = status, str(self), code, param
        self.headers: Mapping[str, str] = headers if headers is not None else {}


def session(seconds: float, headers: Mapping[str, str]) -> aiohttp.ClientSession:
    """Return what keeps connections open; an exchange over it may take so many seconds. Made inside an event loop."""
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # whoever calls says how many are under way
        timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, CONNECTING)),
        headers={"Accept-Encoding": "identity", "User-Agent": "warmgap", **headers},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=True,  # proxies
    )


async def exchange(
    through: aiohttp.ClientSession,
    method: str,
    url: str,
    data: Any = None,
    headers: Mapping[str, str] | None = None,
    most: int = MOST,
) -> Said:
    """Send a request and return the whole answer, whatever its status. Raises ``Broken`` where none came."""
    import aiohttp

    url, own = _as_user(url)
    headers = {**(headers or {}), **own}
    try:
        async with through.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
            body = await _body(answer, most)
            return Said(answer.status, answer.headers, body)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
        raise Broken(f"no connection: {_plain(error)}", taken=False) from error
    except TimeoutError as error:
        raise Broken(f"no whole answer within {through.timeout.total:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Broken(f"a broken answer: {_plain(error)}") from error


def under(base: str, path: str) -> str:
    """Return an address below another, whose query stays behind it."""
    address, mark, query = base.partition("?")
    return f"{address.rstrip('/')}{path}{mark}{query}"


def _as_user(url: str) -> tuple[str, dict[str, str]]:
    """Part an address from the name and password in it, which are sent in place of a key."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    coded = base64.b64encode(unquote(login).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {coded}"}


async def _body(answer: aiohttp.ClientResponse, most: int) -> bytes:
    packed = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise Broken(f"the answer is packed as {packed[:20]!r}, which was not asked for")
    unpacker = zlib.decompressobj(wbits=47) if packed not in ("identity", "") else None
    parts, size = [], 0
    async for part in answer.content.iter_any():
        if unpacker is not None:
            try:
                part = unpacker.decompress(part, most - size + 1)
            except zlib.error as error:
                raise Broken(f"the answer cannot be unpacked: {error}") from error
        size += len(part)
        if size > most:
            raise Broken(f"the answer is longer than {most:,} bytes")
        parts.append(part)
    if unpacker is not None and size and not unpacker.eof:
        raise Broken("the answer is packed, and ends in the middle")
    return b"".join(parts)


def understood(said: Said) -> Any:
    """Return the JSON of an answer. Raises ``Refused`` where the server refuses, ``Malformed`` for another body."""
    try:
        value = intake.parse(said.body)
    except ValueError as error:
        if said.status == 200:
            raise Malformed(f"not JSON ({error}): {_head(said.body)!r}") from error
        value = None
    wrong = value.get("error") if isinstance(value, dict) else None
    if 200 <= said.status < 300 and not (wrong and "choices" not in value):
        return value
    raise _refused(said, value, wrong)


def _refused(said: Said, value: Any, wrong: Any) -> Refused:
    """What a server says where it refuses; each has a form of its own: an object, a text, a list of faults, a page."""
    told = wrong if isinstance(wrong, dict) else {}
    text = told.get("message") or wrong
    if not text and isinstance(value, dict):
        text = next((value[name] for name in ("message", "detail", "error_description") if value.get(name)), None)
    if not text:
        text = value if value not in (None, {}, []) else _head(said.body) or "no reason is given"
    plain = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    code, param = (str(told.get(name) or "")[:100] for name in ("code", "param"))
    status = said.status
    if 200 <= status < 300:  # some say it within a success
        status = int(code) if code.isascii() and code.isdigit() and 400 <= int(code) < 600 else 500
    return Refused(status, " ".join(plain.split())[:300], code, param, said.headers)


def _head(body: bytes) -> str:
    return " ".join(body[:400].decode("utf-8", "replace").split())[:200]


def _plain(error: Exception) -> str:
    text = intake.mended(" ".join(str(error).split())[:200])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def run(work: Callable[[], Coroutine[Any, Any, Made]]) -> Made:
    """Do asynchronous work to its end, in a notebook too, whose thread has a loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


def once(method: str, url: str, *, key: str, seconds: float, most: int = MOST, **sent: Any) -> Said:
    """Do one exchange over a connection of its own, and wait for it; ``sent`` as ``exchange`` takes it.

    ``data`` that can be called makes what is sent: forms are made inside the loop.
    """

    async def work() -> Said:
        made = {name: part() if callable(part) else part for name, part in sent.items()}
        async with session(seconds, {"Authorization": f"Bearer {key}"}) as through:
            return await exchange(through, method, url, most=most, **made)

    return run(work)


def form(purpose: str, name: str, data: bytes) -> aiohttp.FormData:
    """Return a file as it is handed in."""
    import aiohttp

    made = aiohttp.FormData()
    made.add_field("purpose", purpose)
    made.add_field("file", data, filename=name, content_type="application/octet-stream")
    return made


def error_text(error: Exception) -> str:
    """An error in one line, without the request's content."""
    body = getattr(error, "body", None)
    inner = body.get("message") if isinstance(body, dict) else None
    status = getattr(error, "status_code", None)
    text = without_secrets(intake.mended(" ".join(str(inner or error).split())[:300]))
    if isinstance(error, Failed):
        return f"HTTP {status}: {text}" if status else text
    return f"HTTP {status}: {text}" if status else f"{type(error).__name__}: {text}"


def retry_after(error: Exception) -> float | None:
    """The seconds that a server asks to wait: ``Retry-After`` as a number or a date, ``retry-after-ms``; else None."""
    headers = getattr(error, "headers", None) or getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if not (value := headers.get("retry-after") or headers.get("Retry-After")):
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
