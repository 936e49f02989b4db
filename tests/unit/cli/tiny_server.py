"""A server process around a tiny application, for tests of how it starts and ends.

Arguments: data directory, port, drain time limit, and `quick` or `stuck` for how draining goes.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from reverie.cli.serve import run
from reverie.config import Settings, load_settings
from reverie.domain.errors import ReverieError, Unavailable


class Tiny:
    first_key: str | None = None
    door: socket.socket | None = None

    def __init__(self, stuck: bool) -> None:
        self.stuck = stuck
        self.draining = asyncio.Event()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """`/stream` writes a line and goes on until the server drains; anything else says hello."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
            await self.draining.wait()
            await send({"type": "http.response.body", "body": b"ended in order\n"})
        else:
            await send({"type": "http.response.body", "body": b"hello"})

    async def drain(self, timeout_s: float) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        self.draining.set()


@contextlib.asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Tiny]:
    if mode == "broken":
        raise Unavailable("the database says no; ask it nicely")
    if mode == "unreachable":
        raise ConnectionRefusedError(111, "Connection refused")
    server = Tiny(stuck=mode == "stuck")
    if not settings.is_loopback:
        server.first_key = "sk-rev-shown-once"
    yield server
    print("closed", flush=True)


data_dir, port, limit, mode, *host = sys.argv[1:]
overrides: dict[str, object] = {"data_dir": Path(data_dir), "port": port, "drain_timeout_s": limit}
try:
    sys.exit(run(load_settings(overrides | ({"host": host[0]} if host else {})), build))
except ReverieError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
