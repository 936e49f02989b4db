"""An HTTP proxy that leads to permitted addresses only: the way out for code that has no network of its own.

It knows `CONNECT`, for HTTPS and whatever else is tunnelled, and plain requests in absolute form.
What flows through a tunnel is nobody's business here; where it leads is checked before it is dug.
"""

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from reverie.domain.errors import BadGateway, InvalidInput, ReverieError
from reverie.web.addresses import Resolve, WebOptions, permitted_addresses, resolve

log = structlog.get_logger(__name__)

_HEAD_TIMEOUT_S: Final = 30.0
_MAX_HEAD: Final = 64 * 1024
_CHUNK: Final = 64 * 1024
_ENDS_HERE: Final = (b"proxy-authorization", b"proxy-connection", b"connection", b"keep-alive")


@dataclass(frozen=True, slots=True)
class _Head:
    """The first lines of a request."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]

    def header(self, name: bytes) -> str:
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == name), "")


class GuardedProxy:
    """Serves on a socket in a folder, between entering and leaving.

    `admits` says whether a key, the password of `Proxy-Authorization`, may go out.
    """

    def __init__(
        self, path: Path, options: WebOptions, admits: Callable[[str], bool], *, lookup: Resolve = resolve
    ) -> None:
        self._path = path
        self._options = options
        self._admits = admits
        self._lookup = lookup
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "GuardedProxy":
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_MAX_HEAD)
        self._path.chmod(0o666)  # who connects is another user; the key is what counts
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            log.debug("proxy_connection_lost")
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_TIMEOUT_S):
            head = _parse(await reader.readuntil(b"\r\n\r\n"))
        if head is None:
            await _refuse(writer, 400, "not a request for a proxy")
            return
        if not self._admits(_password(head.header(b"proxy-authorization"))):
            await _refuse(writer, 407, "this call may not use the network")
            return
        try:
            host, port, onward = _destination(head)
            upstream = await self._connect(host, port)
        except (ReverieError, TimeoutError) as error:
            await _refuse(writer, 400 if isinstance(error, InvalidInput) else 502, str(error) or "not reached in time")
            return
        with contextlib.closing(upstream[1]):
            if onward is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream[1].write(onward)
            await asyncio.gather(_pump(reader, upstream[1]), _pump(upstream[0], writer))

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(self._options.connect_timeout_s):
            addresses = await permitted_addresses(host, port, self._options, self._lookup)
            for address in addresses:
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection(address, port)
        raise BadGateway(f"{host!r} cannot be reached")


def _parse(data: bytes) -> _Head | None:
    first, *lines = data.rstrip(b"\r\n").split(b"\r\n")
    words = first.split(b" ")
    pairs = [line.split(b":", 1) for line in lines]
    if len(words) != 3 or any(len(pair) != 2 for pair in pairs):
        return None
    headers = tuple((key.strip(), value.strip()) for key, value in pairs)
    return _Head(words[0].decode("latin-1"), words[1].decode("latin-1"), headers)


def _password(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8", "replace").partition(":")[2]
    except binascii.Error:
        return ""


def _destination(head: _Head) -> tuple[str, int, bytes | None]:
    """Host, port, and for a plain request its first lines as the host expects them."""
    tunnel = head.method == "CONNECT"
    try:
        parts = urlsplit(f"//{head.target}" if tunnel else head.target)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or (not tunnel and parts.scheme != "http") or (tunnel and port is None):
        raise InvalidInput(f"{head.target!r} is no address that this proxy leads to")
    if tunnel:
        return host, port or 443, None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [(key, value) for key, value in head.headers if key.lower() not in _ENDS_HERE]
    lines = [f"{head.method} {path} HTTP/1.1".encode("latin-1"), *(b"%s: %s" % pair for pair in kept)]
    return host, port or 80, b"\r\n".join([*lines, b"Connection: close", b"", b""])


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()
    if target.can_write_eof() and not target.is_closing():
        with contextlib.suppress(OSError):
            target.write_eof()


async def _refuse(writer: asyncio.StreamWriter, status: int, reason: str) -> None:
    body = f"{reason}\n".encode()
    demand = 'Proxy-Authenticate: Basic realm="tools"\r\n' if status == 407 else ""
    writer.write(
        f"HTTP/1.1 {status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        f"{demand}Connection: close\r\n\r\n".encode()
        + body
    )
    await writer.drain()
